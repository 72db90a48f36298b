/** Who calls: the table of bearer tokens, by hash, and of client certificates, by name; and the tokens of issuers. */
import { timingSafeEqual } from 'node:crypto';
import { refuse, type ErrorCode, type Refusal } from '../errors.ts';
import { tokenId } from '../config/callers.ts';
import { LONGEST_TOKEN, readBearer } from '../headers/bearer.ts';
import type { Caller, ClientCertificate, RawToken, Token } from '../types.ts';
import { askUnlessLimited, type Limited } from './answers.ts';
import type { IntrospectedToken, Introspector } from './introspection.ts';
import type { JwtVerifier, VerifiedToken } from './jwt.ts';
import { isJwtShape, LONGEST_JWT } from './unverified.ts';
import { hasValidChecksum, hashToken, isMinted, isMintedShape } from './token.ts';

/** What a caller shows: the values of two headers, and the certificate of its connection. */
export interface Shown {
  readonly authorization: string | undefined;
  /** `Cf-Access-Jwt-Assertion`. */
  readonly assertion?: string | undefined;
  readonly certificate?: ClientCertificate | undefined;
  /** Whether nobody is to be asked for this peer, whose logins failed too often. */
  readonly limited?: Limited;
}

/** Who verifies tokens that are not in the table. */
export interface Verifiers {
  readonly jwts?: JwtVerifier | undefined;
  readonly introspector?: Introspector | undefined;
}

/** The caller that was named, and the token if there was one; an assertion beside a bearer stands apart. */
export interface Authenticated {
  readonly kind: 'caller';
  readonly caller: Caller;
  readonly token: Token | undefined;
  readonly assertion?: VerifiedToken;
}

/** Why nobody is named. */
export type Unauthenticated = Refusal & {
  /** Id of the token that was shown, known or not; for the count of failed logins. */
  readonly tokenId?: string | undefined;
  /** Whether somebody was asked about it, and did not answer. */
  readonly unanswered?: true;
  /** Who would be named, where only the time of a credential is wrong. */
  readonly caller?: Caller;
};

/** Who is named, or why nobody is. */
export type Answer = Authenticated | Unauthenticated;

/** The callers, by what they show. Times are milliseconds since the epoch. */
export interface CallerTable {
  /**
   * @returns the caller, or a refusal with one of the 401 codes, or `identity_unavailable`; at once, but for the token
   *   of an issuer that was not seen before. It does not reject
   */
  readonly authenticate: (shown: Shown, now: number) => Answer | Promise<Answer>;
  /**
   * Who is named by now, for a request that was let through before.
   *
   * @param before the tokens and the certificate of then
   */
  readonly find: (before: Credentials, now: number) => Answer;
}

/** What a request was let through with. */
export interface Credentials {
  readonly token?: Pick<Token, 'hash'> | undefined;
  readonly assertion?: VerifiedToken | undefined;
  readonly certificate?: ClientCertificate | undefined;
}

/** How certificates count. */
export interface CertificateRules {
  /** `listen.credentials` */
  readonly credentials: 'all' | 'bearer';
  /** Whether a certificate that was verified once is still trusted. */
  readonly trusts: (certificate: ClientCertificate, now: number) => boolean;
  /** Whether nobody calls without one; those whose connection was opened before that was so have none. */
  readonly required: boolean;
}

/** For where no connection shows any. */
const NO_CERTIFICATES: CertificateRules = { credentials: 'all', trusts: () => false, required: false };

interface Entry {
  readonly caller: Caller;
  readonly token: Token;
  readonly digest: Buffer;
}

/**
 * Tokens are found by their SHA-256, so that the search tells nothing about a token, and the digest is
 * confirmed in constant time; an unknown token costs the same work (CVE-2026-32595). Certificates are found by their
 * subject alternative names, byte for byte but for the case of DNS names, or by their own SHA-256.
 *
 * @param callers every caller with their tokens and certificates; hashes and names are unique
 * @param rules how certificates count
 * @param verifiers who verifies the tokens of others, as far as there are any
 * @returns the table
 */
export function createCallerTable(
  callers: readonly Caller[],
  { credentials, trusts, required }: CertificateRules = NO_CERTIFICATES,
  { jwts, introspector }: Verifiers = {},
): CallerTable {
  const byHash = new Map<string, Entry>();
  const byCertificate = new Map<string, Caller>();
  for (const caller of callers) {
    for (const token of caller.tokens)
      byHash.set(token.hash, { caller, token, digest: Buffer.from(token.hash, 'hex') });
    for (const name of caller.certificates ?? []) {
      const [[kind, value]] = Object.entries(name) as [[string, string]];
      byCertificate.set(`${kind}:${value}`, caller);
    }
  }
  const nobody = Buffer.alloc(32);
  const longest = (jwts ?? introspector) ? LONGEST_JWT : LONGEST_TOKEN;

  return {
    authenticate({ authorization, assertion, certificate, limited }, now) {
      const bearer = readBearer(authorization, longest);
      if (bearer === 'malformed') {
        return refuse('invalid_token', { reason: `not a b64token of 24 to ${longest} characters` });
      }
      const named = bearer === 'missing' ? undefined : lookUp(bearer.token, now, limited);
      const asserted = assertion === undefined ? undefined : verifyAssertion(assertion as RawToken, now, limited);
      if (!(named instanceof Promise) && !(asserted instanceof Promise)) {
        return judge(beside(named, asserted), certificate, now);
      }
      return Promise.all([named, asserted]).then(([one, other]) => judge(beside(one, other), certificate, now));
    },
    find({ token, assertion, certificate }, now) {
      return judge(beside(token && findToken(token, now), assertion && findIssued(assertion, now)), certificate, now);
    },
  };

  /** The first table that a token belongs to decides about it. */
  function lookUp(token: RawToken, now: number, limited: Limited): Answer | Promise<Answer> {
    const hash = hashToken(token);
    const entry = byHash.get(hash);
    const confirmed = timingSafeEqual(Buffer.from(hash, 'hex'), entry?.digest ?? nobody);
    if (entry && confirmed) return whileValid(entry, now);
    if (!isMinted(token)) {
      if (jwts && isJwtShape(token) && !(introspector && !jwts.claims(token))) {
        return jwts.verify(token, hash, 'authorization', now, limited);
      }
      if (introspector) return askUnlessLimited(introspector, token, hash, now, limited);
    }
    const typo = isMintedShape(token) && !hasValidChecksum(token);
    const reason = typo ? 'checksum mismatch: mistyped or cut' : 'unknown token';
    return { ...refuse('invalid_token', { reason }), tokenId: tokenId(hash) };
  }

  /** Without an issuer whose tokens come so, it is a header like any other. */
  function verifyAssertion(assertion: RawToken, now: number, limited: Limited): Answer | undefined | Promise<Answer> {
    if (!jwts?.headers.has('cf-access-jwt-assertion')) return undefined;
    const verified = jwts.verify(assertion, hashToken(assertion), 'cf-access-jwt-assertion', now, limited);
    return verified instanceof Promise ? verified.then(ofAssertion) : ofAssertion(verified);
  }

  function findToken(token: Pick<Token, 'hash'>, now: number): Answer {
    if ('issuer' in token) return findIssued(token as VerifiedToken, now);
    if ('introspection' in token) {
      return introspector?.find(token as IntrospectedToken, now) ?? refuse('invalid_token', { reason: NOBODY_ASKED });
    }
    const entry = byHash.get(token.hash);
    return entry ? whileValid(entry, now) : refuse('invalid_token', { reason: 'the token was revoked' });
  }

  function findIssued(token: VerifiedToken, now: number): Answer {
    return jwts?.find(token, now) ?? refuse('invalid_token', { reason: 'no issuer is trusted any more' });
  }

  /** Both must be valid, and name one caller unless the bearer alone does. */
  function beside(bearer: Answer | undefined, asserted: Answer | undefined): Answer | undefined {
    if (!bearer || !asserted) return bearer ?? asserted;
    if (bearer.kind === 'refuse') {
      // One whose time alone is wrong may be outlived by what runs, for which the other still has to hold.
      return bearer.caller && asserted.kind === 'refuse' && !asserted.caller ? asserted : bearer;
    }
    // Where its time alone is wrong, it is still the bearer that names the caller.
    if (asserted.kind === 'refuse') return asserted.caller ? { ...asserted, caller: bearer.caller } : asserted;
    if (credentials !== 'bearer' && bearer.caller.name !== asserted.caller.name) {
      const names = `${asserted.caller.name}, and the token ${bearer.caller.name}`;
      return refuse('invalid_token', { message: TWO_CALLERS, reason: `the assertion names ${names}` });
    }
    return { ...bearer, assertion: asserted.token as VerifiedToken };
  }

  /** A certificate must be valid whoever is named; where both a bearer and it name somebody, it must be the same. */
  function judge(bearer: Answer | undefined, certificate: ClientCertificate | undefined, now: number): Answer {
    if (certificate === undefined) {
      if (required) return refuse('invalid_certificate', { reason: 'a client certificate is required by now' });
      return bearer ?? refuse('missing_token');
    }
    const { notBefore, notAfter } = certificate;
    // Its own time is told apart: a stream may be let outlive it.
    const within = Math.min(Math.max(now, notBefore), notAfter - 1);
    if (!trusts(certificate, within)) return wrong(certificate, 'is not trusted any more');
    const named = name(bearer, certificate);
    // One whose time alone is wrong may be outlived by what runs, for which the certificate still has to hold.
    if (within === now || (named.kind === 'refuse' && named.caller === undefined)) return named;
    const { reason } = wrong(certificate, `is out of its time: ${named.caller?.name}`);
    return { ...refuse('expired_certificate', reason === undefined ? {} : { reason }), caller: named.caller as Caller };
  }

  function name(bearer: Answer | undefined, certificate: ClientCertificate): Answer {
    if (bearer && ((bearer.kind === 'refuse' && !bearer.caller) || credentials === 'bearer')) return bearer;
    const owners = ownersOf(certificate);
    const [owner, another] = owners;
    if (owner === undefined) {
      const none = `names no caller (${namesOf(certificate)})`;
      return bearer ?? refuse('missing_token', { message: NAMELESS, reason: wordsFor(certificate, none) });
    }
    const names = owners.map((caller) => caller.name).join(' and ');
    if (another) return wrong(certificate, `names ${names}`);
    if (!certificate.clientAuth) return wrong(certificate, 'lacks the extended key usage clientAuth');
    if (bearer && bearer.caller !== owner) {
      return wrong(certificate, `names ${names}, and the token ${bearer.caller?.name}`);
    }
    return bearer ?? { kind: 'caller', caller: owner, token: undefined };
  }

  function ownersOf({ uris, dnsNames, fingerprint }: ClientCertificate): Caller[] {
    const names = [
      ...uris.map((uri) => `uri:${uri}`),
      ...dnsNames.map((dns) => `dns:${dns.toLowerCase()}`),
      `fingerprint:${fingerprint}`,
    ];
    return [...new Set(names.flatMap((one) => byCertificate.get(one) ?? []))];
  }
}

/** The words of the table are about a bearer, which may be none or a good one. */
const ASSERTION_WORDS: Partial<Record<ErrorCode, string>> = {
  invalid_token: 'The assertion of Cloudflare Access is not valid.',
  expired_token: 'The assertion of Cloudflare Access has expired.',
  not_yet_valid_token: 'The assertion of Cloudflare Access is not valid yet.',
};

function ofAssertion(answer: Answer): Answer {
  if (answer.kind !== 'refuse') return answer;
  const message = ASSERTION_WORDS[answer.code];
  return message === undefined ? answer : { ...answer, message };
}

const NOBODY_ASKED = 'no endpoint is asked about tokens any more';
const TWO_CALLERS =
  'The token and the assertion of Cloudflare Access name two callers. The operator can set listen.credentials to bearer, so that the token alone names the caller.';
const NAMELESS =
  'The client certificate names no caller here. Its operator can add it to callers[].certificates, or send a token as "Authorization: Bearer <token>".';

/** A certificate has as many names as its authority lets it: the log has the first of them. */
const MOST_NAMES = 200;

function namesOf({ uris, dnsNames }: ClientCertificate): string {
  const names = [...uris, ...dnsNames].join(', ') || 'it has no name';
  return names.length > MOST_NAMES ? `${names.slice(0, MOST_NAMES)}…` : names;
}

function wrong(certificate: ClientCertificate, how: string): Refusal {
  return refuse('invalid_certificate', { reason: wordsFor(certificate, how) });
}

function wordsFor({ id }: ClientCertificate, how: string): string {
  return `certificate ${id} ${how}`;
}

function whileValid({ caller, token }: Entry, now: number): Answer {
  const about = { reason: `token ${token.id} of ${caller.name}` };
  if (token.notBefore !== undefined && now < token.notBefore)
    return { ...refuse('not_yet_valid_token', about), tokenId: token.id, caller };
  if (token.expires !== undefined && now >= token.expires)
    return { ...refuse('expired_token', about), tokenId: token.id, caller };
  return { kind: 'caller', caller, token };
}
