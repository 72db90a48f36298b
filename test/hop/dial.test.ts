/** WebSockets to the gateway, on real sockets: what it gets, and what it may answer. */
import { createHash } from 'node:crypto';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { lookup, type LookupAddress, type LookupOptions } from 'node:dns';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { WebSocketServer, type RawData } from 'ws';
import { createConnect, type GatewayTarget } from '../../src/gateway/connection.ts';
import { CLOSE_MS, dial, MOST_BYTES, type Declined, type Dialled, type DialTarget } from '../../src/gateway/dial.ts';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

interface Peer {
  readonly socket: Socket;
  /** The head of the request. */
  readonly head: string;
  /** Answers 101; `more` are whole header lines, `behind` comes in the same write. */
  readonly accept: (more?: string, behind?: Buffer) => void;
}

interface Gateway {
  readonly target: DialTarget;
  readonly origin: string;
  readonly heads: readonly string[];
}

/** A server of bytes on 127.0.0.1, which ends with the test. */
async function gateway(t: Test, answer: (peer: Peer) => void): Promise<Gateway> {
  const heads: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    let head = '';
    const read = (chunk: Buffer): void => {
      head += chunk.toString('latin1');
      if (!head.endsWith('\r\n\r\n')) return;
      socket.off('data', read);
      heads.push(head);
      const key = /^sec-websocket-key: (.*)\r$/im.exec(head)?.[1] ?? '';
      const accepted = createHash('sha1').update(`${key}${GUID}`).digest('base64');
      const accept: Peer['accept'] = (more = '', behind = Buffer.alloc(0)) => {
        const lines = `Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accepted}\r\n${more}`;
        socket.write(Buffer.concat([Buffer.from(`HTTP/1.1 101 Switching Protocols\r\n${lines}\r\n`), behind]));
      };
      answer({ socket, head, accept });
    };
    socket.on('data', read);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const origin = `http://127.0.0.1:${port}`;
  return { target: to({ origin }), origin, heads };
}

function to(target: GatewayTarget): DialTarget {
  return { connect: createConnect(target), host: new URL(target.origin).host };
}

const NEVER = new AbortController().signal;

async function open(t: Test, target: DialTarget, headers: readonly string[] = []): Promise<Dialled> {
  const dialled = await dial(target, headers, NEVER);
  if (!('ws' in dialled)) throw new Error(`declined: ${dialled.status}`);
  t.teardown(() => dialled.ws.terminate());
  return dialled;
}

const failure = (target: DialTarget): Promise<unknown> =>
  dial(target, [], NEVER).then(
    (dialled) => dialled,
    (error: unknown) => error,
  );

/** An unmasked frame of up to 125 bytes. */
const frame = (text: string, opcode = 1): Buffer =>
  Buffer.concat([Buffer.from([0x80 | opcode, Buffer.byteLength(text)]), Buffer.from(text)]);

void t.test('the gateway gets the given headers, and what makes a WebSocket of them', async (t) => {
  const { target, origin, heads } = await gateway(t, ({ accept }) => accept());
  const headers = ['x-openclaw-scopes', '', 'traceparent', '00-a'];
  await open(t, target, headers);
  await open(t, { ...target, host: 'gateway.example:1' }, headers);
  const key = /^Sec-WebSocket-Key: [A-Za-z0-9+/]{22}==\r$/m;
  t.strictSame(
    heads.map((head) => head.replace(key, 'Sec-WebSocket-Key: KEY\r').split('\r\n').slice(0, -2)),
    [new URL(origin).host, 'gateway.example:1'].map((host) => [
      'GET / HTTP/1.1',
      `host: ${host}`,
      'x-openclaw-scopes: ',
      'traceparent: 00-a',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: KEY',
      'Connection: Upgrade',
      'Upgrade: websocket',
    ]),
    'no extension, no subprotocol, no agent, no origin, each header once',
  );
});

void t.test('what comes with the 101 waits until somebody listens', async (t) => {
  const { target, origin } = await gateway(t, ({ accept, socket }) => {
    accept('', Buffer.concat([frame('one'), frame('two')]));
    socket.write(frame('three'));
  });
  const { ws, socket } = await open(t, target);
  t.equal(ws.isPaused, true);
  t.equal(socket.remotePort, Number(new URL(origin).port), 'the socket is the one of this connection');
  // A listener that came one round of the event loop too late would have missed them.
  await new Promise(setImmediate);
  const got: string[] = [];
  const all = new Promise<void>((resolve) => {
    ws.on('message', (data: Buffer) => {
      if (got.push(data.toString()) === 3) resolve();
    });
  });
  ws.resume();
  await all;
  t.strictSame(got, ['one', 'two', 'three']);
});

const http = (line: string, body: string, more = ''): string =>
  `HTTP/1.1 ${line}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${more}\r\n${body}`;

void t.test('another answer than 101 is an answer', async (t) => {
  const cases: readonly (readonly [name: string, bytes: string, declined: Declined])[] = [
    ['200', http('200 OK', 'hello'), { status: 200, body: 'hello' }],
    ['401', http('401 Unauthorized', '{"error":1}'), { status: 401, body: '{"error":1}' }],
    ['403', http('403 Forbidden', 'é'), { status: 403, body: 'é' }],
    ['500 without a body', http('500 X', ''), { status: 500, body: '' }],
    ['a long body', http('502 X', 'x'.repeat(100_000)), { status: 502, body: 'x'.repeat(4096) }],
    ['chunks', 'HTTP/1.1 503 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n', { status: 503, body: 'ab' }],
    ['a body that breaks off', 'HTTP/1.1 403 X\r\nContent-Length: 9\r\n\r\nhalf', { status: 403, body: 'half' }],
  ];
  for (const [name, bytes, declined] of cases) {
    const { target, heads } = await gateway(t, ({ socket }) => void socket.end(bytes));
    t.strictSame(await dial(target, [], NEVER), declined, name);
    t.equal(heads.length, 1, 'it is not tried again');
  }
});

void t.test('a declined connection is not kept', async (t) => {
  let closed: Promise<unknown> | undefined;
  const { target } = await gateway(t, ({ socket }) => {
    closed = once(socket, 'close');
    socket.write(http('401 X', 'no', 'Connection: keep-alive\r\n'));
  });
  const started = performance.now();
  t.strictSame(await dial(target, [], NEVER), { status: 401, body: 'no' });
  await closed;
  t.ok(performance.now() - started < 4_500, 'an agent would keep it for five seconds');
});

void t.test('a body without an end is read as far as it is of use', async (t) => {
  let closed: Promise<unknown> | undefined;
  const { target } = await gateway(t, ({ socket }) => {
    closed = once(socket, 'close');
    socket.write(`HTTP/1.1 401 X\r\nTransfer-Encoding: chunked\r\n\r\n2000\r\n${'y'.repeat(0x2000)}\r\n`);
  });
  t.strictSame(await dial(target, [], NEVER), { status: 401, body: 'y'.repeat(4096) });
  await closed;
});

void t.test('a redirect is not followed, and no proxy of the environment is asked', async (t) => {
  let elsewhere = 0;
  const other = await gateway(t, ({ accept }) => {
    elsewhere++;
    accept();
  });
  const names = ['HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'all_proxy'];
  for (const name of names) process.env[name] = other.origin;
  t.teardown(() => names.forEach((name) => delete process.env[name]));
  const location = `Location: ${other.origin.replace('http', 'ws')}/\r\n`;
  for (const status of ['301 X', '302 X', '307 X', '308 X']) {
    const { target } = await gateway(t, ({ socket }) => void socket.end(http(status, '', location)));
    t.match(await dial(target, [], NEVER), { status: Number.parseInt(status) });
  }
  t.equal(elsewhere, 0);
});

void t.test('a 101 that is none, and no answer at all', async (t) => {
  const switching = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n';
  const cases: readonly (readonly [name: string, answer: (peer: Peer) => void, error: RegExp])[] = [
    [
      'a wrong accept value',
      ({ socket }) => void socket.write(`${switching}Upgrade: websocket\r\nSec-WebSocket-Accept: AAAA\r\n\r\n`),
      /Invalid Sec-WebSocket-Accept/,
    ],
    [
      'no accept value',
      ({ socket }) => void socket.write(`${switching}Upgrade: websocket\r\n\r\n`),
      /Invalid Sec-WebSocket-Accept/,
    ],
    ['another protocol', ({ socket }) => void socket.write(`${switching}Upgrade: h2c\r\n\r\n`), /Invalid Upgrade/],
    [
      'a subprotocol that nobody asked for',
      ({ accept }) => accept('Sec-WebSocket-Protocol: openclaw.v1\r\n'),
      /sent a subprotocol but none was requested/,
    ],
    [
      'compression that nobody asked for',
      ({ accept }) => accept('Sec-WebSocket-Extensions: permessage-deflate\r\n'),
      /extension/,
    ],
    ['no HTTP', ({ socket }) => void socket.end('SSH-2.0-x\r\n'), /Parse Error/],
    ['nothing', ({ socket }) => void socket.end(), /socket hang up/],
    ['half a head', ({ socket }) => void socket.end('HTTP/1.1 101 X\r\nUpg'), /socket hang up|aborted|Parse Error/],
  ];
  for (const [name, answer, error] of cases) {
    const { target } = await gateway(t, answer);
    t.match(await failure(target), { message: error }, name);
  }
  const gone = createServer();
  await new Promise<void>((resolve) => gone.listen(0, '127.0.0.1', resolve));
  const { port } = gone.address() as AddressInfo;
  gone.close();
  t.match(await failure(to({ origin: `http://127.0.0.1:${port}` })), { code: 'ECONNREFUSED' });
});

void t.test('names that leave the machine are not dialled', async (t) => {
  const { origin: here, heads } = await gateway(t, ({ accept }) => accept());
  const origin = here.replace('127.0.0.1', 'gateway.test');
  const resolving = (...addresses: readonly string[]): DialTarget =>
    to({
      origin,
      lookup: ((_name: string, _options: LookupOptions, done: (error: null, found: LookupAddress[]) => void) =>
        done(
          null,
          addresses.map((address) => ({ address, family: 4 })),
        )) as typeof lookup,
    });
  await open(t, resolving('127.0.0.1'));
  t.equal(heads.length, 1);
  t.match(await failure(resolving('192.0.2.1')), { code: 'HOP_NOT_LOOPBACK' });
  t.match(await failure(resolving('127.0.0.1', '192.0.2.1')), { code: 'HOP_NOT_LOOPBACK' });
  t.equal(heads.length, 1);
});

void t.test('the signal ends an attempt, with its own reason', async (t) => {
  const reason = new Error('over');
  const over = AbortSignal.abort(reason);
  const { target, heads } = await gateway(t, ({ accept }) => accept());
  await t.rejects(dial(target, [], over), reason);
  t.equal(heads.length, 0, 'nothing is begun');

  const headRead = Promise.withResolvers<void>();
  const read = (): void => headRead.resolve();
  subscribe('http.client.response.finish', read);
  t.teardown(() => unsubscribe('http.client.response.finish', read));
  for (const answer of ['', 'HTTP/1.1 403 X\r\nContent-Length: 99\r\n\r\npart']) {
    const arrived = Promise.withResolvers<Socket>();
    const silent = await gateway(t, ({ socket }) => {
      socket.write(answer);
      arrived.resolve(socket);
    });
    const abort = new AbortController();
    const dialling = dial(silent.target, [], abort.signal);
    const socket = await arrived.promise;
    if (answer !== '') await headRead.promise;
    const closed = once(socket, 'close');
    abort.abort(reason);
    await t.rejects(dialling, reason);
    await closed;
  }
});

void t.test('once it is open the signal of the attempt says nothing', async (t) => {
  const { target } = await gateway(t, ({ accept }) => accept());
  const abort = new AbortController();
  const dialled = await dial(target, [], abort.signal);
  if (!('ws' in dialled)) throw new Error('declined');
  t.teardown(() => dialled.ws.terminate());
  abort.abort();
  t.equal(dialled.ws.readyState, dialled.ws.OPEN);
});

void t.test('what the gateway sends wrong closes the socket, and is no error that nobody listens to', async (t) => {
  const large = Buffer.alloc(10);
  large.set([0x82, 127]);
  large.writeBigUInt64BE(BigInt(MOST_BYTES + 1), 2);
  const cases: readonly (readonly [name: string, bytes: Buffer, sent: number])[] = [
    ['no frame', Buffer.from([0xff, 0xff]), 1002],
    ['a packed message', Buffer.from([0xc1, 0x00]), 1002],
    ['a text that is no UTF-8', Buffer.from([0x81, 0x01, 0xff]), 1007],
    ['a message beyond 25 MiB, by its head', large, 1009],
  ];
  for (const [name, bytes, sent] of cases) {
    const got = Promise.withResolvers<Buffer>();
    const { target } = await gateway(t, ({ accept, socket }) => {
      accept('', bytes);
      socket.once('data', (chunk: Buffer) => {
        got.resolve(chunk);
        socket.destroy();
      });
    });
    const { ws } = await open(t, target);
    const closed = new Promise((resolve) => ws.once('close', resolve));
    ws.resume();
    const close = await got.promise;
    const mask = close.subarray(2, 6);
    const code = Buffer.from(close.subarray(6, 8).map((byte, i) => byte ^ (mask[i] as number))).readUInt16BE();
    t.equal(code, sent, name);
    await closed;
  }
});

void t.test('a message of 25 MiB comes whole, as it was sent', async (t) => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', maxPayload: MOST_BYTES });
  t.teardown(() => server.close());
  await once(server, 'listening');
  const message = Buffer.alloc(MOST_BYTES, 'abc');
  server.on('connection', (peer) => peer.send(message));
  const { port } = server.address() as AddressInfo;
  const { ws } = await open(t, to({ origin: `http://127.0.0.1:${port}` }));
  const came = once(ws, 'message') as Promise<[RawData, boolean]>;
  ws.resume();
  const [data, binary] = await came;
  t.equal(binary, true);
  t.ok(message.equals(data as Buffer));
});

void t.test('who never answers a close is left after a while', async (t) => {
  const { target } = await gateway(t, ({ accept, socket }) => {
    accept();
    socket.resume();
  });
  const { ws } = await open(t, target);
  const started = performance.now();
  const closed = once(ws, 'close');
  ws.resume();
  ws.close(1000);
  await closed;
  const took = performance.now() - started;
  t.ok(took >= CLOSE_MS - 50 && took < 20 * CLOSE_MS, `${took} ms`);
});
