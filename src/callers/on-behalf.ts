/** Callers of another shim: whom it calls for, and what they may do here. Pure. */
import { refuse, type Refusal } from '../errors.ts';
import { intersectScopes, isScope } from '../scopes.ts';
import { ON_BEHALF, type Caller, type Scope } from '../types.ts';

/** Whom another shim calls for. */
export interface OnBehalf {
  /** As the other shim calls it. */
  readonly name: string;
  /** What the other shim lets it do. */
  readonly scopes: readonly Scope[];
}

/** Visible ASCII, as long as a name that a shim gives its callers. */
const NAME = /^[\x21-\x7e]{1,128}$/;
const SCOPE_NAME = /^[a-z]+(?:\.[a-z]+)+$/;

/** Who is judged: the caller itself, or the one that it calls for. */
export interface Acting {
  readonly caller: Caller;
  readonly onBehalf: OnBehalf | undefined;
}

/**
 * Only another shim may say whom it calls for, and it must: what is missing must never be taken for everything.
 *
 * @param caller who was authenticated
 * @param headers names, lower case, and values of all that fold to one of `ON_BEHALF`
 * @returns who is judged, or why the request is refused
 */
export function actingFor(caller: Caller, headers: readonly (readonly [string, string])[]): Acting | Refusal {
  if (!caller.onBehalf) {
    if (headers.length === 0) return { caller, onBehalf: undefined };
    const message = `This caller may not send ${ON_BEHALF.caller} or ${ON_BEHALF.scopes}: it has no onBehalf.`;
    return refuse('header_not_allowed', { message });
  }
  const onBehalf = readOnBehalf(headers);
  if (typeof onBehalf !== 'string') return { caller: actFor(caller, onBehalf), onBehalf };
  return refuse('bad_request', { message: `Bad request: ${onBehalf}.`, reason: onBehalf });
}

/**
 * @param shim the caller that the other shim is
 * @param onBehalf whom it calls for
 * @returns the caller that is judged: named `shim/name`, with what is asked for within what the shim may have at most
 */
export function actFor(shim: Caller, { name, scopes }: OnBehalf): Caller {
  return { ...shim, name: `${shim.name}/${name}`, scopes: intersectScopes(scopes, shim.scopes) };
}

/** An empty list of scopes is none at all; names that this version does not know are left out. */
function readOnBehalf(headers: readonly (readonly [string, string])[]): OnBehalf | string {
  const name = valueOf(ON_BEHALF.caller);
  const scopes = valueOf(ON_BEHALF.scopes);
  if (name === undefined || scopes === undefined) return `${ON_BEHALF.caller} and ${ON_BEHALF.scopes} are both needed`;
  if (headers.length !== 2) return `more than one ${ON_BEHALF.caller} or ${ON_BEHALF.scopes}`;
  if (!NAME.test(name)) return `${ON_BEHALF.caller} is no name`;
  const asked = scopes === '' ? [] : scopes.split(',');
  if (!asked.every((scope) => SCOPE_NAME.test(scope))) return `${ON_BEHALF.scopes} is no list of scopes`;
  return { name, scopes: asked.filter(isScope) };

  function valueOf(wanted: string): string | undefined {
    return headers.find(([header]) => header === wanted)?.[1];
  }
}
