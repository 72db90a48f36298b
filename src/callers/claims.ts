/** From the claims of a verified token to the caller that they name. Pure. */
import { NAME_PART, type ClaimPath } from '../config/claim-path.ts';
import type { ClaimRules } from '../config/claim-rules.ts';
import { intersectScopes, isScope } from '../scopes.ts';
import type { Caller, Scope } from '../types.ts';

type Claims = Readonly<Record<string, unknown>>;

/** Values of the scopes claim that granted nothing. */
export interface Dropped {
  readonly count: number;
  /** At most 8 of them, of at most 64 characters of printable ASCII each. */
  readonly examples: readonly string[];
}

/** Whom claims name. */
export interface Named {
  readonly caller: Caller;
  /** For the log; `undefined`: every value was known. */
  readonly dropped: Dropped | undefined;
}

/** Why claims name nobody, in words that quote no value of theirs. */
export interface Nameless {
  readonly fault: string;
}

const MISSING_WITHIN = ': it is missing (a dot within the name of a claim is written "\\.")';
const MOST_NAME = 128;
const MOST_EXAMPLES = 8;
const MOST_EXAMPLE = 64;
/** These alone are lists when they are texts (RFC 8693 section 4.2; `scp` is what Azure writes so). */
const SPACED: ReadonlySet<string> = new Set(['scope', 'scp']);

/**
 * The name is `<name of the section>:` and the template, where each claim must be a text and is taken byte for byte:
 * nothing is trimmed, folded or escaped. As a whole it has 1 to 128 characters of visible ASCII (0x21 to 0x7e) without
 * `,`, `"` and `\`. It is nobody else's: names in `callers` have neither `:` nor `/`, and in a name of another shim's
 * caller (`shim/name`) a `/` comes before any `:`. A value that is followed by another claim must not have the
 * character that ends it, so that no two sets of claims give one name.
 *
 * Of the scopes claim, a list has one value an item; a text is one value, but for `scope` and `scp`, whose values are
 * separated by spaces. What a value grants is looked up exactly, then cut to the ceiling. Nothing known is no scope.
 *
 * @param rules of the section that it is a token of
 * @param claims of a token that was verified; names of claims are own properties
 * @returns the caller, or why there is none
 */
export function callerFrom(rules: ClaimRules, claims: Claims): Named | Nameless {
  // RFC 7800: it is good only together with a key, whose proof is not asked for here (RFC 8705, RFC 9449).
  if (Object.hasOwn(claims, 'cnf')) return { fault: 'it is bound to a key (cnf), and no bearer token' };
  for (const { claim, values } of rules.match) {
    const found = claimAt(claims, claim);
    const all: readonly unknown[] = Array.isArray(found) ? found : [found];
    if (values.some((value) => all.includes(value))) continue;
    const why = found !== undefined ? '' : claim.length > 1 ? MISSING_WITHIN : ': it is missing';
    return { fault: `${words(claim)} is not what match asks for${why}` };
  }
  const name = nameFrom(rules, claims);
  if (typeof name !== 'string') return name;
  const { granted, dropped } = scopesFrom(rules.scopes, claims);
  return {
    caller: { ...rules.policy, name, tokens: [], scopes: intersectScopes(granted, rules.scopes.ceiling) },
    dropped,
  };
}

function nameFrom({ name: section, template }: ClaimRules, claims: Claims): string | Nameless {
  let name = `${section}:`;
  for (const [index, piece] of template.entries()) {
    if (typeof piece === 'string') {
      name += piece;
      continue;
    }
    const value = claimAt(claims, piece);
    if (typeof value !== 'string')
      return { fault: `${words(piece)} is ${value === undefined ? 'missing' : 'no text'}` };
    if (value === '') return { fault: `${words(piece)} is empty` };
    if (value.length > MOST_NAME) return { fault: `${words(piece)} is longer than a name may be` };
    if (!NAME_PART.test(value)) return { fault: `${words(piece)} has a character that a name may not have` };
    const [end] = (template[index + 1] ?? '') as string;
    const last = index + 2 === template.length;
    if (!last && end !== undefined && value.includes(end)) {
      return { fault: `${words(piece)} has a "${end}", which ends it in the name` };
    }
    name += value;
  }
  return name.length > MOST_NAME ? { fault: `the name is longer than ${MOST_NAME} characters` } : name;
}

function scopesFrom({ claim, map }: ClaimRules['scopes'], claims: Claims) {
  const granted = new Set<Scope>();
  const examples: string[] = [];
  let count = 0;
  for (const value of valuesOf(claimAt(claims, claim), claim.at(-1) ?? '')) {
    const scopes = typeof value === 'string' ? grantsOf(value, map) : undefined;
    for (const scope of scopes ?? []) granted.add(scope);
    if (scopes) continue;
    count += 1;
    if (examples.length < MOST_EXAMPLES) examples.push(printable(value));
  }
  const dropped: Dropped | undefined = count === 0 ? undefined : { count, examples };
  return { granted: [...granted], dropped };
}

/** Exact: what has a comma or a control character is in no map, and is the name of no scope. */
function grantsOf(value: string, map: ClaimRules['scopes']['map']): readonly Scope[] | undefined {
  if (map) return map.get(value);
  return isScope(value) ? [value] : undefined;
}

/** A subject can hold spaces: split, one part of it could be another's. */
function valuesOf(value: unknown, name: string): readonly unknown[] {
  if (value === undefined) return [];
  if (Array.isArray(value)) return value;
  if (typeof value !== 'string' || !SPACED.has(name)) return [value];
  return value.split(' ').filter((one) => one !== '');
}

function claimAt(claims: Claims, path: ClaimPath): unknown {
  let value: unknown = claims;
  for (const step of path) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    if (!Object.hasOwn(value, step)) return undefined;
    value = (value as Claims)[step];
  }
  return value;
}

function words(claim: ClaimPath): string {
  return `its claim ${claim.join('.')}`;
}

function printable(value: unknown): string {
  if (typeof value !== 'string')
    return Array.isArray(value) ? '(a list)' : `(${value === null ? 'null' : typeof value})`;
  return value.slice(0, MOST_EXAMPLE).replaceAll(/[^\x20-\x7e]/g, '?');
}
