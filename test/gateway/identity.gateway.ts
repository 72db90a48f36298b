/** Callers known by a certified OpenID provider (`oidc-provider`), before a real gateway. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import t from 'tap';
import { CLIENT, makeKey, startProvider } from '../helpers/provider.ts';
import { startShim } from '../helpers/shim.ts';
import { startGateway } from './gateway.ts';
import { MODEL, REPLY } from './hop.ts';
import { chat, connect } from './socket.ts';
import { VERSION } from './version.ts';

const dir = await mkdtemp(join(tmpdir(), 'auth-shim-identity-'));
t.teardown(() => rm(dir, { recursive: true, force: true }));
const provider = await startProvider(t, [await makeKey('k1')]);
const gateway = await startGateway({ version: VERSION, auth: { mode: 'token' } });
t.teardown(() => gateway.stop());
const shim = await startShim(
  [
    'listen: { port: 0 }',
    'admin: { port: 0 }',
    `gateway: { url: "${gateway.url}", auth: { mode: token, secret: { env: GATEWAY_SECRET } }, deviceStore: "${join(dir, 'devices')}" }`,
    'issuers:',
    '  - name: jwt',
    `    issuer: ${provider.url}`,
    '    audience: urn:shim',
    '    discovery: true',
    '    caller: { template: "{client_id}/run:{sub}" }',
    '    scopes: { claim: scope, map: { runs:write: [operator.write] }, ceiling: [operator.write] }',
    '    policy: { websocket: relay }',
    'introspection:',
    '  name: opaque',
    `  endpoint: ${provider.url}/token/introspection`,
    `  clientId: ${CLIENT.id}`,
    '  clientSecret: { env: CLIENT_SECRET }',
    '  audience: urn:opaque',
    '  caller: { claim: client_id }',
    '  scopes: { claim: scope, map: { runs:read: [operator.read] }, ceiling: [operator.read] }',
    '  policy: { websocket: relay }',
  ].join('\n'),
  { GATEWAY_SECRET: gateway.token, CLIENT_SECRET: CLIENT.secret },
);
t.teardown(() => shim.stop());
const jwt = await provider.token('urn:shim');
const opaque = await provider.token('urn:opaque');
const client = (apiKey: string): OpenAI => new OpenAI({ baseURL: `${shim.url}/v1`, apiKey, maxRetries: 0 });
const ASKED = { model: MODEL, messages: [{ role: 'user', content: 'hi' }] } as const;

await t.test('openai: a JWT, whole and streamed', async (t) => {
  const whole = await client(jwt).chat.completions.create({ ...ASKED, messages: [...ASKED.messages] });
  t.equal(whole.choices[0]?.message.content, REPLY);
  let text = '';
  const stream = await client(jwt).chat.completions.create({ ...ASKED, messages: [...ASKED.messages], stream: true });
  for await (const piece of stream) text += piece.choices[0]?.delta.content ?? '';
  t.equal(text, REPLY);
  t.match(await shim.logged((line) => line.status === 200), { caller: 'jwt:agent/run:agent' });
});

await t.test('openai: an opaque token reads, and may not write', async (t) => {
  t.ok((await client(opaque).models.list()).data.length > 0);
  await t.rejects(client(opaque).chat.completions.create({ ...ASKED, messages: [...ASKED.messages] }), {
    status: 403,
    code: 'insufficient_scope',
  });
});

await t.test('WebSocket: a device for a name with a colon and a slash', async (t) => {
  const ws = await connect(shim.url, { bearer: jwt, params: { scopes: ['operator.write'] } });
  t.match(ws.answer, { ok: true, payload: { type: 'hello-ok', auth: { role: 'operator' } } });
  const { grown } = await chat(ws, 'agent:main:identity', 'hi');
  t.equal(grown, REPLY);
  await ws.close();
  const reader = await connect(shim.url, { bearer: opaque });
  t.equal((await reader.call('sessions.list')).ok, true);
  t.match(await reader.call('chat.send', { sessionKey: 'agent:main:x', message: 'no', idempotencyKey: 'x' }), {
    error: { message: 'missing scope: operator.write' },
  });
  await reader.close();
  t.match(await shim.logged((line) => line.msg === 'socket connected' && line.caller === 'opaque:agent'), {
    scopes: ['operator.read'],
  });
});

await t.test('a token that is revoked, or that nobody has', async (t) => {
  const status = async (token: string): Promise<number> =>
    (await fetch(`${shim.url}/v1/models`, { headers: { authorization: `Bearer ${token}` } })).status;
  t.equal(await status(`${jwt.slice(0, -6)}AAAAAA`), 401);
  const ended = await provider.token('urn:opaque');
  await provider.ask('/token/revocation', ended);
  t.equal(await status(ended), 401);
  t.equal(await status(gateway.token), 401, 'the secret of the gateway is nobody’s here');
});
