/** `listen.tls` and `gateway.tls`: what the shim shows there, and whom it believes. Files are read and looked at here. */
import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { isHost, isWildcard } from './address.ts';
import { parseFingerprint } from './caller-certificates.ts';
import { isFor, readAuthorities, readPair, type CertificateFile, type CertificatePair } from './certificate.ts';
import { hostNames } from './certificate-names.ts';
import type { CertificateInUse, GatewayTls, ListenTls } from './config.ts';
import { createReport, type Path, type Report } from './report.ts';
import type { RawConfig } from './schema.ts';
import type { SecretSource } from './secret.ts';
import type { Sound } from './shape.ts';
import { fitsTimer, parseDuration } from './units.ts';

type RawListenTls = NonNullable<NonNullable<Sound<RawConfig>['listen']>['tls']>;
type RawGatewayTls = NonNullable<NonNullable<Sound<RawConfig>['gateway']>['tls']>;

const RECHECK = 60_000;

/**
 * @param raw `listen.tls`, or the same of another listener
 * @param source where files are looked for
 * @param section of which listener
 * @returns the TLS of the listener (`undefined` when a fault of its files was reported), the host names that its
 *   certificate is for, and the files in use
 */
export function buildListenTls(
  raw: RawListenTls,
  source: SecretSource,
  section: 'listen' | 'admin' = 'listen',
): BuiltListenTls {
  const { running } = source.world;
  const tls = running?.[section]?.tls;
  const before = tls && {
    tls,
    hosts: hostNames(new X509Certificate(tls.cert)),
    certificates: running.certificates.filter(({ key }) => key.startsWith(`${section}.`)),
  };
  return orAsBefore(before, source, (source) => readListenTls(raw, source, section));
}

interface BuiltListenTls {
  readonly tls: ListenTls | undefined;
  readonly hosts: readonly string[];
  readonly certificates: readonly CertificateInUse[];
}

function readListenTls(raw: RawListenTls, source: SecretSource, section: 'listen' | 'admin'): BuiltListenTls {
  const { report } = source;
  const path: Path = [section, 'tls'];
  if (raw.clientAuth !== undefined && raw.clientCa === undefined) {
    report.error([...path, 'clientAuth'], 'without clientCa no client certificate is asked for', 'key');
  }
  const recheck = raw.recheck === undefined ? RECHECK : (parseDuration(raw.recheck) ?? RECHECK);
  if (recheck === 0 || !fitsTimer(recheck)) {
    report.error([...path, 'recheck'], 'expected more than 0 and at most 24d');
  }
  const pair = readBoth(raw, path, 'serverAuth', source);
  const [own] = pair?.cert.certificates ?? [];
  if (own && !own.subjectAltName) {
    report.warning(
      [...path, 'cert'],
      'it is for no name (SAN): callers who look at it will refuse it, unless they pin it',
    );
  }
  const ca =
    raw.clientCa === undefined ? undefined : readAuthorities(raw.clientCa, [...path, 'clientCa'], source, 'clientAuth');
  return {
    tls: pair && {
      cert: pair.cert.pem,
      key: pair.key,
      minVersion: Number(raw.minVersion ?? 1.3) === 1.2 ? 'TLSv1.2' : 'TLSv1.3',
      ...(ca && { client: { ca: ca.pem, auth: raw.clientAuth ?? 'require' } }),
      recheck,
    },
    hosts: own ? hostNames(own) : [],
    certificates: [...inUse(`${section}.tls.cert`, pair?.cert), ...inUse(`${section}.tls.clientCa`, ca)],
  };
}

/**
 * @param raw `gateway.tls`
 * @param origin of the gateway
 * @param source where files are looked for
 * @returns how the gateway is verified, and the files in use
 */
export function buildGatewayTls(raw: RawGatewayTls, origin: string, source: SecretSource): BuiltGatewayTls {
  const { running } = source.world;
  // What another gateway was shown is not for this one.
  const tls = running?.gateway.origin === origin ? running.gateway.tls : undefined;
  const before = running &&
    tls && {
      tls,
      certificates: running.certificates.filter(({ key }) => key.startsWith('gateway.')),
    };
  return orAsBefore(before, source, (source) => readGatewayTls(raw, source));
}

interface BuiltGatewayTls {
  readonly tls: GatewayTls;
  readonly certificates: readonly CertificateInUse[];
}

/** Files that are bad at a reload leave all of it as it was: a revocation elsewhere must not wait for them. */
function orAsBefore<T>(before: T | undefined, source: SecretSource, read: (source: SecretSource) => T): T {
  if (before === undefined) return read(source);
  const report = createReport();
  const built = read({ ...source, report });
  const errors = report.findings.filter(({ level }) => level === 'error');
  const keeps = errors.length > 0 && errors.every(({ outside }) => outside);
  for (const finding of report.findings) {
    const isBad = keeps && finding.level === 'error';
    source.report.add(isBad ? { ...finding, level: 'warning', kept: true } : finding);
  }
  return keeps ? before : built;
}

function readGatewayTls(raw: RawGatewayTls, source: SecretSource): BuiltGatewayTls {
  const { report } = source;
  const path: Path = ['gateway', 'tls'];
  for (const [one, other] of [
    ['cert', 'key'],
    ['key', 'cert'],
  ] as const) {
    if (raw[one] !== undefined && raw[other] === undefined) {
      report.error([...path, other], `there is a ${one} without a ${other}: the shim needs both to show a certificate`);
    }
  }
  const pair = readBoth(raw, path, 'clientAuth', source);
  const ca = raw.ca === undefined ? undefined : readAuthorities(raw.ca, [...path, 'ca'], source);
  const serverName = raw.serverName === undefined ? undefined : parseServerName(raw.serverName, report);
  return {
    tls: {
      ...(ca && { ca: ca.pem }),
      ...(pair && { cert: pair.cert.pem, key: pair.key }),
      ...(serverName !== undefined && { serverName }),
      ...(raw.fingerprint !== undefined && { fingerprint: parseFingerprint(raw.fingerprint) }),
    },
    certificates: [...inUse('gateway.tls.cert', pair?.cert), ...inUse('gateway.tls.ca', ca)],
  };
}

function readBoth(
  { cert, key }: { readonly cert?: string; readonly key?: string },
  path: Path,
  use: 'serverAuth' | 'clientAuth',
  source: SecretSource,
): CertificatePair | undefined {
  if (cert === undefined || key === undefined) return undefined;
  const pair = readPair({ cert, key }, path, source);
  const [own] = pair?.cert.certificates ?? [];
  if (own && !isFor(own, use)) {
    source.report.warning([...path, 'cert'], `its extended key usage has no ${use}: the other side will refuse it`);
  }
  return pair;
}

/** SPIFFE-ID, sections 2.1 to 2.3: the trust domain in lower case, and no segment that is empty or dots alone. */
const SPIFFE = /^spiffe:\/\/[a-z0-9._-]{1,255}(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._-]+)+$/;
const LONGEST_SPIFFE = 2048;

function parseServerName(raw: string, report: Report): string {
  const isSpiffe = SPIFFE.test(raw) && raw.length <= LONGEST_SPIFFE;
  if (!isSpiffe && (!isHost(raw) || isWildcard(raw))) {
    report.error(
      ['gateway', 'tls', 'serverName'],
      'expected a name such as gateway.example, an address, or a SPIFFE id such as spiffe://cluster/ns/app/sa/gateway',
    );
  }
  return isSpiffe || isIP(raw) !== 0 ? raw : raw.toLowerCase();
}

function inUse(key: string, file: CertificateFile | undefined): CertificateInUse[] {
  return file ? [{ key, notAfter: file.notAfter }] : [];
}
