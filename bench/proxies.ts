/** The proxies that are measured, each as a process of its own before the same gateway. */
import { createHash } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startProcess, type Measured } from './process.ts';

export const TOKEN = 'bench-token-0123456789-abcdefghijklmnop';

export const PROXIES = ['shim', 'shim, all on', 'http-proxy-3', 'bare undici'] as const;
export type Proxy = (typeof PROXIES)[number];

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const MAIN = here('../dist/main.js');

/**
 * @param folder where its log and configuration go
 * @returns the gateway, listening
 */
export function startGateway(folder: string): Promise<Measured> {
  return startProcess([here('gateway.ts')], join(folder, 'gateway.log'));
}

/**
 * @param proxy which
 * @param gateway origin of the gateway
 * @param folder where its log and configuration go
 * @returns the proxy, listening: the shim as it is built and shipped, its log written to a file
 */
export function startProxy(proxy: Proxy, gateway: string, folder: string): Promise<Measured> {
  const log = join(folder, `${proxy}.log`);
  if (proxy === 'http-proxy-3') return startProcess([here('proxies/http-proxy-3.ts'), gateway], log);
  if (proxy === 'bare undici') return startProcess([here('proxies/undici.ts'), gateway], log);
  if (!existsSync(MAIN)) throw new Error('dist/main.js is missing: run "npm run build" first');
  const file = join(folder, `${proxy}.yaml`);
  writeFileSync(file, configuration(gateway, proxy === 'shim, all on'));
  const env = { OPENCLAW_GATEWAY_TOKEN: 'gateway-secret-0123456789-abcdef' };
  return startProcess([MAIN, 'serve', '-c', file], log, env);
}

/** All on: limits by minute, day and open requests, the audit, an address range; metrics and traces always are. */
function configuration(gateway: string, allOn: boolean): string {
  const caller = `
    from: [127.0.0.0/8]
    limits: { requestsPerMinute: 100000000, requestsPerDay: 1000000000, streams: 100000 }
audit: { file: audit.jsonl }`;
  return `
listen: { host: 127.0.0.1, port: 0 }
gateway:
  url: ${gateway}
  auth: { mode: token, secret: { env: OPENCLAW_GATEWAY_TOKEN } }
callers:
  - name: bench
    tokens: [{ hash: "sha256:${createHash('sha256').update(TOKEN).digest('hex')}" }]
    scopes: [operator.read, operator.write]${allOn ? caller : ''}
admin: { port: 0 }
`;
}
