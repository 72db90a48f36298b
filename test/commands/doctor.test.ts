import { createServer, type AddressInfo } from 'node:net';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import t from 'tap';
import { configure, env, run } from '../helpers/command-line.ts';
import { living, serve, standIn } from '../helpers/doctor.ts';
import { GATEWAY_SECRET } from '../helpers/stack.ts';

void t.test('all well: 0', async (t) => {
  const { url } = await standIn(t);
  const { code, stdout, stderr } = await run(['doctor', '-c', await configure(t, url)], { env });
  t.equal(code, 0);
  t.equal(stderr, '');
  t.match(stdout, new RegExp(`^${url} \\(token\\)\nok       gateway_reachable: a gateway answers at ${url}\\.\n`));
  t.match(stdout, /\nall well\n$/);
  t.notMatch(stdout, '\x1b', 'no colours where there is no terminal');
  t.match(
    (await run(['doctor', '-c', await configure(t, url)], { env, coloured: true })).stdout,
    '\x1b[32mok\x1b[39m       ',
  );
});

void t.test('a fault: 1, with the lines to write', async (t) => {
  const { url } = await standIn(t, { endpoints: false });
  const file = await configure(t, url);
  const { code, stdout } = await run(['doctor', '-c', file], { env });
  t.equal(code, 1);
  const told = [
    'fault    endpoint_not_enabled: the gateway does not serve /v1/chat/completions and /v1/responses: callers get 502. Enable what they use, and close the rest here.',
    '         in openclaw.json:',
    '           { gateway: { http: { endpoints: { chatCompletions: { enabled: true }, responses: { enabled: true } } } } }',
    '         in shim.config.yaml:',
    '           routes:',
    '             - { method: POST, path: /v1/chat/completions, expose: false }',
    '             - { method: POST, path: /v1/responses, expose: false }',
    '         see docs/doctor.md#endpoint_not_enabled',
    '1 fault',
    '',
  ];
  t.equal(stdout.slice(stdout.indexOf('fault')), told.join('\n'));

  const json = await run(['doctor', '-c', file, '--json'], { env });
  t.equal(json.code, 1);
  t.match(JSON.parse(json.stdout), {
    version: '0.0.0',
    gateway: { origin: url, release: '2026.3.28', mode: 'token' },
    ok: false,
    findings: [{ id: 'gateway_reachable', severity: 'ok', changes: [], doc: 'docs/doctor.md#gateway_reachable' }],
  });
});

void t.test('a configuration that cannot run: 78, and the words of check; another option: 2', async (t) => {
  const file = await configure(t, 'http://127.0.0.1:1');
  const checked = await run(['check', '-c', file], { env: {} });
  const seen = await run(['doctor', '-c', file], { env: {} });
  t.match(seen, { code: 78, stdout: '', stderr: checked.stderr });
  t.not(checked.stderr, '');
  t.equal((await run(['doctor', '--fix'], { env })).code, 2);
});

void t.test('secrets are not told, whoever repeats them, and nothing for a terminal to obey', async (t) => {
  const body = JSON.stringify({ error: { message: `no: Bearer ${GATEWAY_SECRET}\u001b[2J\u0007` } });
  const chat = living((req, res) => {
    if (req.method !== 'POST') return void res.writeHead(404).end('{}');
    res.writeHead(400).end(body);
  });
  const file = await configure(t, await serve(t, chat));
  for (const words of [[], ['--json']]) {
    const { code, stdout, stderr } = await run(['doctor', '-c', file, '--chat', ...words], { env });
    t.equal(code, 1);
    t.match(stdout, 'chat_failed');
    t.match(stdout, 'no: Bearer ****');
    t.notMatch(stdout + stderr, GATEWAY_SECRET);
    t.notMatch(stdout, '\x1b');
    t.notMatch(stdout, '\x07');
  }
});

void t.test(
  'against a gateway that takes connections and is silent: over in time, nothing left open',
  { timeout: 30_000 },
  async (t) => {
    const server = createServer((socket) => void socket.on('error', () => undefined).resume());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const began = performance.now();
    const { code, stdout } = await run(['doctor', '-c', await configure(t, url)], { env });
    t.equal(code, 1);
    t.match(stdout, 'fault    gateway_timeout: ');
    t.ok(performance.now() - began < 13_000);
    await new Promise<void>((resolve) => server.close(() => resolve()));
    t.pass('every connection is closed');
  },
);

void t.test('against one that is slow in all it does: over in time', { timeout: 40_000 }, async (t) => {
  const slow = living((_req, res) => void setTimeout(() => res.writeHead(404).end('{}'), 2_500).unref());
  const file = await configure(t, await serve(t, slow));
  const began = performance.now();
  const { code } = await run(['doctor', '-c', file], { env });
  t.equal(code, 1);
  t.ok(performance.now() - began < 20_000, `${performance.now() - began} ms`);
});

void t.test('the colours of severities do not shift the columns', async (t) => {
  const { url } = await standIn(t, { endpoints: false });
  const file = join(t.testdir({}), 'a.yaml');
  await writeFile(file, `gateway: { url: "${url}", auth: { mode: token, secret: { env: SECRET } } }\n`);
  const { stdout } = await run(['doctor', '-c', file], { env, coloured: true });
  t.equal(stripVTControlCharacters(stdout), (await run(['doctor', '-c', file], { env })).stdout);
});
