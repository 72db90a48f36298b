/** Client certificates: what one says, and whether it is still trusted. */
import { X509Certificate } from 'node:crypto';
import { fingerprintOf, readCertificateNames } from '../config/certificate-names.ts';
import type { ClientCertificate } from '../types.ts';

const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';
/** Hex digits of a fingerprint that name a certificate in logs. */
const ID_DIGITS = 12;

const PEM = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/**
 * @param leaf the certificate of the connection, its signatures verified
 * @param rest the other certificates that came with it
 * @param verifiedBy the CA bundle, PEM, that it was verified against; `undefined` where that is not sure
 * @returns what it says
 * @throws Error where its names or its time cannot be read exactly
 */
export function readClientCertificate(
  leaf: X509Certificate,
  rest: readonly X509Certificate[],
  verifiedBy: string | undefined,
): ClientCertificate {
  // Of the texts: for a time that is none, Node's dates are whatever the memory holds.
  const [notBefore, notAfter] = [Date.parse(leaf.validFrom), Date.parse(leaf.validTo)];
  if (Number.isNaN(notBefore + notAfter)) throw new Error('its time cannot be read');
  const fingerprint = fingerprintOf(leaf);
  return {
    fingerprint,
    id: `cert:${fingerprint.slice(0, ID_DIGITS)}`,
    ...readCertificateNames(leaf.subjectAltName),
    // Of extended usages, in spite of its name; without the extension there are none.
    clientAuth: ((leaf.keyUsage as readonly string[] | undefined) ?? []).includes(CLIENT_AUTH),
    notBefore,
    notAfter,
    chain: [leaf, ...rest],
    verifiedBy,
  };
}

/**
 * Whether a certificate is trusted now.
 *
 * @param certificate of a connection, verified at its handshake
 * @param now milliseconds since the epoch
 */
export type ClientTrust = (certificate: ClientCertificate, now: number) => boolean;

/**
 * Answers for connections that were verified under an earlier CA bundle. One that this bundle has verified, or an
 * earlier one of which it has every authority, is trusted; of others only the path that OpenSSL had verified, where its
 * authority is still in the bundle. No other path is looked for: that would take all of OpenSSL's rules.
 *
 * @param ca the bundle, PEM; without one nobody is trusted
 * @returns the function that answers. It is always "no" out of the certificate's own time.
 */
export function createClientTrust(ca: string | undefined): ClientTrust {
  if (ca === undefined) return () => false;
  /** Until when the signers of a certificate are valid; 0 where they do not lead to the bundle. */
  const known = new WeakMap<ClientCertificate, number>();
  const contained = new Map<string, boolean>();
  let bundle: ReadonlyMap<string, X509Certificate> | undefined;

  return (certificate, now) => {
    if (now < certificate.notBefore || now >= certificate.notAfter) return false;
    const { verifiedBy } = certificate;
    if (verifiedBy === ca || (verifiedBy !== undefined && contains(verifiedBy))) return true;
    let until = known.get(certificate);
    if (until === undefined) {
      bundle ??= readBundle(ca);
      until = follow(certificate.chain, verifiedBy === undefined ? bundle : readBundle(verifiedBy), bundle, now);
      known.set(certificate, until);
    }
    return now < until;
  };

  function contains(earlier: string): boolean {
    let answer = contained.get(earlier);
    if (answer === undefined) {
      const now = (bundle ??= readBundle(ca as string));
      const names = [...readBundle(earlier).keys()];
      answer = names.length > 0 && names.every((name) => now.has(name));
      contained.set(earlier, answer);
    }
    return answer;
  }
}

/** By fingerprint. */
function readBundle(ca: string): ReadonlyMap<string, X509Certificate> {
  const certificates = (ca.match(PEM) ?? []).map((pem) => new X509Certificate(pem));
  return new Map(certificates.map((certificate) => [certificate.fingerprint256, certificate]));
}

/**
 * From signer to signer, up to a self-signed authority of the bundle: as OpenSSL does, for which an intermediate alone
 * is no root. Where there are two signers, such as one that is signed across, it is not known which path was verified.
 */
function follow(
  chain: readonly X509Certificate[],
  earlier: ReadonlyMap<string, X509Certificate>,
  bundle: ReadonlyMap<string, X509Certificate>,
  now: number,
): number {
  const [leaf, ...rest] = chain;
  const left = new Map([...earlier, ...rest.map((one) => [one.fingerprint256, one] as const)]);
  let until = Infinity;
  for (let at = leaf; at;) {
    if (signs(at, at)) return bundle.has(at.fingerprint256) ? until : 0;
    const signed = at;
    const [signer, another] = [...left.values()].filter((one) => one.ca && signs(one, signed));
    if (!signer || another) return 0;
    const notAfter = Date.parse(signer.validTo);
    if (!(Date.parse(signer.validFrom) <= now) || !(now < notAfter)) return 0;
    until = Math.min(until, notAfter);
    left.delete(signer.fingerprint256);
    at = signer;
  }
  return 0;
}

function signs(signer: X509Certificate, signed: X509Certificate): boolean {
  return signed.checkIssued(signer) && signed.verify(signer.publicKey);
}
