/** Framing, as far as it is about what comes when: the corpus has what one connection can show by its bytes alone. */
import { connect } from 'node:net';
import t from 'tap';
import { readRequests } from '../helpers/requests.ts';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { openRaw, rawExchange } from '../helpers/raw.ts';
import { get, post } from '../helpers/request-bytes.ts';
import { startStack, TRACEPARENT, TOKENS } from '../helpers/stack.ts';

const BODY = '{"a":1}';
const CL = 'Content-Length: 7\r\n';
const TE = 'Transfer-Encoding: chunked\r\n';

const POST_BYTES = (port: string, framing: string, body: string): string =>
  'POST /v1/chat/completions HTTP/1.1\r\n' +
  `host: 127.0.0.1:${port}\r\nconnection: keep-alive\r\n` +
  'authorization: Bearer gateway-secret-0123456789abcdef\r\nx-openclaw-scopes: operator.read,operator.write\r\n' +
  `traceparent: ${TRACEPARENT}\r\n` +
  `${framing}\r\n\r\n${body}`;

void t.test('refused in the body: the gateway is told at once, also where the caller stays', async (t) => {
  const gateway = await startRawGateway(t);
  const { port } = await startStack(t, { gatewayUrl: gateway.url });
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  t.teardown(() => socket.destroy());
  socket.resume();
  socket.write(post(TE, '2\r\n[]\r\n'));
  const connection = await gateway.connection(1);
  await connection.until(({ text }) => text.endsWith('[]'));
  const begun = performance.now();
  socket.write('no chunk\r\n');
  await connection.until(({ ended }) => ended);
  t.ok(performance.now() - begun < 4_500, 'before the time of lingering is over');
});

void t.test('F9 a body shorter than its length is aborted at the gateway, never ended', async (t) => {
  for (const how of ['half-closed', 'reset'] as const) {
    await t.test(how, async (t) => {
      const gateway = await startRawGateway(t);
      const { port, nextLine } = await startStack(t, { gatewayUrl: gateway.url });
      const line = nextLine();
      const raw = await openRaw(t, port);
      raw.send(post('Content-Length: 100000\r\n', 'x'.repeat(70_000)));
      const connection = await gateway.connection(1);
      await connection.until(({ text }) => text.endsWith('x'));
      if (how === 'reset') raw.socket.resetAndDestroy();
      else raw.socket.end();
      await connection.until(({ ended }) => ended);
      t.equal(
        readRequests(connection.text).some(({ complete }) => complete),
        false,
      );
      t.match(await line, { status: 0, end: 'caller_gone' });
    });
  }
});

void t.test('F10 100 comes only after the gate, and the headers of the hop are there', async (t) => {
  const gateway = await startRawGateway(t);
  const { port } = await startStack(t, { gatewayUrl: gateway.url });
  const good = await openRaw(t, port);
  good.send(post(`Expect: 100-continue\r\n${CL}`, ''));
  t.equal(await good.until((text) => text.endsWith('\r\n\r\n')), 'HTTP/1.1 100 Continue\r\n\r\n');
  t.equal(gateway.text, '');
  good.send(BODY);
  t.match(await good.until((text) => text.endsWith('{}')), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK/);
  t.equal(gateway.text, POST_BYTES(new URL(gateway.url).port, 'content-length: 7', BODY));
});

void t.test(
  'F13 a refused request whose body came with it keeps the connection, one whose body is to come does not',
  async (t) => {
    const { port } = await startStack(t);
    const raw = await openRaw(t, port);
    raw.send(post(CL, BODY, TOKENS.reader));
    const refused = await raw.until((text) => text.includes('insufficient_scope'));
    t.match(refused, /^HTTP\/1\.1 403 .*\r\nconnection: keep-alive\r\n/is);
    raw.send(get('/v1/models', '', TOKENS.reader));
    t.match(await raw.until((text) => text.includes('"list"')), /HTTP\/1\.1 200 OK/);

    const waiting = await openRaw(t, port);
    waiting.send(post(CL, BODY.slice(1), TOKENS.reader));
    t.match(await waiting.until((text) => text.includes('insufficient_scope')), /\r\nconnection: close\r\n/i);
  },
);

void t.test('F20 two callers with the same request never share an answer', async (t) => {
  const gateway = await startRawGateway(t, { onRequest: () => undefined });
  const { port } = await startStack(t, { gatewayUrl: gateway.url });
  const ask = async (token: string): Promise<{ body: Promise<string> }> => {
    const raw = await openRaw(t, port);
    raw.send(get('/v1/models', '', token));
    return {
      body: raw
        .until((text) => text.includes('\r\n\r\n') && text.length > 20)
        .then((text) => text.slice(text.indexOf('\r\n\r\n') + 4)),
    };
  };
  const reader = await ask(TOKENS.reader);
  const first = await gateway.connection(1);
  const admin = await ask(TOKENS.admin);
  const second = await gateway.connection(2);
  for (const connection of [second, first]) {
    await connection.until(({ text }) => readRequests(text).length === 1);
    const scopes = /x-openclaw-scopes: (.*)\r\n/.exec(connection.text)?.[1] ?? '';
    connection.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${scopes.length}\r\n\r\n${scopes}`);
  }
  t.equal(await reader.body, 'operator.read');
  t.equal(await admin.body, 'operator.admin');
});

void t.test('F14 garbage behind a request that is being answered ends the connection after its answer', async (t) => {
  const gateway = await startRawGateway(t, { onRequest: () => undefined });
  const { port, lines } = await startStack(t, { gatewayUrl: gateway.url });
  const raw = await openRaw(t, port);
  raw.send(get('/v1/models?1'));
  const { socket, until } = await gateway.connection(1);
  await until(({ text }) => text.endsWith('\r\n\r\n'));
  socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha');
  await raw.until((text) => text.endsWith('ha'));
  raw.send(`${get('/v1/models?2')}\0\0\r\n\r\n`);
  raw.send('more garbage');
  socket.write('lf');
  t.match(await raw.closed(), /^HTTP\/1\.1 200 OK[^]*\r\n\r\nhalf$/);
  t.notMatch(gateway.text, /\?2/);
  await rawExchange(port, get('/nothing'));
  t.strictSame(
    lines.map(({ status }) => status),
    [200, 404],
    'what was pipelined is not even looked at',
  );
});

void t.test('F14 garbage, then a hang-up: the gateway request is aborted', async (t) => {
  const gateway = await startRawGateway(t, { onRequest: () => undefined });
  const { port, nextLine } = await startStack(t, { gatewayUrl: gateway.url });
  const line = nextLine();
  const raw = await openRaw(t, port);
  raw.send(`${get('/v1/models')}\0\0\r\n\r\n`);
  const connection = await gateway.connection(1);
  await connection.until(({ text }) => text.endsWith('\r\n\r\n'));
  raw.socket.end();
  await connection.until(({ ended }) => ended);
  t.match(await line, { end: 'caller_gone' });
});

void t.test('P17 a CONNECT behind a request that is being answered is never taken for its answer', async (t) => {
  const gateway = await startRawGateway(t, { onRequest: () => undefined });
  const { port } = await startStack(t, { gatewayUrl: gateway.url });
  const raw = await openRaw(t, port);
  raw.send(get('/v1/models'));
  const connection = await gateway.connection(1);
  await connection.until(({ text }) => text.endsWith('\r\n\r\n'));
  raw.send(`CONNECT a:1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
  t.equal(await raw.closed(), '');
  await connection.until(({ ended }) => ended);
});
