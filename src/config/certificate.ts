/** Files of certificates and keys in PEM (RFC 7468), looked at as a whole. No message ever holds a part of a key. */
import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { Path } from './report.ts';
import { readSecretFile, type SecretSource } from './secret.ts';
import { formatInstant } from './units.ts';
import { readFaultWords, resolvePath } from './world.ts';

const WRITTEN_BY_ALL = 0o002;

/** Certificates of one file, in its order. */
export interface CertificateFile {
  /** Those certificates and nothing else, PEM. */
  readonly pem: string;
  readonly certificates: readonly X509Certificate[];
  /** When the first of those that are valid now ends, milliseconds since the epoch; infinite for none. */
  readonly notAfter: number;
}

/** A certificate with its intermediates, and its key in PEM. */
export interface CertificatePair {
  readonly cert: CertificateFile;
  readonly key: string;
}

/** What is wrong with a file; the words go after its name. */
class PemError extends Error {}

/**
 * @param written path of a file with the certificates of authorities
 * @param path where the configuration has it
 * @param source where to look
 * @param use whom they are to verify
 * @returns what it holds, or `undefined` when a fault was reported
 */
export function readAuthorities(
  written: string,
  path: Path,
  source: SecretSource,
  use: keyof typeof USES = 'serverAuth',
): CertificateFile | undefined {
  return readChecked(written, path, source, (name) => {
    const certificates = parseCertificates(readCertificateFile(name, path, source));
    const file = fileOf(certificates, source.world.now);
    if (file.notAfter === Infinity) throw new PemError('holds no certificate that is valid now');
    // OpenSSL ends a chain at what signs itself; that may be the certificate of the other side.
    const canVerify = (one: X509Certificate): boolean =>
      isValid(one, source.world.now) &&
      (one.ca || isFor(one, use)) &&
      one.checkIssued(one) &&
      one.verify(one.publicKey);
    if (!certificates.some(canVerify)) {
      throw new PemError(
        'holds no certificate that signs itself, and so verifies nobody: it needs the root of the authority',
      );
    }
    warnOfExpired(name, certificates, path, source);
    if (certificates.reduce((size, { subject }) => size + nameSize(subject), 0) > MOST_NAME_BYTES) {
      throw new PemError('holds too many authorities: their names do not fit into a handshake (64 KiB)');
    }
    return file;
  });
}

/** Less than the 64 KiB that a list of names has in a handshake (RFC 8446 section 4.2.4). */
const MOST_NAME_BYTES = 60_000;

/** At least the bytes of the name in DER: a line for each attribute. */
function nameSize(subject: string | undefined): number {
  // There is none in a certificate that has other names alone.
  return (subject ?? '').split('\n').reduce((size, line) => size + Buffer.byteLength(line) + 14, 8);
}

/**
 * @param written paths of a certificate (its intermediates may follow it) and of its key
 * @param path where the configuration has `cert` and `key`
 * @param source where to look
 * @returns both, or `undefined` when a fault was reported
 */
export function readPair(
  written: { readonly cert: string; readonly key: string },
  path: Path,
  source: SecretSource,
): CertificatePair | undefined {
  const { world } = source;
  const cert = readChecked(written.cert, [...path, 'cert'], source, (name) => {
    const certificates = parseCertificates(readCertificateFile(name, [...path, 'cert'], source));
    const [own] = certificates as [X509Certificate];
    if (isExpired(own, world.now))
      throw new PemError(`holds a certificate that expired at ${formatInstant(endOf(own))}`);
    if (isEarly(own, world.now))
      throw new PemError(`holds a certificate that is not valid before ${formatInstant(startOf(own))}`);
    const file = fileOf(certificates, world.now);
    refuseByOpenssl(file.pem);
    warnOfExpired(name, certificates, [...path, 'cert'], source);
    return file;
  });
  const keyText = readSecretFile(written.key, [...path, 'key'], source);
  if (keyText === undefined) return undefined;
  return readChecked(written.key, [...path, 'key'], source, () => {
    const { pem, key } = parseKey(keyText);
    if (cert === undefined) return undefined;
    if (!(cert.certificates[0] as X509Certificate).checkPrivateKey(key)) {
      throw new PemError(`is not the key of the first certificate in ${written.cert}`);
    }
    return { cert, key: pem };
  });
}

/** RFC 5280 section 4.2.1.12. */
const USES = { serverAuth: '1.3.6.1.5.5.7.3.1', clientAuth: '1.3.6.1.5.5.7.3.2' } as const;

/**
 * @param certificate any
 * @param use which side of TLS it is shown on
 * @returns whether its extended key usage allows that; one without the extension is for everything
 */
export function isFor({ keyUsage }: X509Certificate, use: keyof typeof USES): boolean {
  // Node has the extended one under this name, and `undefined` where there is none.
  const uses = keyUsage as readonly string[] | undefined;
  return uses === undefined || uses.includes(USES[use]);
}

function readChecked<T>(written: string, path: Path, source: SecretSource, check: (name: string) => T): T | undefined {
  const name = resolvePath(written, source.file, source.world.home);
  try {
    return check(name);
  } catch (error) {
    if (!(error instanceof PemError)) throw error;
    source.report.unresolved(path, `${name} ${error.message}`);
    return undefined;
  }
}

/** Nothing in it is a secret; who may change it may say whom this shim believes, or end its TLS. */
function readCertificateFile(name: string, path: Path, { world, report }: SecretSource): string {
  try {
    const text = world.readFile(name);
    if (((world.fileMode?.(name) ?? 0) & WRITTEN_BY_ALL) !== 0) {
      report.warning(path, `${name} can be changed by every user of this machine: chmod 644 it`);
    }
    return text;
  } catch (error) {
    throw new PemError(readFaultWords(error));
  }
}

interface Block {
  readonly label: string;
  readonly text: string;
}

const BEGIN = /^-----BEGIN ([A-Z0-9 ]+)-----$/;

/** Words may stand before a block, as programs write them there (section 5.2); none at the end, where a file is cut. */
function blocksOf(text: string): Block[] {
  if (text.trim() === '') throw new PemError('is empty');
  const blocks: Block[] = [];
  let label: string | undefined;
  let lines: string[] = [];
  let behind = '';
  for (const whole of text.split('\n')) {
    const line = whole.trimEnd();
    const begins = BEGIN.exec(line)?.[1];
    if (label === undefined ? begins === undefined && line.includes('-----') : begins !== undefined) throw damaged();
    if (label === undefined && begins === undefined) {
      behind += line;
      continue;
    }
    label ??= begins as string;
    lines.push(line);
    if (begins !== undefined || !line.includes('-----')) continue;
    if (line !== `-----END ${label}-----`) throw damaged();
    blocks.push({ label, text: `${lines.join('\n')}\n` });
    label = undefined;
    lines = [];
    behind = '';
  }
  if (label !== undefined) throw damaged();
  if (blocks.length === 0) throw new PemError('is not PEM: it has no "-----BEGIN" line');
  if (behind.trim() !== '') {
    throw new PemError('holds something behind its last PEM block: it is damaged, or not yet written');
  }
  return blocks;
}

function damaged(): PemError {
  return new PemError('holds a PEM block that is cut off or damaged');
}

function parseCertificates(text: string): readonly X509Certificate[] {
  const blocks = blocksOf(text);
  if (blocks.some(({ label }) => label.endsWith('PRIVATE KEY'))) {
    throw new PemError('holds a private key: keep it in a file of its own, where nobody else reads it');
  }
  return blocks.map((block, index) => {
    const which = blocks.length === 1 ? 'its PEM block' : `PEM block ${index + 1} of ${blocks.length}`;
    if (block.label !== 'CERTIFICATE') throw new PemError(`should hold certificates alone: ${which} is none`);
    const certificate = read(() => new X509Certificate(block.text));
    if (!certificate || Number.isNaN(endOf(certificate) + startOf(certificate))) {
      throw new PemError(`holds a certificate that cannot be read: ${which}`);
    }
    return certificate;
  });
}

function parseKey(text: string): { readonly pem: string; readonly key: KeyObject } {
  const [block, ...more] = blocksOf(text).filter(({ label }) => label.endsWith('PRIVATE KEY'));
  if (block === undefined) throw new PemError('holds no private key');
  if (more.length > 0) throw new PemError('holds more than one private key');
  if (block.label === 'ENCRYPTED PRIVATE KEY' || block.text.includes('4,ENCRYPTED')) {
    throw new PemError(
      'is encrypted, and nobody is there to type its passphrase: "openssl pkey -in FILE -out PLAIN" writes it plain',
    );
  }
  const key = read(() => createPrivateKey(block.text));
  if (!key) throw new PemError('holds a private key that cannot be read');
  return { pem: block.text, key };
}

/** The library's own words could quote what it found. */
function read<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch {
    return undefined;
  }
}

/** What only the library knows: keys and digests too weak for its security level, and kinds of keys that TLS has not. */
function refuseByOpenssl(cert: string): void {
  try {
    createSecureContext({ cert });
  } catch (error) {
    const { reason } = error as { readonly reason?: unknown };
    const words = typeof reason === 'string' ? (WORDS.get(reason) ?? reason) : 'it cannot be used for TLS';
    throw new PemError(`is refused by OpenSSL: ${words}`);
  }
}

const WORDS: ReadonlyMap<string, string> = new Map([
  ['ee key too small', 'the key is too short; RSA needs 2048 bits'],
  ['ca key too small', 'the key of an authority is too short; RSA needs 2048 bits'],
  ['ca md too weak', 'a certificate is signed with a digest that is too weak, such as SHA-1'],
]);

function fileOf(certificates: readonly X509Certificate[], now: number): CertificateFile {
  const valid = certificates.filter((one) => isValid(one, now));
  return { pem: pemOf(certificates), certificates, notAfter: Math.min(...valid.map(endOf)) };
}

function pemOf(certificates: readonly X509Certificate[]): string {
  return certificates.map(String).join('');
}

/** Of the text: for a time that is none, `validToDate` of Node 24 is whatever the memory holds, and the text is no date. */
function endOf({ validTo }: X509Certificate): number {
  return Date.parse(validTo);
}

function startOf({ validFrom }: X509Certificate): number {
  return Date.parse(validFrom);
}

function isValid(certificate: X509Certificate, now: number): boolean {
  return !isExpired(certificate, now) && !isEarly(certificate, now);
}

/** As OpenSSL has it: the very end is over. */
function isExpired(certificate: X509Certificate, now: number): boolean {
  return endOf(certificate) <= now;
}

function isEarly(certificate: X509Certificate, now: number): boolean {
  return startOf(certificate) > now;
}

function warnOfExpired(
  name: string,
  certificates: readonly X509Certificate[],
  path: Path,
  { world, report }: SecretSource,
): void {
  const expired = certificates.filter((certificate) => isExpired(certificate, world.now)).length;
  if (expired > 0) report.warning(path, `${name}: ${expired} of its ${certificates.length} certificates are expired`);
}
