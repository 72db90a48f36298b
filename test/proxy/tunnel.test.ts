/** Both heads of a tunnel at the level of bytes, and frames through it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { numOpenSockets } from 'http-proxy-3';
import t from 'tap';
import WebSocket, { WebSocketServer } from 'ws';
import { buildRequestHeaders } from '../../src/headers/request.ts';
import { openTunnel } from '../../src/proxy/tunnel.ts';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { openRaw } from '../helpers/raw.ts';
import { ACCEPT, ANSWER_101, KEY, startFront, switching, upgrade } from '../helpers/tunnel.ts';

/** What the gateway gets, and nothing else. */
function expected(host: string, ours = 'x-openclaw-scopes: operator.admin\r\n', more = ''): string {
  return `GET / HTTP/1.1\r\n${ours}host: ${host}\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-key: ${KEY}\r\nsec-websocket-version: 13\r\n${more}\r\n`;
}

const HEADS: Readonly<Record<string, string>> = {
  'nothing more': upgrade(),
  'H1 our own headers': upgrade('X-OpenClaw-Scopes: operator.pairing\r\nX-Forwarded-User: admin\r\n'),
  'H2 the scopes nominated': upgrade('', undefined, 'Connection: x-openclaw-scopes, Upgrade'),
  'H3 in another case, in lists and lines': upgrade(
    'Connection: close, X-OPENCLAW-SCOPES\r\n',
    undefined,
    'connection: Upgrade,\t,x-OpenClaw-scopes,',
  ),
  'H4 beside the upgrade': upgrade(
    'X-OpenClaw-Scopes: a\r\n',
    undefined,
    'Connection: Upgrade, x-openclaw-scopes, host, sec-websocket-key',
  ),
  'H6 with underscores': upgrade('x_openclaw_scopes: operator.admin\r\nX_Forwarded_User: admin\r\n'),
  'H10 twice': upgrade('x-openclaw-scopes: a\r\nx-openclaw-scopes: b\r\n'),
  'H19 a trailer': upgrade('Trailer: x-openclaw-scopes\r\nTE: trailers\r\n'),
  'H22 credentials': upgrade(
    'Authorization: Bearer caller\r\nCookie: a=b\r\nx-openclaw-token: x\r\nx-openclaw-password: y\r\n',
  ),
  'H24 addresses': upgrade('X-Forwarded-For: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\n'),
  'P15 of a browser': upgrade('Origin: https://evil.example\r\nReferer: https://evil.example/\r\nUser-Agent: b\r\n'),
  'an extension and a subprotocol': upgrade(
    'Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: bearer.token\r\n',
  ),
  'another target': upgrade('', 'GET /other?token=x HTTP/1.1'),
  'an Expect': upgrade('Expect: 200-ok\r\n__proto__: x\r\n'),
};

void t.test('the gateway gets the built head alone, whatever the caller sends', async (t) => {
  const gateway = await startRawGateway(t, { onRequest: ({ socket }) => void socket.write(switching()) });
  const { port } = await startFront(t, { origin: gateway.url });
  const { host } = new URL(gateway.url);
  for (const [name, head] of Object.entries(HEADS)) {
    const raw = await openRaw(t, port);
    raw.send(head);
    await raw.until((text) => text.endsWith('\r\n\r\n'));
    t.equal(raw.text, ANSWER_101, name);
    t.equal(gateway.connections.at(-1)?.text, expected(host), name);
    raw.socket.destroy();
  }
  t.equal(gateway.connections.length, Object.keys(HEADS).length, 'one connection each');
});

void t.test('with the list that the gate builds', async (t) => {
  const gateway = await startRawGateway(t, { onRequest: ({ socket }) => void socket.write(switching()) });
  const { port } = await startFront(t, {
    origin: gateway.url,
    headers: ({ rawHeaders }) =>
      buildRequestHeaders(rawHeaders, ['upgrade', 'x-openclaw-scopes'], new Set(), ['x-openclaw-scopes', '']),
  });
  const raw = await openRaw(t, port);
  const more = 'x-openclaw-scopes: a\r\nX-Two: 1\r\nx-two: 2\r\n__proto__: x\r\nX-Latin: \xe9\r\n';
  raw.send(upgrade(more, undefined, 'Connection: Upgrade, x-openclaw-scopes'));
  await raw.until((text) => text === ANSWER_101);
  const ours = 'x-two: 1\r\nx-two: 2\r\n__proto__: x\r\nx-latin: \xe9\r\nx-openclaw-scopes: \r\n';
  t.equal(gateway.text, expected(new URL(gateway.url).host, ours));
});

void t.test('the fields of the handshake are the tunnel’s, whatever the list holds', async (t) => {
  const gateway = await startRawGateway(t, { onRequest: ({ socket }) => void socket.write(switching()) });
  const { port } = await startFront(t, {
    origin: gateway.url,
    headers: () => ['Host', 'evil', 'Connection', 'close', 'Upgrade', 'h2c', 'Sec-WebSocket-Key', 'x', 'a', 'b'],
  });
  const raw = await openRaw(t, port);
  raw.send(upgrade());
  await raw.until((text) => text === ANSWER_101);
  const { text } = gateway;
  for (const name of ['host: 127.0.0.1', 'connection: Upgrade', 'upgrade: websocket', 'sec-websocket-key: ']) {
    t.equal(text.toLowerCase().split(`\r\n${name.toLowerCase()}`).length - 1, 1, name);
  }
  t.notMatch(text, /evil|close|h2c/);
});

void t.test('a header that cannot be sent is thrown, and nothing is dialled', async (t) => {
  const gateway = await startRawGateway(t);
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const thrown = new Promise((resolve) => {
    server.on('upgrade', (req, socket) => {
      const never = (): never => {
        throw new Error('something was told');
      };
      const on = { open: never, refused: never, closed: never };
      try {
        openTunnel({ req, headers: ['x-user', 'a\r\nb: c'], host: 'x', connect: never, answerHeaders: [] }, on);
      } catch (error) {
        resolve(error);
      }
      socket.destroy();
    });
  });
  const raw = await openRaw(t, (server.address() as AddressInfo).port);
  raw.send(upgrade());
  t.match(await thrown, { code: 'ERR_INVALID_CHAR' });
  await raw.closed();
  t.equal(gateway.connections.length, 0);
});

void t.test('the caller gets fields of ours, and what came right behind the 101', async (t) => {
  const more = 'Server: x\r\nSet-Cookie: a=b\r\nx-openclaw-scopes: s\r\nX-Request-Id: g\r\nContent-Length: 5\r\n';
  const gateway = await startRawGateway(t, {
    onRequest: ({ socket }) => void socket.write(`${switching(more)}\x81\x02hi`, 'latin1'),
  });
  const front = await startFront(t, { origin: gateway.url });
  const raw = await openRaw(t, front.port);
  const opened = front.next();
  raw.send(upgrade());
  await raw.until((text) => text === `${ANSWER_101}\x81\x02hi`);
  const { tunnel, told } = await opened;
  raw.send('\x81\x85abcdhello');
  await gateway.connections[0]?.until(({ text }) => text.endsWith('\r\n\r\n\x81\x85abcdhello'));
  t.strictSame([tunnel.bytesIn, tunnel.bytesOut, told], [11, 4, ['open']]);
});

void t.test('an offered subprotocol passes, in both directions', async (t) => {
  const gateway = await startRawGateway(t, {
    onRequest: ({ socket }) => void socket.write(switching('Sec-WebSocket-Protocol: b\r\n')),
  });
  const { port } = await startFront(t, { origin: gateway.url, protocols: ['a', 'b'] });
  const raw = await openRaw(t, port);
  raw.send(upgrade());
  await raw.until((text) => text.endsWith('\r\n\r\n'));
  const line = `sec-websocket-accept: ${ACCEPT}\r\n`;
  t.equal(raw.text, ANSWER_101.replace(line, `${line}sec-websocket-protocol: b\r\n`));
  t.equal(
    gateway.text,
    expected(new URL(gateway.url).host, undefined, 'sec-websocket-protocol: a, b\r\n'),
    'offered by the shim',
  );
});

void t.test('the gateway’s name is resolved by the look-up that is given', async (t) => {
  const gateway = await startRawGateway(t, { onRequest: ({ socket }) => void socket.write(switching()) });
  const asked: string[] = [];
  const { port } = await startFront(t, {
    origin: gateway.url.replace('127.0.0.1', 'gateway.test'),
    lookup: ((name: string, _: object, callback: (error: null, found: object[]) => void) => {
      asked.push(name);
      callback(null, [{ address: '127.0.0.1', family: 4 }]);
    }) as never,
  });
  const raw = await openRaw(t, port);
  raw.send(upgrade());
  await raw.until((text) => text === ANSWER_101);
  t.strictSame(asked, ['gateway.test']);
  t.match(gateway.text, /\r\nhost: gateway\.test:\d+\r\n/);
});

void t.test('no proxy of the environment is asked, even where Node is told to use them', async (t) => {
  const gateway = await startRawGateway(t, { onRequest: ({ socket }) => void socket.write(switching()) });
  const proxy = await startRawGateway(t);
  const names = ['HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'all_proxy'];
  const program = `
    import { startFront } from '${new URL('../helpers/tunnel.ts', import.meta.url).href}';
    const { port } = await startFront({ teardown() {} }, { origin: '${gateway.url}' });
    console.log(port);
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    env: { ...Object.fromEntries(names.map((name) => [name, proxy.url])), NO_PROXY: '', NODE_USE_ENV_PROXY: '1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(async () => {
    const closed = once(child, 'close');
    child.kill();
    await closed;
  });
  const [port] = (await once(child.stdout, 'data')) as [Buffer];
  const raw = await openRaw(t, Number(port));
  raw.send(upgrade());
  await raw.until((text) => text === ANSWER_101);
  t.equal(proxy.connections.length, 0);
});

void t.test('frames of the ws library pass both ways', async (t) => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: true });
  await once(server, 'listening');
  t.teardown(() => new Promise((resolve) => server.close(resolve)));
  server.on('connection', (socket) => {
    socket.on('message', (data, binary) => socket.send(data, { binary }));
  });
  const front = await startFront(t, { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
  const opening = front.next();
  const client = new WebSocket(`ws://127.0.0.1:${front.port}/`);
  const opened = await opening;
  await once(client, 'open');
  t.equal(client.extensions, '', 'compression was not offered on');
  for (const size of [0, 1, 126, 65_536, 3_000_000]) {
    const sent = Buffer.alloc(size, 'ab');
    client.send(sent);
    const [got] = (await once(client, 'message')) as [Buffer];
    t.ok(got.equals(sent), `${size} bytes`);
  }
  client.close(4001, 'enough');
  const [code, reason] = (await once(client, 'close')) as [number, Buffer];
  t.strictSame([code, reason.toString()], [4001, 'enough']);
  t.strictSame(await opened.until(2), ['open', 'closed gateway']);
  t.ok(opened.tunnel.bytesIn > 3_065_663 && opened.tunnel.bytesOut > 3_065_663, 'both ways are counted');
  t.equal(numOpenSockets(), 0, 'the library keeps nothing');
});
