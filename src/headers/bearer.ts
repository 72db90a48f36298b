import type { RawToken } from '../types.ts';

/** b64token of RFC 6750 section 2.1, in the lengths that a token may have here. */
const B64TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/;
const MIN_LENGTH = 24;
const MAX_LENGTH = 512;

/**
 * Reads the credential of an `Authorization` header (RFC 6750 section 2.1; the scheme in any case,
 * RFC 9110 section 11.1; exactly one space, nothing guessed).
 *
 * @param authorization the field value, or `undefined` where the header is absent
 * @returns the token; `missing` without a bearer credential (another scheme counts as none, RFC 6750
 *   section 3.1); `malformed` for a bearer credential that is no b64token of 24 to 512 characters
 */
export function readBearer(authorization: string | undefined): { token: RawToken } | 'missing' | 'malformed' {
  if (authorization === undefined || !/^bearer(?![^ \t,])/i.test(authorization)) return 'missing';
  const token = authorization.slice('bearer '.length);
  if (authorization[6] !== ' ' || token.length < MIN_LENGTH || token.length > MAX_LENGTH || !B64TOKEN.test(token)) {
    return 'malformed';
  }
  return { token: token as RawToken };
}
