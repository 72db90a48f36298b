import { once } from 'node:events';
import { connect as dial } from 'node:net';
import t from 'tap';
import {
  connect,
  newKey,
  open,
  params,
  start,
  type Asking,
  type Connected,
  type Frame,
} from '../helpers/gateway-client.ts';

const READ_WRITE = { scopes: ['operator.write'] };

void t.test('a message is answered by the events of a run, at every client', async (t) => {
  for (const release of ['2026.3.28', '2026.9.6'] as const) {
    const gateway = await start(t, { release, words: ['one', ' two'] });
    const sender = await connect(t, gateway, { key: newKey(), ...READ_WRITE });
    const reader = await connect(t, gateway, { key: newKey() });
    const chat = { sessionKey: 'main', message: 'hi', idempotencyKey: 'k' };
    t.strictSame(await sender.call('chat.send', chat), {
      type: 'res',
      id: 'r1',
      ok: true,
      payload: { runId: 'k', status: 'started' },
    });
    for (const client of [sender, reader]) {
      const frames: Frame[] = [];
      while (frames.at(-1)?.state !== 'final') {
        const { event, payload, seq } = (await client.next('health')) as { event: string; payload: Frame; seq: number };
        frames.push({ event, at: seq, ...payload });
      }
      t.match(frames, [
        { event: 'agent', at: 2, runId: 'k', sessionKey: 'agent:main:main', seq: 1, stream: 'lifecycle' },
        { event: 'agent', at: 3, seq: 2, stream: 'assistant', data: { text: 'one', delta: 'one' } },
        { event: 'chat', at: 4, seq: 2, state: 'delta', message: { content: [{ type: 'text', text: 'one' }] } },
        { event: 'agent', at: 5, seq: 3, stream: 'assistant', data: { text: 'one two', delta: ' two' } },
        { event: 'chat', at: 6, seq: 3, state: 'delta', message: { content: [{ type: 'text', text: 'one two' }] } },
        { event: 'agent', at: 7, seq: 4, stream: 'lifecycle', data: { phase: 'end' } },
        { event: 'chat', at: 8, seq: 4, state: 'final', message: { content: [{ type: 'text', text: 'one two' }] } },
      ]);
      t.equal(frames[2]?.deltaText, release === '2026.9.6' ? 'one' : undefined);
    }
  }
});

void t.test('the events of a run go to readers alone, from 5.28 on', async (t) => {
  for (const [release, event] of [
    ['2026.3.28', 'agent'],
    ['2026.5.28', 'shutdown'],
  ] as const) {
    const gateway = await start(t, { release });
    const nobody = await connect(t, gateway, { key: newKey(), scopes: [] });
    const sender = await connect(t, gateway, { key: newKey(), ...READ_WRITE });
    await sender.call('chat.send', { sessionKey: 'main', message: 'hi', idempotencyKey: 'k' });
    let last: Frame = {};
    while ((last.payload as Frame | undefined)?.state !== 'final') last = await sender.next();
    await gateway.close();
    t.equal((await nobody.next('health')).event, event, release);
  }
});

void t.test('a client that does not read is closed before it fills the memory', async (t) => {
  const gateway = await start(t, { words: ['x'.repeat(9 * 2 ** 20)], chunks: 6 });
  const { ws, call } = await connect(t, gateway, { key: newKey(), ...READ_WRITE });
  await call('chat.send', { sessionKey: 'main', message: 'hi', idempotencyKey: 'k' });
  ws.pause();
  await gateway.sockets[0]?.closed;
  t.equal(gateway.openSockets, 0);
});

void t.test('methods that a client lacks, and methods that nobody has', async (t) => {
  const gateway = await start(t);
  const reader = await connect(t, gateway, { key: newKey() });
  const admin = await connect(t, gateway, { key: newKey(), scopes: ['operator.admin'] });
  const errorOf = async (client: Connected, method: string, given?: unknown): Promise<unknown> =>
    ((await client.call(method, given)).error as Frame | undefined)?.message;
  t.equal(await errorOf(reader, 'no.such'), 'missing scope: operator.admin');
  t.equal(await errorOf(admin, 'no.such'), 'unknown method: no.such');
  t.equal(await errorOf(admin, 'toString'), 'unknown method: toString');
  t.equal(await errorOf(reader, 'connect'), 'missing scope: operator.admin');
  t.equal(await errorOf(admin, 'connect'), 'connect is only valid as the first request');
  t.equal(await errorOf(reader, 'health'), undefined);
  const nothing = ['sessionKey', 'message', 'idempotencyKey'].map((name) => `must have required property '${name}'`);
  t.equal(await errorOf(admin, 'chat.send', {}), `invalid chat.send params: ${nothing.join('; ')}`);
  t.strictSame(gateway.sockets[1]?.methods, ['no.such', 'toString', 'connect', 'chat.send']);
});

void t.test('frames that are none', async (t) => {
  const gateway = await start(t, { release: '2026.9.6' });
  const { ws, next, call } = await connect(t, gateway, { key: newKey() });
  await next();
  for (const [text, id, problem] of [
    ['[1]', 'invalid', 'must be object'],
    ['{"type":"req","method":"health"}', 'invalid', "must have required property 'id'"],
    ['{"type":"req","id":5,"method":"health"}', 5, 'at /id: must be string'],
    ['{"type":"req","id":"","method":"health"}', '', 'at /id: must not have fewer than 1 characters'],
    [
      '{"type":"res","id":"x","ok":true,"payload":{}}',
      'x',
      "must have required property 'method'; at root: unexpected property 'ok'; at /type: must be equal to constant",
    ],
  ] as const) {
    ws.send(text);
    const error = { code: 'INVALID_REQUEST', message: `invalid request frame: ${problem}` };
    t.strictSame(await next(), { type: 'res', id, ok: false, error }, text);
  }
  ws.send('no JSON');
  ws.send(Buffer.from([0xff, 0]));
  t.equal((await call('health')).ok, true, 'what does not parse is passed over');
  ws.send(Buffer.from('{"type":"req","id":"b","method":"health"}'));
  t.match(await next(), { id: 'b', ok: true }, 'binary is as good as text');
  t.equal(gateway.sockets[0]?.frames.length, 7, 'every frame that parses is kept');
});

for (const [name, frame, code, reason] of [
  ['no JSON', 'garbage', 1000, ''],
  ['no request', '{"type":"event"}', 1008, 'invalid request frame'],
  [
    'another method',
    '{"type":"req","id":"1","method":"health"}',
    1008,
    'invalid handshake: first request must be connect',
  ],
  ['over 64 KiB', `"${'x'.repeat(65_535)}"`, 1009, ''],
  ['over 25 MiB', Buffer.alloc(26 * 2 ** 20), 1009, ''],
] as const) {
  void t.test(`a first frame: ${name}`, async (t) => {
    const gateway = await start(t);
    const { ws, next, closed } = open(t, gateway);
    await next();
    ws.send(frame);
    if (reason.startsWith('invalid handshake')) t.match(await next(), { ok: false, error: { message: reason } });
    t.strictSame(await closed, { code, reason });
    t.equal(gateway.sockets[0]?.connect, undefined);
  });
}

void t.test('after a frame that ends the socket no other counts', async (t) => {
  const gateway = await start(t);
  const { ws, next, closed } = open(t, gateway);
  const frame = { type: 'req', id: 'c', method: 'connect', params: params(await next(), { key: newKey() }) };
  ws.send('garbage');
  ws.send(JSON.stringify(frame));
  await closed;
  t.equal(gateway.sockets[0]?.connect, undefined);
  t.strictSame(gateway.devices.paired(), []);
});

void t.test('a later frame over 25 MiB closes the socket', async (t) => {
  const gateway = await start(t);
  const { ws, closed } = await connect(t, gateway, { key: newKey() });
  ws.send(Buffer.alloc(26 * 2 ** 20));
  t.strictSame(await closed, { code: 1009, reason: '' });
  t.strictSame(gateway.sockets[0]?.frames, []);
});

void t.test('a connect that is not well formed', async (t) => {
  const gateway = await start(t);
  for (const [asking, problem] of [
    [{ params: { foo: 1 } }, "at root: unexpected property 'foo'"],
    [{ client: { id: 'my-app' } }, 'at /client/id: must be equal to one of the allowed values'],
    [{ client: { displayName: '' } }, 'at /client/displayName: must NOT have fewer than 1 characters'],
    [{ params: { caps: 'x' } }, 'at /caps: must be array'],
    [{ params: { minProtocol: 1.5 } }, 'at /minProtocol: must be integer'],
    [{ auth: { token: 'secret', foo: 1 } }, "at /auth: unexpected property 'foo'"],
  ] satisfies [Asking, string][]) {
    const { hello, closed } = await connect(t, gateway, asking);
    const message = `invalid connect params: ${problem}`;
    t.strictSame(hello.error, { code: 'INVALID_REQUEST', message });
    t.strictSame(await closed, { code: 1008, reason: message });
  }
  const node = await connect(t, gateway, { params: { role: 'weird' } });
  t.strictSame(node.hello.error, { code: 'INVALID_REQUEST', message: 'invalid role' });
});

void t.test('a socket without a connect is closed in time', async (t) => {
  const gateway = await start(t, { handshakeLimit: 20 });
  const { next, closed } = open(t, gateway);
  t.match(await next(), { type: 'event', event: 'connect.challenge', payload: { nonce: /^[\w-]{36}$/, ts: Number } });
  t.strictSame(await closed, { code: 1000, reason: '' });
  t.equal((await gateway.sockets[0]?.closed)?.code, 1000);
  t.equal(gateway.openSockets, 0);
});

void t.test('ticks come, and pings where the release has them', async (t) => {
  for (const [release, pings] of [
    ['2026.3.28', 0],
    ['2026.5.28', 1],
  ] as const) {
    const gateway = await start(t, { release, tickInterval: 10 });
    const { ws, next } = await connect(t, gateway, { key: newKey() });
    let seen = 0;
    ws.on('ping', () => seen++);
    t.match(await next('health'), { type: 'event', event: 'tick', payload: { ts: Number }, seq: 2 });
    await next();
    t.equal(Math.min(seen, 1), pings, release);
  }
});

void t.test('an upgrade is taken on every path, its head is kept, nothing is compressed', async (t) => {
  const gateway = await start(t, { release: '2026.9.6' });
  const { next, upgrade } = open(t, gateway, {
    path: '/any/path?x=1',
    headers: { 'X-a': '1' },
    perMessageDeflate: true,
  });
  t.match(await next(), { payload: { capabilities: ['model-catalog-snapshot'] } });
  t.equal(upgrade()['sec-websocket-extensions'], undefined);
  t.equal(gateway.sockets[0]?.url, '/any/path?x=1');
  t.match(gateway.sockets[0]?.rawHeaders.join('|'), 'X-a|1');
  t.equal(gateway.openSockets, 1);
});

void t.test('forwarded headers that nobody answers for are refused before the upgrade', async (t) => {
  const gateway = await start(t, { release: '2026.9.6' });
  const { ws } = open(t, gateway, { headers: { 'x-forwarded-for': '203.0.113.9' } });
  const [, response] = (await once(ws, 'unexpected-response')) as [unknown, { statusCode: number; resume(): void }];
  response.resume();
  t.equal(response.statusCode, 403);
  t.equal((await gateway.sockets[0]?.closed)?.code, 1006);
});

void t.test('33 sockets that wait for their connect are one too many', async (t) => {
  const gateway = await start(t);
  const clients = Array.from({ length: 32 }, () => open(t, gateway));
  await Promise.all(clients.map(({ next }) => next()));
  const { ws } = open(t, gateway);
  const [, response] = (await once(ws, 'unexpected-response')) as [unknown, { statusCode: number; resume(): void }];
  response.resume();
  t.equal(response.statusCode, 503);
  clients[0]?.ws.terminate();
  await gateway.sockets[0]?.closed;
  const late = await connect(t, gateway, { key: newKey() });
  t.equal(late.hello.ok, true);
  t.equal((await connect(t, gateway, { key: newKey() })).hello.ok, true, 'those that are connected do not count');
});

void t.test('tests can close a socket with a code', async (t) => {
  const gateway = await start(t);
  const { closed } = await connect(t, gateway, { key: newKey() });
  gateway.sockets[0]?.ws?.close(4001, 'gateway auth changed');
  t.strictSame(await closed, { code: 4001, reason: 'gateway auth changed' });
});

void t.test('a run ends with the gateway, which tells its clients', async (t) => {
  const gateway = await start(t, { chunks: Infinity, chunkDelay: 1 });
  const client = await connect(t, gateway, { key: newKey(), ...READ_WRITE });
  const waits = open(t, gateway);
  await waits.next();
  await client.call('chat.send', { sessionKey: 'main', message: 'hi', idempotencyKey: 'k' });
  const silent = open(t, gateway);
  await silent.next();
  silent.ws.pause();
  const stopped = gateway.close();
  t.match(await client.next('health', 'agent', 'chat'), {
    event: 'shutdown',
    payload: { reason: 'gateway stopping', restartExpectedMs: null },
  });
  t.strictSame(await client.closed, { code: 1012, reason: 'service restart' });
  t.strictSame(await waits.closed, { code: 1012, reason: 'service restart' });
  await stopped;
  t.equal(gateway.openSockets, 0, 'also the one that does not answer the close');
});

void t.test('sockets that go before they are answered harm nobody', async (t) => {
  const gateway = await start(t, { release: '2026.9.6' });
  const upgrade =
    'GET / HTTP/1.1\r\nHost: h\r\nX-Real-IP: 1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
    'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';
  for (const text of [upgrade, upgrade.replace('X-Real-IP: 1\r\n', '')]) {
    for (let i = 0; i < 20; i++) {
      const socket = dial(gateway.port, '127.0.0.1');
      await new Promise((resolve) => socket.write(text, resolve));
      socket.resetAndDestroy();
    }
  }
  t.equal((await connect(t, gateway, { key: newKey() })).hello.ok, true);
});

void t.test('an upgrade that is none of WebSocket is refused', async (t) => {
  const gateway = await start(t);
  const socket = dial(gateway.port, '127.0.0.1');
  socket.end('GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n');
  const [answer] = (await once(socket, 'data')) as [Buffer];
  t.match(answer.toString(), /^HTTP\/1\.1 400 /);
  t.equal(gateway.openSockets, 0);
});
