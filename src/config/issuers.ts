/** `issuers`: whose JWTs are taken, and what their claims say of a caller. */
import * as z from 'zod';
import type { Caller } from '../types.ts';
import type { CallerContext } from './callers.ts';
import {
  audience,
  buildClaimRules,
  duration,
  filePath,
  listOf,
  milliseconds,
  rawClaimRules,
  refuseSharedSessions,
  tokenValue,
  type CallerSchema,
  type ClaimRules,
  type SessionOwner,
} from './claim-rules.ts';
import { buildKeys } from './issuer-keys.ts';
import type { Path, Report } from './report.ts';
import type { Reference } from './schema.ts';
import type { SecretSource } from './secret.ts';
import type { Sound } from './shape.ts';

export type { ClaimPath } from './claim-path.ts';

/** Where an issuer's keys come from. URLs are https, or on loopback. */
export type IssuerKeys =
  | { readonly kind: 'jwksUri'; readonly url: string }
  /** OpenID Connect Discovery 1.0, or RFC 8414; the URL of the document. */
  | { readonly kind: 'discovery'; readonly url: string }
  /** A JWK Set that was read from a file: its text, found to be one, without private keys. */
  | { readonly kind: 'file'; readonly jwks: string }
  /** For HS256 alone. */
  | { readonly kind: 'secret'; readonly secret: string }
  /** A Kubernetes API server has them: it is asked about each token. `cache`: how long its word is taken. */
  | { readonly kind: 'tokenReview'; readonly api: string; readonly cache: number };

/** The request header, lower case, in which tokens are shown: as a bearer, or as Cloudflare Access adds them. */
export type TokenHeader = 'authorization' | 'cf-access-jwt-assertion';

/** One issuer. Times are milliseconds. */
export interface IssuerConfig extends ClaimRules {
  /** `iss`, byte for byte. */
  readonly issuer: string;
  /** At least one; `aud` must have one of them. */
  readonly audience: readonly string[];
  readonly header: TokenHeader;
  readonly keys: IssuerKeys;
  /** Whom the TLS of its URLs is verified against, PEM; `undefined`: the authorities that Node knows. */
  readonly ca?: string;
  /** A bearer that its key set, or its API server, wants to be asked with. */
  readonly bearer?: string;
  /** JWS algorithms (RFC 7518 section 3.1); asymmetric ones, but for `secret`. */
  readonly algorithms: readonly string[];
  readonly clockTolerance: number;
  /** `typ` of the header, such as `at+jwt` (RFC 9068 section 2.1); compared without case and `application/`. */
  readonly requireTyp?: string;
  /** For how long keys are used after the provider was last heard of. */
  readonly maxStale: number;
}

const TYP = 'expected the type of the header, such as JWT or at+jwt';
const HEADERS = ['Authorization', 'Cf-Access-Jwt-Assertion'] as const;
const HEADER = `expected ${HEADERS.join(' or ')}`;

/**
 * @param caller the shape of one of `callers`: what it has beside name and credentials, an issuer's callers have in common
 * @param reference the shape of a reference to a secret
 * @returns the shape of the section as it is written
 */
export function rawIssuers(caller: CallerSchema, reference: z.ZodType<Reference>) {
  return z.array(
    z.strictObject({
      ...rawClaimRules(caller),
      issuer: tokenValue,
      audience,
      header: z.enum(HEADERS, HEADER).optional(),
      jwksUri: z.string().optional(),
      discovery: z.union([z.literal(true), z.string()], 'expected true, or the URL of the document').optional(),
      jwksFile: filePath.optional(),
      secret: reference.optional(),
      tokenReview: z.string().optional(),
      cache: duration.optional(),
      algorithms: z.array(z.string()).min(1, 'an empty list would let nobody in: leave the key out').optional(),
      clockTolerance: duration.optional(),
      requireTyp: z
        .string(TYP)
        .regex(/^[A-Za-z0-9][A-Za-z0-9!#$&^_.+/-]{0,126}$/, TYP)
        .optional(),
      maxStale: duration.optional(),
      caFile: filePath.optional(),
      tokenFile: filePath.optional(),
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
/** Less, and every hiccup of the provider would refuse its callers. */
const LEAST_STALE = 60_000;
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
  refuseSharedPrefixes(raw, context.callers, source.report);
  return issuers;
}

async function buildIssuer(
  raw: RawIssuer,
  path: Path,
  context: IssuersContext,
  source: SecretSource,
): Promise<IssuerConfig | undefined> {
  const { report } = source;
  const { issuer, requireTyp } = raw;
  const keys = await buildKeys(raw, path, source);
  const clockTolerance = milliseconds(raw.clockTolerance, DEFAULT_TOLERANCE);
  const maxStale = milliseconds(raw.maxStale, DEFAULT_STALE);
  if (clockTolerance > MOST_TOLERANCE) report.error([...path, 'clockTolerance'], 'expected at most 5m');
  if (maxStale < LEAST_STALE || maxStale > MOST_STALE) report.error([...path, 'maxStale'], 'expected 1m to 24h');
  const rules = buildClaimRules(raw, path, context, report);
  if (!rules || !issuer || !keys) return undefined;
  return {
    ...rules,
    issuer,
    audience: listOf(raw.audience),
    header: (raw.header ?? 'Authorization').toLowerCase() as TokenHeader,
    ...keys,
    clockTolerance,
    maxStale,
    ...(requireTyp !== undefined && { requireTyp }),
  };
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

function refuseSharedPrefixes(raw: RawIssuers, callers: readonly Caller[], report: Report): void {
  const owners: SessionOwner[] = [...callers];
  for (const [index, issuer] of raw.entries()) {
    const sessionPrefix = issuer?.policy?.sessionPrefix;
    if (sessionPrefix === undefined) continue;
    refuseSharedSessions(sessionPrefix, ['issuers', index], owners, report);
    owners.push({ name: issuer?.name ?? '', sessionPrefix });
  }
}
