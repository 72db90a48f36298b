import t, { type Test } from 'tap';
import { assertFound, diagnose, living, LIVE, serve, standIn, type Patient } from '../helpers/doctor.ts';
import { caller, GATEWAY_SECRET, TOKENS } from '../helpers/stack.ts';
import type { StandInOptions } from '../../src/demo/gateway.ts';

const RELEASES = ['2026.3.28', '2026.5.28', '2026.9.6'] as const;
const PROXY = { mode: 'trusted-proxy', userHeader: 'x-forwarded-user', allowLoopback: true } as const;
const PROXY_AUTH = '{ mode: trusted-proxy, userHeader: X-Forwarded-User }';
const TOKEN_LINES = [
  'shim.config.yaml',
  'gateway:',
  '  auth: { mode: token, secret: { openclaw: ~/.openclaw/openclaw.json } }',
] as const;

async function diagnoseStandIn(t: Test, options: Partial<StandInOptions>, more: Omit<Patient, 'url'> = {}) {
  const gateway = await standIn(t, options);
  return { gateway, seen: await diagnose({ url: gateway.url, ...more }) };
}

for (const release of RELEASES) {
  void t.test(`${release}: every mode, as it is`, async (t) => {
    const modes = [
      ['token', { mode: 'token', token: GATEWAY_SECRET }, '{ mode: token, secret: { env: SECRET } }'],
      ['password', { mode: 'password', password: GATEWAY_SECRET }, '{ mode: password, secret: { env: SECRET } }'],
      ['none', { mode: 'none' }, '{ mode: none }'],
      ['trusted-proxy', PROXY, PROXY_AUTH],
    ] as const;
    for (const [mode, auth, own] of modes) {
      const { gateway, seen } = await diagnoseStandIn(t, { release, auth }, { auth: own });
      t.equal(seen.mode, mode);
      t.equal(
        seen.findings.find(({ severity }) => severity === 'fault'),
        undefined,
        mode,
      );
      assertFound(t, seen, 'login_accepted', 'ok');
      t.ok(seen.has('release_known') || mode !== 'token');
      t.equal(gateway.openSockets, 0);
      t.equal(gateway.devices.paired().length + gateway.devices.waiting().length, 0, 'no device is left');
      t.notOk(
        gateway.requests.some(({ body }) => body.includes('messages')),
        'no run begins',
      );
    }
  });

  void t.test(`${release}: a wrong secret`, async (t) => {
    const auth = { mode: 'token', token: 'another-secret-0123456789' } as const;
    const { seen } = await diagnoseStandIn(t, { release, auth });
    t.match(seen, { mode: 'token' });
    assertFound(t, seen, 'gateway_secret_refused', 'fault', [
      [
        'shim.config.yaml',
        'gateway:',
        '  auth: { mode: token, secret: { openclaw: ~/.openclaw/openclaw.json } } # gateway.auth.token',
      ],
    ]);
    t.notMatch(JSON.stringify(seen), GATEWAY_SECRET);
  });

  void t.test(`${release}: another mode`, async (t) => {
    const token = { mode: 'token', token: GATEWAY_SECRET } as const;
    const { seen } = await diagnoseStandIn(t, { release, auth: token }, { auth: PROXY_AUTH });
    t.equal(seen.mode, 'token');
    assertFound(t, seen, 'mode_differs', 'fault', [TOKEN_LINES]);
    const none = await diagnoseStandIn(t, { release, auth: { mode: 'none' } });
    assertFound(t, none.seen, 'mode_differs', 'warning', [['shim.config.yaml', 'gateway:', '  auth: { mode: none }']]);
    const password = await diagnoseStandIn(t, { release, auth: { mode: 'password', password: GATEWAY_SECRET } });
    assertFound(t, password.seen, 'mode_differs', 'warning', [
      ['shim.config.yaml', 'gateway:', '  auth: { mode: password, secret: { openclaw: ~/.openclaw/openclaw.json } }'],
    ]);
    const proxied = await diagnoseStandIn(t, { release, auth: PROXY });
    assertFound(t, proxied.seen, 'mode_differs', 'fault', [
      ['shim.config.yaml', 'gateway:', '  auth: { mode: trusted-proxy, userHeader: { env: OPENCLAW_USER_HEADER } }'],
    ]);
    const open = await diagnoseStandIn(t, { release }, { auth: '{ mode: none }' });
    assertFound(t, open.seen, 'mode_differs', 'fault', [TOKEN_LINES]);
  });
}

void t.test('trusted-proxy: loopback is not believed', async (t) => {
  const auth = { mode: 'trusted-proxy', userHeader: 'x-forwarded-user' } as const;
  for (const release of ['2026.5.28', '2026.9.6'] as const) {
    const { seen } = await diagnoseStandIn(t, { release, auth }, { auth: PROXY_AUTH });
    assertFound(t, seen, 'trusted_proxy_loopback_source', 'fault', [
      ['openclaw.json', '{ gateway: { auth: { trustedProxy: { allowLoopback: true } } } }'],
      ['openclaw.json', "{ gateway: { trustedProxies: ['127.0.0.1', '::1'] } }"],
    ]);
  }
  const { seen } = await diagnoseStandIn(t, { release: '2026.4.1', auth }, { auth: PROXY_AUTH });
  assertFound(t, seen, 'trusted_proxy_loopback_source', 'fault', [
    ['openclaw.json', "{ gateway: { auth: { mode: 'token', token: '${OPENCLAW_GATEWAY_TOKEN}' } } }"],
    ['shim.config.yaml', 'gateway:', '  auth: { mode: token, secret: { env: OPENCLAW_GATEWAY_TOKEN } }'],
  ]);
});

void t.test('trusted-proxy: another user header', async (t) => {
  const auth = { ...PROXY, userHeader: 'x-forwarded-email' };
  const { seen } = await diagnoseStandIn(t, { release: '2026.5.28', auth }, { auth: PROXY_AUTH });
  assertFound(t, seen, 'trusted_proxy_refused', 'fault', [
    ['openclaw.json', "{ gateway: { auth: { trustedProxy: { userHeader: 'x-forwarded-user' } } } }"],
  ]);
});

void t.test('trusted-proxy: a user header that nobody can guess is not told', async (t) => {
  const secret = '{ mode: trusted-proxy, userHeader: X-Who-5d1e7a }';
  const { seen } = await diagnoseStandIn(t, { auth: PROXY }, { auth: secret });
  assertFound(t, seen, 'trusted_proxy_refused', 'fault', [
    [
      'openclaw.json',
      "{ gateway: { auth: { trustedProxy: { userHeader: '… the value of userHeader in shim.config.yaml …' } } } }",
    ],
  ]);
  t.notMatch(JSON.stringify(seen), /5d1e7a/i);
});

void t.test('trusted-proxy: a required header is not sent', async (t) => {
  const lines = (line: string) => [['shim.config.yaml', 'gateway:', '  auth:', line] as const];
  const known = { ...PROXY, requiredHeaders: ['x-forwarded-email'] };
  assertFound(t, (await diagnoseStandIn(t, { auth: known }, { auth: PROXY_AUTH })).seen, 'trusted_proxy_refused', 'fault', lines('    requiredHeaders: [{ name: x-forwarded-email, value: "1" }]')); // prettier-ignore
  const secret = { ...PROXY, requiredHeaders: ['x-proof-77aa'] };
  const { seen } = await diagnoseStandIn(t, { auth: secret }, { auth: PROXY_AUTH });
  assertFound(t, seen, 'trusted_proxy_refused', 'fault', lines('    requiredHeaders: [{ name: { env: AUTH_SHIM_PROOF_HEADER }, value: "1" }] # each of trustedProxy.requiredHeaders')); // prettier-ignore
  t.notMatch(JSON.stringify(seen), /77aa/);
});

void t.test('trusted-proxy: users that are not on the list', async (t) => {
  const more = `callers:\n${caller('writer', TOKENS.writer, ['operator.write'])}\n${caller('reader', TOKENS.reader, ['operator.read'])}`;
  const some = await diagnoseStandIn(t, { auth: { ...PROXY, allowUsers: ['writer'] } }, { auth: PROXY_AUTH, more });
  assertFound(t, some.seen, 'trusted_proxy_refused', 'fault', [
    [
      'openclaw.json',
      "{ gateway: { auth: { trustedProxy: { allowUsers: ['reader'] } } } } // beside those that are there",
    ],
  ]);
  const all = await diagnoseStandIn(t, { auth: { ...PROXY, allowUsers: ['somebody'] } }, { auth: PROXY_AUTH, more });
  assertFound(t, all.seen, 'trusted_proxy_refused', 'fault', [
    [
      'openclaw.json',
      "{ gateway: { auth: { trustedProxy: { allowUsers: ['writer', 'reader'] } } } } // beside those that are there",
    ],
  ]);
});

void t.test('trusted-proxy: a gateway that does not say why', async (t) => {
  const url = await serve(
    t,
    living((_req, res) => void res.writeHead(401).end('{}')),
  );
  assertFound(t, await diagnose({ url, auth: PROXY_AUTH }), 'trusted_proxy_refused', 'fault', [
    ['openclaw.json', "{ gateway: { trustedProxies: ['127.0.0.1', '::1'] } }"],
    ['openclaw.json', '{ gateway: { auth: { trustedProxy: { allowLoopback: true } } } }'],
  ]);
});

void t.test('a proxy between that adds forwarded headers', async (t) => {
  const body = '{"error":{"message":"Proxy client attribution is required.","type":"proxy_attribution_required"}}';
  const seen = await diagnose({
    url: await serve(
      t,
      living((_req, res) => void res.writeHead(403).end(body)),
    ),
  });
  assertFound(t, seen, 'proxy_attribution_required', 'fault', [
    ['shim.config.yaml', 'gateway:', '  url: http://127.0.0.1:18789 # the gateway itself, and no other proxy'],
  ]);
});

void t.test('an answer that nobody knows', async (t) => {
  const seen = await diagnose({
    url: await serve(
      t,
      living((_req, res) => void res.writeHead(418).end()),
    ),
  });
  assertFound(t, seen, 'gateway_answer_unknown', 'fault');
  t.match(
    seen.one('gateway_answer_unknown').message,
    'answered 418 to GET /sessions/agent:main:auth-shim-doctor/history',
  );
  assertFound(t, seen, 'release_unknown', 'note');
});

void t.test('releases, as the startup probe and the control UI tell them', async (t) => {
  const telling = (path: string, body: string) =>
    serve(t, (req, res) => {
      if (req.url === '/health') return void res.end(LIVE);
      if (req.url === path) return void res.end(body);
      res.writeHead(404).end('{}');
    });
  const known = await diagnose({ url: await telling('/startupz', '{"ok":true,"version":"2026.9.6-1"}') });
  t.match(known.one('release_known'), { severity: 'ok', message: 'the gateway is OpenClaw 2026.9.6-1.' });
  const ui = '/__openclaw/control-ui-config.json';
  for (const release of ['2026.10.1', '2026.2.9']) {
    const seen = await diagnose({ url: await telling(ui, `{"serverVersion":"${release}"}`) });
    assertFound(t, seen, 'release_untested', 'note');
    t.match(seen, { release });
  }
});
