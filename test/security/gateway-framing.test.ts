/** A gateway that answers what nobody asked, too early, or somebody who has left. */
import t from 'tap';
import { answerWith, JSON_ANSWER, startRawGateway } from '../helpers/raw-gateway.ts';
import { openRaw, rawExchange } from '../helpers/raw.ts';
import { chunked, get, post } from '../helpers/request-bytes.ts';
import { startStack, TOKENS } from '../helpers/stack.ts';

const CHUNKED = 'Transfer-Encoding: chunked\r\n';

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
