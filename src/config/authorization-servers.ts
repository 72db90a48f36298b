/** Whom a client can get a token from that is taken here, and what it can ask for there. Pure. */
import { hasScope, expandScopes, intersectScopes } from '../scopes.ts';
import type { Scope } from '../types.ts';
import { sectionOf } from './claim-path.ts';
import { providersOf, type ClaimRules } from './claim-rules.ts';
import type { Config } from './config.ts';

type Providers = Pick<Config, 'issuers' | 'introspection'>;

/** What RFC 6749 section 3.3 calls a list of scopes: values of other claims, such as roles, are not asked for. */
const SCOPE_CLAIMS: ReadonlySet<string> = new Set(['scope', 'scp']);
/** RFC 6749 section 3.3, `scope-token`. */
const SCOPE_TOKEN = /^[\x21\x23-\x5b\x5d-\x7e]+$/;

/**
 * @param config its providers
 * @returns the issuer identifiers of those whom a client can ask (RFC 8414 section 2); one whose tokens are verified by
 *   a shared secret is none, and where an assertion is added by a proxy the client asks nobody
 */
export function authorizationServers(config: Providers): string[] {
  const { introspection } = config;
  const issuers = askable(config).map(({ issuer }) => issuer);
  const all = introspection?.issuer === undefined ? issuers : [...issuers, introspection.issuer];
  return [...new Set(all)].filter((issuer) => /^https?:\/\//.test(issuer));
}

/**
 * @param config its providers
 * @returns the scopes that can be asked for there, as they call them
 */
export function scopesToAskFor(config: Providers): string[] {
  return [...new Set(sections(config).flatMap((rules) => grants(rules).map(([value]) => value)))];
}

/**
 * @param config its providers
 * @param caller the name of a caller, with that of its section before a colon where it has one
 * @param needed scope of a route
 * @returns what this caller's provider calls a scope that grants it, the least of them; `undefined` where none does. For
 *   a caller of `callers` it is the scope itself
 */
export function scopeToAskFor(config: Providers, caller: string, needed: Scope): string | undefined {
  const section = sectionOf(caller);
  if (section === undefined) return needed;
  const rules = sections(config).find(({ name }) => name === section);
  if (!rules || !hasScope(rules.scopes.ceiling, needed)) return undefined;
  const fitting = grants(rules).filter(([, scopes]) => hasScope(scopes, needed));
  return fitting.sort(([, one], [, other]) => expandScopes(one).size - expandScopes(other).size)[0]?.[0];
}

function askable({ issuers }: Providers) {
  return issuers.filter(({ header, keys }) => header === 'authorization' && keys.kind !== 'secret');
}

function sections(config: Providers): ClaimRules[] {
  return providersOf<ClaimRules>({ ...config, issuers: askable(config) });
}

/** What each value would grant without the ceiling; those that grant nothing under it are left out. */
function grants({ scopes: { claim, map, ceiling } }: ClaimRules): (readonly [string, readonly Scope[]])[] {
  if (!SCOPE_CLAIMS.has(claim.join('.'))) return [];
  if (!map) return ceiling.map((scope) => [scope, [scope]]);
  return [...map].filter(([value, scopes]) => SCOPE_TOKEN.test(value) && intersectScopes(scopes, ceiling).length > 0);
}
