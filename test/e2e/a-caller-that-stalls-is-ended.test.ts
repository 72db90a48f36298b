import t from 'tap';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { openRaw } from '../helpers/raw.ts';
import { authorized, get, post } from '../helpers/request-bytes.ts';
import { startStack } from '../helpers/stack.ts';

/** Long enough that a request is read before it, on a machine with much to do. */
const IDLE = { idleTimeout: 600 };

void t.test('an upload that stalls ends, at the gateway too', async (t) => {
  const gateway = await startRawGateway(t);
  const { port, nextLine } = await startStack(t, { gatewayUrl: gateway.url, limits: IDLE });
  for (const [name, framing, body] of [
    ['a small body', 'Content-Length: 10\r\n', 'x'],
    ['a large body', 'Content-Length: 100000\r\n', 'x'],
    ['a chunked body', 'Transfer-Encoding: chunked\r\n', '9\r\nx'],
  ] as const) {
    const line = nextLine();
    const raw = await openRaw(t, port);
    raw.send(post(framing, body));
    t.equal(await raw.closed(), '', name);
    t.match(await line, { status: 0, end: 'caller_idle' }, name);
    await gateway.connections.at(-1)?.until(({ ended }) => ended);
  }
});

void t.test('a caller that does not read ends, at the gateway too', async (t) => {
  const event = 'data: x\n\n'.repeat(7_000);
  const gateway = await startRawGateway(t, {
    onRequest: ({ socket }) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 99999999\r\n\r\n');
      const fill = (): void => {
        while (!socket.destroyed && socket.write(event));
      };
      socket.on('drain', fill);
      fill();
    },
  });
  const { port, nextLine } = await startStack(t, { gatewayUrl: gateway.url, limits: IDLE });
  const line = nextLine();
  const raw = await openRaw(t, port);
  raw.socket.pause();
  raw.send(get('/v1/models'));
  t.match(await line, { status: 200, end: 'caller_idle' });
  await gateway.connections[0]?.until(({ ended }) => ended);
});

void t.test('a gateway that does not take an upload is given up: no run waits on it yet', async (t) => {
  const gateway = await startRawGateway(t);
  const { port, nextLine } = await startStack(t, {
    gatewayUrl: gateway.url,
    limits: IDLE,
    more: 'limits: { body: 1GiB }',
  });
  const body = Buffer.alloc(16 * 2 ** 20);
  const connected = gateway.connection(1).then(({ socket }) => socket.pause());
  const line = nextLine();
  const raw = await openRaw(t, port);
  raw.send(post('Content-Length: 1000000000\r\n', ''));
  raw.socket.write(body);
  await raw.until((text) => /^HTTP\/1\.1 504 [^]*x-should-retry: false[^]*"code":"gateway_timeout"/.test(text));
  raw.socket.destroy();
  t.match(await line, { status: 504, code: 'gateway_timeout', end: 'gateway_idle' });
  (await connected).destroy();
});

void t.test('a stall after a long wait for the gateway is seen as well', async (t) => {
  const gateway = await startRawGateway(t, { onRequest: () => undefined });
  const { port, nextLine } = await startStack(t, { gatewayUrl: gateway.url, limits: IDLE });
  const line = nextLine();
  const raw = await openRaw(t, port);
  raw.send(get('/v1/models'));
  const { socket } = await gateway.connection(1);
  for (let i = 0; i < 2; i++) await (await openRaw(t, port)).closed();
  raw.socket.pause();
  socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${2 ** 26}\r\n\r\n`);
  socket.write(Buffer.alloc(2 ** 25));
  t.match(await line, { status: 200, end: 'caller_idle' });
});

void t.test('idle connections end: without a request, and between two', async (t) => {
  const { port } = await startStack(t, { limits: IDLE });
  t.equal(await (await openRaw(t, port)).closed(), '');
});

void t.test('a head that does not come in time is 408', async (t) => {
  const { port, gateway } = await startStack(t, { limits: { headersTimeout: 100 } });
  const slow = await Promise.all(
    ['', 'GET /v1/mod', `GET /v1/models HTTP/1.1\r\n${authorized()}X-A: b`].map(async (bytes) => {
      const raw = await openRaw(t, port);
      raw.send(bytes);
      return raw.closed();
    }),
  );
  for (const text of slow) t.match(text, /^HTTP\/1\.1 408 [^]*connection: close[^]*"code":"request_timeout"/);
  t.equal(gateway.requests.length, 0);
});

void t.test('connections beyond the limit are not taken', async (t) => {
  const { port } = await startStack(t, { more: 'limits: { connections: 2 }' });
  const [one, two] = [await openRaw(t, port), await openRaw(t, port)];
  for (const raw of [one, two]) {
    raw.send(get('/v1/models'));
    await raw.until((text) => text.includes('200 OK'));
  }
  const three = await openRaw(t, port);
  t.equal(await three.closed(), '');
  one.socket.destroy();
  two.send(get('/v1/models'));
  await two.until((text) => text.split('200 OK').length === 3);
});
