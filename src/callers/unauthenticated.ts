/** The words with which a token is refused. No reason quotes anything of the token. */
import { tokenId } from '../config/callers.ts';
import { refuse } from '../errors.ts';
import type { Caller } from '../types.ts';
import type { Unauthenticated } from './table.ts';

export type TimeCode = 'expired_token' | 'not_yet_valid_token';

/** What a `Date` can be (ECMA-262 section 21.4.1.1). */
export const LAST_MS = 8.64e15;

/** @returns the refusal of a token that would name a caller at another time */
export function timeWrong(code: TimeCode, id: string, caller: Caller): Unauthenticated {
  return { ...refuse(code, { reason: `token ${id} of ${caller.name}` }), tokenId: id, caller };
}

/** @returns the refusal of a token, by its hash */
export function invalid(hash: string, reason: string): Unauthenticated {
  return { ...refuse('invalid_token', { reason }), tokenId: tokenId(hash) };
}

/** @returns the refusal where nobody can tell whether a token is good */
export function unavailable(hash: string, reason: string): Unauthenticated {
  return { ...refuse('identity_unavailable', { reason }), tokenId: tokenId(hash) };
}
