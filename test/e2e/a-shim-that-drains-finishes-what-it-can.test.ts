import t from 'tap';
import { JSON_ANSWER, startRawGateway } from '../helpers/raw-gateway.ts';
import { openRaw, refusesConnections } from '../helpers/raw.ts';
import { get, post } from '../helpers/request-bytes.ts';
import { startStack } from '../helpers/stack.ts';

const STREAM = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n';

void t.test('a request under way is finished, nothing new is taken, and the drain is over with it', async (t) => {
  const gateway = await startRawGateway(t, {
    onRequest: ({ socket, text }) => void (text.includes('/healthz') && socket.write(JSON_ANSWER)),
  });
  const { port, adminUrl, drain } = await startStack(t, { gatewayUrl: gateway.url });
  const idle = await openRaw(t, port);
  const raw = await openRaw(t, port);
  raw.send(get('/v1/models'));
  const connection = await gateway.connection(1);
  await connection.until(({ text }) => text.endsWith('\r\n\r\n'));
  t.equal((await fetch(`${adminUrl}/readyz`)).status, 200);
  const drained = drain();
  t.equal(await refusesConnections(port), true);
  t.equal((await fetch(`${adminUrl}/readyz`)).status, 503);
  t.equal((await fetch(`${adminUrl}/livez`)).status, 200);
  connection.socket.write(JSON_ANSWER);
  t.match(await raw.closed(), /^HTTP\/1\.1 200 OK[^]*\{\}$/);
  idle.socket.destroy();
  await drained;
  await t.rejects(fetch(`${adminUrl}/livez`));
});

void t.test('at the limit streams are told between events, requests refused, bodies broken off', async (t) => {
  const answers = [
    `${STREAM}9\r\ndata: 1\n\n\r\n`,
    `${STREAM}7\r\ndata: 1\r\n`,
    'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf',
    '',
  ];
  const gateway = await startRawGateway(t, {
    onRequest: ({ socket }, nth) => void socket.write(answers[nth - 1] ?? ''),
  });
  const { port, drain, lines } = await startStack(t, { gatewayUrl: gateway.url, more: 'drain: { timeout: 50ms }' });
  const raws = [];
  for (const [i, answer] of answers.entries()) {
    const raw = await openRaw(t, port);
    raw.send(get('/v1/models'));
    const connection = await gateway.connection(i + 1);
    await connection.until(({ text }) => text.endsWith('\r\n\r\n'));
    if (answer !== '') await raw.until((text) => text.endsWith(answer.slice(-4)));
    raws.push(raw);
  }
  const uploading = await openRaw(t, port);
  uploading.send(post('Expect: 100-continue\r\nContent-Length: 10\r\n', ''));
  await uploading.until((text) => text.includes('100 Continue'));

  await drain();
  const [told, inside, body, waiting] = await Promise.all(raws.map((raw) => raw.closed()));
  const event = /\r\nevent: error\ndata: (\{.*\})\n\n\r\n$/.exec(told ?? '');
  t.match(JSON.parse(event?.[1] ?? '{}'), { error: { code: 'shutting_down', type: 'server_error' } });
  t.ok(inside?.endsWith('data: 1\r\n'), 'not told inside an event, and no last chunk');
  t.ok(body?.endsWith('half'));
  t.match(waiting, /^HTTP\/1\.1 503 [^]*retry-after: \d+[^]*"code":"shutting_down"/);
  t.notMatch(waiting, 'x-should-retry', 'nothing is done twice by a GET');
  t.match(await uploading.closed(), /100 Continue\r\n\r\nHTTP\/1\.1 503 [^]*"code":"shutting_down"/);
  for (const connection of gateway.connections) await connection.until(({ ended }) => ended);
  while (lines.length < 5) await new Promise(setImmediate);
  const ends = lines.map(({ status, end }) => `${String(status)} ${String(end)}`);
  t.strictSame(ends.sort(), ['200 shutdown', '200 shutdown', '200 shutdown', '503 shutdown', '503 shutdown']);
});

void t.test('a run that is cut off at the limit says that it is not to be sent again', async (t) => {
  const gateway = await startRawGateway(t, { onRequest: () => undefined });
  const { port, drain } = await startStack(t, { gatewayUrl: gateway.url, more: 'drain: { timeout: 50ms }' });
  const raw = await openRaw(t, port);
  raw.send(post('Content-Length: 2\r\n', '{}'));
  await (await gateway.connection(1)).until(({ text }) => text.endsWith('{}'));
  await drain();
  t.match(await raw.closed(), /^HTTP\/1\.1 503 [^]*x-should-retry: false\r\n[^]*"code":"shutting_down"/);
});

void t.test(
  'a stream whose caller does not read is told all the same, and ended before the connections are',
  async (t) => {
    const gateway = await startRawGateway(t, { onRequest: ({ socket }) => void socket.write(STREAM) });
    const { port, drain, nextLine } = await startStack(t, {
      gatewayUrl: gateway.url,
      more: 'drain: { timeout: 50ms }',
    });
    const line = nextLine();
    const raw = await openRaw(t, port);
    raw.socket.pause();
    raw.send(get('/v1/models'));
    const { socket, until } = await gateway.connection(1);
    await until(({ text }) => text.endsWith('\r\n\r\n'));
    const event = `3e89\r\ndata: ${'x'.repeat(16_001)}\n\n\r\n`;
    // One by one, so that the shim stops reading after a whole event.
    while (!socket.writableNeedDrain) {
      socket.write(event);
      await new Promise(setImmediate);
    }
    const drained = drain();
    // A timer of this process, which has as much to do before it.
    const late = new Promise((resolve) => setTimeout(resolve, 1_950, 'late').unref());
    t.match(await line, { status: 200, end: 'shutdown' });
    t.equal(await Promise.race([drained, late]), undefined, 'all connections are closed at 2,050');
  },
);

void t.test(
  'after the limit nothing reaches the gateway any more: neither a waiting request nor a body that comes late',
  async (t) => {
    const gateway = await startRawGateway(t, { onRequest: () => undefined });
    const { port, drain } = await startStack(t, { gatewayUrl: gateway.url, more: 'drain: { timeout: 50ms }' });
    const pipelined = await openRaw(t, port);
    pipelined.send(get('/v1/models') + get('/v1/models/openclaw'));
    await (await gateway.connection(1)).until(({ text }) => text.endsWith('\r\n\r\n'));
    const late = await openRaw(t, port);
    late.send(post('Content-Length: 4\r\n', '{"a'));
    await drain();
    const answers = await pipelined.closed();
    t.equal(answers.split('"code":"shutting_down"').length - 1 >= 1, true);
    t.match(await late.closed(), /^HTTP\/1\.1 503 [^]*"code":"shutting_down"/);
    t.equal(gateway.text.split(' HTTP/1.1\r\n').length - 1, 1, 'the one that was there before');
  },
);
