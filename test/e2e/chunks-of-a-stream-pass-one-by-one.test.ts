import t from 'tap';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { openRaw } from '../helpers/raw.ts';
import { get } from '../helpers/request-bytes.ts';
import { startStack } from '../helpers/stack.ts';

const HEAD = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n';

function chunk(text: string): string {
  return `${text.length.toString(16)}\r\n${text}\r\n`;
}

void t.test('each chunk is at the caller before the next is sent', async (t) => {
  const gateway = await startRawGateway(t, { onRequest: () => undefined });
  const { port } = await startStack(t, { gatewayUrl: gateway.url });
  const raw = await openRaw(t, port);
  raw.send(get('/v1/models'));
  const { socket, until } = await gateway.connection(1);
  await until(({ text }) => text.endsWith('\r\n\r\n'));

  socket.write(HEAD);
  const head = await raw.until((text) => text.endsWith('\r\n\r\n'));
  t.match(head, /^HTTP\/1\.1 200 OK\r\nContent-Type: text\/event-stream\r\n/);
  let expected = head;
  for (const text of ['data: 1\n\n', 'data', ': 2', '\n', '\n', 'data: \xc3', '\xa4\n\n', 'data: [DONE]\n\n']) {
    socket.write(Buffer.from(chunk(text), 'latin1'));
    expected += chunk(text);
    await raw.until((now) => now.length >= expected.length);
    t.equal(raw.text, expected);
  }
  socket.write('0\r\n\r\n');
  expected += '0\r\n\r\n';
  t.equal(await raw.until((now) => now.length >= expected.length), expected);
});

void t.test('what comes in one read goes out in one chunk, and the end after it', async (t) => {
  const data = Array.from({ length: 50 }, (_, i) => `data: ${i}\n\n`);
  const events = data.map(chunk).join('');
  for (const rest of ['0\r\n\r\n', '']) {
    const gateway = await startRawGateway(t, { onRequest: ({ socket }) => void socket.write(HEAD + events + rest) });
    const { port } = await startStack(t, { gatewayUrl: gateway.url });
    const raw = await openRaw(t, port);
    const pieces: string[] = [];
    raw.socket.on('data', (piece: Buffer) => pieces.push(piece.toString('latin1')));
    raw.send(get('/v1/models'));
    await raw.until((text) => text.endsWith(rest || 'data: 49\n\n\r\n'));
    t.equal(pieces.length, 1);
    t.ok(raw.text.endsWith(`\r\n\r\n${chunk(data.join(''))}${rest}`));
  }
});

void t.test('a length and an empty stream keep their shape', async (t) => {
  const gateway = await startRawGateway(t, {
    onRequest: ({ socket }, nth) => {
      if (nth === 1) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345');
      if (nth === 2) socket.write(`${HEAD}0\r\n\r\n`);
    },
  });
  const { port } = await startStack(t, { gatewayUrl: gateway.url });
  const raw = await openRaw(t, port);
  raw.send(get('/v1/models') + get('/v1/models'));
  const text = await raw.until((now) => now.split('0\r\n\r\n').length === 2);
  t.match(text, /\r\nContent-Length: 5\r\n[^]*\r\n\r\n12345HTTP/);
  t.match(text, /\r\n\r\n0\r\n\r\n$/);
});
