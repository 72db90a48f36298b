/** `listen` and `probes`: where the shim is reached, and by which names. */
import type { BlockList } from 'node:net';
import { buildRanges, isHost, isLoopbackHost, isWildcard } from './address.ts';
import type { CertificateInUse, Config, ListenConfig } from './config.ts';
import type { Path, Report } from './report.ts';
import type { RawConfig } from './schema.ts';
import type { SecretSource } from './secret.ts';
import type { Sound } from './shape.ts';
import { resolvePath } from './world.ts';

type RawListen = NonNullable<Sound<RawConfig>['listen']>;

/** What `Host` may be in any case. */
export const LOOPBACK_NAMES = ['localhost', '127.0.0.1', '::1'] as const;
/** `sun_path` of Linux less its closing NUL; macOS has 103. */
const LONGEST_SOCKET_PATH = 103;
/** The account of the shim alone. */
export const SOCKET_MODE = 0o600;

/**
 * @param raw `listen:`
 * @param source where files are looked for
 * @returns the listener with its defaults, and the certificate files that it uses
 */
export async function buildListen(
  raw: RawListen,
  source: SecretSource,
): Promise<{ readonly listen: ListenConfig; readonly certificates: readonly CertificateInUse[] }> {
  const { file, world, report } = source;
  const host = raw.host ?? '127.0.0.1';
  const unsafeListenPlaintext = raw.unsafeListenPlaintext ?? false;
  if (raw.socket !== undefined && (raw.host !== undefined || raw.port !== undefined)) {
    report.error(['listen', 'socket'], 'a listener has either a socket, or a host and a port');
  }
  if (!isHost(host)) {
    report.error(['listen', 'host'], 'expected an address or a name, without brackets and port');
  } else if (raw.socket === undefined && !isLoopbackHost(host) && !unsafeListenPlaintext && !raw.tls) {
    report.error(
      ['listen', 'host'],
      `${host} is beyond loopback and there is no TLS: tokens would cross the network in the clear. Use 127.0.0.1, set tls, or set unsafeListenPlaintext: true`,
    );
  }
  if (raw.tls && unsafeListenPlaintext) {
    report.error(['listen', 'unsafeListenPlaintext'], 'there is TLS: nothing crosses the network in the clear', 'key');
  }
  if (raw.mode !== undefined && raw.socket === undefined) {
    report.error(['listen', 'mode'], 'only a socket has permission bits', 'key');
  }
  const { tls, hosts, certificates } = raw.tls
    ? (await import('./tls.ts')).buildListenTls(raw.tls, source)
    : { tls: undefined, hosts: [], certificates: [] };
  const named = raw.socket === undefined && !isWildcard(host) ? [host.toLowerCase()] : [];
  const listen: ListenConfig = {
    address:
      raw.socket === undefined
        ? { host, port: raw.port ?? 18780 }
        : {
            socket: socketPath(resolvePath(raw.socket, file, world.home), ['listen', 'socket'], report),
            mode: raw.mode === undefined ? SOCKET_MODE : Number.parseInt(raw.mode, 8),
          },
    ...(tls && { tls }),
    credentials: raw.credentials ?? 'all',
    hosts: new Set([
      ...LOOPBACK_NAMES,
      ...named,
      ...hosts,
      ...buildHosts(raw.hosts ?? [], ['listen', 'hosts'], report),
    ]),
    origins: new Set(buildOrigins(raw.origins ?? [], report)),
    health: raw.health ?? false,
    trustedProxies: buildTrustedProxies(raw.trustedProxies, report),
    unsafeListenPlaintext,
    ...buildResourceMetadata(raw.resourceMetadata, report),
    websocket: {
      firstFrameToken: raw.websocket?.firstFrameToken ?? false,
      subprotocolToken: raw.websocket?.subprotocolToken ?? false,
    },
  };
  return { listen, certificates };
}

/**
 * @param path of a unix socket
 * @param at where the configuration has it
 * @param report gets what is wrong
 * @returns the path
 */
export function socketPath(path: string, at: Path, report: Report): string {
  if (Buffer.byteLength(path) > LONGEST_SOCKET_PATH) {
    report.error(at, `a socket's path has at most ${LONGEST_SOCKET_PATH} bytes`);
  }
  return path;
}

/**
 * @param hosts as they are written; a hole was reported already
 * @param path where the list stands
 * @param report gets what is wrong
 * @returns the names that `Host` may have, in lower case
 */
export function buildHosts(hosts: readonly (string | undefined)[], path: Path, report: Report): string[] {
  return hosts.flatMap((host, index) => {
    if (host === undefined) return [];
    const at: Path = [...path, index];
    if (host.includes('*') || isWildcard(host)) {
      report.error(at, 'a wildcard would serve any site that resolves to this machine; name each host');
    } else if (!isHost(host)) {
      report.error(at, 'expected a name or an address, without scheme, brackets, port and closing dot');
    }
    return [host.toLowerCase()];
  });
}

function buildOrigins(origins: readonly (string | undefined)[], report: Report): string[] {
  return origins.flatMap((origin, index) => {
    if (origin === undefined) return [];
    if (!/^https?:/.test(origin) || URL.parse(origin)?.origin !== origin) {
      report.error(
        ['listen', 'origins', index],
        'expected one web origin as browsers send it, such as https://app.example: no path, no "*", no "null", no default port',
      );
    }
    return [origin];
  });
}

/** Clients compare it with what they called (RFC 9728 section 3.3), and must not be sent elsewhere with their tokens. */
function buildResourceMetadata(
  raw: RawListen['resourceMetadata'],
  report: Report,
): Pick<ListenConfig, 'resourceMetadata'> {
  if (raw === undefined || raw === false) return {};
  if (raw === true) return { resourceMetadata: {} };
  // It stands in a quoted string (RFC 9110 section 5.6.4).
  if (URL.parse(raw)?.origin !== raw || !/^https?:\/\/[a-z0-9.:[\]-]+$/.test(raw)) {
    report.error(['listen', 'resourceMetadata'], 'expected true, or an origin such as https://agents.example');
  }
  return { resourceMetadata: { origin: raw } };
}

function buildTrustedProxies(
  ranges: readonly (string | undefined)[] | undefined,
  report: Report,
): BlockList | undefined {
  if (ranges === undefined || ranges.length === 0) return undefined;
  return buildRanges(ranges, ['listen', 'trustedProxies'], 'anyone could choose their own address', report);
}

/**
 * @param raw `probes:`; absent means no listener of their own
 * @param report gets what is wrong
 * @returns the listener of the probes with its defaults: any address, since the kubelet comes from outside the pod
 */
export function buildProbes(raw: Sound<RawConfig>['probes'], report: Report): Config['probes'] {
  if (raw === undefined) return undefined;
  const probes = { host: raw.host ?? '0.0.0.0', port: raw.port ?? 18782 };
  if (!isHost(probes.host)) {
    report.error(['probes', 'host'], 'expected an address or a name, without brackets and port');
  }
  return probes;
}
