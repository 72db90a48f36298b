/** Who calls: the table of bearer tokens, by hash. */
import { timingSafeEqual } from 'node:crypto';
import { refuse, type Refusal } from '../errors.ts';
import { tokenId } from '../config/callers.ts';
import { readBearer } from '../headers/bearer.ts';
import type { Caller, Token } from '../types.ts';
import { hasValidChecksum, hashToken, isMintedShape } from './token.ts';

/** The caller that a credential names, and the credential. */
export interface Authenticated {
  readonly kind: 'caller';
  readonly caller: Caller;
  readonly token: Token;
}

/**
 * Answers who calls, from the value of `Authorization`.
 *
 * @param authorization the field value, or `undefined` without the header
 * @param now milliseconds since the epoch
 * @returns the caller, or a refusal with one of the 401 codes
 */
export type Authenticate = (authorization: string | undefined, now: number) => Authenticated | Unauthenticated;

/** Why nobody is named. */
export type Unauthenticated = Refusal & {
  /** Id of the token that was shown, known or not; for the count of failed logins. */
  readonly tokenId?: string;
  /** Whose token it is, where only its time is wrong. */
  readonly caller?: Caller;
};

/** The callers, by what they show. */
export interface TokenTable {
  readonly authenticate: Authenticate;
  /**
   * Whose token it is by now, for a request that was let through with it before.
   *
   * @param hash SHA-256 of the token, 64 lower-case hex digits
   * @param now milliseconds since the epoch
   */
  readonly find: (hash: string, now: number) => Authenticated | Unauthenticated;
}

interface Entry {
  readonly caller: Caller;
  readonly token: Token;
  readonly digest: Buffer;
}

/**
 * Tokens are found by their SHA-256, so that the search tells nothing about a token, and the digest is
 * confirmed in constant time; an unknown token costs the same work (CVE-2026-32595).
 *
 * @param callers every caller with their tokens; hashes are unique
 * @returns the table
 */
export function createTokenTable(callers: readonly Caller[]): TokenTable {
  const byHash = new Map<string, Entry>();
  for (const caller of callers) {
    for (const token of caller.tokens)
      byHash.set(token.hash, { caller, token, digest: Buffer.from(token.hash, 'hex') });
  }
  const nobody = Buffer.alloc(32);

  return {
    authenticate(authorization, now) {
      const bearer = readBearer(authorization);
      if (bearer === 'missing') return refuse('missing_token');
      if (bearer === 'malformed') return refuse('invalid_token', { reason: 'not a b64token of 24 to 512 characters' });

      const hash = hashToken(bearer.token);
      const entry = byHash.get(hash);
      const confirmed = timingSafeEqual(Buffer.from(hash, 'hex'), entry?.digest ?? nobody);
      if (!entry || !confirmed) {
        const typo = isMintedShape(bearer.token) && !hasValidChecksum(bearer.token);
        const reason = typo ? 'checksum mismatch: mistyped or cut' : 'unknown token';
        return { ...refuse('invalid_token', { reason }), tokenId: tokenId(hash) };
      }
      return whileValid(entry, now);
    },
    find(hash, now) {
      const entry = byHash.get(hash);
      return entry ? whileValid(entry, now) : refuse('invalid_token', { reason: 'the token was revoked' });
    },
  };
}

function whileValid({ caller, token }: Entry, now: number): Authenticated | Unauthenticated {
  const about = { reason: `token ${token.id} of ${caller.name}` };
  if (token.notBefore !== undefined && now < token.notBefore)
    return { ...refuse('not_yet_valid_token', about), tokenId: token.id, caller };
  if (token.expires !== undefined && now >= token.expires)
    return { ...refuse('expired_token', about), tokenId: token.id, caller };
  return { kind: 'caller', caller, token };
}
