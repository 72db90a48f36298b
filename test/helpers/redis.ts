/** Real Redis servers, and what a limiter says of them. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Test } from 'tap';
import type { RedisAddress } from '../../src/config/config.ts';

const SERVER = (process.env.PATH ?? '')
  .split(':')
  .flatMap((folder) => ['redis-server', 'valkey-server'].map((name) => join(folder, name)))
  .find((path) => existsSync(path));

/** Why tests with a real store are skipped, where they are. */
export const NO_REDIS =
  SERVER === undefined && 'no redis-server or valkey-server on the PATH (apt-get install redis-server)';

export interface TestRedis {
  readonly port: number;
  readonly address: RedisAddress;
  readonly child: ChildProcess;
  /** Kills it and waits for its end. */
  stop(): Promise<void>;
}

/** @returns a port that was free a moment ago */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** @returns the address of a Redis on this machine */
export function at(port: number, more: { readonly username?: string; readonly password?: string } = {}): RedisAddress {
  return { host: '127.0.0.1', port, tls: false, db: 0, ...more };
}

/**
 * Starts a server that keeps nothing; it is ended with the test.
 *
 * @param args further options of the command line
 * @param port a free port
 */
export async function startRedis(t: Test, args: readonly string[] = [], port?: number): Promise<TestRedis> {
  const listen = port ?? (await freePort());
  const child = spawn(
    SERVER as string,
    [
      '--port',
      String(listen),
      '--bind',
      '127.0.0.1',
      '--save',
      '',
      '--appendonly',
      'no',
      '--dir',
      t.testdir(),
      ...args,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const closed = once(child, 'close');
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await closed;
  };
  t.teardown(stop);
  let ready = false;
  for await (const line of createInterface({ input: child.stdout })) {
    ready = line.includes('Ready to accept connections');
    if (ready) break;
  }
  if (!ready) throw new Error('redis-server ended');
  child.stdout.resume();
  return { port: listen, address: at(listen), child, stop };
}

/** A log that can be waited for. */
export interface TestLog {
  readonly lines: readonly { readonly level: 'info' | 'warn'; readonly reason?: string; readonly message: string }[];
  readonly logger: {
    readonly info: (...args: readonly unknown[]) => void;
    readonly warn: (...args: readonly unknown[]) => void;
  };
  /** Waits until so many lines were written. */
  written(count: number): Promise<void>;
}

/** @returns an empty log */
export function testLog(): TestLog {
  const lines: TestLog['lines'][number][] = [];
  const waiting = new Set<() => void>();
  const write =
    (level: 'info' | 'warn') =>
    (...args: readonly unknown[]): void => {
      const about = args.length > 1 ? (args[0] as { reason?: string }) : {};
      lines.push({ level, ...about, message: String(args.at(-1)) });
      for (const check of waiting) check();
    };
  return {
    lines,
    logger: { info: write('info'), warn: write('warn') },
    written: (count) =>
      new Promise((resolve) => {
        const check = (): void => {
          if (lines.length < count) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      }),
  };
}
