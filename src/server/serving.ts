/** Configurations as they are served: one at a time, replaced as one reference. */
import { randomBytes, randomUUID } from 'node:crypto';
import type { lookup as dnsLookup } from 'node:dns';
import { isDeepStrictEqual } from 'node:util';
import { createClientTrust } from '../callers/certificate.ts';
import { createJwtVerifier, type JwtVerifier } from '../callers/jwt.ts';
import { createNaming } from '../callers/named.ts';
import { createCallerTable, type Verifiers } from '../callers/table.ts';
import { isLoopbackHost } from '../config/address.ts';
import type { Config } from '../config/config.ts';
import { bareHost } from '../config/hop.ts';
import { createGate, type GateParts } from '../gate.ts';
import type { Device } from '../gateway/device.ts';
import { openDeviceStore, ownUser, type DeviceStore } from '../gateway/device-store.ts';
import { createConnect, type Connect } from '../gateway/connection.ts';
import { createGatewayPool, type GatewayPool } from '../gateway/pool.ts';
import { createPresenter, secretsOf } from '../gateway/present.ts';
import { createTraceIds, type TraceIds } from '../headers/trace.ts';
import type { Logger } from '../observe/log.ts';
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
  admin: ({ admin }: Config) => admin !== undefined,
  'admin.host': ({ admin }: Config) => (admin && 'host' in admin.address ? admin.address.host : undefined),
  'admin.port': ({ admin }: Config) => (admin && 'port' in admin.address ? admin.address.port : undefined),
  'admin.socket': ({ admin }: Config) => (admin && 'socket' in admin.address ? admin.address.socket : undefined),
  'admin.mode': ({ admin }: Config) => (admin && 'socket' in admin.address ? admin.address.mode : undefined),
  'admin.tls': ({ admin }: Config) => admin?.tls !== undefined,
  probes: (config: Config) => config.probes,
  control: (config: Config) => config.control,
} as const;

/** The configuration that runs, and what was made of it. */
export interface Serving {
  readonly current: () => Snapshot;
  readonly config: () => Config;
  /**
   * Makes all that a new configuration needs. Not twice at once.
   *
   * @returns takes it, at once; requests under way keep the one that they began with. @returns the keys whose change
   *   waits for the next start
   */
  prepare(config: Config): Promise<() => string[]>;
  /** How it stands with the identity providers that are asked. */
  readonly providers: () => ReturnType<JwtVerifier['states']>;
  /** Ends every connection to the gateway, of earlier configurations as well, and to identity providers. */
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
 * @param logger is told of what happens between requests
 * @param options for tests
 * @returns the configuration as it is served
 */
export async function createServing(
  config: Config,
  admission: Admission,
  logger: Pick<Logger, 'info' | 'warn'>,
  options: ServingOptions,
): Promise<Serving> {
  const now = options.now ?? Date.now;
  const traceIds = options.traceIds ?? createTraceIds(randomBytes);
  const pools = new Set<GatewayPool>();
  const candidates = new Map<string, Device>();
  let served = config;
  // The listener takes other settings of TLS while it runs, but begins or ends none.
  let { tls } = config.listen;
  let devices = openDevices(config);
  let way = openWay(config);
  let verifiers = await openVerifiers(config);
  let snapshot = build(config);

  return {
    current: () => snapshot,
    config: () => served,
    providers() {
      const { jwts, introspector } = verifiers;
      const { introspection } = served;
      const asked = introspector && introspection && { name: introspection.name, ...introspector.state() };
      return [...(jwts?.states() ?? []), ...(asked ? [asked] : [])];
    },
    async prepare(next) {
      const following = await openVerifiers(next, verifiers);
      return () => take(next, following);
    },
    async destroy() {
      close(verifiers);
      await Promise.all([...pools].map((pool) => pool.destroy()));
    },
  };

  function take(next: Config, following: Verifiers): string[] {
    if (tls) tls = next.listen.tls ?? tls;
    if (!isDeepStrictEqual(devicesOf(next), devicesOf(served))) {
      devices = openDevices(next);
    }
    // Another identity, on either side, has connections of its own.
    if (!isDeepStrictEqual(identityOf(next), identityOf(served))) way = openWay(next);
    const waiting = Object.entries(FIXED).flatMap(([keys, read]) =>
      isDeepStrictEqual(read(config), read(next)) ? [] : [keys],
    );
    const before = verifiers;
    verifiers = following;
    snapshot = build(next);
    served = next;
    close(before);
    // One that was left is not closed: a request that was let through before may still be on its way to it. Its
    // connections end by themselves, and then it is forgotten.
    for (const left of pools)
      if (left !== snapshot.pool && left.stats.connected + left.stats.pending === 0) pools.delete(left);
    return waiting;
  }

  /** What verifies the tokens of others is loaded where there are any, and begins with nothing remembered but keys. */
  async function openVerifiers({ issuers, introspection }: Config, before?: Verifiers): Promise<Verifiers> {
    const deps = { now, logger, lookup: options.lookup, callerFrom: createNaming(logger) };
    return {
      jwts: issuers.length > 0 ? await createJwtVerifier(issuers, deps, before?.jwts) : undefined,
      introspector:
        introspection && (await (await import('../callers/introspection.ts')).createIntrospector(introspection, deps)),
    };
  }

  function openWay({ gateway }: Config): { readonly pool: GatewayPool; readonly connect: Connect } {
    const connect = createConnect({ ...gateway, lookup: options.lookup });
    const pool = createGatewayPool(gateway.origin, connect);
    pools.add(pool);
    return { pool, connect };
  }

  function build(config: Config): Snapshot {
    const { auth, origin } = config.gateway;
    const { pool, connect } = way;
    const presenter = createPresenter(auth, tls ? 'https' : 'http');
    const hop = { mode: auth.mode, secretNames: presenter.secretNames, secrets: secretsOf(config) };
    const direct =
      isHere(config) && auth.mode !== 'shim' && (auth.mode !== 'trusted-proxy' || auth.password !== undefined);
    const gate = createGate({
      config,
      presenter,
      callers: createCallerTable(
        config.callers,
        {
          credentials: config.listen.credentials,
          trusts: createClientTrust(tls?.client?.ca),
          required: tls?.client?.auth === 'require',
        },
        verifiers,
      ),
      authorize: createAuthorize(config, randomUUID),
      ...admission,
      traceIds,
      now,
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
        target: { connect, host: direct ? `127.0.0.1:${portOf(origin)}` : new URL(origin).host },
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

function devicesOf({ gateway: { auth, deviceStore } }: Config): unknown {
  return auth.mode === 'shim' ? 'shim' : deviceStore;
}

function openDevices({ gateway }: Config): DeviceStore | undefined {
  if (gateway.auth.mode === 'shim') return undefined;
  return openDeviceStore(gateway.deviceStore ?? 'memory', { owner: ownUser() });
}

function identityOf({ gateway: { origin, tls, beyondLoopback } }: Config): unknown {
  return { origin, tls, beyondLoopback };
}

/** Whether the gateway is on this machine. */
function isHere({ gateway: { origin, beyondLoopback } }: Config): boolean {
  return !beyondLoopback || isLoopbackHost(bareHost(new URL(origin)));
}

function portOf(origin: string): string {
  const { port, protocol } = new URL(origin);
  return port || (protocol === 'https:' ? '443' : '80');
}

function close({ jwts, introspector }: Verifiers): void {
  jwts?.close();
  introspector?.close();
}
