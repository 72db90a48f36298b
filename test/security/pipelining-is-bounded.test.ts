/** What one connection can make the shim keep, or keep it from noticing. */
import t from 'tap';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { openRaw, sendRaw } from '../helpers/raw.ts';
import { authorized, get, post } from '../helpers/request-bytes.ts';
import { bearer, caller, startStack, TOKENS } from '../helpers/stack.ts';

const CHAT = '{"model":"openclaw","stream":true,"messages":[{"role":"user","content":"hi"}]}';
const chat = post(`Content-Length: ${CHAT.length}\r\n`, CHAT);

void t.test('8 pipelined requests wait for their turn; one more ends the connection', async (t) => {
  const { port } = await startStack(t);
  const { responses } = await sendRaw(port, get('/v1/models').repeat(9), { responses: 9 });
  t.strictSame(
    responses.map(({ status }) => status),
    Array.from({ length: 9 }, () => 200),
  );
  const silent = await startRawGateway(t, {});
  const raw = await openRaw(t, (await startStack(t, { gatewayUrl: silent.url })).port);
  raw.send(get('/v1/models').repeat(10));
  t.equal(await raw.closed(), '');
});

void t.test(
  'a pipelined body that would not fit in memory ends the connection, and the request before it',
  async (t) => {
    for (const framing of ['Content-Length: 16385\r\n', 'Transfer-Encoding: chunked\r\n']) {
      const stack = await startStack(t, { gateway: { chunks: 1000, chunkDelay: 1000 } });
      const line = stack.nextLine();
      const raw = await openRaw(t, stack.port);
      raw.send(chat);
      await raw.until((text) => text.includes('data: '));
      raw.send(post(framing, ''));
      await raw.closed();
      t.match(await line, { route: '/v1/chat/completions', end: 'caller_gone' });
      t.equal(await stack.gateway.requests[0]?.ended, 'aborted');
      t.equal(stack.gateway.requests.length, 1);
    }
  },
);

void t.test('a caller that hangs up after half of a next request ends its gateway request', async (t) => {
  const stack = await startStack(t, { gateway: { chunks: 1000, chunkDelay: 1000 } });
  const arrived = stack.nextLine();
  const raw = await openRaw(t, stack.port);
  raw.send(chat);
  await raw.until((text) => text.includes('data: '));
  raw.send('GET /v1');
  raw.socket.end();
  t.match(await arrived, { end: 'caller_gone' });
  t.equal(await stack.gateway.requests[0]?.ended, 'aborted');
});

void t.test('a body in a hundred thousand chunks of one byte is read whole', async (t) => {
  const stack = await startStack(t, {
    callers: `callers:\n${caller('tooler', TOKENS.writer, ['operator.write'], 'tools: [a]')}`,
  });
  const head = authorized(TOKENS.writer);
  for (const [tool, status] of [
    ['a', 200],
    ['b', 403],
  ] as const) {
    const chunks = `${'1\r\n \r\n'.repeat(100_000)}c\r\n{"tool":"${tool}"}\r\n0\r\n\r\n`;
    const { responses } = await sendRaw(
      stack.port,
      `POST /tools/invoke HTTP/1.1\r\n${head}Transfer-Encoding: chunked\r\n\r\n${chunks}`,
      { responses: 1 },
    );
    if (status === 403) t.match(responses[0]?.body, /tool_not_allowed/);
    else t.equal(stack.gateway.requests[0]?.body.toString(), `${' '.repeat(100_000)}{"tool":"a"}`);
  }
});

void t.test('tools without a body are refused, and the gateway sees nothing', async (t) => {
  const stack = await startStack(t, {
    callers: `callers:\n${caller('tooler', TOKENS.writer, ['operator.read'], 'tools: [a]')}`,
  });
  for (const framing of ['', 'Content-Length: 0\r\n']) {
    const { responses } = await sendRaw(
      stack.port,
      `POST /tools/invoke?tool=exec HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${bearer(TOKENS.writer).authorization}\r\n${framing}\r\n`,
    );
    t.equal(responses[0]?.status, 400);
  }
  t.equal(stack.gateway.requests.length, 0);
});
