import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { loadConfig } from '../../src/config/load.ts';
import { startGateway } from '../../src/demo/gateway.ts';
import type { World } from '../../src/commands/world.ts';
import { runCommandLine } from '../../src/commands/line.ts';
import { runProgram, serve, type Run } from '../helpers/process.ts';
import { bearer, caller, GATEWAY_SECRET, TOKENS } from '../helpers/stack.ts';
import { testWorld } from '../helpers/world.ts';

const env = { SECRET: GATEWAY_SECRET };
const CHAT = JSON.stringify({ model: 'openclaw', stream: true, messages: [{ role: 'user', content: 'hi' }] });

async function run(args: readonly string[], more: Partial<World> = {}): Promise<Run> {
  const world = testWorld('/', { env: {}, now: Date.now, ...more });
  const code = await runCommandLine(world, args);
  return { code, stdout: world.out(), stderr: world.err() };
}

async function configure(t: Test, url: string, more = ''): Promise<string> {
  const file = join(t.testdir({}), 'shim.config.yaml');
  await writeFile(
    file,
    [
      'listen: { port: 0 }',
      `gateway: { url: "${url}", auth: { mode: token, secret: { env: SECRET } } }`,
      'admin: { port: 0 }',
      'callers:',
      caller('writer', TOKENS.writer, ['operator.read', 'operator.write'], 'allowHeaders: [session-key]'),
      more,
    ].join('\n'),
  );
  return file;
}

void t.test('serve says where it listens, serves, and ends with 0 on SIGTERM', async (t) => {
  const gateway = await startGateway({ auth: { mode: 'token', token: GATEWAY_SECRET } });
  t.teardown(() => gateway.close());
  const shim = await serve(t, ['-c', await configure(t, gateway.url)], { env });
  t.match(shim.listening, { level: 'info', gateway: gateway.url, mode: 'token', callers: 1, dangers: undefined });
  const answer = await fetch(`${shim.url}/v1/chat/completions`, {
    method: 'POST',
    headers: bearer(TOKENS.writer),
    body: CHAT,
  });
  t.match(await answer.text(), /data: \[DONE\]\n\n$/);
  shim.child.kill('SIGTERM');
  t.equal(await shim.ended, 0);
  const last = shim.lines();
  t.match(
    last.find(({ msg }) => msg === 'request'),
    { caller: 'writer', status: 200, end: 'done' },
  );
  t.match(last.at(-2), { msg: 'shutting down', cause: 'SIGTERM' });
  t.match(last.at(-1), { msg: 'stopped' });
});

void t.test('a second signal ends at once, whatever still runs', async (t) => {
  const gateway = await startGateway({ auth: { mode: 'token', token: GATEWAY_SECRET }, chunks: 1000, chunkDelay: 50 });
  t.teardown(() => gateway.close());
  const shim = await serve(t, ['-c', await configure(t, gateway.url)], { env });
  const answer = await fetch(`${shim.url}/v1/chat/completions`, {
    method: 'POST',
    headers: bearer(TOKENS.writer),
    body: CHAT,
  });
  const broken = t.rejects(answer.text());
  const draining = new Promise<void>((resolve) =>
    shim.child.stderr?.on('data', () => {
      if (shim.lines().some(({ msg }) => msg === 'shutting down')) resolve();
    }),
  );
  shim.child.kill('SIGTERM');
  await draining;
  shim.child.kill('SIGTERM');
  t.equal(await shim.ended, 1);
  await broken;
});

void t.test('a gateway that is down is no start error', async (t) => {
  const shim = await serve(t, ['-c', await configure(t, 'http://127.0.0.1:9')], { env });
  const answer = await fetch(`${shim.url}/v1/models`, { headers: bearer(TOKENS.writer) });
  t.equal(answer.status, 502);
  t.match(await answer.json(), { error: { code: 'gateway_unreachable', message: /gateway\.url/ } });
});

void t.test('a configuration that cannot run is exit 78, with every fault and its place', async (t) => {
  const file = await configure(t, 'http://192.0.2.1:18789', 'lisen: {}');
  const { code, stdout, stderr } = await runProgram(['serve', '-c', file]);
  t.equal(code, 78);
  t.equal(stdout, '');
  t.match(stderr, `${file}:2:`);
  t.match(stderr, /gateway\.url: /);
  t.match(stderr, /gateway\.auth\.secret\.env: the variable SECRET is not set/);
  t.match(stderr, /lisen: unknown key \(did you mean "listen"\?\)/);
});

void t.test('a name that resolves beyond loopback is refused at start', async (t) => {
  const file = join(t.testdir({}), 'shim.config.yaml');
  const yaml =
    'gateway: { url: "http://gateway.example:18789", auth: { mode: token, secret: { env: SECRET } } }\ncallers: []\n';
  const world = { readFile: () => yaml, env, home: '/', now: Date.now() };
  for (const addresses of [['192.0.2.7'], ['127.0.0.1', '192.0.2.7'], ['::1', 'fd00::7']]) {
    await t.rejects(loadConfig(file, { ...world, resolve: async () => addresses }), {
      name: 'ConfigError',
      message: `${file}:1:17 gateway.url: gateway.example resolves to ${addresses.at(-1)}, which is beyond loopback: the gateway's secret would cross the network in the clear`,
    });
  }
  for (const addresses of [['127.0.0.1', '::1'], []]) {
    const { config } = await loadConfig(file, { ...world, resolve: async () => addresses });
    t.equal(config.gateway.origin, 'http://gateway.example:18789');
  }
});

void t.test('an address that is taken is exit 1', async (t) => {
  const gateway = await startGateway({ auth: { mode: 'token', token: GATEWAY_SECRET } });
  t.teardown(() => gateway.close());
  const file = await configure(t, 'http://127.0.0.1:9');
  await writeFile(
    file,
    (await readFile(file, 'utf8')).replace('listen: { port: 0 }', `listen: { port: ${gateway.port} }`),
  );
  const { code, stderr } = await runProgram(['serve', '-c', file], { env });
  t.equal(code, 1);
  t.match(stderr, /cannot listen: listen EADDRINUSE/);
});

void t.test('usage', async (t) => {
  const cases: [string[], number, RegExp][] = [
    [['chek'], 2, /^unknown command "chek" \(did you mean "check"\?\)/],
    [['serve', 'bogus'], 2, /bogus/],
    [['explain', 'GET', '/v1/models'], 2, /--as/],
    [['token', 'new'], 2, /caller/],
    [['wait', '--timeout', 'soon'], 2, /duration/],
    [['--help'], 0, /^$/],
    [['version'], 0, /^$/],
    [['--version'], 0, /^$/],
  ];
  for (const [args, expected, words] of cases) {
    const { code, stderr } = await run(args);
    t.equal(code, expected, args.join(' '));
    t.match(stderr, words, args.join(' '));
  }
  t.match((await run(['version'])).stdout, /^\d+\.\d+\.\d+\n$/);
  const help = await run(['--help']);
  for (const name of ['serve', 'check', 'init', 'token', 'explain', 'demo', 'wait', 'version']) {
    t.match(help.stdout, new RegExp(`^  ${name}\\b`, 'm'));
  }
});

void t.test('explain gives the decision of the gate, the rule and the headers, secrets masked', async (t) => {
  const file = await configure(t, 'http://127.0.0.1:18789');
  const explain = (...words: string[]) => run(['explain', '-c', file, '--as', 'writer', ...words], { env });

  const yes = await explain(
    'POST',
    '/v1/chat/completions',
    '-H',
    'x-openclaw-session-key: s1',
    '-H',
    'x-openclaw-model: m',
  );
  t.equal(yes.code, 0);
  t.match(yes.stdout, /^decision {2}forward$/m);
  t.match(
    yes.stdout,
    /^rule .*POST \/v1\/chat\/completions needs operator\.write; writer has: operator\.read, operator\.write$/m,
  );
  t.match(yes.stdout, /^enforced {2}shim: on every release$/m);
  t.match(yes.stdout, /gateway from 2026\.3\.28 \(token\): also enforces/);
  t.match(yes.stdout, /gateway from 2026\.3\.31 \(token\): does not, every bearer is full owner/);
  t.match(yes.stdout, /x-openclaw-scopes: operator\.read,operator\.write$/m);
  t.match(yes.stdout, /x-openclaw-session-key: s1$/m);
  t.match(yes.stdout, /^dropped {3}x-openclaw-model$/m);
  t.match(yes.stdout, /authorization: Bearer \*\*\*\*$/m);
  t.notMatch(yes.stdout, GATEWAY_SECRET);

  const no = await explain('POST', '/tools/invoke', '--json');
  t.equal(no.code, 1);
  t.match(JSON.parse(no.stdout), {
    decision: 'refuse',
    status: 403,
    code: 'insufficient_scope',
    rule: /operator\.admin/,
  });
  t.match(
    (await explain('GET', '/sessions/main/history')).stdout,
    /gateway from 2026\.3\.31 \(token\): also enforces, it refuses this route/,
  );
  t.match((await explain('GET', '/v1/chat/completions')).stdout, /^rule .*this path is exposed for POST alone$/m);
  t.match((await explain('GET', '/nowhere', '--json')).stdout, /route_not_exposed/);
  t.match((await explain('GET', '/v1/../x', '--json')).stdout, /bad_request/);
  const nobody = await run(['explain', '-c', file, '--as', 'wirter', 'GET', '/v1/models'], { env });
  t.equal(nobody.code, 2);
  t.match(nobody.stderr, /no caller is named "wirter"; there are: writer/);
});

void t.test('explain masks the identity headers of a trusted-proxy hop', async (t) => {
  const file = join(t.testdir({}), 'shim.config.yaml');
  await writeFile(
    file,
    [
      'gateway:',
      '  url: http://127.0.0.1:18789',
      '  auth: { mode: trusted-proxy, userHeader: { env: NAME }, requiredHeaders: { x-proof-8f2c: { env: SECRET } }, clientAddress: 192.0.2.1 }',
      'callers:',
      caller('writer', TOKENS.writer, ['operator.write']),
    ].join('\n'),
  );
  const { code, stdout } = await run(['explain', '-c', file, '--as', 'writer', 'GET', '/v1/models'], {
    env: { ...env, NAME: 'x-who-5d1e7a' },
  });
  t.equal(code, 0);
  t.match(stdout, /x-forwarded-for: 192\.0\.2\.1$/m);
  for (const secret of ['x-who-5d1e7a', 'x-proof-8f2c', GATEWAY_SECRET]) t.notMatch(stdout, secret);
});

void t.test('the demo shows 403 straight and a streamed reply through the shim', async (t) => {
  const { code, stdout } = await run(['demo']);
  t.equal(code, 0);
  t.match(stdout, /HTTP 403\n {3}.*missing scope: operator\.write/);
  t.match(stdout, /HTTP 200\n {3}data: /);
  t.match(stdout, /data: \[DONE\]/);
});

void t.test('wait', async (t) => {
  const gateway = await startGateway({ auth: { mode: 'token', token: GATEWAY_SECRET } });
  t.teardown(() => gateway.close());
  const file = await configure(t, gateway.url);
  const shim = await serve(t, ['-c', file], { env });
  await writeFile(
    file,
    (await readFile(file, 'utf8')).replace(
      'admin: { port: 0 }',
      `admin: { port: ${new URL(shim.listening.admin as string).port} }`,
    ),
  );
  t.equal((await run(['wait', '-c', file], { env })).code, 0, 'ready');
  await gateway.close();
  const late = await run(['wait', '-c', file, '--timeout', '300ms'], { env });
  t.equal(late.code, 1, 'the gateway is gone');
  t.match(late.stderr, /not ready after 300ms: gateway: it does not answer its health route/);
  t.equal((await run(['wait', '-c', file, '--live'], { env })).code, 0, 'it lives all the same');
});
