/** Section 2.4 of the corpus: requests for a WebSocket pass the same gate as all others, before anything is dialled. */
import t, { type Test } from 'tap';
import { audited } from '../helpers/audit.ts';
import { HOPS, ours, startHop, STAND_IN, USER_HEADER } from '../helpers/hops.ts';
import { startRawGateway, type RawGateway } from '../helpers/raw-gateway.ts';
import { openRaw, rawExchange } from '../helpers/raw.ts';
import { get } from '../helpers/request-bytes.ts';
import { readRequests, valuesOf } from '../helpers/requests.ts';
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
import { switching } from '../helpers/tunnel.ts';
import { REFUSED } from './upgrade.cases.ts';

const LISTEN = '{ port: 0, origins: ["https://app.example"] }';

void t.test('refused: the gateway is not even dialled, and log and audit have the code', async (t) => {
  const gateway = await startRawGateway(t);
  const audit = audited(t);
  const { port, nextLine, lines } = await startStack(t, {
    gatewayUrl: gateway.url,
    deviceStore: 'memory',
    callers: socketCallers(),
    listen: LISTEN,
    more: audit.yaml,
  });
  for (const { name, bytes, status, code, headers = {}, keeps = false } of REFUSED) {
    await t.test(name, async (t) => {
      const line = nextLine();
      const answer = await rawExchange(port, bytes);
      t.equal(answer.status, status);
      t.equal(answer.text.match(/^HTTP\/1\.1 /gm)?.length, 1, 'one answer');
      if (bytes.startsWith('HEAD')) t.ok(answer.text.includes(answer.headers['x-request-id'] as string));
      else t.match(JSON.parse(answer.body), { error: { code, message: String, type: String, param: null } });
      t.match(answer.headers, { ...headers, connection: keeps ? 'keep-alive' : 'close' });
      t.equal(answer.closed, !keeps);
      t.match(await line, { status, code, end: 'refused' });
    });
  }
  t.strictSame(gateway.connections, []);
  t.equal(lines.filter(({ msg }) => msg === 'request').length, REFUSED.length);
  const records = await audit.records(REFUSED.length);
  t.match(
    records,
    REFUSED.map(({ code }) => ({ event: 'decision', decision: 'refuse', code })),
  );
  const kept = JSON.stringify([lines, records]);
  for (const token of [...Object.values(TOKENS), ...Object.values(SOCKET_TOKENS)]) t.notOk(kept.includes(token));
  t.notOk(
    lines.some(({ level }) => Number(level) >= 50),
    'nothing was unexpected',
  );
});

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

async function accepting(t: Test): Promise<RawGateway> {
  return startRawGateway(t, { onRequest: ({ socket }) => void socket.write(switching()) });
}

for (const hop of HOPS) {
  void t.test(`H1, H2, H3, H4, H6 on upgrades: ours are there once each, ${hop} hop`, async (t) => {
    const gateway = await accepting(t);
    const stack = await startHop(t, hop, {
      gatewayUrl: gateway.url,
      deviceStore: 'memory',
      callers: socketCallers(),
      listen: LISTEN,
    });
    const forged = hop === 'token' ? '' : `${USER_HEADER}: evil\r\n${USER_HEADER.replaceAll('-', '_')}: evil\r\n`;
    let nth = 0;
    for (const connection of [
      'Upgrade',
      'Upgrade, x-openclaw-scopes',
      `upgrade, X-OPENCLAW-SCOPES, ${USER_HEADER}, x-forwarded-for, sec-websocket-key, sec-websocket-version`,
      'keep-alive\r\nConnection: Upgrade, x-openclaw-scopes,, traceparent, authorization',
    ]) {
      for (const [name, token, scopes] of [
        ['reader', TOKENS.reader, 'operator.read'],
        ['signer', SOCKET_TOKENS.signer, 'operator.admin'],
      ] as const) {
        const more = `Connection: ${connection}\r\n${EVERYTHING}\r\n${forged}`;
        const raw = await openRaw(t, stack.port);
        raw.send(upgradeHead({ without: ['connection'], token, more }));
        await raw.until((text) => text.includes('\r\n\r\n'));
        if (name === 'reader') raw.send(frame(connectText()));
        const seen = await gateway.connection(++nth);
        await seen.until(({ text }) => text.includes('\r\n\r\n'));
        const { line, rawHeaders } = readRequests(seen.text.slice(0, seen.text.indexOf('\r\n\r\n') + 4))[0] ?? {};
        t.equal(line, 'GET / HTTP/1.1');
        const expected = ours(hop, name, scopes, STAND_IN).slice(hop === 'token' ? 2 : 0);
        for (let i = 0; i < expected.length; i += 2) {
          const wanted = expected[i + 1] === 'localhost' ? '127.0.0.1' : expected[i + 1];
          const values = valuesOf(rawHeaders ?? [], (expected[i] as string).toLowerCase());
          t.strictSame(values, [wanted], `${name}, ${connection}: ${expected[i]}`);
        }
        for (const single of ['connection', 'upgrade', 'host', 'sec-websocket-key', 'sec-websocket-version']) {
          t.equal(valuesOf(rawHeaders ?? [], single).length, 1, single);
        }
        t.notMatch(seen.text, /evil(?!\/1)|stolen|x_openclaw|x\.openclaw|cookie|origin|permessage|bearer|te:/i);
        raw.socket.destroy();
        await seen.until(({ ended }) => ended);
      }
    }
  });
}

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
