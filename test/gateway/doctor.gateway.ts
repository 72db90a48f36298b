/** `auth-shim doctor` before real gateways: well in each mode, and broken in each way. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { FindingId } from '../../src/doctor/finding.ts';
import { isLoopback } from '../../src/config/address.ts';
import { run } from '../helpers/command-line.ts';
import { caller } from '../helpers/stack.ts';
import { ask, SECRET } from './contract.ts';
import { pinOf, startGateway, type GatewayOptions, type RealGateway } from './gateway.ts';
import { CALLERS } from './hop.ts';
import { LOCAL_PASSWORD, LOOPBACK_PROXY, since, VERSION } from './version.ts';

interface Report {
  readonly gateway: { readonly release: string | null; readonly mode: string | null };
  readonly findings: readonly {
    readonly id: FindingId;
    readonly severity: string;
    readonly message: string;
    readonly changes: readonly { readonly file: string; readonly lines: readonly string[] }[];
  }[];
  readonly ok: boolean;
}

const dir = await mkdtemp(join(tmpdir(), 'auth-shim-doctor-'));
t.teardown(() => rm(dir, { recursive: true, force: true }));
const file = join(dir, 'shim.config.yaml');

const TOKEN = '{ mode: token, secret: { env: GATEWAY_SECRET } }';
const proxyAuth = (more = ''): string =>
  `{ mode: trusted-proxy, userHeader: x-forwarded-user, clientAddress: 203.0.113.9${more} }`;

/** `gateway` as the harness writes it, where its mode is another one. */
const LOCAL = {
  mode: 'local',
  bind: 'loopback',
  http: { endpoints: { chatCompletions: { enabled: true }, responses: { enabled: true } } },
} as const;

interface Asked {
  readonly url: string;
  readonly auth?: string;
  readonly tls?: string;
  readonly secret?: string;
  readonly relay?: boolean;
  readonly words?: readonly string[];
}

async function doctor({ url, auth = TOKEN, tls = '', secret = SECRET, relay = false, words = [] }: Asked) {
  const more = relay ? 'websocket: relay' : '';
  const text = [
    `gateway: { url: "${url}", auth: ${auth}${tls}${relay ? ', deviceStore: memory' : ''} }`,
    'callers:',
    caller('writer', CALLERS.writer, ['operator.read', 'operator.write'], more),
    caller('reader', CALLERS.reader, ['operator.read']),
  ].join('\n');
  await writeFile(file, text);
  const began = performance.now();
  const { code, stdout, stderr } = await run(['doctor', '-c', file, '--json', ...words], {
    env: { GATEWAY_SECRET: secret },
  });
  const report = JSON.parse(stdout) as Report;
  const faults = report.findings.filter(({ severity }) => severity === 'fault').map(({ id }) => id);
  const leaks = `${stdout}${stderr}`.includes(secret);
  return { code, report, faults, leaks, ms: performance.now() - began };
}

/** A gateway of its own, which ends with the test. It is ready: the newest are live some seconds before. */
async function gatewayFor(t: Test, options: Omit<GatewayOptions, 'version'>): Promise<RealGateway> {
  const gateway = await startGateway({ version: VERSION, ...options });
  t.teardown(() => gateway.stop());
  for (let tries = 0; tries < 150; tries++) {
    const [status] = await ask(gateway.url, { request: ['GET', '/readyz', {}] });
    if (status === 200) break;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  return gateway;
}

function well(t: Test, seen: Awaited<ReturnType<typeof doctor>>, mode: string): void {
  t.same(seen.faults, [], JSON.stringify(seen.report.findings));
  t.equal(seen.code, 0);
  t.match(seen.report.gateway, { release: VERSION, mode });
  t.equal(seen.leaks, false, 'no secret is told');
  t.ok(seen.ms < 20_000, `${seen.ms} ms`);
  t.comment(seen.report.findings.map(({ id, severity }) => `${severity}:${id}`).join(' '));
}

function broken(t: Test, seen: Awaited<ReturnType<typeof doctor>>, id: FindingId, words = ''): void {
  t.same(seen.faults, [id], JSON.stringify(seen.report.findings));
  t.equal(seen.code, 1);
  t.equal(seen.leaks, false, 'no secret is told');
  const finding = seen.report.findings.find((one) => one.id === id);
  const lines = finding?.changes.flatMap((change) => change.lines).join('\n') ?? '';
  t.ok(`${finding?.message}\n${lines}`.includes(words), `${finding?.message}\n${lines}`);
}

const idsOf = (seen: Awaited<ReturnType<typeof doctor>>): FindingId[] => seen.report.findings.map(({ id }) => id);

await t.test('token', async (t) => {
  const gateway = await gatewayFor(t, { auth: { mode: 'token' } });
  const { url } = gateway;

  await t.test('well, and nothing is left or run', async (t) => {
    const seen = await doctor({ url, relay: true });
    well(t, seen, 'token');
    const ids = idsOf(seen);
    t.ok(ids.includes(since('2026.3.31') ? 'scopes_ignored' : 'scopes_enforced'));
    t.equal(ids.includes('forwarded_headers_refused'), since('2026.8.1'));
    t.ok(ids.includes(since('2026.5.28') ? 'devices_pair' : 'not_examined'));
    t.ok(ids.includes('no_way_round'));
    t.equal(gateway.model.runs.length, 0);
    const { pending } = JSON.parse(await gateway.cli('devices', 'list', '--json')) as { pending: unknown[] };
    t.same(pending, []);
  });
  await t.test('a chat, where it is asked for', async (t) => {
    const seen = await doctor({ url, words: ['--chat'] });
    t.equal(seen.code, 0);
    t.ok(idsOf(seen).includes('chat_answered'));
    t.ok(gateway.model.runs.length > 0);
  });
  await t.test('a wrong secret', async (t) => {
    broken(t, await doctor({ url, secret: 'wrong-secret-0123456789' }), 'gateway_secret_refused', 'gateway.auth.token');
  });
  await t.test('the shim is configured for another mode', async (t) => {
    broken(t, await doctor({ url, auth: proxyAuth() }), 'mode_differs', 'mode: token');
    broken(t, await doctor({ url, auth: '{ mode: none }' }), 'mode_differs', 'mode: token');
    const password = await doctor({ url, auth: '{ mode: password, secret: { env: GATEWAY_SECRET } }' });
    t.equal(password.code, 0);
    t.ok(idsOf(password).includes('mode_differs'));
  });
  await t.test('TLS, and there is none', async (t) => {
    broken(t, await doctor({ url: url.replace('http:', 'https:') }), 'gateway_speaks_no_tls', 'url: http://');
  });
  await t.test('the control of another program', async (t) => {
    broken(t, await doctor({ url: `http://127.0.0.1:${gateway.model.port}` }), 'not_a_gateway', 'gateway.port');
  });
  await gateway.stop();
  await t.test('it does not run', async (t) => {
    broken(t, await doctor({ url }), 'gateway_not_listening', `port: ${gateway.port}`);
  });
});

await t.test('password', async (t) => {
  const auth = { mode: 'password', password: SECRET };
  const gateway = await gatewayFor(t, { auth: { mode: 'none' }, config: { gateway: { ...LOCAL, auth } } });
  well(t, await doctor({ url: gateway.url, auth: '{ mode: password, secret: { env: GATEWAY_SECRET } }' }), 'password');
});

await t.test('none', async (t) => {
  const gateway = await gatewayFor(t, { auth: { mode: 'none' } });
  const seen = await doctor({ url: gateway.url, auth: '{ mode: none }' });
  well(t, seen, 'none');
  t.ok(idsOf(seen).includes(since('2026.4.1') ? 'scopes_missing_is_all' : 'scopes_enforced'));
});

await t.test('TLS', async (t) => {
  const gateway = await gatewayFor(t, { auth: { mode: 'token' }, tls: true });
  const { url, fingerprint = '' } = gateway;
  well(t, await doctor({ url, tls: pinOf(gateway) }), 'token');
  const wrong = `, tls: { fingerprint: "sha256:${'a'.repeat(64)}" }`;
  broken(t, await doctor({ url, tls: wrong }), 'gateway_certificate_wrong', fingerprint);
  broken(t, await doctor({ url: url.replace('https:', 'http:') }), 'gateway_speaks_tls', fingerprint);
});

await t.test('endpoints that are off, and a way round the shim', async (t) => {
  const { http: _http, ...local } = LOCAL;
  const auth = { mode: 'token', token: SECRET };
  const config = { gateway: { ...local, bind: 'lan', auth, controlUi: { enabled: false } } };
  const gateway = await gatewayFor(t, { auth: { mode: 'token' }, config });
  const seen = await doctor({ url: gateway.url });
  const words = 'chatCompletions: { enabled: true }, responses: { enabled: true }';
  broken(t, seen, 'endpoint_not_enabled', words);
  t.equal(seen.report.gateway.release, VERSION, 'also without the control UI');
  const own = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
  if (own.every(({ address }) => isLoopback(address))) return;
  t.match(
    seen.report.findings.find(({ id }) => id === 'gateway_beyond_loopback'),
    {
      severity: 'warning',
      changes: [{ file: 'openclaw.json', lines: ["{ gateway: { bind: 'loopback' } }"] }],
    },
  );
});

await t.test('trusted-proxy', async (t) => {
  const ALLOW = since('2026.4.27') ? { allowLoopback: true } : {};
  const proxied = (trustedProxy: object, more: object = {}): Omit<GatewayOptions, 'version'> => ({
    auth: { mode: 'none' },
    config: {
      gateway: { ...LOCAL, trustedProxies: ['127.0.0.1'], auth: { mode: 'trusted-proxy', trustedProxy }, ...more },
    },
  });
  const user = { userHeader: 'x-forwarded-user' };

  await t.test('well', { skip: !LOOPBACK_PROXY }, async (t) => {
    const auth = { mode: 'trusted-proxy', ...user, ...ALLOW, localPassword: LOCAL_PASSWORD } as const;
    const gateway = await gatewayFor(t, { auth });
    const password = LOCAL_PASSWORD ? ', password: { env: GATEWAY_SECRET }' : '';
    const seen = await doctor({ url: gateway.url, auth: proxyAuth(password), relay: true });
    well(t, seen, 'trusted-proxy');
    t.equal(idsOf(seen).includes('local_password_accepted'), LOCAL_PASSWORD);
    t.ok(idsOf(seen).includes(since('2026.4.1') ? 'scopes_missing_is_all' : 'scopes_enforced'));
    t.ok(idsOf(seen).some((id) => id === 'self_calls_work' || id === 'self_calls_refused'));
    if (LOCAL_PASSWORD) {
      const wrong = await doctor({
        url: gateway.url,
        auth: proxyAuth(password),
        relay: true,
        secret: 'wrong-0123456789',
      });
      broken(t, wrong, 'local_password_refused', 'auth: { password: ');
    }
    const other = await doctor({ url: gateway.url, secret: 'another-secret-0123456789' });
    broken(t, other, 'mode_differs', 'mode: trusted-proxy');
  });
  await t.test('loopback is not allowed', { skip: !since('2026.3.31') }, async (t) => {
    const gateway = await gatewayFor(t, proxied(user));
    broken(
      t,
      await doctor({ url: gateway.url, auth: proxyAuth() }),
      'trusted_proxy_loopback_source',
      'allowLoopback: true',
    );
  });
  await t.test('a user header, a required header, and a list of users', async (t) => {
    const lists = { requiredHeaders: ['x-forwarded-groups'], allowUsers: ['writer'] };
    const gateway = await gatewayFor(t, proxied({ userHeader: 'x-forwarded-email', ...ALLOW, ...lists }));
    const { url } = gateway;
    const required = ', requiredHeaders: [{ name: x-forwarded-groups, value: "1" }]';
    const other = await doctor({ url, auth: proxyAuth(required) });
    broken(t, other, 'trusted_proxy_refused', "userHeader: 'x-forwarded-user'");
    const lacking = await doctor({ url, auth: proxyAuth().replace('-user,', '-email,') });
    broken(t, lacking, 'trusted_proxy_refused', 'requiredHeaders: [{ name: x-forwarded-groups');
    const users = await doctor({ url, auth: proxyAuth(required).replace('-user,', '-email,') });
    broken(t, users, 'trusted_proxy_refused', "allowUsers: ['reader']");
  });
  // Earlier ones do not start so.
  await t.test('another proxy is trusted', { skip: !since('2026.5.28') }, async (t) => {
    const gateway = await gatewayFor(t, proxied({ ...user, ...ALLOW }, { trustedProxies: ['192.0.2.9'] }));
    const id = since('2026.8.1') ? 'proxy_attribution_required' : 'trusted_proxy_refused';
    broken(t, await doctor({ url: gateway.url, auth: proxyAuth() }), id, "trustedProxies: ['127.0.0.1', '::1']");
  });
});
