import t, { type Test } from 'tap';
import type { FindingId } from '../../src/doctor/finding.ts';
import type { Release, StandInOptions } from '../../src/demo/gateway.ts';
import { assertFound, diagnose, living, serve, standIn, type Patient } from '../helpers/doctor.ts';
import { GATEWAY_SECRET } from '../helpers/stack.ts';

const TOKEN = { mode: 'token', token: GATEWAY_SECRET } as const;
const PROXY = { mode: 'trusted-proxy', userHeader: 'x-forwarded-user', allowLoopback: true } as const;
const PROXY_AUTH = '{ mode: trusted-proxy, userHeader: X-Forwarded-User }';

async function diagnoseStandIn(t: Test, options: Partial<StandInOptions>, more: Omit<Patient, 'url'> = {}) {
  return diagnose({ url: (await standIn(t, options)).url, ...more });
}

void t.test('endpoints that are off, on every release', async (t) => {
  const both = ['/v1/chat/completions', '/v1/responses'];
  for (const release of ['2026.3.28', '2026.5.28', '2026.9.6'] as const) {
    const seen = await diagnoseStandIn(t, { release, endpoints: false });
    assertFound(t, seen, 'endpoint_not_enabled', 'fault', [
      [
        'openclaw.json',
        '{ gateway: { http: { endpoints: { chatCompletions: { enabled: true }, responses: { enabled: true } } } } }',
      ],
      ['shim.config.yaml', 'routes:', ...both.map((path) => `  - { method: POST, path: ${path}, expose: false }`)],
    ]);
    t.notOk(seen.has('endpoints_enabled'));
  }
  const close = both.map((path) => `  - { method: POST, path: ${path}, expose: false }`);
  const closed = await diagnoseStandIn(t, { endpoints: false }, { more: ['routes:', ...close].join('\n') });
  t.notOk(closed.has('endpoint_not_enabled'), 'what is closed is not asked');
});

void t.test('one of both', async (t) => {
  const gateway = living((req, res) => {
    if (req.url === '/v1/responses') return void res.writeHead(404).end('Not Found');
    res.writeHead(req.method === 'POST' ? 400 : 404).end('{}');
  });
  const seen = await diagnose({ url: await serve(t, gateway) });
  assertFound(t, seen, 'endpoint_not_enabled', 'warning', [
    ['openclaw.json', '{ gateway: { http: { endpoints: { responses: { enabled: true } } } } }'],
    ['shim.config.yaml', 'routes:', '  - { method: POST, path: /v1/responses, expose: false }'],
  ]);
  t.match(seen.one('endpoints_enabled').message, 'enabled: /v1/chat/completions.');
});

void t.test('what becomes of scopes, by release and mode', async (t) => {
  const cases: readonly (readonly [Release, 'token' | 'none' | 'trusted-proxy', FindingId])[] = [
    ['2026.3.24', 'token', 'scopes_ignored'],
    ['2026.3.28', 'token', 'scopes_enforced'],
    ['2026.3.28', 'none', 'scopes_enforced'],
    ['2026.3.28', 'trusted-proxy', 'scopes_enforced'],
    ['2026.4.1', 'token', 'scopes_ignored'],
    ['2026.4.1', 'none', 'scopes_missing_is_all'],
    ['2026.9.6', 'token', 'scopes_ignored'],
    ['2026.9.6', 'none', 'scopes_missing_is_all'],
    ['2026.9.6', 'trusted-proxy', 'scopes_missing_is_all'],
  ];
  const modes = {
    token: [TOKEN, '{ mode: token, secret: { env: SECRET } }'],
    none: [{ mode: 'none' }, '{ mode: none }'],
    'trusted-proxy': [PROXY, PROXY_AUTH],
  } as const;
  for (const [release, mode, id] of cases) {
    const [auth, own] = modes[mode];
    const seen = await diagnoseStandIn(t, { release, auth }, { auth: own });
    assertFound(t, seen, id, id === 'scopes_enforced' ? 'ok' : 'note');
    t.equal(seen.has('forwarded_headers_refused'), release === '2026.9.6' && mode !== 'trusted-proxy', release);
    t.notOk(seen.findings.some(({ severity }) => severity === 'fault'));
  }
});

void t.test('forwarded headers are refused', async (t) => {
  assertFound(t, await diagnoseStandIn(t, { release: '2026.9.6' }), 'forwarded_headers_refused', 'note');
});

void t.test('a route that a release keeps shut, and scopes that nothing tells of', async (t) => {
  const seen = await diagnoseStandIn(t, { release: '2026.3.31' });
  assertFound(t, seen, 'scope_not_honoured', 'warning', [
    ['shim.config.yaml', 'routes:', '  - { method: GET, path: "/sessions/{key}/history", expose: false }'],
  ]);
  const closed = 'routes: [{ method: GET, path: "/sessions/{key}/history", expose: false }]';
  t.notOk((await diagnoseStandIn(t, { release: '2026.3.31' }, { more: closed })).has('scope_not_honoured'));
  const off = await diagnoseStandIn(t, { release: '2026.3.31', endpoints: false });
  t.match(off.one('not_examined').message, /what the gateway makes of scopes/);
});

void t.test('a scope that was sent and is missing', async (t) => {
  const gateway = living((req, res) => {
    if (req.method === 'POST')
      return void res.writeHead(403).end('{"error":{"message":"missing scope: operator.write"}}');
    res.writeHead(404).end('{}');
  });
  const seen = await diagnose({
    url: await serve(t, gateway),
    more: 'routes: [{ method: POST, path: /v1/responses, expose: false }]',
  });
  assertFound(t, seen, 'scope_not_honoured', 'fault', [
    ['openclaw.json', "{ gateway: { auth: { mode: 'token' } } } // or another release: this one takes no scopes here"],
  ]);
});

void t.test('endpoints that are not there yet, and an answer that nobody knows', async (t) => {
  const gateway = living((req, res) => {
    if (req.url === '/v1/responses') return void res.writeHead(503).end('Plugin runtime is starting');
    res.writeHead(req.method === 'POST' ? 500 : 404).end('{}');
  });
  const seen = await diagnose({ url: await serve(t, gateway) });
  t.match(seen.one('not_examined').message, '/v1/responses: the gateway is not ready for it (503)');
  assertFound(t, seen, 'gateway_answer_unknown', 'fault');
});

void t.test('calls of the gateway to itself', async (t) => {
  const auth = PROXY_AUTH;
  const refused = await diagnoseStandIn(t, { release: '2026.5.28', auth: PROXY }, { auth });
  assertFound(t, refused, 'self_calls_refused', 'warning', [
    [
      'openclaw.json',
      "{ gateway: { auth: { password: '${OPENCLAW_GATEWAY_PASSWORD}' } } } // for its own calls; or close the route here",
    ],
    ['shim.config.yaml', 'routes:', '  - { method: POST, path: /tools/invoke, expose: false }'],
  ]);
  // It refuses to start with a password.
  assertFound(t, await diagnoseStandIn(t, { auth: PROXY }, { auth }), 'self_calls_refused', 'warning', [
    ['shim.config.yaml', 'routes:', '  - { method: POST, path: /tools/invoke, expose: false }'],
  ]);
  assertFound(t, await diagnoseStandIn(t, { release: '2026.9.6', auth: PROXY }, { auth }), 'self_calls_work', 'ok');
  const more = 'routes: [{ method: POST, path: /tools/invoke, expose: false }]';
  const closed = await diagnoseStandIn(t, { release: '2026.5.28', auth: PROXY }, { auth, more });
  t.notOk(closed.has('self_calls_refused'));
});
