/** Keys of a real provider, and of servers that misbehave. Time is the tests' own, but for what the network takes. */
import type { lookup as dnsLookup, LookupAddress } from 'node:dns';
import { once } from 'node:events';
import { mock } from 'node:test';
import t, { type Test } from 'tap';
import type { JWTHeaderParameters } from 'jose';
import { createKeys, type Keys, type KeysDeps } from '../../src/callers/keys.ts';
import type { KeySet } from '../../src/callers/key-set.ts';
import type { IssuerConfig } from '../../src/config/issuers.ts';
import { makeAuthority } from '../helpers/certificates.ts';
import {
  issuerOf,
  jsonAt,
  makeKey,
  MISBEHAVIOURS,
  publicOf,
  startEndpoint,
  startProvider,
  type Endpoint,
} from '../helpers/provider.ts';
import { testLog, type TestLog } from '../helpers/redis.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DISCOVERY = '/.well-known/openid-configuration';

const RSA = await makeKey('r1');
const EC = await makeKey('e1', 'ES256');
const JWKS = { keys: [publicOf(RSA), publicOf(EC)] };

t.before(() => mock.timers.enable({ apis: ['setTimeout'] }));
t.after(() => mock.timers.reset());

interface Kept {
  readonly keys: Keys;
  readonly log: TestLog;
  readonly clock: { now: number };
}

async function keep(t: Test, issuer: IssuerConfig, more: Partial<KeysDeps> = {}): Promise<Kept> {
  const log = testLog();
  const clock = { now: Date.UTC(2027, 0, 1) };
  const keys = await createKeys(issuer, { now: () => clock.now, logger: log.logger as KeysDeps['logger'], ...more });
  t.teardown(() => keys.close());
  return { keys, log, clock };
}

/** An endpoint with a key set at `/jwks`, and its keys once they are fetched. */
async function keepFrom(
  t: Test,
  { headers = {}, ...more }: Partial<IssuerConfig> & { headers?: Record<string, string> } = {},
): Promise<Kept & { readonly endpoint: Endpoint; readonly set: KeySet }> {
  const endpoint = await startEndpoint(t, jsonAt({ '/jwks': JWKS }, headers));
  const kept = await keep(t, issuerOf(endpoint.url, { kind: 'jwksUri', url: `${endpoint.url}/jwks` }, more));
  const set = await kept.keys.load();
  if (!set) throw new Error('no keys');
  return { ...kept, endpoint, set };
}

void t.test('discovery and key set of a real provider are fetched once', async (t) => {
  const provider = await startProvider(t, [RSA, EC]);
  const { keys, log, clock } = await keep(
    t,
    issuerOf(provider.url, { kind: 'discovery', url: provider.url + DISCOVERY }),
  );
  t.equal(keys.current(clock.now), undefined, 'it is not waited for');
  t.strictSame(keys.state(), { heardMs: undefined, failing: false });
  const [set, same] = await Promise.all([keys.load(), keys.load()]);
  t.equal(set?.ids.size, 2);
  t.equal(same, set);
  t.equal(await keys.load(), set);
  t.equal(keys.current(clock.now), set);
  t.strictSame(keys.state(), { heardMs: clock.now, failing: false });
  t.strictSame(
    provider.requests.map(({ url }) => url),
    [DISCOVERY, '/jwks'],
  );
  t.strictSame(log.lines, []);
});

void t.test('only public keys for signing are used, each with its own algorithm', async (t) => {
  const publish = publicOf(RSA);
  const oct = { kty: 'oct', kid: 'oct', alg: 'HS256', k: 'c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA' };
  const odd = [
    oct,
    RSA,
    null,
    'x',
    [],
    { ...publish, kid: 'open', e: 'AQ' },
    { ...publish, kid: 'open too', e: 'AAAB' },
    { kty: 'RSA', kid: 'no modulus' },
  ];
  const endpoint = await startEndpoint(
    t,
    jsonAt({
      '/jwks': {
        keys: [
          ...odd,
          { ...publish, kid: 'enc', use: 'enc' },
          { ...publish, kid: 'ops', key_ops: ['sign'] },
          { ...publish, kid: 'ps', alg: 'PS256' },
          { ...publish, kid: 'good', use: undefined },
        ],
      },
    }),
  );
  const { keys } = await keep(t, issuerOf(endpoint.url, { kind: 'jwksUri', url: `${endpoint.url}/jwks` }));
  const set = (await keys.load()) as KeySet;
  const count = async (header: JWTHeaderParameters): Promise<number> => (await set.matching(header)).length;
  for (const kid of ['oct', 'r1', 'open', 'no modulus', 'enc', 'ops', 'ps', '../../good', "' or 1=1 --"]) {
    t.equal(await count({ alg: 'RS256', kid }), 0, kid);
  }
  t.equal(await count({ alg: 'HS256', kid: 'oct' }), 0, 'no symmetric key from the network');
  t.equal(await count({ alg: 'ES256', kid: 'good' }), 0, 'no other algorithm');
  t.equal(await count({ alg: 'RS256', kid: 'good' }), 1);
  t.equal(await count({ alg: 'RS256' }), 1, 'without a kid');
});

void t.test('what is no key set is not taken, and the last good one stays', async (t) => {
  for (const [name, answer] of Object.entries(MISBEHAVIOURS)) {
    await t.test(name, async (t) => {
      const { keys, log, endpoint, set, clock } = await keepFrom(t);
      endpoint.answer = (request, response) =>
        request.url === '/jwks' ? answer(request, response) : jsonAt({ '/elsewhere': JWKS })(request, response);
      t.equal(await keys.renew(set), undefined, 'a new key cannot be told from none');
      t.equal(keys.current(clock.now), set);
      t.equal(endpoint.hits('/elsewhere'), 0, 'no redirect is followed');
      t.match(log.lines, [{ level: 'warn', message: /the last ones are used/ }]);
      t.notMatch(JSON.stringify(log.lines), /secret-in-a-page|not a function/);

      const never = await keep(t, issuerOf(endpoint.url, { kind: 'jwksUri', url: `${endpoint.url}/jwks` }));
      t.equal(await never.keys.load(), undefined);
      t.match(never.log.lines, [{ level: 'warn', message: /its callers are refused/ }]);
      const { length } = endpoint.requests;
      t.equal(await never.keys.load(), undefined);
      t.equal(endpoint.requests.length, length, 'a request does not ask again');
    });
  }
});

void t.test('256 KiB are taken, and no byte more', async (t) => {
  const sized = (bytes: number): string => {
    const text = JSON.stringify({ ...JWKS, padding: '' });
    return text.replace('""', `"${'x'.repeat(bytes - text.length)}"`);
  };
  const { keys, endpoint, set, log, clock } = await keepFrom(t);
  endpoint.answer = (_, response) => void response.end(sized(256 * 1024));
  t.equal(await keys.renew(set), set);
  clock.now += MINUTE;
  endpoint.answer = (_, response) => void response.end(sized(256 * 1024 + 1));
  t.equal(await keys.renew(set), undefined);
  t.equal(log.lines.length, 1);
});

void t.test('a provider has 5 seconds in all', async (t) => {
  const stalls: Record<string, (endpoint: Endpoint) => Promise<void>> = {
    'it never answers': async (endpoint) => {
      endpoint.answer = () => undefined;
      await asked(endpoint, 1);
      mock.timers.tick(5 * SECOND);
    },
    'its body does not end': async (endpoint) => {
      endpoint.answer = (_, response) => void response.write('{"issuer":');
      await asked(endpoint, 1);
      mock.timers.tick(5 * SECOND);
    },
    'it is slow twice': async (endpoint) => {
      const first = Promise.withResolvers<() => void>();
      endpoint.answer = (request, response) =>
        first.resolve(() =>
          jsonAt({ [DISCOVERY]: { issuer: endpoint.url, jwks_uri: `${endpoint.url}/jwks` } })(request, response),
        );
      const answer = await first.promise;
      mock.timers.tick(3 * SECOND);
      endpoint.answer = () => undefined;
      answer();
      await asked(endpoint, 2);
      mock.timers.tick(2 * SECOND);
    },
  };
  for (const [name, stall] of Object.entries(stalls)) {
    await t.test(name, async (t) => {
      const endpoint = await startEndpoint(t, () => undefined);
      const stalled = stall(endpoint);
      const { keys, log } = await keep(t, issuerOf(endpoint.url, { kind: 'discovery', url: endpoint.url + DISCOVERY }));
      const loading = keys.load();
      await stalled;
      t.equal(await loading, undefined);
      t.match(log.lines, [{ reason: 'no answer within 5000 ms' }]);
    });
  }
});

/** Waits until so many requests have come. */
async function asked(endpoint: Endpoint, count: number): Promise<void> {
  while (endpoint.requests.length < count) await turn();
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

void t.test('a discovery document must be the issuer’s own, and name a safe place', async (t) => {
  const endpoint = await startEndpoint(t, () => undefined);
  const { url } = endpoint;
  const good = { issuer: url, jwks_uri: `${url}/jwks` };
  const cases: Readonly<Record<string, readonly [unknown, string]>> = {
    'another issuer': [{ ...good, issuer: 'https://evil.example' }, 'the discovery document is of another issuer'],
    'a closing slash': [{ ...good, issuer: `${url}/` }, 'the discovery document is of another issuer'],
    'no issuer': [{ jwks_uri: good.jwks_uri }, 'the discovery document is of another issuer'],
    'no jwks_uri': [{ issuer: url }, 'the discovery document has no jwks_uri'],
    'a list': [{ ...good, jwks_uri: [good.jwks_uri] }, 'the discovery document has no jwks_uri'],
    'a path': [{ ...good, jwks_uri: '/jwks' }, 'the discovery document has no jwks_uri'],
    plaintext: [{ ...good, jwks_uri: 'http://192.0.2.1/jwks' }, 'its URL must be https'],
    'plaintext by name': [{ ...good, jwks_uri: 'http://127.0.0.1.example/jwks' }, 'its URL must be https'],
    file: [{ ...good, jwks_uri: 'file:///etc/passwd' }, 'its URL is neither https nor http'],
  };
  for (const [name, [document, reason]] of Object.entries(cases)) {
    endpoint.answer = jsonAt({ [DISCOVERY]: document, '/jwks': JWKS });
    const { keys, log } = await keep(t, issuerOf(url, { kind: 'discovery', url: url + DISCOVERY }));
    t.equal(await keys.load(), undefined, name);
    t.match(log.lines, [{ reason }], name);
  }
  t.equal(endpoint.hits('/jwks'), 0);
  endpoint.answer = jsonAt({ [DISCOVERY]: good, '/jwks': JWKS });
  const { keys } = await keep(t, issuerOf(url, { kind: 'discovery', url: url + DISCOVERY }));
  t.equal((await keys.load())?.ids.size, 2);
});

void t.test('plaintext stays on the machine, whatever localhost is by now', async (t) => {
  const endpoint = await startEndpoint(t, jsonAt({ '/jwks': JWKS }));
  const url = `${endpoint.url.replace('127.0.0.1', 'localhost')}/jwks`;
  const names = (...addresses: readonly string[]): typeof dnsLookup =>
    ((_name: string, _options: unknown, done: (error: null, all: LookupAddress[]) => void) =>
      done(
        null,
        addresses.map((address) => ({ address, family: 4 })),
      )) as unknown as typeof dnsLookup;
  const away = await keep(t, issuerOf(endpoint.url, { kind: 'jwksUri', url }), {
    lookup: names('127.0.0.1', '192.0.2.1'),
  });
  t.equal(await away.keys.load(), undefined);
  t.match(away.log.lines, [{ reason: 'its name does not resolve to a loopback address' }]);
  t.equal(endpoint.requests.length, 0);
  const here = await keep(t, issuerOf(endpoint.url, { kind: 'jwksUri', url }), { lookup: names('127.0.0.1') });
  t.equal((await here.keys.load())?.ids.size, 2);
});

void t.test('TLS is verified by the authority of the issuer, or those of Node', async (t) => {
  const authority = await makeAuthority();
  const endpoint = await startEndpoint(t, jsonAt({ '/jwks': JWKS }), await authority.issue({ ips: ['127.0.0.1'] }));
  const named = await startEndpoint(t, jsonAt({ '/jwks': JWKS }), await authority.issue({ dns: ['other.test'] }));
  const load = async (url: string, ca?: string): Promise<number | undefined> => {
    const issuer = issuerOf(url, { kind: 'jwksUri', url: `${url}/jwks` }, ca === undefined ? {} : { ca });
    return (await (await keep(t, issuer)).keys.load())?.ids.size;
  };
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
  t.teardown(() => delete process.env.NODE_TLS_REJECT_UNAUTHORIZED);
  t.equal(await load(endpoint.url), undefined, 'an authority that nobody knows');
  t.equal(await load(endpoint.url, (await makeAuthority()).cert), undefined, 'another authority');
  t.equal(await load(named.url, authority.cert), undefined, 'the certificate of another host');
  t.equal(endpoint.requests.length + named.requests.length, 0);
  t.equal(await load(endpoint.url, authority.cert), 2);
});

void t.test('a bearer goes to the configured place, and on with the issuer’s own authority alone', async (t) => {
  const authority = await makeAuthority();
  const pair = await authority.issue({ ips: ['127.0.0.1'] });
  for (const tls of [undefined, pair]) {
    const place = await startEndpoint(t, jsonAt({ '/jwks': JWKS }), tls);
    const endpoint = await startEndpoint(t, () => undefined, tls);
    endpoint.answer = jsonAt({ [DISCOVERY]: { issuer: endpoint.url, jwks_uri: `${place.url}/jwks` }, '/jwks': JWKS });
    const more = { bearer: 'token-of-the-pod', ...(tls && { ca: authority.cert }) };
    for (const [kind, path] of [
      ['discovery', DISCOVERY],
      ['jwksUri', '/jwks'],
    ] as const) {
      const { keys } = await keep(t, issuerOf(endpoint.url, { kind, url: endpoint.url + path }, more));
      t.equal((await keys.load())?.ids.size, 2);
    }
    const sent = (at: Endpoint): unknown => at.requests.map(({ headers }) => headers.authorization);
    t.strictSame(sent(endpoint), ['Bearer token-of-the-pod', 'Bearer token-of-the-pod']);
    t.strictSame(sent(place), [tls && 'Bearer token-of-the-pod']);
  }
  const plain = await startEndpoint(t, jsonAt({ '/jwks': JWKS }));
  const secured = await startEndpoint(t, () => undefined, pair);
  secured.answer = jsonAt({ [DISCOVERY]: { issuer: secured.url, jwks_uri: `${plain.url}/jwks` } });
  const more = { bearer: 'token-of-the-pod', ca: authority.cert };
  const away = await keep(t, issuerOf(secured.url, { kind: 'discovery', url: secured.url + DISCOVERY }, more));
  t.equal(await away.keys.load(), undefined);
  t.match(away.log.lines, [{ reason: 'jwks_uri is no https URL' }]);
  t.equal(plain.requests.length, 0, 'never in the clear');
});

void t.test('keys are fetched again before they are too old', async (t) => {
  const cases = [
    [{}, {}, 48 * MINUTE],
    [{ 'cache-control': 'public, max-age=1800' }, {}, 24 * MINUTE],
    [{ 'cache-control': 'max-age=0, must-revalidate' }, {}, 4 * MINUTE],
    [{ 'cache-control': 's-maxage=60' }, {}, 48 * MINUTE],
    [{ 'cache-control': 'max-age=9999999999' }, { maxStale: 30 * 24 * HOUR }, 19.2 * HOUR],
    [{}, { maxStale: 10 * MINUTE }, 5 * MINUTE],
  ] as const;
  for (const [headers, more, ms] of cases) {
    const { keys, set, endpoint, clock } = await keepFrom(t, { headers, ...more });
    mock.timers.tick(ms - 1);
    await turn();
    t.equal(endpoint.requests.length, 1);
    const answered = Promise.withResolvers<void>();
    endpoint.answer = (request, response) => {
      jsonAt({ '/jwks': { keys: [publicOf(EC)] } }, headers)(request, response);
      answered.resolve();
    };
    mock.timers.tick(1);
    t.equal(keys.current(clock.now), set, 'nobody waits');
    await answered.promise;
    await settle(keys, set);
    t.equal(keys.current(clock.now)?.ids.size, 1, `${ms}`);
    t.equal(endpoint.requests.length, 2);
    keys.close();
  }
});

void t.test('a fetch in between puts the next one off', async (t) => {
  const { keys, set, endpoint } = await keepFrom(t);
  mock.timers.tick(24 * MINUTE);
  t.equal(await keys.renew(set), set);
  mock.timers.tick(24 * MINUTE);
  await settle(keys, set);
  t.equal(endpoint.requests.length, 2);
  mock.timers.tick(24 * MINUTE);
  await settle(keys, set);
  t.equal(endpoint.requests.length, 3);
});

/** Waits for a fetch that is under way. */
async function settle(keys: Keys, set: KeySet): Promise<void> {
  await keys.renew(set);
}

void t.test('an outage: keys hold for maxStale, a few fetches are tried, and it is told once', async (t) => {
  const { keys, set, endpoint, log, clock } = await keepFrom(t, { maxStale: 2 * HOUR });
  const fetched = clock.now;
  endpoint.answer = (_, response) => void response.writeHead(503).end();
  await keys.renew(set);
  t.equal(endpoint.requests.length, 2);
  t.strictSame(keys.state(), { heardMs: fetched, failing: true });
  // 1, 2, 4, … 32 seconds, then each minute.
  for (let second = 1; second <= 183; second++) {
    mock.timers.tick(SECOND);
    await settle(keys, set);
  }
  t.equal(endpoint.requests.length, 2 + 6 + 2);
  t.equal(await keys.load(), set);
  await endpoint.stop();
  mock.timers.tick(MINUTE);
  await settle(keys, set);
  t.equal(keys.current(fetched + 2 * HOUR - 1), set);
  t.equal(keys.current(fetched + 2 * HOUR), undefined);
  clock.now = fetched + 2 * HOUR;
  t.equal(await keys.load(), undefined);
  t.equal(log.lines.length, 1);
  for (let minute = 1; minute <= 2; minute++) {
    mock.timers.tick(MINUTE);
    await settle(keys, set);
  }
  t.match(log.lines.slice(1), [
    { level: 'warn', message: 'the last keys of an issuer are older than maxStale: its callers are refused' },
  ]);
  await endpoint.start();
  endpoint.answer = jsonAt({ '/jwks': JWKS });
  mock.timers.tick(MINUTE);
  await log.written(3);
  t.equal(log.lines[2]?.message, 'the keys of an issuer are fetched again');
  t.equal(await keys.load(), set, 'the same keys');
});

void t.test('a clock that jumps costs one fetch, not the callers', async (t) => {
  const { keys, endpoint, clock } = await keepFrom(t);
  t.equal(keys.current(clock.now - 48 * HOUR), undefined, 'also back');
  clock.now += 48 * HOUR;
  t.equal(keys.current(clock.now), undefined);
  const [first, second] = await Promise.all([keys.load(), keys.load()]);
  t.equal(first?.ids.size, 2);
  t.equal(second, first);
  t.equal(endpoint.requests.length, 2);
});

void t.test('keys that are not there cause one fetch in 30 seconds', async (t) => {
  const { keys, set, endpoint, clock } = await keepFrom(t);
  const thousand = (): Promise<unknown> => Promise.all(Array.from({ length: 1_000 }, () => keys.renew(set)));
  await thousand();
  t.equal(endpoint.requests.length, 2);
  clock.now += 29_999;
  await thousand();
  t.equal(endpoint.requests.length, 2);
  clock.now += 1;
  endpoint.answer = jsonAt({ '/jwks': { keys: [publicOf(EC)] } });
  await thousand();
  t.equal(endpoint.requests.length, 3);
  t.equal((await keys.renew(set))?.ids.size, 1, 'what came meanwhile');
  clock.now -= HOUR;
  await keys.renew(keys.current(clock.now) as KeySet);
  t.equal(endpoint.requests.length, 4, 'also when the clock was set back');
});

void t.test('a reload keeps the keys, and takes the bearer of now', async (t) => {
  const endpoint = await startEndpoint(t, jsonAt({ '/jwks': JWKS }));
  const issuer = issuerOf(endpoint.url, { kind: 'jwksUri', url: `${endpoint.url}/jwks` }, { bearer: 'first' });
  const { keys, clock } = await keep(t, issuer);
  const set = (await keys.load()) as KeySet;
  for (const other of [
    { issuer: 'https://other.test' },
    { keys: { kind: 'jwksUri', url: `${endpoint.url}/jwk` } as const },
    { ca: 'x' },
    { maxStale: 1 },
  ]) {
    t.equal(keys.share({ ...issuer, ...other }), undefined);
  }
  const shared = keys.share({ ...issuer, audience: ['urn:other'], bearer: 'second' }) as Keys;
  keys.close();
  t.equal(shared.current(clock.now), set);
  t.equal(await shared.renew(set), set);
  t.strictSame(
    endpoint.requests.map(({ headers }) => headers.authorization),
    ['Bearer first', 'Bearer second'],
  );
  shared.close();
  mock.timers.tick(HOUR);
  await turn();
  t.equal(endpoint.requests.length, 2, 'nothing is fetched after the end');
});

void t.test('an end does not wait for a provider', async (t) => {
  const endpoint = await startEndpoint(t, () => undefined);
  const { keys, log } = await keep(t, issuerOf(endpoint.url, { kind: 'jwksUri', url: `${endpoint.url}/jwks` }));
  const loading = keys.load();
  await asked(endpoint, 1);
  const [request] = endpoint.requests;
  const gone = once(request?.socket as NonNullable<typeof request>['socket'], 'close');
  keys.close();
  t.equal(await loading, undefined);
  await gone;
  t.strictSame(log.lines, []);
});

void t.test('a file and a secret need nobody', async (t) => {
  const file = await keep(t, issuerOf('https://file.test', { kind: 'file', jwks: JSON.stringify(JWKS) }));
  const set = file.keys.current(file.clock.now) as KeySet;
  t.equal(set.ids.size, 2);
  t.equal(await file.keys.renew(set), set);
  t.equal(file.keys.current(Infinity), set);
  t.equal(file.keys.state(), undefined);
  const secret = await keep(t, issuerOf('https://secret.test', { kind: 'secret', secret: 'x'.repeat(32) }));
  const [one] = (await secret.keys.load())?.ids ?? [];
  t.match(one, /^[0-9a-f]{64}$/);
});
