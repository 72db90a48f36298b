/** Section 2.2 of the corpus, on the gateway's side: a gateway that answers what is no HTTP, too early, or not whole. */
import t from 'tap';
import { answerWith, JSON_ANSWER, startRawGateway } from '../helpers/raw-gateway.ts';
import { readRequests } from '../helpers/requests.ts';
import { openRaw, rawExchange } from '../helpers/raw.ts';
import { chunked, get, post } from '../helpers/request-bytes.ts';
import { startStack, TOKENS } from '../helpers/stack.ts';

const OK = 'HTTP/1.1 200 OK\r\n';
const CHUNKED = 'Transfer-Encoding: chunked\r\n';

interface AnswerCase {
  readonly name: string;
  readonly answer: string;
}

/** Heads that cannot be passed on. */
const BAD_HEADS: readonly AnswerCase[] = [
  {
    name: 'F15 Content-Length and Transfer-Encoding',
    answer: `${OK}Content-Length: 2\r\n${CHUNKED}\r\n2\r\n{}\r\n0\r\n\r\n`,
  },
  {
    name: 'F15 Transfer-Encoding and Content-Length',
    answer: `${OK}${CHUNKED}Content-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n`,
  },
  { name: 'F15 two lengths', answer: `${OK}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}` },
  { name: 'F15 the same length twice', answer: `${OK}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}` },
  { name: 'F15 length +2', answer: `${OK}Content-Length: +2\r\n\r\n{}` },
  { name: 'F15 length 2,2', answer: `${OK}Content-Length: 2,2\r\n\r\n{}` },
  { name: 'F15 length 0x2', answer: `${OK}Content-Length: 0x2\r\n\r\n{}` },
  { name: 'F15 a folded header', answer: `${OK}X-A: b\r\n c\r\nContent-Length: 2\r\n\r\n{}` },
  { name: 'F15 bare LF in the head', answer: `${OK}X-A: b\nX-C: d\r\nContent-Length: 2\r\n\r\n{}` },
  { name: 'F15 bare LF ends the head', answer: `${OK}Content-Length: 2\r\n\n{}` },
  { name: 'F15 bare CR in a header', answer: `${OK}X-A: b\rX-C: d\r\nContent-Length: 2\r\n\r\n{}` },
  { name: 'F15 NUL in a header', answer: `${OK}X-A: b\0c\r\nContent-Length: 2\r\n\r\n{}` },
  { name: 'F15 a space before the colon', answer: `${OK}X-A : b\r\nContent-Length: 2\r\n\r\n{}` },
  { name: 'F15 a header name that is none', answer: `${OK}X A: b\r\nContent-Length: 2\r\n\r\n{}` },
  { name: 'no status line', answer: 'hello\r\n\r\n' },
  { name: 'another protocol', answer: 'SSH-2.0-OpenSSH_9.9\r\n' },
  { name: 'HTTP/1.2', answer: 'HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\n{}' },
  { name: 'an unasked 101', answer: 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n' },
  { name: 'an unasked 100', answer: `HTTP/1.1 100 Continue\r\n\r\n${JSON_ANSWER}` },
  { name: 'status 099', answer: 'HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n' },
  { name: 'a head of 100 KiB', answer: `${OK}X-A: ${'x'.repeat(100_000)}\r\nContent-Length: 2\r\n\r\n{}` },
];

/** Bodies that end where they must not; the head has gone to the caller already. */
const BAD_BODIES: readonly (AnswerCase & { readonly end?: true })[] = [
  { name: 'F15 chunk size 0x2', answer: `${OK}${CHUNKED}\r\n0x2\r\n{}\r\n0\r\n\r\n` },
  { name: 'F15 a chunk longer than its size', answer: `${OK}${CHUNKED}\r\n1\r\n{}\r\n0\r\n\r\n` },
  { name: 'F15 bare LF after the chunk size', answer: `${OK}${CHUNKED}\r\n2\n{}\r\n0\r\n\r\n` },
  { name: 'F18 shorter than its length', answer: `${OK}Content-Length: 20\r\n\r\n{}`, end: true },
  { name: 'F18 no last chunk', answer: `${OK}${CHUNKED}\r\n2\r\n{}\r\n`, end: true },
  { name: 'F18 half a last chunk', answer: `${OK}${CHUNKED}\r\n2\r\n{}\r\n0\r\n`, end: true },
  {
    name: 'F18 half an event',
    answer: `${OK}Content-Type: text/event-stream\r\n${CHUNKED}\r\n6\r\ndata: \r\n`,
    end: true,
  },
  {
    name: 'F18 an event stream, between events',
    answer: `${OK}Content-Type: text/event-stream\r\n${CHUNKED}\r\n9\r\ndata: x\n\n\r\n`,
    end: true,
  },
];

void t.test('heads that cannot be passed on are 502, and their connection is not used again', async (t) => {
  for (const { name, answer } of BAD_HEADS) {
    await t.test(name, async (t) => {
      const gateway = await startRawGateway(t, {
        onRequest: ({ socket }, nth) => void socket.write(nth === 1 ? Buffer.from(answer, 'latin1') : JSON_ANSWER),
      });
      const { port, nextLine } = await startStack(t, { gatewayUrl: gateway.url });
      const line = nextLine();
      const got = await rawExchange(port, get('/v1/models'));
      t.equal(got.status, 502);
      t.match(JSON.parse(got.body), { error: { code: 'gateway_bad_response', type: 'gateway_error' } });
      t.equal(got.closed, false);
      t.match(await line, { status: 502, code: 'gateway_bad_response', end: 'gateway_gone' });
      t.equal((await rawExchange(port, get('/v1/models'))).status, 200);
      await gateway.connections[0]?.until(({ ended }) => ended);
      t.equal(gateway.connections.length, 2);
      t.equal(readRequests(gateway.connections[0]?.text ?? '').length, 1, 'the request was not sent again');
    });
  }
});

void t.test("bodies that end wrongly destroy the caller's connection: never a clean end", async (t) => {
  for (const { name, answer, end } of BAD_BODIES) {
    await t.test(name, async (t) => {
      const gateway = await startRawGateway(t, {
        onRequest: ({ socket }) => void (end ? socket.end(answer) : socket.write(answer)),
      });
      const { port, nextLine } = await startStack(t, { gatewayUrl: gateway.url });
      const line = nextLine();
      const got = await rawExchange(port, get('/v1/models'));
      t.ok(got.closed);
      t.notMatch(got.text, /\r\n0\r\n/);
      t.notMatch(got.text, /event: error/);
      if (/Content-Length: 20/.test(answer)) t.equal(got.body, '{}');
      t.match(await line, { status: 200, end: 'gateway_gone' });
      t.equal(gateway.connections.length, 1);
    });
  }
});

void t.test('interim answers of the gateway are not passed on', async (t) => {
  const gateway = await startRawGateway(t, {
    onRequest: ({ socket }) =>
      void socket.write(`HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n${JSON_ANSWER}`),
  });
  const { port } = await startStack(t, { gatewayUrl: gateway.url });
  const { text, body } = await rawExchange(port, get('/v1/models'));
  t.match(text, /^HTTP\/1\.1 200 OK\r\n/);
  t.equal(body, '{}');
});

void t.test('F16 what a gateway sends beyond its answer never reaches the next caller', async (t) => {
  const poison = answerWith('{"poison":1}');
  const orders: readonly { name: string; order: (write: (bytes: string) => void) => Promise<void> }[] = [
    { name: 'in the same bytes', order: async (write) => write(JSON_ANSWER + poison) },
    {
      name: 'on the idle connection',
      order: async (write) => {
        write(JSON_ANSWER);
        await new Promise(setImmediate);
        write(poison);
      },
    },
    { name: 'half a head', order: async (write) => write(`${JSON_ANSWER}HTTP/1.1 200 OK\r\nX-Poison:`) },
    { name: 'an error for nobody', order: async (write) => write(`${JSON_ANSWER}HTTP/1.1 408 Timeout\r\n\r\n`) },
  ];
  for (const { name, order } of orders) {
    await t.test(name, async (t) => {
      const gateway = await startRawGateway(t, {
        onRequest: ({ socket }, nth) => {
          if (nth === 1) void order((bytes) => void socket.write(bytes));
          else socket.write(answerWith(`"${nth}"`));
        },
      });
      const { port } = await startStack(t, { gatewayUrl: gateway.url });
      const raw = await openRaw(t, port);
      raw.send(get('/v1/models', '', TOKENS.reader));
      await raw.until((text) => text.endsWith('{}'));
      const first = await gateway.connection(1);
      await first.until(({ ended }) => ended);
      const next = await rawExchange(port, get('/v1/models', '', TOKENS.admin));
      t.equal(next.body, '"2"');
      t.equal(gateway.connections.length, 2);
      t.equal(raw.text.split('HTTP/1.1').length, 2, 'the first caller got one answer');
    });
  }
});

void t.test('F16 an answer before the body is whole ends both connections, and poisons nobody', async (t) => {
  const gateway = await startRawGateway(t, {
    onHead: ({ socket }, nth) => {
      if (nth === 1) socket.write(answerWith('"early"') + answerWith('"poison"'));
    },
    onRequest: ({ socket }) => void socket.write(answerWith('"own"')),
  });
  const { port } = await startStack(t, { gatewayUrl: gateway.url });
  const raw = await openRaw(t, port);
  raw.send(post(CHUNKED, '2\r\n{}\r\n'));
  await raw.until((text) => text.endsWith('"early"\r\n') || text.endsWith('"early"'));
  const first = await gateway.connection(1);
  await first.until(({ ended }) => ended);
  t.equal((await rawExchange(port, post(CHUNKED, chunked('{}')))).body, '"own"');
  t.match(raw.text, /^HTTP\/1\.1 200 OK[^]*\r\nconnection: close\r\n/i);
  raw.send('2\r\n{}\r\n0\r\n\r\n');
  t.equal((await raw.closed()).split('HTTP/1.1').length, 2);
});

void t.test('F19 a caller that hangs up mid-stream ends the request at the gateway at once', async (t) => {
  const { port, gateway, nextLine } = await startStack(t, { gateway: { chunks: Infinity, chunkDelay: 1 } });
  const body = JSON.stringify({ stream: true, messages: [] });
  for (const how of ['end', 'reset'] as const) {
    const line = nextLine();
    const raw = await openRaw(t, port);
    raw.send(post(`Content-Length: ${body.length}\r\n`, body));
    await raw.until((text) => text.includes('data: '));
    if (how === 'end') raw.socket.end();
    else raw.socket.resetAndDestroy();
    t.equal(await gateway.requests.at(-1)?.ended, 'aborted', how);
    t.match(await line, { status: 200, end: 'caller_gone' });
  }
});
