/** Certificates for tests, made anew each time: an authority, and what it signs. */
import 'reflect-metadata';
import { X509Certificate, type webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

const EC = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const HOUR = 3_600_000;
const EKU = { serverAuth: '1.3.6.1.5.5.7.3.1', clientAuth: '1.3.6.1.5.5.7.3.2' } as const;

export interface LeafOptions {
  readonly name?: string;
  readonly dns?: readonly string[];
  readonly ips?: readonly string[];
  readonly uris?: readonly string[];
  /** By default both; an empty list leaves the extension out. */
  readonly usage?: readonly (keyof typeof EKU)[];
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  /** Whether it may sign others. */
  readonly authority?: boolean;
}

/** A certificate with its key, PEM. */
export interface Pair {
  readonly cert: string;
  readonly key: string;
  /** SHA-256 of its DER form, 64 lower-case hex digits. */
  readonly fingerprint: string;
}

export interface Authority extends Pair {
  issue(options?: LeafOptions): Promise<Pair>;
  /** Another authority, signed by this one. */
  intermediate(name: string): Promise<Authority>;
  /** The certificate of another authority of the same name and key, signed by this one. */
  across(other: Authority): Promise<Pair>;
  readonly made: Made;
}

/** A self-signed authority. */
export async function makeAuthority(name = 'test CA', options: LeafOptions = {}): Promise<Authority> {
  return authorityOf(await make({ name, usage: [], authority: true, ...options }));
}

/** A certificate that signs itself and is no authority. */
export async function makeSelfSigned(options: LeafOptions = {}): Promise<Pair> {
  return (await make(options)).pair;
}

interface Made {
  readonly pair: Pair;
  readonly keys: webcrypto.CryptoKeyPair;
  readonly name: string;
}

function authorityOf(made: Made): Authority {
  return {
    ...made.pair,
    made,
    across: async ({ made: { name, keys } }) => (await make({ name, usage: [], authority: true }, made, keys)).pair,
    issue: async (options = {}) => (await make(options, made)).pair,
    intermediate: async (name) => authorityOf(await make({ name, usage: [], authority: true }, made)),
  };
}

async function make(options: LeafOptions, issuer?: Made, given?: webcrypto.CryptoKeyPair): Promise<Made> {
  const keys = given ?? ((await crypto.subtle.generateKey(EC, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair);
  const { name = 'leaf', dns = [], ips = [], uris = [], usage = ['serverAuth', 'clientAuth'] } = options;
  const names = [
    ...dns.map((value) => ({ type: 'dns' as const, value })),
    ...ips.map((value) => ({ type: 'ip' as const, value })),
    ...uris.map((value) => ({ type: 'url' as const, value })),
  ];
  const made = await x509.X509CertificateGenerator.create({
    serialNumber: Buffer.from(crypto.getRandomValues(new Uint8Array(8)))
      .toString('hex')
      .replace(/^./, '1'),
    subject: `CN=${name}`,
    issuer: `CN=${issuer?.name ?? name}`,
    notBefore: options.notBefore ?? new Date(Date.now() - HOUR),
    notAfter: options.notAfter ?? new Date(Date.now() + 24 * HOUR),
    signingAlgorithm: EC,
    publicKey: keys.publicKey,
    signingKey: issuer?.keys.privateKey ?? keys.privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(options.authority ?? false, undefined, true),
      ...(options.authority
        ? [new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true)]
        : []),
      ...(usage.length > 0 ? [new x509.ExtendedKeyUsageExtension(usage.map((one) => EKU[one]))] : []),
      ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
    ],
  });
  const cert = `${made.toString('pem')}\n`;
  const der = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey));
  const key = `-----BEGIN PRIVATE KEY-----\n${der.toString('base64').replace(/(.{64})/g, '$1\n')}\n-----END PRIVATE KEY-----\n`;
  const fingerprint = new X509Certificate(cert).fingerprint256.replaceAll(':', '').toLowerCase();
  return { pair: { cert, key, fingerprint }, keys, name };
}
