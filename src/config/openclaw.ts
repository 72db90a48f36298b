/** The gateway's own configuration file (JSON5), as far as the shim reads it: port, mode and secret. */
import type { Path } from './report.ts';
import { readSecretFile, readVariable, secretFault, type SecretSource } from './secret.ts';

/** `gateway` of the file; values are as they stand there. */
export interface GatewayFile {
  readonly port: unknown;
  readonly mode: unknown;
  readonly token: unknown;
  readonly password: unknown;
}

/**
 * @param text the file
 * @returns its `gateway.port` and `gateway.auth`
 * @throws SyntaxError when it is no JSON5
 */
export async function parseGatewayFile(text: string): Promise<GatewayFile> {
  // Only a configuration that names the gateway's file pays for the parser.
  const { default: json5 } = await import('json5');
  const gateway = member(json5.parse<unknown>(text), 'gateway');
  const auth = member(gateway, 'auth');
  return {
    port: member(gateway, 'port'),
    mode: member(auth, 'mode'),
    token: member(auth, 'token'),
    password: member(auth, 'password'),
  };
}

/**
 * Reads `gateway.auth.token` or `.password`. There it can be a text, `"${NAME}"`, or a reference of the
 * gateway's own, of which `{ source: "env", id: "NAME" }` can be followed.
 *
 * @param written the path of the gateway's file
 * @param mode which of the two
 * @param path where the shim's configuration asks for it
 * @param source where to look
 * @returns the value, or `undefined` when a fault was reported
 */
export async function resolveGatewaySecret(
  written: string,
  mode: 'token' | 'password',
  path: Path,
  source: SecretSource,
): Promise<string | undefined> {
  const { report } = source;
  const text = readSecretFile(written, path, source);
  if (text === undefined) return undefined;
  let file: GatewayFile;
  try {
    file = await parseGatewayFile(text);
  } catch {
    // The parser quotes what it found.
    report.unresolved(path, `${written} is not JSON5`);
    return undefined;
  }
  if (typeof file.mode === 'string' && file.mode !== mode) {
    report.warning(path, `${written} says gateway.auth.mode ${JSON.stringify(file.mode)}, this file says "${mode}"`);
  }
  const key = `gateway.auth.${mode}`;
  const value = file[mode];
  const variable = variableName(value);
  if (variable !== undefined) return readVariable(variable, path, source);
  if (typeof value !== 'string') {
    report.unresolved(
      path,
      value === undefined
        ? `${written} has no ${key}`
        : `${key} of ${written} is a reference that only the gateway can resolve; use { env } or { file } here`,
    );
    return undefined;
  }
  const fault = secretFault(value);
  if (fault === undefined) return value;
  report.unresolved(path, `${key} of ${written} ${fault}`);
  return undefined;
}

/** `"${NAME}"`, or `{ source: "env", id: "NAME" }`. */
function variableName(value: unknown): string | undefined {
  if (typeof value === 'string') return /^\$\{([A-Z_][A-Z0-9_]*)\}$/.exec(value)?.[1];
  const id = member(value, 'source') === 'env' ? member(value, 'id') : undefined;
  return typeof id === 'string' ? id : undefined;
}

function member(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? (value as Record<string, unknown>)[key]
    : undefined;
}
