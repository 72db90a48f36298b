/** The shim as a whole: built from one configuration, started, drained, stopped. */
import { randomUUID } from 'node:crypto';
import type { lookup } from 'node:dns';
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createTokenTable } from '../callers/table.ts';
import type { Config } from '../config/config.ts';
import { refuse } from '../errors.ts';
import { createGate } from '../gate.ts';
import { createGatewayPool } from '../gateway/pool.ts';
import { createPresenter, secretsOf } from '../gateway/present.ts';
import type { Logger } from '../observe/log.ts';
import { createAuthorize } from '../policy/authorize.ts';
import { createHttpProxy } from '../proxy/http.ts';
import { createAdminListener } from './admin.ts';
import { createListener } from './listener.ts';

const IDLE_CHECK_MS = 50;
/** What a told end may take to reach the callers. */
const FAREWELL_MS = 2_000;

/** A shim that serves. */
export interface RunningShim {
  /** Where callers connect: `http://host:port`, or `unix:/path`. */
  readonly url: string;
  /** Where the admin listener is, if there is one. */
  readonly adminUrl: string | undefined;
  /** Stops accepting, gives requests under way the drain time, ends the rest, told. */
  drain(): Promise<void>;
  /** Ends everything at once. */
  stop(): Promise<void>;
}

/** What tests hand in: shorter limits, in milliseconds, another DNS, another clock. */
export interface ShimOptions {
  readonly headersTimeout?: number;
  readonly idleTimeout?: number;
  readonly lookup?: typeof lookup;
  readonly now?: () => number;
}

/**
 * @param config the running configuration
 * @param logger where request lines go
 * @param options for tests
 * @returns the shim, listening
 * @throws when an address cannot be listened on. A gateway that is down is no error.
 */
export async function startShim(config: Config, logger: Logger, options: ShimOptions = {}): Promise<RunningShim> {
  const presenter = createPresenter(config.gateway.auth);
  const pool = createGatewayPool(config.gateway.origin, options.lookup);
  const gate = createGate({
    config,
    presenter,
    authenticate: createTokenTable(config.callers),
    authorize: createAuthorize(config, randomUUID),
    now: options.now ?? Date.now,
  });
  const proxy = createHttpProxy({
    gate,
    pool,
    logger,
    hop: { mode: config.gateway.auth.mode, secretNames: presenter.secretNames, secrets: secretsOf(config) },
    heartbeat: config.stream.heartbeat,
    gatewayIdle: config.stream.gatewayIdle,
    drainLimit: config.limits.body,
    randomId: randomUUID,
  });
  const { headerBytes, connections } = config.limits;
  const server = createListener({ ...options, proxy, headerBytes, connections });
  const { address } = config.listen;
  const admin = config.admin && createAdminListener({ pool, listening: () => server.listening });

  const stop = async (): Promise<void> => {
    proxy.endAll('shutdown', refuse('shutting_down'));
    const closed = [server, admin].filter((one) => one?.listening).map((one) => once(one as Server, 'close'));
    for (const one of [server, admin]) {
      one?.close();
      one?.closeAllConnections();
    }
    await Promise.all([...closed, pool.destroy()]);
  };

  try {
    await listen(server, 'socket' in address ? { path: address.socket } : address);
    if (admin && config.admin) await listen(admin, config.admin);
  } catch (error) {
    await stop();
    throw error;
  }

  return {
    url: 'socket' in address ? `unix:${address.socket}` : urlOf(server),
    adminUrl: admin && urlOf(admin),
    stop,
    async drain() {
      const closed = once(server, 'close');
      server.close();
      // A connection whose last answer is out stays open for its next request; there will be none.
      const idle = setInterval(() => server.closeIdleConnections(), IDLE_CHECK_MS);
      const limit = setTimeout(() => {
        proxy.endAll('shutdown', refuse('shutting_down'));
        setTimeout(() => server.closeAllConnections(), FAREWELL_MS).unref();
      }, config.drain.timeout);
      await closed;
      clearInterval(idle);
      clearTimeout(limit);
      await stop();
    },
  };
}

async function listen(server: Server, where: { host: string; port: number } | { path: string }): Promise<void> {
  server.listen(where);
  await once(server, 'listening');
}

function urlOf(server: Server): string {
  const { address, family, port } = server.address() as AddressInfo;
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}
