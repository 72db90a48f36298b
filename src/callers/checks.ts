/** What a JWT is asked, one after the other, for who wants to be told what became of each. */
import type { errors, JWTHeaderParameters } from 'jose';
import type { IssuerConfig } from '../config/issuers.ts';

/**
 * In their order. `header` is its `alg`, `crit` and `kid`, and where the token was shown; `key`: whether a key fits;
 * `claims`: whether those that must be there are; `time`: `exp` and `nbf`.
 */
export const CHECKS = [
  'form',
  'issuer',
  'header',
  'keys',
  'key',
  'signature',
  'typ',
  'claims',
  'iss',
  'aud',
  'time',
] as const;

export type Check = (typeof CHECKS)[number];

/** A check that a token has passed, with what is known by it. Nothing before `signature` was verified. */
export type Passed =
  | { readonly check: 'form'; readonly header: JWTHeaderParameters; readonly iss: unknown }
  | { readonly check: 'issuer'; readonly issuer: IssuerConfig }
  | { readonly check: 'signature'; readonly claims: Readonly<Record<string, unknown>> }
  | { readonly check: Exclude<Check, 'form' | 'issuer' | 'signature'> };

/** Those of claims that need no clock, in jose's order. */
const CLAIMS = ['typ', 'claims', 'iss', 'aud'] as const;

/**
 * @param failure what jose says is wrong with a token whose signature is right; `undefined`: nothing
 * @returns the checks of claims that were passed before, but for `time`
 */
export function claimChecks(
  failure?: Pick<errors.JWTClaimValidationFailed, 'claim' | 'reason'>,
): readonly (typeof CLAIMS)[number][] {
  const failed = failure?.reason === 'missing' ? 'claims' : failure?.claim;
  const at = CLAIMS.findIndex((check) => check === failed);
  return at < 0 ? CLAIMS : CLAIMS.slice(0, at);
}
