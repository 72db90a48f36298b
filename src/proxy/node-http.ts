/** Node's HTTP. */
import { createRequire } from 'node:module';

/**
 * An ESM import of `node:http` runs its lazy getters, one of which loads Node's own copy of undici: 40 ms and 5 MB
 * at every start for nothing. `require` does not.
 */
export const { Agent, createServer, request, STATUS_CODES } = createRequire(import.meta.url)(
  'node:http',
) as typeof import('node:http');
