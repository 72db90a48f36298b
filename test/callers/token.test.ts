import t from 'tap';
import { createHash, randomBytes } from 'node:crypto';
import { checksumOf, hashToken, hasValidChecksum, isMintedShape, mintToken } from '../../src/callers/token.ts';
import type { RawToken } from '../../src/types.ts';

const SHAPE = /^shim_[0-9A-Za-z]{49}$/;
const filled =
  (byte: number) =>
  (size: number): Uint8Array =>
    new Uint8Array(size).fill(byte);

const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const fromBase62 = (text: string): bigint =>
  Array.from(text).reduce((sum, digit) => sum * 62n + BigInt(DIGITS.indexOf(digit)), 0n);

void t.test('known tokens', async (t) => {
  const none = `shim_${'0'.repeat(43)}`;
  t.equal(mintToken(filled(0)), `${none}${checksumOf(none)}`);
  t.equal(fromBase62(mintToken(filled(255)).slice(5, 48)), 2n ** 256n - 1n);
  // The check value of CRC-32's definition.
  t.equal(fromBase62(checksumOf('123456789')), 0xcbf43926n);
});

void t.test('minted tokens have the shape, and all 256 bits', async (t) => {
  const asked: number[] = [];
  const tokens = Array.from({ length: 200 }, () => mintToken((size) => (asked.push(size), randomBytes(size))));
  t.ok(tokens.every((token) => SHAPE.test(token) && isMintedShape(token) && hasValidChecksum(token)));
  t.equal(new Set(tokens).size, tokens.length);
  t.ok(asked.every((size) => size === 32));
});

void t.test('a typo in any place is told', async (t) => {
  const token = mintToken(randomBytes);
  for (let at = 0; at < token.length; at++) {
    const other = token[at] === 'x' ? 'y' : 'x';
    const typo = `${token.slice(0, at)}${other}${token.slice(at + 1)}`;
    t.notOk(isMintedShape(typo) && hasValidChecksum(typo), `character ${at}`);
  }
  const swapped = Array.from(token);
  const pair = swapped.findIndex((digit, at) => at > 4 && digit !== swapped[at + 1]);
  [swapped[pair], swapped[pair + 1]] = [swapped[pair + 1] ?? '', swapped[pair] ?? ''];
  t.notOk(hasValidChecksum(swapped.join('')), 'two neighbours swapped');
});

void t.test('other texts have not the shape', async (t) => {
  const token = mintToken(randomBytes);
  for (const text of [
    '',
    'shim_',
    token.slice(0, -1),
    `${token}0`,
    `${token}\n`,
    ` ${token}`,
    token.replace('shim_', 'SHIM_'),
    token.replace('_', '-'),
  ]) {
    t.notOk(isMintedShape(text), JSON.stringify(text));
  }
});

void t.test('the hash is SHA-256 of the bytes', async (t) => {
  const token = mintToken(randomBytes);
  t.equal(hashToken(token), createHash('sha256').update(token, 'utf8').digest('hex'));
  t.equal(hashToken('abc' as RawToken), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
});
