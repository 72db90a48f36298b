/** Upgrades that become no tunnel: the caller gets the shim's answer alone, and the gateway's connection ends. */
import { once } from 'node:events';
import { numOpenSockets } from 'http-proxy-3';
import t, { type Test } from 'tap';
import type { ErrorCode } from '../../src/errors.ts';
import { answerWith, startRawGateway } from '../helpers/raw-gateway.ts';
import { openRaw, sendRaw, type RawConnection } from '../helpers/raw.ts';
import { freePort } from '../helpers/redis.ts';
import { ACCEPT, ANSWER_101, startFront, switching, upgrade, type Opened } from '../helpers/tunnel.ts';

interface AnswerCase {
  readonly answer: string;
  readonly code?: ErrorCode;
  readonly protocols?: readonly string[];
}

const HEAD_101 = 'HTTP/1.1 101 Switching Protocols\r\n';
const WEBSOCKET = 'Upgrade: websocket\r\nConnection: Upgrade\r\n';
const ACCEPTED = `Sec-WebSocket-Accept: ${ACCEPT}\r\n`;

const ANSWERS: Readonly<Record<string, AnswerCase>> = {
  'U4 200': { answer: answerWith('{"secret":true}') },
  'U4 200 with the fields of an upgrade': {
    answer: switching('Content-Length: 2\r\n').replace('101 Switching Protocols', '200 OK') + '{}',
  },
  'U4 200 in chunks that do not end': {
    answer: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n',
  },
  'U4 301': { answer: 'HTTP/1.1 301 Moved\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n' },
  'U4 401': { answer: 'HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n', code: 'gateway_refused' },
  'U4 403': { answer: 'HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n', code: 'gateway_refused' },
  'U4 426': { answer: 'HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n' },
  'U4 500': { answer: 'HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n' },
  '503 without a length': { answer: 'HTTP/1.1 503 Busy\r\n\r\nbusy' },
  '101 without Upgrade': { answer: `${HEAD_101}Connection: Upgrade\r\n${ACCEPTED}\r\n\x81\x02hi` },
  '101 without Connection': { answer: `${HEAD_101}Upgrade: websocket\r\n${ACCEPTED}\r\n\x81\x02hi` },
  '101 with another Connection': {
    answer: `${HEAD_101}Upgrade: websocket\r\nConnection: xupgrade, close\r\n${ACCEPTED}\r\n`,
  },
  '101 with nothing': { answer: `${HEAD_101}\r\n` },
  '101 to h2c': { answer: `${HEAD_101}Upgrade: h2c\r\nConnection: Upgrade\r\n${ACCEPTED}\r\n` },
  '101 to two protocols': { answer: `${HEAD_101}Upgrade: websocket, h2c\r\nConnection: Upgrade\r\n${ACCEPTED}\r\n` },
  '101 without an accept value': { answer: `${HEAD_101}${WEBSOCKET}\r\n\x81\x02hi` },
  '101 with a wrong accept value': {
    answer: `${HEAD_101}${WEBSOCKET}Sec-WebSocket-Accept: ${ACCEPT.toLowerCase()}\r\n\r\n`,
  },
  '101 with two accept values': { answer: switching(ACCEPTED) },
  '101 with an extension': { answer: switching('Sec-WebSocket-Extensions: permessage-deflate\r\n') },
  '101 with an unasked subprotocol': { answer: switching('Sec-WebSocket-Protocol: a\r\n') },
  '101 with another subprotocol': { answer: switching('Sec-WebSocket-Protocol: c\r\n'), protocols: ['a', 'b'] },
  '101 with two subprotocols': { answer: switching('Sec-WebSocket-Protocol: a, b\r\n'), protocols: ['a', 'b'] },
  'another protocol': { answer: 'SSH-2.0-OpenSSH_9.9\r\n' },
  'a bare LF in the head': { answer: switching('X-A: b\nX-C: d\r\n') },
  'a head of 100 KiB': { answer: switching(`X-A: ${'x'.repeat(100_000)}\r\n`) },
};

/** The caller read the shim's one answer, and the connection ended. */
function declined(t: Test, text: string, status: number, code: ErrorCode, name?: string): void {
  t.ok(text.startsWith(`HTTP/1.1 ${status} `) && text.includes(`"code":"${code}"`), name ?? code, { text });
  t.equal(text.split('HTTP/1.').length - 1, 1, 'one answer');
  t.ok(text.endsWith('}}'), 'and nothing behind it');
}

for (const [name, { answer, code = 'gateway_bad_response', protocols }] of Object.entries(ANSWERS)) {
  void t.test(`a gateway that answers ${name}`, async (t) => {
    const gateway = await startRawGateway(t, { onRequest: ({ socket }) => void socket.write(answer, 'latin1') });
    const front = await startFront(t, { origin: gateway.url, ...(protocols && { protocols }) });
    const opening = front.next();
    const { text } = await sendRaw(front.port, upgrade());
    declined(t, text, 502, code);
    const { told, tunnel, caller } = await opening;
    await gateway.connections[0]?.until(({ ended }) => ended);
    tunnel.end();
    if (!caller.closed) await once(caller, 'close');
    t.strictSame([told, tunnel.bytesIn, tunnel.bytesOut], [[`refused ${code}`], 0, 0]);
    t.equal(caller.bytesWritten, text.length, 'the 502 and nothing else was written');
  });
}

async function ask(t: Test, port: number): Promise<RawConnection> {
  const raw = await openRaw(t, port);
  raw.send(upgrade());
  return raw;
}

void t.test('an interim answer is not the answer', async (t) => {
  const gateway = await startRawGateway(t, {
    onRequest: ({ socket }) => void socket.write(`HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n${switching()}`),
  });
  const { port } = await startFront(t, { origin: gateway.url });
  const raw = await ask(t, port);
  await raw.until((text) => text === ANSWER_101);
});

const TO_192 = ((_: string, __: object, callback: (...all: unknown[]) => void) =>
  callback(null, [{ address: '192.0.2.1', family: 4 }])) as never;

void t.test('a gateway that cannot be reached', async (t) => {
  const gateway = await startRawGateway(t);
  const closed = await freePort();
  for (const [origin, lookup] of [
    [`http://127.0.0.1:${closed}`, undefined],
    [gateway.url.replace('127.0.0.1', 'gateway.test'), TO_192],
  ] as const) {
    const front = await startFront(t, { origin, lookup });
    const opening = front.next();
    const { text } = await sendRaw(front.port, upgrade());
    declined(t, text, 502, 'gateway_unreachable');
    t.strictSame((await opening).told, ['refused gateway_unreachable']);
  }
  t.equal(gateway.connections.length, 0);
});

const ENDS: Readonly<Record<string, 'end' | 'resetAndDestroy'>> = { ends: 'end', resets: 'resetAndDestroy' };

for (const [name, end] of Object.entries(ENDS)) {
  void t.test(`a gateway that ${name} the connection before its 101`, async (t) => {
    const gateway = await startRawGateway(t, { onRequest: ({ socket }) => void socket[end]() });
    const front = await startFront(t, { origin: gateway.url });
    const opening = front.next();
    const { text } = await sendRaw(front.port, upgrade());
    declined(t, text, 502, 'gateway_bad_response');
    t.strictSame((await opening).told, ['refused gateway_bad_response']);
  });
}

void t.test('a gateway that ends in the middle of its head', async (t) => {
  const gateway = await startRawGateway(t, { onRequest: ({ socket }) => void socket.end(switching().slice(0, -2)) });
  const { port } = await startFront(t, { origin: gateway.url });
  declined(t, (await sendRaw(port, upgrade())).text, 502, 'gateway_bad_response');
});

void t.test('a gateway that does not answer in time', async (t) => {
  const gateway = await startRawGateway(t, { onRequest: ({ socket }) => void socket.write(HEAD_101) });
  const front = await startFront(t, { origin: gateway.url, dialTimeout: 100 });
  const opening = front.next();
  declined(t, (await sendRaw(front.port, upgrade())).text, 504, 'gateway_timeout');
  t.strictSame((await opening).told, ['refused gateway_timeout']);
  await gateway.connections[0]?.until(({ ended }) => ended);
});

void t.test('U3 bytes before the 101 are refused, and reach no gateway', async (t) => {
  const gateway = await startRawGateway(t, { onRequest: () => undefined });
  const front = await startFront(t, { origin: gateway.url });
  const opening = front.next();
  const raw = await ask(t, front.port);
  const connection = await gateway.connection(1);
  await connection.until(({ text }) => text.endsWith('\r\n\r\n'));
  const { length } = connection.text;
  raw.send('\x81\x85abcdhello');
  declined(t, await raw.closed(), 400, 'bad_request');
  await connection.until(({ ended }) => ended);
  t.equal(connection.text.length, length);
  t.strictSame((await opening).told, ['refused bad_request']);
});

for (const [name, end] of Object.entries(ENDS)) {
  void t.test(`a caller that ${name} its connection while the gateway is dialled`, async (t) => {
    const gateway = await startRawGateway(t, { onRequest: () => undefined });
    const front = await startFront(t, { origin: gateway.url });
    const opening = front.next();
    const raw = await ask(t, front.port);
    const connection = await gateway.connection(1);
    const { until, tunnel } = await opening;
    raw.socket[end]();
    await connection.until(({ ended }) => ended);
    t.strictSame(await until(1), ['closed caller']);
    t.equal(await raw.closed(), '');
    tunnel.end();
  });

  void t.test(`a caller that ${name} its connection before the dial`, async (t) => {
    const gateway = await startRawGateway(t);
    let left: (() => void) | undefined;
    const gone = new Promise<void>((resolve) => (left = resolve));
    const front = await startFront(t, {
      origin: gateway.url,
      hold: ({ socket }) => {
        socket.on('error', () => undefined).once(end === 'end' ? 'end' : 'close', () => left?.());
        return gone;
      },
    });
    const opening = front.next();
    const raw = await ask(t, front.port);
    raw.socket[end]();
    const { until, tunnel }: Opened = await opening;
    t.strictSame(await until(1), ['closed caller']);
    t.equal(await raw.closed(), '');
    tunnel.end();
    t.strictSame([tunnel.bytesIn, tunnel.bytesOut], [0, 0]);
    t.equal(gateway.connections.length, 0);
  });
}

void t.test('an end while the gateway is dialled', async (t) => {
  const gateway = await startRawGateway(t, { onRequest: () => undefined });
  const front = await startFront(t, { origin: gateway.url });
  const opening = front.next();
  const raw = await ask(t, front.port);
  const connection = await gateway.connection(1);
  const { until, tunnel } = await opening;
  tunnel.end();
  tunnel.end();
  t.equal(await raw.closed(), '');
  await connection.until(({ ended }) => ended);
  t.strictSame(await until(1), ['closed shim']);
});

void t.test('an end after a refusal leaves the answer alone', async (t) => {
  const gateway = await startRawGateway(t, { onRequest: ({ socket }) => void socket.end() });
  const front = await startFront(t, { origin: gateway.url });
  const opening = front.next();
  const raw = await ask(t, front.port);
  const { until, tunnel, told } = await opening;
  await until(1);
  tunnel.end();
  declined(t, await raw.closed(), 502, 'gateway_bad_response');
  t.equal(told.length, 1);
});

t.teardown(() => {
  if (numOpenSockets() > 0) throw new Error('the library holds sockets');
});
