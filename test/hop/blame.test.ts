import t from 'tap';
import { blameShim, mayBlameShim, type Finding, type Hop } from '../../src/gateway/blame.ts';
import type { Scope } from '../../src/types.ts';

const missing = (scope: string): string =>
  JSON.stringify({ ok: false, error: { type: 'forbidden', message: `missing scope: ${scope}` } });
const WRITE: readonly Scope[] = ['operator.write'];

const TOKEN: Hop = { mode: 'token', secretNames: new Set(), secrets: ['gateway-secret-1'] };
const PROXY: Hop = { mode: 'trusted-proxy', secretNames: new Set(['x-who-5d1e']), secrets: [] };
const SHIM: Hop = { mode: 'shim', secretNames: new Set(), secrets: [] };
const ofShim = (code: string, message = 'words'): string =>
  JSON.stringify({ error: { message, type: 'authentication_error', code, param: null } });
const NEEDS = 'This route needs the scope operator.write; this caller has: none.';
const PAGE = '<!doctype html>\n<html lang="en">';

interface Case {
  readonly name: string;
  readonly hop?: Hop;
  readonly template?: string;
  readonly type?: string;
  readonly status: number;
  readonly body: string;
  readonly sent?: readonly Scope[];
  readonly finding: Finding | undefined;
}

const CASES: readonly Case[] = [
  {
    name: 'a 401',
    status: 401,
    body: '{"error":{"message":"Unauthorized","type":"unauthorized"}}',
    finding: 'gateway_secret_refused',
  },
  { name: 'a 401 without a body', status: 401, body: '', finding: 'gateway_secret_refused' },
  {
    name: 'no attribution',
    status: 403,
    body: '{"error":{"code":"proxy_attribution_required"}}',
    finding: 'proxy_attribution_required',
  },
  {
    name: 'no attribution as a 401',
    status: 401,
    body: 'proxy_attribution_required',
    finding: 'proxy_attribution_required',
  },
  { name: 'an untrusted proxy', status: 403, body: 'trusted_proxy_loopback_source', finding: 'trusted_proxy_refused' },
  {
    name: 'a 401 where there is no secret',
    hop: PROXY,
    status: 401,
    body: '{"error":{"message":"Unauthorized","type":"unauthorized"}}',
    finding: 'trusted_proxy_refused',
  },
  {
    name: 'a kill that wants a local admin',
    template: '/sessions/{key}/kill',
    status: 403,
    body: 'Session kills require a local admin request or requester session ownership.',
    finding: 'scope_not_honoured',
  },
  { name: 'another shim: its 401', hop: SHIM, status: 401, body: ofShim('missing_token'), finding: 'shim_refused' },
  {
    name: 'another shim: what this one sends for its callers is not taken of it',
    hop: SHIM,
    status: 400,
    body: ofShim('header_not_allowed', 'This caller may not send x-auth-shim-caller: it has no onBehalf.'),
    finding: 'shim_refused',
  },
  { name: 'another shim: another 400', hop: SHIM, status: 400, body: ofShim('bad_request'), finding: undefined },
  { name: 'a 400', status: 400, body: missing('operator.write'), finding: undefined },
  { name: 'another shim: its 421', hop: SHIM, status: 421, body: ofShim('host_not_allowed'), finding: 'shim_refused' },
  {
    name: 'another shim: a scope that was sent along',
    hop: SHIM,
    status: 403,
    body: ofShim('insufficient_scope', NEEDS),
    finding: 'shim_ceiling',
  },
  {
    name: 'another shim: a scope that was not',
    hop: SHIM,
    status: 403,
    body: ofShim('insufficient_scope', NEEDS),
    sent: ['operator.read'],
    finding: undefined,
  },
  {
    name: 'another shim: a scope that the gateway misses, and was sent along',
    hop: SHIM,
    status: 403,
    body: missing('operator.write'),
    finding: 'shim_ceiling',
  },
  {
    name: 'another shim: a session of somebody else',
    hop: SHIM,
    status: 403,
    body: ofShim('session_not_allowed'),
    finding: undefined,
  },
  {
    name: 'another shim: a WebSocket without a scope',
    hop: SHIM,
    template: '/',
    status: 403,
    body: 'insufficient_scope None of the scopes that connect asks for',
    finding: 'shim_ceiling',
  },
  {
    name: 'an endpoint that is off',
    type: 'text/plain; charset=utf-8',
    status: 404,
    body: 'Not Found',
    finding: 'endpoint_not_enabled',
  },
  {
    name: 'the same elsewhere',
    type: 'text/plain',
    template: '/sessions/{key}/kill',
    status: 404,
    body: 'Not Found',
    finding: undefined,
  },
  {
    name: 'a model that is not there',
    type: 'text/plain',
    status: 404,
    body: '{"error":{"message":"x"}}',
    finding: undefined,
  },
  {
    name: 'the control UI in an endpoint that is off',
    type: 'text/html',
    status: 200,
    body: PAGE,
    finding: 'endpoint_not_enabled',
  },
  {
    name: 'a page of an added route',
    template: '/page',
    type: 'text/html; charset=utf-8',
    status: 200,
    body: PAGE,
    finding: undefined,
  },
  { name: 'a scope that was sent', status: 403, body: missing('operator.write'), finding: 'scope_not_honoured' },
  {
    name: 'a scope that what was sent implies',
    status: 403,
    body: missing('operator.read'),
    finding: 'scope_not_honoured',
  },
  { name: 'a scope that was not sent', status: 403, body: missing('operator.admin'), finding: undefined },
  { name: 'a scope where none was sent', status: 403, body: missing('operator.read'), sent: [], finding: undefined },
  { name: 'a scope that nobody knows', status: 403, body: missing('operator.wirte'), finding: undefined },
  { name: 'another 403', status: 403, body: '{"error":{"message":"forbidden"}}', finding: undefined },
];

for (const { name, hop = TOKEN, template = '/v1/models', type, status, body, sent = WRITE, finding } of CASES) {
  void t.test(name, async (t) => {
    t.equal(mayBlameShim(status, type), true);
    const refusal = blameShim(hop, { status, body, template, sent });
    if (finding === undefined) return t.equal(refusal, undefined);
    t.equal(refusal?.code, 'gateway_refused');
    t.match(refusal?.message, new RegExp(`\\(finding: ${finding}\\)$`));
    t.equal(refusal?.reason, `${finding}: the gateway answered ${status} ${body}`);
  });
}

void t.test('other answers are never about the shim', async (t) => {
  for (const status of [204, 302, 402, 429, 500, 502, 503]) {
    t.equal(mayBlameShim(status, 'text/html'), false, String(status));
  }
  for (const type of [undefined, 'text/event-stream', 'application/json', 'text/htmlx']) {
    for (const status of [200, 404]) t.equal(mayBlameShim(status, type), false, `${status} ${type}`);
  }
});

void t.test('the reason is bounded', async (t) => {
  const refusal = blameShim(TOKEN, { status: 401, body: 'x'.repeat(10_000), template: '/v1/models', sent: [] });
  t.ok((refusal?.reason?.length ?? 0) < 600);
});

void t.test('the log does not quote the name of a secret header, however it is written', async (t) => {
  const body = '{"error":{"message":"trusted_proxy_missing_header_X-Who-5d1e and x_who_5d1e"}}';
  const refusal = blameShim(PROXY, { status: 401, body, template: '/v1/models', sent: [] });
  t.match(refusal?.reason, 'trusted_proxy_missing_header_**** and ****');
});

void t.test('the log does not quote the secret, also not half of it', async (t) => {
  for (const before of ['', 'x'.repeat(490)]) {
    const body = `${before}Bearer gateway-secret-1`;
    const refusal = blameShim(TOKEN, { status: 401, body, template: '/v1/models', sent: [] });
    t.notMatch(refusal?.reason, 'gateway-s');
  }
});
