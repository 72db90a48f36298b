/** Scope arithmetic: the one place where scopes are compared. Pure. */
import { SCOPES, type Scope } from './types.ts';

const KNOWN: ReadonlySet<string> = new Set(SCOPES);

/** What each scope brings with it. The gateway lets `operator.write` read and talk; admin is everything. */
const IMPLIES: Partial<Record<Scope, readonly Scope[]>> = {
  'operator.admin': SCOPES,
  'operator.write': ['operator.read', 'operator.talk'],
  'operator.sessions.write': ['operator.sessions.read'],
};

/**
 * @param value any text
 * @returns whether it is the exact name of a scope
 */
export function isScope(value: string): value is Scope {
  return KNOWN.has(value);
}

/**
 * @param scopes scopes as they were granted
 * @returns these and all that they imply
 */
export function expandScopes(scopes: readonly Scope[]): ReadonlySet<Scope> {
  return new Set(scopes.flatMap((scope) => [scope, ...(IMPLIES[scope] ?? [])]));
}

/**
 * @param granted scopes as they were granted
 * @param needed the scope that a route asks for
 * @returns whether the grant covers it
 */
export function hasScope(granted: readonly Scope[], needed: Scope): boolean {
  for (const scope of granted) {
    if (scope === needed || IMPLIES[scope]?.includes(needed)) return true;
  }
  return false;
}

/**
 * Both sides are expanded by implication and intersected; the result is named by the least set that
 * expands to it. Asked `operator.admin`, allowed `operator.write` gives `operator.write`.
 *
 * @param asked scopes that somebody asks for
 * @param allowed scopes that they may have at most
 * @returns the scopes they get, in the order of `SCOPES`
 */
export function intersectScopes(asked: readonly Scope[], allowed: readonly Scope[]): Scope[] {
  const ceiling = expandScopes(allowed);
  const common = [...expandScopes(asked)].filter((scope) => ceiling.has(scope));
  const implied = new Set(common.flatMap((scope) => (IMPLIES[scope] ?? []).filter((other) => other !== scope)));
  return SCOPES.filter((scope) => common.includes(scope) && !implied.has(scope));
}
