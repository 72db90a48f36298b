import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { WebSocketServer, type WebSocket } from 'ws';
import { audited } from '../helpers/audit.ts';
import { codeOf, powers } from '../helpers/gateway-client.ts';
import { connectAs, lineOf, openAs, READER, socketCallers, startSockets, WRITER } from '../helpers/sockets.ts';
import { hashOf, TOKENS } from '../helpers/stack.ts';

const OTHER = `callers:\n  - { name: other, tokens: [], scopes: [] }`;

/** Changes of the configuration that a socket does not outlive, and those that it does. */
const CHANGES = [
  { name: 'the caller is removed', callers: OTHER, end: 'revoked', reason: /^invalid_token/ },
  {
    name: 'the token is revoked',
    callers: `callers:\n  - { name: writer, tokens: [], scopes: [operator.write], websocket: relay }`,
    end: 'revoked',
    reason: /^invalid_token/,
  },
  {
    name: 'a scope is lost',
    callers: socketCallers({ writer: READER }),
    end: 'revoked',
    reason: /^insufficient_scope/,
  },
  {
    name: 'the WebSocket is switched off',
    callers: socketCallers({ writer: { ...WRITER, more: 'websocket: off' } }),
    end: 'revoked',
    reason: /^insufficient_scope/,
  },
  {
    name: 'methods are narrowed',
    callers: socketCallers({ writer: { ...WRITER, more: 'denyMethods: [chat.send]' } }),
    end: 'revoked',
    reason: /^insufficient_scope/,
  },
  {
    name: 'the address is no longer one of theirs',
    callers: socketCallers({ writer: { ...WRITER, more: 'from: [192.0.2.0/24]' } }),
    end: 'revoked',
    reason: /^invalid_token/,
  },
] as const;

for (const { name, callers, end, reason } of CHANGES) {
  void t.test(name, async (t) => {
    const stack = await startSockets(t);
    const { closed } = await connectAs(t, stack, 'writer', { scopes: ['operator.write'] });
    const line = stack.nextLine();
    await stack.reload(callers);
    t.match(await closed, { code: 1008, reason });
    t.match(await line, { caller: 'writer', route: '/', status: 101, end, socket: { close: 1008 } });
    t.equal((await stack.gateway.sockets[0]?.closed)?.code, 1001, 'the gateway is told as well');
  });
}

void t.test('what is not narrower ends nothing', async (t) => {
  const stack = await startSockets(t);
  const ws = await connectAs(t, stack, 'writer', { scopes: ['operator.read'] });
  await stack.reload(socketCallers({ writer: READER, reader: READER }));
  t.equal((await ws.call('sessions.list')).ok, true, 'the socket never had the scope that is lost');
  await stack.reload(socketCallers({ writer: { scopes: ['operator.admin'] } }));
  t.equal(await powers(ws), 'read yes, write no', 'nor does it get more');
});

void t.test('a handshake is refused for what it would be given alone', async (t) => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  t.teardown(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  for (const [scopes, code] of [
    [['operator.read'], undefined],
    [['operator.write'], 1008],
  ] as const) {
    const stack = await startSockets(t, { gatewayUrl: `http://127.0.0.1:${port}` });
    const client = openAs(t, stack, 'writer');
    await client.next();
    const called = once(server, 'connection') as Promise<[WebSocket]>;
    const params = { minProtocol: 3, maxProtocol: 4, scopes };
    client.ws.send(JSON.stringify({ type: 'req', id: 'c', method: 'connect', params }));
    const [gateway] = await called;
    await stack.reload(socketCallers({ writer: READER }));
    gateway.send(JSON.stringify({ type: 'event', event: 'connect.challenge', payload: { nonce: 'n', ts: 1 } }));
    const told = once(gateway, 'message').then(() => undefined);
    t.equal(await Promise.race([told, client.closed.then((closed) => closed.code)]), code);
    gateway.terminate();
  }
});

void t.test('an expired token ends its sockets within two seconds', async (t) => {
  const expires = new Date(Date.now() + 3_000).toISOString();
  const callers = [
    'callers:',
    `  - { name: writer, tokens: [{ hash: "${hashOf(TOKENS.writer)}", expires: "${expires}" }], scopes: [operator.write], websocket: relay }`,
  ].join('\n');
  const stack = await startSockets(t, { callers });
  const { closed } = await connectAs(t, stack, 'writer');
  const line = stack.nextLine();
  t.match(await closed, { code: 1008, reason: /^expired_token/ });
  // The rest is for a machine with much to do.
  t.ok(Date.now() - Date.parse(expires) < 6_000);
  t.match(await line, { end: 'expired' });
});

void t.test('a token that is revoked before the first frame', async (t) => {
  const stack = await startSockets(t);
  const client = openAs(t, stack, 'writer');
  await client.next();
  await stack.reload(OTHER);
  t.match(await client.closed, { code: 1008, reason: /^invalid_token/ });
  t.equal(stack.gateway.sockets.length, 0);
});

void t.test('either side closes, and the other is told how', async (t) => {
  const stack = await startSockets(t);
  const closes: readonly (readonly [code: number, reason: string])[] = [
    [1000, 'bye'],
    [4321, 'ünïcode'],
    [1012, 'service restart'],
    [1005, ''],
  ];
  for (const [code, reason] of closes) {
    const closeBy = (ws?: WebSocket): void => (code === 1005 ? ws?.close() : ws?.close(code, reason));
    const by = await connectAs(t, stack, 'writer');
    const line = stack.nextLine();
    closeBy(by.ws);
    t.strictSame(await stack.gateway.sockets.at(-1)?.closed, { code, reason });
    t.match(await line, { end: 'done', socket: { close: code, closeReason: reason || undefined } });

    const of = await connectAs(t, stack, 'writer');
    closeBy(stack.gateway.sockets.at(-1)?.ws);
    t.strictSame(await of.closed, { code, reason });
  }
});

void t.test('either side vanishes', async (t) => {
  const stack = await startSockets(t);
  const caller = await connectAs(t, stack, 'writer');
  const first = stack.nextLine();
  caller.ws.terminate();
  t.strictSame(
    (await stack.gateway.sockets[0]?.closed)?.code,
    1006,
    'the gateway sees what it would see without a shim',
  );
  t.match(await first, { end: 'caller_gone', socket: { close: 1006 } });

  const second = stack.nextLine();
  const { closed } = await connectAs(t, stack, 'writer');
  stack.gateway.sockets[1]?.ws?.terminate();
  t.strictSame(await closed, { code: 1014, reason: 'the gateway is gone' });
  t.match(await second, { end: 'gateway_gone', socket: { close: 1014 } });
});

void t.test('a gateway that dies while the key that it took is kept', async (t) => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  t.teardown(() => server.close());
  await once(server, 'listening');
  let connects = 0;
  server.on('connection', (ws, { socket }) => {
    ws.send(JSON.stringify({ type: 'event', event: 'connect.challenge', payload: { nonce: 'n', ts: 1 } }));
    ws.once('message', (data: Buffer) => {
      const { id } = JSON.parse(data.toString()) as { id: string };
      const details = { code: 'PAIRING_REQUIRED', reason: 'scope-upgrade' };
      const refusal = { ok: false, error: { code: 'NOT_PAIRED', message: 'no', details } };
      const grown = ++connects % 2 === 0;
      ws.send(JSON.stringify({ type: 'res', id, ...(grown ? { ok: true, payload: { type: 'hello-ok' } } : refusal) }));
      if (grown) socket.destroySoon();
    });
  });
  const { port } = server.address() as AddressInfo;
  const deviceStore = `${t.testdir()}/devices`;
  const stack = await startSockets(t, { gatewayUrl: `http://127.0.0.1:${port}`, deviceStore });
  for (let i = 0; i < 3; i++) {
    const line = stack.nextLine();
    const client = openAs(t, stack, 'reader');
    await client.next();
    const params = { minProtocol: 3, maxProtocol: 4 };
    client.ws.send(JSON.stringify({ type: 'req', id: 'c', method: 'connect', params }));
    t.strictSame(await client.closed, { code: 1014, reason: 'the gateway is gone' });
    t.match(await line, { end: 'gateway_gone' });
  }
});

void t.test('a handshake that fails at its end leaves nothing at the gateway', async (t) => {
  const stack = await startSockets(t);
  const client = openAs(t, stack, 'reader');
  await client.next();
  const params = { minProtocol: 3, maxProtocol: 4 };
  for (const method of ['connect', 'health']) {
    client.ws.send(JSON.stringify({ type: 'req', id: method, method, params }));
  }
  t.match(await client.closed, { code: 1008, reason: 'a frame came before the answer to connect' });
  await stack.gateway.sockets[0]?.closed;
  t.equal(stack.gateway.openSockets, 0);
});

void t.test('a shim that stops says so', async (t) => {
  const stack = await startSockets(t, { more: 'drain: { timeout: 100ms }' });
  const { closed } = await connectAs(t, stack, 'writer');
  const early = openAs(t, stack, 'reader');
  await early.next();
  const drained = stack.drain();
  t.strictSame(await closed, { code: 1012, reason: 'service restart' });
  t.strictSame(await early.closed, { code: 1012, reason: 'service restart' });
  await drained;
  t.equal(stack.gateway.openSockets, 0);
});

void t.test('room for so many sockets', async (t) => {
  const stack = await startSockets(t, {
    callers: socketCallers({ reader: { ...READER, more: 'limits: { sockets: 2 }' }, writer: WRITER }),
  });
  const first = await connectAs(t, stack, 'reader');
  openAs(t, stack, 'reader');
  await once(openAs(t, stack, 'writer').ws, 'open');
  const { ws } = openAs(t, stack, 'reader');
  const [, response] = (await once(ws, 'unexpected-response')) as [unknown, { statusCode: number; headers: object }];
  t.equal(response.statusCode, 429);
  t.match(response.headers, { 'retry-after': '1' });
  t.match(
    stack.lines.findLast(({ msg }) => msg === 'request'),
    { code: 'too_many_sockets', caller: 'reader' },
  );
  first.ws.close();
  await stack.nextLine();
  t.equal((await connectAs(t, stack, 'reader')).hello.ok, true, 'a closed one makes room');
});

void t.test('every part of a socket is kept', async (t) => {
  const audit = audited(t);
  const stack = await startSockets(t, { more: audit.yaml });
  const by = await connectAs(t, stack, 'writer', { scopes: ['operator.admin'] });
  await by.call('sessions.list');
  const over = stack.nextLine();
  const refused = await connectAs(t, stack, 'reader', { scopes: [] });
  t.equal(codeOf(refused.hello), 'insufficient_scope');
  await over;
  const line = stack.nextLine();
  by.ws.close(1000, TOKENS.writer);
  const { id, ...last } = await line;
  t.match(last, { in: Number, out: Number, socket: { close: 1000, closeReason: '****', framesIn: 1 } });
  t.match(lineOf(stack, 'socket open'), { caller: 'reader' });
  const records = await audit.records(6);
  t.match(
    records.filter((record) => record.id === id),
    [
      { event: 'decision', decision: 'forward', route: '/', method: 'GET', caller: 'writer' },
      {
        event: 'connect',
        decision: 'forward',
        asked: ['operator.admin'],
        scopes: ['operator.write'],
        device: /^[0-9a-f]{64}$/,
      },
      { event: 'end', status: 101, end: 'done', socket: { close: 1000, framesIn: 1 } },
    ],
  );
  t.match(
    records.filter(({ caller }) => caller === 'reader').map(({ event, decision, code }) => [event, decision, code]),
    [
      ['decision', 'forward', undefined],
      ['connect', 'refuse', 'insufficient_scope'],
      ['end', undefined, 'insufficient_scope'],
    ],
  );
  t.notMatch(
    JSON.stringify(records) + JSON.stringify(stack.lines),
    /sessions\.list|-token-0123/,
    'no payload, no token',
  );
});
