import { createServer } from 'node:net';
import t from 'tap';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { openRaw, rawExchange } from '../helpers/raw.ts';
import { chunked, get, post } from '../helpers/request-bytes.ts';
import { startStack } from '../helpers/stack.ts';

/** @returns the address of a port that nobody listens on */
async function nobody(): Promise<string> {
  const server = createServer();
  const port = await new Promise<number>((resolve) =>
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port)),
  );
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${port}`;
}

void t.test('a gateway that is down is 502 gateway_unreachable, and the connection goes on', async (t) => {
  const { port, nextLine } = await startStack(t, { gatewayUrl: await nobody() });
  const line = nextLine();
  const answer = await rawExchange(port, get('/v1/models'));
  t.equal(answer.status, 502);
  t.match(JSON.parse(answer.body), {
    error: { code: 'gateway_unreachable', type: 'gateway_error', message: /gateway\.url/, param: null },
  });
  t.notMatch(answer.text, /x-should-retry/, 'nothing was sent: it may be asked again');
  t.notMatch(answer.text, /127\.0\.0\.1|ECONNREFUSED/, 'no address and no system error');
  t.equal(answer.headers.connection, 'keep-alive');
  t.match(await line, {
    status: 502,
    code: 'gateway_unreachable',
    reason: /ECONNREFUSED/,
    end: 'gateway_gone',
    level: 40,
  });
});

void t.test('a long upload to a gateway that is down is read away, and answered at once when it is in', async (t) => {
  const { port } = await startStack(t, { gatewayUrl: await nobody() });
  const megabyte = 'x'.repeat(2 ** 20);
  for (const bytes of [
    post('Content-Length: 8388608\r\n', megabyte.repeat(8)),
    post('Transfer-Encoding: chunked\r\n', `100000\r\n${megabyte}\r\n`.repeat(8) + '0\r\n\r\n'),
    post('Content-Length: 7\r\n', '{"a":1}'),
  ]) {
    const answer = await rawExchange(port, bytes, { timeout: 4_000 });
    t.equal(answer.status, 502);
    t.match(answer.body, /gateway_unreachable/);
  }
});

void t.test('a gateway that closes before it answers is 502, and the request is not sent again', async (t) => {
  for (const how of ['end', 'reset', 'half a head'] as const) {
    const gateway = await startRawGateway(t, {
      onRequest: ({ socket }) => {
        if (how === 'reset') socket.resetAndDestroy();
        else socket.end(how === 'end' ? '' : 'HTTP/1.1 200 OK\r\nContent-');
      },
    });
    const { port, nextLine } = await startStack(t, { gatewayUrl: gateway.url });
    for (const bytes of [
      get('/v1/models'),
      post('Content-Length: 2\r\n', '{}'),
      post('Transfer-Encoding: chunked\r\n', chunked('{}')),
    ]) {
      const before = gateway.connections.length;
      const line = nextLine();
      const answer = await rawExchange(port, bytes);
      t.equal(answer.status, 502, how);
      t.match(answer.body, /"code":"gateway_bad_response"/, how);
      t.equal(answer.headers['x-should-retry'], bytes.startsWith('GET') ? undefined : 'false', 'a run may have begun');
      t.match(await line, { status: 502, end: 'gateway_gone' });
      t.equal(gateway.connections.length, before + 1, how);
    }
  }
});

void t.test('gatewayIdle before the head is 504, and the gateway request is aborted', async (t) => {
  const gateway = await startRawGateway(t, { onRequest: () => undefined });
  const { port, nextLine } = await startStack(t, { gatewayUrl: gateway.url, more: 'stream: { gatewayIdle: 50ms }' });
  const line = nextLine();
  const answer = await rawExchange(port, get('/v1/models'));
  t.equal(answer.status, 504);
  t.match(answer.body, /"code":"gateway_timeout"/);
  t.match(await line, { status: 504, code: 'gateway_timeout', end: 'gateway_idle' });
  await gateway.connections[0]?.until(({ ended }) => ended);
});

void t.test('gatewayIdle in the middle: an event stream is told between two events, all else breaks off', async (t) => {
  const chunks = 'Transfer-Encoding: chunked\r\n\r\n';
  const stream = `HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n${chunks}`;
  const event = '9\r\ndata: 1\n\n\r\n';
  const cases: readonly { name: string; answer: string; told: boolean }[] = [
    { name: 'between events', answer: stream + event, told: true },
    { name: 'before the first event', answer: stream, told: true },
    { name: 'inside an event', answer: `${stream}${event}5\r\ndata:\r\n`, told: false },
    {
      name: 'another body',
      answer: `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n${chunks}2\r\n\n\n\r\n`,
      told: false,
    },
    {
      name: 'a length',
      answer: 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 99\r\n\r\n\n\n',
      told: false,
    },
  ];
  const run = async ({ name, answer, told }: (typeof cases)[number]): Promise<void> => {
    const gateway = await startRawGateway(t, { onRequest: ({ socket }) => void socket.write(answer) });
    const { port, nextLine } = await startStack(t, { gatewayUrl: gateway.url, more: 'stream: { gatewayIdle: 600ms }' });
    const line = nextLine();
    const raw = await openRaw(t, port);
    raw.send(get('/v1/models'));
    const text = await raw.closed();
    t.match(text, /^HTTP\/1\.1 200 OK/, name);
    t.notMatch(text, /\r\n0\r\n\r\n$/, name);
    const end = /\r\nevent: error\ndata: (\{.*\})\n\n\r\n$/.exec(text);
    t.equal(end !== null, told, name);
    if (end) t.match(JSON.parse(end[1] as string), { error: { code: 'gateway_timeout', type: 'gateway_error' } });
    t.match(await line, { status: 200, end: 'gateway_idle' }, name);
    await gateway.connections[0]?.until(({ ended }) => ended);
  };
  await Promise.all(cases.map(run));
});

void t.test('without gatewayIdle a gateway may be silent far longer than callers may', async (t) => {
  const gateway = await startRawGateway(t, { onRequest: () => undefined });
  const { port } = await startStack(t, { gatewayUrl: gateway.url, limits: { idleTimeout: 600 } });
  const waiting = await openRaw(t, port);
  waiting.send(post('Content-Length: 2\r\n', '{}'));
  const connection = await gateway.connection(1);
  await connection.until(({ text }) => text.endsWith('{}'));
  // Three callers that say nothing are ended, one after another, while it waits.
  for (let i = 0; i < 3; i++) await (await openRaw(t, port)).closed();
  t.equal(waiting.text, '');
  connection.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  t.match(await waiting.until((text) => text.endsWith('ok')), /^HTTP\/1\.1 200/);
});

void t.test('an event and garbage in one read: nothing is written after the break', async (t) => {
  const head = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n';
  const gateway = await startRawGateway(t, {
    onRequest: ({ socket }) => void socket.write(`${head}9\r\ndata: 1\n\n\r\nZZZ\r\n`),
  });
  const stack = await startStack(t, { gatewayUrl: gateway.url });
  for (let i = 0; i < 3; i++) {
    const line = stack.nextLine();
    const { text } = await rawExchange(stack.port, get('/v1/models'));
    t.notMatch(text, /\r\n0\r\n\r\n$/, 'never a clean end');
    t.match(await line, { end: 'gateway_gone', reason: /^HPE_|PARSER/i });
  }
});

void t.test('an answer whose end cannot be told from the end of the gateway is 502', async (t) => {
  for (const framing of [
    'Connection: close\r\n',
    'Transfer-Encoding: gzip\r\n',
    'Transfer-Encoding: gzip, chunked\r\n',
  ]) {
    const gateway = await startRawGateway(t, {
      onRequest: ({ socket }) => void socket.end(`HTTP/1.1 200 OK\r\n${framing}\r\n{"a":`),
    });
    const stack = await startStack(t, { gatewayUrl: gateway.url });
    const line = stack.nextLine();
    const answer = await rawExchange(stack.port, get('/v1/models'));
    t.equal(answer.status, 502, framing);
    t.match(answer.body, /gateway_bad_response/);
    t.match(await line, { code: 'gateway_bad_response', end: 'gateway_gone' });
  }
});
