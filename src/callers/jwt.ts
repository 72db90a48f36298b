/** Callers by the JWT of an issuer (RFC 7519, with the practices of RFC 8725). */
import type { errors, JWTVerifyOptions } from 'jose';
import { tokenId } from '../config/callers.ts';
import type { IssuerConfig, TokenHeader } from '../config/issuers.ts';
import type { Refusal } from '../errors.ts';
import type { Caller, RawToken, Token } from '../types.ts';
import { askUnlessLimited, type Limited } from './answers.ts';
import { claimChecks, type Passed } from './checks.ts';
import type { KeySet } from './key-set.ts';
import { createKeys, type Keys, type KeysDeps, type ProviderState } from './keys.ts';
import type { Authenticated, Unauthenticated } from './table.ts';
import type { ReviewedToken, TokenReview } from './token-review.ts';
import { mayBeOf, readUnverified } from './unverified.ts';
import { invalid, LAST_MS, timeWrong, unavailable, type TimeCode } from './unauthenticated.ts';

const MOST_REMEMBERED = 10_000;
const MOST_TRIED_WITHOUT_KID = 8;

type Json = Readonly<Record<string, unknown>>;
/** A token that was verified, and what that rests on. */
export interface VerifiedToken extends Token {
  /** `iss`. */
  readonly issuer: string;
  readonly claims: Json;
  /** Where it was shown. */
  readonly header: TokenHeader;
  /** Of the key that signed it. */
  readonly keyId: string;
  /** By which it was verified, as one text. */
  readonly rules: string;
}

/** Who was named by a token of an issuer. */
export interface Verified extends Authenticated {
  readonly token: VerifiedToken;
}

export interface JwtDeps extends KeysDeps {
  /** Whom the claims of a verified token name, or why nobody. */
  readonly callerFrom: (issuer: IssuerConfig, claims: Json) => Caller | Refusal;
  /** Is told of each check that a token passes, as it does; a refusal is for the first of the others. */
  readonly passed?: (passed: Passed) => void;
}

/** Times are milliseconds since the epoch. */
export interface JwtVerifier {
  /** Where tokens of these issuers are shown. */
  readonly headers: ReadonlySet<TokenHeader>;
  /** @returns whether a token that `isJwtShape` says to be of one of these issuers; nothing else of it is looked at */
  claims(token: RawToken): boolean;
  /**
   * A token that is remembered is answered at once. Whatever a token or a provider is like, it does not reject.
   *
   * @param token anything that `isJwtShape`
   * @param hash its SHA-256, 64 lower-case hex digits
   * @param header where it was shown: each issuer has one place for its tokens
   * @param limited as of `askUnlessLimited`, for tokens under review
   * @returns the caller; a refusal with a 401 code whose reason quotes nothing of the token; `identity_unavailable`
   *   where it cannot be told
   */
  verify(
    token: RawToken,
    hash: string,
    header: TokenHeader,
    now: number,
    limited?: Limited,
  ): Verified | Unauthenticated | Promise<Verified | Unauthenticated>;
  /**
   * Whom a token names by now, for a request that was let through before, by this verifier or an earlier one.
   *
   * @param token that was verified then
   * @returns as `verify`
   */
  find(token: VerifiedToken, now: number): Verified | Unauthenticated;
  /** @returns the keys of an issuer for a verifier that follows this one, if it has them */
  share(issuer: IssuerConfig): Keys | undefined;
  /** @returns how it stands with each issuer that is asked, for its keys or about its tokens */
  states(): (ProviderState & { readonly name: string })[];
  /** Ends the fetching of keys that no other verifier shares. */
  close(): void;
}

interface Trusted {
  readonly config: IssuerConfig;
  readonly keys: Keys;
  readonly rules: string;
  readonly options: JWTVerifyOptions;
  /** Who is asked in place of the keys. */
  readonly review: TokenReview | undefined;
}

/**
 * @param issuers whose tokens are taken; their `issuer` is unique
 * @param deps what names callers, time, log and names of hosts
 * @param before the verifier that this one follows: keys that it has are not fetched again
 * @returns the verifier; it has forgotten every token
 */
export async function createJwtVerifier(
  issuers: readonly IssuerConfig[],
  deps: JwtDeps,
  before?: JwtVerifier,
): Promise<JwtVerifier> {
  const { jwtVerify } = await import('jose/jwt/verify');
  const trusted = new Map<unknown, Trusted>();
  for (const config of issuers) {
    const keys = before?.share(config) ?? (await createKeys(config, deps));
    const rules = rulesOf(config);
    const options = optionsOf(config);
    const reviews = config.keys.kind === 'tokenReview' ? await import('./token-review.ts') : undefined;
    const review = await reviews?.createTokenReview(config, { ...deps, options, rules });
    trusted.set(config.issuer, { config, keys, rules, options, review });
  }
  const remembered = new Map<string, Verified>();

  return {
    headers: new Set(issuers.map(({ header }) => header)),
    claims(token) {
      const read = readUnverified(token);
      return typeof read === 'string' ? mayBeOf(token, trusted.keys()) : trusted.has(read.iss);
    },
    verify(token, hash, header, now, limited) {
      const known = remembered.get(hash);
      if (known?.token.header === header) {
        const answer = judge(known.token, now, known.caller);
        if (answer.kind === 'caller' || (answer.caller && answer.code !== 'identity_unavailable')) return answer;
        remembered.delete(hash);
      }
      return verifyAnew(token, hash, header, now, limited);
    },
    find(token, now) {
      const review = trusted.get(token.issuer)?.review;
      if (review) return review.find(token as ReviewedToken, now);
      return judge(token, now, remembered.get(token.hash)?.caller);
    },
    share: (config) => trusted.get(config.issuer)?.keys.share(config),
    states: () =>
      [...trusted.values()].flatMap(({ config: { name }, keys, review }) => {
        const state = review?.state() ?? keys.state();
        return state ? [{ name, ...state }] : [];
      }),
    close() {
      for (const { keys, review } of trusted.values()) {
        keys.close();
        review?.close();
      }
    },
  };

  /** Everything that a verified token rests on may have changed since. */
  function judge(token: VerifiedToken, now: number, known: Caller | undefined): Verified | Unauthenticated {
    const issuer = trusted.get(token.issuer);
    if (issuer?.rules !== token.rules) return invalid(token.hash, 'the rules of its issuer have changed');
    const set = issuer.keys.current(now);
    if (set && !set.ids.has(token.keyId)) return invalid(token.hash, 'the key that signed it is gone');
    const caller = known ?? deps.callerFrom(issuer.config, token.claims);
    if ('kind' in caller) return { ...caller, tokenId: token.id };
    const { id, notBefore = -Infinity, expires = -Infinity } = token;
    // Its end holds whether its provider can be asked or not.
    if (now >= expires) return timeWrong('expired_token', id, caller);
    if (now < notBefore) return timeWrong('not_yet_valid_token', id, caller);
    if (set) return { kind: 'caller', caller, token };
    return { ...unavailable(token.hash, `no keys of ${issuer.config.name}`), caller };
  }

  async function verifyAnew(
    token: RawToken,
    hash: string,
    place: TokenHeader,
    now: number,
    limited: Limited,
  ): Promise<Verified | Unauthenticated> {
    const read = readUnverified(token);
    if (typeof read === 'string') return invalid(hash, read);
    deps.passed?.({ check: 'form', ...read });
    const { header, iss } = read;
    const issuer = trusted.get(iss);
    if (!issuer) return invalid(hash, 'its iss is no issuer here');
    const { config, keys, rules, options, review } = issuer;
    deps.passed?.({ check: 'issuer', issuer: config });
    const about = `a token of ${config.name}: `;
    if (config.header !== place) return invalid(hash, `${about}it was shown in ${place}`);
    if (review) return reviewed(await askUnlessLimited(review, token, hash, now, limited));
    if (!config.algorithms.includes(header.alg)) return invalid(hash, `${about}its alg is not allowed`);
    if (header.crit !== undefined) return invalid(hash, `${about}it has crit`);
    if (header.kid !== undefined && typeof header.kid !== 'string') return invalid(hash, `${about}its kid is no text`);
    deps.passed?.({ check: 'header' });

    const set = await keys.load();
    if (!set) return unavailable(hash, `no keys of ${config.name}`);
    deps.passed?.({ check: 'keys' });
    const answer = await verifyWith(set);
    if (answer) return answer;
    const newer = await keys.renew(set);
    if (!newer)
      return unavailable(hash, `none of the keys of ${config.name} fits, and it cannot be asked for newer ones`);
    const last = newer === set ? undefined : await verifyWith(newer);
    return last ?? invalid(hash, `${about}none of its keys fits`);

    /** `undefined`: it may have been signed by a key that is not among these. */
    async function verifyWith(from: KeySet): Promise<Verified | Unauthenticated | undefined> {
      const candidates = await from.matching(header);
      if (header.kid === undefined && candidates.length > MOST_TRIED_WITHOUT_KID) {
        return invalid(hash, `${about}it has no kid, and more than ${MOST_TRIED_WITHOUT_KID} keys could be meant`);
      }
      if (candidates.length > 0) deps.passed?.({ check: 'key' });
      for (const { id, key } of candidates) {
        const checked = await jwtVerify(token, key, { ...options, currentDate: new Date(now) }).catch(
          (error: errors.JWTClaimValidationFailed) => error,
        );
        if (!(checked instanceof Error)) {
          tellClaims(checked.payload);
          return accept(checked.payload, id);
        }
        const { code, message, claim, reason, payload } = checked;
        // Without a code: a key that is too weak, which says nothing of the others.
        if (code === undefined || code === 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED') continue;
        if (payload) tellClaims(payload, checked);
        // Its signature and what comes before the times in jose's order, issuer and audience, are right by then.
        if (code === 'ERR_JWT_EXPIRED') return outOfTime('expired_token', payload);
        if (claim === 'nbf' && reason === 'check_failed') return outOfTime('not_yet_valid_token', payload);
        return invalid(hash, `${about}${message}`);
      }
      // A key that is named does not change; one without a name may have been replaced.
      return candidates.length > 0 && header.kid !== undefined
        ? invalid(hash, `${about}its signature is wrong`)
        : undefined;
    }

    function reviewed(answer: Verified | Unauthenticated): Verified | Unauthenticated {
      deps.passed?.({ check: 'header' });
      if (answer.kind === 'refuse') return answer;
      for (const check of ['keys', 'key', 'time'] as const) deps.passed?.({ check });
      tellClaims((answer as Verified).token.claims);
      return answer;
    }

    function tellClaims(claims: Json, failure?: errors.JWTClaimValidationFailed): void {
      deps.passed?.({ check: 'signature', claims });
      for (const check of claimChecks(failure)) deps.passed?.({ check });
    }

    function outOfTime(code: TimeCode, claims: Json): Unauthenticated {
      const caller = deps.callerFrom(config, claims);
      return 'kind' in caller ? { ...caller, tokenId: tokenId(hash) } : timeWrong(code, tokenId(hash), caller);
    }

    function accept(claims: Json, keyId: string): Verified | Unauthenticated {
      const { clockTolerance } = config;
      // jose has found them to be numbers.
      const { exp, nbf, iat } = claims as { readonly exp: number; readonly nbf?: number; readonly iat?: number };
      if (exp * 1_000 > LAST_MS) return invalid(hash, `${about}its exp is no time`);
      deps.passed?.({ check: 'time' });
      const expires = Math.floor(exp * 1_000) + clockTolerance;
      const begins = Math.max(nbf ?? -Infinity, iat ?? -Infinity) * 1_000 - clockTolerance;
      // A tree of small objects takes many times the memory.
      const text = JSON.stringify(claims);
      const verified: VerifiedToken = {
        hash,
        id: tokenId(hash),
        expires,
        ...(begins > -Infinity && { notBefore: begins }),
        issuer: config.issuer,
        get claims() {
          return JSON.parse(text) as Json;
        },
        header: config.header,
        keyId,
        rules,
      };
      const named = judge(verified, now, undefined);
      if (named.kind === 'caller') remember(named as Verified);
      return named;
    }
  }

  function remember(verified: Verified): void {
    if (remembered.size >= MOST_REMEMBERED) {
      const [oldest = ''] = remembered.keys();
      remembered.delete(oldest);
    }
    remembered.set(verified.token.hash, verified);
  }
}

/** What a token is verified by, beside keys and claims that name the caller: those are asked each time. */
function rulesOf({ issuer, audience, algorithms, requireTyp, clockTolerance, header, keys }: IssuerConfig): string {
  const api = keys.kind === 'tokenReview' ? keys.api : undefined;
  return JSON.stringify([issuer, audience, algorithms, requireTyp, clockTolerance, header, api]);
}

function optionsOf({ issuer, audience, algorithms, requireTyp, clockTolerance }: IssuerConfig): JWTVerifyOptions {
  return {
    algorithms: [...algorithms],
    issuer,
    audience: [...audience],
    clockTolerance: clockTolerance / 1_000,
    requiredClaims: ['exp'],
    ...(requireTyp !== undefined && { typ: requireTyp }),
  };
}
