/** What the gateway is told about a caller, by hop. Pure. */
import { isLoopback } from '../config/address.ts';
import type { Config, GatewayAuth } from '../config/config.ts';
import { foldName } from '../headers/families.ts';
import type { Caller, Route } from '../types.ts';

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

/**
 * @param config the running configuration
 * @returns every secret value that the gateway is sent
 */
export function secretsOf({ gateway: { auth }, routes }: Config): string[] {
  const own =
    'secret' in auth ? [auth.secret] : 'requiredHeaders' in auth ? auth.requiredHeaders.map(([, value]) => value) : [];
  const all = [...own, ...routes.flatMap(({ hooksToken }) => hooksToken ?? [])];
  // As they are, and as they stand in JSON.
  const forms = all.flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1)]);
  return [...new Set(forms)].filter((secret) => secret.length >= SHORTEST);
}

/** The headers that make the hop: built once a configuration, asked once a request. */
export interface Presenter {
  /** @returns names and values, alternating; every name exactly once, scopes also when empty */
  present(who: Presented): string[];
  /** Folded names of configured headers that are secret: never taken from a caller, never shown to one. */
  readonly secretNames: ReadonlySet<string>;
}

/**
 * The scopes header is always sent: without it the gateway gives full operator power from 2026.4.1 on (modes
 * `none` and `trusted-proxy`). Forwarded headers go to a trusted-proxy gateway alone: from 2026.8.1 on any of
 * them from elsewhere is `proxy_attribution_required`.
 *
 * @param auth how the gateway authenticates
 * @returns the presenter of this hop
 */
export function createPresenter(auth: GatewayAuth): Presenter {
  switch (auth.mode) {
    case 'token':
    case 'password': {
      const bearer = `Bearer ${auth.secret}`;
      return {
        secretNames: new Set(),
        present: ({ caller, route }) =>
          route.hooksToken === undefined
            ? ['authorization', bearer, 'x-openclaw-scopes', caller.scopes.join(',')]
            : hooks(caller, route.hooksToken),
      };
    }
    case 'none':
      return {
        secretNames: new Set(),
        present: ({ caller, route }) =>
          route.hooksToken === undefined ? scopes(caller) : hooks(caller, route.hooksToken),
      };
    case 'trusted-proxy': {
      const required = auth.requiredHeaders.flat();
      const names = [auth.userHeader, ...auth.requiredHeaders.map(([name]) => name)];
      return {
        secretNames: new Set(names.map(foldName)),
        present: ({ caller, route, peer, host }) => [
          auth.userHeader,
          caller.name,
          ...required,
          'x-forwarded-for',
          clientAddress(peer, auth.clientAddress),
          'x-forwarded-proto',
          'http',
          'x-forwarded-host',
          host,
          ...(route.hooksToken === undefined ? scopes(caller) : hooks(caller, route.hooksToken)),
        ],
      };
    }
  }
}

function scopes(caller: Caller): string[] {
  return ['x-openclaw-scopes', caller.scopes.join(',')];
}

function hooks(caller: Caller, token: string): string[] {
  return ['x-openclaw-token', token, ...scopes(caller)];
}

/** A loopback client is "unattributable" to the gateway, so a configured address stands for it. */
function clientAddress(peer: string | undefined, standIn: string): string {
  return peer === undefined || isLoopback(peer) ? standIn : peer;
}
