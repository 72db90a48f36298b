/** Messages that wait for a handshake, on real sockets. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import WebSocket, { WebSocketServer } from 'ws';
import { Inbox } from '../../src/proxy/inbox.ts';

interface Pair {
  readonly ws: WebSocket;
  readonly peer: WebSocket;
  readonly inbox: Inbox;
  /** Settles when so many messages have come. */
  readonly came: (count: number) => Promise<void>;
}

async function pair(t: Test): Promise<Pair> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  t.teardown(() => server.close());
  const peer = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  const [[ws]] = (await Promise.all([once(server, 'connection'), once(peer, 'open')])) as [[WebSocket], unknown];
  t.teardown(() => {
    ws.terminate();
    peer.terminate();
  });
  const inbox = new Inbox(ws);
  let count = 0;
  ws.on('message', () => count++);
  return {
    ws,
    peer,
    inbox,
    async came(least) {
      while (count < least) await once(ws, 'message');
    },
  };
}

const NEVER = new AbortController().signal;
const textOf = async (next: ReturnType<Inbox['next']>): Promise<string | undefined> => (await next)?.data.toString();

void t.test('messages that came before they are asked for, in their order', async (t) => {
  const { peer, inbox, came } = await pair(t);
  for (const text of ['one', 'two', 'three']) peer.send(text);
  peer.send(Buffer.from([0, 255]));
  await came(4);
  t.equal(inbox.length, 4);
  for (const text of ['one', 'two', 'three']) t.equal(await textOf(inbox.next(NEVER)), text);
  t.strictSame(await inbox.next(NEVER), { data: Buffer.from([0, 255]), binary: true });
  t.equal(inbox.length, 0);
});

void t.test('messages that are waited for', async (t) => {
  const { peer, inbox } = await pair(t);
  for (const text of ['one', 'two']) {
    const next = inbox.next(NEVER);
    peer.send(text);
    t.strictSame(await next, { data: Buffer.from(text), binary: false });
  }
});

void t.test('a socket that is closed has what it sent before, and then nothing', async (t) => {
  const { ws, peer, inbox } = await pair(t);
  const closed = once(ws, 'close');
  peer.send('last');
  peer.close();
  await closed;
  t.equal(await textOf(inbox.next(NEVER)), 'last');
  t.equal(await inbox.next(NEVER), undefined);
  t.equal(await inbox.next(NEVER), undefined);
});

void t.test('a socket that is closed while it is waited for', async (t) => {
  const { peer, inbox } = await pair(t);
  const next = inbox.next(NEVER);
  peer.terminate();
  t.equal(await next, undefined);
});

void t.test('the signal ends a wait, and goes before what has come', async (t) => {
  const { peer, inbox, came } = await pair(t);
  const reason = new Error('over');
  const abort = new AbortController();
  const next = inbox.next(abort.signal);
  abort.abort(reason);
  await t.rejects(next, reason);
  await t.rejects(inbox.next(abort.signal), reason);
  peer.send('late');
  await came(1);
  await t.rejects(inbox.next(abort.signal), reason);
  t.equal(await textOf(inbox.next(NEVER)), 'late', 'nothing is lost for another');
});

void t.test('a wait that is over leaves no listener behind', async (t) => {
  const { ws, peer, inbox } = await pair(t);
  const abort = new AbortController();
  const listeners: unknown[] = [];
  const { signal } = abort;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    listeners.push(args[1]);
    add(...args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    listeners.splice(listeners.indexOf(args[1]), 1);
    remove(...args);
  };
  for (let i = 0; i < 20; i++) {
    const next = inbox.next(signal);
    peer.send('x');
    await next;
  }
  t.strictSame(listeners, []);
  const before = [ws.listenerCount('message'), ws.listenerCount('close')] as const;
  inbox.detach();
  t.strictSame([ws.listenerCount('message'), ws.listenerCount('close')], [before[0] - 1, before[1] - 1]);
});

void t.test('what waits is handed over, and what comes later is somebody else’s', async (t) => {
  const { peer, inbox, came } = await pair(t);
  peer.send('one');
  peer.send('two');
  await came(2);
  t.strictSame(
    inbox.detach().map(({ data }) => data.toString()),
    ['one', 'two'],
  );
  peer.send('three');
  await came(3);
  t.equal(inbox.length, 2);
});
