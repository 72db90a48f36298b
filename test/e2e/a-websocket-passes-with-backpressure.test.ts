import t from 'tap';
import { connectAs, startSockets } from '../helpers/sockets.ts';

const MESSAGE = Buffer.alloc(256 * 1024, 'x');
/** The buffers of the kernel and of both ends take some megabytes. */
const ENOUGH = 64 * 2 ** 20;

void t.test('a gateway that does not read stops the caller', async (t) => {
  const stack = await startSockets(t);
  const { ws } = await connectAs(t, stack, 'writer');
  const gateway = stack.gateway.sockets[0]?.ws;
  gateway?.pause();
  const sent = await sendUntilFull(ws);
  t.ok(sent < ENOUGH, `${sent} bytes were taken`);
  const all = new Promise<number>((resolve) => {
    let got = 0;
    gateway?.on('message', (data: Buffer) => (got += data.length) >= sent && resolve(got));
  });
  gateway?.resume();
  t.equal(await all, sent, 'and all of it comes when it reads again');
});

void t.test('a caller that does not read stops the gateway', async (t) => {
  const stack = await startSockets(t);
  const { ws } = await connectAs(t, stack, 'writer');
  const gateway = stack.gateway.sockets[0]?.ws as typeof ws;
  ws.pause();
  const sent = await sendUntilFull(gateway);
  t.ok(sent < ENOUGH, `${sent} bytes were taken`);
  const all = new Promise<number>((resolve) => {
    let got = 0;
    ws.on('message', (data: Buffer, binary: boolean) => binary && (got += data.length) >= sent && resolve(got));
  });
  ws.resume();
  t.equal(await all, sent);
});

/** Sends until nothing is taken for a while. */
async function sendUntilFull(ws: { send(data: Buffer): void; readonly bufferedAmount: number }): Promise<number> {
  let sent = 0;
  let stuck = 0;
  while (stuck < 50 && sent < ENOUGH) {
    const before = ws.bufferedAmount;
    if (before < 4 * MESSAGE.length) {
      ws.send(MESSAGE);
      sent += MESSAGE.length;
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
    stuck = ws.bufferedAmount >= 4 * MESSAGE.length && ws.bufferedAmount === before ? stuck + 1 : 0;
  }
  return sent;
}
