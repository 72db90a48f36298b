/** The connections to the gateway. */
import type { Socket } from 'node:net';
import type { Dispatcher } from 'undici';
// The package's entry also loads fetch, caches and mocks: 60 ms and 10 MB that a start need not pay.
import Pool from 'undici/lib/dispatcher/pool.js';
import type { Connect } from './connection.ts';

/** The gateway as the proxy uses it. */
export interface GatewayPool {
  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean;
  /** Counts of this moment: connections (of them without a request), requests under way and waiting for one. */
  readonly stats: {
    readonly connected: number;
    readonly free: number;
    readonly running: number;
    readonly pending: number;
  };
  /** Ends every connection at once. */
  destroy(): Promise<void>;
}

/**
 * One pool per gateway. Its waiting times are without limit unless a request sets its own: a run may be silent
 * for hours. Nothing is retried and no redirect followed; proxies in the environment are not asked.
 *
 * @param origin scheme, host and port of the gateway
 * @param connect opens a connection to it
 * @returns the pool
 */
export function createGatewayPool(origin: string, connect: Connect): GatewayPool {
  const opening = new Set<Socket>();
  const pool = new Pool(origin, {
    pipelining: 1,
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: 4_000,
    allowH2: false,
    connect: ((_options: unknown, callback: Parameters<Connect>[0]) => {
      const socket = connect((...opened) => {
        opening.delete(socket);
        callback(...opened);
      });
      opening.add(socket);
    }) as never,
  });
  return {
    dispatch: (options, handler) => pool.dispatch(options, handler),
    get stats() {
      return pool.stats;
    },
    destroy() {
      for (const socket of opening) socket.destroy(new Error('the pool is closed'));
      return pool.destroy();
    },
  };
}
