import t from 'tap';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { openRaw, rawExchange } from '../helpers/raw.ts';
import { get, post } from '../helpers/request-bytes.ts';
import { startStack } from '../helpers/stack.ts';

const MIB = 2 ** 20;
/** What two hops of kernel buffers and the streams between may hold. */
const IN_FLIGHT = 24 * MIB;
const LARGE = 40 * MIB;

void t.test('a gateway that does not read stops the caller', async (t) => {
  for (const chunks of [false, true]) {
    await t.test(chunks ? 'chunked' : 'with a length', async (t) => {
      const gateway = await startRawGateway(t);
      const { port, nextLine } = await startStack(t, { gatewayUrl: gateway.url, more: 'limits: { body: 200MiB }' });
      const connected = gateway.connection(1).then(({ socket }) => socket.pause());
      const line = nextLine();
      const raw = await openRaw(t, port);
      raw.send(post(chunks ? 'Transfer-Encoding: chunked\r\n' : `Content-Length: ${LARGE}\r\n`, ''));
      const piece = Buffer.alloc(MIB, 'x');
      for (let sent = 0; sent < LARGE && !raw.socket.writableNeedDrain; sent += MIB) {
        if (chunks) raw.send('100000\r\n');
        raw.socket.write(piece);
        if (chunks) raw.send('\r\n');
        await settled(() => raw.socket.writableLength);
      }
      t.ok(raw.socket.writableNeedDrain, 'the caller has to wait');
      (await connected).destroy();
      raw.socket.destroy();
      const { in: taken } = await line;
      t.ok((taken as number) > 0 && (taken as number) < IN_FLIGHT, `${String(taken)} bytes were taken`);
    });
  }
});

void t.test('a caller that does not read stops the gateway, and gets every byte when it does', async (t) => {
  const gateway = await startRawGateway(t, {
    onRequest: ({ socket }) => void socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${LARGE}\r\n\r\n`),
  });
  const { port, nextLine } = await startStack(t, { gatewayUrl: gateway.url });
  const line = nextLine();
  const raw = await openRaw(t, port);
  raw.send(get('/v1/models'));
  await raw.until((text) => text.endsWith('\r\n\r\n'));
  raw.socket.pause();
  raw.socket.removeAllListeners('data');
  const { socket } = await gateway.connection(1);
  const piece = Buffer.alloc(MIB, 'x');
  let sent = 0;
  while (sent < LARGE && !socket.writableNeedDrain) {
    socket.write(piece);
    sent += MIB;
    await settled(() => socket.writableLength);
  }
  t.ok(socket.writableNeedDrain, 'the gateway has to wait');
  t.ok(sent < IN_FLIGHT, `${sent} bytes were taken`);

  socket.end(Buffer.alloc(LARGE - sent, 'x'));
  let got = 0;
  raw.socket.on('data', (chunk: Buffer) => {
    got += chunk.length;
    if (got >= LARGE) raw.socket.emit('all');
  });
  const all = new Promise((resolve) => raw.socket.once('all', resolve));
  raw.socket.resume();
  await all;
  t.match(await line, { out: LARGE, end: 'done' });
});

void t.test('many small chunks in one read do not stop for ever', async (t) => {
  // Each below the high-water mark of a socket, all together above it.
  const chunk = `2000\r\n${'x'.repeat(0x2000)}\r\n`;
  const body = chunk.repeat(400);
  const gateway = await startRawGateway(t, {
    onRequest: ({ socket }) =>
      void socket.write(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${body}0\r\n\r\n`),
  });
  const { port } = await startStack(t, { gatewayUrl: gateway.url });
  const answer = await rawExchange(port, get('/v1/models'));
  t.equal(answer.body.length, 400 * 0x2000);
});

/** Settles when a count of bytes is 0, or has not changed for many turns of the event loop, which both hops share. */
async function settled(count: () => number): Promise<void> {
  let last = -1;
  for (let still = 0; still < 50; still++) {
    const now = count();
    if (now === 0) return;
    if (now !== last) still = 0;
    last = now;
    await new Promise(setImmediate);
  }
}
