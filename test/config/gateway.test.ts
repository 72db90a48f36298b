/** The gateway's address, and the credentials of each mode. */
import t from 'tap';
import { isLoopback } from '../../src/config/address.ts';
import { loadDevices } from '../../src/config/load.ts';
import { FILE, faultsOf, loadText, SECRET, textOf, warningsOf, worldOf } from '../helpers/configuration.ts';

const gateway = (url: string, auth: string): string =>
  textOf({ gateway: `{ url: ${JSON.stringify(url)}, auth: ${auth} }` });
const withAuth = (auth: string): string => gateway('http://127.0.0.1:18789', auth);
const withUrl = (url: string): string => gateway(url, '{ mode: token, secret: { env: GATEWAY } }');

void t.test('loopback, in any spelling', (t) => {
  for (const address of ['127.0.0.1', '127.255.0.9', '::1', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.1', '::ffff:7f00:1']) {
    t.ok(isLoopback(address), address);
  }
  for (const address of [
    '128.0.0.1',
    '0.0.0.0',
    '::',
    '10.0.0.1',
    '::2',
    '::ffff:10.0.0.1',
    '127.1',
    'localhost',
    '',
  ]) {
    t.notOk(isLoopback(address), address);
  }
  t.end();
});

const URLS: readonly { url: string; origin?: string; says?: RegExp }[] = [
  { url: 'http://127.0.0.1:18789', origin: 'http://127.0.0.1:18789' },
  { url: 'http://127.0.0.1:18789/', origin: 'http://127.0.0.1:18789' },
  { url: 'http://localhost', origin: 'http://localhost' },
  { url: 'http://[::1]:1', origin: 'http://[::1]:1' },
  { url: 'http://[::ffff:127.0.0.1]:1', origin: 'http://[::ffff:7f00:1]:1' },
  { url: 'http://gateway:18789', origin: 'http://gateway:18789' },
  { url: 'http://10.0.0.1:18789', says: /10\.0\.0\.1 is beyond loopback/ },
  { url: 'http://[2001:db8::1]', says: /2001:db8::1 is beyond loopback/ },
  { url: 'http://0x0a000001', says: /10\.0\.0\.1 is beyond loopback/ },
  { url: 'http://0.0.0.0:18789', says: /0\.0\.0\.0 is where a server listens.*127\.0\.0\.1/ },
  { url: 'http://[::]:18789', says: /is where a server listens/ },
  { url: 'http://0', says: /is where a server listens/ },
  { url: 'https://127.0.0.1', says: /TLS to the gateway is not supported by this version/ },
  { url: 'ws://127.0.0.1', says: /write http:/ },
  { url: 'http://user:pass@127.0.0.1', says: /no user, path, query or fragment/ },
  { url: 'http://@127.0.0.1', says: /no user/ },
  { url: 'http://127.0.0.1/v1', says: /no user, path/ },
  { url: 'http://127.0.0.1?', says: /no user, path, query/ },
  { url: 'http://127.0.0.1/#', says: /no user, path, query or fragment/ },
  { url: 'http://127.0.0.1\\@10.0.0.1', says: /no user/ },
  { url: 'http://127.0.0.1:0', says: /expected a URL/ },
  { url: 'http://127.0.0.1:99999', says: /expected a URL/ },
  { url: 'http://a_.b..c', says: /expected a URL/ },
  { url: 'http://127.0.0.1 ', says: /expected a URL/ },
  { url: '127.0.0.1:18789', says: /expected a URL/ },
  { url: 'http:127.0.0.1', says: /expected a URL/ },
];

void t.test('gateway.url', async (t) => {
  for (const { url, origin, says } of URLS) {
    await t.test(JSON.stringify(url), async (t) => {
      if (says === undefined) {
        t.equal((await loadText(withUrl(url))).config.gateway.origin, origin);
        return;
      }
      const faults = await faultsOf(withUrl(url));
      t.equal(faults.length, 1, faults.join('\n'));
      t.match(faults[0], /^1:17 gateway\.url: /);
      t.match(faults[0], says);
    });
  }
});

const FAULTY_AUTH: readonly { name: string; auth: string; says: readonly RegExp[] }[] = [
  {
    name: 'unknown mode',
    auth: '{ mode: tokne }',
    says: [/auth.mode: unknown mode "tokne" \(did you mean "token"\?\)/],
  },
  {
    name: 'a mode of later',
    auth: '{ mode: shim }',
    says: [/auth.mode: mode "shim" is not supported by this version/],
  },
  { name: 'no mode', auth: '{ secret: { env: GATEWAY } }', says: [/auth.mode: this key is required/] },
  { name: 'token without secret', auth: '{ mode: token }', says: [/auth.secret: mode "token" needs a secret/] },
  {
    name: 'password without secret',
    auth: '{ mode: password }',
    says: [/auth.secret: mode "password" needs a secret/],
  },
  {
    name: 'none with secret',
    auth: '{ mode: none, secret: { env: GATEWAY } }',
    says: [/auth.secret: mode "none" has no secret/],
  },
  {
    name: 'trusted-proxy with secret',
    auth: '{ mode: trusted-proxy, userHeader: x-user, secret: { env: GATEWAY } }',
    says: [/auth.secret: mode "trusted-proxy" has no secret/],
  },
  {
    name: 'trusted-proxy without header',
    auth: '{ mode: trusted-proxy }',
    says: [/auth.userHeader: .* needs userHeader/],
  },
  {
    name: 'token with the keys of trusted-proxy',
    auth: '{ mode: token, secret: { env: GATEWAY }, userHeader: x-user, requiredHeaders: {}, clientAddress: 192.0.2.1 }',
    says: [/only mode "trusted-proxy" has userHeader/, /has requiredHeaders/, /has clientAddress/],
  },
  ...['127.0.0.1', '::ffff:127.0.0.1', '0.0.0.0', 'client.example'].map((address) => ({
    name: `clientAddress ${address}`,
    auth: `{ mode: trusted-proxy, userHeader: x-user, clientAddress: "${address}" }`,
    says: [/auth.clientAddress: expected an address that is not loopback/],
  })),
  ...[
    'transfer-encoding',
    'Connection',
    'authorization',
    'HOST',
    'x-openclaw-scopes',
    'X_OpenClaw_Scopes',
    'x-forwarded-for',
    'content-length',
    'x-openclaw-session-key',
  ].map((name) => ({
    name: `userHeader ${name}`,
    auth: `{ mode: trusted-proxy, userHeader: ${name} }`,
    says: [/auth.userHeader: this header frames the request or is written by the shim itself/],
  })),
  {
    name: 'userHeader that is no header',
    auth: '{ mode: trusted-proxy, userHeader: "x user" }',
    says: [/auth.userHeader: this is no header name/],
  },
  {
    name: 'one header twice',
    auth: '{ mode: trusted-proxy, userHeader: x-user, requiredHeaders: { X_User: "1" } }',
    says: [/auth.requiredHeaders: this header is named twice/],
  },
  {
    name: 'a value with a line break',
    auth: '{ mode: trusted-proxy, userHeader: x-user, requiredHeaders: { x-proof: "a\\r\\nb" } }',
    says: [/auth.requiredHeaders: expected visible ASCII/],
  },
  {
    name: 'a value that is a number',
    auth: '{ mode: trusted-proxy, userHeader: x-user, requiredHeaders: { x-proof: 1 } }',
    says: [/auth.requiredHeaders: expected a map of header names to values/],
  },
];

void t.test('half-set and impossible credentials', async (t) => {
  for (const { name, auth, says } of FAULTY_AUTH) {
    await t.test(name, async (t) => {
      const faults = await faultsOf(withAuth(auth));
      t.match(faults, says);
      t.equal(faults.length, says.length, faults.join('\n'));
    });
  }
});

void t.test('trusted-proxy, with names that are secrets', async (t) => {
  const world = worldOf(
    { '/run/proof': 'proof-8dFk2\n' },
    { USER_HEADER: 'x-user-5hTq', PROOF_HEADER: 'x-proof-93kD' },
  );
  const auth = async (required: string): Promise<unknown> =>
    (
      await loadText(
        withAuth(`{ mode: trusted-proxy, userHeader: { env: USER_HEADER }, requiredHeaders: ${required} }`),
        world,
      )
    ).config.gateway.auth;
  const standard = { mode: 'trusted-proxy', userHeader: 'x-user-5hTq', clientAddress: '192.0.2.1' };
  t.same(await auth('{ x-proof: { file: /run/proof }, x-Plain: some words }'), {
    ...standard,
    requiredHeaders: [
      ['x-proof', 'proof-8dFk2'],
      ['x-Plain', 'some words'],
    ],
  });
  t.same(await auth('[{ name: { env: PROOF_HEADER }, value: "1" }]'), {
    ...standard,
    requiredHeaders: [['x-proof-93kD', '1']],
  });
});

void t.test('the name of a required header is in no message', async (t) => {
  const faults = await faultsOf(
    withAuth('{ mode: trusted-proxy, userHeader: x-user, requiredHeaders: { x-proof-93kD: { env: NOT_SET } } }'),
  );
  t.match(faults, [/requiredHeaders: the variable NOT_SET is not set/]);
  t.notMatch(faults.join('\n'), /93kD/);
});

void t.test('deviceStore: memory, or a folder that is found from the configuration', async (t) => {
  const storeOf = async (written: string): Promise<unknown> => {
    const auth = '{ mode: token, secret: { env: GATEWAY } }';
    const text = textOf({ gateway: `{ url: "http://127.0.0.1:1", auth: ${auth}${written} }` });
    const faults = await faultsOf(text);
    return faults.length > 0 ? faults : (await loadText(text)).config.gateway.deviceStore;
  };
  t.equal(await storeOf(''), undefined);
  t.equal(await storeOf(', deviceStore: memory'), 'memory');
  t.same(await storeOf(', deviceStore: devices'), { folder: 'devices' });
  t.same(await storeOf(', deviceStore: ./memory'), { folder: 'memory' });
  t.same(await storeOf(', deviceStore: /var/lib/shim'), { folder: '/var/lib/shim' });
  t.same(await storeOf(', deviceStore: ~/.openclaw/devices'), { folder: '/home/operator/.openclaw/devices' });
  for (const bad of ['""', '7', '{ folder: devices }', '[memory]']) {
    t.match(await storeOf(`, deviceStore: ${bad}`), [/gateway.deviceStore: expected memory, or the path of a folder$/]);
  }
});

void t.test('what concerns devices, where the gateway’s secret is not', async (t) => {
  const auth = '{ mode: token, secret: { env: NOT_SET } }';
  const text = textOf({
    gateway: `{ url: "http://127.0.0.1:1", auth: ${auth}, deviceStore: devices }`,
    callers: '[{ name: a }]',
  });
  const place = await loadDevices('etc/shim.yaml', worldOf({ 'etc/shim.yaml': text }));
  t.match(place, { deviceStore: { folder: 'etc/devices' }, callers: [{ name: 'a' }] });
  await t.rejects(loadDevices(FILE, worldOf({ [FILE]: `${text}nonsense: 1\n` })), /nonsense: unknown key/);
  await t.rejects(loadDevices(FILE, worldOf()), /the configuration does not exist/);
});

void t.test('warnings', async (t) => {
  const callers = '[{ name: a, scopes: [operator.read], allowHeaders: [model], tools: [web_fetch], tokens: [] }]';
  const of = async (auth: string, env = {}): Promise<string[]> =>
    (
      await warningsOf(textOf({ gateway: `{ url: "http://localhost:1", auth: ${auth} }`, callers }), worldOf({}, env))
    ).filter((line) => !line.includes('no token'));
  t.match(await of('{ mode: none }'), [
    /^gateway.auth.mode: the gateway asks for no secret/,
    /^callers\[0\].allowHeaders: "a" may send x-openclaw-model/,
    /^callers\[0\].tools: "a" has tools without operator.write/,
  ]);
  t.same(await of('{ mode: password, secret: { env: GATEWAY } }'), []);
  t.match(await of('{ mode: token, secret: { env: SHORT } }', { SHORT: SECRET.slice(0, 15) }), [
    /^gateway.auth.secret: the gateway's secret is shorter than 16 characters/,
  ]);
  t.equal((await of('{ mode: trusted-proxy, userHeader: x-user }')).length, 2);
});
