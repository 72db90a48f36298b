import t, { type Test } from 'tap';
import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { configWorld } from '../../src/commands/config-world.ts';
import { runInit, type InitOptions } from '../../src/commands/init.ts';
import { loadConfig, type LoadedConfig } from '../../src/config/load.ts';
import { makeSelfSigned } from '../helpers/certificates.ts';
import { testWorld, type TestWorld } from '../helpers/world.ts';

const config = 'shim.config.yaml';
const TOKEN = 'a3f1c09be7d25468a3f1c09be7d25468a3f1c09be7d25468';

interface Result {
  readonly code: number;
  readonly err: string;
  readonly text: () => string;
  readonly load: () => Promise<LoadedConfig>;
}

/** Runs it in a folder with the gateway's file `oc.json`. */
async function init(
  t: Test,
  gatewayFile: string,
  options: Omit<InitOptions, 'config'>,
  env?: World['env'],
): Promise<Result> {
  const world = testWorld(t.testdir({ 'oc.json': gatewayFile }), env ? { env } : {});
  const code = await runInit(world, { config, ...options });
  t.equal(world.out(), '');
  return {
    code,
    err: world.err(),
    text: () => readFileSync(join(world.cwd, config), 'utf8'),
    load: () => loadConfig(join(world.cwd, config), configWorld(world)),
  };
}
type World = TestWorld;

void t.test('a file that loads, and is not written over', async (t) => {
  const world = testWorld(t.testdir());
  const path = join(world.cwd, config);
  t.equal(await runInit(world, { config }), 0);
  t.match(world.err(), /shim.config.yaml is written.\nNext:\n  export OPENCLAW_GATEWAY_TOKEN=/);
  const { config: loaded } = await loadConfig(path, configWorld(world));
  t.equal(loaded.gateway.origin, 'http://127.0.0.1:18789');
  t.same(loaded.admin?.address, { host: '127.0.0.1', port: 18781 });
  const before = readFileSync(path, 'utf8');
  t.equal(await runInit(world, { config, keepToken: true }), 1);
  t.match(world.err(), /shim.config.yaml exists; --force writes over it/);
  t.equal(readFileSync(path, 'utf8'), before);
  t.equal(await runInit(world, { config, keepToken: true, force: true }), 0);
  t.not(readFileSync(path, 'utf8'), before);
  t.equal(await runInit(world, { config: 'no/folder.yaml' }), 1);
  t.match(world.err(), /no\/folder.yaml cannot be written \(ENOENT\)/);
});

void t.test('the gateway speaks TLS with a certificate of its own, which is then the only one', async (t) => {
  const { cert, fingerprint } = await makeSelfSigned({ name: 'openclaw-gateway' });
  for (const [where, tls] of [
    [{ gateway: { tls: { 'gateway-cert.pem': cert } } }, 'enabled: true'],
    [{ 'own.crt': cert }, "enabled: true, certPath: 'own.crt'"],
  ] as const) {
    const file = `{ gateway: { tls: { ${tls} }, auth: { token: '${TOKEN}' } } }`;
    const world = testWorld(t.testdir({ 'oc.json': file, ...where }), {});
    t.equal(await runInit(world, { config, from: 'oc.json' }), 0, world.err());
    const { config: loaded } = await loadConfig(join(world.cwd, config), configWorld(world));
    t.equal(loaded.gateway.origin, 'https://127.0.0.1:18789');
    t.same(loaded.gateway.tls, { fingerprint });
  }
});

const FROM: readonly { name: string; file: string; origin: string; auth: object }[] = [
  {
    name: 'token',
    file: `{ gateway: { port: 19000, auth: { mode: 'token', token: '${TOKEN}' } } } // mine`,
    origin: 'http://127.0.0.1:19000',
    auth: { mode: 'token', secret: TOKEN },
  },
  {
    name: 'password',
    file: `{ gateway: { auth: { mode: 'password', password: '${TOKEN}' } } }`,
    origin: 'http://127.0.0.1:18789',
    auth: { mode: 'password', secret: TOKEN },
  },
  {
    name: 'a password without a mode',
    file: `{ gateway: { auth: { password: '${TOKEN}' } } }`,
    origin: 'http://127.0.0.1:18789',
    auth: { mode: 'password', secret: TOKEN },
  },
  {
    name: 'none',
    file: `{ gateway: { port: 18780, auth: { mode: 'none' } } }`,
    origin: 'http://127.0.0.1:18780',
    auth: { mode: 'none' },
  },
];

void t.test('from the file of the gateway: its port and mode, and its name as the source of the secret', async (t) => {
  for (const { name, file, origin, auth } of FROM) {
    await t.test(name, async (t) => {
      const { code, text, load } = await init(t, file, { from: 'oc.json' });
      t.equal(code, 0);
      t.notOk(text().includes(TOKEN));
      if (name !== 'none') t.match(text(), /secret: \{ openclaw: "~\/oc.json" \}/);
      const { gateway } = (await load()).config;
      t.same(gateway, { origin, auth, beyondLoopback: false });
    });
  }
});

void t.test('from a gateway behind a proxy', async (t) => {
  const { code, load } = await init(
    t,
    "{ gateway: { auth: { mode: 'trusted-proxy' } } }",
    { from: 'oc.json' },
    { OPENCLAW_USER_HEADER: 'x-user-5hTq' },
  );
  t.equal(code, 0);
  t.match((await load()).config.gateway.auth, { mode: 'trusted-proxy', userHeader: 'x-user-5hTq' });
});

void t.test('from a gateway behind a proxy: the names of its headers, and where they come from', async (t) => {
  const file = (proxy: string): string => `{ gateway: { auth: { mode: 'trusted-proxy', trustedProxy: ${proxy} } } }`;
  const env = {
    OPENCLAW_USER_HEADER: 'x-user-5hTq',
    OPENCLAW_REQUIRED_HEADER_2: 'x-proof-93kD',
    MY_PROOF: 'x-mine-8dFk',
  };
  const secret = await init(
    t,
    file(
      "{ userHeader: 'x-user-5hTq', requiredHeaders: ['X-Forwarded-Proto', 'x-proof-93kD', 'x-auth-request-email', '${MY_PROOF}', 'x-proof-93kD'] }",
    ),
    { from: 'oc.json' },
    env,
  );
  t.equal(secret.code, 0);
  t.notMatch(secret.text() + secret.err, /5hTq|93kD/);
  t.match(secret.err, /export OPENCLAW_USER_HEADER=… .*trustedProxy\.userHeader of oc\.json/);
  t.match(secret.err, /export OPENCLAW_REQUIRED_HEADER_2=… .*trustedProxy\.requiredHeaders\[1\] of oc\.json/);
  t.match(secret.err, /export MY_PROOF=… .*requiredHeaders\[3\]/);
  t.match((await secret.load()).config.gateway.auth, {
    userHeader: 'x-user-5hTq',
    requiredHeaders: [
      ['x-proof-93kD', '1'],
      ['x-auth-request-email', '1'],
      ['x-mine-8dFk', '1'],
    ],
  });

  const plain = await init(
    t,
    file("{ userHeader: 'X-Forwarded-User', requiredHeaders: ['x-forwarded-host'], allowUsers: ['nick'] }"),
    { from: 'oc.json' },
    {},
  );
  t.match((await plain.load()).config.gateway.auth, { userHeader: 'X-Forwarded-User', requiredHeaders: [] });
  t.notMatch(plain.err, /export/);
  t.match(plain.err, /^warning: .*trustedProxy\.allowUsers/m);
});

void t.test('what cannot be taken from the file is told, there and in what is written', async (t) => {
  for (const [gateway, says] of [
    ['{ $include: "./gateway.json5" }', /oc.json has \$include: .* were not read/],
    ["{ bind: 'lan' }", /gateway.bind of oc.json opens the gateway to the network/],
    ["{ bind: 'custom', customBindHost: '0.0.0.0' }", /opens the gateway to the network/],
    ["{ bind: 'custom', customBindHost: '192.0.2.7' }", /gateway.bind of oc.json is not loopback/],
    ["{ bind: 'tailnet' }", /is not loopback/],
  ] as const) {
    const { code, err, text } = await init(t, `{ gateway: ${gateway} }`, { from: 'oc.json' });
    t.equal(code, 0, gateway);
    t.match(err, new RegExp(`^warning: .*${says.source}`, 'm'));
    t.match(text(), new RegExp(`^# .*${says.source}`, 'm'));
  }
  const file = `{ gateway: { bind: 'custom', customBindHost: '127.0.0.9', auth: { token: '${TOKEN}' } } }`;
  const near = await init(t, file, { from: 'oc.json' });
  t.notMatch(near.err, /warning/);
  t.equal((await near.load()).config.gateway.origin, 'http://127.0.0.9:18789');
});

void t.test('ports that meet none of the shim itself', async (t) => {
  for (const port of [18780, 18781, 18782, 65534]) {
    for (const keepToken of [false, true]) {
      const file = `{ gateway: { port: ${port}, auth: { token: '${TOKEN}' } } }`;
      const { code, load } = await init(t, file, { from: 'oc.json', keepToken });
      t.equal(code, 0);
      await t.resolves(load(), `${port}`);
    }
  }
});

void t.test('a folder is no file', async (t) => {
  const world = testWorld(t.testdir({ folder: {} }));
  for (const force of [false, true]) {
    t.equal(await runInit(world, { config: 'folder', force }), 1);
  }
  t.match(world.err(), /^(folder is a folder: name the file to write in it\n){2}$/);
});

void t.test('keep the token: the caller goes on, on the port of the gateway', async (t) => {
  const { code, err, text, load } = await init(t, `{ gateway: { auth: { token: '${TOKEN}' } } }`, {
    from: 'oc.json',
    keepToken: true,
  });
  t.equal(code, 0);
  t.match(
    err,
    /openclaw config set gateway.port 18790\n {2}openclaw gateway install --force .*\n {2}curl http:\/\/127.0.0.1:18789\/healthz /,
  );
  t.match(text(), /# {3}openclaw config set gateway.port 18790\n.*# {3}openclaw gateway install --force\n/);
  t.notOk(text().includes(TOKEN));
  const { config: loaded, warnings } = await load();
  t.same(loaded.listen.address, { host: '127.0.0.1', port: 18789 });
  t.equal(loaded.gateway.origin, 'http://127.0.0.1:18790');
  t.match(loaded.callers, [
    { name: 'existing', scopes: ['operator.read', 'operator.write'], tokens: [{ hash: hash('sha256', TOKEN) }] },
  ]);
  t.match(
    warnings.filter(({ path }) => path.startsWith('callers')),
    [{ message: /^temporary: / }],
  );
});

void t.test('keep the token of the environment', async (t) => {
  const { code, load } = await init(t, '', { keepToken: true });
  t.equal(code, 0);
  t.match((await load()).config.callers, [{ name: 'existing' }]);
  const named = await init(t, '{ gateway: { auth: { token: "${OPENCLAW_GATEWAY_TOKEN}" } } }', {
    from: 'oc.json',
    keepToken: true,
  });
  t.equal(named.code, 0);
  t.match((await named.load()).config.callers, [{ name: 'existing' }]);
});

const REFUSED: readonly {
  name: string;
  file?: string;
  options: Omit<InitOptions, 'config'>;
  env?: World['env'];
  says: RegExp;
}[] = [
  { name: 'no such file', options: { from: 'missing.json' }, says: /missing.json does not exist/ },
  { name: 'no JSON5', file: `{ token: '${TOKEN}`, options: { from: 'oc.json' }, says: /oc.json is not JSON5/ },
  {
    name: 'no port',
    file: '{ gateway: { port: "x" } }',
    options: { from: 'oc.json' },
    says: /gateway.port is no port/,
  },
  {
    name: 'an unknown mode',
    file: "{ gateway: { auth: { mode: 'magic' } } }",
    options: { from: 'oc.json' },
    says: /mode "magic" is not supported/,
  },
  { name: 'no map', file: '[]', options: { from: 'oc.json' }, says: /oc.json is no configuration: the file is no map/ },
  { name: 'nothing', file: 'null', options: { from: 'oc.json' }, says: /the file is no map/ },
  {
    name: 'auth as a text',
    file: `{ gateway: { auth: '${TOKEN}' } }`,
    options: { from: 'oc.json' },
    says: /gateway.auth is no map/,
  },
  {
    name: 'the place in JSON5',
    file: `{ gateway: {\n  auth: { token: '${TOKEN}' }\n  port: 1 } }`,
    options: { from: 'oc.json' },
    says: /^oc.json is not JSON5 \(line 3, column 3\)$/m,
  },
  {
    name: 'TLS of the gateway, before its first start',
    file: '{ gateway: { tls: { enabled: true } } }',
    options: { from: 'oc.json' },
    says: /gateway.tls.enabled is true, and its certificate .*\/gateway\/tls\/gateway-cert.pem does not exist/,
  },
  {
    name: 'TLS of the gateway, with a file that is none',
    file: '{ gateway: { tls: { enabled: true, certPath: "oc.json" } } }',
    options: { from: 'oc.json' },
    says: /its certificate .*\/oc.json cannot be read/,
  },
  {
    name: 'no port above',
    file: `{ gateway: { port: 65535, auth: { token: '${TOKEN}' } } }`,
    options: { from: 'oc.json', keepToken: true },
    says: /port 65535 is the highest: it cannot move to the next one/,
  },
  { name: 'a port too high', file: '{ gateway: { port: 65536 } }', options: { from: 'oc.json' }, says: /is no port/ },
  { name: 'no token to keep', options: { keepToken: true }, env: {}, says: /set OPENCLAW_GATEWAY_TOKEN/ },
  { name: 'no token in the file', file: '{}', options: { from: 'oc.json', keepToken: true }, says: /holds no token/ },
  {
    name: 'a token too short',
    options: { keepToken: true },
    env: { OPENCLAW_GATEWAY_TOKEN: 'short-Zk3mQ8' },
    says: /cannot be kept/,
  },
  {
    name: 'a placeholder',
    options: { keepToken: true },
    env: { OPENCLAW_GATEWAY_TOKEN: 'x'.repeat(40) },
    says: /cannot be kept/,
  },
];

void t.test('refused, and nothing written', async (t) => {
  for (const { name, file = '', options, env, says } of REFUSED) {
    await t.test(name, async (t) => {
      const { code, err, text } = await init(t, file, options, env);
      t.equal(code, 1);
      t.match(err, says);
      t.notMatch(err, /a3f1c09b|short-Zk/);
      t.throws(text, { code: 'ENOENT' });
    });
  }
});
