/** A gateway that answers an upgrade, or speaks on an open socket, as it should not: callers are told, and nothing hangs. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import t, { type Test } from 'tap';
import { WebSocketServer } from 'ws';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { openRaw, rawExchange, type RawConnection } from '../helpers/raw.ts';
import { get } from '../helpers/request-bytes.ts';
import {
  closing,
  connectText,
  frame,
  openSocket,
  SOCKET_TOKENS,
  socketCallers,
  told,
  upgradeHead,
} from '../helpers/socket-bytes.ts';
import { GATEWAY_SECRET, startStack, TOKENS, type Stack } from '../helpers/stack.ts';
import { switching } from '../helpers/tunnel.ts';
import {
  ANSWERS,
  BAD,
  answers,
  HANDSHAKES,
  hello,
  OPEN,
  refusal,
  TIMEOUT,
  TUNNELLED,
  type Json,
  type Outcome,
  type Peer,
} from './gateway-misbehaves-on-sockets.cases.ts';

/** Only where the time of the handshake is what ends it, it is short. */
function relaying(t: Test, gatewayUrl: string, outcome?: Outcome): Promise<Stack> {
  const limits = { handshakeLimits: { handshake: outcome === TIMEOUT ? 1_000 : 30_000, firstFrame: 30_000 } };
  return startStack(t, { gatewayUrl, deviceStore: 'memory', callers: socketCallers(), limits });
}

/** Connects, and checks what becomes of it: for the caller, in the log, and for the others. */
async function connects(t: Test, stack: Stack, { code, close, message = /./ }: Outcome): Promise<void> {
  const line = stack.nextLine();
  const raw = await openSocket(t, stack.port);
  raw.send(frame(connectText()));
  await raw.until((text) => told(text).close !== undefined);
  raw.send(frame(closing(1000), { opcode: 8 }));
  const end = told(await raw.closed());
  t.match(end.messages, [{ type: 'res', id: 'c1', ok: false, error: { code: String, message, details: { code } } }]);
  t.equal(end.messages.length, 1);
  t.equal(end.close?.code, close);
  t.match(await line, { status: 101, caller: 'reader', end: 'refused', socket: { close } });
  t.match(
    stack.lines.findLast(({ msg }) => msg === 'socket refused'),
    { caller: 'reader', code },
  );
  t.notMatch(raw.text, /AUTH_|unauthorized/i, 'nothing of a credential that is not the caller’s');
  const secret = [GATEWAY_SECRET, TOKENS.reader].find((one) => (raw.text + JSON.stringify(stack.lines)).includes(one));
  t.equal(secret, undefined, 'no secret is told or kept');
  t.equal((await rawExchange(stack.port, get('/nowhere'))).status, 404, 'others are served');
}

void t.test('a gateway that answers the upgrade with', async (t) => {
  for (const [name, [answer, outcome]] of Object.entries(ANSWERS)) {
    await t.test(name, async (t) => {
      const gateway = await startRawGateway(t, {
        onRequest({ socket, text }) {
          const key = /^sec-websocket-key: (.*)\r$/im.exec(text)?.[1] ?? '';
          const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
          socket.write(answer.replace('ACCEPT', accept), 'latin1');
        },
      });
      await connects(t, await relaying(t, gateway.url, outcome), outcome);
      await (await gateway.connection(1)).until(({ ended }) => ended);
      t.equal(gateway.connections.length, 1, 'it is asked once');
    });
  }
  for (const how of ['end', 'resetAndDestroy'] as const) {
    await t.test(`its end: ${how}`, async (t) => {
      const gateway = await startRawGateway(t, { onRequest: ({ socket }) => void socket[how]() });
      await connects(t, await relaying(t, gateway.url), BAD);
    });
  }
  await t.test('nobody: there is no gateway', async (t) => {
    const stack = await relaying(t, 'http://127.0.0.1:1');
    await connects(t, stack, { code: 'gateway_unreachable', close: 1014 });
  });
});

/** A gateway that does what the case says, from the 101 on. */
async function startTalking(t: Test, talk: (peer: Peer) => unknown): Promise<{ url: string; sockets: Socket[] }> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false });
  const sockets: Socket[] = [];
  server.on('connection', (ws, { socket }) => {
    sockets.push(socket);
    ws.on('error', () => undefined);
    const asked = new Promise<string>((resolve) =>
      ws.once('message', (data: Buffer) => resolve((JSON.parse(data.toString()) as { id: string }).id)),
    );
    talk({
      ws,
      socket,
      asked,
      send: (message) => ws.send(typeof message === 'string' ? message : JSON.stringify(message)),
    });
  });
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, sockets };
}

void t.test('a gateway that', async (t) => {
  for (const [name, [talk, outcome]] of Object.entries(HANDSHAKES)) {
    await t.test(name, async (t) => {
      const { url, sockets } = await startTalking(t, talk);
      await connects(t, await relaying(t, url, outcome), outcome);
      t.equal(sockets.length, 1, 'it is asked once');
      // The shim ends its side.
      if (sockets[0]?.closed === false) await once(sockets[0], 'close');
    });
  }
});

void t.test('a gateway that wants an operator to approve the device', async (t) => {
  const more = { reason: 'not-paired', requestId: 'r-1' };
  const { url } = await startTalking(
    t,
    answers((id) => refusal(id, 'PAIRING_REQUIRED', more, 'NOT_PAIRED'), 1008, 'pairing required'),
  );
  const stack = await relaying(t, url);
  const raw = await openSocket(t, stack.port);
  raw.send(frame(connectText()));
  await raw.until((text) => told(text).close !== undefined);
  t.match(told(raw.text).messages, [{ id: 'c1', ok: false, error: { code: 'NOT_PAIRED', details: more } }]);
  t.strictSame(told(raw.text).close, { code: 1008, reason: 'pairing required' });
  t.match(
    stack.lines.find(({ level }) => level === 40),
    { caller: 'reader', reason: 'not-paired', msg: /openclaw devices approve r-1$/ },
  );
  t.match(
    stack.lines.findLast(({ msg }) => msg === 'socket refused'),
    { code: 'PAIRING_REQUIRED' },
  );
});

void t.test('a gateway that names a request that is no command for a shell', async (t) => {
  const { url } = await startTalking(
    t,
    answers((id) => refusal(id, 'PAIRING_REQUIRED', { requestId: '$(rm -rf /)' }, 'NOT_PAIRED'), 1008),
  );
  const stack = await relaying(t, url);
  const raw = await openSocket(t, stack.port);
  raw.send(frame(connectText()));
  await raw.until((text) => told(text).close !== undefined);
  t.match(
    stack.lines.find(({ level }) => level === 40),
    { msg: /openclaw devices approve <requestId>$/ },
  );
});

/** A caller that is through, and the gateway's end of its socket. */
async function through(t: Test): Promise<{ raw: RawConnection; peer: Peer; stack: Stack; line: Promise<Json> }> {
  const { promise, resolve } = Promise.withResolvers<Peer>();
  const { url } = await startTalking(t, async (peer) => {
    await answers(hello)(peer);
    resolve(peer);
  });
  const stack = await relaying(t, url);
  const line = stack.nextLine();
  const raw = await openSocket(t, stack.port);
  raw.send(frame(connectText()));
  await raw.until((text) => told(text).messages.some(({ ok }) => ok === true));
  return { raw, peer: await promise, stack, line };
}

void t.test('a gateway that is through, and then', async (t) => {
  for (const [name, [act, close, end]] of Object.entries(OPEN)) {
    await t.test(name, async (t) => {
      const { raw, peer, stack, line } = await through(t);
      const gone = once(peer.socket, 'close');
      act(peer);
      await raw.until((text) => told(text).close !== undefined);
      t.strictSame(told(raw.text).close, close);
      t.equal(told(raw.text).messages.length, 1, 'nothing of what was no message');
      raw.send(frame(closing(1000), { opcode: 8 }));
      await raw.closed();
      t.match(await line, { end });
      await gone;
      t.equal((await rawExchange(stack.port, get('/nowhere'))).status, 404);
      t.notOk(
        stack.lines.some(({ level }) => Number(level) >= 50),
        'nothing was unexpected',
      );
    });
  }
});

void t.test('behind a tunnel, a gateway that answers', async (t) => {
  const head = upgradeHead({ token: SOCKET_TOKENS.signer, more: 'Sec-WebSocket-Protocol: openclaw.v1\r\n' });
  for (const [name, [answer, code]] of Object.entries(TUNNELLED)) {
    await t.test(name, async (t) => {
      const gateway = await startRawGateway(t, { onRequest: ({ socket }) => void socket.write(answer, 'latin1') });
      const stack = await relaying(t, gateway.url);
      const line = stack.nextLine();
      const { status, body, text } = await rawExchange(stack.port, head);
      t.match([status, body], [502, `"code":"${code}"`]);
      t.notMatch(text, /101 Switching|"secret"/);
      t.match(await line, { status: 502, code, caller: 'signer', end: 'refused' });
      await (await gateway.connection(1)).until(({ ended }) => ended);
    });
  }
  await t.test('101, and dies', async (t) => {
    const gateway = await startRawGateway(t, { onRequest: ({ socket }) => void socket.end(switching()) });
    const stack = await relaying(t, gateway.url);
    const line = stack.nextLine();
    const raw = await openRaw(t, stack.port);
    raw.send(head);
    t.match(await raw.closed(), /^HTTP\/1\.1 101 /);
    t.match(await line, { status: 101, end: 'gateway_gone', socket: { close: 1006 } });
  });
});
