/** The gateway's own configuration file (JSON5), as far as the shim reads it: address, mode, secret and header names. */
import type { GatewayAuth } from './config.ts';
import type { Path } from './report.ts';
import { readSecretFile, readVariable, secretFault, type SecretSource } from './secret.ts';

/** `gateway` of the file; values are as they stand there. */
export interface GatewayFile {
  readonly port: unknown;
  readonly mode: unknown;
  readonly token: unknown;
  readonly password: unknown;
  readonly bind: unknown;
  readonly customBindHost: unknown;
  /** `gateway.tls.enabled` */
  readonly tls: unknown;
  /** `gateway.tls.certPath` */
  readonly tlsCertificate: unknown;
  /** `gateway.auth.trustedProxy`: the names of headers, and of the users that it takes. */
  readonly userHeader: unknown;
  readonly requiredHeaders: unknown;
  readonly allowUsers: unknown;
  /** Parts may stand in other files, which are not read. */
  readonly includes: boolean;
}

/** A text that is no such file; the words go after its name and hold nothing of it: the secret may be there. */
export class GatewayFileError extends Error {}

/**
 * @param text the file
 * @returns what it says of its gateway
 * @throws GatewayFileError when it is no JSON5, or no map
 */
export async function parseGatewayFile(text: string): Promise<GatewayFile> {
  // Only a configuration that names the gateway's file pays for the parser.
  const { default: json5 } = await import('json5');
  let root: unknown;
  try {
    root = json5.parse(text);
  } catch (error) {
    throw new GatewayFileError(`is not JSON5${placeOf(error)}`);
  }
  const gateway = member(root, 'gateway');
  const auth = member(gateway, 'auth');
  const proxy = member(auth, 'trustedProxy');
  for (const [name, part] of Object.entries({ 'the file': root ?? null, gateway, 'gateway.auth': auth })) {
    if (part !== undefined && !isMap(part)) throw new GatewayFileError(`is no configuration: ${name} is no map`);
  }
  return {
    port: member(gateway, 'port'),
    mode: member(auth, 'mode'),
    token: member(auth, 'token'),
    password: member(auth, 'password'),
    bind: member(gateway, 'bind'),
    customBindHost: member(gateway, 'customBindHost'),
    tls: member(member(gateway, 'tls'), 'enabled'),
    tlsCertificate: member(member(gateway, 'tls'), 'certPath'),
    userHeader: member(proxy, 'userHeader'),
    requiredHeaders: member(proxy, 'requiredHeaders'),
    allowUsers: member(proxy, 'allowUsers'),
    includes: [root, gateway, auth, proxy].some((part) => member(part, '$include') !== undefined),
  };
}

/** Of the parser's error its place alone: its words quote what it found. */
function placeOf(error: unknown): string {
  const { lineNumber: line, columnNumber: column } = error as { lineNumber?: unknown; columnNumber?: unknown };
  return typeof line === 'number' && typeof column === 'number' ? ` (line ${line}, column ${column})` : '';
}

/**
 * Reads `gateway.auth.token` or `.password`. There it can be a text, `"${NAME}"`, or a reference of the
 * gateway's own, of which `{ source: "env", id: "NAME" }` can be followed.
 *
 * @param written the path of the gateway's file
 * @param mode which of the two
 * @param path where the shim's configuration asks for it
 * @param source where to look
 * @param expected the mode that the gateway's file should say
 * @returns the value, or `undefined` when a fault was reported
 */
export async function resolveGatewaySecret(
  written: string,
  mode: 'token' | 'password',
  path: Path,
  source: SecretSource,
  expected: GatewayAuth['mode'] = mode,
): Promise<string | undefined> {
  const { report } = source;
  const text = readSecretFile(written, path, source);
  if (text === undefined) return undefined;
  let file: GatewayFile;
  try {
    file = await parseGatewayFile(text);
  } catch (error) {
    if (!(error instanceof GatewayFileError)) throw error;
    report.unresolved(path, `${written} ${error.message}`);
    return undefined;
  }
  if (typeof file.mode === 'string' && file.mode !== expected) {
    report.warning(
      path,
      `${written} says gateway.auth.mode ${JSON.stringify(file.mode)}, this file says "${expected}"`,
    );
  }
  const key = `gateway.auth.${mode}`;
  const value = file[mode];
  const variable = variableName(value);
  if (variable !== undefined) return readVariable(variable, path, source);
  if (typeof value !== 'string') {
    report.unresolved(
      path,
      value === undefined
        ? `${written} has no ${key}${file.includes ? '; what it includes is not read: use { env } or { file } here' : ''}`
        : `${key} of ${written} is a reference that only the gateway can resolve; use { env } or { file } here`,
    );
    return undefined;
  }
  const fault = secretFault(value);
  if (fault === undefined) return value;
  report.unresolved(path, `${key} of ${written} ${fault}`);
  return undefined;
}

/**
 * @param value of the gateway's file
 * @returns the variable that it stands for: of `"${NAME}"`, or `{ source: "env", id: "NAME" }`
 */
export function variableName(value: unknown): string | undefined {
  if (typeof value === 'string') return /^\$\{([A-Z_][A-Z0-9_]*)\}$/.exec(value)?.[1];
  const id = member(value, 'source') === 'env' ? member(value, 'id') : undefined;
  return typeof id === 'string' ? id : undefined;
}

function member(value: unknown, key: string): unknown {
  return isMap(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
