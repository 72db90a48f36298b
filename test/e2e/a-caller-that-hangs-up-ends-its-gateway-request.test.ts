import { lookup } from 'node:dns';
import { once } from 'node:events';
import t from 'tap';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { openRaw, rawExchange } from '../helpers/raw.ts';
import { get, post } from '../helpers/request-bytes.ts';
import { startStack } from '../helpers/stack.ts';

void t.test('while the gateway is silent: before its head, after it, and in a refusal that is held back', async (t) => {
  for (const [name, answer, seen] of [
    ['before its head', '', ''],
    ['after its head', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n', '200 OK'],
    ['in a refusal', 'HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\n{"', ''],
  ] as const) {
    await t.test(name, async (t) => {
      const gateway = await startRawGateway(t, { onRequest: ({ socket }) => void socket.write(answer) });
      const { port, nextLine } = await startStack(t, { gatewayUrl: gateway.url });
      const line = nextLine();
      const raw = await openRaw(t, port);
      raw.send(get('/v1/models'));
      const connection = await gateway.connection(1);
      await connection.until(({ text }) => text.endsWith('\r\n\r\n'));
      if (seen !== '') await raw.until((text) => text.includes(seen));
      raw.socket.destroy();
      await connection.until(({ ended }) => ended);
      t.match(await line, { status: seen === '' ? 0 : 200, end: 'caller_gone', caller: 'writer', route: '/v1/models' });
    });
  }
});

void t.test('while it uploads', async (t) => {
  const gateway = await startRawGateway(t);
  const { port, nextLine } = await startStack(t, { gatewayUrl: gateway.url });
  for (const framing of ['Content-Length: 100000\r\n', 'Transfer-Encoding: chunked\r\n']) {
    const line = nextLine();
    const raw = await openRaw(t, port);
    raw.send(post(framing, framing.includes('chunked') ? '3e8\r\n' + 'x'.repeat(1_000) : 'x'.repeat(1_000)));
    const connection = await gateway.connection(gateway.connections.length + 1);
    await connection.until(({ text }) => text.endsWith('x'));
    raw.socket.destroy();
    await connection.until(({ ended }) => ended);
    t.match(await line, { status: 0, end: 'caller_gone', in: 1_000 });
  }
});

void t.test('while a small body is still coming: the gateway is not even called', async (t) => {
  const { port, gateway, nextLine } = await startStack(t);
  const line = nextLine();
  const raw = await openRaw(t, port);
  raw.send(post('Expect: 100-continue\r\nContent-Length: 10\r\n', ''));
  await raw.until((text) => text.includes('100 Continue'));
  raw.socket.destroy();
  t.match(await line, { status: 0, end: 'caller_gone' });
  t.equal(gateway.requests.length, 0);
});

void t.test('while the shim still connects: nothing is sent once it has', async (t) => {
  const gateway = await startRawGateway(t);
  let answer: (() => void) | undefined;
  let asked = (): void => undefined;
  const named = new Promise<void>((resolve) => (asked = resolve));
  const heldOnce = ((...args: Parameters<typeof lookup>) => {
    if (answer) return lookup(...args);
    answer = () => lookup(...args);
    asked();
  }) as typeof lookup;
  const gatewayUrl = gateway.url.replace('127.0.0.1', 'localhost');
  const { port, nextLine } = await startStack(t, { gatewayUrl, limits: { lookup: heldOnce } });
  const line = nextLine();
  const raw = await openRaw(t, port);
  raw.send(get('/v1/models'));
  await named;
  raw.socket.destroy();
  t.match(await line, { status: 0, end: 'caller_gone' });
  answer?.();
  const connection = await gateway.connection(1);
  await connection.until(({ ended }) => ended);
  t.equal((await rawExchange(port, get('/v1/models'))).status, 200);
  t.equal(connection.text, '');
});

void t.test('a pipelined request whose turn has not come is never sent', async (t) => {
  const gateway = await startRawGateway(t, { onRequest: () => undefined });
  const { port, nextLine } = await startStack(t, { gatewayUrl: gateway.url });
  const line = nextLine();
  const raw = await openRaw(t, port);
  raw.send(get('/v1/models?1') + get('/v1/models?2'));
  const connection = await gateway.connection(1);
  await connection.until(({ text }) => text.endsWith('\r\n\r\n'));
  raw.socket.resetAndDestroy();
  await Promise.all([connection.until(({ ended }) => ended), line]);
  await once(connection.socket, 'close');
  t.equal(gateway.connections.length, 1);
  t.notMatch(gateway.text, /\?2/);
});
