/** May they: route, scope, and the gateway's own headers that a caller sent. */
import type { Config } from '../config/config.ts';
import { DEFAULT_ROUTES } from '../config/routes.ts';
import { refuse, type Refusal } from '../errors.ts';
import { hasScope } from '../scopes.ts';
import { CALLER_HEADERS, type Caller, type CallerHeader, type Route } from '../types.ts';
import { compileRoutes } from './routes.ts';
import { checkSessionKey } from './session.ts';

/** What policy has to know of a request. */
export interface PolicyRequest {
  readonly method: string;
  readonly path: string;
  /** The caller's `x-openclaw-…` headers that a policy may allow, by lower-case name. */
  readonly openclaw: ReadonlyMap<string, string>;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** A "yes", with what follows from the caller's policy. */
export interface Permission {
  readonly kind: 'permission';
  readonly route: Route;
  /** Headers towards the gateway that stem from policy: names and values, alternating. */
  readonly headers: string[];
  /** Headers that the caller sent and may not. */
  readonly dropped: readonly CallerHeader[];
  /** The tools that the body must be checked against before it is sent on. */
  readonly tools: readonly string[] | undefined;
  /** What it would have been refused for, were the caller's policy not only reported. */
  readonly wouldRefuse?: 'insufficient_scope';
}

/**
 * @param caller who asks
 * @param request what they ask
 * @param seen is told the route as soon as it is known, so that a refusal can be logged with it
 */
export type Authorize = (caller: Caller, request: PolicyRequest, seen: (route: Route) => void) => Permission | Refusal;

const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);
const TOOLS_INVOKE = '/tools/invoke';
const SESSION_PATH = /^\/sessions\/([^/]+)/;

/**
 * @param config the running configuration
 * @returns every exposed route: the default table less what is closed, with what is added. `/tools/invoke` needs
 *   `operator.admin` where the gateway would run each invoke as its owner (token and password hop).
 */
export function exposedRoutes(config: Config): Route[] {
  const { mode } = config.gateway.auth;
  const ownerHop = mode === 'token' || mode === 'password';
  const defaults = DEFAULT_ROUTES.filter((route) => !config.closedRoutes.has(`${route.method} ${route.template}`)).map(
    (route): Route => (route.template === TOOLS_INVOKE && !ownerHop ? { ...route, scope: 'operator.write' } : route),
  );
  return [...defaults, ...config.routes];
}

/**
 * @param config the running configuration
 * @param randomId gives an id that nobody can guess, for a session of its own
 * @returns the function that says whether a caller may make a request
 */
export function createAuthorize(config: Config, randomId: () => string): Authorize {
  const closed = [...config.closedRoutes].map((route) => route.slice(route.indexOf(' ') + 1));
  const matchRoute = compileRoutes(closed, exposedRoutes(config));

  return (caller, { method, path, openclaw, now }, seen) => {
    const byMethod = matchRoute(path);
    const route = byMethod?.get(method);
    if (!route) {
      if (!byMethod && METHODS.has(method)) return refuse('route_not_exposed');
      return refuse('method_not_allowed', { allow: [...(byMethod?.keys() ?? [])] });
    }
    seen(route);
    const pinned = caller.agent !== undefined || caller.sessionPrefix !== undefined;

    // By path, so that an added route with another template opens no way round.
    const invokes = path === TOOLS_INVOKE;
    // Their bodies name agent and session themselves, where a pin could be gone round.
    if (pinned && (invokes || route.hooksToken !== undefined)) {
      return refuse('session_not_allowed', {
        message: 'A caller bound to an agent or a session may not use this route.',
      });
    }
    const tools = invokes ? caller.tools : undefined;
    const lacks = !tools && !hasScope(caller.scopes, route.scope);
    const reported = lacks && !invokes && reportsOnly(caller, route, now);
    if (lacks && !reported) {
      const held = caller.scopes.length > 0 ? caller.scopes.join(', ') : 'none';
      return refuse('insufficient_scope', {
        message: `This route needs the scope ${route.scope}; this caller has: ${held}.`,
        scope: route.scope,
      });
    }
    const session = SESSION_PATH.exec(path)?.[1];
    if (session !== undefined) {
      const refusal = checkSessionKey(caller, decodeURIComponent(session));
      if (refusal) return refusal;
    }
    const chosen = chooseHeaders(caller, openclaw, randomId);
    if ('kind' in chosen) return chosen;
    return { kind: 'permission', route, tools, ...chosen, ...(reported && { wouldRefuse: 'insufficient_scope' }) };
  };
}

/**
 * @param caller whose policy may have changed since
 * @param route where a request of theirs was let through
 * @param tools what its body was checked against, if it was
 * @returns whether they would still be let through, whichever of the tools it invokes
 */
export function keepsRoute(caller: Caller, route: Route, tools: readonly string[] | undefined): boolean {
  if (tools) return caller.tools !== undefined && tools.every((tool) => caller.tools?.includes(tool));
  const held = route.template === TOOLS_INVOKE && caller.tools !== undefined;
  return !held && hasScope(caller.scopes, route.scope);
}

/**
 * Where it may call from, and how much, is told to nobody.
 *
 * @param before a caller, as it was when the headers of a request were built
 * @param now the same caller by now
 * @returns whether these headers tell the gateway nothing that the caller may not be said to be any more
 */
export function keepsPolicy(before: Caller, now: Caller): boolean {
  return (
    before === now ||
    (before.scopes.every((scope) => hasScope(now.scopes, scope)) &&
      before.allowHeaders.every((name) => now.allowHeaders.includes(name)) &&
      before.agent === now.agent &&
      before.sessionPrefix === now.sessionPrefix)
  );
}

/**
 * Whether a missing scope is only reported. Never where the route gives the power of an administrator, or of the
 * secret that is sent along.
 *
 * @param caller who lacks the scope
 * @param route that asks for it
 * @param now milliseconds since the epoch
 */
export function reportsOnly(caller: Caller, route: Route, now: number): boolean {
  const { reportOnlyUntil: until } = caller;
  return until !== undefined && now < until && route.scope !== 'operator.admin' && route.hooksToken === undefined;
}

function chooseHeaders(
  caller: Caller,
  openclaw: ReadonlyMap<string, string>,
  randomId: () => string,
): Pick<Permission, 'headers' | 'dropped'> | Refusal {
  const headers: string[] = [];
  const dropped: CallerHeader[] = [];
  let hasSession = false;
  for (const name of CALLER_HEADERS) {
    const value = openclaw.get(name);
    if (value === undefined) continue;
    if (!mayChoose(caller, name)) {
      if (caller.onForbiddenHeader === 'refuse') {
        return refuse('header_not_allowed', { message: `This caller may not send the header ${name}.` });
      }
      dropped.push(name);
    } else if (name === 'x-openclaw-session-key') {
      const refusal = checkSessionKey(caller, value);
      if (refusal) return refusal;
      headers.push(name, value);
      hasSession = true;
    } else if (name !== 'x-openclaw-agent-id' || caller.agent === undefined) {
      headers.push(name, value);
    } else if (value !== caller.agent && caller.onForbiddenHeader === 'refuse') {
      // It may be what narrows the request, such as of another shim's caller: another agent is not what was asked for.
      return refuse('header_not_allowed', { message: `This caller is bound to the agent "${caller.agent}".` });
    }
  }
  if (caller.agent !== undefined) headers.push('x-openclaw-agent-id', caller.agent);
  if (caller.sessionPrefix !== undefined && !hasSession) {
    headers.push('x-openclaw-session-key', `${caller.sessionPrefix}${randomId()}`);
  }
  return { headers, dropped };
}

/** A session prefix is itself the permission to name a session within it; a pinned agent is nobody's choice. */
function mayChoose(caller: Caller, name: CallerHeader): boolean {
  if (name === 'x-openclaw-session-key' && caller.sessionPrefix !== undefined) return true;
  return caller.allowHeaders.includes(name);
}
