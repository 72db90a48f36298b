/** What each check of the shim finds about a token: its own parts are asked, and tell what they let pass. */
import { CHECKS, type Check, type Passed } from '../callers/checks.ts';
import { callerFrom } from '../callers/claims.ts';
import type { Introspector } from '../callers/introspection.ts';
import { createJwtVerifier, type JwtVerifier } from '../callers/jwt.ts';
import { createNaming, type NameCaller } from '../callers/named.ts';
import { createCallerTable, type Answer } from '../callers/table.ts';
import { isJwtShape, readUnverified } from '../callers/unverified.ts';
import { hashToken, isMinted } from '../callers/token.ts';
import { tokenId } from '../config/callers.ts';
import type { ClaimRules } from '../config/claim-rules.ts';
import type { Config } from '../config/config.ts';
import type { IntrospectionConfig } from '../config/introspection.ts';
import type { IssuerConfig } from '../config/issuers.ts';
import type { Logger } from '../observe/log.ts';
import type { RawToken } from '../types.ts';
import { factsOf, momentsOf, quoted, scopeWords, timeWords, type Claims, type Known } from './token-words.ts';
import type { World } from './world.ts';

/** What one check found. */
export interface Finding {
  readonly check: 'table' | Check | 'endpoint' | 'match' | 'caller' | 'scopes' | 'certificate';
  readonly result: 'passed' | 'refused' | 'unavailable' | 'not reached';
  readonly words: string;
}

export interface Findings {
  /** In the order in which the shim checks. */
  readonly findings: readonly Finding[];
  /** Of the table of callers, as the gate gets it. */
  readonly answer: Answer;
  /** First 12 hex digits of the token's hash, as logs have it. */
  readonly id: string;
}

/** What the verifiers have told of one token. */
interface Told {
  /** Who was asked, if anybody. */
  asked?: 'issuers' | 'endpoint';
  readonly passed: Map<Check, Passed>;
  /** What it named a caller by, or nobody. */
  naming?: { readonly rules: ClaimRules; readonly claims: Claims };
  /** By the name of an issuer: why its keys cannot be fetched. */
  readonly outages: Map<string, string>;
}

/**
 * @param world clock
 * @param config whose callers and issuers are asked; keys are fetched for it
 * @param token one line; a client certificate beside it is not looked at
 * @returns what the table of callers says, and how it came to it
 */
export async function findingsOf({ now }: World, config: Config, token: string): Promise<Findings> {
  const { callers, issuers, introspection } = config;
  const told: Told = { passed: new Map(), outages: new Map() };
  const jwts = issuers.length > 0 ? await openIssuers(issuers, told, now) : undefined;
  const introspector = introspection && (await openEndpoint(introspection, told, now));
  // It has to be the table of the gate.
  const table = createCallerTable(callers, undefined, { jwts, introspector });
  try {
    let answer = await table.authenticate({ authorization: `Bearer ${token}` }, now());
    if (knownOf(told).issuer?.header === 'cf-access-jwt-assertion') {
      answer = await table.authenticate({ authorization: undefined, assertion: token }, now());
    }
    const findings =
      told.asked === 'issuers'
        ? [ISSUERS_ASKED, ...verifierFindings(told, answer, now()), ...namingFindings(told)]
        : told.asked === 'endpoint'
          ? [endpointAsked(token, issuers), ...endpointFindings(told, answer, now()), ...namingFindings(told)]
          : tableFindings(token, answer, jwts !== undefined, now());
    if (config.listen.tls?.client) findings.push(CERTIFICATE);
    return { findings, answer, id: tokenId(hashToken(token as RawToken)) };
  } finally {
    jwts?.close();
    introspector?.close();
  }
}

async function openIssuers(issuers: readonly IssuerConfig[], told: Told, now: () => number): Promise<JwtVerifier> {
  const logger = listening(told);
  const verifier = await createJwtVerifier(issuers, {
    now,
    logger,
    callerFrom: naming(told, logger),
    passed: (passed) => told.passed.set(passed.check, passed),
  });
  return {
    ...verifier,
    verify(...asked) {
      told.asked = 'issuers';
      return verifier.verify(...asked);
    },
  };
}

async function openEndpoint(config: IntrospectionConfig, told: Told, now: () => number): Promise<Introspector> {
  const { createIntrospector } = await import('../callers/introspection.ts');
  const logger = listening(told);
  const introspector = await createIntrospector(config, { now, logger, callerFrom: naming(told, logger) });
  return {
    ...introspector,
    verify(...asked) {
      told.asked = 'endpoint';
      return introspector.verify(...asked);
    },
  };
}

/** Keeps why keys could not be fetched, which the log would have. */
function listening({ outages }: Told): Pick<Logger, 'info' | 'warn'> {
  return {
    info: () => undefined,
    warn(...args: readonly unknown[]) {
      const [{ issuer = '', reason }] = args as [{ readonly issuer?: string; readonly reason: string }];
      outages.set(issuer, reason);
    },
  };
}

function naming(told: Told, logger: Pick<Logger, 'info'>): NameCaller {
  const nameCaller = createNaming(logger);
  return (rules, claims) => {
    told.naming = { rules, claims };
    return nameCaller(rules, claims);
  };
}

const ISSUERS_ASKED: Finding = {
  check: 'table',
  result: 'passed',
  words: 'no token of callers, but a JWT: issuers are asked',
};

function endpointAsked(token: string, { length }: readonly IssuerConfig[]): Finding {
  const read = length > 0 && isJwtShape(token) ? readUnverified(token as RawToken) : 'no JWT';
  const iss = typeof read === 'string' ? '' : ` (its iss is ${quoted(read.iss)})`;
  const words = `no token of callers, nor of an issuer${iss}: the endpoint of introspection is asked`;
  return { check: 'table', result: 'passed', words };
}

const CERTIFICATE: Finding = {
  check: 'certificate',
  result: 'not reached',
  words: 'one that a connection shows beside the token is not looked at here',
};

/** Of a token that no issuer was asked about: one of callers, or one that nobody knows. */
function tableFindings(token: string, answer: Answer, issuers: boolean, now: number): Finding[] {
  const found = answer.kind === 'caller' ? answer.token : undefined;
  if (answer.caller) {
    const id = found?.id ?? tokenId(hashToken(token as RawToken));
    const time = momentsOf(answer.caller.tokens.find((one) => one.id === id) ?? {}, now);
    return [
      { check: 'table', result: 'passed', words: `token ${id} of "${answer.caller.name}", by its hash` },
      { check: 'time', result: found ? 'passed' : 'refused', words: time },
    ];
  }
  const hint = token.startsWith('{')
    ? 'it is JSON: give the token that is in it'
    : /\s/.test(token)
      ? 'give the token alone, without "Bearer"'
      : isMinted(token)
        ? 'what begins with "shim_" is looked for in callers alone'
        : isJwtShape(token) && !issuers
          ? 'it looks like a JWT, but there are no issuers'
          : 'it is opaque, and of nobody in callers';
  return [{ check: 'table', result: 'refused', words: `${reasonOf(answer)}; ${hint}` }];
}

function verifierFindings(told: Told, answer: Answer, now: number): Finding[] {
  const known = knownOf(told);
  const facts = factsOf(known, now);
  const timely = answer.kind === 'caller' || !TIME_CODES.has(answer.code);
  // After the verifier has refused a token, nothing is looked at but whom it would name.
  const failed = answer.kind === 'caller' ? undefined : CHECKS.find((check) => !told.passed.has(check));
  return CHECKS.map((check) => {
    const fact = facts[check] ?? '';
    if (told.passed.has(check) && (check !== 'time' || timely)) return { check, result: 'passed', words: fact };
    if (check === 'time' && told.naming) return { check, result: 'refused', words: fact };
    if (check !== failed) return notReached(check);
    const outage = told.outages.get(known.issuer?.name ?? '');
    return answer.kind === 'refuse' && answer.code === 'identity_unavailable'
      ? { check, result: 'unavailable', words: join(reasonOf(answer), outage, fact) }
      : { check, result: 'refused', words: join(reasonOf(answer), fact) };
  });
}

const TIME_CODES: ReadonlySet<string> = new Set(['expired_token', 'not_yet_valid_token']);

/** The endpoint's word, then what of its answer is looked at: `iss`, `aud` and times, whose words a refusal has. */
function endpointFindings({ naming }: Told, answer: Answer, now: number): Finding[] {
  if (!naming) {
    const result = answer.kind === 'refuse' && answer.code === 'identity_unavailable' ? 'unavailable' : 'refused';
    return [{ check: 'endpoint', result, words: reasonOf(answer) }, notReached('time')];
  }
  const timely = answer.kind === 'caller' || !TIME_CODES.has(answer.code);
  return [
    { check: 'endpoint', result: 'passed', words: 'it is active, and for one of the audiences' },
    { check: 'time', result: timely ? 'passed' : 'refused', words: timeWords(naming.claims, now) },
  ];
}

function namingFindings({ naming }: Told): Finding[] {
  if (!naming) return [notReached('match'), notReached('caller'), notReached('scopes')];
  const { rules, claims } = naming;
  const named = callerFrom(rules, claims);
  const asked = rules.match.map(({ claim }) => claim.join('.')).join(', ');
  const match = asked === '' ? 'nothing is asked for' : `as asked for: ${asked}`;
  if (!('fault' in named)) {
    return [
      { check: 'match', result: 'passed', words: match },
      { check: 'caller', result: 'passed', words: quoted(named.caller.name) },
      { check: 'scopes', result: 'passed', words: scopeWords(rules, claims, named) },
    ];
  }
  // With a name that needs no claim, only match can be what fails.
  const matches = !('fault' in callerFrom({ ...rules, template: ['anybody'] }, claims));
  return [
    matches
      ? { check: 'match', result: 'passed', words: match }
      : { check: 'match', result: 'refused', words: named.fault },
    matches ? { check: 'caller', result: 'refused', words: named.fault } : notReached('caller'),
    notReached('scopes'),
  ];
}

function notReached(check: Finding['check']): Finding {
  return { check, result: 'not reached', words: '' };
}

/** What is known of the token by what it has passed. */
function knownOf({ passed }: Told): Known {
  const known: Known = {};
  for (const one of passed.values()) Object.assign(known, { ...one });
  return known;
}

function reasonOf(answer: Answer): string {
  return answer.kind === 'refuse' ? (answer.reason ?? answer.code) : '';
}

function join(...words: readonly (string | undefined)[]): string {
  return words.filter((one) => one).join('; ');
}
