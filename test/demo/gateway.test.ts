import { connect } from 'node:net';
import { once } from 'node:events';
import { request } from 'node:http';
import t from 'tap';
import { startGateway, type Recorded, type Release, type StandInAuth } from '../../src/demo/gateway.ts';
import { ask, authOf, CONTRACT, MEASURED, type Mode } from '../gateway/contract.ts';

const MODES: readonly Mode[] = ['token', 'trusted-proxy', 'none'];
const TOKEN: StandInAuth = { mode: 'token', token: 'secret' };
const BEARER = { authorization: 'Bearer secret' };
const WRITE = { ...BEARER, 'x-openclaw-scopes': 'operator.write' };
const CHAT = { model: 'openclaw', messages: [{ role: 'user', content: 'hi' }] };

for (const release of MEASURED) {
  for (const mode of MODES) {
    void t.test(`${release}, ${mode}: the bytes that the real one was measured to send`, async (t) => {
      const gateway = await startGateway({ release, auth: authOf(mode, release) });
      t.teardown(() => gateway.close());
      for (const row of CONTRACT) {
        if (row.mode === mode) t.strictSame(await ask(gateway.url, row), row.answers[release], row.name);
      }
    });
  }
}

interface RuleCase {
  readonly name: string;
  readonly auth: StandInAuth;
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly status: Readonly<Record<Release, number>>;
}

const PROXY: StandInAuth = { mode: 'trusted-proxy', userHeader: 'x-user', requiredHeaders: ['x-gate'] };
const PROXIED = { 'x-user': 'agentpage', 'x-gate': '1', 'x-forwarded-for': '203.0.113.9' };
const byRelease = (...[a, b, c, d, e, f, g]: [number, number, number, number, number, number, number]) => ({
  '2026.3.24': a,
  '2026.3.28': b,
  '2026.3.31': c,
  '2026.4.1': d,
  '2026.5.28': e,
  '2026.7.1': f,
  '2026.9.6': g,
});

/** Each row is one thing that releases changed. */
const RULES: readonly RuleCase[] = [
  {
    name: 'the secret without scopes',
    auth: TOKEN,
    method: 'GET',
    path: '/v1/models',
    headers: BEARER,
    status: byRelease(200, 403, 200, 200, 200, 200, 200),
  },
  {
    name: 'history with the secret and every scope',
    auth: TOKEN,
    method: 'GET',
    path: '/sessions/main/history',
    headers: { ...BEARER, 'x-openclaw-scopes': 'operator.admin' },
    status: byRelease(200, 200, 403, 403, 200, 200, 200),
  },
  {
    name: 'kill with the secret and every scope',
    auth: TOKEN,
    method: 'POST',
    path: '/sessions/main/kill',
    headers: { ...BEARER, 'x-openclaw-scopes': 'operator.admin' },
    status: byRelease(200, 200, 200, 200, 403, 403, 403),
  },
  {
    name: 'mode none without the scopes header',
    auth: { mode: 'none' },
    method: 'GET',
    path: '/v1/models',
    headers: {},
    status: byRelease(200, 403, 403, 200, 200, 200, 200),
  },
  {
    name: 'mode none with an empty scopes header',
    auth: { mode: 'none' },
    method: 'GET',
    path: '/v1/models',
    headers: { 'x-openclaw-scopes': '' },
    status: byRelease(200, 403, 403, 403, 403, 403, 403),
  },
  {
    name: 'a proxy on loopback that the gateway was not told to allow',
    auth: PROXY,
    method: 'GET',
    path: '/v1/models',
    headers: { ...PROXIED, 'x-openclaw-scopes': 'operator.read' },
    status: byRelease(200, 200, 401, 401, 401, 401, 401),
  },
  {
    name: 'a proxy on loopback that the gateway allows',
    auth: { ...PROXY, allowLoopback: true },
    method: 'GET',
    path: '/v1/models',
    headers: { ...PROXIED, 'x-openclaw-scopes': 'operator.read' },
    status: byRelease(200, 200, 401, 401, 200, 200, 200),
  },
  {
    name: 'a proxy that leaves out a required header',
    auth: { ...PROXY, allowLoopback: true },
    method: 'GET',
    path: '/v1/models',
    headers: { 'x-user': 'agentpage', 'x-forwarded-for': '203.0.113.9', 'x-openclaw-scopes': 'operator.read' },
    status: byRelease(401, 401, 401, 401, 401, 401, 401),
  },
  {
    name: 'a proxy that tells no client at all',
    auth: { ...PROXY, allowLoopback: true },
    method: 'GET',
    path: '/v1/models',
    headers: { 'x-user': 'agentpage', 'x-gate': '1', 'x-openclaw-scopes': 'operator.read' },
    status: byRelease(200, 200, 401, 401, 200, 200, 403),
  },
  {
    name: 'kill through a proxy, every scope',
    auth: { ...PROXY, allowLoopback: true },
    method: 'POST',
    path: '/sessions/main/kill',
    headers: { ...PROXIED, 'x-openclaw-scopes': 'operator.admin' },
    status: byRelease(403, 403, 401, 401, 403, 200, 200),
  },
  {
    name: 'mode password',
    auth: { mode: 'password', password: 'secret' },
    method: 'GET',
    path: '/v1/models',
    headers: WRITE,
    status: byRelease(200, 200, 200, 200, 200, 200, 200),
  },
];

for (const { name, auth, method, path, headers, status } of RULES) {
  void t.test(`by release: ${name}`, async (t) => {
    for (const [release, expected] of Object.entries(status) as [Release, number][]) {
      const gateway = await startGateway({ release, auth });
      const response = await fetch(gateway.url + path, { method, headers });
      await response.text();
      t.equal(response.status, expected, release);
      await gateway.close();
    }
  });
}

void t.test('a chat is streamed and ends in [DONE]', async (t) => {
  const gateway = await startGateway({ auth: TOKEN, words: ['a', 'b'], chunks: 3 });
  t.teardown(() => gateway.close());
  const text = await post(`${gateway.url}/v1/chat/completions`, { ...CHAT, stream: true });
  const events = text.split('\n\n').filter(Boolean);
  t.equal(events.length, 5, 'the role, three words, the end');
  t.match(events[1], '"delta":{"content":"a"}');
  t.match(events[3], '"delta":{"content":"a"}', 'the words go round');
  t.equal(events.at(-1), 'data: [DONE]');
});

void t.test('a response is streamed and ends in [DONE]', async (t) => {
  const gateway = await startGateway({ auth: TOKEN });
  t.teardown(() => gateway.close());
  const text = await post(`${gateway.url}/v1/responses`, { model: 'openclaw', input: 'hi', stream: true });
  const types = [...text.matchAll(/^event: (.*)$/gm)].map((match) => match[1]);
  t.equal(types[0], 'response.created');
  t.equal(types.filter((type) => type === 'response.output_text.delta').length, 4);
  t.equal(types.at(-1), 'response.completed');
  t.ok(text.endsWith('data: [DONE]\n\n'));
});

void t.test('replies that are not streamed', async (t) => {
  const gateway = await startGateway({ auth: TOKEN, words: ['one', ' two'], hooksToken: 'hook' });
  t.teardown(() => gateway.close());
  const of = (path: string, body: object, more = {}): Promise<string> => post(gateway.url + path, body, more);
  t.match(JSON.parse(await of('/v1/chat/completions', CHAT)), {
    choices: [{ message: { content: 'one two' }, finish_reason: 'stop' }],
  });
  t.match(JSON.parse(await of('/v1/responses', { model: 'openclaw' })), {
    status: 'completed',
    output: [{ content: [{ text: 'one two' }] }],
  });
  t.match(JSON.parse(await of('/v1/embeddings', { input: ['a', 'b'] })), { data: [{ index: 0 }, { index: 1 }] });
  t.match(JSON.parse(await of('/tools/invoke', { tool: 'agents_list' })), { ok: true });
  t.equal(await of('/hooks/wake', {}, { 'x-openclaw-token': 'hook' }), '{"ok":true,"mode":"now"}');
  t.equal(await of('/hooks/wake', {}, { 'x-openclaw-token': 'other' }), 'Unauthorized');
  t.match(await of('/v1/chat/completions', { ...CHAT, model: 'gpt-4' }), 'Invalid `model`');
});

void t.test('routes that are switched off are unknown', async (t) => {
  const gateway = await startGateway({ auth: TOKEN, endpoints: false });
  t.teardown(() => gateway.close());
  for (const path of ['/v1/chat/completions', '/v1/responses', '/v1/embeddings', '/hooks/wake']) {
    t.equal(await post(gateway.url + path, {}), 'Not Found', path);
  }
});

void t.test('a request is kept to the byte', async (t) => {
  const seen: Recorded[] = [];
  const gateway = await startGateway({ auth: TOKEN, onRequest: (one) => seen.push(one) });
  t.teardown(() => gateway.close());
  const socket = connect(gateway.port, '127.0.0.1');
  socket.end(
    'POST /nope?%41=%zz HTTP/1.1\r\nHost: h\r\nX-a: 1\r\nx-A: 2\r\nTransfer-Encoding: chunked\r\n' +
      'Connection: close\r\n\r\n3\r\na\x00b\r\n0\r\nX-Late: 1\r\n\r\n',
  );
  await once(socket.resume(), 'close');
  const [one] = gateway.requests;
  t.equal(gateway.requests.length, 1);
  t.equal(seen[0], one);
  t.equal(one?.method, 'POST');
  t.equal(one?.url, '/nope?%41=%zz');
  t.strictSame(one?.rawHeaders.join('|'), 'Host|h|X-a|1|x-A|2|Transfer-Encoding|chunked|Connection|close');
  await one?.received;
  t.equal(one?.body.toString('latin1'), 'a\x00b');
  t.strictSame(one?.rawTrailers, ['X-Late', '1']);
  t.equal(await one?.ended, 'finished');
  t.equal(one?.aborted, false);
});

for (const [name, body] of [
  ['a stream', { ...CHAT, stream: true }],
  ['a run that is not streamed', CHAT],
] as const) {
  void t.test(`${name} is told as aborted when the caller goes`, async (t) => {
    const arrived = Promise.withResolvers<Recorded>();
    const gateway = await startGateway({
      auth: TOKEN,
      chunks: Infinity,
      chunkDelay: 5,
      onRequest: arrived.resolve,
    });
    t.teardown(() => gateway.close());
    const caller = request(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { ...WRITE, 'content-type': 'application/json' },
    });
    caller.on('error', () => {});
    caller.end(JSON.stringify(body));
    const run = await arrived.promise;
    await run.received;
    caller.destroy();
    t.equal(await run.ended, 'aborted');
    t.equal(run.aborted, true);
  });
}

void t.test('a target that is no URL does not end the gateway', async (t) => {
  const gateway = await startGateway({ auth: TOKEN });
  t.teardown(() => gateway.close());
  const socket = connect(gateway.port, '127.0.0.1').setEncoding('utf8');
  socket.end('GET // HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n');
  const [head] = (await once(socket, 'data')) as [string];
  t.match(head, /^HTTP\/1.1 500 /);
});

void t.test('a taken port is told', async (t) => {
  const gateway = await startGateway({ auth: TOKEN });
  t.teardown(() => gateway.close());
  await t.rejects(startGateway({ auth: TOKEN, port: gateway.port }), { code: 'EADDRINUSE' });
});

async function post(url: string, body: object, headers: Readonly<Record<string, string>> = {}): Promise<string> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { ...WRITE, 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
  return response.text();
}
