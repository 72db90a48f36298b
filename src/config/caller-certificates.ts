/** `callers[].certificates` and `callers[].onBehalf`: callers that are known by a client certificate. */
import { isIP } from 'node:net';
import type { CertificateName } from '../types.ts';
import { isHost } from './address.ts';
import type { Path, Report } from './report.ts';
import type { RawConfig } from './schema.ts';
import type { Sound } from './shape.ts';

type RawCaller = NonNullable<NonNullable<Sound<RawConfig>['callers']>[number]>;
type RawCertificate = NonNullable<NonNullable<RawCaller['certificates']>[number]>;

/**
 * @param raw `certificates:` of a caller
 * @param path where they stand
 * @param report gets what is wrong
 * @returns what the caller is known by
 */
export function buildCertificates(
  raw: NonNullable<RawCaller['certificates']>,
  path: Path,
  report: Report,
): CertificateName[] {
  return raw.flatMap((certificate, index) => {
    const name = certificate && nameOf(certificate);
    if (name && 'dns' in name && (!isHost(name.dns) || isIP(name.dns) !== 0)) {
      report.error([...path, index, 'dns'], 'expected a DNS name such as web.example, without wildcard');
    }
    return name ?? [];
  });
}

function nameOf({ uri, dns, fingerprint }: RawCertificate): CertificateName | undefined {
  if (uri !== undefined) return { uri };
  if (dns !== undefined) return { dns: dns.toLowerCase() };
  return fingerprint === undefined ? undefined : { fingerprint: parseFingerprint(fingerprint) };
}

/**
 * @param written `sha256:` and hex digits of either case, with or without colons
 * @returns 64 lower-case hex digits
 */
export function parseFingerprint(written: string): string {
  return written
    .replace(/^sha256:/, '')
    .replaceAll(':', '')
    .toLowerCase();
}

/**
 * A caller that is another shim names callers of its own, so that nothing of it may be weaker than what they had.
 *
 * @param raw a caller with `onBehalf`
 * @param path where it stands
 * @param report gets what is wrong
 */
export function checkOnBehalf(raw: RawCaller, path: Path, report: Report): void {
  const fault = (key: keyof RawCaller, message: string): void => report.error([...path, key], message, 'key');
  if (!raw.certificates?.length) {
    fault('onBehalf', 'a shim that calls for others is known by its certificate: it needs certificates');
  }
  if (raw.tokens !== undefined) {
    fault('tokens', 'a caller with onBehalf has no tokens: whoever held one could name any caller');
  }
  if (raw.onForbiddenHeader === 'drop') {
    fault('onForbiddenHeader', 'with onBehalf it is refuse: a header that is dropped could be the one that narrows');
  }
  if (raw.unsafeReportOnly !== undefined) {
    fault(
      'unsafeReportOnly',
      'a caller with onBehalf cannot have it: it would lift the scopes of every caller behind it',
    );
  }
  if (raw.websocket === 'tunnel') {
    fault('websocket', 'a caller with onBehalf cannot have a tunnel: the shim cannot tell its callers apart in there');
  }
}

/**
 * @param raw every caller
 * @param report gets each certificate that names a second caller, or one twice
 */
export function refuseSharedCertificates(raw: readonly (RawCaller | undefined)[], report: Report): void {
  const owners = new Map<string, string>();
  for (const [index, caller] of raw.entries()) {
    for (const [position, certificate] of (caller?.certificates ?? []).entries()) {
      const name = certificate && nameOf(certificate);
      if (!name) continue;
      const key = JSON.stringify(name);
      const owner = owners.get(key);
      if (owner !== undefined) {
        report.error(['callers', index, 'certificates', position], `this certificate is listed already, by ${owner}`);
      }
      owners.set(key, owner ?? `"${caller?.name ?? `callers[${index}]`}"`);
    }
  }
}
