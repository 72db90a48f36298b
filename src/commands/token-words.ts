/** The words of `explain --token` for what checks of a JWT are about. Values of a token are cut, and made printable. */
import type { JWTHeaderParameters } from 'jose';
import { callerFrom, type Named } from '../callers/claims.ts';
import type { Check } from '../callers/checks.ts';
import type { ClaimRules } from '../config/claim-rules.ts';
import type { IssuerConfig } from '../config/issuers.ts';
import { formatInstant } from '../config/units.ts';
import { hasScope } from '../scopes.ts';
import { SCOPES, type Token } from '../types.ts';

export type Claims = Readonly<Record<string, unknown>>;

/** What is known of a token by the checks that it has passed; `header` and `iss` may be anybody's words. */
export interface Known {
  readonly header?: JWTHeaderParameters;
  readonly iss?: unknown;
  readonly issuer?: IssuerConfig;
  /** Of a token whose signature is right. */
  readonly claims?: Claims;
}

const MOST_SHOWN = 128;
const MOST_LISTED = 8;

/**
 * @param value of a header or claim
 * @returns it in printable ASCII, a text in quotes
 */
export function quoted(value: unknown): string {
  if (value === undefined) return 'none';
  if (Array.isArray(value)) {
    const more = value.length > MOST_LISTED ? ` and ${value.length - MOST_LISTED} more` : '';
    return `[${value
      .slice(0, MOST_LISTED)
      .map((one) => (Array.isArray(one) ? '(a list)' : quoted(one)))
      .join(', ')}]${more}`;
  }
  if (typeof value === 'object') return value === null ? 'null' : '(a map)';
  if (typeof value !== 'string') return JSON.stringify(value);
  const cut = value.length > MOST_SHOWN ? '...' : '';
  return `"${value.slice(0, MOST_SHOWN).replaceAll(/[^\x20-\x7e]/g, '?')}${cut}"`;
}

/**
 * @param known of the token by now
 * @param now milliseconds since the epoch
 * @returns what each check looks at, as far as it is known
 */
export function factsOf({ header, iss, issuer, claims }: Known, now: number): Partial<Record<Check, string>> {
  if (!header) return {};
  const { alg, kid, typ, crit } = header;
  const shown = `alg ${quoted(alg)}, kid ${quoted(kid)}, typ ${quoted(typ)}, crit ${quoted(crit)}`;
  if (!issuer) return { form: shown, issuer: `it is ${quoted(iss)}` };
  const { keys, algorithms, requireTyp, audience, clockTolerance } = issuer;
  return {
    form: shown,
    issuer: `${quoted(iss)} is "${issuer.name}"`,
    header: `algorithms: ${algorithms.join(', ')}; shown in ${issuer.header}`,
    keys:
      'url' in keys
        ? `${keys.kind} ${keys.url}`
        : 'api' in keys
          ? `${keys.kind} ${keys.api}`
          : `of the configuration (${keys.kind})`,
    key: `for alg ${quoted(alg)} and kid ${quoted(kid)}`,
    signature: claims ? 'right' : '',
    typ: requireTyp === undefined ? 'none is asked for' : `asked for: ${requireTyp}`,
    ...(claims && {
      claims: 'those that must be there: iss, aud, exp',
      iss: quoted(claims.iss),
      aud: `${quoted(claims.aud)}, one of: ${audience.join(', ')}`,
      time: `${timeWords(claims, now)}; tolerance ${clockTolerance / 1_000} s`,
    }),
  };
}

/** What a `Date` can be (ECMA-262 section 21.4.1.1), in seconds. */
const LAST_SECOND = 8.64e12;

/**
 * @param claims of a token that was verified
 * @param now milliseconds since the epoch
 * @returns what its `exp`, `nbf` and `iat` say
 */
export function timeWords(claims: Claims, now: number): string {
  const { exp, nbf, iat } = claims;
  const odd = Object.entries({ exp, nbf, iat }).flatMap(([name, value]) =>
    value === undefined || (typeof value === 'number' && Math.abs(value) <= LAST_SECOND) ? [] : [`${name} is no time`],
  );
  if (odd.length > 0) return odd.join(', ');
  const at = (seconds: unknown): number | undefined => (seconds === undefined ? undefined : Number(seconds) * 1_000);
  const issued = at(iat);
  const times = momentsOf({ notBefore: at(nbf), expires: at(exp) }, now);
  return `${times}${issued === undefined ? '' : `, issued ${relative(issued, now)}`}`;
}

/**
 * @param moments milliseconds since the epoch
 * @param now the same
 * @returns `expired 3 minutes ago (2027-01-31 12:00 UTC)`
 */
export function momentsOf(
  { notBefore, expires }: { readonly [Key in 'notBefore' | 'expires']?: Token[Key] | undefined },
  now: number,
): string {
  const told = (at: number): string => `${relative(at, now)} (${formatInstant(at)})`;
  return [
    ...(notBefore !== undefined && now < notBefore ? [`begins ${told(notBefore)}`] : []),
    expires === undefined ? 'does not expire' : `${now < expires ? 'expires' : 'expired'} ${told(expires)}`,
  ].join(', ');
}

const UNITS = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
] as const;

/** `in 52 minutes`, `3 minutes ago`: whole units, the largest that there is one of. */
function relative(at: number, now: number): string {
  const apart = at - now;
  const [unit, length] = UNITS.find(([, one]) => Math.abs(apart) >= one) ?? (['second', 1_000] as const);
  return new Intl.RelativeTimeFormat('en').format(Math.trunc(apart / length), unit);
}

/**
 * @param issuer whose token it is, or the section that was asked about it
 * @param claims that name a caller
 * @param named that caller
 * @returns what the scopes claim has, what that grants, and what the ceiling leaves of it
 */
export function scopeWords(issuer: ClaimRules, claims: Claims, { caller, dropped }: Named): string {
  const { claim, ceiling } = issuer.scopes;
  const under = (scopes: Partial<ClaimRules['scopes']>): Named =>
    callerFrom({ ...issuer, scopes: { ...issuer.scopes, ...scopes } }, claims) as Named;
  // Where no value is known, all are dropped: so they are all told, by who reads them.
  const values = under({ map: new Map() }).dropped;
  const granted = under({ ceiling: SCOPES }).caller.scopes;
  const cut = granted.filter((scope) => !hasScope(caller.scopes, scope));
  return [
    `${claim.join('.')}: ${listed(values)}`,
    `granted: ${granted.join(', ') || 'none'}`,
    `with the ceiling (${ceiling.join(', ') || 'none'}): ${caller.scopes.join(', ') || 'none'}`,
    ...(cut.length > 0 ? [`cut: ${cut.join(', ')}`] : []),
    ...(dropped ? [`dropped, since they grant nothing: ${listed(dropped)}`] : []),
  ].join('; ');
}

function listed(values: Named['dropped']): string {
  if (!values) return 'none';
  const { count, examples } = values;
  const more = count > examples.length ? ` and ${count - examples.length} more` : '';
  return `${examples.map(quoted).join(', ')}${more}`;
}
