/** The store that replicas share: a Redis that may be gone at any time without holding up a request. */
import type { RedisOptions } from 'ioredis';
import type { RedisAddress } from '../config/config.ts';
import type { Logger } from '../observe/log.ts';
import { createWindows, type Windows } from './windows.ts';

/** Milliseconds that a question, a login or the start may wait. */
export const ANSWER_MS = 250;
const CONNECT_MS = 2_000;
const RETRY_MS = 500;
/** Milliseconds that an ended connection may take to close. */
const CLOSE_MS = 100;

/** Windows of time that are counted for all replicas together. */
export interface SharedStore {
  /** Whether it answered last time. */
  readonly up: boolean;
  /**
   * @param question what to do with the windows
   * @returns its answer; `undefined` when the store is down, or does not answer in time. It never rejects
   */
  ask<T>(question: (windows: Windows) => Promise<T>): Promise<T | undefined>;
  close(): Promise<void>;
}

/**
 * A store that fails once is not asked again until it answered a question of its own on a new connection, so that
 * only the requests of one moment wait for a store that is dead. It is told once when it goes and when it is back.
 *
 * @param address where it is
 * @param consequence what happens without it, in words for the log
 * @param logger is told
 * @param patience milliseconds that a question, a login or the start may wait
 * @returns the store, up if it answered in that time
 */
export async function connectStore(
  address: RedisAddress,
  consequence: string,
  logger: Pick<Logger, 'info' | 'warn'>,
  patience: number,
): Promise<SharedStore> {
  // Bundled, a CommonJS package that is imported on demand has its default export alone.
  const [{ default: ioredis }, { default: RateLimiterRedis }] = await Promise.all([
    import('ioredis'),
    import('rate-limiter-flexible/lib/RateLimiterRedis.js'),
  ]);
  const client = new ioredis.Redis(clientOptions(address, patience));
  const windows = createWindows((options) => new RateLimiterRedis({ ...options, storeClient: client }));
  let state: 'new' | 'up' | 'down' | 'closed' = 'new';
  let fault: Error | undefined;
  const started = Promise.withResolvers<void>();

  const goUp = (): void => {
    if (state === 'closed') return;
    if (state === 'down') logger.info('the store of the request limits is back');
    state = 'up';
    started.resolve();
  };
  const goDown = (error: unknown): void => {
    if (state === 'closed') return;
    if (state !== 'down') {
      logger.warn({ reason: reasonOf(error, address) }, `the store of the request limits is down: ${consequence}`);
    }
    state = 'down';
    started.resolve();
    // A connection that was half open, or leads to a server that takes no writes, is replaced.
    if (client.status === 'ready') client.disconnect(true);
  };
  client.on('error', (error: Error) => (fault = error));
  client.on('close', () => goDown(fault ?? new Error('the connection was closed')));
  client.on('ready', () => {
    fault = undefined;
    // Nothing is added, but it is a write as any other: a replica that is read-only, or full, refuses it.
    windows.minute.penalty('', 0).then(goUp, goDown);
  });
  await within(patience, started.promise).catch(goDown);

  return {
    get up() {
      return state === 'up';
    },
    async ask(question) {
      if (state !== 'up') return undefined;
      try {
        return await within(patience, question(windows));
      } catch (error) {
        goDown(error);
        return undefined;
      }
    },
    async close() {
      state = 'closed';
      // Between two connections, and after the last one, there is nothing to end.
      const idle = client.status === 'reconnecting' || client.status === 'end';
      const ended = idle ? undefined : new Promise<void>((resolve) => client.once('end', () => resolve()));
      client.disconnect();
      await ended;
    },
  };
}

/** Nothing is queued, repeated or waited for: what the store does not answer now is decided without it. */
function clientOptions(address: RedisAddress, patience: number): RedisOptions {
  const { tls = false, ...place } = 'path' in address ? { path: address.path } : address;
  return {
    ...place,
    ...(tls && { tls: {} }),
    protocol: 2,
    disableClientInfo: true,
    enableOfflineQueue: false,
    enableReadyCheck: false,
    maxRetriesPerRequest: 0,
    connectTimeout: CONNECT_MS,
    disconnectTimeout: CLOSE_MS,
    // Ends a connection on which a login or the first question gets no answer.
    socketTimeout: patience,
    retryStrategy: () => RETRY_MS,
  };
}

/** A server quotes what it does not understand, which may be the password. */
function reasonOf(error: unknown, address: RedisAddress): string {
  // Where a name has several addresses, the error of a connection has no message but a code.
  const { message = '', code } = error as Partial<NodeJS.ErrnoException>;
  const reason = message === '' ? String(code) : message;
  const secret = 'path' in address ? undefined : address.password;
  return secret ? reason.replaceAll(secret, '…') : reason;
}

/** @throws Error when the work takes longer, in milliseconds */
async function within<T>(most: number, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`no answer within ${most} ms`)), most);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
