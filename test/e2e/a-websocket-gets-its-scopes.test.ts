import { createHash, createPublicKey, verify } from 'node:crypto';
import { chmodSync, readdirSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { mountDisk } from '../helpers/disk.ts';
import { codeOf, powers } from '../helpers/gateway-client.ts';
import { connectAs, lineOf, openAs, READER, socketCallers, startSockets, WRITER } from '../helpers/sockets.ts';
import { GATEWAY_SECRET, startStack, TOKENS, TRACEPARENT } from '../helpers/stack.ts';

const RELEASES = ['2026.3.28', '2026.5.28', '2026.9.6'] as const;

for (const release of RELEASES) {
  void t.test(`a bearer in the header is enough: ${release}`, async (t) => {
    const stack = await startSockets(t, { gateway: { release } });
    const writer = await connectAs(t, stack, 'writer', { scopes: ['operator.admin'] });
    t.equal(await powers(writer), 'read yes, write yes');
    const reader = await connectAs(t, stack, 'reader', { scopes: ['operator.admin', 'operator.write'] });
    t.equal(await powers(reader), 'read yes, write no', 'the gateway itself refuses');
    t.strictSame(stack.gateway.sockets.at(-1)?.methods, ['sessions.list', 'chat.send'], 'it was asked');
    t.strictSame(stack.gateway.sockets.at(-1)?.scopes, ['operator.read']);
  });
}

void t.test("the first frame is the shim's own", async (t) => {
  const stack = await startSockets(t);
  const ws = await connectAs(t, stack, 'writer', {
    scopes: ['operator.write', 'operator.pairing', 'no.such'],
    client: { id: 'gateway-client', mode: 'backend', displayName: 'evil', platform: 'beos' },
    params: {
      caps: ['tool-events', 'made-up'],
      locale: 'en_GB',
      userAgent: 'x',
      commands: ['rm'],
      permissions: { a: true },
      pathEnv: '/x',
    },
  });
  t.equal(ws.hello.ok, true);
  const [socket] = stack.gateway.sockets;
  t.strictSame(headersOf(socket?.rawHeaders ?? []), {
    host: `127.0.0.1:${stack.gateway.port}`,
    'x-openclaw-scopes': 'operator.write',
    traceparent: TRACEPARENT,
  });
  const { client, device, ...asked } = (socket?.connect ?? {}) as unknown as Record<string, unknown> & {
    device: Record<string, string | number>;
  };
  t.match(client, { id: 'cli', mode: 'cli', platform: 'node' });
  t.match((client as { displayName: string }).displayName, /^shim:writer@[0-9a-f]{8}$/, 'memory is this process alone');
  t.strictSame(Object.keys(client as object).sort(), ['displayName', 'id', 'mode', 'platform', 'version']);
  t.strictSame(asked, {
    minProtocol: 3,
    maxProtocol: 4,
    caps: ['tool-events'],
    role: 'operator',
    scopes: ['operator.write'],
    locale: 'en_GB',
    auth: { token: GATEWAY_SECRET },
  });
  const raw = Buffer.from(String(device.publicKey), 'base64url');
  t.equal(device.id, createHash('sha256').update(raw).digest('hex'));
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: String(device.publicKey) }, format: 'jwk' });
  const text = [
    'v2',
    device.id,
    'cli',
    'cli',
    'operator',
    'operator.write',
    device.signedAt,
    GATEWAY_SECRET,
    device.nonce,
  ];
  t.ok(verify(null, Buffer.from(text.join('|')), key, Buffer.from(String(device.signature), 'base64url')));
  t.match(lineOf(stack, 'socket connected'), {
    caller: 'writer',
    asked: ['operator.write', 'operator.pairing'],
    scopes: ['operator.write'],
    device: device.id,
  });
});

void t.test('who names no scopes gets all that they have, who names none of theirs nothing', async (t) => {
  const stack = await startSockets(t);
  await connectAs(t, stack, 'writer', { params: { scopes: undefined } });
  t.strictSame(stack.gateway.sockets[0]?.connect?.scopes, ['operator.write']);
  for (const scopes of [[], ['operator.approvals'], ['no.such']]) {
    const ws = await connectAs(t, stack, 'reader', { scopes });
    t.equal(codeOf(ws.hello), 'insufficient_scope');
    t.match(await ws.closed, { code: 1008, reason: /^insufficient_scope: None of the scopes/ });
  }
  t.equal(stack.gateway.sockets.length, 1, 'the gateway was not even called');
});

for (const release of RELEASES) {
  void t.test(`the hello holds nothing of the gateway's: ${release}`, async (t) => {
    const stack = await startSockets(t, { gateway: { release } });
    const { hello } = await connectAs(t, stack, 'writer');
    const { payload } = hello as { payload: Record<string, unknown> };
    t.equal(payload.type, 'hello-ok');
    t.strictSame(payload.auth, { role: 'operator', scopes: ['operator.read'] });
    t.match(payload, {
      policy: { maxPayload: 25 * 2 ** 20 },
      snapshot: { sessionDefaults: {} },
      features: { methods: Array },
    });
    const text = JSON.stringify(payload);
    for (const inside of [
      GATEWAY_SECRET,
      'http:',
      'canvas',
      'pluginSurfaceUrls',
      'deviceToken',
      `:${stack.gateway.port}`,
    ]) {
      t.notOk(text.includes(inside), inside);
    }
  });
}

void t.test('its own challenge', async (t) => {
  const stack = await startSockets(t);
  const client = openAs(t, stack, 'reader');
  const before = Date.now();
  const { type, event, payload } = await client.next();
  t.match({ type, event }, { type: 'event', event: 'connect.challenge' });
  const { nonce, ts } = payload as { nonce: string; ts: number };
  t.match(nonce, /^[0-9a-f-]{36}$/);
  t.ok(Math.abs(ts - before) < 5_000);
  t.match(client.upgrade(), { 'x-request-id': /^[0-9a-f-]{36}$/ });
  t.notOk('sec-websocket-extensions' in client.upgrade(), 'no compression');
  t.equal(stack.gateway.sockets.length, 0, 'the gateway is called when the first frame is there');
});

void t.test('the gateway says itself which protocol it speaks', async (t) => {
  const stack = await startSockets(t);
  const ws = await connectAs(t, stack, 'reader', { params: { minProtocol: 1, maxProtocol: 1 } });
  t.match(ws.hello, {
    ok: false,
    id: 'c',
    error: { code: 'INVALID_REQUEST', message: 'protocol mismatch', details: { expectedProtocol: 3 } },
  });
  t.strictSame(await ws.closed, { code: 1002, reason: 'protocol mismatch' });
});

void t.test('frames pass as they are, both ways', async (t) => {
  const stack = await startSockets(t);
  const { ws, next } = await connectAs(t, stack, 'writer');
  const gateway = stack.gateway.sockets[0]?.ws;
  const got: [string, boolean][] = [];
  const all = new Promise<void>((resolve) =>
    gateway?.on('message', (data: Buffer, binary: boolean) => {
      got.push([data.toString('latin1'), binary]);
      if (got.length === 3) resolve();
    }),
  );
  const odd = '{"type":"req", "id":"1","method":"x","method":"y"} ';
  ws.send(odd);
  ws.send(Buffer.from([0, 255, 128]), { binary: true });
  ws.send('');
  await all;
  t.strictSame(got, [
    [odd, false],
    ['\u0000\u00ff\u0080', true],
    ['', false],
  ]);

  const back = new Promise<[Buffer, boolean]>((resolve) =>
    ws.on('message', (data: Buffer, binary: boolean) => binary && resolve([data, binary])),
  );
  gateway?.send('{"type":"event","event":"x","payload":{"deviceToken":"t","u":"http://a/"}}');
  const large = Buffer.alloc(3 * 2 ** 20, 7);
  gateway?.send(large);
  const [data] = await back;
  t.ok(data.equals(large));
  let frame = await next();
  while (frame.event !== 'x') frame = await next();
  t.strictSame(frame.payload, { deviceToken: 't', u: 'http://a/' }, 'later frames are not read');
});

void t.test("a caller's scopes may grow", async (t) => {
  for (const release of RELEASES) {
    const devices = join(t.testdir(), release);
    const stack = await startSockets(t, { gateway: { release }, deviceStore: devices });
    await connectAs(t, stack, 'reader');
    const device = (): string => JSON.stringify(stack.gateway.sockets.at(-1)?.connect?.device).slice(0, 80);
    const before = device();
    await stack.reload(socketCallers({ reader: WRITER }));
    const grown = await connectAs(t, stack, 'reader', { scopes: ['operator.write'] });
    t.equal(await powers(grown), 'read yes, write yes', release);
    t.equal(device() === before, release === '2026.9.6', 'a new key where the old one would need an operator');
    const after = device();
    await connectAs(t, stack, 'reader', { scopes: ['operator.write'] });
    t.equal(device(), after, 'which is kept');
    t.strictSame(readdirSync(devices), ['reader.json']);
  }
});

void t.test('a new key that cannot be kept is used all the same, and ends with its socket', async (t) => {
  const { folder, skip } = mountDisk(t, '64k');
  if (skip !== false) {
    t.comment(skip);
    return;
  }
  const stack = await startSockets(t, { gateway: { release: '2026.5.28' }, deviceStore: join(folder, 'devices') });
  await connectAs(t, stack, 'reader');
  const { bavail, bsize } = statfsSync(folder);
  writeFileSync(join(folder, 'filler'), Buffer.alloc(bavail * bsize));
  await stack.reload(socketCallers({ reader: WRITER }));
  for (let i = 0; i < 2; i++) {
    const grown = await connectAs(t, stack, 'reader', { scopes: ['operator.write'] });
    t.equal(await powers(grown), 'read yes, write yes');
    t.match(lineOf(stack, 'the new device identity of this caller cannot be kept'), { caller: 'reader' });
    grown.ws.terminate();
    await stack.gateway.sockets.at(-1)?.closed;
  }
  t.equal(stack.gateway.devices.paired().length, 2, 'the same key is tried again');
});

void t.test('a device that waits for an operator', async (t) => {
  const stack = await startSockets(t, { gateway: { autoApproveLocal: false } });
  const ws = await connectAs(t, stack, 'reader');
  t.match(
    ws.hello,
    { ok: false, error: { code: 'NOT_PAIRED', details: { code: 'PAIRING_REQUIRED' } } },
    "the gateway's own error",
  );
  t.match(await ws.closed, { code: 1008, reason: /^pairing required/ });
  const [{ requestId, id } = { requestId: '', id: '' }] = stack.gateway.devices.waiting();
  t.match(
    stack.lines.find(({ level }) => level === 40),
    { caller: 'reader', msg: new RegExp(`openclaw devices approve ${requestId}`) },
  );
  t.match(lineOf(stack, 'socket refused'), { code: 'PAIRING_REQUIRED' });
  stack.gateway.devices.approve(id);
  const approved = await connectAs(t, stack, 'reader');
  t.equal(approved.hello.ok, true, 'the same device comes again');
});

void t.test('a frame that shows another token than the header', async (t) => {
  const stack = await startSockets(t);
  const same = await connectAs(t, stack, 'reader', { auth: { token: TOKENS.reader } });
  t.equal(same.hello.ok, true);
  for (const token of [TOKENS.writer, GATEWAY_SECRET, '']) {
    const other = await connectAs(t, stack, 'reader', { auth: { token } });
    t.equal(codeOf(other.hello), 'invalid_token');
    t.match(await other.closed, { code: 1008, reason: /^invalid_token/ });
  }
  t.equal(stack.gateway.sockets.length, 1);
});

void t.test('by hop', async (t) => {
  const password = 'gateway-password-0123456789';
  const env = { SECRET: password };
  const callers = socketCallers({ reader: READER });
  const auth = '{ mode: trusted-proxy, userHeader: x-user, password: { env: SECRET } }';
  const proxy = { mode: 'trusted-proxy', userHeader: 'x-user', password, allowLoopback: true } as const;
  await t.test('password', async (t) => {
    const stack = await startStack(t, {
      callers,
      env,
      deviceStore: 'memory',
      gateway: { auth: { mode: 'password', password } },
      auth: '{ mode: password, secret: { env: SECRET } }',
    });
    t.equal(await powers(await connectAs(t, stack, 'reader')), 'read yes, write no');
  });
  await t.test('none', async (t) => {
    const stack = await startStack(t, {
      callers,
      deviceStore: 'memory',
      gateway: { auth: { mode: 'none' } },
      auth: '{ mode: none }',
    });
    t.equal(await powers(await connectAs(t, stack, 'reader')), 'read yes, write no');
    t.notOk('auth' in (stack.gateway.sockets[0]?.connect ?? { auth: 0 }));
  });
  await t.test('trusted-proxy with the local password', async (t) => {
    const stack = await startStack(t, {
      callers,
      env,
      deviceStore: 'memory',
      gateway: { release: '2026.9.6', auth: proxy },
      auth,
    });
    t.equal(await powers(await connectAs(t, stack, 'reader')), 'read yes, write no');
    t.strictSame(Object.keys(headersOf(stack.gateway.sockets[0]?.rawHeaders ?? [])).sort(), [
      'host',
      'traceparent',
      'x-openclaw-scopes',
    ]);
  });
  await t.test('trusted-proxy by its headers', async (t) => {
    const stack = await startStack(t, {
      callers,
      deviceStore: 'memory',
      gateway: { release: '2026.9.6', auth: proxy },
      auth: '{ mode: trusted-proxy, userHeader: x-user }',
    });
    const ws = await connectAs(t, stack, 'reader');
    t.equal(codeOf(ws.hello), 'PAIRING_REQUIRED');
    t.match(headersOf(stack.gateway.sockets[0]?.rawHeaders ?? []), {
      'x-user': 'reader',
      'x-forwarded-for': '192.0.2.1',
      'x-openclaw-scopes': 'operator.read',
    });
    t.equal(stack.gateway.devices.waiting().length, 1, 'no second key is tried where none is paired silently');
    for (const { id } of stack.gateway.devices.waiting()) stack.gateway.devices.approve(id);
    t.equal(await powers(await connectAs(t, stack, 'reader')), 'read yes, write no', 'after one approval');
  });
});

/** Without those of the handshake itself. */
function headersOf(raw: readonly string[]): Record<string, string> {
  const own = /^(?:connection|upgrade|sec-websocket-.*)$/i;
  return Object.fromEntries(
    raw.flatMap((name, i) => (i % 2 === 0 && !own.test(name) ? [[name.toLowerCase(), raw[i + 1] as string]] : [])),
  );
}

void t.test('a store that cannot be used is told to the operator, not to the caller', async (t) => {
  const folder = t.testdir({ 'reader.json': '{}' });
  chmodSync(folder, 0o700);
  const stack = await startSockets(t, { deviceStore: folder });
  const ws = await connectAs(t, stack, 'reader');
  t.match(ws.hello, { id: 'c', ok: false, error: { code: 'UNAVAILABLE', details: { code: 'internal_error' } } });
  t.match(await ws.closed, { code: 1011, reason: /^internal_error: / });
  t.notMatch(JSON.stringify(ws.hello), folder);
  t.match(
    stack.lines.find(({ level }) => level === 50),
    { caller: 'reader', msg: /reader\.json has mode \d+: others may know its key/ },
  );
  t.equal(stack.gateway.sockets.length, 0);
});
