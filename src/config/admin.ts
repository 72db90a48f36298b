/** `admin`: where operators look at the shim, and how they prove that they may. */
import { hash } from 'node:crypto';
import { isHost, isLoopbackHost, isWildcard } from './address.ts';
import type { AdminConfig, CertificateInUse } from './config.ts';
import { buildHosts, LOOPBACK_NAMES, SOCKET_MODE, socketPath } from './listen.ts';
import type { Path, Report } from './report.ts';
import type { RawConfig } from './schema.ts';
import { resolveSecret, type SecretSource } from './secret.ts';
import type { Sound } from './shape.ts';
import { resolvePath } from './world.ts';

type RawAdmin = NonNullable<Sound<RawConfig>['admin']>;

/** Nobody waits between two guesses: it must not be a word. */
const SHORTEST_TOKEN = 24;

/**
 * @param raw `admin:`; absent means no admin listener
 * @param source where files are looked for
 * @returns the admin listener with its defaults, and the certificate files that it uses
 */
export async function buildAdmin(
  raw: RawAdmin | undefined,
  source: SecretSource,
): Promise<{ readonly admin: AdminConfig | undefined; readonly certificates: readonly CertificateInUse[] }> {
  if (raw === undefined) return { admin: undefined, certificates: [] };
  const { file, world, report } = source;
  const path: Path = ['admin'];
  const host = raw.host ?? '127.0.0.1';
  refuseHalves(raw, report);
  const {
    tls,
    hosts: certified,
    certificates,
  } = raw.tls
    ? (await import('./tls.ts')).buildListenTls(raw.tls, source, 'admin')
    : { tls: undefined, hosts: [], certificates: [] };
  const token = raw.token && resolveSecret(raw.token, [...path, 'token'], source);
  if (token !== undefined && token.length < SHORTEST_TOKEN) {
    report.unresolved([...path, 'token'], `it must have at least ${SHORTEST_TOKEN} characters: openssl rand -hex 32`);
  }
  const named = raw.socket === undefined && !isWildcard(host) ? [host.toLowerCase()] : [];
  return {
    admin: {
      address:
        raw.socket === undefined
          ? { host, port: raw.port ?? 18781 }
          : {
              socket: socketPath(resolvePath(raw.socket, file, world.home), [...path, 'socket'], report),
              mode: raw.mode === undefined ? SOCKET_MODE : Number.parseInt(raw.mode, 8),
            },
      hosts: new Set([
        ...LOOPBACK_NAMES,
        ...named,
        ...certified,
        ...buildHosts(raw.hosts ?? [], [...path, 'hosts'], report),
      ]),
      ...(tls && { tls }),
      ...(token !== undefined && { tokenHash: hash('sha256', token) }),
      unsafeListenPlaintext: raw.unsafeListenPlaintext ?? false,
    },
    certificates,
  };
}

function refuseHalves(raw: RawAdmin, report: Report): void {
  const { host = '127.0.0.1', socket, mode, tls, token, unsafeListenPlaintext } = raw;
  if (socket !== undefined && (raw.host !== undefined || raw.port !== undefined)) {
    report.error(['admin', 'socket'], 'a listener has either a socket, or a host and a port');
  }
  if (mode !== undefined && socket === undefined) {
    report.error(['admin', 'mode'], 'only a socket has permission bits', 'key');
  }
  if (tls && unsafeListenPlaintext) {
    report.error(['admin', 'unsafeListenPlaintext'], 'there is TLS: nothing crosses the network in the clear', 'key');
  }
  if (!isHost(host)) {
    report.error(['admin', 'host'], 'expected an address or a name, without brackets and port');
  } else if (socket === undefined && !isLoopbackHost(host)) {
    if (!token && tls?.clientCa === undefined) {
      report.error(
        ['admin', 'host'],
        `${host} is beyond loopback, where anybody could look: set token, or tls with clientCa; or use 127.0.0.1`,
      );
    } else if (!tls && unsafeListenPlaintext !== true) {
      report.error(
        ['admin', 'host'],
        `${host} is beyond loopback and there is no TLS: the token would cross the network in the clear. Set tls, or unsafeListenPlaintext: true`,
      );
    }
  }
}
