/** A running configuration for tests of pure parts. */
import type { Config, GatewayAuth, ListenConfig } from '../../src/config/config.ts';
import { UNLIMITED } from '../../src/limits/limiter.ts';

export interface ConfigParts extends Partial<Pick<Config, 'callers' | 'issuers' | 'routes' | 'closedRoutes'>> {
  readonly auth?: GatewayAuth;
  readonly listen?: Partial<ListenConfig>;
  readonly bodyLimit?: number;
}

/** Token hop, loopback, no caller, default routes; what is named instead. */
export function testConfig({ auth, listen, bodyLimit, ...more }: ConfigParts = {}): Config {
  return {
    listen: {
      address: { host: '127.0.0.1', port: 0 },
      hosts: new Set(['localhost', '127.0.0.1', '::1']),
      origins: new Set(),
      health: false,
      trustedProxies: undefined,
      unsafeListenPlaintext: false,
      credentials: 'all',
      websocket: { firstFrameToken: false, subprotocolToken: false },
      ...listen,
    },
    gateway: {
      origin: 'http://127.0.0.1:1',
      auth: auth ?? { mode: 'token', secret: 'gateway-secret' },
      beyondLoopback: false,
    },
    callers: [],
    issuers: [],
    certificates: [],
    routes: [],
    closedRoutes: new Set(),
    limits: { body: bodyLimit ?? 20 * 1024 * 1024, headerBytes: 16 * 1024, connections: 100 },
    stream: { heartbeat: 0, gatewayIdle: 0, endAtExpiry: true },
    drain: { delay: 0, timeout: 1000 },
    audit: undefined,
    admin: undefined,
    probes: undefined,
    control: undefined,
    ...more,
  };
}

/** What a gate asks beyond its configuration, where that is not what is tested. */
export const OPEN = {
  limiter: UNLIMITED,
  unaudited: () => false,
  traceIds: { traceId: () => 'a'.repeat(32), spanId: () => 'b'.repeat(16) },
} as const;
