/** `introspection`: which endpoint is asked about opaque tokens (RFC 7662), and what its answers say of a caller. */
import * as z from 'zod';
import type { CallerContext } from './callers.ts';
import {
  audience,
  buildClaimRules,
  duration,
  filePath,
  listOf,
  rawClaimRules,
  refuseSharedSessions,
  tokenValue,
  type CallerSchema,
  type ClaimRules,
  type SessionOwner,
} from './claim-rules.ts';
import { buildCache, providerUrl, readCa } from './issuer-keys.ts';
import type { Reference } from './schema.ts';
import { resolveSecret, type SecretSource } from './secret.ts';
import type { Sound } from './shape.ts';

/** The endpoint, and the shim as its client. Times are milliseconds. */
export interface IntrospectionConfig extends ClaimRules {
  /** https, or on loopback. */
  readonly endpoint: string;
  /** `iss`, byte for byte, where an answer has one; `undefined`: any. */
  readonly issuer?: string;
  readonly clientId: string;
  readonly client:
    /** RFC 6749 section 2.3.1. */
    | { readonly secret: string }
    /** RFC 8705 section 2.1; PEM. */
    | { readonly cert: string; readonly key: string };
  /** Whom the TLS of the endpoint is verified against, PEM; `undefined`: the authorities that Node knows. */
  readonly ca?: string;
  /** At least one; `aud` must have one of them. */
  readonly audience: readonly string[];
  /** For how long an answer is taken. */
  readonly cache: number;
}

const CLIENT_ID = 'expected the id of a client: 1 to 256 characters of ASCII';

/**
 * @param caller the shape of one of `callers`: what it has beside name and credentials, these callers have in common
 * @param reference the shape of a reference to a secret
 * @returns the shape of the section as it is written
 */
export function rawIntrospection(caller: CallerSchema, reference: z.ZodType<Reference>) {
  return z.strictObject({
    ...rawClaimRules(caller),
    endpoint: z.string(),
    issuer: tokenValue.optional(),
    clientId: z.string(CLIENT_ID).regex(/^[\x20-\x7e]{1,256}$/, CLIENT_ID),
    clientSecret: reference.optional(),
    tls: z.strictObject({ cert: filePath, key: filePath }).optional(),
    caFile: filePath.optional(),
    audience,
    cache: duration.optional(),
  });
}

/** The section, as far as it has its shape. */
export type RawIntrospection = Sound<z.infer<ReturnType<typeof rawIntrospection>>>;

/** What the section is judged by beside its own keys. */
export interface IntrospectionContext extends CallerContext {
  /** `callers` and `issuers`, whose sessions are theirs. */
  readonly owners: readonly SessionOwner[];
  /** The names of `issuers`. */
  readonly issuers: ReadonlySet<string>;
}

const TOKENS = 'tokens and the secret would cross the network in the clear';

/**
 * @param raw `introspection:`
 * @param context standard limits, the time, the mode of the gateway, and what others have
 * @param source where files and secrets are looked for, and who is told what is wrong
 * @returns the section, or `undefined` when a fault was reported
 */
export async function buildIntrospection(
  raw: RawIntrospection,
  context: IntrospectionContext,
  source: SecretSource,
): Promise<IntrospectionConfig | undefined> {
  const { report } = source;
  const path = ['introspection'];
  const { name, endpoint: written, issuer, clientId, policy } = raw;
  if (name !== undefined && context.issuers.has(name)) {
    report.error([...path, 'name'], 'an issuer has this name: callers of both would have one name');
  }
  const endpoint = written === undefined ? undefined : providerUrl(written, [...path, 'endpoint'], TOKENS, source);
  const plaintext = endpoint?.startsWith('http:');
  for (const key of ['caFile', 'tls'] as const) {
    if (plaintext && raw[key] !== undefined) {
      report.error([...path, key], 'endpoint is no https URL: nobody shows a certificate there', 'key');
    }
  }
  const client = await buildClient(raw, source);
  const ca = raw.caFile === undefined || plaintext ? undefined : await readCa(raw.caFile, [...path, 'caFile'], source);
  const cache = buildCache(raw.cache, [...path, 'cache'], report);
  const rules = buildClaimRules(raw, path, context, report);
  if (policy?.sessionPrefix !== undefined) {
    refuseSharedSessions(policy.sessionPrefix, path, context.owners, report);
  }
  if (!rules || endpoint === undefined || clientId === undefined || !client) return undefined;
  return {
    ...rules,
    endpoint,
    ...(issuer !== undefined && { issuer }),
    clientId,
    client,
    ...(ca !== undefined && { ca }),
    audience: listOf(raw.audience),
    cache,
  };
}

async function buildClient(
  { clientSecret, tls }: RawIntrospection,
  source: SecretSource,
): Promise<IntrospectionConfig['client'] | undefined> {
  const { report } = source;
  const place = (key: string): string[] => ['introspection', key];
  const faulty = report.findings.some(
    ({ path }) => path[0] === 'introspection' && /^(?:tls|clientSecret)$/.test(String(path[1])),
  );
  if (clientSecret !== undefined && tls !== undefined) {
    report.error(place('tls'), 'the client has a clientSecret already: write one of both', 'key');
  } else if (clientSecret !== undefined) {
    const secret = resolveSecret(clientSecret, place('clientSecret'), source);
    return secret === undefined ? undefined : { secret };
  } else if (tls?.cert !== undefined && tls.key !== undefined) {
    const { readPair } = await import('./certificate.ts');
    const pair = readPair({ cert: tls.cert, key: tls.key }, place('tls'), source);
    return pair && { cert: pair.cert.pem, key: pair.key };
  } else if (!faulty) {
    report.error(['introspection'], 'expected what the shim proves itself to the endpoint by: clientSecret or tls');
  }
  return undefined;
}
