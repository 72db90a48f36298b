/** Whether a peer is still there, on real sockets; the time is ours. */
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import t, { type Test } from 'tap';
import WebSocket, { WebSocketServer } from 'ws';
import { ANSWER_MS, Liveness, SILENCE_MS } from '../../src/proxy/liveness.ts';

const GONE = SILENCE_MS + ANSWER_MS;

interface Pair {
  /** Our side, which is watched. */
  readonly ws: WebSocket;
  readonly socket: Socket;
  readonly alive: Liveness;
  /** The other side. It answers no ping by itself. */
  readonly peer: { readonly ws: WebSocket; readonly socket: Socket };
  readonly pings: () => number;
  /** Settles when our side has read more. */
  readonly read: () => Promise<unknown>;
}

async function pair(t: Test): Promise<Pair> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', autoPong: false });
  await once(server, 'listening');
  t.teardown(() => server.close());
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/`, { autoPong: false });
  const [[ws, { socket }], [answer]] = (await Promise.all([
    once(server, 'connection'),
    once(client, 'upgrade'),
    once(client, 'open'),
  ])) as [[WebSocket, IncomingMessage], [IncomingMessage], unknown];
  const peer = { ws: client, socket: answer.socket };
  t.teardown(() => {
    ws.terminate();
    client.terminate();
  });
  let pings = 0;
  peer.ws.on('ping', () => pings++);
  return { ws, socket, alive: new Liveness(ws, socket), peer, pings: () => pings, read: () => once(socket, 'data') };
}

/** Settles when the peer has seen all that was sent to it so far. */
async function settled({ ws, peer }: Pair): Promise<void> {
  const seen = once(peer.ws, 'message');
  ws.send('mark');
  await seen;
}

void t.test('who says nothing is asked once, and then gone', async (t) => {
  const both = await pair(t);
  const { alive, pings } = both;
  const looks: readonly (readonly [ms: number, there: boolean, pings: number])[] = [
    [0, true, 0],
    [SILENCE_MS - 1, true, 0],
    [SILENCE_MS, true, 1],
    [SILENCE_MS + 5_000, true, 1],
    [GONE - 1, true, 1],
    [GONE, false, 1],
  ];
  for (const [ms, there, asked] of looks) {
    t.equal(alive.look(1_000 + ms), there, `${ms}`);
    await settled(both);
    t.equal(pings(), asked, `${ms}`);
  }
});

void t.test('what we send ourselves is no sign of the peer', async (t) => {
  const both = await pair(t);
  t.equal(both.alive.look(0), true);
  await settled(both);
  t.equal(both.alive.look(SILENCE_MS), true);
  await settled(both);
  t.equal(both.alive.look(GONE), false);
});

void t.test('a pong gives the whole time again, and the next silence is asked about again', async (t) => {
  const both = await pair(t);
  const { alive, peer, pings, read } = both;
  alive.look(0);
  alive.look(SILENCE_MS);
  await settled(both);
  const answered = read();
  peer.ws.pong();
  await answered;
  t.equal(alive.look(GONE), true);
  t.equal(alive.look(GONE + SILENCE_MS - 1), true);
  await settled(both);
  t.equal(pings(), 1);
  t.equal(alive.look(GONE + SILENCE_MS), true);
  await settled(both);
  t.equal(pings(), 2);
  t.equal(alive.look(2 * GONE), false);
});

void t.test('any byte is a sign, also of a frame that is not whole', async (t) => {
  const { alive, peer, read } = await pair(t);
  alive.look(0);
  for (const [index, byte] of [0x82, 0xff, 0].entries()) {
    const came = read();
    peer.socket.write(Buffer.from([byte]));
    await came;
    t.equal(alive.look((index + 1) * GONE), true);
  }
  t.equal(alive.look(4 * GONE), false);
});

void t.test('nobody can answer who is not read', async (t) => {
  const { ws, alive } = await pair(t);
  alive.look(0);
  ws.pause();
  t.equal(alive.look(GONE), true);
  t.equal(alive.look(9 * GONE), true);
  ws.resume();
  t.equal(alive.look(10 * GONE - 1), true, 'the time begins when it is read again');
  t.equal(alive.look(10 * GONE), false);
});

void t.test('what is closed, or about to be, is not asked', async (t) => {
  const { ws, alive, peer } = await pair(t);
  alive.look(0);
  const closed = once(ws, 'close');
  ws.close();
  t.equal(alive.look(GONE), true);
  peer.ws.close();
  await closed;
  t.equal(alive.look(9 * GONE), true);
});

void t.test('a backlog: who takes of it is there, however slowly; who takes nothing is not', async (t) => {
  const { ws, socket, alive, peer } = await pair(t);
  peer.ws.pause();
  // As one write, which Node takes for one however long the peer reads it.
  ws.send(Buffer.alloc(25 * 1024 * 1024));
  await new Promise(setImmediate);
  t.ok(socket.writableLength > 0);
  alive.look(0);
  t.equal(alive.look(SILENCE_MS), true);
  ws.send('more of ours');
  t.equal(alive.look(GONE - 1), true);
  t.equal(alive.look(GONE), false, 'more of ours is no sign');

  let now = GONE;
  const least = 4;
  for (let part = 0; part < least; part++) {
    const before = peer.socket.bytesRead;
    peer.ws.resume();
    while (peer.socket.bytesRead - before < 4 * 1024 * 1024) await once(peer.socket, 'data');
    peer.ws.pause();
    await new Promise(setImmediate);
    t.ok(socket.writableLength > 0, 'the write is not over');
    now += GONE;
    t.equal(alive.look(now), true, `part ${part}`);
  }
  t.equal(alive.look(now + SILENCE_MS), true);
  t.equal(alive.look(now + GONE), false);
});
