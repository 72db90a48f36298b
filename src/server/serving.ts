/** Configurations as they are served: one at a time, replaced as one reference. */
import { randomBytes, randomUUID } from 'node:crypto';
import { lookup as dnsLookup } from 'node:dns';
import { isDeepStrictEqual } from 'node:util';
import { createTokenTable } from '../callers/table.ts';
import type { Config } from '../config/config.ts';
import { createGate, type GateParts } from '../gate.ts';
import type { Device } from '../gateway/device.ts';
import { openDeviceStore, ownUser, type DeviceStore } from '../gateway/device-store.ts';
import { createGatewayPool, type GatewayPool } from '../gateway/pool.ts';
import { createPresenter, secretsOf } from '../gateway/present.ts';
import { createTraceIds, type TraceIds } from '../headers/trace.ts';
import { createAuthorize } from '../policy/authorize.ts';
import type { Snapshot } from '../proxy/snapshot.ts';

/** What stays as it was at start, as the configuration calls it. */
const FIXED = {
  'listen.host': ({ listen }: Config) => ('host' in listen.address ? listen.address.host : undefined),
  'listen.port': ({ listen }: Config) => ('port' in listen.address ? listen.address.port : undefined),
  'listen.socket': ({ listen }: Config) => ('socket' in listen.address ? listen.address.socket : undefined),
  'listen.mode': ({ listen }: Config) => ('socket' in listen.address ? listen.address.mode : undefined),
  'listen.tls': ({ listen }: Config) => listen.tls !== undefined,
  'limits.headerBytes': ({ limits }: Config) => limits.headerBytes,
  'limits.store': ({ limits }: Config) => limits.store?.redis,
  'limits.onStoreFailure': ({ limits }: Config) => limits.store?.onFailure,
  audit: (config: Config) => config.audit,
  admin: (config: Config) => config.admin,
  probes: (config: Config) => config.probes,
  control: (config: Config) => config.control,
} as const;

/** The configuration that runs, and what was made of it. */
export interface Serving {
  readonly current: () => Snapshot;
  readonly config: () => Config;
  /**
   * Takes a new configuration; requests under way keep the one that they began with.
   *
   * @returns the keys whose change waits for the next start
   */
  apply(config: Config): string[];
  /** Ends every connection to the gateway, of earlier configurations as well. */
  destroy(): Promise<void>;
}

/** What the gate asks that outlives a configuration. */
export type Admission = Pick<GateParts, 'limiter' | 'unaudited'>;

/** What tests hand in: another DNS, another clock, ids that are known. */
export interface ServingOptions {
  readonly lookup?: typeof dnsLookup;
  readonly now?: () => number;
  readonly traceIds?: TraceIds;
  /** Version of the shim. */
  readonly version?: string;
}

/**
 * @param config the first configuration
 * @param admission what counts for all configurations
 * @param options for tests
 * @returns the configuration as it is served
 */
export function createServing(config: Config, admission: Admission, options: ServingOptions): Serving {
  const traceIds = options.traceIds ?? createTraceIds(randomBytes);
  const pools = new Set<GatewayPool>();
  const candidates = new Map<string, Device>();
  let served = config;
  let devices = openDevices(config);
  let snapshot = build(config, openPool(config));

  return {
    current: () => snapshot,
    config: () => served,
    apply(next) {
      const { pool } = snapshot;
      if (!isDeepStrictEqual(next.gateway.deviceStore, served.gateway.deviceStore)) {
        devices = openDevices(next);
      }
      const moved = next.gateway.origin !== served.gateway.origin;
      const waiting = Object.entries(FIXED).flatMap(([keys, read]) =>
        isDeepStrictEqual(read(config), read(next)) ? [] : [keys],
      );
      snapshot = build(next, moved ? openPool(next) : pool);
      served = next;
      // One that was left is not closed: a request that was let through before may still be on its way to it. Its
      // connections end by themselves, and then it is forgotten.
      for (const left of pools)
        if (left !== snapshot.pool && left.stats.connected + left.stats.pending === 0) pools.delete(left);
      return waiting;
    },
    async destroy() {
      await Promise.all([...pools].map((pool) => pool.destroy()));
    },
  };

  function openPool({ gateway }: Config): GatewayPool {
    const pool = createGatewayPool(gateway.origin, options.lookup);
    pools.add(pool);
    return pool;
  }

  function build(config: Config, pool: GatewayPool): Snapshot {
    const { auth, origin } = config.gateway;
    const presenter = createPresenter(auth);
    const hop = { mode: auth.mode, secretNames: presenter.secretNames, secrets: secretsOf(config) };
    const direct = auth.mode !== 'trusted-proxy' || auth.password !== undefined;
    const gate = createGate({
      config,
      presenter,
      tokens: createTokenTable(config.callers),
      authorize: createAuthorize(config, randomUUID),
      ...admission,
      traceIds,
      now: options.now ?? Date.now,
    });
    return {
      gate,
      pool,
      hop,
      heartbeat: config.stream.heartbeat,
      gatewayIdle: config.stream.gatewayIdle,
      drainLimit: config.limits.body,
      relay: {
        // A gateway takes for local, and pairs silently, only who also calls it by a local name.
        target: {
          origin,
          lookup: options.lookup ?? dnsLookup,
          host: direct ? `127.0.0.1:${portOf(origin)}` : undefined,
        },
        blame: hop,
        connectAuth: presenter.connectAuth,
        pairsSilently: direct,
        devices,
        candidates,
        version: options.version ?? '0.0.0',
      },
    };
  }
}

function openDevices({ gateway }: Config): DeviceStore {
  return openDeviceStore(gateway.deviceStore ?? 'memory', { owner: ownUser() });
}

function portOf(origin: string): string {
  return new URL(origin).port || '80';
}
