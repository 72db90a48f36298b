/** Requests for a WebSocket pass the same gate as all others, before anything is dialled. */
import t from 'tap';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { openRaw, rawExchange } from '../helpers/raw.ts';
import { get } from '../helpers/request-bytes.ts';
import {
  ACCEPT,
  connectText,
  frame,
  KEY,
  openSocket,
  SOCKET_TOKENS,
  socketCallers,
  told,
  upgradeHead,
} from '../helpers/socket-bytes.ts';
import { startStack, TOKENS, TRACEPARENT } from '../helpers/stack.ts';

const LISTEN = '{ port: 0, origins: ["https://app.example"] }';

void t.test('a listed web origin is let in, and told why where it is not', async (t) => {
  const gateway = await startRawGateway(t);
  const { port } = await startStack(t, {
    gatewayUrl: gateway.url,
    deviceStore: 'memory',
    callers: socketCallers(),
    listen: LISTEN,
  });
  const more = 'Origin: https://app.example\r\n';
  const refused = await rawExchange(port, upgradeHead({ more, token: SOCKET_TOKENS.plain }));
  t.equal(refused.headers['access-control-allow-origin'], 'https://app.example');
  t.match(refused.body, 'WebSocket is off for this caller. The operator can set callers[].websocket.');
  await openSocket(t, port, upgradeHead({ more }));
});

void t.test('the health route is no way in', async (t) => {
  const gateway = await startRawGateway(t);
  const { port } = await startStack(t, { gatewayUrl: gateway.url, listen: '{ port: 0, health: true }' });
  for (const target of ['/health', '/healthz']) {
    const answer = await rawExchange(port, upgradeHead({ line: `GET ${target} HTTP/1.1`, token: undefined }));
    t.match([answer.status, answer.body], [401, '"code":"missing_token"']);
  }
  t.strictSame(gateway.connections, []);
});

/** Sends nothing: the first bytes of each connection are what is looked at. */
const silent = { onRequest: () => undefined };

const EVERYTHING = [
  'Origin: https://app.example',
  'User-Agent: evil/1',
  'Cookie: a=b',
  'Accept-Language: de',
  'X-Custom: 1',
  'X-Forwarded-For: 127.0.0.1',
  'X-Forwarded-User: admin',
  'Forwarded: for=127.0.0.1',
  'X-Real-IP: 127.0.0.1',
  'X-OpenClaw-Scopes: operator.admin',
  'x_openclaw_scopes: operator.admin',
  'x.openclaw.scopes: operator.admin',
  'X-OpenClaw-Token: stolen',
  'X-OpenClaw-Password: stolen',
  'X-OpenClaw-Agent-Id: main',
  'Proxy-Authorization: Basic YTpi',
  'Tailscale-User-Login: admin',
  'Expect: 100-continue',
  'TE: trailers',
  'Trailer: x-openclaw-scopes',
  'Keep-Alive: timeout=5',
  'HTTP2-Settings: AAMAAABkAAQAAP__',
  'Sec-WebSocket-Protocol: openclaw.v1, evil',
  'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits',
  'Sec-WebSocket-Accept: x',
  'Sec-Fetch-Mode: websocket',
].join('\r\n');

void t.test('relayed: what the gateway and the caller get of the heads, byte for byte', async (t) => {
  const gateway = await startRawGateway(t, silent);
  const { port } = await startStack(t, {
    gatewayUrl: gateway.url,
    deviceStore: 'memory',
    callers: socketCallers(),
    listen: LISTEN,
  });
  for (const [i, connection] of [
    'Upgrade',
    'Upgrade, x-openclaw-scopes',
    'close, UPGRADE,, X-OPENCLAW-SCOPES,\ttraceparent',
    'upgrade, authorization, origin, sec-websocket-key, sec-websocket-version, upgrade',
    'keep-alive\r\nConnection: Upgrade, x-openclaw-scopes, Connection',
  ].entries()) {
    const more = `Connection: ${connection}\r\n${EVERYTHING}\r\n`;
    const raw = await openSocket(t, port, upgradeHead({ without: ['connection'], more }));
    t.match(
      told(raw.text).head,
      new RegExp(
        `^HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${ACCEPT.replaceAll('+', '\\+')}\r\nx-request-id: [0-9a-f-]{36}$`,
      ),
      connection,
    );
    raw.send(frame(connectText()));
    const seen = await gateway.connection(i + 1);
    await seen.until(({ text }) => text.includes('\r\n\r\n'));
    const [, key = ''] = /^Sec-WebSocket-Key: ([A-Za-z0-9+/]{22}==)$/m.exec(seen.text) ?? [];
    t.equal(
      seen.text,
      `GET / HTTP/1.1\r\nhost: ${new URL(gateway.url).host}\r\nx-openclaw-scopes: operator.read\r\ntraceparent: ${TRACEPARENT}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
    );
    t.not(key, KEY, 'nor the key of the caller');
    raw.socket.destroy();
  }
});

void t.test('an upgrade behind a request whose answer is not out ends the connection', async (t) => {
  for (const waiting of ['', get('/v1/models')]) {
    const gateway = await startRawGateway(t, silent);
    const { port, nextLine } = await startStack(t, {
      gatewayUrl: gateway.url,
      deviceStore: 'memory',
      callers: socketCallers(),
    });
    const line = nextLine();
    const raw = await openRaw(t, port);
    raw.send(get('/v1/models') + waiting);
    const seen = await gateway.connection(1);
    await seen.until(({ text }) => text.endsWith('\r\n\r\n'));
    raw.send(upgradeHead({ token: TOKENS.admin }));
    t.equal(await raw.closed(), '');
    await seen.until(({ ended }) => ended);
    t.match(await line, { route: '/v1/models', end: 'caller_gone' });
    t.equal(gateway.text.split(' HTTP/1.1\r\n').length - 1, 1, 'no second request, no upgrade');
  }
});

void t.test('an upgrade in one packet with a request before it gets nothing through', async (t) => {
  const gateway = await startRawGateway(t, silent);
  const { port } = await startStack(t, { gatewayUrl: gateway.url, deviceStore: 'memory', callers: socketCallers() });
  const raw = await openRaw(t, port);
  raw.send(get('/v1/models') + upgradeHead({ token: TOKENS.admin }) + frame(connectText()).toString('latin1'));
  t.equal(await raw.closed(), '');
  t.notMatch(gateway.text, /upgrade/i);
});

void t.test('an upgrade behind an answer that is out is like any other', async (t) => {
  const { port } = await startStack(t, { deviceStore: 'memory', callers: socketCallers() });
  const raw = await openRaw(t, port);
  raw.send(get('/nowhere'));
  const before = await raw.until((text) => text.endsWith('}}'));
  raw.send(upgradeHead());
  await raw.until((text) => text.length > before.length && told(text.slice(before.length)).challenge !== undefined);
});
