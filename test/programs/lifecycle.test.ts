import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { startGateway } from '../../src/demo/gateway.ts';
import { runProgram, serve, type Served } from '../helpers/process.ts';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { openRaw, rawExchange } from '../helpers/raw.ts';
import { authorized, get } from '../helpers/request-bytes.ts';
import { connectAs, socketCallers, WRITER } from '../helpers/sockets.ts';
import { callers, GATEWAY_SECRET } from '../helpers/stack.ts';

const env = { SECRET: GATEWAY_SECRET };
const STREAM =
  'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n';

async function run(t: Test, gatewayUrl: string, ...more: string[]): Promise<{ shim: Served; file: string }> {
  // Paths of sockets are short.
  const folder = mkdtempSync(join(tmpdir(), 'auth-shim-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'shim.config.yaml');
  const gateway = `gateway: { url: "${gatewayUrl}", auth: { mode: token, secret: { env: SECRET } } }`;
  writeFileSync(file, ['listen: { port: 0 }', gateway, 'admin: { port: 0 }', callers(), ...more].join('\n'));
  return { shim: await serve(t, ['-c', file], { env }), file };
}

const portOf = (url: unknown): number => Number(new URL(String(url)).port);

function ask(port: number, line: string): ReturnType<typeof rawExchange> {
  return rawExchange(port, `${line} HTTP/1.1\r\nHost: 10.0.0.9\r\n\r\n`);
}

void t.test('the probes tell a status alone, to anybody; they are nowhere else', async (t) => {
  let answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}';
  const gateway = await startRawGateway(t, { onRequest: ({ socket }) => void socket.end(answer) });
  const { shim } = await run(t, gateway.url, 'probes: { port: 0 }');
  const probes = portOf(shim.listening.probes);
  t.match(shim.listening.probes, /^http:\/\/0\.0\.0\.0:\d+$/);
  for (const path of ['/livez', '/readyz', '/startupz']) {
    t.match(await ask(probes, `GET ${path}`), { status: 200, body: '' }, path);
    t.equal((await ask(shimPort(shim), `GET ${path}`)).status, 421, 'not on the public one');
  }
  t.match(gateway.text, /^GET \/healthz HTTP\/1\.1\r\n/);
  answer = 'HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n';
  for (const path of ['/', '/readyz?verbose', '/metrics', '/v1/models', '/livez/']) {
    t.match(await ask(probes, `GET ${path}`), { status: 404, body: '' }, path);
  }
  t.match(await ask(probes, 'POST /livez'), { status: 405, body: '' });
});

void t.test('silent peers do not keep the kubelet out', async (t) => {
  const gateway = await startRawGateway(t);
  const { shim } = await run(t, gateway.url, 'probes: { port: 0 }');
  const probes = portOf(shim.listening.probes);
  const silent = await Promise.all(Array.from({ length: 70 }, () => openRaw(t, probes)));
  t.match(await ask(probes, 'GET /livez'), { status: 200 });
  t.equal(await Promise.race(silent.slice(0, 6).map((raw) => raw.closed())), '', 'the oldest make room');
});

void t.test('readiness fails during drain.delay, while requests are still taken', async (t) => {
  const gateway = await startRawGateway(t);
  const { shim } = await run(t, gateway.url, 'drain: { delay: 2s }');
  const admin = String(shim.listening.admin);
  t.equal((await fetch(`${admin}/readyz`)).status, 200);
  shim.child.kill('SIGTERM');
  await shim.logged(({ msg }) => msg === 'shutting down');
  const ready = await fetch(`${admin}/readyz?verbose`);
  t.equal(ready.status, 503);
  t.match(await ready.text(), '[-]drain failed: shutting down\n');
  t.equal((await fetch(`${admin}/livez`)).status, 200);
  t.equal((await fetch(`${admin}/startupz`)).status, 200);
  const raw = await openRaw(t, shimPort(shim));
  raw.send(get('/v1/models'));
  await raw.until((text) => text.endsWith('{}'));
  t.match(raw.text, /^HTTP\/1\.1 200 OK/);
  t.equal(await shim.ended, 0);
});

void t.test('shutdown asks on the control socket, and is answered when the drain is over', async (t) => {
  const gateway = await startRawGateway(t, { onRequest: ({ socket }) => void socket.write(STREAM) });
  const { shim, file } = await run(t, gateway.url, 'control: { socket: control.sock }', 'drain: { timeout: 300ms }');
  const socket = join(file, '../control.sock');
  t.equal(statSync(socket).mode & 0o777, 0o600);
  const stream = await openRaw(t, shimPort(shim));
  stream.send(get('/v1/models/openclaw'));
  await stream.until((text) => text.includes('data: 1\n\n'));
  const ended = await runProgram(['shutdown', '-c', file], { env });
  t.match(ended, { code: 0, stdout: '', stderr: '' });
  t.match(await stream.closed(), /event: error\ndata: \{[^\n]*"shutting_down"/);
  t.equal(await shim.ended, 0);
  t.match(
    shim.lines().find(({ msg }) => msg === 'shutting down'),
    { cause: 'auth-shim shutdown' },
  );
  t.match(await runProgram(['shutdown', '-c', file], { env }), {
    code: 1,
    stderr: /control\.sock: no shim listens there/,
  });
});

void t.test('a socket that a dead process left is replaced, anything else there is not', async (t) => {
  const gateway = await startRawGateway(t);
  const { shim, file } = await run(t, gateway.url, 'control: { socket: control.sock }');
  const second = await runProgram(['-c', file], { env });
  t.match(
    second,
    { code: 1, stderr: /cannot listen: another program has the socket [^\n]*control\.sock/ },
    'one that answers',
  );
  shim.child.kill('SIGKILL');
  await shim.ended;
  const next = await serve(t, ['-c', file], { env });
  t.match(next.listening, { msg: 'listening' });
  next.child.kill('SIGTERM');
  t.equal(await next.ended, 0);
  const path = join(file, '../control.sock');
  writeFileSync(path, 'somebody’s file');
  chmodSync(path, 0o644);
  t.match(await runProgram(['-c', file], { env }), { code: 1, stderr: /cannot listen: / });
});

void t.test('without a control socket, shutdown says how to have one', async (t) => {
  const gateway = await startRawGateway(t);
  const { file } = await run(t, gateway.url);
  t.match(await runProgram(['shutdown', '-c', file], { env }), {
    code: 2,
    stderr: /add "control: \{ socket: PATH \}"/,
  });
});

function shimPort(shim: Served): number {
  return portOf(shim.url);
}

void t.test('a second signal ends at once, whatever is open', async (t) => {
  const gateway = await startRawGateway(t, { onRequest: () => undefined });
  const { shim } = await run(t, gateway.url, 'drain: { timeout: 10m }');
  const port = shimPort(shim);
  await openRaw(t, port);
  const half = await openRaw(t, port);
  half.send('GET /v1/models HTTP/1.1\r\nHo');
  const waits = await openRaw(t, port);
  waits.send(get('/v1/models'));
  const held = await openRaw(t, port);
  held.send(`POST /v1/responses HTTP/1.1\r\n${authorized()}Content-Length: 6\r\nExpect: 100-continue\r\n\r\n`);
  await held.until((text) => text.includes('100 Continue'));
  const draining = shim.logged(({ msg }) => msg === 'shutting down');
  shim.child.kill('SIGTERM');
  await draining;
  const began = performance.now();
  const exited = once(shim.child, 'exit');
  shim.child.kill('SIGTERM');
  t.strictSame(await exited, [1, null]);
  t.ok(performance.now() - began < 20_000, 'of ten minutes');
});

void t.test('also with a WebSocket that does not answer its close', async (t) => {
  const standIn = await startGateway({ auth: { mode: 'token', token: GATEWAY_SECRET } });
  t.teardown(() => standIn.close());
  const lines = socketCallers({ writer: WRITER });
  const folder = mkdtempSync(join(tmpdir(), 'auth-shim-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'shim.config.yaml');
  const hop = `gateway: { url: "${standIn.url}", deviceStore: memory, auth: { mode: token, secret: { env: SECRET } } }`;
  writeFileSync(file, ['listen: { port: 0 }', hop, lines, 'drain: { timeout: 10m }'].join('\n'));
  const shim = await serve(t, ['-c', file], { env });
  const { ws } = await connectAs(t, { url: String(shim.listening.url) }, 'writer');
  ws.pause();
  const draining = shim.logged(({ msg }) => msg === 'shutting down');
  shim.child.kill('SIGTERM');
  await draining;
  const stopped = shim.logged(({ msg }) => msg === 'stopped');
  const exited = once(shim.child, 'exit');
  shim.child.kill('SIGTERM');
  await stopped;
  t.strictSame(await exited, [1, null]);
});
