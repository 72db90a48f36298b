import t, { type Test } from 'tap';
import { startRawGateway, type GatewayConnection, type RawGateway } from '../helpers/raw-gateway.ts';
import { openRaw, type RawConnection } from '../helpers/raw.ts';
import { get } from '../helpers/request-bytes.ts';
import { startStack } from '../helpers/stack.ts';

const BEAT = 'e\r\n: keep-alive\n\n\r\n';
const STREAM = 'Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n';

function head(fields: string, status = '200 OK'): string {
  return `HTTP/1.1 ${status}\r\n${fields}\r\n`;
}

function chunk(text: string): string {
  return text === '' ? '' : `${text.length.toString(16)}\r\n${text}\r\n`;
}

function beats(text: string): number {
  return text.split(BEAT).length - 1;
}

interface Watched {
  readonly gateway: RawGateway;
  /** Opens a request that the gateway answers with these pieces, each sent when the one before it has passed. */
  readonly open: (target: string, pieces: readonly string[]) => Promise<RawConnection>;
  /** Settles after several heartbeat times, as a stream that has heartbeats tells them. */
  readonly severalBeats: () => Promise<void>;
}

async function watch(t: Test, heartbeat: string): Promise<Watched> {
  const gateway = await startRawGateway(t, { onRequest: () => undefined });
  const more = `stream: { heartbeat: ${heartbeat} }\nroutes: [{ method: HEAD, path: /head, scope: operator.read }]`;
  const { port } = await startStack(t, { gatewayUrl: gateway.url, more });
  const clockGateway = await startRawGateway(t, { onRequest: ({ socket }) => void socket.write(head(STREAM)) });
  const { port: clockPort } = await startStack(t, {
    gatewayUrl: clockGateway.url,
    more: 'stream: { heartbeat: 15ms }',
  });
  const clock = await openRaw(t, clockPort);
  clock.send(get('/v1/models'));
  let opened = 0;
  return {
    gateway,
    async open(target, pieces) {
      const raw = await openRaw(t, port);
      raw.send(target.startsWith('HEAD') ? get('/head').replace('GET', 'HEAD') : get(target));
      const connection = await gateway.connection(++opened);
      await connection.until(({ text }) => text.endsWith('\r\n\r\n'));
      for (const piece of pieces) {
        connection.socket.write(piece);
        const ending = piece.startsWith('HTTP') ? '\r\n\r\n' : piece;
        await raw.until((text) => text.replaceAll(BEAT, '').endsWith(ending));
      }
      return raw;
    },
    async severalBeats() {
      const now = beats(clock.text);
      await clock.until((text) => beats(text) >= now + 4);
    },
  };
}

interface Case {
  readonly name: string;
  readonly pieces: readonly string[];
}

/** Between two events, or before the first. */
const BETWEEN: readonly Case[] = [
  { name: 'at offset 0', pieces: [] },
  { name: 'after LF LF', pieces: ['data: 1\n\n'] },
  { name: 'after CRLF CRLF', pieces: ['data: 1\r\n\r\n'] },
  { name: 'after CR CR', pieces: ['data: 1\r\r'] },
  { name: 'after LF CRLF', pieces: ['data: 1\n\r\n'] },
  { name: 'after a comment', pieces: [': hello\n\n'] },
  { name: 'LF LF in two chunks', pieces: ['data: 1\n', '\n'] },
  { name: 'CRLF CRLF in four chunks', pieces: ['data: 1\r', '\n', '\r', '\n'] },
  { name: 'CRLF CRLF with a cut inside the first', pieces: ['data: 1\r', '\n\r\n'] },
  { name: 'CR CR in two chunks', pieces: ['data: 1\r', '\r'] },
  { name: 'a blank line alone', pieces: ['\n'] },
];

/** Inside an event, a line, or a line end. */
const INSIDE: readonly Case[] = [
  { name: 'half a line', pieces: ['data: 1'] },
  { name: 'after one LF', pieces: ['data: 1\n'] },
  { name: 'after one CRLF', pieces: ['data: 1\r\n'] },
  { name: 'after one CR', pieces: ['data: 1\r'] },
  { name: 'after CRLF CR, whose LF may still come', pieces: ['data: 1\r\n\r'] },
  { name: 'an event, then half of one', pieces: ['data: 1\n\n', 'd'] },
  { name: 'one LF in a chunk of its own', pieces: ['data: 1', '\n'] },
  { name: 'a blank line inside one chunk, and more after it', pieces: ['data: 1\n\ndata: 2\n'] },
];

void t.test('between events, in every line end and however chunks split it', async (t) => {
  const { open } = await watch(t, '15ms');
  for (const { name, pieces } of BETWEEN) {
    const raw = await open('/v1/models', [head(STREAM), ...pieces.map(chunk)]);
    await raw.until((text) => text.endsWith(BEAT + BEAT));
    const body = raw.text.slice(raw.text.indexOf('\r\n\r\n') + 4).replaceAll(BEAT, '');
    t.equal(body, pieces.map(chunk).join(''), name);
  }
});

void t.test('never inside an event; again when it is over', async (t) => {
  const { open, severalBeats } = await watch(t, '15ms');
  const streams = await Promise.all(
    INSIDE.map(async ({ name, pieces }) => ({
      name,
      last: chunk(pieces.at(-1) ?? ''),
      raw: await open('/v1/models', [head(STREAM), ...pieces.map(chunk)]),
    })),
  );
  await severalBeats();
  for (const { name, last, raw } of streams) t.ok(raw.text.endsWith(last), name);
});

void t.test('only on a 200 event stream without length and coding, and not for HEAD', async (t) => {
  const { open, severalBeats } = await watch(t, '15ms');
  const type = 'Content-Type: text/event-stream\r\n';
  const chunks = 'Transfer-Encoding: chunked\r\n';
  const heads: readonly [string, string][] = [
    ['another type', head(`Content-Type: application/json\r\n${chunks}`)],
    ['a type that only begins so', head(`Content-Type: text/event-streams\r\n${chunks}`)],
    ['no type', head(chunks)],
    ['201', head(type + chunks, '201 Created')],
    ['404', head(type + chunks, '404 Not Found')],
    ['a coding', head(`${type}Content-Encoding: gzip\r\n${chunks}`)],
    ['a length', head(`${type}Content-Length: 100\r\n`)],
    ['HEAD', head(type + chunks)],
  ];
  const streams = await Promise.all(
    heads.map(async ([name, bytes]) => ({ name, raw: await open(name === 'HEAD' ? 'HEAD' : '/v1/models', [bytes]) })),
  );
  const types = ['text/event-stream; charset=utf-8', 'Text/Event-Stream', 'text/event-stream ;charset=utf-8'];
  for (const type of types) {
    const raw = await open('/v1/models', [head(`Content-Type: ${type}\r\n${chunks}`)]);
    await raw.until((text) => text.endsWith(BEAT));
  }
  await severalBeats();
  for (const { name, raw } of streams) t.ok(raw.text.endsWith('\r\n\r\n'), name);
});

void t.test("never before the gateway's head: no early 200", async (t) => {
  const { open, severalBeats } = await watch(t, '15ms');
  const raw = await open('/v1/models', []);
  await severalBeats();
  t.equal(raw.text, '');
});

void t.test('0 is off', async (t) => {
  const { open, severalBeats } = await watch(t, '0');
  const raw = await open('/v1/models', [head(STREAM), chunk('data: 1\n\n')]);
  await severalBeats();
  t.ok(raw.text.endsWith(chunk('data: 1\n\n')));
});

void t.test('not while events keep coming', async (t) => {
  const { gateway, open, severalBeats } = await watch(t, '1s');
  const raw = await open('/v1/models', [head(STREAM)]);
  const { socket } = gateway.connections[0] as GatewayConnection;
  let over = false;
  const silence = async (): Promise<void> => {
    for (let i = 0; i < 25; i++) await severalBeats();
    over = true;
  };
  const silent = silence();
  while (!over) {
    socket.write(chunk('data: 1\n\n'));
    await new Promise(setImmediate);
  }
  await silent;
  t.equal(beats(raw.text), 0);
});

void t.test('never while the caller has something to read', async (t) => {
  const event = chunk(`data: ${'x'.repeat(16_000)}\n\n`);
  const { gateway, open, severalBeats } = await watch(t, '1s');
  const raw = await open('/v1/models', [head(STREAM)]);
  raw.socket.pause();
  const { socket } = gateway.connections[0] as GatewayConnection;
  // One by one, so that the shim stops reading after a whole event.
  let events = 0;
  while (!socket.writableNeedDrain) {
    events++;
    socket.write(event);
    await new Promise(setImmediate);
  }
  for (let i = 0; i < 25; i++) await severalBeats();
  raw.socket.resume();
  await raw.until((text) => text.endsWith(BEAT) && text.split('data: ').length > events);
  t.equal(
    raw.text.indexOf(BEAT, raw.text.indexOf('xxx')),
    raw.text.lastIndexOf('xxx') + 'xxx\n\n\r\n'.length,
    'the first comes after all data',
  );
});
