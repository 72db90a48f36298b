import { chmodSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { runCheck } from '../../src/commands/check.ts';
import { makeAuthority } from '../helpers/certificates.ts';
import { digest } from '../helpers/configuration.ts';
import { testWorld } from '../helpers/world.ts';

const config = 'shim.config.yaml';
const GATEWAY =
  'gateway: { url: "http://127.0.0.1:18789", auth: { mode: token, secret: { env: OPENCLAW_GATEWAY_TOKEN } } }\n';
const CALLER = `callers: [{ name: a, scopes: [operator.read], tokens: [{ hash: "sha256:${digest('a')}" }] }]\n`;

void t.test('it can run', async (t) => {
  const world = testWorld(t.testdir({ [config]: GATEWAY + CALLER }));
  t.equal(await runCheck(world, { config }), 0);
  t.equal(world.out(), 'shim.config.yaml: ok, 1 caller, gateway http://127.0.0.1:18789 (token)\n');
  t.equal(world.err(), '');
});

void t.test('it can run, with a warning', async (t) => {
  const cwd = t.testdir({ [config]: `${GATEWAY}callers: []\n` });
  const world = testWorld(cwd);
  t.equal(await runCheck(world, { config }), 0);
  t.match(world.out(), /: ok, 0 callers/);
  t.match(world.err(), /^warning: shim.config.yaml:2:10 callers: nobody may call/);
  const json = testWorld(cwd);
  t.equal(await runCheck(json, { config, json: true }), 0);
  t.match(JSON.parse(json.out()), {
    file: config,
    ok: true,
    issues: [{ level: 'warning', path: 'callers', line: 2, column: 10 }],
  });
});

void t.test('TLS: until when, and who is asked for a certificate', async (t) => {
  const dates = (end: string) => ({ notBefore: new Date('2026-11-01'), notAfter: new Date(end) });
  const ca = await makeAuthority('CA', dates('2027-06-01'));
  const server = await ca.issue({ ...dates('2027-01-31T12:00:00Z'), dns: ['localhost'] });
  const client = await ca.issue(dates('2027-02-28'));
  const pair = '{ cert: tls/server.crt, key: tls/server.key }';
  const told = async (tls: string, gateway = GATEWAY, key = server.key): Promise<[code: number, text: string]> => {
    const files = {
      'ca.crt': ca.cert,
      'server.crt': server.cert,
      'server.key': key,
      'client.crt': client.cert,
      'client.key': client.key,
    };
    const folder = t.testdir({ [config]: `listen: { tls: ${tls} }\n${gateway}${CALLER}`, tls: files });
    for (const name of ['server.key', 'client.key']) chmodSync(join(folder, 'tls', name), 0o600);
    const world = testWorld(folder);
    return [await runCheck(world, { config }), world.out() + world.err()];
  };
  const ok =
    'shim.config.yaml: ok, 1 caller, gateway http://127.0.0.1:18789 (token), TLS on the listener until 2027-01-31';
  t.same(await told(pair), [0, `${ok}\n`]);
  const asked = pair.replace(' }', ', clientCa: tls/ca.crt }');
  t.same(await told(asked), [0, `${ok}, client certificates required\n`]);
  const accepted = asked.replace(' }', ', clientAuth: accept }');
  t.same(await told(accepted), [0, `${ok}, client certificates accepted\n`]);
  const hop = GATEWAY.replace('http:', 'https:').replace('} } }', '} }, tls: { cert: tls/client.crt, key: tls/client.key } }'); // prettier-ignore
  t.same(await told(pair, hop), [
    0,
    `${ok.replace('http:', 'https:')}, certificate for the gateway until 2027-02-28\n`,
  ]);
  t.same(await told(pair, GATEWAY, client.key), [
    78,
    'shim.config.yaml:1:45 listen.tls.key: tls/server.key is not the key of the first certificate in tls/server.crt\n',
  ]);
});

void t.test('what holds for WebSockets where the gateway wants a proxy', async (t) => {
  const told = async (password: string, websocket: string): Promise<[out: string, err: string]> => {
    const auth = `{ mode: trusted-proxy, userHeader: x-user${password} }`;
    const text = `gateway: { url: "http://127.0.0.1:18789", auth: ${auth}, deviceStore: devices }\n`;
    const world = testWorld(t.testdir({ [config]: text + CALLER.replace('name: a', `name: a${websocket}`) }));
    t.equal(await runCheck(world, { config }), 0, world.err());
    return [world.out(), world.err()];
  };
  const ok = 'shim.config.yaml: ok, 1 caller, gateway http://127.0.0.1:18789 (trusted-proxy)';
  const password = ', password: { env: OPENCLAW_GATEWAY_TOKEN }';
  t.same(await told(password, ', websocket: relay'), [
    `${ok}, WebSockets relayed with its local password and no forwarded headers (releases 2026.4.27 to 2026.5.7, and from 2026.5.19)\n`,
    '',
  ]);
  const [out, err] = await told('', ', websocket: relay');
  t.equal(out, `${ok}\n`);
  t.match(
    err,
    /^warning: shim\.config\.yaml:1:\d+ gateway\.auth: the device of each caller with "websocket: relay" waits for one approval by an operator, "openclaw devices approve"; [^\n]*\n$/,
  );
  t.same(await told(password, ''), [`${ok}\n`, '']);
  t.same(await told('', ''), [`${ok}\n`, '']);
});

void t.test('it cannot run', async (t) => {
  const cwd = t.testdir({ [config]: `${GATEWAY}callers: [{ name: a, scopes: [x] }]\nfoo: 1\n` });
  const world = testWorld(cwd, { env: {} });
  t.equal(await runCheck(world, { config }), 78);
  t.equal(world.out(), '');
  t.match(world.err().split('\n'), [
    /^shim.config.yaml:1:/,
    /^shim.config.yaml:2:/,
    /^shim.config.yaml:3:1 foo: unknown key/,
    /^$/,
  ]);
  const json = testWorld(cwd, { env: {} });
  t.equal(await runCheck(json, { config, json: true }), 78);
  t.match(JSON.parse(json.out()), { ok: false, issues: { length: 3 } });
  t.equal(json.err(), '');
});

void t.test('paths are of the folder that the command runs in', async (t) => {
  const cwd = t.testdir({
    etc: {
      [config]: GATEWAY.replace('env: OPENCLAW_GATEWAY_TOKEN', 'file: secret') + CALLER,
      secret: 'gateway-Zk3mQ8vT1xYw\n',
    },
    folder: {},
  });
  const world = testWorld(cwd);
  t.equal(await runCheck(world, { config: `etc/${config}` }), 0, world.err());
  t.match(world.err(), /etc\/secret can be read by other users/);
  t.equal(await runCheck(world, { config: 'folder' }), 78);
  t.match(world.err(), /folder: the configuration is a directory/);
});

void t.test('what deserves a word about an issuer', async (t) => {
  const check = async (issuer: string) => {
    const world = testWorld(
      t.testdir({ [config]: `${GATEWAY}issuers:\n  - { name: corp, issuer: "https://id.example", ${issuer} }\n` }),
      { env: { ...testWorld('').env, HMAC: 'Zk3mQ8vT1xYwZk3mQ8vT1xYwZk3mQ8vT' } },
    );
    const code = await runCheck(world, { config });
    return { code, out: world.out(), err: world.err() };
  };
  const KEYS = 'jwksUri: "https://id.example/keys"';
  const scopes = (ceiling: string): string => `scopes: { claim: scope${ceiling} }`;
  const READ = scopes(', ceiling: [operator.read]');
  t.match(await check(`audience: shim, ${KEYS}, ${READ}`), { code: 0, out: /: ok, 0 callers, 1 issuer/, err: /^$/ });

  const warned: readonly (readonly [issuer: string, says: RegExp])[] = [
    [
      `audience: shim, ${KEYS}, ${scopes(', ceiling: [operator.admin]')}`,
      /scopes\.ceiling: .* it has no narrower ceiling/,
    ],
    [`audience: shim, ${KEYS}, ${scopes(', ceiling: []')}`, /scopes\.ceiling: callers of "corp" get no scopes/],
    [`audience: shim, secret: { env: HMAC }, algorithms: [HS256], ${READ}`, /algorithms: HS256: whoever can verify/],
    [`audience: "https://kubernetes.default.svc", ${KEYS}, ${READ}`, /audience: .* looks like somebody else's/],
    [`audience: [shim, "https://id.example"], ${KEYS}, ${READ}`, /audience: .* looks like somebody else's/],
  ];
  for (const [issuer, says] of warned) {
    const { code, out, err } = await check(issuer);
    t.equal(code, 0, issuer);
    t.match(out, /: ok, /, issuer);
    t.equal(err.match(/^warning: shim\.config\.yaml:3:\d+ issuers\[0\]\./gm)?.length, 1, err);
    t.match(err, says, issuer);
    t.notMatch(err, 'Zk3m');
  }

  const none = await check(`audience: shim, ${KEYS}, ${scopes('')}`);
  t.equal(none.code, 78);
  t.match(
    none.err,
    /issuers\[0\]\.scopes\.ceiling: this key is required: the scopes that any of these callers may have at most, such as \[operator\.read\]$/m,
  );
  t.match((await check(`audience: shim, ${KEYS}`)).err, /issuers\[0\]\.scopes: this key is required: .*ceiling/);
  t.match((await check(`${KEYS}, ${READ}`)).err, /issuers\[0\]\.audience: this key is required$/m);
});

void t.test('the schema for editors', async (t) => {
  const world = testWorld(t.testdir());
  t.equal(await runCheck(world, { config, schema: true }), 0);
  const schema = JSON.parse(world.out()) as { properties: object };
  t.match(schema, {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    required: ['gateway'],
    additionalProperties: false,
    properties: {
      listen: { properties: { tls: { required: ['cert', 'key'] } } },
      callers: { items: { properties: { scopes: { items: { enum: /operator.read/ } } } } },
      issuers: { items: { properties: { scopes: { properties: { ceiling: { description: /at most/ } } } } } },
    },
  });
  t.same(Object.keys(schema.properties), [
    'listen',
    'gateway',
    'callers',
    'callersFile',
    'issuers',
    'introspection',
    'routes',
    'limits',
    'stream',
    'drain',
    'audit',
    'admin',
    'probes',
    'control',
  ]);
});

void t.test('the folder of the devices is looked at, where one is needed', async (t) => {
  const folder = t.testdir({
    [config]: (GATEWAY + CALLER)
      .replace('} } }', '} }, deviceStore: devices }')
      .replace('name: a', 'name: a, websocket: relay'),
    devices: { 'a.json': '{}' },
  });
  const err = async (): Promise<string> => {
    const world = testWorld(folder);
    t.equal(await runCheck(world, { config }), 0);
    return world.err();
  };
  chmodSync(join(folder, 'devices'), 0o777);
  t.match(await err(), /gateway\.deviceStore: others may write to .*devices \(mode 0?777\)/);
  chmodSync(join(folder, 'devices'), 0o700);
  t.match(await err(), /gateway\.deviceStore: .*a\.json has mode/);
  rmSync(join(folder, 'devices'), { recursive: true });
  t.equal(await err(), '', 'one that is not there yet is made');
  writeFileSync(join(folder, 'devices'), '');
  t.match(await err(), /gateway\.deviceStore: .*devices is no folder/);
});
