/** What callers may use, where it is counted, and where from they may call. */
import t from 'tap';
import { ConfigError } from '../../src/config/config.ts';
import { faultsOf, FILE, loadText, textOf, warningsOf, worldOf } from '../helpers/configuration.ts';
import { parseCallers } from '../../src/config/load.ts';
import type { Caller } from '../../src/types.ts';

const PASSWORD = 'p-Zk3mQ8vT1xYw';

async function callersOf(sections: Readonly<Record<string, string>>): Promise<readonly Caller[]> {
  return (await loadText(textOf(sections))).config.callers;
}

void t.test('a caller has its own limits, and the default where it has none', async (t) => {
  const callers = await callersOf({
    limits:
      '{ default: { requestsPerMinute: 60, burst: 20, requestsPerDay: 1000, streams: 4, sockets: 2, body: 1MiB }, store: memory }',
    callers:
      '[{ name: a }, { name: b, limits: { burst: 5, streams: 1, sockets: 9, body: 10 } }, { name: c, limits: {} }]',
  });
  const standard = {
    requestsPerMinute: 60,
    burst: 20,
    requestsPerDay: 1000,
    streams: 4,
    sockets: 2,
    body: 1024 * 1024,
  };
  t.strictSame(
    callers.map(({ limits }) => limits),
    [standard, { ...standard, burst: 5, streams: 1, sockets: 9, body: 10 }, standard],
  );
});

void t.test('nothing is limited unless it is said', async (t) => {
  const { config } = await loadText(textOf({ callers: '[{ name: a }]' }));
  t.notHas(config.callers[0], { limits: {} });
  t.notHas(config.callers[0], { from: {} });
  t.equal(config.limits.store, undefined);
});

const STORES: readonly { name: string; url: string; redis: object }[] = [
  { name: 'host', url: 'redis://cache.example', redis: { host: 'cache.example', port: 6379, tls: false, db: 0 } },
  { name: 'port', url: 'redis://127.0.0.1:7000/', redis: { host: '127.0.0.1', port: 7000, tls: false, db: 0 } },
  { name: 'database', url: 'redis://[::1]:7000/12', redis: { host: '::1', port: 7000, tls: false, db: 12 } },
  { name: 'TLS', url: 'rediss://cache.example', redis: { host: 'cache.example', port: 6379, tls: true, db: 0 } },
  { name: 'unix socket', url: '/run/redis/redis.sock', redis: { path: '/run/redis/redis.sock' } },
  {
    name: 'password',
    url: `rediss://:${PASSWORD}@cache.example`,
    redis: { host: 'cache.example', port: 6379, tls: true, db: 0, password: PASSWORD },
  },
  {
    name: 'user and encoded password',
    url: 'redis://shim:a%2Fb%40c@localhost',
    redis: { host: 'localhost', port: 6379, tls: false, db: 0, username: 'shim', password: 'a/b@c' },
  },
];

void t.test('a store, by reference', async (t) => {
  for (const { name, url, redis } of STORES) {
    await t.test(name, async (t) => {
      const world = worldOf({}, { REDIS_URL: url });
      const text = textOf({ limits: '{ store: { redis: { env: REDIS_URL } } }' });
      const { config, warnings } = await loadText(text, world);
      t.strictSame(config.limits.store, { redis, onFailure: 'local' });
      t.notMatch(
        warnings.map(({ path }) => path),
        [/limits/],
      );
    });
  }
});

void t.test('a store, as it is', async (t) => {
  for (const { name, url, redis } of STORES.filter(({ url }) => !url.includes('@'))) {
    const text = textOf({ limits: `{ store: { redis: "${url}" }, onStoreFailure: refuse }` });
    t.strictSame((await loadText(text)).config.limits.store, { redis, onFailure: 'refuse' }, name);
  }
});

void t.test('a password over a network without TLS is a warning', async (t) => {
  const world = (host: string) => worldOf({}, { REDIS_URL: `redis://:${PASSWORD}@${host}` });
  const text = textOf({ limits: '{ store: { redis: { env: REDIS_URL } } }' });
  const warned = async (host: string): Promise<string[]> =>
    (await loadText(text, world(host))).warnings
      .filter(({ path }) => path.startsWith('limits'))
      .map(({ path, message }) => `${path}: ${message}`);
  t.match(await warned('cache.example'), [/^limits.store.redis: the password crosses the network in the clear/]);
  t.strictSame(await warned('127.0.0.1'), []);
  t.notMatch((await warned('cache.example'))[0], PASSWORD);
  t.notMatch(await warningsOf(textOf({ limits: '{ store: { redis: "redis://cache.example" } }' })), [/limits/]);
});

const limits = (text: string): string => textOf({ limits: text });
const caller = (text: string): string => textOf({ callers: `[{ name: a, ${text} }]` });
const redis = (url: string): string => limits(`{ store: { redis: "${url}" } }`);
const URL_EXPECTED = /^2:27 limits.store.redis: expected redis:\/\/host:port/;

const BAD: readonly { name: string; text: string; says: RegExp }[] = [
  { name: 'no requests', text: limits('{ default: { requestsPerMinute: 0 } }'), says: /at least 1/ },
  { name: 'half a request', text: limits('{ default: { requestsPerDay: 0.5 } }'), says: /expected a count/ },
  { name: 'requests as text', text: caller('limits: { requestsPerDay: "5" }'), says: /expected a count/ },
  { name: 'too many', text: caller('limits: { streams: 1000000001 }'), says: /streams: expected at most 1000000000/ },
  { name: 'no body', text: caller('limits: { body: 0KiB }'), says: /limits.body: expected at least one byte/ },
  {
    name: 'a key that is none',
    text: caller('limits: { perMinute: 5 }'),
    says: /callers\[0\].limits.perMinute: unknown key/,
  },
  {
    name: 'burst alone',
    text: caller('limits: { burst: 5 }'),
    says: /callers\[0\].limits.burst: burst adds to requestsPerMinute, which is not set/,
  },
  {
    name: 'burst alone, by default',
    text: textOf({ limits: '{ default: { burst: 5 } }', callers: '[{ name: a }, { name: b }]' }),
    says: /^2:22 limits.default.burst: burst adds to requestsPerMinute/,
  },
  {
    name: 'another store',
    text: limits('{ store: disk }'),
    says: /limits.store: expected memory, or \{ redis: URL \}/,
  },
  { name: 'a store of nothing', text: limits('{ store: {} }'), says: /limits.store/ },
  { name: 'a port alone', text: limits('{ store: { redis: 6379 } }'), says: /limits.store/ },
  {
    name: 'a failure of memory',
    text: limits('{ onStoreFailure: refuse }'),
    says: /limits.onStoreFailure: only a Redis store can fail/,
  },
  {
    name: 'another answer to a failure',
    text: limits('{ store: { redis: /a.sock }, onStoreFailure: open }'),
    says: /unknown answer "open"/,
  },
  { name: 'a password', text: redis(`redis://:${PASSWORD}@cache.example`), says: /a secret: use a reference/ },
  { name: 'a user', text: redis('redis://shim@cache.example'), says: /a secret: use a reference/ },
  { name: 'a query', text: redis(`redis://cache.example?password=${PASSWORD}`), says: /no query/ },
  { name: 'a fragment', text: redis('redis://cache.example#1'), says: /no query and no fragment/ },
  { name: 'another scheme', text: redis('http://cache.example'), says: URL_EXPECTED },
  { name: 'no scheme', text: redis('cache.example:6379'), says: URL_EXPECTED },
  { name: 'no host', text: redis('redis:///0'), says: URL_EXPECTED },
  { name: 'port 0', text: redis('redis://cache.example:0'), says: URL_EXPECTED },
  { name: 'port 65536', text: redis('redis://cache.example:65536'), says: URL_EXPECTED },
  { name: 'a socket beside the file', text: redis('redis.sock'), says: URL_EXPECTED },
  { name: 'no database', text: redis('redis://cache.example/zero'), says: /number of a database/ },
  {
    name: 'a variable that is not set',
    text: limits('{ store: { redis: { env: REDIS_URL } } }'),
    says: /limits.store.redis.env: the variable REDIS_URL is not set/,
  },
  { name: 'from nowhere', text: caller('from: []'), says: /callers\[0\].from: an empty list would let nobody in/ },
  {
    name: 'from everywhere',
    text: caller('from: [10.0.0.0/8, 0.0.0.0/0]'),
    says: /callers\[0\].from\[1\]: this range is everybody: it narrows nothing/,
  },
  { name: 'from everywhere, in IPv6', text: caller('from: ["::/0"]'), says: /from\[0\]: this range is everybody/ },
  { name: 'from a name', text: caller('from: [ci.example]'), says: /from\[0\]: expected an address or a range/ },
  { name: 'from /33', text: caller('from: [10.0.0.0/33]'), says: /from\[0\]: expected an address or a range/ },
  { name: 'from a mapped range', text: caller('from: ["::ffff:10.0.0.0/104"]'), says: /write an IPv4 range as IPv4/ },
];

void t.test('one fault, one place', async (t) => {
  for (const { name, text, says } of BAD) {
    await t.test(name, async (t) => {
      const faults = await faultsOf(text);
      t.equal(faults.length, 1, faults.join('\n'));
      t.match(faults[0], says);
      t.notMatch(faults[0], PASSWORD);
    });
  }
});

void t.test('a URL behind a reference', async (t) => {
  const text = limits('{ store: { redis: { env: REDIS_URL } } }');
  for (const url of [`redis://:${PASSWORD}%@cache.example`, `redis://:${PASSWORD}@`, `http://:${PASSWORD}@a.example`]) {
    const world = worldOf({}, { REDIS_URL: url });
    const faults = await faultsOf(text, world);
    t.equal(faults.length, 1, faults.join('\n'));
    t.notMatch(faults[0], PASSWORD);
    t.same((await parseCallers(FILE, text, world)).callers, [], 'commands that edit callers run without it');
  }
});

void t.test('commands that edit callers see every fault of the limits themselves', async (t) => {
  await t.rejects(parseCallers(FILE, redis('http://a.example'), worldOf()), ConfigError);
});

void t.test('where from a caller may call', async (t) => {
  const [narrowed] = await callersOf({ callers: '[{ name: a, from: [10.0.0.0/8, 192.0.2.7, "2001:db8::/32"] }]' });
  const from = narrowed?.from;
  for (const [address, family, expected] of [
    ['10.255.0.1', 'ipv4', true],
    ['::ffff:10.255.0.1', 'ipv6', true],
    ['11.0.0.1', 'ipv4', false],
    ['192.0.2.7', 'ipv4', true],
    ['192.0.2.8', 'ipv4', false],
    ['2001:db8:1::1', 'ipv6', true],
    ['2001:db9::1', 'ipv6', false],
  ] as const) {
    t.equal(from?.check(address, family), expected, address);
  }
});
