import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { foldName, isProtectedFamily } from '../../src/headers/families.ts';

void t.test('foldName', async (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['Content-Type', 'content-type'],
    ['x_openclaw_scopes', 'x-openclaw-scopes'],
    ['X.OpenClaw.Scopes', 'x-openclaw-scopes'],
    ["x!openclaw#scopes$x%y&z'a*b+c^d`e|f~g", 'x-openclaw-scopes-x-y-z-a-b-c-d-e-f-g'],
    ['X-Request-ID', 'x-request-id'],
    ['', ''],
    ['_.', '--'],
    // Lower-casing with a locale or beyond ASCII would let a look-alike through or change a name.
    ['\u212Aeep-alive', 'keep-alive'],
    ['x-\u0130d', 'x-i-d'],
  ];
  for (const [name, folded] of cases) t.equal(foldName(name), folded, name);
});

void t.test('protected families', async (t) => {
  const names = `
    X-OpenClaw-Scopes x-openclaw X-OpenClawX x_openclaw_token X.OpenClaw.Password X-Auth-Shim-Caller
    Forwarded Forwarded-For X-Forwarded-For X-Forwarded-User X-Forwarded-Prefix X-Forwarded-Uri
    X-Forwarded-Method X-Forwarded X-Forward-Proto X_Forwarded_Host X~Forwarded~For X-Original-URL
    X-Original-Method X-Rewrite-URL X-Real-IP True-Client-IP Client-IP X-Client-IP X-Cluster-Client-IP
    Fastly-Client-IP CF-Connecting-IP Fly-Client-IP X-ProxyUser-IP X-Envoy-External-Address
    X-Envoy-Original-Path X-Azure-ClientIP X-AppEngine-User-IP X-ARR-ClientCert Tailscale-User-Login
    Tailscale-User-Name X-Tailscale-User X-Vercel-Forwarded-For X-Originating-IP WL-Proxy-Client-IP
    Proxy-Client-IP X-Auth-User X-User X-User-Id X-Remote-User Remote-User Remote-Groups X-Auth-Request-Email X-Authenticated-User
    X-Authentik-Username X-WebAuth-User X-Pomerium-Jwt-Assertion X-Goog-Authenticated-User-Email
    X-Goog-IAP-JWT-Assertion X-Amzn-Oidc-Identity X-MS-Client-Principal X-SSL-Client-Cert
    SSL-Client-Verify Client-Cert Client-Cert-Chain X-Client-Cert X-HTTP-Method-Override X-HTTP-Method
    X-Method-Override X-HTTP-Host-Override X-Host X-Scheme X-URL-Scheme Front-End-Https
  `
    .trim()
    .split(/\s+/);
  for (const name of names) t.equal(isProtectedFamily(foldName(name)), true, name);
});

void t.test('what SDKs and tracing send is no protected family', async (t) => {
  const names = `
    Accept Content-Type Content-Encoding User-Agent Idempotency-Key Accept-Language Cache-Control
    OpenAI-Organization OpenAI-Project OpenAI-Beta X-Stainless-Lang X-Stainless-Retry-Count traceparent
    tracestate baggage Via If-None-Match Range X-Trace-Id X-My-Forwarded-For
  `
    .trim()
    .split(/\s+/);
  for (const name of names) t.equal(isProtectedFamily(foldName(name)), false, name);
});

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

void t.test('what strangers make up does not fill the memory', async (t) => {
  const heldBy = (many: number, name: (i: number) => string): number => {
    collect();
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < many; i++) isProtectedFamily(foldName(name(i)));
    collect();
    return (process.memoryUsage().heapUsed - before) / 2 ** 20;
  };
  t.ok(heldBy(200, (i) => `X-${i}-${'a'.repeat(32_768)}`) < 3, 'long names');
  t.ok(heldBy(50_000, (i) => `X-Name-${i}`) < 3, 'many names');
  t.equal(isProtectedFamily(foldName('X-OpenClaw-Late')), true, 'what is not remembered is judged all the same');
  t.equal(foldName('X_Late'), 'x-late');
});
