import { connect } from 'node:net';
import t from 'tap';
import { openRaw, rawExchange } from '../helpers/raw.ts';
import { get, post } from '../helpers/request-bytes.ts';
import { startStack, TOKENS } from '../helpers/stack.ts';

const MIB = 2 ** 20;
/** How long the rest of a refused request is read away. */
const LINGER_MS = 5_000;

void t.test('a caller that reads only when it has sent all gets its answer', async (t) => {
  const { port, gateway } = await startStack(t);
  const raw = await openRaw(t, port);
  raw.socket.pause();
  raw.send(post(`Content-Length: ${16 * MIB}\r\n`, '', TOKENS.reader));
  await new Promise<void>((resolve, reject) =>
    raw.socket.write(Buffer.alloc(16 * MIB), (error) => (error ? reject(error) : resolve())),
  );
  raw.socket.resume();
  t.match(await raw.closed(), /^HTTP\/1\.1 403 [^]*"code":"insufficient_scope"/);
  t.equal(gateway.requests.length, 0);
});

void t.test('but not without end: by bytes, and by time', async (t) => {
  const { port } = await startStack(t, { more: 'limits: { body: 1MiB }' });
  const chunked = post('Transfer-Encoding: chunked\r\n', '', TOKENS.reader);
  const begun = performance.now();
  const stalled = await openRaw(t, port);
  stalled.send(chunked);
  let stalledIsOver = false;
  const byTime = stalled.closed().finally(() => (stalledIsOver = true));

  const endless = await openRaw(t, port);
  endless.send(chunked);
  const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`;
  const send = (): void => {
    while (endless.socket.writable && endless.socket.write(chunk));
  };
  endless.socket.on('drain', send);
  send();
  t.match(await endless.closed(), /^HTTP\/1\.1 403 /);
  t.notOk(stalledIsOver, 'by bytes: the other one came first');

  t.match(await byTime, /^HTTP\/1\.1 403 /);
  t.ok(performance.now() - begun >= LINGER_MS - 1_000, 'by time');
});

void t.test('what follows bytes that are no HTTP does not reset the connection', async (t) => {
  const { port, lines } = await startStack(t);
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  t.teardown(() => socket.destroy());
  let text = '';
  let over = '';
  socket.on('data', (bytes: Buffer) => (text += bytes.toString()));
  socket.on('error', () => (over = 'reset')).on('close', () => (over = 'closed'));
  const answered = new Promise((resolve) => socket.once('end', resolve));
  socket.write('\0\0\r\n\r\n');
  await answered;
  for (let i = 0; i < 20; i++) {
    socket.write('\0 more\r\n\r\n');
    t.equal((await rawExchange(port, get('/v1/models'))).status, 200);
  }
  t.match(text, /^HTTP\/1\.1 400 [^]*"code":"bad_request"/);
  t.equal(over, '');
  t.equal(lines.filter(({ status }) => status === 400).length, 1);
});

void t.test('a caller that resets under a refusal of its bare connection harms nobody', async (t) => {
  const { port, nextLine } = await startStack(t);
  for (const bytes of ['CONNECT a:1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n', '\0\0\r\n\r\n']) {
    const line = nextLine();
    const raw = await openRaw(t, port);
    raw.send(bytes);
    await line;
    raw.socket.resetAndDestroy();
    t.equal((await rawExchange(port, get('/v1/models'))).status, 200);
  }
});
