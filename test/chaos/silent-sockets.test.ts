/** Peers of WebSockets that vanish without a word: each is asked after 30 s, and gone 10 s later. */
import t from 'tap';
import { WebSocket } from 'ws';
import { connectAs, startSockets } from '../helpers/sockets.ts';
import { bearer, TOKENS } from '../helpers/stack.ts';

const SOONEST_MS = 38_000;
const LATEST_MS = 48_000;

void t.test('a peer that answers nothing is dropped, one that answers pings is not', async (t) => {
  const stack = await startSockets(t, { gateway: { tickInterval: 3_600_000 } });
  const began = performance.now();
  const within = (what: string): void => {
    const ms = performance.now() - began;
    t.ok(ms > SOONEST_MS && ms < LATEST_MS, `${what}: ${Math.round(ms)} ms`);
  };
  const alive = await connectAs(t, stack, 'writer');
  let asked = 0;
  alive.ws.on('ping', () => asked++);

  // Its gateway does not read, so that it answers no ping.
  const gatewayGone = await connectAs(t, stack, 'writer');
  const silent = stack.gateway.sockets.at(-1)?.ws;
  silent?.pause();

  const deaf = new WebSocket(`${stack.url.replace('http', 'ws')}/`, {
    headers: bearer(TOKENS.reader),
    autoPong: false,
  });
  t.teardown(() => deaf.terminate());
  deaf.on('error', () => undefined);
  const connect = { minProtocol: 3, maxProtocol: 4, scopes: ['operator.read'] };
  deaf.once('message', () => deaf.send(JSON.stringify({ type: 'req', id: 'c', method: 'connect', params: connect })));
  const closed = new Promise<number>((resolve) => deaf.once('close', resolve));

  await Promise.all([
    closed.then(() => within('the caller')),
    gatewayGone.closed.then(({ code }) => {
      t.equal(code, 1014);
      within('the gateway');
    }),
  ]);
  silent?.terminate();
  t.ok(asked >= 1, 'who answers is asked as well');
  t.equal((await alive.call('sessions.list')).ok, true, 'and stays');
  const ends = stack.lines.filter(({ msg }) => msg === 'request').map(({ end }) => end);
  t.strictSame(new Set(ends), new Set(['caller_idle', 'gateway_idle']));
});
