/** `listen` and `admin`: where the shim is reached, and by which names. */
import { isIP, type BlockList } from 'node:net';
import { buildRanges, isLoopback, isWildcard } from './address.ts';
import type { Config, ListenConfig } from './config.ts';
import type { Path, Report } from './report.ts';
import type { RawConfig } from './schema.ts';
import type { Sound } from './shape.ts';
import { resolvePath, type ConfigWorld } from './world.ts';

type RawListen = NonNullable<Sound<RawConfig>['listen']>;

const LOOPBACK_NAMES = ['localhost', '127.0.0.1', '::1'] as const;
/** `sun_path` of Linux less its closing NUL; macOS has 103. */
const LONGEST_SOCKET_PATH = 103;
const HOST_NAME = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/i;

/**
 * @param host an address or a name
 * @returns whether only this machine can reach it
 */
export function isLoopbackHost(host: string): boolean {
  return host.toLowerCase() === 'localhost' || isLoopback(host);
}

/**
 * @param host an address without brackets, or a name
 * @returns whether it is one of both
 */
export function isHost(host: string): boolean {
  // A name whose last label is a number is a mistyped address (WHATWG URL, "ends in a number").
  return isIP(host) !== 0 || (HOST_NAME.test(host) && !/(^|\.)\d+$/.test(host));
}

/**
 * @param raw `listen:`
 * @param file the configuration file: a socket's path is relative to it
 * @param world for `~`
 * @param report gets what is wrong
 * @returns the listener with its defaults
 */
export function buildListen(
  raw: RawListen,
  file: string,
  world: Pick<ConfigWorld, 'home'>,
  report: Report,
): ListenConfig {
  const host = raw.host ?? '127.0.0.1';
  const unsafeListenPlaintext = raw.unsafeListenPlaintext ?? false;
  if (raw.socket !== undefined && (raw.host !== undefined || raw.port !== undefined)) {
    report.error(['listen', 'socket'], 'a listener has either a socket, or a host and a port');
  }
  if (!isHost(host)) {
    report.error(['listen', 'host'], 'expected an address or a name, without brackets and port');
  } else if (raw.socket === undefined && !isLoopbackHost(host) && !unsafeListenPlaintext) {
    report.error(
      ['listen', 'host'],
      `${host} is beyond loopback and there is no TLS: tokens would cross the network in the clear. Use 127.0.0.1, or set unsafeListenPlaintext: true`,
    );
  }
  const named = raw.socket === undefined && !isWildcard(host) ? [host.toLowerCase()] : [];
  return {
    address:
      raw.socket === undefined
        ? { host, port: raw.port ?? 18780 }
        : { socket: socketPath(resolvePath(raw.socket, file, world.home), ['listen', 'socket'], report), mode: 0o600 },
    hosts: new Set([...LOOPBACK_NAMES, ...named, ...buildHosts(raw.hosts ?? [], report)]),
    origins: new Set(buildOrigins(raw.origins ?? [], report)),
    health: raw.health ?? false,
    trustedProxies: buildTrustedProxies(raw.trustedProxies, report),
    unsafeListenPlaintext,
    credentials: 'all',
    websocket: {
      firstFrameToken: raw.websocket?.firstFrameToken ?? false,
      subprotocolToken: raw.websocket?.subprotocolToken ?? false,
    },
  };
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

function buildHosts(hosts: readonly (string | undefined)[], report: Report): string[] {
  return hosts.flatMap((host, index) => {
    if (host === undefined) return [];
    const at: Path = ['listen', 'hosts', index];
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

function buildTrustedProxies(
  ranges: readonly (string | undefined)[] | undefined,
  report: Report,
): BlockList | undefined {
  if (ranges === undefined || ranges.length === 0) return undefined;
  return buildRanges(ranges, ['listen', 'trustedProxies'], 'anyone could choose their own address', report);
}

/**
 * @param raw `admin:`; absent means no admin listener
 * @param report gets what is wrong
 * @returns the admin listener with its defaults
 */
export function buildAdmin(raw: Sound<RawConfig>['admin'], report: Report): Config['admin'] {
  if (raw === undefined) return undefined;
  const admin = { host: raw.host ?? '127.0.0.1', port: raw.port ?? 18781 };
  if (!isLoopbackHost(admin.host)) {
    report.error(['admin', 'host'], 'the admin listener has no authentication: it must be on loopback');
  }
  return admin;
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
