import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { loadConfig } from '../../src/config/load.ts';
import { startGateway } from '../../src/demo/gateway.ts';
import { configure, env, run } from '../helpers/command-line.ts';
import { runProgram, serve } from '../helpers/process.ts';
import { bearer, GATEWAY_SECRET, TOKENS } from '../helpers/stack.ts';

const CHAT = JSON.stringify({ model: 'openclaw', stream: true, messages: [{ role: 'user', content: 'hi' }] });

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
    const { config, warnings } = await loadConfig(file, { ...world, resolve: async () => addresses });
    t.equal(config.gateway.origin, 'http://gateway.example:18789');
    const words = 'gateway.example does not resolve now: requests get 502 until it resolves to a loopback address';
    t.same(
      warnings.filter(({ path }) => path === 'gateway.url').map(({ message }) => message),
      addresses.length === 0 ? [words] : [],
    );
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
  t.match(stderr, /cannot listen: another program listens on 127\.0\.0\.1:\d+: end it/);
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

void t.test('the demo shows 403 straight and a streamed reply through the shim', async (t) => {
  const { code, stdout } = await run(['demo']);
  t.equal(code, 0);
  t.match(stdout, /HTTP 403\n {3}.*missing scope: operator\.write/);
  t.match(stdout, /HTTP 200\n {3}data: /);
  t.match(stdout, /data: \[DONE\]/);
});
