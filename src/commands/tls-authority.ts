/** A certificate authority for development, and what it signs: keys on P-256, extensions as RFC 5280 section 4.2 has them. */
// The library that encodes certificates needs it when it is loaded.
import 'reflect-metadata';
import { createPrivateKey, KeyObject, X509Certificate, type webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

const EC = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY = 86_400_000;
/** Clocks of two machines differ a little. */
const BEFORE = 5 * 60_000;
/** Apple's limit for a server's certificate; the authority lives as long, so that pairs can be made anew meanwhile. */
export const MOST_DAYS = 825;
/** `ub-common-name` of RFC 5280 appendix A. */
const LONGEST_COMMON_NAME = 64;

/** What the files of an authority hold cannot sign. */
export class AuthorityError extends Error {}

/** A certificate with its key, both PEM. */
export interface Pair {
  readonly cert: string;
  readonly key: string;
}

/** What is signed. */
export interface Leaf {
  /** For people: clients and servers are known by `names` alone. */
  readonly commonName: string;
  /** Subject alternative names (RFC 5280 section 4.2.1.6). */
  readonly names: readonly { readonly type: 'dns' | 'ip' | 'url'; readonly value: string }[];
  readonly usage: 'serverAuth' | 'clientAuth';
  /** Whole days; the certificate ends with its authority at the latest. */
  readonly days: number;
}

/** An authority that can sign. */
export interface Authority {
  readonly pair: Pair;
  readonly certificate: x509.X509Certificate;
  readonly privateKey: webcrypto.CryptoKey;
}

/**
 * @param name by which people tell it from others
 * @param now milliseconds since the epoch
 * @returns a new authority, which signs itself, and no other authority
 */
export async function createAuthority(name: string, now: number): Promise<Authority> {
  const { publicKey, privateKey } = await makeKeys();
  const subject = [{ CN: [name] }];
  const certificate = await x509.X509CertificateGenerator.create({
    subject,
    issuer: subject,
    ...lifetime(now, MOST_DAYS),
    signingAlgorithm: EC,
    publicKey,
    signingKey: privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(publicKey),
    ],
  });
  return { pair: toPem(certificate, privateKey), certificate, privateKey };
}

/**
 * @param pair of an authority that was made before
 * @param now milliseconds since the epoch
 * @returns the authority
 * @throws AuthorityError for what is no such pair, or has ended
 */
export async function openAuthority(pair: Pair, now: number): Promise<Authority> {
  let known: X509Certificate;
  let key: KeyObject;
  try {
    known = new X509Certificate(pair.cert);
    key = createPrivateKey(pair.key);
  } catch {
    // The error is not kept as a cause: its words can quote the key.
    throw new AuthorityError('cannot be read as a certificate and its unencrypted key');
  }
  if (!known.ca) throw new AuthorityError('is no authority');
  if (!known.checkPrivateKey(key)) throw new AuthorityError('has the key of another certificate');
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw new AuthorityError('has no P-256 key');
  if (now >= known.validToDate.getTime()) throw new AuthorityError(`has ended on ${known.validToDate.toISOString()}`);
  const privateKey = key.toCryptoKey(EC, true, ['sign']);
  return { pair, certificate: new x509.X509Certificate(known.raw), privateKey };
}

/**
 * @param authority signs
 * @param leaf what
 * @param now milliseconds since the epoch
 * @returns a new certificate, with a new key
 */
export async function issue(
  { certificate: issuer, privateKey: signingKey }: Authority,
  leaf: Leaf,
  now: number,
): Promise<Pair> {
  const { publicKey, privateKey } = await makeKeys();
  const { notBefore, notAfter } = lifetime(now, leaf.days);
  const certificate = await x509.X509CertificateGenerator.create({
    subject: [{ CN: [leaf.commonName.slice(0, LONGEST_COMMON_NAME)] }],
    issuer: issuer.subjectName,
    notBefore,
    notAfter: notAfter < issuer.notAfter ? notAfter : issuer.notAfter,
    signingAlgorithm: EC,
    publicKey,
    signingKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage[leaf.usage]]),
      new x509.SubjectAlternativeNameExtension([...leaf.names]),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
  return toPem(certificate, privateKey);
}

async function makeKeys(): Promise<webcrypto.CryptoKeyPair> {
  return (await crypto.subtle.generateKey(EC, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
}

function lifetime(now: number, days: number): { readonly notBefore: Date; readonly notAfter: Date } {
  return { notBefore: new Date(now - BEFORE), notAfter: new Date(now + days * DAY) };
}

function toPem(certificate: x509.X509Certificate, privateKey: webcrypto.CryptoKey): Pair {
  const key = KeyObject.from(privateKey).export({ type: 'pkcs8', format: 'pem' });
  return { cert: `${certificate.toString('pem')}\n`, key: String(key) };
}
