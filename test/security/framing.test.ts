/** Section 2.2 of the corpus: framing and smuggling, on the caller's side of the shim. */
import { connect } from 'node:net';
import t from 'tap';
import { readRequests } from '../helpers/requests.ts';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { openRaw, rawExchange, sendRaw } from '../helpers/raw.ts';
import { get, post } from '../helpers/request-bytes.ts';
import { startStack, TRACEPARENT, TOKENS } from '../helpers/stack.ts';
import { BODY, BROKEN_BODIES, CL, PASSED, REFUSED, TE } from './framing.cases.ts';

const POST_BYTES = (port: string, framing: string, body: string): string =>
  'POST /v1/chat/completions HTTP/1.1\r\n' +
  `host: 127.0.0.1:${port}\r\nconnection: keep-alive\r\n` +
  'authorization: Bearer gateway-secret-0123456789abcdef\r\nx-openclaw-scopes: operator.read,operator.write\r\n' +
  `traceparent: ${TRACEPARENT}\r\n` +
  `${framing}\r\n\r\n${body}`;

void t.test(
  'refused by the head: the gateway sees zero bytes, the connection closes, the process serves on',
  async (t) => {
    const gateway = await startRawGateway(t);
    const { port } = await startStack(t, { gatewayUrl: gateway.url });
    for (const { name, bytes, status, code } of REFUSED) {
      await t.test(name, async (t) => {
        const seen = gateway.text.length;
        const answer = await rawExchange(port, bytes);
        t.equal(answer.status, status);
        if (bytes.startsWith('HEAD')) t.equal(answer.body, '');
        else t.match(JSON.parse(answer.body), { error: { code } });
        t.equal(answer.headers.connection, 'close');
        t.ok(answer.closed);
        t.ok(answer.headers['x-request-id']);
        t.equal(gateway.text.slice(seen), '');
        t.equal((await rawExchange(port, get('/v1/models'))).status, 200);
      });
    }
  },
);

void t.test('refused in the body: the gateway never sees a whole request, and its part is aborted', async (t) => {
  for (const { name, body, status, code } of BROKEN_BODIES) {
    for (const part of ['', '2\r\n[]\r\n']) {
      await t.test(`${name}, ${part === '' ? 'at once' : 'after a part is at the gateway'}`, async (t) => {
        const gateway = await startRawGateway(t);
        const { port, nextLine } = await startStack(t, { gatewayUrl: gateway.url });
        const line = nextLine();
        const raw = await openRaw(t, port);
        raw.send(post(TE, part || body));
        if (part !== '') {
          const connection = await gateway.connection(1);
          await connection.until(({ text }) => text.endsWith('[]'));
          raw.send(body);
          await connection.until(({ ended }) => ended);
        }
        const text = await raw.closed();
        t.match(text, new RegExp(`^HTTP/1.1 ${status} [^]*"code":"${code}"`));
        t.match(text, /\r\nconnection: close\r\n/);
        t.notOk(readRequests(gateway.text).some(({ complete }) => complete));
        raw.socket.destroy();
        t.match(await line, { status, code, end: 'refused', caller: 'writer' });
        t.equal((await rawExchange(port, get('/v1/models'))).status, 200);
      });
    }
  }
});

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

void t.test('passed: exactly these bytes reach the gateway', async (t) => {
  for (const { name, bytes, framing, body } of PASSED) {
    await t.test(name, async (t) => {
      const gateway = await startRawGateway(t);
      const { port } = await startStack(t, { gatewayUrl: gateway.url });
      const { responses } = await sendRaw(port, bytes, { responses: 1 });
      t.equal(responses[0]?.status, 200);
      t.equal(gateway.text, POST_BYTES(new URL(gateway.url).port, framing, body));
    });
  }
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
  const { port } = await startStack(t, { gatewayUrl: gateway.url, more: 'limits: { body: 100KiB }' });
  const good = await openRaw(t, port);
  good.send(post(`Expect: 100-continue\r\n${CL}`, ''));
  t.equal(await good.until((text) => text.endsWith('\r\n\r\n')), 'HTTP/1.1 100 Continue\r\n\r\n');
  t.equal(gateway.text, '');
  good.send(BODY);
  t.match(await good.until((text) => text.endsWith('{}')), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK/);
  t.equal(gateway.text, POST_BYTES(new URL(gateway.url).port, 'content-length: 7', BODY));

  const expecting = `Expect: 100-continue\r\n${CL}`;
  const refused: readonly { name: string; bytes: string; status: number }[] = [
    {
      name: 'no token',
      bytes: `POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n${expecting}\r\n`,
      status: 401,
    },
    { name: 'wrong token', bytes: post(expecting, '', 'x'.repeat(30)), status: 401 },
    { name: 'no scope', bytes: post(expecting, '', TOKENS.reader), status: 403 },
    { name: 'no route', bytes: post(expecting, '').replace('/v1/chat', '/v1/chit'), status: 404 },
    { name: 'too long', bytes: post('Expect: 100-continue\r\nContent-Length: 200000\r\n', ''), status: 413 },
    { name: 'other host', bytes: post(expecting, '').replace('Host: 127.0.0.1', 'Host: other.example'), status: 421 },
  ];
  const seen = gateway.text;
  for (const { name, bytes, status } of refused) {
    const answer = await rawExchange(port, bytes);
    t.match(answer.text, new RegExp(`^HTTP/1.1 ${status} `), name);
    t.ok(answer.closed, name);
  }
  t.equal(gateway.text, seen);
});

void t.test('F13 each pipelined request is judged by itself, and the first bad one ends the connection', async (t) => {
  const { port, gateway } = await startStack(t);
  const none = 'GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n';
  const first = await sendRaw(port, get('/v1/models') + none + get('/v1/models'));
  t.strictSame(
    first.responses.map(({ status }) => status),
    [200, 401],
  );
  t.ok(first.closed);
  t.equal(gateway.requests.length, 1);

  const mixed =
    get('/v1/models', '', TOKENS.reader) +
    post(CL, BODY, TOKENS.writer) +
    post(CL, BODY, TOKENS.reader) +
    get('/v1/models');
  const second = await sendRaw(port, mixed);
  t.strictSame(
    second.responses.map(({ status }) => status),
    [200, 400, 403],
  );
  t.ok(second.closed, 'the body of a refused request was not read');
  t.strictSame(
    gateway.requests.slice(1).map(({ rawHeaders }) => rawHeaders[rawHeaders.indexOf('x-openclaw-scopes') + 1]),
    ['operator.read', 'operator.read,operator.write'],
  );

  const garbage = await sendRaw(port, `${get('/v1/models')}\x00garbage\r\n\r\n`);
  t.strictSame(
    garbage.responses.map(({ status }) => status),
    [200],
  );
  t.equal(garbage.responses[0]?.headers.connection, 'close');
  t.ok(garbage.closed);
  t.equal((await rawExchange(port, get('/v1/models'))).status, 200);
});

void t.test('F13 a refused request without a body keeps the connection for the next', async (t) => {
  const { port } = await startStack(t);
  const { responses } = await sendRaw(
    port,
    get('/nothing') + get('/v1/chat/completions') + get('/v1/models', '', TOKENS.reader),
    { responses: 3 },
  );
  t.strictSame(
    responses.map(({ status, headers }) => [status, headers.connection]),
    [
      [404, 'keep-alive'],
      [405, 'keep-alive'],
      [200, 'keep-alive'],
    ],
  );
});

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
