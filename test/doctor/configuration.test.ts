import t from 'tap';
import { assertFound, diagnose, ONE_CALLER, standIn } from '../helpers/doctor.ts';
import { caller, GATEWAY_SECRET, hashOf, TOKENS } from '../helpers/stack.ts';
import { jsonAt, makeKey, publicOf, startEndpoint } from '../helpers/provider.ts';
import { makeSelfSigned } from '../helpers/certificates.ts';

void t.test('scopes that no route needs', async (t) => {
  const { url } = await standIn(t);
  const scopes = ['operator.read', 'operator.write', 'operator.pairing'];
  const more = `callers:\n${caller('writer', TOKENS.writer, scopes)}\n${caller('other', TOKENS.reader, ['operator.pairing'])}`;
  const seen = await diagnose({ url, more });
  assertFound(t, seen, 'scope_unused', 'warning', [
    ['shim.config.yaml', 'callers:', '  - name: writer', '    scopes: [operator.read, operator.write]'],
  ]);
  t.match(seen.one('scope_unused').message, 'operator.pairing');
  assertFound(t, seen, 'caller_admitted_nowhere', 'warning', [
    ['shim.config.yaml', 'callers:', '  - name: other', '    scopes: [operator.read, operator.write]'],
  ]);
  const relay = `callers:\n${caller('writer', TOKENS.writer, scopes, 'websocket: relay')}`;
  t.notOk((await diagnose({ url, more: relay, gateway: 'deviceStore: memory' })).has('scope_unused'));
});

void t.test('tokens', async (t) => {
  const { url } = await standIn(t);
  const day = (ms: number): string => new Date(Date.now() + ms).toISOString();
  const more = [
    'callers:',
    `  - { name: late, scopes: [operator.read], tokens: [{ hash: "${hashOf(TOKENS.writer)}", expires: ${day(86_400_000)} }] }`,
    `  - { name: kept, scopes: [operator.read], tokens: [{ hash: "${hashOf(GATEWAY_SECRET)}" }] }`,
  ].join('\n');
  const seen = await diagnose({ url, more });
  assertFound(t, seen, 'token_expiry', 'warning', [['command', 'auth-shim token rotate late']]);
  t.match(seen.one('token_expiry').message, /^shim\.config\.yaml:\d+:\d+ callers\[0\]\.tokens\[0\]\.expires: /);
  assertFound(t, seen, 'gateway_token_in_use', 'warning', [
    ['command', 'auth-shim token rotate kept', 'openclaw config set gateway.auth.token …'],
  ]);
});

void t.test('certificates, and what else check warns of', async (t) => {
  const { url } = await standIn(t);
  const pair = await makeSelfSigned({ dns: ['localhost'], notAfter: new Date(Date.now() + 86_400_000) });
  const files = { 'a.crt': pair.cert, 'a.key': pair.key };
  const more = `listen: { tls: { cert: a.crt, key: a.key }, credentials: bearer }\n${ONE_CALLER}`;
  const seen = await diagnose({ url, more, files });
  assertFound(t, seen, 'certificate_expiry', 'warning');
  assertFound(t, seen, 'configuration_warning', 'warning');
  t.match(seen.one('configuration_warning').message, 'listen.credentials');
});

void t.test('issuers', async (t) => {
  const { url } = await standIn(t);
  const provider = await startEndpoint(
    t,
    jsonAt({ '/none': { keys: [] }, '/keys': { keys: [publicOf(await makeKey('a'))] } }),
  );
  const issuer = (path: string): string =>
    `issuers: [{ name: corp, issuer: "https://id.example", audience: shim, jwksUri: "${provider.url}${path}", scopes: { claim: scope, ceiling: [operator.read] } }]`;
  assertFound(t, await diagnose({ url, more: issuer('/keys') }), 'provider_reachable', 'ok');
  const seen = await diagnose({ url, more: issuer('/none') });
  assertFound(t, seen, 'provider_unreachable', 'fault', [
    ['shim.config.yaml', 'issuers:', '  - name: corp', `    jwksUri: ${provider.url}/none`],
  ]);
  t.match(seen.one('provider_unreachable').message, 'the key set has no key that can be used. Its callers get 503.');
});

void t.test('introspection', async (t) => {
  const { url } = await standIn(t);
  const provider = await startEndpoint(t, jsonAt({ '/introspect': { active: false } }));
  const endpoint = `${provider.url}/introspect`;
  const more = [
    'introspection:',
    `  { name: corp, endpoint: "${endpoint}", clientId: shim, clientSecret: { env: SECRET }, audience: shim,`,
    '    caller: { claim: client_id }, scopes: { claim: scope, ceiling: [operator.read] } }',
  ].join('\n');
  assertFound(t, await diagnose({ url, more }), 'provider_reachable', 'ok');
  provider.answer = (_request, response) => void response.writeHead(401).end();
  const seen = await diagnose({ url, more });
  assertFound(t, seen, 'provider_unreachable', 'fault', [
    ['shim.config.yaml', 'introspection:', `  endpoint: ${endpoint}`],
  ]);
  t.match(seen.one('provider_unreachable').message, 'refuses the client of the shim (401)');
});
