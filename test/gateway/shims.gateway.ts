/** Two shims before a real gateway: the hop between them is mutual TLS. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { makeAuthority } from '../helpers/certificates.ts';
import { startShim } from '../helpers/shim.ts';
import { caller } from '../helpers/stack.ts';
import { curlCases } from './cases/curl.ts';
import { sdkCases } from './cases/sdk.ts';
import { streamCases } from './cases/streams.ts';
import { startGateway } from './gateway.ts';
import { CALLERS, REPLY } from './hop.ts';
import { chat, connect } from './socket.ts';
import { VERSION } from './version.ts';

const URI = 'spiffe://cluster/laptop';
const BOTH = ['operator.read', 'operator.write'];

const dir = await mkdtemp(join(tmpdir(), 'auth-shim-shims-'));
t.teardown(() => rm(dir, { recursive: true, force: true }));
const ca = await makeAuthority();
const server = await ca.issue({ dns: ['localhost'], usage: ['serverAuth'] });
const client = await ca.issue({ uris: [URI], usage: ['clientAuth'] });
const files = {
  'ca.crt': ca.cert,
  'server.crt': server.cert,
  'server.key': server.key,
  'client.crt': client.cert,
  'client.key': client.key,
};
for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text, { mode: 0o600 });
const path = (name: keyof typeof files): string => JSON.stringify(join(dir, name));

const gateway = await startGateway({ version: VERSION, auth: { mode: 'token' } });
t.teardown(() => gateway.stop());
const far = await startShim(
  [
    `listen: { port: 0, tls: { cert: ${path('server.crt')}, key: ${path('server.key')}, clientCa: ${path('ca.crt')} } }`,
    'admin: { port: 0 }',
    `gateway: { url: "${gateway.url}", auth: { mode: token, secret: { env: GATEWAY_SECRET } }, deviceStore: memory }`,
    'callers:',
    `  - { name: laptop, certificates: [{ uri: "${URI}" }], onBehalf: true, scopes: [operator.write], websocket: relay }`,
  ].join('\n'),
  { GATEWAY_SECRET: gateway.token },
);
t.teardown(() => far.stop());
const near = await startShim(
  [
    'listen: { port: 0 }',
    'admin: { port: 0 }',
    `gateway: { url: "${far.url.replace('127.0.0.1', 'localhost')}", auth: { mode: shim },`,
    `  tls: { ca: ${path('ca.crt')}, cert: ${path('client.crt')}, key: ${path('client.key')} } }`,
    'callers:',
    caller('reader', CALLERS.reader, ['operator.read'], 'websocket: relay'),
    caller('writer', CALLERS.writer, BOTH, 'websocket: relay'),
    caller('admin', CALLERS.admin, ['operator.admin'], 'websocket: relay'),
  ].join('\n'),
);
t.teardown(() => near.stop());

// What the other cases of a hop are about is between the second shim and its gateway.
const hop = { mode: 'trusted-proxy', gateway, shim: near, relay: undefined } as const;
await curlCases(t, hop);
await sdkCases(t, hop);
await streamCases(t, hop);

await t.test('WebSocket: a bearer, a list, a chat, within the ceiling of the second', async (t) => {
  const ws = await connect(near.url, { bearer: CALLERS.admin, params: { scopes: ['operator.admin'] } });
  t.match(ws.answer, { ok: true, payload: { type: 'hello-ok', auth: { role: 'operator' } } });
  t.match(await ws.call('sessions.list'), { ok: true, payload: { sessions: Array } });
  t.match(await ws.call('config.patch', { raw: '{}' }), { error: { message: 'missing scope: operator.admin' } });
  const { grown } = await chat(ws, 'agent:main:two-shims', 'hi');
  t.equal(grown, REPLY);
  await ws.close();
  t.match(await far.logged((line) => line.msg === 'socket connected'), {
    caller: 'laptop/admin',
    scopes: ['operator.write'],
  });
});

await t.test('WebSocket: a reader may not write', async (t) => {
  const ws = await connect(near.url, { bearer: CALLERS.reader });
  t.equal((await ws.call('sessions.list')).ok, true);
  t.match(await ws.call('chat.send', { sessionKey: 'agent:main:x', message: 'no', idempotencyKey: 'x' }), {
    error: { message: 'missing scope: operator.write' },
  });
  await ws.close();
});

await t.test('the second knows whom the first called for', async (t) => {
  const { certificate } = await far.logged((line) => line.caller === 'laptop/writer' && line.status === 200);
  t.equal(certificate, `cert:${client.fingerprint.slice(0, 12)}`);
});
