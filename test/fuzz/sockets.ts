/** What holds over real sockets: a shim between a caller and a recorder at the level of bytes. */
import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import fc from 'fast-check';
import type { Test } from 'tap';
import { folded, isFamily } from './families.ts';
import { ours } from '../helpers/hops.ts';
import { rawExchange } from '../helpers/raw.ts';
import { readRequests } from '../helpers/requests.ts';
import { startStack, TOKENS } from '../helpers/stack.ts';

const EXPECTED = ours('token', 'writer', 'operator.read,operator.write').join('\n');

const name = fc.oneof(
  fc.constantFrom(
    'X-OpenClaw-Scopes',
    'x_openclaw_scopes',
    'X-Forwarded-For',
    'Connection',
    'Accept',
    'Content-Type',
    'Expect',
    'Trailer',
    'TE',
    'Upgrade',
    'x-openclaw-session-key',
  ),
  fc
    .stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,16}$/)
    .filter((one) => !/^(?:content-length|transfer-encoding|host|authorization)$/i.test(one)),
);
const value = fc.oneof(
  fc.constantFrom(
    'operator.admin',
    'close',
    'keep-alive, x-openclaw-scopes',
    '100-continue',
    'websocket',
    'authorization',
  ),
  fc.stringMatching(/^[\x20-\x7e\x80-\xff]{0,24}$/),
);
const request = fc.record({
  method: fc.constantFrom('GET', 'POST', 'DELETE', 'OPTIONS', 'HEAD', 'TRACE', 'PUT'),
  target: fc.oneof(
    fc.constantFrom(
      '/v1/models',
      '/v1/chat/completions',
      '/v1/responses',
      '/v1/models?a=b&c',
      '/v1/chat/completions?x=%20',
    ),
    fc.stringMatching(/^\/[\x21-\x7e]{0,24}$/),
  ),
  headers: fc.array(fc.tuple(name, value), { maxLength: 8 }),
  body: fc.string({ unit: 'binary-ascii', maxLength: 200 }),
  chunks: fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 6 }),
  chunked: fc.boolean(),
});

interface Seen {
  readonly method: string;
  readonly target: string;
  readonly rawHeaders: readonly string[];
  readonly body: string;
}

/** What the shim forwards is one request, the same for Node's parser and for a strict one, with our headers once. */
export async function oneRequestForTwoReaders(t: Test): Promise<fc.IAsyncProperty<unknown>> {
  const seen: string[] = [];
  const gateway = await listen(
    t,
    createServer((socket) => {
      let text = '';
      socket.on('error', () => socket.destroy());
      socket.on('data', (bytes: Buffer) => {
        text += bytes.toString('latin1');
        const [first] = readRequests(text);
        if (!first?.complete) return;
        seen.push(text);
        socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}');
      });
    }),
  );
  const node = await nodeReader(t);
  const stack = await startStack(t, { gatewayUrl: `http://127.0.0.1:${gateway}` });
  return fc.asyncProperty(request, async ({ method, target, headers, body, chunks, chunked }) => {
    seen.length = 0;
    const lines = headers.map(([key, text]) => `${key}: ${text}`);
    const framing = chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`;
    const head = [
      `${method} ${target} HTTP/1.1`,
      'Host: localhost',
      `Authorization: Bearer ${TOKENS.writer}`,
      framing,
      ...lines,
    ];
    const payload = chunked ? inChunks(body, chunks) : body;
    const { status } = await rawExchange(stack.port, Buffer.from(`${head.join('\r\n')}\r\n\r\n${payload}`, 'latin1'));
    if (seen.length === 0) return status >= 400 || status === 204;
    if (seen.length > 1) throw new Error(`${seen.length} requests`);
    const [bytes = ''] = seen;
    const [strict, ...more] = readRequests(bytes);
    if (!strict || more.length > 0 || strict.bytes !== bytes)
      throw new Error(`not one request: ${JSON.stringify(bytes)}`);
    const other = await node(bytes);
    const [verb, path] = strict.line.split(' ');
    const kept = strict.rawHeaders.filter((_, i) => isOurs(strict.rawHeaders[i - (i % 2)] as string));
    return (
      verb === other.method &&
      path === other.target &&
      path === target &&
      verb === method &&
      strict.rawHeaders.join('\n') === other.rawHeaders.join('\n') &&
      strict.body === other.body &&
      (strict.body === body || strict.body === '') &&
      kept.join('\n') === EXPECTED
    );
  });
}

function isOurs(header: string): boolean {
  const name = folded(header);
  return isFamily(name) || name === 'authorization' || name === 'traceparent';
}

const text = fc.oneof(
  fc.string({ maxLength: 30 }).map((one) => one.replaceAll(/[\r\n]/g, ' ')),
  fc.constantFrom('[DONE]', '{"a":1}', ''),
);
const events = fc.array(
  fc.tuple(fc.constantFrom('\n', '\r\n', '\r'), text).map(([end, one]) => `data: ${one}${end}${end}`),
  { maxLength: 12 },
);

/** A stream arrives byte for byte, however it was cut on its way. */
export async function streamsArriveAsTheyAre(t: Test): Promise<fc.IAsyncProperty<unknown>> {
  let answer: readonly Buffer[] = [];
  const gateway = await listen(
    t,
    createServer((socket) => {
      socket.setNoDelay(true);
      socket.on('error', () => socket.destroy());
      socket.once('data', () => void sendAll(socket, answer));
    }),
  );
  const stack = await startStack(t, { gatewayUrl: `http://127.0.0.1:${gateway}` });
  return fc.asyncProperty(
    events,
    fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 40 }),
    fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 10 }),
    async (all, cuts, sizes) => {
      const body = Buffer.from(all.join(''));
      const bytes = Buffer.from(
        `HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n${inChunks(body.toString('latin1'), sizes)}`,
        'latin1',
      );
      answer = cut(bytes, cuts);
      const { status, body: got } = await rawExchange(
        stack.port,
        `GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKENS.writer}\r\n\r\n`,
      );
      return status === 200 && got === body.toString('latin1');
    },
  );
}

async function sendAll(socket: Socket, parts: readonly Buffer[]): Promise<void> {
  // A write of its own for each, so that the shim reads them apart.
  for (const part of parts) await new Promise((resolve) => socket.write(part, resolve));
  socket.end();
}

function cut(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const parts: Buffer[] = [];
  let at = 0;
  for (const size of [...cuts, bytes.length]) {
    if (at >= bytes.length) break;
    parts.push(bytes.subarray(at, at + size));
    at += size;
  }
  return parts;
}

function inChunks(body: string, sizes: readonly number[]): string {
  let out = '';
  let at = 0;
  for (const size of [...sizes, body.length]) {
    const part = body.slice(at, at + size);
    if (part === '') break;
    out += `${part.length.toString(16)}\r\n${part}\r\n`;
    at += size;
  }
  return `${out}0\r\n\r\n`;
}

/** @returns what Node's own parser makes of the bytes of one request */
async function nodeReader(t: Test): Promise<(bytes: string) => Promise<Seen>> {
  let told: (seen: Seen) => void = () => undefined;
  const server = createHttpServer((req: IncomingMessage, res: ServerResponse) => {
    let body = '';
    req.setEncoding('latin1').on('data', (part: string) => (body += part));
    req.once('end', () => {
      told({ method: req.method ?? '', target: req.url ?? '', rawHeaders: req.rawHeaders, body });
      res.setHeader('connection', 'close').end();
    });
  });
  const port = await listen(t, server);
  return (bytes) =>
    new Promise((resolve, reject) => {
      told = resolve;
      const socket = connect(port, '127.0.0.1', () => socket.end(bytes, 'latin1'));
      socket
        .once('error', reject)
        .once('close', () => reject(new Error(`Node reads no request: ${JSON.stringify(bytes)}`)));
      socket.resume();
    });
}

async function listen(t: Test, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => void server.close());
  return (server.address() as AddressInfo).port;
}
