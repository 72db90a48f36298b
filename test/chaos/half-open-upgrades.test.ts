/** U11: a thousand who begin a WebSocket and leave it at that. */
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { ask, outcomeOf } from '../helpers/load.ts';
import { connectText, frame, openSocket, socketCallers, told, upgradeHead } from '../helpers/socket-bytes.ts';
import { startStack, TOKENS } from '../helpers/stack.ts';

const HEAD = upgradeHead();
const CONNECT = frame(connectText());

/** What each kind sends; how many there are of it. */
const KINDS: Readonly<Record<string, { readonly count: number; readonly head: string; readonly frame?: Buffer }>> = {
  'half a head': { count: 300, head: HEAD.slice(0, 100) },
  'a head, and no frame': { count: 200, head: HEAD },
  'a head, and half a frame': { count: 200, head: HEAD, frame: CONNECT.subarray(0, 50) },
  'no token': { count: 300, head: upgradeHead({ token: undefined }) },
};
const ALL = 1_000;
/** Of both ends of all connections, which are in this process. */
const MOST_OPEN_MB = 80;
const MOST_LEFT_MB = 4;
const LIMIT_MS = 6_000;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function used(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / 2 ** 20;
}

const descriptors = (): number => readdirSync('/proc/self/fd').length;

void t.test('a thousand half-open upgrades are bounded, ended, and keep nobody else', async (t) => {
  const stack = await startStack(t, {
    deviceStore: 'memory',
    callers: socketCallers(),
    listen: '{ port: 0, websocket: { firstFrameToken: true } }',
    limits: {
      headersTimeout: LIMIT_MS,
      handshakeLimits: { handshake: LIMIT_MS, firstFrame: LIMIT_MS },
    },
  });
  const others = async (): Promise<void> => {
    const began = performance.now();
    t.equal(outcomeOf(await ask(stack.port, { token: TOKENS.writer })), '200');
    const raw = await openSocket(t, stack.port, upgradeHead({ token: TOKENS.writer }));
    raw.send(CONNECT);
    await raw.until((text) => told(text).messages.some(({ ok }) => ok === true));
    const line = stack.nextLine();
    raw.socket.destroy();
    await line;
    t.ok(performance.now() - began < 4_000, 'others are served');
  };

  const round = async (): Promise<Record<string, number>> => {
    const found: Record<string, number> = {};
    const sockets: Socket[] = [];
    const ends: Promise<unknown>[] = [];
    for (const [kind, { count, head, frame: part }] of Object.entries(KINDS)) {
      for (let i = 0; i < count; i++) {
        const socket = connect(stack.port, '127.0.0.1').on('error', () => undefined);
        sockets.push(socket);
        let text = '';
        socket.on('data', (chunk: Buffer) => {
          if (text === '' && part) socket.write(part);
          text += chunk.toString('latin1');
        });
        socket.write(head);
        ends.push(
          once(socket, 'close').then(() => {
            const { close } = told(text);
            const outcome = `${kind}: ${text.slice(9, 12)}${close ? `, ${close.code} ${close.reason}` : ''}`;
            found[outcome] = (found[outcome] ?? 0) + 1;
          }),
        );
      }
    }
    t.teardown(() => sockets.forEach((socket) => socket.destroy()));
    await Promise.all(sockets.map(async (socket) => socket.connecting && once(socket, 'connect')));
    await others();
    t.ok(sockets.filter(({ destroyed }) => !destroyed).length >= 700, 'while the others are still open');
    opened = used() - before;
    await Promise.all(ends);
    return found;
  };

  let opened = 0;
  let before = 0;
  // What is compiled and grows once is there after a first round.
  await others();
  await round();
  before = used();
  const open = descriptors();
  const gateway = stack.gateway.sockets.length;
  t.strictSame(await round(), {
    'half a head: 408': 300,
    'a head, and no frame: 101, 1008 handshake timeout': 200,
    'a head, and half a frame: 101, 1008 handshake timeout': 200,
    'no token: 101, 1008 handshake timeout': 16,
    'no token: 429': 284,
  });
  t.equal(stack.gateway.sockets.length - gateway, 1, 'the gateway heard of none but the other');
  await others();
  stack.lines.length = 0;
  const left = used() - before;
  t.comment(`${Math.round((opened * 1024) / ALL)} KiB each while open, ${left.toFixed(1)} MiB left`);
  t.ok(opened < MOST_OPEN_MB, 'memory while they are open', { opened });
  t.ok(left < MOST_LEFT_MB, 'memory afterwards', { left });
  t.ok(Math.abs(descriptors() - open) <= 4, 'descriptors afterwards', { open, now: descriptors() });
});
