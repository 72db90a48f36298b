/** What the gateway is told about a caller, by hop. Pure. */
import { isLoopback } from '../config/address.ts';
import type { Config, GatewayAuth } from '../config/config.ts';
import { foldName } from '../headers/families.ts';
import { ON_BEHALF, type Caller, type Route, type Scope, type SocketMode } from '../types.ts';

/** Required headers may also have values such as `1`, which are no secrets and stand everywhere. */
const SHORTEST = 8;

/** Who asks, as far as the gateway is concerned. */
export interface Presented {
  readonly caller: Caller;
  readonly route: Route;
  /** The caller's address after trusted proxies; `undefined` for a unix socket. */
  readonly peer: string | undefined;
  /** `Host` as the caller sent it. */
  readonly host: string;
}

/** Who asks for a WebSocket, and with which scopes. */
export interface PresentedSocket extends Omit<Presented, 'route'> {
  readonly mode: SocketMode;
  readonly scopes: readonly Scope[];
}

/** The credential in the first frame of a WebSocket; a header alone authenticates nothing there. */
export type ConnectAuth = { readonly token: string } | { readonly password: string };

/**
 * @param config the running configuration
 * @returns every secret value that the gateway is sent
 */
export function secretsOf({ gateway: { auth }, routes }: Config): string[] {
  const own =
    'secret' in auth
      ? [auth.secret]
      : 'requiredHeaders' in auth
        ? [...auth.requiredHeaders.map(([, value]) => value), ...(auth.password === undefined ? [] : [auth.password])]
        : [];
  const all = [...own, ...routes.flatMap(({ hooksToken }) => hooksToken ?? [])];
  // As they are, and as they stand in JSON.
  const forms = all.flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1)]);
  return [...new Set(forms)].filter((secret) => secret.length >= SHORTEST);
}

/** The headers that make the hop: built once a configuration, asked once a request. */
export interface Presenter {
  /** @returns names and values, alternating; every name exactly once, scopes also when empty */
  present(who: Presented): string[];
  /** @returns the same for a WebSocket, whose secret stands in its first frame */
  presentSocket(who: PresentedSocket): string[];
  /** What the shim's own first frame shows; `undefined` where the headers are the credential, or none is asked. */
  readonly connectAuth: ConnectAuth | undefined;
  /** Folded names of configured headers that are secret: never taken from a caller, never shown to one. */
  readonly secretNames: ReadonlySet<string>;
}

/**
 * The scopes header is always sent: without it the gateway gives full operator power from 2026.4.1 on (modes
 * `none` and `trusted-proxy`). Forwarded headers go to a trusted-proxy gateway alone: from 2026.8.1 on any of
 * them from elsewhere is `proxy_attribution_required`.
 *
 * @param auth how the gateway authenticates
 * @param scheme by which callers reach the shim
 * @returns the presenter of this hop
 */
export function createPresenter(auth: GatewayAuth, scheme: 'http' | 'https' = 'http'): Presenter {
  switch (auth.mode) {
    case 'token':
    case 'password': {
      const bearer = `Bearer ${auth.secret}`;
      return {
        secretNames: new Set(),
        present: ({ caller, route }) =>
          route.hooksToken === undefined
            ? ['authorization', bearer, ...scopes(caller.scopes)]
            : hooks(caller, route.hooksToken),
        presentSocket: ({ scopes: given }) => scopes(given),
        connectAuth: auth.mode === 'token' ? { token: auth.secret } : { password: auth.secret },
      };
    }
    case 'none':
      return {
        secretNames: new Set(),
        present: ({ caller, route }) =>
          route.hooksToken === undefined ? scopes(caller.scopes) : hooks(caller, route.hooksToken),
        presentSocket: ({ scopes: given }) => scopes(given),
        connectAuth: undefined,
      };
    case 'shim': {
      const identity = (name: string, given: readonly Scope[]): string[] => [
        ON_BEHALF.caller,
        name,
        ON_BEHALF.scopes,
        given.join(','),
      ];
      return {
        secretNames: new Set(),
        present: ({ caller }) => identity(caller.name, caller.scopes),
        presentSocket: ({ caller, scopes: given }) => identity(caller.name, given),
        connectAuth: undefined,
      };
    }
    case 'trusted-proxy': {
      const required = auth.requiredHeaders.flat();
      const names = [auth.userHeader, ...auth.requiredHeaders.map(([name]) => name)];
      const identity = ({ caller, peer, host }: Omit<Presented, 'route'>): string[] => [
        auth.userHeader,
        caller.name,
        ...required,
        'x-forwarded-for',
        clientAddress(peer, auth.clientAddress),
        'x-forwarded-proto',
        scheme,
        'x-forwarded-host',
        host,
      ];
      const { password } = auth;
      return {
        secretNames: new Set(names.map(foldName)),
        present: (who) => [
          ...identity(who),
          ...(who.route.hooksToken === undefined ? scopes(who.caller.scopes) : hooks(who.caller, who.route.hooksToken)),
        ],
        // The password is taken of a local client alone, and any header of a proxy makes one that is not.
        presentSocket: (who) => [
          ...(who.mode === 'relay' && password !== undefined ? [] : identity(who)),
          ...scopes(who.scopes),
        ],
        connectAuth: password === undefined ? undefined : { password },
      };
    }
  }
}

function scopes(given: readonly Scope[]): string[] {
  return ['x-openclaw-scopes', given.join(',')];
}

function hooks(caller: Caller, token: string): string[] {
  return ['x-openclaw-token', token, ...scopes(caller.scopes)];
}

/** A loopback client is "unattributable" to the gateway, so a configured address stands for it. */
function clientAddress(peer: string | undefined, standIn: string): string {
  return peer === undefined || isLoopback(peer) ? standIn : peer;
}
