/** What a JWT says before anything of it is verified. Pure. */
import type { JWTHeaderParameters } from 'jose';
import { parseUnambiguous } from '../json.ts';

/** Characters. Tokens with the groups of a big company have some thousands; all headers together may have 16 KiB. */
export const LONGEST_JWT = 8 * 1024;

/**
 * @param token any text
 * @returns whether it has the three parts of a JWS in compact serialization (RFC 7515 section 7.1)
 */
export function isJwtShape(token: string): boolean {
  return token.split('.', 4).length === 3;
}

/**
 * Another reader may take what `readUnverified` does not, such as a signature with spare bits set: it must not be asked
 * about a token that an issuer has to judge.
 *
 * @param token of three parts
 * @param issuers each an `iss`
 * @returns whether a careless reader would find one of them in it
 */
export function mayBeOf(token: string, issuers: Iterable<unknown>): boolean {
  const payload = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString();
  let iss: unknown;
  try {
    iss = (JSON.parse(payload) as { readonly iss?: unknown } | null)?.iss;
  } catch {
    // Then only its text can tell.
  }
  return [...issuers].some((issuer) => iss === issuer || payload.includes(JSON.stringify(issuer)));
}

/**
 * @param token anything
 * @returns as far as it takes to choose an issuer and its key: the header, and `iss`. Or what is wrong with the token
 */
export function readUnverified(
  token: string,
): { readonly header: JWTHeaderParameters; readonly iss: unknown } | string {
  if (token.length > LONGEST_JWT) return `a token of more than ${LONGEST_JWT} characters`;
  if (!isJwtShape(token)) return 'no JWT of three parts';
  const parts = token.split('.').map((part) => ({ part, bytes: Buffer.from(part, 'base64url') }));
  // Otherwise one signature would go with many texts.
  if (!parts.every(({ part, bytes }) => bytes.toString('base64url') === part)) return 'a JWT that is not base64url';
  const [header, claims] = parts.map(({ bytes }) => bytes) as [Buffer, Buffer, Buffer];
  const protectedHeader = parseUnambiguous(header);
  if (typeof protectedHeader === 'string') return `a JWT whose header ${protectedHeader}`;
  const payload = parseUnambiguous(claims);
  if (typeof payload === 'string') return `a JWT whose payload ${payload}`;
  return { header: protectedHeader as JWTHeaderParameters, iss: payload.iss };
}
