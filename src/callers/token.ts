/** Bearer tokens: minting, hashing, and the shape that tells a typo from a wrong token. */
import { hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { RawToken } from '../types.ts';

/** What secret scanners look for. */
const MARK = 'shim_';
const RANDOM_BYTES = 32;
/** 62^43 > 2^256 and 62^6 > 2^32: what is encoded always fits. */
const RANDOM_LENGTH = 43;
const CHECKSUM_LENGTH = 6;

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const SHAPE = new RegExp(`^${MARK}[0-9A-Za-z]{${RANDOM_LENGTH + CHECKSUM_LENGTH}}$`);

/**
 * @param randomBytes a cryptographic source
 * @returns a new token: `shim_`, 256 random bits in base62, and a checksum
 */
export function mintToken(randomBytes: (size: number) => Uint8Array): RawToken {
  const random = BigInt(`0x${Buffer.from(randomBytes(RANDOM_BYTES)).toString('hex')}`);
  const body = MARK + base62(random, RANDOM_LENGTH);
  return `${body}${checksumOf(body)}` as RawToken;
}

/**
 * @param token as the caller sends it
 * @returns SHA-256 of its bytes, 64 lower-case hex digits
 */
export function hashToken(token: RawToken): string {
  return hash('sha256', token);
}

/**
 * @param body all of a token that stands before its checksum
 * @returns CRC-32 of it, in 6 base62 characters
 */
export function checksumOf(body: string): string {
  return base62(BigInt(crc32(body)), CHECKSUM_LENGTH);
}

/**
 * @param token any text
 * @returns whether it begins as minted ones do, so that it is nobody else's
 */
export function isMinted(token: string): boolean {
  return token.startsWith(MARK);
}

/**
 * @param token any text
 * @returns whether it looks minted: mark, length and alphabet
 */
export function isMintedShape(token: string): boolean {
  return SHAPE.test(token);
}

/**
 * @param token a text of the minted shape
 * @returns whether its checksum fits, so that it was at least copied whole
 */
export function hasValidChecksum(token: string): boolean {
  return checksumOf(token.slice(0, -CHECKSUM_LENGTH)) === token.slice(-CHECKSUM_LENGTH);
}

function base62(value: bigint, length: number): string {
  let text = '';
  for (let rest = value; rest > 0n; rest /= 62n) text = BASE62.charAt(Number(rest % 62n)) + text;
  return text.padStart(length, '0');
}
