/** From what somebody else says of a token to the caller that it names. */
import type { errors, JWTClaimVerificationOptions } from 'jose';
import { tokenId } from '../config/callers.ts';
import type { Refusal } from '../errors.ts';
import type { Caller, RawToken, Token } from '../types.ts';
import type { Authenticated, Unauthenticated } from './table.ts';
import { invalid, LAST_MS, timeWrong, type TimeCode } from './unauthenticated.ts';

export type Claims = Readonly<Record<string, unknown>>;

/** A token that somebody else has vouched for, and what that rests on. */
export interface VouchedToken extends Token {
  readonly claims: Claims;
  /** By which it was accepted, as one text. */
  readonly rules: string;
  /** The token, to ask again. A function, so that no log has it. */
  readonly raw: () => RawToken;
}

/** Who was named by such a token. */
export interface Vouched<T extends VouchedToken = VouchedToken> extends Authenticated {
  readonly token: T;
}

/** What is known of a token. */
export type Answer<T extends VouchedToken = VouchedToken> = Vouched<T> | Unauthenticated;

/** A token that was asked about. */
export interface Asked {
  readonly raw: RawToken;
  /** Its SHA-256, 64 lower-case hex digits. */
  readonly hash: string;
}

/** By what claims are judged. */
export interface ClaimChecks<T extends VouchedToken> {
  /** Begins the words about a token. */
  readonly about: string;
  /** What jose checks; its `clockTolerance` is in seconds. */
  readonly options: (claims: Claims) => JWTClaimVerificationOptions;
  /** Milliseconds after `exp` in which a token is good. */
  readonly lateness: number;
  readonly rules: string;
  readonly callerFrom: (claims: Claims) => Caller | Refusal;
  /** Adds what such a token has beside. */
  readonly complete: (token: VouchedToken) => T;
}

/** Judges claims that somebody vouches for, as those of a JWT are judged. Does not throw for anything that they are. */
export type ClaimJudge<T extends VouchedToken> = (asked: Asked, claims: Claims, now: number, typ?: string) => Answer<T>;

/**
 * @param checks by what claims are judged
 * @returns what judges them
 */
export async function createClaimJudge<T extends VouchedToken>(checks: ClaimChecks<T>): Promise<ClaimJudge<T>> {
  // jose has its checks of claims for JWTs alone. In one without a signature they are all that is checked.
  const { UnsecuredJWT } = await import('jose/jwt/unsecured');
  const { about, options, lateness, rules, callerFrom, complete } = checks;

  return ({ raw, hash }, claims, now, typ) => {
    try {
      const jwt = `${encode({ alg: 'none', typ })}.${encode(claims)}.`;
      UnsecuredJWT.decode(jwt, { ...options(claims), currentDate: new Date(now) });
    } catch (error) {
      const { code, claim, reason, message } = error as errors.JWTClaimValidationFailed;
      // Issuer and audience are right by then.
      if (code === 'ERR_JWT_EXPIRED') return outOfTime('expired_token');
      if (claim === 'nbf' && reason === 'check_failed') return outOfTime('not_yet_valid_token');
      return invalid(hash, `${about}: ${message}`);
    }
    // jose has found them to be numbers.
    const { exp, nbf, iat } = claims as { readonly exp?: number; readonly nbf?: number; readonly iat?: number };
    if (exp !== undefined && exp * 1_000 > LAST_MS) return invalid(hash, `${about}: its exp is no time`);
    const { clockTolerance = 0 } = options(claims);
    const begins = (Math.max(nbf ?? -Infinity, iat ?? -Infinity) - Number(clockTolerance)) * 1_000;
    const caller = callerFrom(claims);
    if ('kind' in caller) return { ...caller, tokenId: tokenId(hash) };
    const token = complete({
      hash,
      id: tokenId(hash),
      ...(exp !== undefined && { expires: Math.floor(exp * 1_000) + lateness }),
      ...(begins > -Infinity && { notBefore: begins }),
      claims,
      rules,
      raw: () => raw,
    });
    return whileValid({ kind: 'caller', caller, token }, now);

    function outOfTime(code: TimeCode): Unauthenticated {
      const named = callerFrom(claims);
      return 'kind' in named ? { ...named, tokenId: tokenId(hash) } : timeWrong(code, tokenId(hash), named);
    }
  };
}

/** @returns the same, unless its time is not yet, or over */
export function whileValid<T extends VouchedToken>(vouched: Vouched<T>, now: number): Answer<T> {
  const { caller, token } = vouched;
  if (token.notBefore !== undefined && now < token.notBefore) return timeWrong('not_yet_valid_token', token.id, caller);
  if (token.expires !== undefined && now >= token.expires) return timeWrong('expired_token', token.id, caller);
  return vouched;
}

function encode(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url');
}
