/** Whether identity providers answer: the keys of issuers, and the endpoint of introspection. */
import { hash } from 'node:crypto';
import type { Config } from '../config/config.ts';
import { refuse } from '../errors.ts';
import type { RawToken } from '../types.ts';
import type { DoctorWorld } from './ask.ts';
import { found, yaml, type Found } from './finding.ts';

/** No token of anybody: an endpoint that works calls it inactive. */
const NO_TOKEN = 'auth-shim-doctor' as RawToken;

/**
 * @param config whose providers
 * @param world clock and names
 * @returns one finding for each that is asked over the network; each has 5 seconds or so
 */
export async function examineProviders(config: Config, world: Pick<DoctorWorld, 'now' | 'lookup'>): Promise<Found[]> {
  const found = await Promise.all([
    ...config.issuers.map((issuer) => examineIssuer(issuer, world)),
    ...(config.introspection ? [examineIntrospection(config.introspection, world)] : []),
  ]);
  return found.flat();
}

type World = Pick<DoctorWorld, 'now' | 'lookup'>;

async function examineIssuer(issuer: Config['issuers'][number], { now, lookup }: World): Promise<Found[]> {
  const { name, keys: from } = issuer;
  if (from.kind === 'tokenReview') {
    return [found('not_examined', `the issuer ${name}: its API server is asked about tokens alone.`)];
  }
  if (!('url' in from)) return [];
  const { createKeys } = await import('../callers/keys.ts');
  let why = '';
  const keys = await createKeys(issuer, { now, lookup, logger: keeping((reason) => (why = reason)) });
  try {
    if (await keys.load()) return [found('provider_reachable', `the keys of the issuer ${name} can be fetched.`)];
  } finally {
    keys.close();
  }
  const words = `the keys of the issuer ${name} cannot be fetched: ${why}. Its callers get 503.`;
  return [
    found('provider_unreachable', words, [yaml('issuers:', `  - name: ${name}`, `    ${from.kind}: ${from.url}`)]),
  ];
}

async function examineIntrospection(
  config: NonNullable<Config['introspection']>,
  { now, lookup }: World,
): Promise<Found[]> {
  const { name, endpoint } = config;
  const { createIntrospector } = await import('../callers/introspection.ts');
  let why = '';
  const logger = keeping((reason) => (why = reason));
  const callerFrom = () => refuse('invalid_token');
  const introspector = await createIntrospector(config, { now, lookup, logger, callerFrom });
  await introspector.verify(NO_TOKEN, hash('sha256', NO_TOKEN), now());
  introspector.close();
  if (why === '') return [found('provider_reachable', `the introspection endpoint of ${name} answers.`)];
  const words = `tokens of ${name} cannot be asked about: ${why}. Their callers get 503.`;
  return [found('provider_unreachable', words, [yaml('introspection:', `  endpoint: ${endpoint}`)])];
}

/** What would be logged is told instead. */
function keeping(tell: (reason: string) => void) {
  return { info: () => undefined, warn: ({ reason }: { readonly reason?: unknown }) => tell(String(reason)) };
}
