/** RFC 9728 with a client of its own (`oauth4webapi`) and a certified provider: from a 401 to a run. */
import * as oauth from 'oauth4webapi';
import t from 'tap';
import { CLIENT, makeKey, startProvider } from '../helpers/provider.ts';
import { sendRaw } from '../helpers/raw.ts';
import { bearer, callers, startStack, TOKENS } from '../helpers/stack.ts';

const http = { [oauth.allowInsecureRequests]: true } as const;
const PATH = '/.well-known/oauth-protected-resource';
const key = await makeKey('k1');
const issuer = (url: string): string => `
issuers:
  - name: corp
    issuer: ${url}
    audience: urn:shim
    discovery: true
    scopes: { claim: scope, map: { runs:read: [operator.read] }, ceiling: [operator.read] }`;

void t.test('a client that knows the address alone gets its token, and passes', async (t) => {
  const provider = await startProvider(t, [key]);
  const stack = await startStack(t, { listen: '{ port: 0, resourceMetadata: true }', more: issuer(provider.url) });

  const refused = await fetch(`${stack.url}/v1/models`);
  t.equal(refused.status, 401);
  const challenge = refused.headers.get('www-authenticate') as string;
  t.equal(challenge, `Bearer realm="openclaw", resource_metadata="${stack.url}${PATH}"`);

  const resource = new URL(stack.url);
  const line = stack.nextLine();
  const found = await oauth.resourceDiscoveryRequest(resource, http);
  t.equal(found.headers.get('content-type'), 'application/json');
  const metadata = await oauth.processResourceDiscoveryResponse(resource, found);
  t.strictSame(metadata, {
    resource: stack.url,
    authorization_servers: [provider.url],
    scopes_supported: ['runs:read'],
    bearer_methods_supported: ['header'],
  });
  t.match(await line, { status: 200, end: 'done', method: 'GET' });

  const server = new URL(metadata.authorization_servers?.[0] as string);
  const as = await oauth.processDiscoveryResponse(server, await oauth.discoveryRequest(server, http));
  const client = { client_id: CLIENT.id };
  const granted = await oauth.clientCredentialsGrantRequest(
    as,
    client,
    oauth.ClientSecretBasic(CLIENT.secret),
    { scope: metadata.scopes_supported?.join(' ') as string, resource: 'urn:shim:RS256' },
    http,
  );
  const { access_token: token } = await oauth.processClientCredentialsResponse(as, client, granted);
  t.equal((await fetch(`${stack.url}/v1/models`, { headers: bearer(token) })).status, 200);
  t.equal(stack.gateway.requests.length, 1);
});

void t.test('every challenge leads there', async (t) => {
  const stack = await startStack(t, { listen: '{ port: 0, resourceMetadata: https://agents.example }' });
  const challenge = async (token: string, path = '/v1/models', method = 'GET'): Promise<string | null> =>
    (await fetch(stack.url + path, { method, headers: bearer(token) })).headers.get('www-authenticate');
  const there = `resource_metadata="https://agents.example${PATH}"`;
  const bad = await challenge('x'.repeat(30));
  t.equal(
    bad,
    `Bearer realm="openclaw", error="invalid_token", error_description="The bearer token is not valid.", ${there}`,
  );
  t.equal(
    await challenge(TOKENS.reader, '/v1/chat/completions', 'POST'),
    `Bearer realm="openclaw", error="insufficient_scope", scope="operator.write", ${there}`,
  );
  t.equal(await challenge(TOKENS.reader), null);
  const document = (await (await fetch(stack.url + PATH)).json()) as object;
  t.strictSame(document, { resource: 'https://agents.example', bearer_methods_supported: ['header'] });
});

void t.test('a client is told what its own provider calls the scope that it lacks', async (t) => {
  const provider = await startProvider(t, [key]);
  const section = (scopes: string): string => `
introspection:
  name: opaque
  endpoint: ${provider.url}/token/introspection
  issuer: ${provider.url}
  clientId: ${CLIENT.id}
  clientSecret: { env: CLIENT_SECRET }
  audience: urn:opaque
  caller: { claim: client_id }
  scopes: ${scopes}`;
  const options = {
    listen: '{ port: 0, resourceMetadata: https://agents.example }',
    more: section(
      '{ claim: scope, map: { all: [operator.admin], run: [operator.write], "a b": [operator.write], runs:read: [operator.read], deploy: [operator.pairing] }, ceiling: [operator.write] }',
    ),
    env: { CLIENT_SECRET: CLIENT.secret },
  };
  const stack = await startStack(t, options);
  const token = await provider.token('urn:opaque');
  const there = `, resource_metadata="https://agents.example${PATH}"`;
  const challenge = async (shown: string): Promise<string | null> => {
    const init = { method: 'POST', headers: bearer(shown), body: '{}' };
    const answer = await fetch(`${stack.url}/v1/chat/completions`, init);
    t.equal(answer.status, 403);
    return answer.headers.get('www-authenticate');
  };
  t.equal(await challenge(token), `Bearer realm="openclaw", error="insufficient_scope", scope="run"${there}`);
  t.strictSame(await (await fetch(stack.url + PATH)).json(), {
    resource: 'https://agents.example',
    authorization_servers: [provider.url],
    scopes_supported: ['all', 'run', 'runs:read'],
    bearer_methods_supported: ['header'],
  });
  t.match(stack.lines.at(-1), { route: PATH, path: undefined, status: 200 });

  options.more = section('{ claim: scope, ceiling: [operator.write] }');
  await stack.reload();
  t.equal(
    await challenge(token),
    `Bearer realm="openclaw", error="insufficient_scope", scope="operator.write"${there}`,
  );
  for (const none of [
    '{ claim: scope, map: { run: [operator.write], runs:read: [operator.read] }, ceiling: [operator.read] }',
    '{ claim: roles, map: { run: [operator.write] }, ceiling: [operator.write] }',
  ]) {
    options.more = section(none);
    await stack.reload();
    t.equal(await challenge(token), `Bearer realm="openclaw", error="insufficient_scope"${there}`, none);
  }
  t.equal(stack.gateway.requests.length, 0);
});

void t.test('whoever shares a secret is no authorization server', async (t) => {
  const more = `
issuers:
  - name: shared
    issuer: https://id.example
    audience: urn:shim
    secret: { env: HMAC }
    algorithms: [HS256]
    scopes: { claim: scope, ceiling: [operator.read] }`;
  const stack = await startStack(t, {
    listen: '{ port: 0, resourceMetadata: https://agents.example }',
    more,
    env: { HMAC: 'k'.repeat(40) },
  });
  t.strictSame(await (await fetch(stack.url + PATH)).json(), {
    resource: 'https://agents.example',
    bearer_methods_supported: ['header'],
  });
});

void t.test('that one target alone is open, for the hosts that are served', async (t) => {
  const stack = await startStack(t, {
    listen: '{ port: 0, resourceMetadata: true, origins: ["https://app.example"] }',
  });
  const status = async (path: string, init: RequestInit = {}): Promise<number> =>
    (await fetch(stack.url + path, init)).status;
  t.equal(await status(PATH), 200);
  t.equal(await status(PATH, { method: 'HEAD' }), 200);
  for (const path of [
    `${PATH}/`,
    `${PATH}?a`,
    `${PATH}/v1`,
    PATH.toUpperCase(),
    `/${PATH.slice(1).replace('-', '%2d')}`,
  ]) {
    t.not(await status(path), 200, path);
  }
  t.equal(await status(PATH, { method: 'POST' }), 401);
  t.equal(await status(PATH, { headers: { origin: 'https://other.example' } }), 403);
  const allowed = await fetch(stack.url + PATH, { headers: { origin: 'https://app.example' } });
  t.equal(allowed.headers.get('access-control-allow-origin'), 'https://app.example');
  const { text } = await sendRaw(
    stack.port,
    `GET ${PATH} HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n`,
  );
  t.match(text, /^HTTP\/1\.1 421 /);
  t.equal(stack.gateway.requests.length, 0);
});

void t.test('it is off by itself', async (t) => {
  const stack = await startStack(t, { callers: callers() });
  const answer = await fetch(stack.url + PATH);
  t.equal(answer.status, 401);
  t.equal(answer.headers.get('www-authenticate'), 'Bearer realm="openclaw"');
});
