/** Whom the stand-in gateway lets in, and with which scopes: the authentication of a real one, by release. */
import type { IncomingHttpHeaders } from 'node:http';
import { isScope } from '../scopes.ts';
import { SCOPES, type Scope } from '../types.ts';
import type { Rules } from './rules.ts';

/** `gateway.auth` of the gateway's own configuration. */
export type StandInAuth =
  | { readonly mode: 'token'; readonly token: string }
  | { readonly mode: 'password'; readonly password: string }
  | { readonly mode: 'none' }
  | {
      readonly mode: 'trusted-proxy';
      readonly userHeader: string;
      readonly requiredHeaders?: readonly string[];
      /** Whom it takes for users of its own; by default everybody. */
      readonly allowUsers?: readonly string[];
      readonly allowLoopback?: boolean;
      /** `gateway.auth.password`: lets local WebSocket clients in that no proxy speaks for. */
      readonly password?: string;
    };

const LOOPBACK = /^(?:127\.|::1$|::ffff:127\.)/;

/**
 * @returns whether the gateway knows the sender. It never says why not: every failure but the attribution
 *   has the same bytes.
 */
export function admit(
  headers: IncomingHttpHeaders,
  auth: StandInAuth,
  rules: Rules,
): 'ok' | 'unauthorized' | 'proxy_attribution_required' {
  if (rules.attribution && !attributed(headers, auth)) return 'proxy_attribution_required';
  switch (auth.mode) {
    case 'none':
      return 'ok';
    case 'token':
      return bearer(headers) === auth.token ? 'ok' : 'unauthorized';
    case 'password':
      return bearer(headers) === auth.password ? 'ok' : 'unauthorized';
    case 'trusted-proxy': {
      if (proxyFault(headers, auth, rules) !== undefined) return 'unauthorized';
      return rules.attribution && !forwarded(headers) ? 'proxy_attribution_required' : 'ok';
    }
  }
}

/** @returns why a proxy on loopback is not believed, as a refused connect tells it; nothing where it is */
export function proxyFault(
  headers: IncomingHttpHeaders,
  auth: Extract<StandInAuth, { readonly mode: 'trusted-proxy' }>,
  rules: Rules,
): string | undefined {
  const believed = rules.loopbackProxy === 'believed' || (rules.loopbackProxy === 'if-allowed' && auth.allowLoopback);
  if (believed !== true) return 'trusted_proxy_loopback_source';
  const missing = auth.requiredHeaders?.find((name) => one(headers, name).trim() === '');
  if (missing !== undefined) return `trusted_proxy_missing_header_${missing}`;
  const user = one(headers, auth.userHeader).trim();
  if (user === '') return 'trusted_proxy_user_missing';
  return auth.allowUsers && !auth.allowUsers.includes(user) ? 'trusted_proxy_user_not_allowed' : undefined;
}

/** What a route reads of the caller's scopes: `secret` tells what the gateway's own secret is worth there. */
export function scopesOf(
  headers: IncomingHttpHeaders,
  auth: StandInAuth,
  rules: Rules,
  secret: Rules['secretScopes'] | 'nothing',
): readonly Scope[] {
  if (rules.secretScopes === 'unasked') return SCOPES;
  if (auth.mode === 'token' || auth.mode === 'password') {
    if (secret === 'owner') return SCOPES;
    if (secret === 'nothing') return [];
  }
  const declared = headers['x-openclaw-scopes'];
  if (declared === undefined) return rules.absentScopes === 'all' ? SCOPES : [];
  return String(declared)
    .split(',')
    .map((scope) => scope.trim())
    .filter(isScope);
}

/** @returns whether any header says that the request was forwarded: a real gateway then calls it not local */
export function forwarded(headers: IncomingHttpHeaders): boolean {
  return Object.keys(headers).some(
    (name) => name === 'forwarded' || name === 'x-real-ip' || name.startsWith('x-forwarded-'),
  );
}

/** @returns whether a release that asks can tell whose request this is */
export function attributed(headers: IncomingHttpHeaders, auth: StandInAuth): boolean {
  const tailscale = Object.keys(headers).some((name) => name.startsWith('tailscale-'));
  if (!forwarded(headers) && !tailscale) return true;
  if (auth.mode !== 'trusted-proxy') return false;
  const client = one(headers, 'x-forwarded-for').split(',').at(-1)?.trim() ?? '';
  return client !== '' && !LOOPBACK.test(client);
}

function bearer(headers: IncomingHttpHeaders): string | undefined {
  return /^bearer +(.+)$/i.exec(headers.authorization?.trim() ?? '')?.[1]?.trim();
}

function one(headers: IncomingHttpHeaders, name: string): string {
  const value = headers[name.toLowerCase()];
  return (Array.isArray(value) ? value[0] : value) ?? '';
}
