/** Who is let in by WebSocket, and with which scopes, by release. */
import { createHash } from 'node:crypto';
import t from 'tap';
import type { Release, StandInAuth } from '../../src/demo/gateway.ts';
import { codeOf, connect, newKey, powers, start, type Asking } from '../helpers/gateway-client.ts';

const TOKEN: StandInAuth = { mode: 'token', token: 'secret' };
const ALL = 'read yes, write yes';
const NONE = 'read no, write no';
const BACKEND = { id: 'gateway-client', mode: 'backend' };
const WEBCHAT = { id: 'webchat', mode: 'webchat' };
const PASSWORD: StandInAuth = { mode: 'password', password: 'secret' };
const PROXY: StandInAuth = { mode: 'trusted-proxy', userHeader: 'x-user', allowLoopback: true, password: 'local' };
const IDENTITY = { 'x-user': 'a', 'x-forwarded-for': '203.0.113.9' };

interface DoorCase {
  readonly name: string;
  /** The token mode unless told otherwise. */
  readonly auth?: StandInAuth;
  readonly asking: Asking & { readonly device?: true };
  /** What it may do, or the code of its refusal. */
  readonly answers: Readonly<Record<'2026.3.28' | '2026.5.28' | '2026.7.1' | '2026.9.6', string>>;
}

const byRelease = (...[a, b, c, d]: [string, string, string, string]): DoorCase['answers'] => ({
  '2026.3.28': a,
  '2026.5.28': b,
  '2026.7.1': c,
  '2026.9.6': d,
});
const always = (one: string): DoorCase['answers'] => byRelease(one, one, one, one);

const DOORS: readonly DoorCase[] = [
  { name: 'backend without a device', asking: { client: BACKEND }, answers: byRelease(NONE, ALL, ALL, ALL) },
  { name: 'cli without a device', asking: {}, answers: byRelease(NONE, NONE, ALL, ALL) },
  {
    name: 'another client without a device',
    asking: { client: { ...BACKEND, mode: 'ui' } },
    answers: always(NONE),
  },
  { name: 'backend with a device', asking: { client: BACKEND, device: true }, answers: always(ALL) },
  { name: 'another client with a device', asking: { client: { mode: 'ui' }, device: true }, answers: always(ALL) },
  {
    name: 'a wrong token without a device',
    asking: { auth: { token: 'other' } },
    answers: always('AUTH_TOKEN_MISMATCH'),
  },
  {
    name: 'a wrong token with a device',
    asking: { auth: { token: 'other' }, device: true },
    answers: always('AUTH_TOKEN_MISMATCH'),
  },
  { name: 'no token, no device', asking: { auth: null }, answers: always('DEVICE_IDENTITY_REQUIRED') },
  { name: 'no token, but a device', asking: { auth: null, device: true }, answers: always('AUTH_TOKEN_MISSING') },
  {
    name: 'the token in a header only',
    asking: { auth: null, device: true, headers: { authorization: 'Bearer secret' } },
    answers: always('AUTH_TOKEN_MISSING'),
  },
  {
    name: 'the password',
    auth: PASSWORD,
    asking: { auth: { password: 'secret' }, device: true },
    answers: always(ALL),
  },
  {
    name: 'a wrong password',
    auth: PASSWORD,
    asking: { auth: { password: 'other' }, device: true },
    answers: always('AUTH_PASSWORD_MISMATCH'),
  },
  {
    name: 'the password as token',
    auth: PASSWORD,
    asking: { device: true },
    answers: byRelease('AUTH_PASSWORD_MISSING', 'AUTH_PASSWORD_MISSING', 'AUTH_PASSWORD_MISSING', ALL),
  },
  {
    name: 'mode none with a device',
    auth: { mode: 'none' },
    asking: { auth: null, device: true },
    answers: always(ALL),
  },
  {
    name: 'mode none without a device',
    auth: { mode: 'none' },
    asking: { auth: null },
    answers: always('DEVICE_IDENTITY_REQUIRED'),
  },
  {
    name: 'an identity from a trusted proxy without a device',
    auth: PROXY,
    asking: { auth: null, headers: IDENTITY },
    answers: byRelease(ALL, NONE, NONE, NONE),
  },
  {
    name: 'an identity from a trusted proxy with a new device',
    auth: PROXY,
    asking: { auth: null, headers: IDENTITY, device: true },
    answers: always('PAIRING_REQUIRED'),
  },
  {
    name: 'beside a trusted proxy: cli with the local password',
    auth: PROXY,
    asking: { auth: { password: 'local' } },
    answers: byRelease('AUTH_UNAUTHORIZED', NONE, ALL, ALL),
  },
  {
    name: 'beside a trusted proxy: a device with the local password',
    auth: PROXY,
    asking: { auth: { password: 'local' }, device: true },
    answers: byRelease('AUTH_UNAUTHORIZED', ALL, ALL, ALL),
  },
  {
    name: 'beside a trusted proxy: a wrong password',
    auth: PROXY,
    asking: { auth: { password: 'other' }, device: true },
    answers: byRelease(
      'AUTH_UNAUTHORIZED',
      'AUTH_PASSWORD_MISMATCH',
      'AUTH_PASSWORD_MISMATCH',
      'AUTH_PASSWORD_MISMATCH',
    ),
  },
  {
    name: 'behind a trusted proxy: the local password and no identity',
    auth: PROXY,
    asking: { auth: { password: 'local' }, device: true, headers: { 'x-forwarded-for': '203.0.113.9' } },
    answers: always('AUTH_UNAUTHORIZED'),
  },
  {
    name: 'a Host that is not local, with a device',
    asking: { device: true, headers: { host: 'gateway.example' } },
    answers: byRelease('PAIRING_REQUIRED', ALL, ALL, ALL),
  },
  {
    name: 'a local Origin with a device',
    asking: { device: true, headers: { origin: 'http://127.0.0.1:1' } },
    answers: always('PAIRING_REQUIRED'),
  },
  {
    name: 'a foreign Origin with a device',
    asking: { device: true, headers: { origin: 'https://evil.example' } },
    answers: always('CONTROL_UI_ORIGIN_NOT_ALLOWED'),
  },
  {
    name: 'a client of browsers without Origin',
    asking: { device: true, client: WEBCHAT },
    answers: always('CONTROL_UI_ORIGIN_NOT_ALLOWED'),
  },
  {
    name: 'a scopes header that allows less',
    asking: { device: true, headers: { 'x-openclaw-scopes': 'operator.read' } },
    answers: byRelease(ALL, ALL, ALL, 'read yes, write no'),
  },
];

for (const { name, auth = TOKEN, asking, answers } of DOORS) {
  void t.test(`the door: ${name}`, async (t) => {
    for (const [release, expected] of Object.entries(answers) as [Release, string][]) {
      const gateway = await start(t, { release, auth });
      const { device, ...rest } = asking;
      const scopes = ['operator.read', 'operator.write'];
      const client = await connect(t, gateway, { scopes, ...rest, ...(device && { key: newKey() }) });
      t.equal(await powers(client), expected, release);
      if (client.hello.ok !== true) t.equal((await client.closed).code, 1008);
    }
  });
}

void t.test('what no device of its own release is given silently', async (t) => {
  for (const [release, unknown, grown] of [
    ['2026.3.28', ALL, 'PAIRING_REQUIRED'],
    ['2026.5.28', 'PAIRING_REQUIRED', 'PAIRING_REQUIRED'],
    ['2026.9.6', 'PAIRING_REQUIRED', ALL],
  ] as const) {
    const gateway = await start(t, { release });
    const scopes = ['operator.write', 'no.such'];
    t.equal(await powers(await connect(t, gateway, { key: newKey(), scopes })), unknown, `${release}: a scope unknown`);
    const key = newKey();
    await connect(t, gateway, { key });
    const backend = await connect(t, gateway, { key, client: BACKEND, scopes: ['operator.write'] });
    t.equal(await powers(backend), grown, `${release}: a paired device as backend`);
  }
});

void t.test('the programs of the gateway need no approval from 5.28 on', async (t) => {
  for (const [release, answer] of [
    ['2026.3.28', 'PAIRING_REQUIRED'],
    ['2026.5.28', ALL],
    ['2026.9.6', ALL],
  ] as const) {
    const gateway = await start(t, { release, autoApproveLocal: false });
    const backend = await connect(t, gateway, { key: newKey(), client: BACKEND, scopes: ['operator.write'] });
    t.equal(await powers(backend), answer, release);
    t.strictSame(gateway.devices.paired(), [], 'and leave no record');
  }
});

void t.test('a refused credential is told as the release tells it', async (t) => {
  for (const [release, hint] of [
    ['2026.5.28', 'set gateway.remote.token to match gateway.auth.token'],
    ['2026.9.6', "use this gateway's gateway.auth.token or pair the device"],
  ] as const) {
    const { hello, closed } = await connect(t, await start(t, { release }), { auth: { token: 'x' }, key: newKey() });
    const message = `unauthorized: gateway token mismatch (${hint})`;
    t.strictSame(hello.error, {
      code: 'INVALID_REQUEST',
      message,
      details: {
        code: 'AUTH_TOKEN_MISMATCH',
        authReason: 'token_mismatch',
        canRetryWithDeviceToken: true,
        recommendedNextStep: 'retry_with_device_token',
      },
    });
    t.strictSame(await closed, { code: 1008, reason: message });
  }
});

const OTHER = newKey();
const NO_KEY = { publicKey: 'AAAA', id: createHash('sha256').update(Buffer.alloc(3)).digest('hex') };

for (const [name, asking, code] of [
  ['signed as v2', {}, undefined],
  ['signed as v3', { version: 'v3' }, undefined],
  ['the id of another key', { spoil: { id: OTHER.id } }, 'DEVICE_AUTH_DEVICE_ID_MISMATCH'],
  ['another key', { spoil: { publicKey: OTHER.publicKey } }, 'DEVICE_AUTH_DEVICE_ID_MISMATCH'],
  ['a signature over other scopes', { params: { scopes: ['operator.admin'] } }, 'DEVICE_AUTH_SIGNATURE_INVALID'],
  ['a signature that is none', { spoil: { signature: 'AAAA' } }, 'DEVICE_AUTH_SIGNATURE_INVALID'],
  ['a key that is none', { spoil: NO_KEY }, 'DEVICE_AUTH_SIGNATURE_INVALID'],
  ['another nonce', { spoil: { nonce: 'other' } }, 'DEVICE_AUTH_NONCE_MISMATCH'],
  ['signed 121 s ago', { signedAt: Date.now() - 121_000 }, 'DEVICE_AUTH_SIGNATURE_EXPIRED'],
  ['signed 100 s ago', { signedAt: Date.now() - 100_000 }, undefined],
] satisfies [string, Asking, string | undefined][]) {
  void t.test(`a device: ${name}`, async (t) => {
    const gateway = await start(t);
    const { hello } = await connect(t, gateway, { key: newKey(), ...asking });
    t.equal(hello.ok ? undefined : codeOf(hello), code);
    t.equal(gateway.devices.paired().length, code ? 0 : 1);
  });
}

void t.test('without silent pairing a device waits for an operator', async (t) => {
  const gateway = await start(t, { release: '2026.9.6', autoApproveLocal: false });
  const key = newKey();
  const first = await connect(t, gateway, { key });
  t.match(first.hello.error, { details: { code: 'PAIRING_REQUIRED', reason: 'not-paired', requestId: String } });
  const again = await connect(t, gateway, { key });
  t.strictSame(again.hello.error, first.hello.error, 'the same request');
  t.match(gateway.devices.waiting(), [{ id: key.id, scopes: ['operator.read'] }]);
  t.throws(() => gateway.devices.approve(OTHER.id));
  gateway.devices.approve(key.id);
  t.equal((await connect(t, gateway, { key })).hello.ok, true);
  t.match(gateway.devices.paired(), [{ id: key.id, silent: false }]);
  t.strictSame(gateway.devices.waiting(), []);
  const elsewhere = await connect(t, gateway, { key, client: { platform: 'darwin' } });
  t.match(elsewhere.hello.error, { details: { reason: 'metadata-upgrade' } }, 'another platform is another device');
});
