/** `gateway.auth` and `gateway.deviceStore`: how the gateway authenticates the shim, and the callers' devices there. */
import { isIP } from 'node:net';
import { CALLER_HEADERS } from '../types.ts';
import { foldName } from '../headers/families.ts';
import { isLoopback, isWildcard } from './address.ts';
import type { DeviceStoreConfig, GatewayAuth } from './config.ts';
import { resolveGatewaySecret } from './openclaw.ts';
import type { Path } from './report.ts';
import type { RawConfig, Reference } from './schema.ts';
import { resolveSecret, type SecretSource } from './secret.ts';
import type { Sound } from './shape.ts';
import { resolvePath, type ConfigWorld } from './world.ts';

type RawAuth = NonNullable<NonNullable<Sound<RawConfig>['gateway']>['auth']>;
/** A documentation address (RFC 5737): nobody has it, and gateways since 2026.8.1 take it for a client. */
const STAND_IN = '192.0.2.1';

/** A shorter one could not be told from ordinary text either, where it is kept out of log and responses. */
const SHORTEST_SECRET = 8;

type HeaderText = Sound<string | Reference>;

/**
 * @param raw `gateway.deviceStore`
 * @param file the configuration file: the folder's path is relative to it
 * @param world for `~`
 * @returns where device identities are kept, if anywhere
 */
export function buildDeviceStore(
  raw: string | undefined,
  file: string,
  world: Pick<ConfigWorld, 'home'>,
): DeviceStoreConfig | undefined {
  return raw === undefined || raw === 'memory' ? raw : { folder: resolvePath(raw, file, world.home) };
}

/**
 * @param raw `gateway.auth`
 * @param source where secrets are looked for
 * @returns the credentials, or `undefined` when a fault was reported
 */
export async function buildGatewayAuth(raw: RawAuth, source: SecretSource): Promise<GatewayAuth | undefined> {
  const { mode } = raw;
  const { report } = source;
  if (mode === undefined) return undefined;
  const path: Path = ['gateway', 'auth'];
  const proxyKeys = (['userHeader', 'requiredHeaders', 'clientAddress', 'password'] as const).filter(
    (key) => raw[key] !== undefined,
  );
  if (mode !== 'trusted-proxy') {
    for (const key of proxyKeys) report.error([...path, key], `only mode "trusted-proxy" has ${key}`, 'key');
  }
  switch (mode) {
    case 'token':
    case 'password': {
      if (raw.secret === undefined) {
        report.error([...path, 'secret'], `mode "${mode}" needs a secret, such as { env: OPENCLAW_GATEWAY_TOKEN }`);
        return undefined;
      }
      const secret = await resolveGatewayReference(raw.secret, mode, [...path, 'secret'], source);
      refuseShort(secret, [...path, 'secret'], source);
      return secret === undefined ? undefined : { mode, secret };
    }
    case 'none':
    case 'shim':
      refuseSecret(raw, source);
      return { mode };
    case 'trusted-proxy':
      refuseSecret(raw, source);
      return buildTrustedProxy(raw, source);
  }
}

function refuseShort(secret: string | undefined, path: Path, { report }: SecretSource): void {
  if (secret === undefined || secret.length >= SHORTEST_SECRET) return;
  report.unresolved(path, `the secret is shorter than ${SHORTEST_SECRET} characters: it can be guessed`);
}

function resolveGatewayReference(
  reference: Reference,
  key: 'token' | 'password',
  path: Path,
  source: SecretSource,
  mode: GatewayAuth['mode'] = key,
): string | undefined | Promise<string | undefined> {
  return reference.openclaw !== undefined
    ? resolveGatewaySecret(reference.openclaw, key, [...path, 'openclaw'], source, mode)
    : resolveSecret(reference, path, source);
}

function refuseSecret(raw: RawAuth, { report }: SecretSource): void {
  if (raw.secret !== undefined) {
    report.error(
      ['gateway', 'auth', 'secret'],
      `mode "${raw.mode}" has no secret: ${raw.mode === 'shim' ? 'the other shim' : 'the gateway'} would not ask for it`,
      'key',
    );
  }
}

async function buildTrustedProxy(raw: RawAuth, source: SecretSource): Promise<GatewayAuth | undefined> {
  const { report } = source;
  const path: Path = ['gateway', 'auth'];
  if (raw.userHeader === undefined) {
    report.error(
      [...path, 'userHeader'],
      'mode "trusted-proxy" needs userHeader, as in the gateway\'s trustedProxy.userHeader',
    );
  }
  const seen = new Set<string>();
  const userHeader = headerName(raw.userHeader, [...path, 'userHeader'], seen, source);
  const requiredHeaders = headerPairs(raw.requiredHeaders).map((pair): readonly [string, string] => [
    headerName(pair.name, pair.namePath, seen, source, pair.at) ?? '',
    headerValue(pair.value, pair.valuePath, source) ?? '',
  ]);
  const clientAddress = raw.clientAddress ?? STAND_IN;
  if (isIP(clientAddress) === 0 || isLoopback(clientAddress) || isWildcard(clientAddress)) {
    report.error([...path, 'clientAddress'], 'expected an address that is not loopback, such as 192.0.2.1');
  }
  const password =
    raw.password &&
    (await resolveGatewayReference(raw.password, 'password', [...path, 'password'], source, 'trusted-proxy'));
  refuseShort(password, [...path, 'password'], source);
  if (userHeader === undefined) return undefined;
  return {
    mode: 'trusted-proxy',
    userHeader,
    requiredHeaders,
    clientAddress,
    ...(password !== undefined && { password }),
  };
}

interface HeaderPair {
  readonly name: HeaderText | undefined;
  readonly value: HeaderText | undefined;
  readonly namePath: Path;
  readonly valuePath: Path;
  /** The name is the key of a map. */
  readonly at?: 'key';
}

/** Both ways to write them, as one. A name that is a reference cannot be the key of a map. */
function headerPairs(raw: RawAuth['requiredHeaders']): HeaderPair[] {
  const path: Path = ['gateway', 'auth', 'requiredHeaders'];
  if (Array.isArray(raw)) {
    const items = raw as readonly ({ readonly name?: HeaderText; readonly value?: HeaderText } | undefined)[];
    return items.map((item, index) => ({
      name: item?.name,
      value: item?.value,
      namePath: [...path, index, 'name'],
      valuePath: [...path, index, 'value'],
    }));
  }
  return Object.entries((raw ?? {}) as Readonly<Record<string, HeaderText>>).map(([name, value]) => ({
    name,
    value,
    namePath: [...path, name],
    valuePath: [...path, name],
    at: 'key' as const,
  }));
}

/** Names that frame the message, that the gateway reads as a credential, or that the shim writes itself. */
const TAKEN: ReadonlySet<string> = new Set([
  ...CALLER_HEADERS,
  ...`connection keep-alive proxy-connection te trailer transfer-encoding upgrade
    content-length content-encoding content-type expect host date
    authorization proxy-authorization proxy-authenticate cookie origin
    forwarded x-forwarded-for x-forwarded-proto x-forwarded-host x-real-ip
    x-openclaw-scopes x-openclaw-agent x-openclaw-token x-openclaw-password`.split(/\s+/),
]);

function headerName(
  raw: HeaderText | undefined,
  path: Path,
  seen: Set<string>,
  source: SecretSource,
  at?: 'key',
): string | undefined {
  const name = headerText(raw, path, source);
  if (name === undefined) return undefined;
  const folded = foldName(name);
  const fault = !/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$/.test(name)
    ? 'this is no header name (RFC 9110 section 5.6.2)'
    : TAKEN.has(folded)
      ? 'this header frames the request or is written by the shim itself'
      : seen.has(folded)
        ? 'this header is named twice'
        : undefined;
  seen.add(folded);
  if (fault !== undefined) source.report.error(path, fault, at);
  return name;
}

function headerValue(raw: HeaderText | undefined, path: Path, source: SecretSource): string | undefined {
  const value = headerText(raw, path, source);
  if (value !== undefined && !/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(value)) {
    source.report.error(path, 'expected visible ASCII, with no space at its ends');
  }
  return value;
}

function headerText(raw: HeaderText | undefined, path: Path, source: SecretSource): string | undefined {
  return raw === undefined || typeof raw === 'string' ? raw : resolveSecret(raw, path, source);
}
