/** The whole file: defaults, every fault at once, and YAML that is none. */
import t from 'tap';
import { readFileSync } from 'node:fs';
import { ConfigError } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import { configTemplate, STANDARD_CHOICES } from '../../src/config/template.ts';
import { FILE, faultsOf, loadText, SECRET, textOf, worldOf } from '../helpers/configuration.ts';

const SAMPLE = new URL('../../shim.config.yaml', import.meta.url);

void t.test('defaults', async (t) => {
  const { config, warnings } = await loadText(textOf());
  t.same(config.listen.address, { host: '127.0.0.1', port: 18780 });
  t.same([...config.listen.hosts], ['localhost', '127.0.0.1', '::1']);
  t.same([...config.listen.origins], []);
  t.equal(config.listen.health, false);
  t.equal(config.listen.trustedProxies, undefined);
  t.equal(config.gateway.origin, 'http://127.0.0.1:18789');
  t.same(config.gateway.auth, { mode: 'token', secret: SECRET });
  t.same(config.limits, { body: 20 * 1024 * 1024, headerBytes: 16 * 1024, connections: undefined });
  t.same(config.stream, { heartbeat: 15_000, gatewayIdle: 0, endAtExpiry: undefined });
  t.same(config.drain, { delay: 0, timeout: 30_000 });
  t.equal(config.probes, undefined);
  t.equal(config.control, undefined);
  t.equal(config.admin, undefined);
  t.same([config.callers, config.routes, [...config.closedRoutes]], [[], [], []]);
  t.match(warnings, [{ level: 'warning', path: 'callers', message: /nobody may call/ }]);
});

void t.test('values as they are written', async (t) => {
  const { config } = await loadText(
    textOf({
      listen:
        '{ host: 127.1.2.3, port: 0, hosts: [Shim.Example, 10.0.0.7], origins: ["https://app.example"], health: true, trustedProxies: [10.0.0.0/8, "::1"] }',
      admin: '{}',
      limits: '{ body: 512KiB, headerBytes: 1024, connections: 3 }',
      stream: '{ heartbeat: 0, gatewayIdle: 2m, endAtExpiry: false }',
      drain: '{ delay: 5s, timeout: 500ms }',
      probes: '{}',
      control: '{ socket: run/control.sock }',
    }),
  );
  t.same(config.listen.address, { host: '127.1.2.3', port: 0 });
  t.same([...config.listen.hosts], ['localhost', '127.0.0.1', '::1', '127.1.2.3', 'shim.example', '10.0.0.7']);
  t.same([...config.listen.origins], ['https://app.example']);
  t.equal(config.listen.trustedProxies?.check('10.200.0.1'), true);
  t.equal(config.listen.trustedProxies?.check('11.0.0.1'), false);
  t.same(config.admin?.address, { host: '127.0.0.1', port: 18781 });
  t.same(config.limits, { body: 512 * 1024, headerBytes: 1024, connections: 3 });
  t.same(config.stream, { heartbeat: 0, gatewayIdle: 120_000, endAtExpiry: false });
  t.same(config.drain, { delay: 5_000, timeout: 500 });
  t.same(config.probes, { host: '0.0.0.0', port: 18782 });
  t.same(config.control, { socket: 'run/control.sock' });
});

void t.test('a socket is relative to the configuration, or to the home folder', async (t) => {
  const at = async (socket: string): Promise<unknown> => {
    const { config } = await loadConfig(
      '/etc/shim/shim.yaml',
      worldOf({ '/etc/shim/shim.yaml': textOf({ listen: `{ socket: ${socket} }` }) }),
    );
    return config.listen.address;
  };
  t.same(await at('run/shim.sock'), { socket: '/etc/shim/run/shim.sock', mode: 0o600 });
  t.same(await at('~/shim.sock'), { socket: '/home/operator/shim.sock', mode: 0o600 });
  t.same(await at('/run/shim.sock'), { socket: '/run/shim.sock', mode: 0o600 });
});

void t.test('every fault at once, each in its place', async (t) => {
  const text = `listen:
  hots: [a]
  port: "18780"
gateway:
  url: http://192.0.2.7:18789
  auth:
    mode: token
    secret: { env: NOT_SET }
callers:
  - name: agentpage
    tokens:
      - hash: nonsense
    scopes:
      - operator.read
      - operator.wirte
    websocket: true
  - name: AgentPage
routes:
  - { method: GET, path: /x/ , scope: operator.read }
stream: { heartbeat: 15 }
`;
  t.same(await faultsOf(text), [
    '2:3 listen.hots: unknown key (did you mean "host"?)',
    '3:9 listen.port: expected a port from 0 to 65535',
    "5:8 gateway.url: 192.0.2.7 is beyond loopback: the gateway's secret would cross the network in the clear",
    '8:20 gateway.auth.secret.env: the variable NOT_SET is not set',
    '12:15 callers[0].tokens[0].hash: expected "sha256:" and 64 lower-case hex digits. Never write a token here: hash it with "auth-shim token hash"',
    '15:9 callers[0].scopes[1]: unknown scope "operator.wirte" (did you mean "operator.write"?)',
    '16:16 callers[0].websocket: expected one of off, relay, tunnel',
    '17:11 callers[1].name: the caller "AgentPage" differs from "agentpage" only in case',
    '19:26 routes[0].path: expected a path such as /v1/files/{id}: segments of A-Z a-z 0-9 . _ ~ - or {name}, no slash at its end',
    '20:22 stream.heartbeat: expected a duration such as 500ms, 15s, 2m or 1h, or 0',
  ]);
});

void t.test('what was typed for a secret is not shown where it breaks the text', async (t) => {
  const typed = 'Zk3mQ8vT1xYw0pLs';
  for (const mark of ['>', '|', '!', '!!', '!x!', '!<', '%', '"\\', '"" ', '- ? ', '[]']) {
    const text = textOf({ drain: `\n  timeout: ${mark}${typed}` });
    const faults = await faultsOf(text);
    t.ok(faults.length > 0, mark);
    t.notMatch(faults.join('\n'), /Zk3m|T1xY|0pLs/, mark);
  }
});

const NOT_A_CONFIGURATION: readonly { name: string; text: string; says: readonly RegExp[] }[] = [
  { name: 'empty', text: '', says: [/^the file is empty$/] },
  { name: 'comments alone', text: '# nothing\n', says: [/^the file is empty$/] },
  { name: 'a text', text: 'hello\n', says: [/^1:1: expected a map/] },
  { name: 'a list', text: '- a\n', says: [/^1:1: expected a map/] },
  { name: 'does not parse', text: 'gateway: [\n', says: [/^2:1: Flow sequence/] },
  { name: 'duplicate keys', text: `${textOf()}gateway: {}\n`, says: [/^2:1: Map keys must be unique/] },
  { name: 'two documents', text: `${textOf()}---\na: 1\n`, says: [/^2:1: the file holds more than one YAML document/] },
  { name: 'unknown tag', text: textOf({ drain: '!go {}' }), says: [/^2:8: a tag \("!"\) is not taken here/] },
  { name: 'alias without anchor', text: textOf({ drain: '*nothing' }), says: [/^2:8: this alias has no anchor/] },
  {
    name: '__proto__',
    text: textOf({ listen: '{ __proto__: { host: 0.0.0.0 } }' }),
    says: [/^2:11: "__proto__" is no key/],
  },
  {
    name: 'more than 1 MiB',
    text: `${textOf()}# ${'x'.repeat(1024 * 1024)}`,
    says: [/^the file is larger than 1 MiB/],
  },
  {
    name: 'an anchor bomb',
    text: `a: &a [x, x, x, x, x, x, x, x, x]\n${'bcdefghi'
      .split('')
      .map((name, i) => `${name}: &${name} [${Array(9).fill(`*${'abcdefgh'[i]}`).join(', ')}]\n`)
      .join('')}`,
    says: [/^Excessive alias count/],
  },
  { name: 'no gateway', text: 'drain: {}\n', says: [/^1:1 gateway: this key is required/] },
  { name: 'a section without value', text: `${textOf()}admin:\n`, says: [/^2:1 admin: expected a map, found nothing/] },
];

void t.test('what is no configuration', async (t) => {
  for (const { name, text, says } of NOT_A_CONFIGURATION) {
    await t.test(name, async (t) => {
      const faults = await faultsOf(text);
      t.match(faults, says);
      t.equal(faults.length, says.length, faults.join('\n'));
    });
  }
});

void t.test('an alias is as good as what it stands for', async (t) => {
  const callers = `\n  - { name: a, scopes: &read [operator.read], tokens: [] }\n  - { name: b, scopes: *read, tokens: [] }`;
  const { config } = await loadText(textOf({ callers }));
  t.same(config.callers[1]?.scopes, ['operator.read']);
});

void t.test('a file that cannot be read', async (t) => {
  for (const [code, says] of [
    ['ENOENT', /^the configuration does not exist/],
    ['EISDIR', /^the configuration is a directory/],
    ['EACCES', /^the configuration may not be read/],
    ['EIO', /^the configuration cannot be read \(EIO\)/],
  ] as const) {
    const world = worldOf({ [FILE]: Object.assign(new Error(code), { code }) });
    const error = await loadConfig(FILE, world).catch((thrown: unknown) => thrown);
    t.ok(error instanceof ConfigError);
    t.match(error instanceof ConfigError && error.issues, [{ path: '', message: says, line: undefined }], code);
  }
});

void t.test('the sample is what init writes, and loads', async (t) => {
  const sample = readFileSync(SAMPLE, 'utf8');
  t.equal(sample, configTemplate(STANDARD_CHOICES));
  t.same(await faultsOf(sample, worldOf({}, { OPENCLAW_GATEWAY_TOKEN: SECRET })), []);
});
