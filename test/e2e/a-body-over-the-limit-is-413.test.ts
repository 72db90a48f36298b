import t from 'tap';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { readRequests } from '../helpers/requests.ts';
import { openRaw, rawExchange } from '../helpers/raw.ts';
import { authorized, chunked, post } from '../helpers/request-bytes.ts';
import { startStack, TOKENS } from '../helpers/stack.ts';

const CHUNKED = 'Transfer-Encoding: chunked\r\n';

void t.test('by its length: refused before a byte of it, and the gateway sees nothing', async (t) => {
  const gateway = await startRawGateway(t);
  const { port } = await startStack(t, { gatewayUrl: gateway.url, more: 'limits: { body: 100KiB }' });
  const raw = await openRaw(t, port);
  raw.send(post('Content-Length: 102401\r\n', ''));
  await raw.until((text) => /^HTTP\/1\.1 413 [^]*"code":"body_too_large"/.test(text));
  t.match(raw.text, /\r\nconnection: close\r\n/);
  raw.send('x'.repeat(102_401));
  await raw.closed();
  t.equal(gateway.text, '');
  t.equal((await rawExchange(port, post('Content-Length: 102400\r\n', 'x'.repeat(102_400)))).status, 200);
});

void t.test('mid-stream: the gateway request is aborted, and the caller reads the answer', async (t) => {
  const gateway = await startRawGateway(t);
  const { port, nextLine } = await startStack(t, { gatewayUrl: gateway.url, more: 'limits: { body: 100KiB }' });
  t.equal((await rawExchange(port, post(CHUNKED, chunked('x'.repeat(102_400))))).status, 200);
  const line = nextLine();
  const before = gateway.connections.length;
  const raw = await openRaw(t, port);
  raw.send(post(CHUNKED, '5\r\nbegin\r\n'));
  const seen = (): string => gateway.text.slice(gateway.text.lastIndexOf('POST'));
  while (!seen().endsWith('begin')) await new Promise(setImmediate);
  raw.send(`19000\r\n${'x'.repeat(102_400)}\r\n0\r\n\r\n`);
  const text = await raw.closed();
  t.match(text, /^HTTP\/1\.1 413 [^]*"code":"body_too_large"/);
  t.match(await line, { status: 413, code: 'body_too_large', end: 'body_too_large' });
  for (const connection of gateway.connections.slice(0, before + 1)) await connection.until(({ ended }) => ended);
  t.notOk(readRequests(gateway.connections[0]?.text ?? '').at(-1)?.complete, 'never a whole request');
  t.equal((await rawExchange(port, post(CHUNKED, chunked('ok')))).status, 200);
});

void t.test('the smaller of the limits of route and listener counts', async (t) => {
  const gateway = await startRawGateway(t);
  const more = 'routes: [{ method: POST, path: /small, scope: operator.read, body: 10B }]\nlimits: { body: 20B }';
  const { port } = await startStack(t, { gatewayUrl: gateway.url, more });
  const send = async (path: string, length: number): Promise<number> => {
    const head = `POST ${path} HTTP/1.1\r\n${authorized(TOKENS.admin)}Content-Length: ${length}\r\n\r\n`;
    return (await rawExchange(port, head + 'x'.repeat(length))).status;
  };
  t.equal(await send('/small', 10), 200);
  t.equal(await send('/small', 11), 413);
  t.equal(await send('/v1/embeddings', 20), 200);
  t.equal(await send('/v1/embeddings', 21), 413);
});
