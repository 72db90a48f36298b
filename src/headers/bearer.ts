import type { RawToken } from '../types.ts';

/** b64token of RFC 6750 section 2.1. */
const B64TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/;
const MIN_LENGTH = 24;
/** Characters of a token that is looked up; those of an issuer may be longer. */
export const LONGEST_TOKEN = 512;

/**
 * Reads the credential of an `Authorization` header (RFC 6750 section 2.1; the scheme in any case,
 * RFC 9110 section 11.1; exactly one space, nothing guessed).
 *
 * @param authorization the field value, or `undefined` where the header is absent
 * @param longest characters that a token may have
 * @returns the token; `missing` without a bearer credential (another scheme counts as none, RFC 6750
 *   section 3.1); `malformed` for a bearer credential that is no b64token of 24 to `longest` characters
 */
export function readBearer(
  authorization: string | undefined,
  longest = LONGEST_TOKEN,
): { token: RawToken } | 'missing' | 'malformed' {
  if (authorization === undefined || !/^bearer(?![^ \t,])/i.test(authorization)) return 'missing';
  const token = authorization.slice('bearer '.length);
  if (authorization[6] !== ' ' || token.length < MIN_LENGTH || token.length > longest || !B64TOKEN.test(token)) {
    return 'malformed';
  }
  return { token: token as RawToken };
}
