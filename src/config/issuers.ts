/** `issuers`: whose JWTs are taken, and what their claims say of a caller. */
import * as z from 'zod';
import type { Caller, Scope } from '../types.ts';
import { buildCaller, reaches, type CallerContext } from './callers.ts';
import { parseClaimPath, parseTemplate, type ClaimPath, type NameTemplate } from './claim-path.ts';
import { buildKeys } from './issuer-keys.ts';
import type { Path, Report } from './report.ts';
import type { rawCallersFile, Reference } from './schema.ts';
import type { SecretSource } from './secret.ts';
import type { Sound } from './shape.ts';
import { DURATION, parseDuration } from './units.ts';

export type { ClaimPath } from './claim-path.ts';

/** Where an issuer's keys come from. URLs are https, or on loopback. */
export type IssuerKeys =
  | { readonly kind: 'jwksUri'; readonly url: string }
  /** OpenID Connect Discovery 1.0, or RFC 8414; the URL of the document. */
  | { readonly kind: 'discovery'; readonly url: string }
  /** A JWK Set that was read from a file: its text, found to be one, without private keys. */
  | { readonly kind: 'file'; readonly jwks: string }
  /** For HS256 alone. */
  | { readonly kind: 'secret'; readonly secret: string };

/** The request header, lower case, in which tokens are shown: as a bearer, or as Cloudflare Access adds them. */
export type TokenHeader = 'authorization' | 'cf-access-jwt-assertion';

/** One issuer. Times are milliseconds. */
export interface IssuerConfig {
  /** 1 to 32 of a-z 0-9 -, beginning with a letter: callers of this issuer are called `name:…`. */
  readonly name: string;
  /** `iss`, byte for byte. */
  readonly issuer: string;
  /** At least one; `aud` must have one of them. */
  readonly audience: readonly string[];
  readonly header: TokenHeader;
  readonly keys: IssuerKeys;
  /** Whom the TLS of its URLs is verified against, PEM; `undefined`: the authorities that Node knows. */
  readonly ca?: string;
  /** A bearer that its key set wants to be asked with (a Kubernetes API server). */
  readonly bearer?: string;
  /** JWS algorithms (RFC 7518 section 3.1); asymmetric ones, but for `secret`. */
  readonly algorithms: readonly string[];
  readonly clockTolerance: number;
  /** `typ` of the header, such as `at+jwt` (RFC 9068 section 2.1); compared without case and `application/`. */
  readonly requireTyp?: string;
  /** For how long keys are used after the provider was last heard of. */
  readonly maxStale: number;
  readonly scopes: {
    readonly claim: ClaimPath;
    /** What each value grants; without a map values are names of scopes themselves. */
    readonly map?: ReadonlyMap<string, readonly Scope[]>;
    /** What any caller of this issuer may have at most. */
    readonly ceiling: readonly Scope[];
  };
  /** What the name has after `name:`. */
  readonly template: NameTemplate;
  /** Claims that must have one of these values, as they are or in a list. */
  readonly match: readonly { readonly claim: ClaimPath; readonly values: readonly (string | boolean)[] }[];
  /** What all callers of this issuer have in common: limits, headers, WebSocket. */
  readonly policy: Omit<Caller, 'name' | 'tokens' | 'certificates' | 'onBehalf' | 'scopes'>;
}

const ISSUER_NAME = 'expected a name of 1 to 32 of a-z 0-9 -, beginning with a letter';
const VALUE = 'expected 1 to 512 characters of visible ASCII, exactly as the tokens have it';
const CLAIM = 'expected a claim such as scope or realm_access.roles, or a list of steps';
const CALLER = 'expected either a claim, or a template such as "{repository}@{ref}"';
const MATCH = 'expected a text, true or false, or a list of them';
const TIME = 'expected a duration such as 30s or 5m, or 0';
const TYP = 'expected the type of the header, such as JWT or at+jwt';
const HEADERS = ['Authorization', 'Cf-Access-Jwt-Assertion'] as const;
const HEADER = `expected ${HEADERS.join(' or ')}`;
const FILE = 'expected the path of a file';
const GRANTS = 'the claim that grants scopes, and the ceiling of what it can grant';
const CEILING = 'the scopes that any caller of this issuer may have at most, such as [operator.read]';

const value = z.string(VALUE).regex(/^[\x21-\x7e]{1,512}$/, VALUE);
const step = z.string(CLAIM).min(1, CLAIM);
const claim = z.union([step, z.array(step).min(1, CLAIM)], CLAIM);
const matched = z.union([z.string(), z.boolean()], MATCH);
const duration = z.union([z.literal(0), z.string().regex(DURATION)], TIME);
const file = z.string(FILE).min(1, FILE);

type CallerSchema = ReturnType<(typeof rawCallersFile)['shape']['callers']['unwrap']>['element'];

/**
 * @param caller the shape of one of `callers`: what it has beside name and credentials, an issuer's callers have in common
 * @param reference the shape of a reference to a secret
 * @returns the shape of the section as it is written
 */
export function rawIssuers(caller: CallerSchema, reference: z.ZodType<Reference>) {
  const scopes = caller.shape.scopes.unwrap();
  const policy = caller
    .pick({ allowHeaders: true, onForbiddenHeader: true, agent: true, sessionPrefix: true, tools: true, from: true })
    .extend(caller.pick({ allowMethods: true, denyMethods: true, limits: true }).shape)
    // Bytes of a tunnel are not read, so it needs operator.admin: nothing that a claim should hand out.
    .extend({ websocket: z.enum(['off', 'relay'], 'expected off or relay').optional() });
  return z.array(
    z.strictObject({
      name: z.string(ISSUER_NAME).regex(/^[a-z][a-z0-9-]{0,31}$/, ISSUER_NAME),
      issuer: value,
      audience: z.union([value, z.array(value).min(1, VALUE)], VALUE),
      header: z.enum(HEADERS, HEADER).optional(),
      jwksUri: z.string().optional(),
      discovery: z.union([z.literal(true), z.string()], 'expected true, or the URL of the document').optional(),
      jwksFile: file.optional(),
      secret: reference.optional(),
      algorithms: z.array(z.string()).min(1, 'an empty list would let nobody in: leave the key out').optional(),
      clockTolerance: duration.optional(),
      requireTyp: z
        .string(TYP)
        .regex(/^[A-Za-z0-9][A-Za-z0-9!#$&^_.+/-]{0,126}$/, TYP)
        .optional(),
      maxStale: duration.optional(),
      caFile: file.optional(),
      tokenFile: file.optional(),
      scopes: z
        .strictObject({ claim, map: z.record(z.string(), scopes).optional(), ceiling: scopes.describe(CEILING) })
        .describe(GRANTS),
      caller: z.strictObject({ claim: claim.optional(), template: z.string().optional() }).optional(),
      match: z.record(z.string(), z.union([matched, z.array(matched).min(1, MATCH)], MATCH)).optional(),
      policy: policy.optional(),
    }),
  );
}

/** The section, as far as it has its shape. */
export type RawIssuers = Sound<z.infer<ReturnType<typeof rawIssuers>>>;
export type RawIssuer = NonNullable<RawIssuers[number]>;

/** What issuers are judged by beside their own keys. */
export interface IssuersContext extends CallerContext {
  /** `callers`, whose sessions are theirs. */
  readonly callers: readonly Caller[];
}

const DEFAULT_TOLERANCE = 30_000;
const MOST_TOLERANCE = 5 * 60_000;
const DEFAULT_STALE = 3_600_000;
const MOST_STALE = 24 * 3_600_000;

/**
 * @param raw `issuers:`
 * @param context standard limits, the time, the mode of the gateway and the other callers
 * @param source where files and secrets are looked for, and who is told what is wrong
 * @returns the issuers, in their order; one with a fault is left out
 */
export async function buildIssuers(
  raw: RawIssuers,
  context: IssuersContext,
  source: SecretSource,
): Promise<IssuerConfig[]> {
  const issuers: IssuerConfig[] = [];
  for (const [index, one] of raw.entries()) {
    const issuer = one && (await buildIssuer(one, ['issuers', index], context, source));
    if (issuer) issuers.push(issuer);
  }
  refuseTwins(raw, 'name', 'callers of both would have one name', source.report);
  // Which issuer a token is verified by is told by its `iss` alone.
  refuseTwins(raw, 'issuer', 'one issuer has one set of rules; its audience can be a list', source.report);
  refuseSharedSessions(raw, context.callers, source.report);
  return issuers;
}

async function buildIssuer(
  raw: RawIssuer,
  path: Path,
  context: IssuersContext,
  source: SecretSource,
): Promise<IssuerConfig | undefined> {
  const { report } = source;
  const { name, issuer, requireTyp } = raw;
  const keys = await buildKeys(raw, path, source);
  const clockTolerance = milliseconds(raw.clockTolerance, DEFAULT_TOLERANCE);
  const maxStale = milliseconds(raw.maxStale, DEFAULT_STALE);
  if (clockTolerance > MOST_TOLERANCE) report.error([...path, 'clockTolerance'], 'expected at most 5m');
  if (maxStale > MOST_STALE) report.error([...path, 'maxStale'], 'expected at most 24h');
  const scopes = buildScopes(raw.scopes, [...path, 'scopes'], report);
  const template = buildTemplate(raw.caller, [...path, 'caller'], report);
  const match = buildMatch(raw.match, [...path, 'match'], report);
  const {
    name: _name,
    tokens: _tokens,
    scopes: _scopes,
    ...policy
  } = buildCaller({ ...raw.policy }, context, [...path, 'policy'], report);
  if (!name || !issuer || !keys || !scopes || !template) return undefined;
  return {
    name,
    issuer,
    audience: listOf(raw.audience),
    header: (raw.header ?? 'Authorization').toLowerCase() as TokenHeader,
    ...keys,
    clockTolerance,
    maxStale,
    ...(requireTyp !== undefined && { requireTyp }),
    scopes,
    template,
    match,
    policy,
  };
}

function milliseconds(raw: string | 0 | undefined, standard: number): number {
  return raw === undefined ? standard : raw === 0 ? 0 : (parseDuration(raw) ?? standard);
}

/** A list, where one item may stand for itself; each once. */
function listOf<T extends string | boolean>(raw: T | readonly (T | undefined)[] | undefined): T[] {
  const list = Array.isArray(raw) ? (raw as readonly (T | undefined)[]) : [raw as T | undefined];
  return [...new Set(list.flatMap((item) => item ?? []))];
}

function buildScopes(raw: RawIssuer['scopes'], path: Path, report: Report): IssuerConfig['scopes'] | undefined {
  const claim = raw?.claim === undefined ? undefined : readPath(raw.claim, [...path, 'claim'], report);
  const granted = Object.entries(raw?.map ?? {});
  for (const [name] of granted) {
    // A value that can be read as two is never taken for either.
    if (!/^[^,\p{Cc}]+$/u.test(name)) {
      report.error([...path, 'map', name], 'a value with a comma or a control character grants nothing', 'key');
    }
  }
  if (raw?.ceiling === undefined || claim === undefined) return undefined;
  const map = raw.map && new Map(granted.map(([name, scopes]) => [name, listOf<Scope>(scopes)]));
  return { claim, ...(map && { map }), ceiling: listOf<Scope>(raw.ceiling) };
}

function buildTemplate(raw: RawIssuer['caller'], path: Path, report: Report): NameTemplate | undefined {
  if (raw === undefined) return ['', ['sub'], ''];
  if ((raw.claim === undefined) === (raw.template === undefined)) {
    report.error(path, CALLER);
    return undefined;
  }
  if (raw.claim !== undefined) {
    const claim = readPath(raw.claim, [...path, 'claim'], report);
    return claim && ['', claim, ''];
  }
  const template = parseTemplate(raw.template ?? '');
  if (!('fault' in template)) return template;
  report.error([...path, 'template'], template.fault);
  return undefined;
}

function buildMatch(raw: RawIssuer['match'], path: Path, report: Report): IssuerConfig['match'] {
  return Object.entries(raw ?? {}).flatMap(([name, values]) => {
    const claim = readPath(name, [...path, name], report, 'key');
    return claim ? [{ claim, values: listOf<string | boolean>(values) }] : [];
  });
}

function readPath(
  written: string | readonly (string | undefined)[],
  path: Path,
  report: Report,
  at?: 'key',
): ClaimPath | undefined {
  const steps = typeof written === 'string' ? written : written.flatMap((step) => step ?? []);
  // A hole was reported already.
  if (steps.length !== written.length) return undefined;
  const found = parseClaimPath(steps);
  if (!('fault' in found)) return found;
  report.error(path, found.fault, at);
  return undefined;
}

function refuseTwins(raw: RawIssuers, key: 'name' | 'issuer', why: string, report: Report): void {
  const seen = new Set<string>();
  for (const [index, issuer] of raw.entries()) {
    const text = issuer?.[key];
    if (text === undefined) continue;
    if (seen.has(text)) report.error(['issuers', index, key], `this ${key} is listed already: ${why}`);
    seen.add(text);
  }
}

/** The callers of an issuer share its prefix; nobody else may reach what begins with it, nor they what is another's. */
function refuseSharedSessions(raw: RawIssuers, callers: readonly Caller[], report: Report): void {
  const owners = callers.map(({ name, sessionPrefix }) => ({ name, sessionPrefix }));
  for (const [index, issuer] of raw.entries()) {
    const sessionPrefix = issuer?.policy?.sessionPrefix;
    if (sessionPrefix === undefined) continue;
    const owner = owners.find(
      (other) =>
        other.sessionPrefix !== undefined &&
        (reaches(other.sessionPrefix, sessionPrefix) || reaches(sessionPrefix, other.sessionPrefix)),
    );
    if (owner) {
      report.error(
        ['issuers', index, 'policy', 'sessionPrefix'],
        `its sessions and those of "${owner.name}" would be open to both: one prefix begins with the other`,
      );
    }
    owners.push({ name: issuer?.name ?? '', sessionPrefix });
  }
}
