/** Callers by the JWT of an issuer (RFC 7519, with the practices of RFC 8725). */
import type { errors, JWTHeaderParameters, JWTVerifyOptions } from 'jose';
import { tokenId } from '../config/callers.ts';
import type { IssuerConfig, TokenHeader } from '../config/issuers.ts';
import { refuse, type Refusal } from '../errors.ts';
import { parseUnambiguous } from '../json.ts';
import type { Caller, RawToken, Token } from '../types.ts';
import { claimChecks, type Passed } from './checks.ts';
import type { KeySet } from './key-set.ts';
import { createKeys, type Keys, type KeysDeps } from './keys.ts';
import type { Authenticated, Unauthenticated } from './table.ts';

/** Characters. Tokens with the groups of a big company have some thousands; all headers together may have 16 KiB. */
export const LONGEST_JWT = 8 * 1024;
const MOST_REMEMBERED = 10_000;
/** What a `Date` can be (ECMA-262 section 21.4.1.1). */
const LAST_MS = 8.64e15;

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

/** What the verifier is made of. */
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
  /**
   * A token that is remembered is answered at once. Whatever a token or a provider is like, it does not reject.
   *
   * @param token anything that `isJwtShape`
   * @param hash its SHA-256, 64 lower-case hex digits
   * @param header where it was shown: each issuer has one place for its tokens
   * @returns the caller; a refusal with a 401 code whose reason quotes nothing of the token; `identity_unavailable`
   *   where it cannot be told
   */
  verify(
    token: RawToken,
    hash: string,
    header: TokenHeader,
    now: number,
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
  /** Ends the fetching of keys that no other verifier shares. */
  close(): void;
}

interface Trusted {
  readonly config: IssuerConfig;
  readonly keys: Keys;
  readonly rules: string;
  readonly options: JWTVerifyOptions;
}

/**
 * @param token any text
 * @returns whether it has the three parts of a JWS in compact serialization (RFC 7515 section 7.1)
 */
export function isJwtShape(token: string): boolean {
  return token.split('.', 4).length === 3;
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
    trusted.set(config.issuer, { config, keys, rules: rulesOf(config), options: optionsOf(config) });
  }
  const remembered = new Map<string, Verified>();

  return {
    headers: new Set(issuers.map(({ header }) => header)),
    verify(token, hash, header, now) {
      const known = remembered.get(hash);
      if (known?.token.header === header) {
        const answer = judge(known.token, now, known.caller);
        if (answer.kind === 'caller' || answer.caller) return answer;
        remembered.delete(hash);
      }
      return verifyAnew(token, hash, header, now);
    },
    find: (token, now) => judge(token, now, remembered.get(token.hash)?.caller),
    share: (config) => trusted.get(config.issuer)?.keys.share(config),
    close() {
      for (const { keys } of trusted.values()) keys.close();
    },
  };

  /** Everything that a verified token rests on may have changed since. */
  function judge(token: VerifiedToken, now: number, known: Caller | undefined): Verified | Unauthenticated {
    const issuer = trusted.get(token.issuer);
    if (issuer?.rules !== token.rules) return invalid(token.hash, 'the rules of its issuer have changed');
    const set = issuer.keys.current(now);
    if (!set) return unavailable(token.hash, issuer);
    if (!set.ids.has(token.keyId)) return invalid(token.hash, 'the key that signed it is gone');
    const caller = known ?? deps.callerFrom(issuer.config, token.claims);
    if ('kind' in caller) return { ...caller, tokenId: token.id };
    const { id, notBefore = -Infinity, expires = -Infinity } = token;
    if (notBefore <= now && now < expires) return { kind: 'caller', caller, token };
    return timeWrong(now < notBefore ? 'not_yet_valid_token' : 'expired_token', id, caller);
  }

  async function verifyAnew(
    token: RawToken,
    hash: string,
    place: TokenHeader,
    now: number,
  ): Promise<Verified | Unauthenticated> {
    const read = readUnverified(token);
    if (typeof read === 'string') return invalid(hash, read);
    deps.passed?.({ check: 'form', ...read });
    const { header, iss } = read;
    const issuer = trusted.get(iss);
    if (!issuer) return invalid(hash, 'its iss is no issuer here');
    const { config, keys, rules, options } = issuer;
    deps.passed?.({ check: 'issuer', issuer: config });
    const about = `a token of ${config.name}: `;
    if (config.header !== place) return invalid(hash, `${about}it was shown in ${place}`);
    if (!config.algorithms.includes(header.alg)) return invalid(hash, `${about}its alg is not allowed`);
    if (header.crit !== undefined) return invalid(hash, `${about}it has crit`);
    if (header.kid !== undefined && typeof header.kid !== 'string') return invalid(hash, `${about}its kid is no text`);
    deps.passed?.({ check: 'header' });

    const set = await keys.load();
    if (!set) return unavailable(hash, issuer);
    deps.passed?.({ check: 'keys' });
    const answer = await verifyWith(set);
    if (answer) return answer;
    const newer = await keys.renew(set);
    if (!newer) return unavailable(hash, issuer);
    const last = newer === set ? undefined : await verifyWith(newer);
    return last ?? invalid(hash, `${about}none of its keys fits`);

    /** `undefined`: it may have been signed by a key that is not among these. */
    async function verifyWith(from: KeySet): Promise<Verified | Unauthenticated | undefined> {
      const candidates = await from.matching(header);
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
        if (code === 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED') continue;
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
      const verified: VerifiedToken = {
        hash,
        id: tokenId(hash),
        expires,
        ...(begins > -Infinity && { notBefore: begins }),
        issuer: config.issuer,
        claims,
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
function rulesOf({ issuer, audience, algorithms, requireTyp, clockTolerance, header }: IssuerConfig): string {
  return JSON.stringify([issuer, audience, algorithms, requireTyp, clockTolerance, header]);
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

/** As far as it takes to choose an issuer and its key: the header, and `iss`. Or what is wrong with the token. */
function readUnverified(token: string): { readonly header: JWTHeaderParameters; readonly iss: unknown } | string {
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

type TimeCode = 'expired_token' | 'not_yet_valid_token';

function timeWrong(code: TimeCode, id: string, caller: Caller): Unauthenticated {
  return { ...refuse(code, { reason: `token ${id} of ${caller.name}` }), tokenId: id, caller };
}

function invalid(hash: string, reason: string): Unauthenticated {
  return { ...refuse('invalid_token', { reason }), tokenId: tokenId(hash) };
}

function unavailable(hash: string, { config }: Trusted): Unauthenticated {
  return { ...refuse('identity_unavailable', { reason: `no keys of ${config.name}` }), tokenId: tokenId(hash) };
}
