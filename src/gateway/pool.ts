/** The connections to the gateway. */
import { lookup as dnsLookup } from 'node:dns';
import type { LookupFunction } from 'node:net';
import type { Dispatcher } from 'undici';
// The package's entry also loads fetch, caches and mocks: 60 ms and 10 MB that a start need not pay.
import Pool from 'undici/lib/dispatcher/pool.js';
import { isLoopback } from '../config/address.ts';

/** A plaintext hop must not leave the machine, whatever a name resolves to by now. */
export class HopError extends Error {
  readonly code = 'HOP_NOT_LOOPBACK';
}

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
 * @param origin scheme, host and port of the gateway: `http:` and loopback
 * @param lookup resolves names (the world's DNS)
 * @returns the pool; every connect to an address that is not loopback fails with `HopError`
 */
export function createGatewayPool(origin: string, lookup: typeof dnsLookup = dnsLookup): GatewayPool {
  return new Pool(origin, {
    pipelining: 1,
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: 4_000,
    allowH2: false,
    connect: { timeout: 10_000, lookup: loopbackOnly(lookup) },
  });
}

/**
 * @param lookup resolves names
 * @returns the same, with an error in place of any address that is not loopback
 */
export function loopbackOnly(lookup: typeof dnsLookup): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, '', 0);
      const [first] = addresses;
      if (!first || !addresses.every(({ address }) => isLoopback(address))) {
        return callback(new HopError(`${hostname} does not resolve to a loopback address`), '', 0);
      }
      if (options.all === true) return callback(null, addresses);
      callback(null, first.address, first.family);
    });
  };
}
