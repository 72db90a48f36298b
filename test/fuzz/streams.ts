/** Event streams: where the shim says something of its own in them, and that it says it nowhere else. */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import fc from 'fast-check';
import type { Test } from 'tap';
import { errorEvent, EventBoundary, KEEP_ALIVE } from '../../src/proxy/sse.ts';
import { openRaw } from '../helpers/raw.ts';
import { get } from '../helpers/request-bytes.ts';
import { readResponses } from '../helpers/responses.ts';
import { caller, callers, startStack, TOKENS } from '../helpers/stack.ts';

const line = fc.oneof(
  fc.constantFrom('data: [DONE]', 'data:', ':', 'event: x', 'id', ''),
  fc.string({ maxLength: 12 }).map((one) => one.replaceAll(/[\r\n]/g, ' ')),
);
const stream = fc
  .array(fc.tuple(line, fc.constantFrom('\n', '\r\n', '\r', '\n\n', '\r\n\r\n', '\r\r')), { maxLength: 12 })
  .map((all) => all.flat().join(''));
const cuts = fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 12 });

/** What a client reads: the fields of each event that is whole, without comments (HTML, "server-sent events", 9.2.6). */
function eventsOf(text: string): string[] {
  const events: string[] = [];
  let fields: string[] = [];
  for (const one of text.split(/\r\n|\n|\r/).slice(0, -1)) {
    if (one !== '') {
      if (!one.startsWith(':')) fields.push(one);
      continue;
    }
    if (fields.length > 0) events.push(fields.join('\n'));
    fields = [];
  }
  return events;
}

const ERROR = errorEvent('{"error":{}}');
const ERROR_FIELDS = 'event: error\ndata: {"error":{}}';
const same = (one: readonly string[], other: readonly string[]): boolean =>
  JSON.stringify(one) === JSON.stringify(other);

/** Whatever stands where the stream is said to be between two events changes none of its events. */
export const betweenTwoEventsAlone = fc.property(stream, fc.nat(200), cuts, (text, at, sizes) => {
  const [head, rest] = [text.slice(0, at), text.slice(at)];
  const boundary = new EventBoundary();
  for (const chunk of cut(Buffer.from(head), sizes)) boundary.push(chunk);
  if (!boundary.between) return head !== '' && !/(?:\n\n|\r\r|\r\n\r\n)$/.test(head);
  return (
    same(eventsOf(head + KEEP_ALIVE + rest), eventsOf(text)) &&
    same(eventsOf(head + ERROR), [...eventsOf(head), ERROR_FIELDS])
  );
});

/** Over sockets: what comes is the stream, with comments between its events, and with one last event where it is ended. */
export async function endsAreToldBetweenTwoEvents(t: Test): Promise<fc.IAsyncProperty<unknown>> {
  let serve: (socket: Socket) => void = () => undefined;
  const server = createServer((socket) => {
    socket.setNoDelay(true).on('error', () => socket.destroy());
    socket.once('data', () => serve(socket));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => void server.close());
  const stack = await startStack(t, {
    gatewayUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    more: 'stream: { heartbeat: 3ms }',
  });
  const others = `callers:\n${caller('reader', TOKENS.reader, ['operator.read'])}`;
  return fc.asyncProperty(stream, cuts, fc.boolean(), async (text, sizes, revoked) => {
    const bytes = Buffer.from(text);
    const head = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n';
    const sent = new Promise<Socket>((resolve) => {
      serve = async (socket) => {
        socket.write(head);
        for (const part of cut(bytes, sizes)) {
          const [length, end] = [`${part.length.toString(16)}\r\n`, '\r\n'];
          await new Promise((done) => socket.write(Buffer.concat([Buffer.from(length), part, Buffer.from(end)]), done));
          await new Promise((done) => setTimeout(done, 4));
        }
        resolve(socket);
      };
    });
    const raw = await openRaw(t, stack.port);
    raw.send(get('/v1/models'));
    const gateway = await sent;
    const bodyOf = (all: string): string => readResponses(all, ['GET'], true)[0]?.body ?? '';
    const plain = (all: string): string => bodyOf(all).replaceAll(KEEP_ALIVE, '');
    const wire = bytes.toString('latin1');
    await raw.until((all) => all.includes('\r\n\r\n') && plain(all) === wire);
    if (revoked) await stack.reload(others);
    else gateway.write('0\r\n\r\n');
    const all = revoked ? await raw.closed() : await raw.until((so) => so.endsWith('\r\n0\r\n\r\n'));
    if (revoked) await stack.reload(callers());
    raw.socket.destroy();
    gateway.destroy();
    const got = bodyOf(all);
    const own = plain(all).slice(wire.length);
    if (!plain(all).startsWith(wire)) throw new Error(`not the stream: ${JSON.stringify(got)}`);
    const events = eventsOf(got);
    if (own === '') return same(events, eventsOf(wire)) && !(revoked && /(?:^|\n\n|\r\r|\r\n\r\n)$/.test(wire));
    const last = events.pop() ?? '';
    return (
      revoked &&
      same(events, eventsOf(wire)) &&
      /^event: error\ndata: \{"error":\{.*\}\}$/.test(last) &&
      !all.endsWith('\r\n0\r\n\r\n')
    );
  });
}

function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const parts: Buffer[] = [];
  let at = 0;
  for (const size of [...sizes, bytes.length]) {
    if (at >= bytes.length) break;
    parts.push(bytes.subarray(at, at + size));
    at += size;
  }
  return parts;
}
