/** Limits counted in a Redis: a real one that is killed, stopped and brought back, and some that are none. */
import t, { type Test } from 'tap';
import { once } from 'node:events';
import { join } from 'node:path';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { Redis } from 'ioredis';
import type { LimitStore, RedisAddress } from '../../src/config/config.ts';
import { createLimiter, type Limiter, type LimitPolicy } from '../../src/limits/limiter.ts';
import { at, freePort, startRedis, testLog, type TestLog, NO_REDIS } from '../helpers/redis.ts';

/** Milliseconds that a store may take where its answer comes, and where a test waits for none. */
const LONG = 20_000;
const SHORT = 250;

interface Replica {
  readonly limiter: Limiter;
  readonly log: TestLog;
  /** `+` or the code of so many requests, one after the other. */
  readonly codes: (times: number, policy: LimitPolicy) => Promise<string>;
}

async function startReplica(
  t: Test,
  redis: RedisAddress,
  { onFailure = 'local', patience = LONG }: { onFailure?: LimitStore['onFailure']; patience?: number } = {},
): Promise<Replica> {
  const log = testLog();
  const [limiter, soon] = await inTime(createLimiter({ redis, onFailure }, log.logger, patience), patience + 200);
  t.teardown(() => limiter.close());
  // The libraries are loaded by then, but for the first time.
  if (loaded) t.ok(soon, 'it starts soon');
  loaded = true;
  const codes = async (times: number, policy: LimitPolicy): Promise<string> => {
    const found: string[] = [];
    for (let i = 0; i < times; i++) {
      const answer = await limiter.admit('a', policy);
      if (answer.kind === 'admitted') answer.release();
      found.push(answer.kind === 'admitted' ? '+' : answer.code);
    }
    return found.join(' ');
  };
  return { limiter, log, codes };
}
let loaded = false;

/** A server that is no Redis; it ends with the test. */
async function startServer(t: Test, onConnect: (socket: Socket) => void): Promise<RedisAddress> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    onConnect(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  });
  return at((server.address() as AddressInfo).port);
}

/** @returns what comes, and whether before a timer of this process: both wait for a machine that has much to do */
async function inTime<T>(work: Promise<T>, milliseconds: number): Promise<readonly [T, boolean]> {
  const late = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => late.resolve(false), milliseconds);
  const soon = await Promise.race([work.then(() => true), late.promise]);
  clearTimeout(timer);
  return [await work, soon];
}

const DOWN = 'the store of the request limits is down: each replica counts alone';
const BACK = 'the store of the request limits is back';
const words = ({ lines }: TestLog): readonly string[] => lines.map(({ message }) => message);

void t.test('two replicas share what a caller has', { skip: NO_REDIS }, async (t) => {
  const redis = await startRedis(t);
  const one = await startReplica(t, redis.address);
  const two = await startReplica(t, redis.address);
  t.equal(one.limiter.storeUp, true);

  const policy = { requestsPerMinute: 2, burst: 2, requestsPerDay: 5, streams: 1 };
  t.equal(await one.codes(2, policy), '+ +');
  t.equal(await two.codes(3, policy), '+ + rate_limited');
  t.equal(await one.codes(1, policy), 'rate_limited');
  t.equal(await two.codes(2, { requestsPerDay: 5 }), '+ quota_exceeded');
  t.equal(await one.codes(3, { requestsPerDay: 6 }), '+ quota_exceeded quota_exceeded', 'refusals were taken back');
  t.match(await two.limiter.admit('a', { requestsPerMinute: 9 }), {
    headers: ['ratelimit-limit', '9', 'ratelimit-remaining', '4', 'ratelimit-reset', /^(60|5\d)$/],
  });

  await t.test('open requests are counted by each alone', async (t) => {
    t.match(await one.limiter.admit('b', policy), { kind: 'admitted' });
    t.match(await two.limiter.admit('b', policy), { kind: 'admitted' });
    t.match(await two.limiter.admit('b', policy), { code: 'too_many_streams' });
  });

  await t.test('what is in the store ends with its window', async (t) => {
    const client = new Redis(redis.port);
    t.teardown(() => client.disconnect());
    const keys = (await client.keys('*')).sort();
    const seconds = await Promise.all(keys.map((key) => client.ttl(key)));
    t.strictSame(keys, [
      'auth-shim:burst:a',
      'auth-shim:day:a',
      'auth-shim:day:b',
      'auth-shim:minute:',
      'auth-shim:minute:a',
      'auth-shim:minute:b',
    ]);
    for (const [index, most] of [600, 86_400, 86_400, 60, 60, 60].entries()) {
      const left = seconds[index] as number;
      t.ok(left > most - 20 && left <= most, `${keys[index]}: ${left}`);
    }
  });
  t.strictSame([...one.log.lines, ...two.log.lines], []);
  t.equal(one.limiter.withoutStore, 0);
});

void t.test(
  'a store that is killed: each counts alone at once, and together again when it is back',
  { skip: NO_REDIS },
  async (t) => {
    const redis = await startRedis(t);
    const one = await startReplica(t, redis.address);
    const two = await startReplica(t, redis.address);
    const policy = { requestsPerMinute: 3 };
    t.equal(await one.codes(3, policy), '+ + +');
    t.equal(await two.codes(1, policy), 'rate_limited');

    await redis.stop();
    const [found, soon] = await inTime(two.codes(4, policy), LONG / 4);
    t.equal(found, '+ + + rate_limited', 'its own count');
    t.ok(soon);
    t.equal(two.limiter.withoutStore, 4);
    t.equal(two.limiter.storeUp, false);
    await Promise.all([one.log.written(1), two.log.written(1)]);
    t.strictSame(words(two.log), [DOWN]);
    t.equal(two.log.lines[0]?.level, 'warn');

    await startRedis(t, [], redis.port);
    await Promise.all([one.log.written(2), two.log.written(2)]);
    t.strictSame(words(one.log), [DOWN, BACK]);
    t.equal(two.limiter.storeUp, true);
    t.equal(await one.codes(3, policy), '+ + +', 'the new store knows nothing of before');
    t.equal(await two.codes(1, policy), 'rate_limited', 'and is shared');
    t.equal(two.limiter.withoutStore, 4);
  },
);

void t.test(
  'a store that stops without a word costs only the requests of that moment',
  { skip: NO_REDIS },
  async (t) => {
    const redis = await startRedis(t);
    const patience = 1_000;
    const { limiter, log, codes } = await startReplica(t, redis.address, { patience });
    const policy = { requestsPerMinute: 100, requestsPerDay: 100 };
    t.equal(await codes(1, policy), '+');

    redis.child.kill('SIGSTOP');
    const began = performance.now();
    const both = Promise.all([limiter.admit('a', policy), limiter.admit('a', policy)]);
    const [answers, soon] = await inTime(both, patience + 200);
    t.match(answers, [{ kind: 'admitted' }, { kind: 'admitted' }]);
    t.ok(soon && performance.now() - began > patience - 50, 'the first requests wait for it as long as they may');
    const [, more] = await inTime(codes(50, policy), 100);
    t.ok(more, '50 more do not');
    t.equal(limiter.withoutStore, 52);
    t.strictSame(words(log), [DOWN]);

    redis.child.kill('SIGCONT');
    await log.written(2);
    t.strictSame(words(log), [DOWN, BACK]);
    t.equal(await codes(1, policy), '+');
    t.equal(limiter.withoutStore, 52);
  },
);

void t.test('refuse: without the store nobody with such a limit comes in', { skip: NO_REDIS }, async (t) => {
  const redis = await startRedis(t);
  const { limiter, log, codes } = await startReplica(t, redis.address, { onFailure: 'refuse' });
  const policy = { requestsPerMinute: 9, streams: 1 };
  t.equal(await codes(1, policy), '+');
  await redis.stop();
  t.equal(await codes(3, policy), 'limits_unavailable limits_unavailable limits_unavailable', 'no stream is held');
  t.equal(limiter.withoutStore, 3);
  t.match(limiter.admit('a', { streams: 1 }), { kind: 'admitted' }, 'streams need no store');
  await log.written(1);
  t.match(words(log), [/is down: callers with a limit by minute or day are refused$/]);
  await startRedis(t, [], redis.port);
  await log.written(2);
  t.equal(await codes(1, { requestsPerMinute: 9 }), '+');
});

void t.test('a store that is not there yet', { skip: NO_REDIS }, async (t) => {
  const port = await freePort();
  const { limiter, log, codes } = await startReplica(t, at(port));
  t.equal(limiter.storeUp, false);
  t.match(log.lines, [{ level: 'warn', message: DOWN, reason: /ECONNREFUSED/ }]);
  t.equal(await codes(2, { requestsPerMinute: 1 }), '+ rate_limited');
  await startRedis(t, [], port);
  await log.written(2);
  t.equal(await codes(2, { requestsPerMinute: 1 }), '+ rate_limited');
  t.equal(limiter.withoutStore, 2);
});

void t.test('a server that accepts connections and never answers', { skip: NO_REDIS }, async (t) => {
  for (const [name, more] of [
    ['the first question', {}],
    ['the login', { password: 'p-Zk3mQ8vT1xYw' }],
  ] as const) {
    await t.test(name, async (t) => {
      let connections = 0;
      const seen = Promise.withResolvers<void>();
      const address = await startServer(t, (socket) => {
        if (++connections === 3) socket.once('data', () => seen.resolve());
      });
      const { limiter, log, codes } = await startReplica(t, { ...address, ...more }, { patience: SHORT });
      await seen.promise;
      const [, soon] = await inTime(codes(50, { requestsPerMinute: 100, requestsPerDay: 100 }), 100);
      t.ok(soon, 'nobody waits while it is being tried');
      t.equal(limiter.withoutStore, 50);
      t.strictSame(words(log), [DOWN], 'it is told once, however often it is tried');
    });
  }
  await t.test('TLS', async (t) => {
    const address = await startServer(t, () => undefined);
    const { codes } = await startReplica(t, { ...address, tls: true } as RedisAddress, { patience: SHORT });
    t.equal(await codes(1, { requestsPerMinute: 1 }), '+');
  });
});

void t.test('a connection that ends with a request on it', { skip: NO_REDIS }, async (t) => {
  let commands = 0;
  const address = await startServer(t, (socket) => {
    socket.on('data', () => {
      if (++commands === 1) socket.write('*2\r\n:0\r\n:60000\r\n');
      else socket.destroy();
    });
  });
  const { limiter, codes } = await startReplica(t, address);
  t.equal(limiter.storeUp, true);
  const [found, soon] = await inTime(codes(1, { requestsPerMinute: 1 }), LONG / 4);
  t.equal(found, '+');
  t.ok(soon);
  t.equal(commands, 2, 'it is not repeated on the next connection');
});

void t.test(
  'the end of the limiter is not an end of the store, and does not wait for it',
  { skip: NO_REDIS },
  async (t) => {
    const redis = await startRedis(t);
    const { limiter, log } = await startReplica(t, redis.address);
    redis.child.kill('SIGSTOP');
    const [, soon] = await inTime(limiter.close(), LONG / 4);
    t.ok(soon);
    t.strictSame(log.lines, []);
    await limiter.close();
    const early = await startReplica(t, at(await freePort()));
    await early.limiter.close();
  },
);

void t.test(
  'a store that is slow holds up no request for longer than one that is dead',
  { skip: NO_REDIS },
  async (t) => {
    const patience = 1_000;
    let commands = 0;
    const address = await startServer(t, (socket) => {
      socket.on('data', () => setTimeout(() => socket.write('*2\r\n:1\r\n:60000\r\n'), ++commands === 1 ? 0 : 700));
    });
    const { limiter, codes } = await startReplica(t, address, { patience });
    t.equal(limiter.storeUp, true);
    const [found, soon] = await inTime(codes(1, { requestsPerMinute: 5, requestsPerDay: 5 }), patience + 200);
    t.equal(found, '+');
    t.ok(soon, 'two answers take 1,400');
    t.equal(limiter.withoutStore, 1);
  },
);

void t.test('a server that talks nonsense', { skip: NO_REDIS }, async (t) => {
  const address = await startServer(t, (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  const { codes, log } = await startReplica(t, address);
  t.equal(await codes(2, { requestsPerMinute: 1 }), '+ rate_limited');
  t.strictSame(words(log), [DOWN]);
});

void t.test('a password', { skip: NO_REDIS }, async (t) => {
  const password = 'p-Zk3mQ8vT1xYw';
  const { port } = await startRedis(t, ['--requirepass', password]);
  const right = await startReplica(t, at(port, { password }));
  t.equal(right.limiter.storeUp, true);
  const named = await startReplica(t, at(port, { username: 'default', password }));
  t.equal(named.limiter.storeUp, true);
  const wrong = await startReplica(t, at(port, { password: 'x-Zk3mQ8vT1xYw' }));
  t.match(wrong.log.lines, [{ message: DOWN, reason: /^WRONGPASS/ }]);
  const none = await startReplica(t, at(port));
  t.match(none.log.lines, [{ message: DOWN, reason: /^NOAUTH/ }]);
});

void t.test('a server that quotes the password', { skip: NO_REDIS }, async (t) => {
  const address = await startServer(t, (socket) => {
    socket.on('data', () =>
      socket.write("-ERR unknown command 'auth', with args beginning with: 'p-Zk3mQ8vT1xYw'\r\n"),
    );
  });
  const { log } = await startReplica(t, { ...address, password: 'p-Zk3mQ8vT1xYw' });
  t.match(log.lines, [{ reason: /beginning with: '…'$/ }]);
});

void t.test('a replica that takes no writes is down until it does', { skip: NO_REDIS }, async (t) => {
  const { port } = await startRedis(t, ['--replicaof', '127.0.0.1', '1']);
  const { limiter, log, codes } = await startReplica(t, at(port));
  t.match(log.lines, [{ message: DOWN, reason: /READONLY/ }]);
  t.equal(await codes(1, { requestsPerMinute: 1 }), '+');
  const client = new Redis(port);
  t.teardown(() => client.disconnect());
  await client.replicaof('NO', 'ONE');
  await log.written(2);
  t.strictSame(words(log), [DOWN, BACK]);
  t.equal(limiter.storeUp, true);

  await client.replicaof('127.0.0.1', '1');
  t.equal(await codes(2, { requestsPerMinute: 2 }), '+ rate_limited', 'the answer of a command is a failure as well');
  t.strictSame(words(log), [DOWN, BACK, DOWN]);
});

void t.test('a unix socket', { skip: NO_REDIS }, async (t) => {
  const path = join(t.testdir(), 'redis.sock');
  await startRedis(t, ['--unixsocket', path]);
  const { limiter } = await startReplica(t, { path });
  t.equal(limiter.storeUp, true);
});

void t.test('another database', { skip: NO_REDIS }, async (t) => {
  const { port } = await startRedis(t);
  const one = await startReplica(t, { ...at(port), db: 3 } as RedisAddress);
  const two = await startReplica(t, at(port));
  t.equal(await one.codes(1, { requestsPerMinute: 1 }), '+');
  t.equal(await two.codes(2, { requestsPerMinute: 1 }), '+ rate_limited');
});
