/** The shape of the configuration as JSON Schema, for editors. */
import * as z from 'zod';
import { rawConfig } from './schema.ts';

/**
 * @returns JSON Schema (draft 2020-12). It knows keys, types and spellings; `auth-shim check` knows the rest
 */
export function configJsonSchema(): Record<string, unknown> {
  const { $schema, ...schema } = z.toJSONSchema(rawConfig);
  return { $schema, title: 'openclaw-auth-shim configuration', ...schema };
}
