/** The listeners and the limits: one fault at a time. */
import { BlockList } from 'node:net';
import t from 'tap';
import { contains } from '../../src/config/address.ts';
import { digest, faultsOf, loadText, textOf, warningsOf } from '../helpers/configuration.ts';

const BAD: readonly { name: string; section: string; value: string; says: RegExp }[] = [
  {
    name: 'beyond loopback',
    section: 'listen',
    value: '{ host: 0.0.0.0 }',
    says: /^2:17 listen.host: .* beyond loopback/,
  },
  {
    name: 'a name beyond loopback',
    section: 'listen',
    value: '{ host: shim.example }',
    says: /listen.host: .* beyond loopback/,
  },
  {
    name: 'host with port',
    section: 'listen',
    value: '{ host: "127.0.0.1:80" }',
    says: /listen.host: expected an address/,
  },
  {
    name: 'host that is no address',
    section: 'listen',
    value: '{ host: 127.0.0.256 }',
    says: /listen.host: expected an address/,
  },
  {
    name: 'socket and port',
    section: 'listen',
    value: '{ socket: a.sock, port: 1 }',
    says: /listen.socket: .* either/,
  },
  {
    name: 'a long socket',
    section: 'listen',
    value: `{ socket: /${'a'.repeat(103)} }`,
    says: /listen.socket: .* 103 bytes/,
  },
  {
    name: 'a mode that YAML reads as decimal',
    section: 'listen',
    value: '{ socket: a.sock, mode: 0660 }',
    says: /^2:33 listen.mode: expected permission bits in quotes, such as "0660": without them YAML reads the decimal number 660$/,
  },
  {
    name: 'a mode in letters',
    section: 'listen',
    value: '{ socket: a.sock, mode: rw-rw---- }',
    says: /^2:33 listen.mode: expected permission bits in quotes/,
  },
  {
    name: 'a mode with more than permissions',
    section: 'listen',
    value: '{ socket: a.sock, mode: "4660" }',
    says: /^2:33 listen.mode: expected permission bits in quotes/,
  },
  {
    name: 'a mode without a socket',
    section: 'listen',
    value: '{ mode: "0660" }',
    says: /^2:11 listen.mode: only a socket has permission bits$/,
  },
  {
    name: 'credentials of another kind',
    section: 'listen',
    value: '{ credentials: certificate }',
    says: /^2:24 listen.credentials: unknown answer "certificate"; known: all, bearer$/,
  },
  { name: 'port too high', section: 'listen', value: '{ port: 65536 }', says: /listen.port: expected a port/ },
  { name: 'half a port', section: 'listen', value: '{ port: 1.5 }', says: /listen.port: expected a port/ },
  { name: 'hosts wildcard', section: 'listen', value: '{ hosts: ["*"] }', says: /listen.hosts\[0\]: a wildcard/ },
  { name: 'hosts 0.0.0.0', section: 'listen', value: '{ hosts: [0.0.0.0] }', says: /listen.hosts\[0\]: a wildcard/ },
  { name: 'hosts ::', section: 'listen', value: '{ hosts: ["::"] }', says: /listen.hosts\[0\]: a wildcard/ },
  {
    name: 'hosts with port',
    section: 'listen',
    value: '{ hosts: ["a.example:80"] }',
    says: /listen.hosts\[0\]: expected a name/,
  },
  {
    name: 'hosts as text',
    section: 'listen',
    value: '{ hosts: a.example }',
    says: /listen.hosts: expected a list, found a text/,
  },
  {
    name: 'metadata of a resource with a path',
    section: 'listen',
    value: '{ resourceMetadata: "https://a.example/x" }',
    says: /listen.resourceMetadata: expected true, or/,
  },
  {
    name: 'metadata of no origin',
    section: 'listen',
    value: '{ resourceMetadata: agents.example }',
    says: /listen.resourceMetadata: expected true, or/,
  },
  {
    name: 'metadata of another scheme',
    section: 'listen',
    value: '{ resourceMetadata: "ftp://a.example" }',
    says: /listen.resourceMetadata: expected true, or/,
  },
  {
    name: 'metadata of a number',
    section: 'listen',
    value: '{ resourceMetadata: 1 }',
    says: /listen.resourceMetadata: expected true, or/,
  },
  {
    name: 'metadata of a quote',
    section: 'listen',
    value: `{ resourceMetadata: 'https://a.example"' }`,
    says: /listen.resourceMetadata: expected true, or/,
  },
  {
    name: 'origin *',
    section: 'listen',
    value: '{ origins: ["*"] }',
    says: /listen.origins\[0\]: expected one web origin/,
  },
  {
    name: 'origin null',
    section: 'listen',
    value: '{ origins: ["null"] }',
    says: /listen.origins\[0\]: expected one web origin/,
  },
  {
    name: 'origin with slash',
    section: 'listen',
    value: '{ origins: ["https://a.example/"] }',
    says: /listen.origins\[0\]: expected/,
  },
  {
    name: 'origin in capitals',
    section: 'listen',
    value: '{ origins: ["https://A.example"] }',
    says: /listen.origins\[0\]: expected/,
  },
  {
    name: 'health as text',
    section: 'listen',
    value: '{ health: "yes" }',
    says: /listen.health: expected true or false, found a text/,
  },
  {
    name: 'trusted everybody',
    section: 'listen',
    value: '{ trustedProxies: [0.0.0.0/0] }',
    says: /trustedProxies\[0\]: this range is everybody/,
  },
  {
    name: 'trusted everybody, as IPv6',
    section: 'listen',
    value: '{ trustedProxies: ["::ffff:0:0/96"] }',
    says: /trustedProxies\[0\]: write an IPv4 range/,
  },
  {
    name: 'trusted name',
    section: 'listen',
    value: '{ trustedProxies: [proxy.example] }',
    says: /trustedProxies\[0\]: expected an address/,
  },
  {
    name: 'trusted /33',
    section: 'listen',
    value: '{ trustedProxies: [10.0.0.0/33] }',
    says: /trustedProxies\[0\]: expected an address/,
  },
  {
    name: 'admin beyond loopback',
    section: 'admin',
    value: '{ host: 10.0.0.1 }',
    says: /^2:16 admin.host: .* beyond loopback, where anybody could look: set token, or tls with clientCa/,
  },
  {
    name: 'admin on the public port',
    section: 'admin',
    value: '{ port: 18780 }',
    says: /admin.port: .* port of the public one/,
  },
  { name: 'body 0', section: 'limits', value: '{ body: 0 }', says: /limits.body: expected a size/ },
  { name: 'body 0KiB', section: 'limits', value: '{ body: 0KiB }', says: /limits.body: expected at least one byte/ },
  { name: 'body 20MB', section: 'limits', value: '{ body: 20MB }', says: /limits.body: expected a size/ },
  {
    name: 'headers 1023',
    section: 'limits',
    value: '{ headerBytes: 1023 }',
    says: /limits.headerBytes: .* 1KiB to 64KiB/,
  },
  {
    name: 'headers 65KiB',
    section: 'limits',
    value: '{ headerBytes: 65KiB }',
    says: /limits.headerBytes: .* 1KiB to 64KiB/,
  },
  {
    name: 'no connections',
    section: 'limits',
    value: '{ connections: 0 }',
    says: /limits.connections: expected at least 1/,
  },
  {
    name: 'longer than a timer',
    section: 'stream',
    value: '{ gatewayIdle: 25d }',
    says: /stream.gatewayIdle: expected at most 24d/,
  },
  { name: 'negative', section: 'drain', value: '{ timeout: -1s }', says: /drain.timeout: expected a duration/ },
];

void t.test('one fault, one place', async (t) => {
  for (const { name, section, value, says } of BAD) {
    await t.test(name, async (t) => {
      const faults = await faultsOf(textOf({ [section]: value }));
      t.equal(faults.length, 1, faults.join('\n'));
      t.match(faults[0], says);
    });
  }
});

void t.test('tokens of WebSocket clients that set no header: off unless said', async (t) => {
  const of = async (listen: string): Promise<unknown> => (await loadText(textOf({ listen }))).config.listen.websocket;
  const off = { firstFrameToken: false, subprotocolToken: false };
  t.same(await of('{}'), off);
  t.same(await of('{ websocket: {} }'), off);
  t.same(await of('{ websocket: { firstFrameToken: true } }'), { ...off, firstFrameToken: true });
  t.same(await of('{ websocket: { subprotocolToken: true } }'), { ...off, subprotocolToken: true });
  const faults: readonly (readonly [listen: string, says: RegExp])[] = [
    ['{ websocket: true }', /listen.websocket: expected a map/],
    ['{ websocket: { firstFrameToken: "yes" } }', /listen.websocket.firstFrameToken: expected true or false/],
    ['{ websocket: { subprotocolToken: 1 } }', /listen.websocket.subprotocolToken: expected true or false/],
    [
      '{ websocket: { firstFramToken: true } }',
      /websocket.firstFramToken: unknown key \(did you mean "firstFrameToken"\?\)/,
    ],
  ];
  for (const [listen, says] of faults) t.match(await faultsOf(textOf({ listen })), [says], listen);
});

void t.test('permission bits of a socket', async (t) => {
  const modeOf = async (mode: string): Promise<unknown> =>
    (await loadText(textOf({ listen: `{ socket: a.sock${mode} }` }))).config.listen.address;
  t.same(await modeOf(''), { socket: 'a.sock', mode: 0o600 });
  t.same(await modeOf(', mode: "0660"'), { socket: 'a.sock', mode: 0o660 });
  t.same(await modeOf(', mode: "777"'), { socket: 'a.sock', mode: 0o777 });
});

void t.test('which credential names the caller', async (t) => {
  const of = async (listen: string): Promise<unknown> => (await loadText(textOf({ listen }))).config.listen.credentials;
  t.equal(await of('{}'), 'all');
  t.equal(await of('{ credentials: all }'), 'all');
  t.equal(await of('{ credentials: bearer }'), 'bearer');
});

void t.test('the shim on the address of its own gateway', async (t) => {
  t.match(await faultsOf(textOf({ listen: '{ port: 18789 }' })), [/gateway.url: .* the shim itself listens on/]);
  t.same(await faultsOf(textOf({ listen: '{ port: 18789, host: 127.0.0.2 }' })), []);
});

void t.test('plaintext beyond loopback, said to be so, is a warning', async (t) => {
  const callers = `[{ name: a, scopes: [operator.read], tokens: [{ hash: "sha256:${digest('a')}" }] }]`;
  const text = textOf({ listen: '{ host: 0.0.0.0, unsafeListenPlaintext: true }', callers });
  t.same(await warningsOf(text), [
    'listen.host: callers of other machines get 421 until listen.hosts has the names that they use',
    'listen.unsafeListenPlaintext: tokens cross the network in the clear',
  ]);
  t.notOk((await loadText(text)).config.listen.hosts.has('0.0.0.0'));
});

void t.test('an address is looked for in each list by itself', async (t) => {
  const [one, other] = [new BlockList(), new BlockList()];
  one.addAddress('10.0.0.1');
  for (let i = 0; i < 2; i++) {
    t.equal(contains(one, '10.0.0.1'), true);
    t.equal(contains(other, '10.0.0.1'), false);
    t.equal(contains(one, 'no address'), false);
  }
  for (let i = 0; i < 2_000; i++) t.equal(contains(one, `10.1.${i >> 8}.${i & 255}`), false);
  t.equal(contains(one, '::ffff:10.0.0.1'), true);
});
