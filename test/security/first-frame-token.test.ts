/** Tokens of WebSocket clients that cannot set a header: in the first frame, or as a subprotocol. Each is off by default. */
import t, { type Test } from 'tap';
import { WebSocket } from 'ws';
import { audited } from '../helpers/audit.ts';
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
import { caller, startStack, TOKENS, type Stack, type StackOptions } from '../helpers/stack.ts';
import { switching } from '../helpers/tunnel.ts';

const FRAME = 'firstFrameToken: true';
const SUBPROTOCOL = 'subprotocolToken: true';
const ANONYMOUS = upgradeHead({ token: undefined });

function relaying(t: Test, websocket: string, more: StackOptions = {}): Promise<Stack> {
  const listen = `{ port: 0, websocket: { ${websocket} } }`;
  return startStack(t, { deviceStore: 'memory', callers: socketCallers(), listen, ...more });
}

const tokenFrame = (token: unknown, params = {}): Buffer => frame(connectText({ auth: { token }, ...params }));

async function answered(raw: RawConnection): Promise<Readonly<Record<string, unknown>>> {
  const text = await raw.until((now) => told(now).messages.some(({ type }) => type === 'res'));
  return told(text).messages[0] ?? {};
}

/** Every byte of what is kept, and of what the gateway was sent. */
async function nowhere(t: Test, { lines, gateway }: Stack, audit: string[], tokens: readonly string[]): Promise<void> {
  const frames = gateway.sockets.map(({ rawHeaders, connect, frames }) => [rawHeaders, connect, frames]);
  const kept = JSON.stringify([lines, audit, frames]);
  for (const token of tokens) t.notOk(kept.includes(token), 'the token is nowhere');
}

void t.test('both are off by default', async (t) => {
  const { port, gateway } = await startStack(t, { deviceStore: 'memory', callers: socketCallers() });
  const more = `Sec-WebSocket-Protocol: openclaw.v1, bearer.${TOKENS.reader}\r\n`;
  for (const head of [ANONYMOUS, upgradeHead({ token: undefined, more })]) {
    const { status, body } = await rawExchange(port, head);
    t.match([status, body], [401, '"code":"missing_token"']);
  }
  const raw = await openSocket(t, port, upgradeHead({ more }));
  t.notMatch(raw.text, /sec-websocket-protocol/i, 'beside a header it is a name that nobody knows');
  t.equal(gateway.sockets.length, 0);
});

void t.test('in the first frame: let in as who it says, and the gate is asked once', async (t) => {
  const audit = audited(t);
  const limits = 'limits: { requestsPerMinute: 2 }';
  const stack = await relaying(t, FRAME, {
    more: audit.yaml,
    callers: `callers:\n${caller('reader', TOKENS.reader, ['operator.read'], `websocket: relay, ${limits}`)}`,
  });
  for (const nth of [1, 2, 3]) {
    const raw = await openSocket(t, stack.port, ANONYMOUS);
    raw.send(tokenFrame(TOKENS.reader, { scopes: ['operator.read', 'operator.admin'] }));
    const answer = await answered(raw);
    // The third alone is too many: the upgrade itself takes nothing of the limit.
    if (nth < 3) t.match(answer, { ok: true, payload: { auth: { scopes: ['operator.read'] } } });
    else
      t.match(answer, {
        ok: false,
        error: { code: 'UNAVAILABLE', details: { code: 'rate_limited' }, retryable: true },
      });
    const line = stack.nextLine();
    raw.socket.destroy();
    t.match(await line, { caller: 'reader', status: 101, end: nth < 3 ? 'caller_gone' : 'refused' });
  }
  t.equal(stack.gateway.sockets.length, 2);
  const records = await audit.records(9);
  t.strictSame(
    records.map(({ event, decision }) => decision ?? event),
    ['forward', 'forward', 'end', 'forward', 'forward', 'end', 'refuse', 'refuse', 'end'],
    'a decision, a connect, an end',
  );
  await nowhere(t, stack, [JSON.stringify(records)], [TOKENS.reader]);
});

void t.test('in the first frame: refused before anything is dialled, told, and kept', async (t) => {
  const gateway = await startRawGateway(t);
  const audit = audited(t);
  const stack = await relaying(t, FRAME, { gatewayUrl: gateway.url, more: audit.yaml });
  const strange = 'strange-token-0123456789-abcdef';
  const cases: Readonly<Record<string, { readonly bytes: Buffer; readonly code: string }>> = {
    'no auth': { bytes: frame(connectText()), code: 'missing_token' },
    'auth that is a text': { bytes: frame(connectText({ auth: TOKENS.reader })), code: 'missing_token' },
    'auth without a token': { bytes: frame(connectText({ auth: { password: TOKENS.reader } })), code: 'missing_token' },
    'a token that is null': { bytes: tokenFrame(null), code: 'bad_request' },
    'a token that is a list': { bytes: tokenFrame([TOKENS.reader]), code: 'bad_request' },
    'an unknown token': { bytes: tokenFrame(strange), code: 'invalid_token' },
    'an empty token': { bytes: tokenFrame(''), code: 'invalid_token' },
    'two tokens': { bytes: tokenFrame(`${TOKENS.reader} ${TOKENS.writer}`), code: 'invalid_token' },
    'a token with a line break': { bytes: tokenFrame(`${TOKENS.reader}\r\nx: y`), code: 'invalid_token' },
    'a token with a scheme': { bytes: tokenFrame(`Bearer ${TOKENS.reader}`), code: 'invalid_token' },
    'a token in another case': { bytes: tokenFrame(TOKENS.reader.toUpperCase()), code: 'invalid_token' },
    'a caller without a WebSocket': { bytes: tokenFrame(SOCKET_TOKENS.plain), code: 'route_not_exposed' },
    'a caller with a tunnel': { bytes: tokenFrame(SOCKET_TOKENS.signer), code: 'bad_request' },
    'a good token, but no scope': { bytes: tokenFrame(TOKENS.reader, { scopes: [] }), code: 'insufficient_scope' },
    'a good token, but a role of its own': { bytes: tokenFrame(TOKENS.reader, { role: 'node' }), code: 'bad_request' },
  };
  for (const [name, { bytes, code }] of Object.entries(cases)) {
    await t.test(name, async (t) => {
      const line = stack.nextLine();
      const raw = await openSocket(t, stack.port, ANONYMOUS);
      raw.send(bytes);
      t.match(await answered(raw), { type: 'res', id: 'c1', ok: false, error: { details: { code } } });
      raw.send(frame(closing(1000), { opcode: 8 }));
      const { close, messages } = told(await raw.closed());
      t.match(close, { code: 1008, reason: new RegExp(`^${code}: `) });
      t.equal(messages.length, 1);
      t.match(await line, { status: 101, end: 'refused', socket: { close: 1008 } });
      t.match(
        stack.lines.findLast(({ msg }) => msg === 'socket refused'),
        { code },
      );
    });
  }
  t.strictSame(gateway.connections, []);
  const records = JSON.stringify(await audit.records(2 * Object.keys(cases).length));
  await nowhere(t, stack, [records], [...Object.values(TOKENS), ...Object.values(SOCKET_TOKENS), strange]);
});

void t.test('in the first frame: who shows a header as well is asked by it', async (t) => {
  const gateway = await startRawGateway(t);
  const stack = await relaying(t, FRAME, { gatewayUrl: gateway.url });
  for (const head of [
    upgradeHead({ token: 'x'.repeat(30) }),
    upgradeHead({ token: undefined, more: 'Authorization: Basic YTpi\r\n' }),
    upgradeHead({ token: undefined, more: 'Authorization:\r\n' }),
  ]) {
    t.equal((await rawExchange(stack.port, head)).status, 401);
  }
  const raw = await openSocket(t, stack.port);
  raw.send(tokenFrame(TOKENS.writer));
  t.match(await answered(raw), { ok: false, error: { details: { code: 'invalid_token' } } });
  t.match(told(await raw.until((text) => told(text).close !== undefined)).close, { code: 1008 });
  t.strictSame(gateway.connections, []);
});

void t.test('in the first frame: what else is wrong with the upgrade is told as always', async (t) => {
  const gateway = await startRawGateway(t);
  const stack = await relaying(t, FRAME, { gatewayUrl: gateway.url });
  const token = undefined;
  for (const [head, status] of [
    [upgradeHead({ token, line: 'GET /x HTTP/1.1' }), 401],
    [upgradeHead({ token, line: 'GET /?x HTTP/1.1' }), 401],
    [upgradeHead({ token, line: 'POST / HTTP/1.1' }), 400],
    [upgradeHead({ token, without: ['sec-websocket-version'] }), 426],
    [upgradeHead({ token, without: ['host'], more: 'Host: evil.example\r\n' }), 421],
    [upgradeHead({ token, more: 'Origin: https://evil.example\r\n' }), 403],
    [upgradeHead({ token, more: 'Content-Length: 0\r\n' }), 400],
    [ANONYMOUS + get('/v1/models'), 400],
    [upgradeHead({ token, without: ['upgrade'] }), 401],
  ] as const) {
    t.equal((await rawExchange(stack.port, head)).status, status, head);
  }
  t.strictSame(gateway.connections, []);
});

void t.test('in the first frame: it has its time', async (t) => {
  const gateway = await startRawGateway(t);
  const limits = { handshakeLimits: { handshake: 15_000, firstFrame: 100 } };
  const stack = await relaying(t, FRAME, { gatewayUrl: gateway.url, limits });
  const named = await openSocket(t, stack.port);
  for (const bytes of ['', 'x']) {
    const line = stack.nextLine();
    const raw = await openSocket(t, stack.port, ANONYMOUS);
    raw.send(frame(bytes, { opcode: 9 }));
    await raw.until((text) => told(text).close !== undefined);
    raw.send(frame(closing(1000), { opcode: 8 }));
    t.strictSame(told(await raw.closed()).close, { code: 1008, reason: 'handshake timeout' });
    t.match(await line, { end: 'refused', socket: { close: 1008 } });
  }
  t.equal(told(named.text).close, undefined, 'who has shown a token has longer');
  t.strictSame(gateway.connections, []);
});

/** Opens until it is refused. @returns those that are open */
async function fill(
  t: Test,
  { port }: Stack,
  from: string,
): Promise<{ readonly open: RawConnection[]; readonly refused: string }> {
  const open: RawConnection[] = [];
  for (;;) {
    const raw = await openRaw(t, port);
    raw.send(upgradeHead({ token: undefined, more: `X-Forwarded-For: ${from}\r\n` }));
    const text = await raw.until((now) => told(now).challenge !== undefined || now.endsWith('}}'));
    if (text.startsWith('HTTP/1.1 429')) return { open, refused: await raw.closed() };
    open.push(raw);
  }
}

void t.test('in the first frame: 16 of one address wait at most, and 64 in all', async (t) => {
  const stack = await startStack(t, {
    deviceStore: 'memory',
    callers: socketCallers(),
    listen: `{ port: 0, trustedProxies: [127.0.0.1], websocket: { ${FRAME} } }`,
  });
  const { open: first, refused } = await fill(t, stack, '198.51.100.1');
  t.equal(first.length, 16);
  t.match(refused, '"code":"too_many_sockets"');
  t.match(stack.lines.at(-1), { status: 429, code: 'too_many_sockets', end: 'refused' });
  const counts = [];
  for (const from of [2, 3, 4, 5]) counts.push((await fill(t, stack, `198.51.100.${from}`)).open.length);
  t.strictSame(counts, [16, 16, 16, 0]);
  t.equal((await openSocket(t, stack.port)).socket.destroyed, false, 'who has a header is let in');

  // One shows its token, one is refused, one leaves: each makes room for one.
  const [a, b, c] = first as [RawConnection, RawConnection, RawConnection];
  a.send(tokenFrame(TOKENS.reader));
  t.match(await answered(a), { ok: true });
  t.equal((await fill(t, stack, '198.51.100.6')).open.length, 1);
  b.send(tokenFrame('x'.repeat(30)));
  await answered(b);
  b.send(frame(closing(1000), { opcode: 8 }));
  await b.closed();
  t.equal((await fill(t, stack, '198.51.100.6')).open.length, 1);
  const line = stack.nextLine();
  c.socket.resetAndDestroy();
  await line;
  t.equal((await fill(t, stack, '198.51.100.6')).open.length, 1);
});

void t.test('in the first frame: failing tokens are counted with all other failed logins', async (t) => {
  const stack = await relaying(t, FRAME);
  const fail = async (nth: number): Promise<unknown> => {
    const raw = await openSocket(t, stack.port, ANONYMOUS);
    raw.send(tokenFrame(`wrong-token-${nth}-0123456789-abcdef`));
    const { error } = (await answered(raw)) as { error: { details: { code: string } } };
    raw.send(frame(closing(1000), { opcode: 8 }));
    t.equal(told(await raw.closed()).close?.code, 1008);
    return error;
  };
  for (let nth = 0; nth < 10; nth++) t.match(await fail(nth), { details: { code: 'invalid_token' } });
  t.match(await fail(10), {
    code: 'UNAVAILABLE',
    details: { code: 'rate_limited' },
    retryable: true,
    retryAfterMs: Number,
  });
  const plain = await rawExchange(stack.port, get('/v1/models', '', 'x'.repeat(30)));
  t.equal(plain.status, 429, 'over HTTP as well');
  const raw = await openSocket(t, stack.port, ANONYMOUS);
  raw.send(tokenFrame(TOKENS.reader));
  t.match(await answered(raw), { ok: true }, 'a right token passes at any time');
});

void t.test('in the first frame: its caller is asked as everywhere', async (t) => {
  const one = caller('reader', TOKENS.reader, ['operator.read'], 'websocket: relay, limits: { sockets: 1 }');
  const away = caller('writer', TOKENS.writer, ['operator.write'], 'websocket: relay, from: [198.51.100.0/24]');
  const stack = await relaying(t, FRAME, { callers: `callers:\n${one}\n${away}` });
  const enter = async (token: string): Promise<unknown> => {
    const raw = await openSocket(t, stack.port, ANONYMOUS);
    raw.send(tokenFrame(token));
    return answered(raw);
  };
  t.match(await enter(TOKENS.reader), { ok: true });
  t.match(await enter(TOKENS.reader), { ok: false, error: { details: { code: 'too_many_sockets' } } });
  t.match(await enter(TOKENS.writer), { ok: false, error: { details: { code: 'invalid_token' } } });
  t.match(
    stack.lines.findLast(({ msg }) => msg === 'socket refused'),
    { code: 'invalid_token' },
  );
  t.equal(stack.gateway.sockets.length, 1);
});

void t.test('as a subprotocol: let in, answered openclaw.v1, and nowhere to be seen', async (t) => {
  const audit = audited(t);
  const stack = await relaying(t, SUBPROTOCOL, { more: audit.yaml });
  for (const offered of [
    `openclaw.v1, bearer.${TOKENS.reader}`,
    `bearer.${TOKENS.reader},openclaw.v1`,
    `other, openclaw.v1,bearer.${TOKENS.reader}`,
    `openclaw.v1\r\nSec-WebSocket-Protocol: bearer.${TOKENS.reader}`,
  ]) {
    const raw = await openSocket(
      t,
      stack.port,
      upgradeHead({ token: undefined, more: `Sec-WebSocket-Protocol: ${offered}\r\n` }),
    );
    t.match(told(raw.text).head, /\r\nSec-WebSocket-Protocol: openclaw\.v1\r\n/);
    t.notOk(raw.text.includes(TOKENS.reader));
    raw.send(frame(connectText()));
    t.match(await answered(raw), { ok: true });
    const { rawHeaders } = stack.gateway.sockets.at(-1) ?? {};
    t.notMatch(rawHeaders, /protocol/i, 'and the gateway is offered none');
    const line = stack.nextLine();
    raw.socket.destroy();
    t.match(await line, { caller: 'reader' });
  }
  await nowhere(t, stack, [JSON.stringify(await audit.records(12))], [TOKENS.reader]);
});

void t.test('as a subprotocol: a real client', async (t) => {
  const { url } = await relaying(t, SUBPROTOCOL);
  const ws = new WebSocket(url.replace('http', 'ws'), ['openclaw.v1', `bearer.${TOKENS.reader}`]);
  t.teardown(() => ws.terminate());
  await new Promise((resolve, reject) => ws.once('message', resolve).once('error', reject));
  t.equal(ws.protocol, 'openclaw.v1');
});

void t.test('as a subprotocol: refused', async (t) => {
  const gateway = await startRawGateway(t);
  const audit = audited(t);
  const stack = await relaying(t, `${SUBPROTOCOL}, ${FRAME}`, { gatewayUrl: gateway.url, more: audit.yaml });
  const bearer = `bearer.${TOKENS.reader}`;
  const cases = [
    ['the bearer alone', bearer, 400],
    ['the bearer beside another', `other, ${bearer}`, 400],
    ['the bearer beside openclaw.v2', `openclaw.v2, ${bearer}`, 400],
    ['two bearers', `openclaw.v1, ${bearer}, bearer.${TOKENS.writer}`, 400],
    ['the same bearer twice', `openclaw.v1, ${bearer}, ${bearer}`, 400],
    ['the bearer twice, on two lines', `openclaw.v1, ${bearer}\r\nSec-WebSocket-Protocol: ${bearer}`, 400],
    ['openclaw.v1 twice', `openclaw.v1, openclaw.v1, ${bearer}`, 400],
    ['beside a header', `openclaw.v1, ${bearer}\r\nAuthorization: Bearer ${TOKENS.reader}`, 400],
    ['beside an empty header', `openclaw.v1, ${bearer}\r\nAuthorization:`, 400],
    [
      'beside a header that Connection names',
      `openclaw.v1, ${bearer}\r\nConnection: authorization\r\nAuthorization: Bearer ${TOKENS.reader}`,
      400,
    ],
    ['a list with an empty member', `openclaw.v1,, ${bearer}`, 400],
    ['an unknown token', `openclaw.v1, bearer.${'x'.repeat(30)}`, 401],
    ['an empty token', 'openclaw.v1, bearer.', 401],
    ['a caller without a WebSocket', `openclaw.v1, bearer.${SOCKET_TOKENS.plain}`, 404],
  ] as const;
  for (const [name, offered, status] of cases) {
    await t.test(name, async (t) => {
      const line = stack.nextLine();
      const head = upgradeHead({ token: undefined, more: `Sec-WebSocket-Protocol: ${offered}\r\n` });
      const answer = await rawExchange(stack.port, head);
      t.equal(answer.status, status);
      t.notMatch(answer.text, /sec-websocket-protocol:/i);
      t.notOk(answer.text.includes(TOKENS.reader));
      t.match(await line, { status, end: 'refused' });
    });
  }
  t.strictSame(gateway.connections, []);
  const records = JSON.stringify(await audit.records(cases.length));
  await nowhere(t, stack, [records], [...Object.values(TOKENS), ...Object.values(SOCKET_TOKENS)]);
});

void t.test('as a subprotocol: openclaw.v1 without a bearer needs a token elsewhere', async (t) => {
  const more = 'Sec-WebSocket-Protocol: openclaw.v1\r\n';
  const strict = await relaying(t, SUBPROTOCOL);
  t.equal((await rawExchange(strict.port, upgradeHead({ token: undefined, more }))).status, 401);
  const withHeader = await openSocket(t, strict.port, upgradeHead({ more }));
  t.match(withHeader.text, 'Sec-WebSocket-Protocol: openclaw.v1\r\n');

  const both = await relaying(t, `${SUBPROTOCOL}, ${FRAME}`);
  const raw = await openSocket(t, both.port, upgradeHead({ token: undefined, more }));
  raw.send(tokenFrame(TOKENS.reader));
  t.match(await answered(raw), { ok: true });
  const bearer = `Sec-WebSocket-Protocol: openclaw.v1, bearer.${TOKENS.reader}\r\n`;
  const other = await openSocket(t, both.port, upgradeHead({ token: undefined, more: bearer }));
  other.send(tokenFrame(TOKENS.writer));
  t.match(await answered(other), { ok: false, error: { details: { code: 'invalid_token' } } });
});

void t.test('as a subprotocol: a tunnel is answered it, and its gateway gets none', async (t) => {
  const gateway = await startRawGateway(t, { onRequest: ({ socket }) => void socket.write(switching()) });
  const { port } = await relaying(t, SUBPROTOCOL, { gatewayUrl: gateway.url });
  const raw = await openRaw(t, port);
  const more = `Sec-WebSocket-Protocol: openclaw.v1, bearer.${SOCKET_TOKENS.signer}\r\n`;
  raw.send(upgradeHead({ token: undefined, more }));
  const text = await raw.until((now) => now.endsWith('\r\n\r\n'));
  t.match(text, /^HTTP\/1\.1 101 /);
  t.equal(text.match(/\r\nsec-websocket-protocol: openclaw\.v1\r\n/gi)?.length, 1);
  t.notMatch(gateway.text, /protocol|bearer/i);
});
