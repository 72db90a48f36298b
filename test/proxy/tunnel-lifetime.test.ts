/** What ends a tunnel, and what it holds meanwhile. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { numOpenSockets } from 'http-proxy-3';
import t, { type Test } from 'tap';
import type { TunnelRequest } from '../../src/proxy/tunnel.ts';
import { openRaw, type RawConnection } from '../helpers/raw.ts';
import { ANSWER_101, startFront, switching, upgrade, type Opened } from '../helpers/tunnel.ts';

interface Ends extends Opened {
  readonly raw: RawConnection;
  /** The gateway's end of its connection; it was not read yet. */
  readonly gateway: Socket;
  /** The shim's end of it. */
  readonly dialled: Socket;
}

/** An open tunnel whose gateway does what the test does. Neither peer ends its side because the other has. */
async function openEnds(t: Test, limits: Pick<TunnelRequest, 'dialTimeout' | 'stallTimeout'> = {}): Promise<Ends> {
  const sockets: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.once('data', () => socket.pause().write(switching()));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  let dialled: Socket | undefined;
  const watch = (message: unknown): void => {
    const { socket } = message as { socket: Socket };
    socket.once('connect', () => {
      if (socket.remotePort === port) dialled = socket;
    });
  };
  subscribe('net.client.socket', watch);
  t.teardown(() => unsubscribe('net.client.socket', watch));
  const front = await startFront(t, { origin: `http://127.0.0.1:${port}`, ...limits });
  const opening = front.next();
  const raw = await openRaw(t, front.port);
  raw.socket.allowHalfOpen = true;
  raw.send(upgrade());
  await raw.until((text) => text === ANSWER_101);
  const opened = await opening;
  const [gateway] = sockets;
  gateway?.on('error', () => undefined);
  return { ...opened, raw, gateway: gateway as Socket, dialled: dialled as Socket };
}

function textOf(socket: Socket): () => string {
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1'))).resume();
  return () => text;
}

const LAST = 'last words';

void t.test('a caller that ends its side ends the gateway’s, after its last bytes', async (t) => {
  const { raw, gateway, until, tunnel } = await openEnds(t);
  const text = textOf(gateway);
  raw.socket.end(LAST);
  const closed = once(raw.socket, 'close');
  await once(gateway, 'end');
  t.equal(text(), LAST);
  await closed;
  t.strictSame(await until(2), ['open', 'closed caller']);
  t.strictSame([tunnel.bytesIn, tunnel.bytesOut], [LAST.length, 0]);
});

void t.test('a gateway that ends its side ends the caller’s, after its last bytes', async (t) => {
  const { raw, gateway, until, tunnel } = await openEnds(t);
  gateway.end(LAST);
  t.equal(await raw.closed(), `${ANSWER_101}${LAST}`);
  gateway.resume();
  await once(gateway, 'close');
  t.strictSame(await until(2), ['open', 'closed gateway']);
  t.strictSame([tunnel.bytesIn, tunnel.bytesOut], [0, LAST.length]);
});

void t.test('a caller that resets', async (t) => {
  const { raw, gateway, until } = await openEnds(t);
  raw.socket.resetAndDestroy();
  gateway.resume();
  await once(gateway, 'end');
  t.strictSame(await until(2), ['open', 'closed caller']);
});

void t.test('a gateway that resets', async (t) => {
  const { raw, gateway, until } = await openEnds(t);
  gateway.resetAndDestroy();
  await raw.closed();
  t.strictSame(await until(2), ['open', 'closed gateway']);
});

void t.test('an end of the shim’s', async (t) => {
  const { raw, gateway, until, tunnel, told } = await openEnds(t);
  gateway.resume();
  const over = once(gateway, 'end');
  tunnel.end();
  tunnel.end();
  await Promise.all([raw.closed(), over]);
  t.strictSame(await until(2), ['open', 'closed shim']);
  tunnel.end();
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(told.length, 2, 'told once');
});

/** Writes until nothing more is taken: the buffers of the system and of the shim are full. */
async function fill(from: Socket, shim: Socket): Promise<number> {
  const chunk = Buffer.alloc(65_536, 'x');
  let most = 0;
  let waits = 0;
  let written = 0;
  for (let before = -1; waits < 20;) {
    if (from.writableLength === 0) {
      from.write(chunk);
      written += chunk.length;
    }
    await new Promise((resolve) => setImmediate(resolve));
    most = Math.max(most, shim.writableLength);
    waits = shim.bytesWritten === before && from.writableLength > 0 ? waits + 1 : 0;
    before = shim.bytesWritten;
  }
  t.ok(written > 500_000, 'more than one buffer was offered');
  return most;
}

/** Writes until the shim keeps bytes that the system does not take any more, too few to hold the other side back. */
async function fillSystem(from: Socket, shim: Socket): Promise<void> {
  while (shim.writableLength === 0) {
    from.write(Buffer.alloc(16_384));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** One read of Node's, above the mark at which a stream asks to wait. */
const BOUND = 2 * 65_536;

void t.test('a slow caller holds the gateway back, and loses nothing', async (t) => {
  const { raw, gateway, caller, tunnel, until } = await openEnds(t);
  raw.socket.pause();
  const most = await fill(gateway, caller);
  t.ok(most > 0 && most <= BOUND, `${most} bytes waited at most`);
  gateway.end();
  let got = 0;
  raw.socket.on('data', (chunk: Buffer) => (got += chunk.length)).resume();
  await until(2);
  await raw.closed();
  t.equal(got, gateway.bytesWritten - switching().length);
  t.equal(tunnel.bytesOut, got);
});

void t.test('a slow gateway holds the caller back, and loses nothing', async (t) => {
  const { raw, gateway, dialled, tunnel, until } = await openEnds(t);
  const most = await fill(raw.socket, dialled);
  t.ok(most > 0 && most <= BOUND, `${most} bytes waited at most`);
  raw.socket.end();
  let got = 0;
  gateway.on('data', (chunk: Buffer) => (got += chunk.length)).resume();
  await until(2);
  await once(gateway, 'end');
  t.equal(got, raw.socket.bytesWritten - upgrade().length);
  t.equal(tunnel.bytesIn, got);
});

void t.test('last bytes wait for a slow caller', async (t) => {
  const { raw, gateway, caller, until, tunnel } = await openEnds(t);
  raw.socket.pause();
  await fillSystem(gateway, caller);
  gateway.end();
  while (!caller.writableEnded) await new Promise((resolve) => setImmediate(resolve));
  t.ok(caller.writableLength > 0);
  let got = 0;
  raw.socket.on('data', (chunk: Buffer) => (got += chunk.length)).resume();
  t.strictSame(await until(2), ['open', 'closed gateway']);
  await raw.closed();
  t.equal(got, gateway.bytesWritten - switching().length);
  t.equal(tunnel.bytesOut, got);
});

void t.test('a caller that takes nothing more ends, and what the gateway’s end hides behind it', async (t) => {
  const { raw, gateway, caller, until } = await openEnds(t, { stallTimeout: 150 });
  raw.socket.pause();
  await fill(gateway, caller);
  gateway.destroy();
  t.strictSame(await until(2), ['open', 'closed caller']);
});

void t.test('a gateway that takes nothing more ends', async (t) => {
  const { raw, dialled, until } = await openEnds(t, { stallTimeout: 150 });
  await fill(raw.socket, dialled);
  t.strictSame(await until(2), ['open', 'closed gateway']);
  await raw.closed();
});

void t.test('last bytes that are not taken do not keep the tunnel', async (t) => {
  const { raw, gateway, caller, until } = await openEnds(t, { stallTimeout: 150 });
  raw.socket.pause();
  await fillSystem(gateway, caller);
  gateway.resetAndDestroy();
  t.equal((await until(2)).length, 2);
});

void t.test('an end of the shim’s does not wait for a caller that takes nothing', async (t) => {
  const { raw, gateway, caller, until, tunnel } = await openEnds(t);
  raw.socket.pause();
  await fill(gateway, caller);
  tunnel.end();
  t.strictSame(await until(2), ['open', 'closed shim']);
});

void t.test('nor where the gateway has ended before', async (t) => {
  const { raw, gateway, caller, until, tunnel } = await openEnds(t);
  raw.socket.pause();
  await fillSystem(gateway, caller);
  gateway.resetAndDestroy();
  while (!caller.writableEnded) await new Promise((resolve) => setImmediate(resolve));
  tunnel.end();
  t.strictSame(await until(2), ['open', 'closed gateway']);
});

void t.test('silence ends nothing, and the time for the dial is over with the dial', async (t) => {
  const { raw, gateway, caller, told } = await openEnds(t, { dialTimeout: 1_200, stallTimeout: 1_500 });
  await once(caller, 'timeout');
  raw.send('a');
  gateway.once('data', () => gateway.write('b')).resume();
  await raw.until((text) => text === `${ANSWER_101}b`);
  t.strictSame(told, ['open']);
});

t.teardown(() => {
  if (numOpenSockets() > 0) throw new Error('the library holds sockets');
});
