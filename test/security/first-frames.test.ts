/** The first frames of a relayed caller: what is no connect of an operator ends the socket, and dials nobody. */
import t, { type Test } from 'tap';
import type { RecordedSocket } from '../../src/demo/gateway.ts';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { audited } from '../helpers/audit.ts';
import { closing, connectText, frame, openSocket, socketCallers, told, type Told } from '../helpers/socket-bytes.ts';
import { GOOD, large, nested } from './corpus/first-frames.ts';
import { startStack, TOKENS, type Stack, type StackOptions } from '../helpers/stack.ts';
import { rawExchange, type RawConnection } from '../helpers/raw.ts';
import { get } from '../helpers/request-bytes.ts';

function relaying(t: Test, url: string, more: StackOptions = {}): Promise<Stack> {
  return startStack(t, { gatewayUrl: url, deviceStore: 'memory', callers: socketCallers(), ...more });
}

/** Answers a close as RFC 6455 section 5.5.1 wants it, and takes what came until the end. */
async function ended(raw: RawConnection): Promise<Told> {
  await raw.until((text) => told(text).close !== undefined);
  if (!raw.socket.destroyed) raw.send(frame(closing(1000), { opcode: 8 }));
  return told(await raw.closed());
}

void t.test('passed, and nothing of it but what is the caller’s to ask', async (t) => {
  const inPieces = (text: string, parts: number): Buffer => {
    const size = Math.ceil(text.length / parts);
    return Buffer.concat(
      Array.from({ length: parts }, (_, i) =>
        frame(text.slice(i * size, (i + 1) * size), { opcode: i === 0 ? 1 : 0, fin: i === parts - 1 }),
      ),
    );
  };
  const ping = frame('x', { opcode: 9 });
  const stack = await startStack(t, { deviceStore: 'memory', callers: socketCallers() });
  const cases: Readonly<Record<string, Buffer | readonly Buffer[]>> = {
    'a connect': frame(GOOD),
    'in two fragments': inPieces(GOOD, 2),
    'in fragments of a byte': inPieces(GOOD, GOOD.length),
    'with a ping between its fragments': Buffer.concat([
      frame(GOOD.slice(0, 9), { fin: false }),
      ping,
      frame(GOOD.slice(9), { opcode: 0 }),
    ]),
    'behind a ping and a pong': Buffer.concat([ping, frame('', { opcode: 10 }), frame(GOOD)]),
    'byte by byte': [...frame(GOOD)].map((byte) => Buffer.from([byte])),
    'of 64 KiB': frame(large(65_536)),
    'with the same token': frame(connectText({ auth: { token: TOKENS.reader } })),
    'with 64 levels': frame(connectText({ x: 1 }).replace('"x":1', `"x":${nested(62)}`)),
    'with more scopes than it has': frame(connectText({ scopes: ['operator.admin', 'operator.read', 'x', 7] })),
    'with another identity': frame(
      connectText({
        client: { id: 'gateway-client', mode: 'backend' },
        device: { id: 'x' },
        auth: { password: 'x', deviceToken: 'x' },
        permissions: { all: true },
        commands: ['x'],
        pathEnv: '/x',
        ['__proto__']: { role: 'node' },
      }),
    ),
  };
  for (const [name, bytes] of Object.entries(cases)) {
    await t.test(name, async (t) => {
      const raw = await openSocket(t, stack.port);
      if (Buffer.isBuffer(bytes)) raw.send(bytes);
      else for (const part of bytes) raw.send(part);
      const text = await raw.until((now) => told(now).messages.some(({ type }) => type === 'res'));
      t.match(told(text).messages[0], {
        id: 'c1',
        ok: true,
        payload: { type: 'hello-ok', auth: { role: 'operator', scopes: ['operator.read'] } },
      });
      const { rawHeaders, connect } = stack.gateway.sockets.at(-1) as RecordedSocket;
      t.strictSame(Object.keys(connect ?? {}).sort(), [
        'auth',
        'caps',
        'client',
        'device',
        'maxProtocol',
        'minProtocol',
        'role',
        'scopes',
      ]);
      t.match(connect, { role: 'operator', scopes: ['operator.read'], client: { id: 'cli', mode: 'cli' } });
      t.equal(JSON.stringify([rawHeaders, connect]).includes(TOKENS.reader), false);
      raw.socket.destroy();
    });
  }
});

void t.test('what is kept of a connect has no more than there are scopes', async (t) => {
  const gateway = await startRawGateway(t);
  const audit = audited(t);
  const stack = await relaying(t, gateway.url, { more: audit.yaml });
  const raw = await openSocket(t, stack.port);
  raw.send(frame(connectText({ scopes: Array.from({ length: 3_000 }, () => 'operator.approvals') })));
  t.match((await ended(raw)).messages, [{ ok: false, error: { details: { code: 'insufficient_scope' } } }]);
  const asked = ['operator.approvals'];
  t.strictSame(stack.lines.find(({ msg }) => msg === 'socket refused')?.asked, asked);
  t.strictSame((await audit.records(3)).find(({ event }) => event === 'connect')?.asked, asked);
});

void t.test('a second connect behind the first is the gateway’s to answer', async (t) => {
  const stack = await startStack(t, { deviceStore: 'memory', callers: socketCallers() });
  const raw = await openSocket(t, stack.port);
  raw.send(frame(GOOD));
  await raw.until((text) => told(text).messages.some(({ id }) => id === 'c1'));
  raw.send(frame(connectText({ scopes: ['operator.admin'] }, { id: 'c2' })));
  const text = await raw.until((now) => told(now).messages.some(({ id }) => id === 'c2'));
  t.match(
    told(text).messages.find(({ id }) => id === 'c2'),
    { ok: false, error: { code: 'INVALID_REQUEST' } },
  );
  raw.send(frame(JSON.stringify({ type: 'req', id: 'r', method: 'chat.send', params: {} })));
  const later = await raw.until((now) => told(now).messages.some(({ id }) => id === 'r'));
  t.match(
    told(later).messages.find(({ id }) => id === 'r'),
    { ok: false, error: { message: 'missing scope: operator.write' } },
  );
});

void t.test('frames before the answer to connect', async (t) => {
  const SECRET = 'a-frame-of-the-caller';
  const early: Readonly<Record<string, Buffer>> = {
    'another request': frame(JSON.stringify({ type: 'req', id: 'r', method: SECRET })),
    'another connect': frame(connectText({ scopes: ['operator.admin'] }, { id: SECRET })),
    garbage: frame(SECRET),
    'a binary frame': frame(SECRET, { opcode: 2 }),
  };
  for (const [name, bytes] of Object.entries(early)) {
    const stack = await startStack(t, { deviceStore: 'memory', callers: socketCallers() });
    const raw = await openSocket(t, stack.port);
    raw.send(Buffer.concat([frame(GOOD), bytes]));
    const { messages, close } = await ended(raw);
    t.strictSame(messages, [], name);
    t.strictSame(close, { code: 1008, reason: 'a frame came before the answer to connect' }, name);
    t.strictSame(stack.gateway.sockets.at(-1)?.frames, [], 'and reached nobody');
  }
});

void t.test('before the connect a ping gets its pong, and a close its close', async (t) => {
  const gateway = await startRawGateway(t);
  const stack = await relaying(t, gateway.url);
  const raw = await openSocket(t, stack.port);
  const line = stack.nextLine();
  raw.send(Buffer.concat([frame('a', { opcode: 9 }), frame('b', { opcode: 9 }), frame('c', { opcode: 10 })]));
  await raw.until((text) => told(text).pongs === 2);
  raw.send(frame(closing(4001, 'enough'), { opcode: 8 }));
  const { close, messages } = told(await raw.closed());
  t.strictSame([close, messages], [{ code: 4001, reason: 'enough' }, []]);
  t.match(await line, { end: 'done', socket: { close: 4001, closeReason: 'enough' } });
  t.strictSame(gateway.connections, []);
});

void t.test('a caller that hangs up before its connect is gone', async (t) => {
  const gateway = await startRawGateway(t);
  const stack = await relaying(t, gateway.url);
  for (const bytes of [Buffer.alloc(0), frame(GOOD).subarray(0, 20)]) {
    const raw = await openSocket(t, stack.port);
    const line = stack.nextLine();
    raw.send(bytes);
    raw.socket.end();
    t.match(await line, { end: 'caller_gone', socket: { close: 1006 } });
    await raw.closed();
  }
  t.strictSame(gateway.connections, []);
});

void t.test('a connect that never comes, or not whole, is not waited for', async (t) => {
  const gateway = await startRawGateway(t);
  const stack = await relaying(t, gateway.url, { limits: { handshakeLimits: { handshake: 300, firstFrame: 300 } } });
  const waiting = [
    Buffer.alloc(0),
    frame(GOOD).subarray(0, 1),
    frame(GOOD).subarray(0, 50),
    frame(GOOD, { fin: false }),
    frame('x', { opcode: 9 }),
  ].map(async (bytes) => {
    const line = stack.nextLine();
    const raw = await openSocket(t, stack.port);
    raw.send(bytes);
    const { close, messages } = await ended(raw);
    t.strictSame([close, messages], [{ code: 1008, reason: 'handshake timeout' }, []]);
    t.match(await line, { end: 'refused', socket: { close: 1008 } });
  });
  await Promise.all(waiting);
  t.match(
    stack.lines.findLast(({ msg }) => msg === 'socket refused'),
    { code: 'request_timeout' },
  );
  t.strictSame(gateway.connections, []);
});

/** Writes for as long as it is taken, at most so much. */
async function flood(raw: RawConnection, chunk: Buffer, most: number): Promise<void> {
  raw.socket.on('error', () => undefined);
  for (let sent = 0; sent < most && !raw.socket.destroyed; sent += chunk.length) {
    if (raw.socket.write(chunk)) continue;
    await new Promise<void>((resolve) => raw.socket.once('drain', resolve).once('close', () => resolve()));
  }
}

const MANY = 24 * 1024 * 1024;
/** In the way from one process' socket to its own other end there is room for some. */
const MOST_MEMORY = MANY / 2;

const FLOODS: Readonly<Record<string, { readonly first: Buffer; readonly close: number; readonly chunk?: Buffer }>> = {
  'a connect of 64 KiB and a byte': { first: frame(large(65_537)), close: 1009 },
  'a connect of 24 MiB': { first: frame(GOOD, { length: MANY }), close: 1009 },
  'fragments without end': {
    first: frame('{', { fin: false }),
    close: 1009,
    chunk: frame(' '.repeat(60), { opcode: 0, fin: false }),
  },
  'garbage, and a frame of 24 MiB behind it': {
    first: Buffer.concat([frame('garbage'), frame('', { length: MANY })]),
    close: 1008,
  },
};

for (const [name, { first, close, chunk }] of Object.entries(FLOODS)) {
  void t.test(`${name}: little of it is read`, async (t) => {
    const gateway = await startRawGateway(t);
    const stack = await relaying(t, gateway.url);
    const raw = await openSocket(t, stack.port);
    const line = stack.nextLine();
    const before = process.memoryUsage().arrayBuffers;
    let most = 0;
    const look = setInterval(() => (most = Math.max(most, process.memoryUsage().arrayBuffers - before)), 10);
    t.teardown(() => clearInterval(look));
    raw.send(first);
    await flood(raw, chunk ? Buffer.concat(Array.from({ length: 1_000 }, () => chunk)) : Buffer.alloc(65_536), MANY);
    await raw.closed();
    t.equal(told(raw.text).close?.code, close);
    t.match(await line, { end: 'refused', socket: { close } });
    t.ok(most < MOST_MEMORY, 'memory', { most });
    t.equal((await rawExchange(stack.port, get('/nowhere'))).status, 404);
    t.strictSame(gateway.connections, []);
  });
}

void t.test('pings have the room of a first frame, and no more', async (t) => {
  const gateway = await startRawGateway(t);
  const stack = await relaying(t, gateway.url);
  const raw = await openSocket(t, stack.port);
  const line = stack.nextLine();
  const ping = frame('x'.repeat(125), { opcode: 9 });
  const some = Buffer.concat(Array.from({ length: 10 }, () => ping));
  let sent = 0;
  while (told(raw.text).close === undefined) {
    raw.send(some);
    sent += some.length;
    await raw.until((text) => told(text).pongs * ping.length >= sent || told(text).close !== undefined);
  }
  t.equal(told(raw.text).close?.code, 1009);
  t.ok(sent > 65_536 && sent < 70_000, 'bytes', { sent });
  t.match(await line, { end: 'refused', socket: { close: 1009 } });
});
