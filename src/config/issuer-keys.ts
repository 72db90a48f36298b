/** `issuers[]`: where an issuer's keys come from, and which algorithms they are for. Files are read and looked at here. */
import { parseUnambiguous } from '../json.ts';
import { isLoopbackHost } from './address.ts';
import { milliseconds } from './claim-rules.ts';
import { bareHost } from './hop.ts';
import type { IssuerConfig, IssuerKeys, RawIssuer } from './issuers.ts';
import { formatPath, type Path, type Report } from './report.ts';
import { resolveSecret, secretFault, type SecretSource } from './secret.ts';
import { readFaultWords, resolvePath } from './world.ts';

const SOURCES = ['jwksUri', 'discovery', 'jwksFile', 'secret', 'tokenReview'] as const;
type Source = (typeof SOURCES)[number];

/** RFC 7518 section 3.1, RFC 8037 section 3.1, RFC 9864 section 2.2: what is verified with a public key. */
const ASYMMETRIC: ReadonlySet<string> = new Set(
  'RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519'.split(' '),
);
export const DEFAULT_ALGORITHMS: readonly string[] = ['RS256', 'PS256', 'ES256', 'EdDSA'];
/** Bytes: as long as the hash (RFC 7518 section 3.2). */
const SHORTEST_SECRET = 32;

/** Members of a JWK that only its owner has (RFC 7518 section 6; RFC 9964 for `priv`). */
const PRIVATE = ['d', 'k', 'priv'] as const;

type BuiltKeys = Pick<IssuerConfig, 'keys' | 'algorithms' | 'ca' | 'bearer'>;

/**
 * @param raw one of `issuers`
 * @param path where it stands
 * @param source where files and secrets are looked for
 * @returns keys and algorithms, or `undefined` when a fault was reported
 */
export async function buildKeys(raw: RawIssuer, path: Path, source: SecretSource): Promise<BuiltKeys | undefined> {
  const { report } = source;
  const [first, ...more] = SOURCES.filter((key) => isWritten(raw, key, path, report));
  if (first === undefined) {
    report.error(path, `expected where the keys of this issuer come from: one of ${SOURCES.join(', ')}`);
  }
  for (const key of more) report.error([...path, key], `the keys come from ${first} already`, 'key');
  const algorithms = buildAlgorithms(raw, first === 'secret' || more.includes('secret'), path, source);
  const keys = first && buildSource(first, raw, path, source);
  refuseUnused(raw, first, path, report);
  const asked = first === 'jwksUri' || first === 'discovery' || first === 'tokenReview';
  const url = keys && ('url' in keys ? keys.url : 'api' in keys ? keys.api : undefined);
  const plaintext = url?.startsWith('http:');
  if (raw.caFile !== undefined && plaintext) {
    report.error([...path, 'caFile'], `${first} is no https URL: there is no certificate to verify`, 'key');
  }
  const ca =
    asked && !plaintext && raw.caFile !== undefined ? await readCa(raw.caFile, [...path, 'caFile'], source) : undefined;
  const bearer =
    asked && raw.tokenFile !== undefined ? readBearer(raw.tokenFile, [...path, 'tokenFile'], source) : undefined;
  return keys && { keys, algorithms, ...(ca !== undefined && { ca }), ...(bearer !== undefined && { bearer }) };
}

/** Keys that have no meaning beside where the keys come from, and the one that has to be there. */
function refuseUnused(raw: RawIssuer, from: Source | undefined, path: Path, report: Report): void {
  if (from === undefined) return;
  const fetched = from === 'jwksUri' || from === 'discovery';
  const refuse = (
    keys: readonly ('caFile' | 'tokenFile' | 'maxStale' | 'cache' | 'algorithms')[],
    why: string,
  ): void => {
    for (const key of keys) if (raw[key] !== undefined) report.error([...path, key], why, 'key');
  };
  if (from === 'tokenReview') {
    refuse(['algorithms'], 'the API server verifies the signature, by keys and algorithms of its own');
    refuse(['maxStale'], 'no keys are kept: cache is how long the word of the API server is taken');
    if (raw.tokenFile === undefined) {
      report.error([...path, 'tokenFile'], 'tokenReview needs a token that the API server is asked with');
    }
    return;
  }
  if (!fetched) refuse(['caFile', 'tokenFile', 'maxStale'], `nothing is fetched: the keys come from ${from}`);
  refuse(['cache'], `only tokenReview has a cache: the keys come from ${from}`);
}

/** What did not fit the shape was taken out, and is written all the same. */
function isWritten(raw: RawIssuer, key: Source, path: Path, { findings }: Report): boolean {
  const place = formatPath([...path, key]);
  return raw[key] !== undefined || findings.some((finding) => formatPath(finding.path) === place);
}

/** An algorithm that does not fit the keys is what lets a public key be taken for a secret (RFC 8725 section 2.1). */
function buildAlgorithms(raw: RawIssuer, symmetric: boolean, path: Path, { report }: SecretSource): readonly string[] {
  if (raw.algorithms === undefined) {
    if (symmetric) report.error([...path, 'algorithms'], 'a secret is for HS256 alone: write algorithms: [HS256]');
    return DEFAULT_ALGORITHMS;
  }
  for (const [index, algorithm] of raw.algorithms.entries()) {
    const fault = algorithm === undefined ? undefined : algorithmFault(algorithm, symmetric);
    if (fault !== undefined) report.error([...path, 'algorithms', index], fault);
  }
  return [...new Set(raw.algorithms.flatMap((algorithm) => algorithm ?? []))];
}

function algorithmFault(algorithm: string, symmetric: boolean): string | undefined {
  if (/^none$/i.test(algorithm)) return '"none" is no signature: anybody could write such a token';
  if (ASYMMETRIC.has(algorithm)) return symmetric ? 'a secret is for HS256 alone' : undefined;
  if (algorithm === 'HS256') return symmetric ? undefined : 'HS256 is for a secret alone: public keys are known to all';
  return `unknown algorithm; known: ${[...ASYMMETRIC].join(', ')}, and HS256 with a secret`;
}

function buildSource(kind: Source, raw: RawIssuer, path: Path, source: SecretSource): IssuerKeys | undefined {
  const at = [...path, kind];
  switch (kind) {
    case 'jwksUri': {
      const url = raw.jwksUri === undefined ? undefined : providerUrl(raw.jwksUri, at, KEYS, source);
      return url === undefined ? undefined : { kind, url };
    }
    case 'discovery': {
      const written =
        raw.discovery === true ? raw.issuer && `${raw.issuer.replace(/\/$/, '')}${WELL_KNOWN}` : raw.discovery;
      const url = written === undefined ? undefined : providerUrl(written, at, KEYS, source);
      return url === undefined ? undefined : { kind, url };
    }
    case 'jwksFile': {
      const jwks = raw.jwksFile === undefined ? undefined : readKeyFile(raw.jwksFile, at, source);
      return jwks === undefined ? undefined : { kind: 'file', jwks };
    }
    case 'secret': {
      const secret = raw.secret && resolveSecret(raw.secret, at, source);
      if (secret !== undefined && secret.length < SHORTEST_SECRET) {
        source.report.unresolved(at, `the secret is shorter than ${SHORTEST_SECRET} characters: it can be guessed`);
      }
      return secret === undefined ? undefined : { kind, secret };
    }
    case 'tokenReview': {
      const server = raw.tokenReview === undefined ? undefined : providerUrl(raw.tokenReview, at, TOKENS, source);
      const cache = buildCache(raw.cache, [...path, 'cache'], source.report);
      return server === undefined ? undefined : { kind, api: server.replace(/\/$/, '') + TOKEN_REVIEWS, cache };
    }
  }
}

/** OpenID Connect Discovery 1.0 section 4. */
const WELL_KNOWN = '/.well-known/openid-configuration';
const TOKEN_REVIEWS = '/apis/authentication.k8s.io/v1/tokenreviews';
const KEYS = 'whoever is on the way could put keys of their own there';
const TOKENS = 'tokens would cross the network in the clear';

const CACHE = 60_000;
const SHORTEST_CACHE = 1_000;
const LONGEST_CACHE = 3_600_000;

/**
 * @param raw `cache`, as it is written
 * @param at where it stands
 * @param report gets what is wrong
 * @returns for how long an answer about a token is taken, in milliseconds
 */
export function buildCache(raw: string | 0 | undefined, at: Path, report: Report): number {
  const cache = milliseconds(raw, CACHE);
  if (cache < SHORTEST_CACHE || cache > LONGEST_CACHE) report.error(at, 'expected 1s to 1h');
  return cache;
}

/**
 * @param written a URL
 * @param at where it stands
 * @param why what could happen to plaintext
 * @param source gets what is wrong
 * @returns https, or http on loopback, without user, query and fragment; `undefined` when a fault was reported
 */
export function providerUrl(written: string, at: Path, why: string, { report }: SecretSource): string | undefined {
  const url = /^https?:\/\/[\x21-\x7e]+$/i.test(written) ? URL.parse(written) : null;
  const fault =
    url === null
      ? 'expected a URL such as https://id.example/keys'
      : /[?#\\]|^https?:\/\/[^/]*@/i.test(written)
        ? 'expected no user, no query and no fragment'
        : url.protocol === 'http:' && !isLoopbackHost(bareHost(url))
          ? `expected https beyond loopback: ${why}`
          : undefined;
  if (fault !== undefined) report.error(at, fault);
  return fault === undefined ? url?.href : undefined;
}

function readKeyFile(written: string, at: Path, source: SecretSource): string | undefined {
  const [name, text] = readText(written, at, source);
  if (text === undefined) return undefined;
  const fault = jwksFault(text);
  if (fault !== undefined) source.report.unresolved(at, `${name} ${fault}`);
  return fault === undefined ? text : undefined;
}

function jwksFault(text: string): string | undefined {
  const set = parseUnambiguous(Buffer.from(text));
  if (text.trimStart().startsWith('-----BEGIN'))
    return 'is PEM: expected a JWK Set, which is JSON (RFC 7517 section 5)';
  if (typeof set === 'string') return set;
  const { keys } = set;
  if (!Array.isArray(keys)) return 'is no JWK Set: it has no list "keys" (RFC 7517 section 5)';
  if (keys.length === 0) return 'has no keys: every token would be refused';
  for (const key of keys as readonly unknown[]) {
    if (typeof key !== 'object' || key === null || !('kty' in key)) return 'has a key without "kty"';
    if (PRIVATE.some((member) => member in key)) return 'holds a private or secret key: only public ones belong there';
  }
  return undefined;
}

/**
 * @param written path of a file with the certificates of authorities
 * @param at where it stands
 * @param source where to look
 * @returns the certificates, PEM, or `undefined` when a fault was reported
 */
export async function readCa(written: string, at: Path, source: SecretSource): Promise<string | undefined> {
  // What reads certificates is of no use without any.
  const { readAuthorities } = await import('./certificate.ts');
  return readAuthorities(written, at, source)?.pem;
}

/** Kubernetes makes such a file readable for all that run in the container: no word about its mode. */
function readBearer(written: string, at: Path, source: SecretSource): string | undefined {
  const [name, text] = readText(written, at, source);
  const bearer = text?.replace(/\r?\n$/, '');
  const fault = bearer === undefined ? undefined : secretFault(bearer);
  if (fault !== undefined) source.report.unresolved(at, `${name} ${fault}`);
  return fault === undefined ? bearer : undefined;
}

function readText(written: string, at: Path, { file, world, report }: SecretSource): readonly [string, string?] {
  const name = resolvePath(written, file, world.home);
  try {
    return [name, world.readFile(name)];
  } catch (error) {
    report.unresolved(at, `${name} ${readFaultWords(error)}`);
    return [name];
  }
}
