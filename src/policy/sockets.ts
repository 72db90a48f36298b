/** May they: WebSockets. What is asked in their frames the gateway judges, by the scopes of the connection. */
import { isDeepStrictEqual } from 'node:util';
import { sectionOf } from '../config/claim-path.ts';
import { refuse, type Refusal } from '../errors.ts';
import { hasScope } from '../scopes.ts';
import type { Caller, MethodPolicy, Scope, SocketRoute } from '../types.ts';

/** The gateway has other sockets on other paths. */
const TARGET = '/';

/**
 * @param caller who asks
 * @param target the request target, byte for byte
 * @returns the route, or why not
 */
export function authorizeSocket({ name, websocket }: Caller, target: string): SocketRoute | Refusal {
  if (target !== TARGET) return refuse('route_not_exposed');
  if (websocket === undefined) {
    return refuse('route_not_exposed', {
      message: `WebSocket is off for this caller. The operator can set ${whereSet(name)}.`,
      reason: `${name} has no websocket`,
    });
  }
  return { method: 'GET', template: TARGET, websocket };
}

/** A caller of a provider has the policy of its section. */
function whereSet(name: string): string {
  const section = sectionOf(name);
  return section === undefined ? 'callers[].websocket' : `policy.websocket of "${section}"`;
}

/**
 * @param caller who asks
 * @param request without an upgrade
 * @param refusal that it would get
 * @returns the refusal that says what is missing, where nothing else is (RFC 9110 section 15.5.22)
 */
export function wantsUpgrade(
  { websocket }: Caller,
  { method, path }: { readonly method: string; readonly path: string },
  { code }: Refusal,
): Refusal | undefined {
  const lacks = websocket !== undefined && method === 'GET' && path === TARGET && code === 'route_not_exposed';
  return lacks ? refuse('upgrade_required', { headers: ['upgrade', 'websocket'] }) : undefined;
}

/** What an open WebSocket was given. */
export interface SocketGrant {
  readonly mode: SocketRoute['websocket'];
  readonly scopes: readonly Scope[];
  readonly methods: MethodPolicy | undefined;
}

/**
 * @param caller whose policy may have changed since
 * @param grant what the socket was given then
 * @returns whether they would still be given as much, and no less narrowly
 */
export function keepsSocket(caller: Caller, { mode, scopes, methods }: SocketGrant): boolean {
  return (
    caller.websocket === mode &&
    scopes.every((scope) => hasScope(caller.scopes, scope)) &&
    isDeepStrictEqual(caller.methods, methods)
  );
}
