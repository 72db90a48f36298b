/** The answer to an accepted connect, with all that a real gateway tells of itself. */
import { randomBytes } from 'node:crypto';
import type { Welcome } from './connect.ts';
import type { SocketRules } from './rules.ts';

const MIB = 2 ** 20;
export const MAX_PAYLOAD = 25 * MIB;
export const MAX_BUFFERED = 50 * MIB;

export const EVENTS = ['connect.challenge', 'agent', 'chat', 'presence', 'tick', 'shutdown', 'health'];

/**
 * @param release of the gateway
 * @param host the `Host` of the upgrade, by which the gateway names itself
 * @param tickInterval milliseconds
 */
export function helloOk(
  rules: SocketRules,
  welcome: Welcome,
  facts: {
    readonly release: string;
    readonly host: string;
    readonly authMode: string;
    readonly connId: string;
    readonly methods: readonly string[];
    readonly tickInterval: number;
  },
): object {
  const { release, host, connId, methods, tickInterval } = facts;
  const third = rules.protocol === 3;
  const surface = third
    ? { canvasHostUrl: `http://${host}` }
    : { pluginSurfaceUrls: { canvas: `http://${host}/__openclaw__/cap/${randomBytes(18).toString('base64url')}` } };
  return {
    type: 'hello-ok',
    protocol: rules.protocol,
    server: { version: release, connId },
    features: { methods, events: EVENTS },
    snapshot: {
      presence: [
        { host: 'gateway', ip: '192.0.2.2', version: release, mode: 'gateway', reason: 'self', ts: Date.now() },
      ],
      health: healthOf(),
      stateVersion: { presence: 1, health: 1 },
      uptimeMs: 0,
      // Later releases tell their paths to administrators alone.
      ...((third || welcome.scopes.includes('operator.admin')) && {
        configPath: '/home/openclaw/.openclaw/openclaw.json',
        stateDir: '/home/openclaw/.openclaw',
        authMode: facts.authMode,
      }),
      sessionDefaults: {
        defaultAgentId: 'main',
        mainKey: 'main',
        mainSessionKey: 'agent:main:main',
        scope: 'per-sender',
      },
    },
    ...surface,
    ...authOf(rules, welcome),
    policy: { maxPayload: MAX_PAYLOAD, maxBufferedBytes: MAX_BUFFERED, tickIntervalMs: tickInterval },
  };
}

export function healthOf(): object {
  return { ok: true, ts: Date.now(), durationMs: 0, channels: {}, defaultAgentId: 'main' };
}

function authOf(rules: SocketRules, { method, scopes, token }: Welcome): { readonly auth?: object } {
  // The oldest have no token for no scopes, and tell nothing without a token.
  if (rules.protocol === 3 && !token?.scopes.length) return {};
  return {
    auth: {
      ...(rules.tellsMore && { method }),
      role: 'operator',
      scopes: rules.toldScopes === 'token' && token ? token.scopes : scopes,
      ...(rules.tellsMore && { recoveryScope: randomBytes(32).toString('base64url') }),
      ...(rules.tellsMore && token && { recoveryMigrationAllowed: true }),
      ...(token && { deviceToken: token.token, issuedAtMs: token.issuedAtMs }),
    },
  };
}
