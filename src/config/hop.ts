/** The hop to the gateway: `gateway.url` and `gateway.tls`, and how far they may lead together. */
import { isIP } from 'node:net';
import { isHost, isLoopback, isLoopbackHost, isWildcard } from './address.ts';
import type { CertificateInUse, GatewayTls } from './config.ts';
import type { Report } from './report.ts';
import type { RawConfig } from './schema.ts';
import type { SecretSource } from './secret.ts';
import type { Sound } from './shape.ts';

type RawGateway = NonNullable<Sound<RawConfig>['gateway']>;

/** Where the gateway is, and what is verified on the way. */
export interface Hop {
  /** Scheme, host and port. */
  readonly origin: string;
  readonly tls?: GatewayTls;
  /** Whether its address may be beyond loopback. */
  readonly beyondLoopback: boolean;
  readonly certificates: readonly CertificateInUse[];
}

const URL_WORDS = 'expected a URL such as http://127.0.0.1:18789';

/**
 * @param raw `gateway`
 * @param source where files and names are looked up
 * @returns the hop, or `undefined` when `gateway.url` is at fault, which was reported
 */
export async function buildHop(raw: RawGateway, source: SecretSource): Promise<Hop | undefined> {
  const { report } = source;
  if (raw.url === undefined) return undefined;
  const parsed = parseGatewayUrl(raw.url);
  if ('fault' in parsed) {
    report.error(['gateway', 'url'], parsed.fault);
    return undefined;
  }
  const url = new URL(parsed.origin);
  const secure = url.protocol === 'https:';
  if (secure) needCertificate(raw, bareHost(url), report);
  else refusePlaintext(raw, report);
  const mode = raw.auth?.mode;
  const beyondLoopback = secure && (raw.tls?.cert !== undefined || mode === 'token' || mode === 'password');
  const { tls, certificates } =
    secure && raw.tls
      ? (await import('./tls.ts')).buildGatewayTls(raw.tls, parsed.origin, source)
      : { tls: undefined, certificates: [] };
  await lookUp(url, beyondLoopback, source);
  return { ...parsed, beyondLoopback, certificates, ...(tls && { tls }) };
}

/** An origin without its scheme and port, as `net` takes it. */
export function bareHost(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}

/** A name passes: it is judged at each connect, when it has an address. */
function parseGatewayUrl(raw: string): { readonly origin: string } | { readonly fault: string } {
  if (/^wss?:/i.test(raw)) return { fault: 'write http: or https: here; WebSockets go to the same port' };
  const url = /^https?:\/\/[\x21-\x7e]+$/.test(raw) ? URL.parse(raw) : null;
  if (url === null) return { fault: URL_WORDS };
  if (/[@?#\\]/.test(raw) || url.pathname !== '/') {
    return { fault: 'expected scheme, host and port alone: no user, path, query or fragment' };
  }
  const host = bareHost(url);
  if (isWildcard(host)) return { fault: `${host} is where a server listens, not where it is: use 127.0.0.1` };
  if (url.protocol === 'http:' && isIP(host) !== 0 && !isLoopback(host)) {
    return { fault: `${host} is beyond loopback: the gateway's secret would cross the network in the clear` };
  }
  if (!isHost(host) || url.port === '0') return { fault: URL_WORDS };
  return { origin: url.origin };
}

function refusePlaintext({ tls, auth }: RawGateway, report: Report): void {
  if (tls !== undefined) report.error(['gateway', 'tls'], 'gateway.url begins with http:, which has no TLS', 'key');
  if (auth?.mode === 'shim') {
    report.error(['gateway', 'url'], 'mode "shim" needs https: the other shim knows this one by its certificate');
  }
}

/** Where nobody asks for a secret, whoever reaches the port is in: there a certificate has to say who may. */
function needCertificate({ tls, auth }: RawGateway, host: string, report: Report): void {
  // Half a pair is told as such.
  if (tls?.cert !== undefined || tls?.key !== undefined) return;
  const path = ['gateway', 'tls', 'cert'];
  const mode = auth?.mode;
  if (mode === 'shim') {
    report.error(path, 'mode "shim" needs cert and key: the other shim knows this one by its certificate');
  } else if ((mode === 'none' || mode === 'trusted-proxy') && !isLoopbackHost(host)) {
    report.error(
      path,
      `mode "${mode}" beyond loopback needs cert and key: the gateway asks nobody for a secret, so that what is before it must know the shim by its certificate`,
    );
  }
}

/** A name is looked up here for a word at start and in `check`; what it resolves to later is checked at every connect. */
async function lookUp(url: URL, beyondLoopback: boolean, { world, report }: SecretSource): Promise<void> {
  const host = bareHost(url);
  const addresses = isIP(host) === 0 ? await world.resolve?.(host) : undefined;
  const where = beyondLoopback ? '' : ' to a loopback address';
  if (addresses?.length === 0) {
    report.warning(['gateway', 'url'], `${host} does not resolve now: requests get 502 until it resolves${where}`);
  }
  const beyond = beyondLoopback ? undefined : addresses?.find((address) => !isLoopback(address));
  if (beyond === undefined) return;
  const why =
    url.protocol === 'http:'
      ? "the gateway's secret would cross the network in the clear"
      : 'the gateway asks nobody for a secret';
  report.error(['gateway', 'url'], `${host} resolves to ${beyond}, which is beyond loopback: ${why}`);
}
