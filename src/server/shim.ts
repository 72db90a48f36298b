/** The shim as a whole: built from one configuration, started, given others, drained, stopped. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import type { Config } from '../config/config.ts';
import { refuse } from '../errors.ts';
import type { RequestLog } from '../observe/log.ts';
import { createLimiter } from '../limits/limiter.ts';
import { createHttpProxy } from '../proxy/http.ts';
import { createSocketProxy, type SocketProxyParts } from '../proxy/websocket.ts';
import { openAdmin } from './admin-sources.ts';
import { createExpiryWatch } from './certificate-expiry.ts';
import { createControlListener } from './control.ts';
import { connectionsFor, descriptorLimit } from './descriptors.ts';
import { createHealth } from './health.ts';
import { addressOf, listen, urlOf } from './listen.ts';
import { createListener } from './listener.ts';
import { startObservers, type ProgramFacts } from './observers.ts';
import { createProbesListener } from './probes.ts';
import { ReloadState } from './reload-state.ts';
import { createServing, type ServingOptions } from './serving.ts';
import type { TlsParts } from './tls.ts';

const IDLE_CHECK_MS = 50;
/** A credential that was let through is looked at again this often. */
const RECHECK_MS = 1_000;
/** What a told end may take to reach the callers. */
const FAREWELL_MS = 2_000;

/** A shim that serves. */
export interface RunningShim {
  /** Where callers connect: `http://host:port`, `https://host:port`, or `unix:/path`. */
  readonly url: string;
  /** Where the admin listener and that of the probes are, if there are such. */
  readonly adminUrl: string | undefined;
  readonly probesUrl: string | undefined;
  /** The most connections that are taken of callers: `limits.connections`, or what the descriptors are enough for. */
  readonly connections: number;
  /** The configuration that runs. */
  config(): Config;
  /**
   * Takes a new configuration for the requests to come, and ends those whose credential is no longer valid.
   *
   * @returns the keys whose change waits for the next start
   */
  apply(config: Config): Promise<string[]>;
  /**
   * Is told how the last reload went, for readiness and metrics.
   *
   * @param fault words for it, `undefined` when it was fine
   * @param waiting the keys whose change waits for the next start
   * @param faults each fault, as the log has it
   */
  reloaded(fault: string | undefined, waiting?: readonly string[], faults?: readonly string[]): void;
  /** Opens the audit file anew, which somebody may have moved away. */
  reopen(): void;
  /** Fails readiness, waits `drain.delay`, stops accepting, gives requests under way `drain.timeout`, ends the rest, told. */
  drain(): Promise<void>;
  /** Settles when somebody asks for the end on the control socket. */
  readonly asked: Promise<void>;
  /** Ends everything at once. */
  stop(): Promise<void>;
}

/** What the program hands in, and tests: other limits, in milliseconds. */
export interface ShimOptions
  extends ServingOptions, Pick<SocketProxyParts, 'handshakeLimits'>, Pick<TlsParts, 'handshakeTimeout'> {
  readonly headersTimeout?: number;
  readonly idleTimeout?: number;
  readonly storePatience?: number;
  /** Without it there are neither metrics nor spans. */
  readonly program?: ProgramFacts;
}

/**
 * @param config the running configuration
 * @param log where request lines go
 * @param options the process, and what tests change
 * @returns the shim, listening
 * @throws AuditError, or the system's error when an address cannot be listened on. A gateway that is down is no error.
 */
export async function startShim(config: Config, log: RequestLog, options: ShimOptions = {}): Promise<RunningShim> {
  const now = options.now ?? Date.now;
  const limiter = await createLimiter(config.limits.store, log.logger, options.storePatience);
  const serving = await createServing(config, { limiter, unaudited }, log.logger, {
    version: options.program?.version,
    ...options,
  });
  const observers = await startObservers(config, log, options.program, {
    open: () => ({ ...proxy.open(), sockets: sockets.open() }),
    pool: () => serving.current().pool.stats,
    certificates: () => serving.config().certificates,
    providers: serving.providers,
    ...(config.limits.store && {
      limitStore: () => ({ failures: limiter.withoutStore, up: limiter.storeUp }),
    }),
  });
  const { audit, metrics, recent } = observers;
  const asking = {
    current: serving.current,
    observers,
    randomId: randomUUID,
    certificateOf: (socket: Duplex) => listener.certificateOf(socket),
  };
  const proxy = createHttpProxy(asking);
  const sockets = createSocketProxy({ ...options, ...asking });
  const descriptors = descriptorLimit();
  const umask = options.program?.umask;
  const { headerBytes, connections } = config.limits;
  const listener = createListener({
    ...options,
    proxy,
    sockets,
    headerBytes,
    connections: connectionsFor(connections, descriptors),
    tls: config.listen.tls && {
      tls: config.listen.tls,
      handshakeTimeout: options.handshakeTimeout,
      randomId: randomUUID,
      now,
      done: (resumed) => metrics?.handshakeDone(resumed),
      failed(failure) {
        metrics?.handshakeFailed(failure.reason);
        if (failure.shutsOut === undefined) log.logger.info(failure, 'tls handshake failed');
        else
          log.logger.warn(failure, 'tls handshake failed: this network has cost too much, and is shut out for a while');
      },
      shutOut: () => metrics?.handshakeFailed('shut_out'),
    },
  });
  const { server } = listener;
  const expiry = createExpiryWatch(log.logger, now);
  expiry.loaded(config.certificates);
  let connectionsLooked = performance.now();

  const reload = new ReloadState(now());
  let draining: Promise<void> | undefined;
  let stopping: Promise<void> | undefined;
  const health = createHealth({
    pool: () => serving.current().pool,
    nextIsShim: () => serving.config().gateway.auth.mode === 'shim',
    listening: () => server.listening,
    draining: () => draining !== undefined,
    detail: () => [reload.detail, expiry.detail(serving.config().certificates)].filter(Boolean).join('; ') || undefined,
  });
  const { promise: asked, resolve: ask } = Promise.withResolvers<void>();
  const adminListener = openAdmin(config, {
    program: options.program,
    randomId: randomUUID,
    observers,
    serving,
    proxy,
    sockets,
    reload,
    health,
    now,
  });
  const admin = adminListener?.server;
  const probes = config.probes && createProbesListener(health);
  const control =
    config.control &&
    createControlListener(() => {
      ask();
      return endRequests();
    });
  const recheck = setInterval(recheckAll, RECHECK_MS);

  const shim: RunningShim = {
    get url() {
      return addressOf(server, config.listen);
    },
    get adminUrl() {
      return admin && config.admin && addressOf(admin, config.admin);
    },
    get probesUrl() {
      return probes && urlOf(probes);
    },
    get connections() {
      return server.maxConnections;
    },
    asked,
    config: serving.config,
    async apply(next) {
      const take = await serving.prepare(next);
      listener.apply(next.listen.tls);
      adminListener?.apply(next.admin);
      if (next.gateway.origin !== serving.config().gateway.origin) recent?.gatewayChanged();
      const waiting = take();
      expiry.loaded(next.certificates);
      server.maxConnections = connectionsFor(next.limits.connections, descriptors);
      recheckAll();
      recheckConnections();
      return waiting;
    },
    reloaded(fault, waiting = [], faults = []) {
      reload.told(now(), fault, waiting, faults);
      metrics?.reloaded(fault === undefined, Date.now());
    },
    reopen() {
      audit?.reopen();
    },
    async drain() {
      await endRequests();
      await stop();
    },
    stop,
  };

  try {
    await listen(server, config.listen.address, umask);
    if (admin && config.admin) await listen(admin, config.admin.address, umask);
    if (probes && config.probes) await listen(probes, config.probes);
    if (control && config.control) await listen(control, { ...config.control, mode: 0o600 }, umask);
  } catch (error) {
    await stop();
    throw error;
  }
  return shim;

  function endRequests(): Promise<void> {
    if (!draining) adminListener?.drain();
    draining ??= drain();
    return draining;
  }

  async function drain(): Promise<void> {
    const { delay, timeout } = serving.config().drain;
    if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay).unref());
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    sockets.drain();
    // A connection whose last answer is out stays open for its next request; there will be none.
    const idle = setInterval(() => server.closeIdleConnections(), IDLE_CHECK_MS);
    const limit = setTimeout(() => {
      endAll();
      setTimeout(() => listener.closeAll(), FAREWELL_MS).unref();
    }, timeout);
    await closed;
    clearInterval(idle);
    clearTimeout(limit);
  }

  /** The second signal comes while the first is still being obeyed. */
  function stop(): Promise<void> {
    stopping ??= end();
    return stopping;
  }

  async function end(): Promise<void> {
    clearInterval(recheck);
    endAll();
    const servers = [server, admin, probes, control].filter((one) => one !== undefined);
    const listening = servers.filter((one) => one.listening);
    const closed = listening.map((one) => once(one, 'close'));
    for (const one of listening) one.close();
    // Also of one that stopped listening before: it waits for them.
    for (const one of servers) one.closeAllConnections();
    listener.closeAll();
    adminListener?.closeHandshakes();
    // A handshake that waits for a folder which never answers is not waited for.
    const recorded = Promise.race([
      sockets.closed(),
      new Promise((resolve) => setTimeout(resolve, FAREWELL_MS).unref()),
    ]);
    await Promise.all([...closed, recorded, serving.destroy()]);
    await Promise.all([limiter.close(), observers.close()]);
  }

  function recheckAll(): void {
    proxy.recheck();
    sockets.recheck();
    const { listen, admin, certificates } = serving.config();
    const every = listen.tls?.recheck ?? admin?.tls?.recheck;
    if (every !== undefined && performance.now() - connectionsLooked >= every) recheckConnections();
    expiry.look(certificates);
  }

  function recheckConnections(): void {
    connectionsLooked = performance.now();
    listener.recheck();
    adminListener?.recheck();
  }

  function endAll(): void {
    proxy.endAll('shutdown', refuse('shutting_down'));
    sockets.endAll('shutdown', refuse('shutting_down'));
  }

  function unaudited(): boolean {
    return config.audit?.required === true && audit?.healthy === false;
  }
}
