import t from 'tap';
import { blameShim, mayBlameShim, type Finding } from '../../src/gateway/blame.ts';
import type { Scope } from '../../src/types.ts';

const missing = (scope: string): string =>
  JSON.stringify({ ok: false, error: { type: 'forbidden', message: `missing scope: ${scope}` } });
const WRITE: readonly Scope[] = ['operator.write'];

interface Case {
  readonly name: string;
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
    name: 'an untrusted proxy in words',
    status: 401,
    body: 'trusted-proxy auth failed',
    finding: 'trusted_proxy_refused',
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

for (const { name, status, body, sent = WRITE, finding } of CASES) {
  void t.test(name, async (t) => {
    t.equal(mayBlameShim(status), true);
    const refusal = blameShim(status, body, sent, new Set());
    if (finding === undefined) return t.equal(refusal, undefined);
    t.equal(refusal?.code, 'gateway_refused');
    t.match(refusal?.message, new RegExp(`\\(finding: ${finding}\\)$`));
    t.equal(refusal?.reason, `${finding}: the gateway answered ${status} ${body}`);
  });
}

void t.test('only a 401 or 403 can be about the shim', async (t) => {
  for (const status of [200, 204, 302, 400, 402, 404, 429, 500, 502, 503])
    t.equal(mayBlameShim(status), false, String(status));
});

void t.test('the reason is bounded', async (t) => {
  t.ok((blameShim(401, 'x'.repeat(10_000), [], new Set())?.reason?.length ?? 0) < 600);
});

void t.test('the log does not quote the name of a secret header, however it is written', (t) => {
  const body = '{"error":{"message":"trusted_proxy_missing_header_X-Who-5d1e and x_who_5d1e"}}';
  const refusal = blameShim(401, body, [], new Set(['x-who-5d1e']));
  t.match(refusal?.reason, 'trusted_proxy_missing_header_**** and ****');
  t.end();
});
