/** What a certificate is known by: its subject alternative names, and its fingerprint. Pure. */
import type { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { isHost, isWildcard } from './address.ts';

/** Names of two kinds (RFC 5280 section 4.2.1.6); the others name nobody here. */
export interface CertificateNames {
  readonly uris: readonly string[];
  /** Lower case. */
  readonly dnsNames: readonly string[];
}

/** One name as Node writes it: a value with a comma, a quote or a control character is a JSON string. */
const NAME = /([A-Za-z0-9 ]+):("(?:[^"\\]|\\.)*"|[^",\\]*)(?:, (?=.)|$)/y;

/**
 * A name may hold what looks like the next one (CVE-2021-44532): the text is read from its beginning to its end, or not
 * at all.
 *
 * @param text `subjectAltName` of Node's `X509Certificate`
 * @returns the names in it
 * @throws Error where they cannot be read exactly
 */
export function readCertificateNames(text = ''): CertificateNames {
  const uris: string[] = [];
  const dnsNames: string[] = [];
  NAME.lastIndex = 0;
  for (let at = 0; at < text.length; at = NAME.lastIndex) {
    const match = NAME.exec(text);
    if (!match) throw new Error('its subject alternative names cannot be read');
    const [, kind, raw = ''] = match;
    const value = raw.startsWith('"') ? (JSON.parse(raw) as string) : raw;
    if (kind === 'URI') uris.push(value);
    else if (kind === 'DNS') dnsNames.push(value.toLowerCase());
  }
  return { uris, dnsNames };
}

/**
 * @param certificate any
 * @returns SHA-256 of its DER form, 64 lower-case hex digits
 */
export function fingerprintOf({ fingerprint256 }: X509Certificate): string {
  return fingerprint256.replaceAll(':', '').toLowerCase();
}

/**
 * @param certificate of a listener
 * @returns the DNS names and addresses that it is for, as `Host` has them; a wildcard names no host
 */
export function hostNames({ subjectAltName = '' }: X509Certificate): string[] {
  // A value with a comma comes in quotes and with the comma escaped: it is not taken for two.
  return subjectAltName.split(', ').flatMap((entry) => {
    const [, dns, address = ''] = /^(?:DNS:(.+)|IP Address:(.+))$/.exec(entry) ?? [];
    if (dns !== undefined) return isHost(dns) && isIP(dns) === 0 ? [dns.toLowerCase()] : [];
    if (isIP(address) === 0 || isWildcard(address)) return [];
    // Node spells IPv6 out; clients write the short form.
    return [isIP(address) === 6 ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address];
  });
}
