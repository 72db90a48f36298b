/** The first frames of the gateway's WebSocket protocol. */
import { createPublicKey, verify } from 'node:crypto';
import t from 'tap';
import {
  answerFrame,
  buildConnect,
  challengeFrame,
  cleanHello,
  withoutDevice,
  errorFrame,
  readChallenge,
  readConnect,
  readConnectAnswer,
  scopesFor,
  type AskedConnect,
  type Connecting,
} from '../../src/gateway/connect.ts';
import { createDevice } from '../../src/gateway/device.ts';
import type { Scope } from '../../src/types.ts';

const bytes = (frame: unknown): Buffer => Buffer.from(typeof frame === 'string' ? frame : JSON.stringify(frame));
const connect = (params: object, more: object = {}): Buffer =>
  bytes({ type: 'req', id: '1', method: 'connect', params: { minProtocol: 3, maxProtocol: 4, ...params }, ...more });
const NOTHING: AskedConnect = {
  id: '1',
  minProtocol: 3,
  maxProtocol: 4,
  caps: [],
  locale: undefined,
  scopes: undefined,
  token: undefined,
};

void t.test('what a caller may ask', async (t) => {
  const cases: readonly (readonly [params: object, asked: Partial<AskedConnect>])[] = [
    [{}, {}],
    [{ role: 'operator' }, {}],
    [
      { minProtocol: 1, maxProtocol: 1 },
      { minProtocol: 1, maxProtocol: 1 },
    ],
    [
      { minProtocol: 9, maxProtocol: 2 },
      { minProtocol: 9, maxProtocol: 2 },
    ],
    [{ scopes: [] }, { scopes: [] }],
    [{ scopes: ['operator.write', 'operator.admin'] }, { scopes: ['operator.write', 'operator.admin'] }],
    [{ scopes: ['operator.read', 'operator.root', 'Operator.Admin', '', 7, null, ['operator.admin']] }, { scopes: ['operator.read'] }], // prettier-ignore
    [{ auth: { token: 't' } }, { token: 't' }],
    [{ auth: {} }, {}],
    [{ auth: null }, {}],
    [{ auth: { password: 'p', deviceToken: 'd', bootstrapToken: 'b' } }, {}],
    [{ auth: { token: '' } }, { token: '' }],
  ];
  for (const [params, asked] of cases) {
    t.strictSame(readConnect(connect(params)), { ...NOTHING, ...asked }, JSON.stringify(params));
  }
});

void t.test('nothing else of the frame is the caller’s to ask', async (t) => {
  const asked = readConnect(
    connect({
      client: { id: 'openclaw-control-ui', mode: 'ui', version: '1', displayName: 'admin' },
      device: { id: 'x', publicKey: 'y', signature: 'z', signedAt: 1, nonce: 'n' },
      auth: { token: 't', password: 'p' },
      permissions: { exec: true },
      commands: ['x'],
      pathEnv: '/evil',
      userAgent: 'x',
      ['__proto__']: { scopes: ['operator.admin'] },
    }),
  );
  t.strictSame(asked, { ...NOTHING, token: 't' });
});

void t.test('capabilities and locale: those that are known, and those that are short', async (t) => {
  const capsOf = (caps: unknown): unknown => (readConnect(connect({ caps })) as AskedConnect).caps;
  t.strictSame(capsOf(['tool-events', 'approvals', 'x', 'tool-events', 7, null, 'Approvals']), ['approvals', 'tool-events']); // prettier-ignore
  for (const none of [undefined, null, 'approvals', { 0: 'approvals', length: 1 }, []]) t.strictSame(capsOf(none), []);
  const localeOf = (locale: unknown): unknown => (readConnect(connect({ locale })) as AskedConnect).locale;
  for (const locale of ['en-US', 'zh_Hant', 'x'.repeat(64)]) t.equal(localeOf(locale), locale);
  for (const locale of ['', 'x'.repeat(65), 'en US', 'en\n', '<b>', 7, null, ['en']]) t.equal(localeOf(locale), undefined); // prettier-ignore
});

void t.test('a first frame that is none', async (t) => {
  const cases: readonly (readonly [frame: Buffer, fault: string, id: string | undefined])[] = [
    [bytes(''), 'the first frame must be JSON in UTF-8, without a content coding', undefined],
    [bytes('GET / HTTP/1.1'), 'the first frame must be JSON in UTF-8, without a content coding', undefined],
    [Buffer.from('{"type":"\xff"}', 'latin1'), 'the first frame must be JSON in UTF-8, without a content coding', undefined], // prettier-ignore
    [bytes('[]'), 'the first frame must be a JSON object', undefined],
    [bytes('{"type":"req","id":"1","id":"2"}'), 'the first frame has a duplicate key', undefined],
    [connect({ a: JSON.parse('['.repeat(64) + ']'.repeat(64)) as unknown }), 'the first frame is nested deeper than 64 levels', undefined], // prettier-ignore
    [connect({}, { type: 'res' }), 'the first frame must be a request with an id', '1'],
    [connect({}, { type: undefined }), 'the first frame must be a request with an id', '1'],
    [connect({}, { id: undefined }), 'the first frame must be a request with an id', undefined],
    [connect({}, { id: '' }), 'the first frame must be a request with an id', undefined],
    [connect({}, { id: 1 }), 'the first frame must be a request with an id', undefined],
    [connect({}, { id: 'x'.repeat(257) }), 'the first frame must be a request with an id', undefined],
    [connect({}, { method: 'chat.send' }), 'the first request must be connect', '1'],
    [connect({}, { method: 'Connect' }), 'the first request must be connect', '1'],
    [connect({}, { method: ['connect'] }), 'the first request must be connect', '1'],
    [connect({}, { params: undefined }), 'connect needs params', '1'],
    [connect({}, { params: [] }), 'connect needs params', '1'],
    [connect({}, { params: null }), 'connect needs params', '1'],
    ...[undefined, null, 0, -1, 1.5, '3', 2 ** 53, [3]].flatMap((version) =>
      [{ minProtocol: version }, { maxProtocol: version }].map(
        (params) => [connect(params), 'connect needs minProtocol and maxProtocol', '1'] as const,
      ),
    ),
    ...['node', 'Operator', '', null, 1, ['operator']].map(
      (role) => [connect({ role }), 'the only role here is operator', '1'] as const,
    ),
    ...['operator.admin', null, {}, 7].map(
      (scopes) => [connect({ scopes }), 'connect.scopes must be a list', '1'] as const,
    ),
    ...[null, 7, ['t'], {}].map(
      (token) => [connect({ auth: { token } }), 'connect.auth.token must be a text', '1'] as const,
    ),
  ];
  for (const [frame, fault, id] of cases) {
    t.strictSame(readConnect(frame), { fault, id }, frame.toString('latin1').slice(0, 100));
  }
  t.match(readConnect(connect({}, { id: 'x'.repeat(256) })), { minProtocol: 3 }, 'an id of the greatest length');
});

void t.test('scopes: what is asked, as far as it is allowed', async (t) => {
  const cases: readonly (readonly [asked: readonly Scope[] | undefined, allowed: readonly Scope[], given: Scope[]])[] =
    [
      [undefined, ['operator.read', 'operator.write'], ['operator.write']],
      [undefined, [], []],
      [[], ['operator.admin'], []],
      [['operator.admin'], ['operator.write'], ['operator.write']],
      [['operator.read'], ['operator.admin'], ['operator.read']],
      [['operator.approvals'], ['operator.write'], []],
    ];
  for (const [asked, allowed, given] of cases) t.strictSame(scopesFor(asked, allowed), given);
});

const device = createDevice();
const WHO: Connecting = {
  asked: { ...NOTHING, caps: ['approvals'], scopes: ['operator.admin'], token: 'of the caller' },
  caller: 'page',
  instance: undefined,
  scopes: ['operator.read', 'operator.write'],
  device,
  auth: { token: 'of the gateway' },
  version: '1.2.3',
};
const CHALLENGE = { nonce: 'n-1', ts: 1_795_000_000_123 };

function built(more: Partial<Connecting> = {}): { params: Record<string, unknown> } & Record<string, unknown> {
  return JSON.parse(buildConnect('id-7', { ...WHO, ...more }, CHALLENGE)) as never;
}

void t.test('the connect of the shim, whole', async (t) => {
  const frame = built();
  const { device: signed, ...params } = frame.params;
  t.strictSame(
    { ...frame, params },
    {
      type: 'req',
      id: 'id-7',
      method: 'connect',
      params: {
        minProtocol: 3,
        maxProtocol: 4,
        client: { id: 'cli', mode: 'cli', platform: 'node', version: '1.2.3', displayName: 'shim:page' },
        caps: ['approvals'],
        role: 'operator',
        scopes: ['operator.read', 'operator.write'],
        auth: { token: 'of the gateway' },
      },
    },
  );
  t.match(signed, { id: device.id, publicKey: device.publicKey, signedAt: CHALLENGE.ts, nonce: 'n-1' });
  t.notMatch(JSON.stringify(frame), /of the caller|operator\.admin/);
});

void t.test('the connect of the shim, in parts', async (t) => {
  t.match(built({ instance: 'a1b2' }).params.client, { displayName: 'shim:page@a1b2' });
  t.strictSame(built({ auth: { password: 'p' } }).params.auth, { password: 'p' });
  t.notOk('auth' in built({ auth: undefined }).params);
  t.notOk('locale' in built().params);
  t.equal(built({ asked: { ...WHO.asked, locale: 'en-US' } }).params.locale, 'en-US');
  t.strictSame(built({ scopes: [] }).params.scopes, []);
});

void t.test('what the device signs is what the frame says', async (t) => {
  const key = createPublicKey({
    key: { kty: 'OKP', crv: 'Ed25519', x: device.publicKey },
    format: 'jwk',
  });
  const cases: readonly (readonly [more: Partial<Connecting>, scopes: string, token: string])[] = [
    [{}, 'operator.read,operator.write', 'of the gateway'],
    [{ scopes: ['operator.admin'] }, 'operator.admin', 'of the gateway'],
    [{ auth: { password: 'p' } }, 'operator.read,operator.write', ''],
    [{ auth: undefined }, 'operator.read,operator.write', ''],
  ];
  for (const [more, scopes, token] of cases) {
    const { signature } = built(more).params.device as { readonly signature: string };
    const text = `v2|${device.id}|cli|cli|operator|${scopes}|${CHALLENGE.ts}|${token}|n-1`;
    t.ok(verify(null, Buffer.from(text), key, Buffer.from(signature, 'base64url')), text);
  }
});

void t.test('the gateway’s challenge', async (t) => {
  const challenge = (payload: unknown, more: object = {}): Buffer =>
    bytes({ type: 'event', event: 'connect.challenge', payload, ...more });
  t.strictSame(readChallenge(challenge(CHALLENGE)), CHALLENGE);
  t.strictSame(readChallenge(challenge({ ...CHALLENGE, capabilities: ['x'] })), CHALLENGE, 'of 2026.9.6');
  t.strictSame(readChallenge(bytes(challengeFrame('n', 5))), { nonce: 'n', ts: 5 }, 'ours is one');
  const others = [
    challenge(CHALLENGE, { type: 'res' }),
    challenge(CHALLENGE, { event: 'tick' }),
    challenge(undefined),
    challenge([]),
    challenge({ nonce: 1, ts: 1 }),
    challenge({ nonce: 'n' }),
    challenge({ nonce: 'n', ts: '1' }),
    bytes('null'),
    bytes('['),
    bytes(''),
  ];
  for (const frame of others) t.equal(readChallenge(frame), undefined, frame.toString());
});

const HELLO = { type: 'hello-ok', protocol: 3 };

void t.test('the gateway’s answer', async (t) => {
  const answer = (more: object): unknown => readConnectAnswer(bytes({ type: 'res', id: 'i', ...more }), 'i');
  t.strictSame(answer({ ok: true, payload: HELLO }), { ok: true, payload: HELLO });
  const error = {
    code: 'NOT_PAIRED',
    message: 'pairing required',
    details: { code: 'PAIRING_REQUIRED', reason: 'scope-upgrade', requestId: 'r' },
    retryable: false,
  };
  const about = { code: 'NOT_PAIRED', message: 'pairing required', detail: 'PAIRING_REQUIRED', reason: 'scope-upgrade' }; // prettier-ignore
  t.strictSame(answer({ ok: false, error }), { ok: false, error, about });
  const nothing = { code: '', message: '', detail: '', reason: '' };
  const noHello = [
    { ok: true, payload: { type: 'hello' } },
    { ok: true, payload: [] },
    { ok: true },
    { ok: 'true', payload: HELLO },
    { payload: HELLO },
    { ok: false, payload: HELLO },
    { ok: false, error: 'no' },
    { ok: false, error: null },
  ];
  for (const one of noHello) t.strictSame(answer(one), { ok: false, error: {}, about: nothing }, JSON.stringify(one));
  const odd = { code: 1, message: {}, details: { code: ['PAIRING_REQUIRED'], reason: 2 } };
  t.strictSame(answer({ ok: false, error: odd }), { ok: false, error: odd, about: nothing });
});

void t.test('other frames before the answer are none', async (t) => {
  const others = [
    { type: 'event', event: 'tick', id: 'i', ok: true, payload: HELLO },
    { type: 'res', id: 'j', ok: true, payload: HELLO },
    { type: 'res', ok: true, payload: HELLO },
  ];
  for (const frame of others) t.equal(readConnectAnswer(bytes(frame), 'i'), undefined);
  for (const text of ['', '[', 'null', '[]', '7']) t.equal(readConnectAnswer(bytes(text), 'i'), undefined);
});

/** The shapes of three releases, with what is not for the caller. */
void t.test('the caller’s hello: no URL, no device token, no scope of another connection', async (t) => {
  const snapshot = { presence: [{ host: 'h' }], uptimeMs: 5 };
  const cases: readonly (readonly [release: string, payload: object, given: readonly Scope[], hello: object])[] = [
    [
      '2026.3.28: scopes of the device',
      {
        ...HELLO,
        snapshot,
        canvasHostUrl: 'http://127.0.0.1:18789',
        auth: { deviceToken: 'secret', role: 'operator', scopes: ['operator.admin', 'operator.read'], issuedAtMs: 1 },
      },
      ['operator.write'],
      { ...HELLO, snapshot, auth: { role: 'operator', scopes: ['operator.write'] } },
    ],
    [
      '2026.3.28: without auth',
      { ...HELLO, snapshot },
      ['operator.write'],
      { ...HELLO, snapshot, auth: { role: 'operator', scopes: ['operator.write'] } },
    ],
    [
      '2026.9.6',
      {
        ...HELLO,
        pluginSurfaceUrls: { canvas: 'http://127.0.0.1:18789/__openclaw__/cap/secret' },
        auth: { method: 'token', role: 'node', scopes: ['operator.write', 'operator.read', 'new.scope', 7], recoveryScope: 'x', deviceToken: 'secret' }, // prettier-ignore
      },
      ['operator.write'],
      { ...HELLO, auth: { role: 'operator', scopes: ['operator.write'] } },
    ],
    [
      'deep within',
      {
        ...HELLO,
        policy: { surfaces: [{ name: 'a', URL: 'x', endpoint: 'WSS://gateway/secret' }, 'https://gateway/secret', 'plain'] }, // prettier-ignore
        curl: 1,
        urls: ['x'],
        baseUrl: { a: 1 },
        note: 'see http://docs',
        auth: { scopes: 'operator.admin' },
      },
      ['operator.read'],
      { ...HELLO, policy: { surfaces: [{ name: 'a' }, 'plain'] }, note: 'see http://docs', auth: { role: 'operator', scopes: ['operator.read'] } }, // prettier-ignore
    ],
  ];
  for (const [release, payload, given, hello] of cases) {
    const before = JSON.stringify(payload);
    const cleaned = cleanHello(payload as Record<string, unknown>, given, given);
    t.strictSame(cleaned, hello, release);
    t.notMatch(JSON.stringify(cleaned), /secret|127\.0\.0\.1/, release);
    t.equal(JSON.stringify(payload), before, 'what came is left as it is');
  }
});

void t.test('scopes by the names that the caller asked for', async (t) => {
  const told = (wanted: Scope[], given: Scope[], reported: unknown): unknown =>
    cleanHello({ ...HELLO, auth: { scopes: reported } }, wanted, given).auth;
  const named = (scopes: Scope[]): object => ({ role: 'operator', scopes });
  const both: Scope[] = ['operator.read', 'operator.write'];
  t.strictSame(told(both, ['operator.write'], ['operator.write']), named(both), 'read is within write');
  t.strictSame(told(['operator.admin'], ['operator.write'], ['operator.write']), named(['operator.write']), 'cut');
  t.strictSame(told(both, ['operator.write'], ['operator.read']), named(['operator.read']), 'as the gateway says');
  t.strictSame(told(both, ['operator.write'], []), named([]));
  const admin: Scope[] = ['operator.admin'];
  t.strictSame(told(admin, admin, ['operator.write']), named(['operator.write']), 'cut by another shim');
});

void t.test('frames to the caller', async (t) => {
  t.strictSame(JSON.parse(challengeFrame('n', 5)), { type: 'event', event: 'connect.challenge', payload: { nonce: 'n', ts: 5 } }); // prettier-ignore
  t.strictSame(JSON.parse(answerFrame('1', HELLO)), { type: 'res', id: '1', ok: true, payload: HELLO });
  t.strictSame(JSON.parse(errorFrame('1', { code: 'X', message: 'y' })), { type: 'res', id: '1', ok: false, error: { code: 'X', message: 'y' } }); // prettier-ignore
});

void t.test('an error of the gateway does not name the device of the shim', async (t) => {
  const error = {
    code: 'NOT_PAIRED',
    message: 'pairing required',
    details: { deviceId: 'd'.repeat(64), reason: 'scope' },
  };
  t.strictSame(withoutDevice(error), { ...error, details: { reason: 'scope' } });
  t.strictSame(error.details.deviceId.length, 64, 'it is left as it was');
  for (const details of [undefined, null, 'deviceId', ['deviceId']]) {
    t.strictSame(withoutDevice({ code: 'X', details }), { code: 'X', details });
  }
});
