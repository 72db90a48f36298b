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
  { url: 'https://127.0.0.1', origin: 'https://127.0.0.1' },
  { url: 'https://10.0.0.1:18443/', origin: 'https://10.0.0.1:18443' },
  { url: 'https://Gateway.example:443', origin: 'https://gateway.example' },
  { url: 'https://[2001:db8::1]', origin: 'https://[2001:db8::1]' },
  { url: 'https://0.0.0.0:18789', says: /0\.0\.0\.0 is where a server listens/ },
  { url: 'https://user@gateway.example', says: /no user, path, query or fragment/ },
  { url: 'https://gateway.example/v1', says: /no user, path/ },
  { url: 'HTTPS://gateway.example', says: /expected a URL/ },
  { url: 'ws://127.0.0.1', says: /write http: or https: here/ },
  { url: 'wss://127.0.0.1', says: /write http: or https: here/ },
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
  t.match(place, { deviceStore: { folder: 'etc/devices' }, names: ['a'] });
  await t.rejects(loadDevices(FILE, worldOf({ [FILE]: `${text}nonsense: 1\n` })), /nonsense: unknown key/);
  await t.rejects(loadDevices(FILE, worldOf()), /the configuration does not exist/);
});

const HASH = 'a'.repeat(64);
const relayOf = (gateway: string): string =>
  textOf({
    gateway: `{ url: "http://127.0.0.1:18789", ${gateway} }`,
    callers: `[{ name: a, websocket: relay, scopes: [operator.read], tokens: [{ hash: "sha256:${HASH}" }] }]`,
  });
const TOKEN_HOP = 'auth: { mode: token, secret: { env: GATEWAY } }';
const PROXY_HOP = 'auth: { mode: trusted-proxy, userHeader: x-user }';
const STORE_NEEDED =
  'gateway.deviceStore: "websocket: relay" needs it: a folder for the device identities, such as devices, or memory';

void t.test('a relay needs a place for its devices, told with all other faults', async (t) => {
  t.same(await faultsOf(relayOf(TOKEN_HOP)), [`1:10 ${STORE_NEEDED}`]);
  t.same(await faultsOf(relayOf(`${TOKEN_HOP}, deviceStore: memory`)), []);
  const all = await faultsOf(relayOf('auth: { mode: token, secret: { env: NOT_SET } }').replace('http:', 'ftp:'));
  t.match(all, [STORE_NEEDED, /gateway.url: expected a URL/, /gateway.auth.secret.env: the variable NOT_SET/]);
  t.match(await faultsOf(relayOf(`${TOKEN_HOP}, deviceStore: 7`)), [/gateway.deviceStore: expected memory/]);
  const without = relayOf(TOKEN_HOP).replace(/^gateway:.*\n/, '');
  t.match(await faultsOf(without), [/gateway: this key is required/]);
  t.equal((await faultsOf(without)).length, 1);
  const tunnel = relayOf(TOKEN_HOP).replace('relay, scopes: [operator.read]', 'tunnel, unsafeTunnel: true, scopes: [operator.admin]'); // prettier-ignore
  t.same(await faultsOf(tunnel), [], 'a tunnel signs for itself');
  t.same(await faultsOf(relayOf(TOKEN_HOP).replace('relay', 'off')), []);
});

void t.test('the local password of a gateway behind a proxy', async (t) => {
  const file = (auth: object): string => JSON.stringify({ gateway: { auth } });
  const world = worldOf(
    {
      '/run/password': 'local-Zk3mQ8vT\n',
      '/gw/proxy.json': file({ mode: 'trusted-proxy', password: 'local-of-json' }),
      '/gw/token.json': file({ mode: 'token', password: 'local-of-json' }),
      '/gw/none.json': file({ mode: 'trusted-proxy', token: 'x' }),
    },
    { SHORT: '1234567', PLACEHOLDER: 'changeme' },
  );
  const auth = (password: string): string => withAuth(`{ mode: trusted-proxy, userHeader: x-user, password: ${password} }`); // prettier-ignore
  const taken = async (password: string): Promise<unknown> =>
    (await loadText(auth(password), world)).config.gateway.auth;
  const standard = { mode: 'trusted-proxy', userHeader: 'x-user', requiredHeaders: [], clientAddress: '192.0.2.1' };
  t.same(await taken('{ env: GATEWAY }'), { ...standard, password: SECRET });
  t.same(await taken('{ file: /run/password }'), { ...standard, password: 'local-Zk3mQ8vT' });
  t.same(await taken('{ openclaw: /gw/proxy.json }'), { ...standard, password: 'local-of-json' });
  t.same((await loadText(withAuth('{ mode: trusted-proxy, userHeader: x-user }'))).config.gateway.auth, standard);
  t.notMatch(await warningsOf(auth('{ openclaw: /gw/proxy.json }'), world), [/gateway.auth.mode/]);
  t.match((await warningsOf(auth('{ openclaw: /gw/token.json }'), world)).join('\n'), /auth.password.openclaw: \/gw\/token.json says gateway.auth.mode "token", this file says "trusted-proxy"/); // prettier-ignore

  const faults: readonly (readonly [password: string, says: RegExp])[] = [
    ['secret', /gateway.auth.password: expected a reference with exactly one key/],
    ['{ env: NOT_SET }', /gateway.auth.password.env: the variable NOT_SET is not set/],
    ['{ env: SHORT }', /gateway.auth.password: the secret is shorter than 8 characters: it can be guessed/],
    ['{ env: PLACEHOLDER }', /gateway.auth.password/],
    ['{ openclaw: /gw/none.json }', /auth.password.openclaw: \/gw\/none.json has no gateway.auth.password/],
  ];
  for (const [password, says] of faults) {
    const told = await faultsOf(auth(password), world);
    t.match(told, [says], password);
    t.equal(told.length, 1, told.join('\n'));
    t.notMatch(told[0], /1234567|local-/);
  }
  for (const mode of ['token, secret: { env: GATEWAY }', 'password, secret: { env: GATEWAY }', 'none']) {
    t.match(await faultsOf(withAuth(`{ mode: ${mode}, password: { env: GATEWAY } }`)), [
      /gateway.auth.password: only mode "trusted-proxy" has password/,
    ]);
  }
});

void t.test('warnings of a relay', async (t) => {
  const MEMORY = 'gateway.deviceStore: device identities are made anew at every start, and each leaves a pairing record at the gateway; name a folder to keep them'; // prettier-ignore
  const APPROVAL = 'gateway.auth: the device of each caller with "websocket: relay" waits for one approval by an operator, "openclaw devices approve"; gateway.auth.password spares it where the gateway takes it (releases 2026.4.27 to 2026.5.7, and from 2026.5.19)'; // prettier-ignore
  const password = PROXY_HOP.replace(' }', ', password: { env: GATEWAY } }');
  const cases: readonly (readonly [gateway: string, warnings: readonly string[]])[] = [
    [`${TOKEN_HOP}, deviceStore: devices`, []],
    [`${TOKEN_HOP}, deviceStore: memory`, [MEMORY]],
    [`${PROXY_HOP}, deviceStore: devices`, [APPROVAL]],
    [`${PROXY_HOP}, deviceStore: memory`, [APPROVAL, MEMORY]],
    [`${password}, deviceStore: devices`, []],
    [`${password}, deviceStore: memory`, [MEMORY]],
  ];
  for (const [gateway, warnings] of cases) t.same(await warningsOf(relayOf(gateway)), warnings, gateway);
  const nobody = relayOf(`${PROXY_HOP}, deviceStore: memory`).replace('websocket: relay', 'websocket: off');
  t.same(await warningsOf(nobody), [], 'nothing of it where nobody is relayed');
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
