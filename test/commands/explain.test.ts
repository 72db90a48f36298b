/** `auth-shim explain` */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { configure, env, run } from '../helpers/command-line.ts';
import { makeAuthority } from '../helpers/certificates.ts';
import { caller, GATEWAY_SECRET, TOKENS } from '../helpers/stack.ts';

void t.test('explain gives the decision of the gate, the rule and the headers, secrets masked', async (t) => {
  const file = await configure(t, 'http://127.0.0.1:18789');
  const explain = (...words: string[]) => run(['explain', '-c', file, '--as', 'writer', ...words], { env });

  const yes = await explain(
    'POST',
    '/v1/chat/completions',
    '-H',
    'x-openclaw-session-key: s1',
    '-H',
    'x-openclaw-model: m',
  );
  t.equal(yes.code, 0);
  t.match(yes.stdout, /^decision {2}forward$/m);
  t.match(
    yes.stdout,
    /^rule .*POST \/v1\/chat\/completions needs operator\.write; writer has: operator\.read, operator\.write$/m,
  );
  t.match(yes.stdout, /^enforced {2}shim: on every release$/m);
  t.match(yes.stdout, /gateway from 2026\.3\.28 \(token\): also enforces/);
  t.match(yes.stdout, /gateway from 2026\.3\.31 \(token\): does not, every bearer is full owner/);
  t.match(yes.stdout, /x-openclaw-scopes: operator\.read,operator\.write$/m);
  t.match(yes.stdout, /x-openclaw-session-key: s1$/m);
  t.match(yes.stdout, /^dropped {3}x-openclaw-model$/m);
  t.match(yes.stdout, /authorization: Bearer \*\*\*\*$/m);
  t.notMatch(yes.stdout, GATEWAY_SECRET);

  const no = await explain('POST', '/tools/invoke', '--json');
  t.equal(no.code, 1);
  t.match(JSON.parse(no.stdout), {
    decision: 'refuse',
    status: 403,
    code: 'insufficient_scope',
    rule: /operator\.admin/,
  });
  t.match(
    (await explain('GET', '/sessions/main/history')).stdout,
    /gateway from 2026\.3\.31 \(token\): also enforces, it refuses this route/,
  );
  t.match((await explain('GET', '/v1/chat/completions')).stdout, /^rule .*this path is exposed for POST alone$/m);
  t.match((await explain('GET', '/nowhere', '--json')).stdout, /route_not_exposed/);
  t.match((await explain('GET', '/v1/../x', '--json')).stdout, /bad_request/);
  const nobody = await run(['explain', '-c', file, '--as', 'wirter', 'GET', '/v1/models'], { env });
  t.equal(nobody.code, 2);
  t.match(nobody.stderr, /no caller is named "wirter"; there are: writer\n/);
});

void t.test('explain as a caller of a provider: its policy, and the scopes of its ceiling', async (t) => {
  const more = `
issuers:
  - name: corp
    issuer: https://id.example
    audience: shim
    jwksUri: https://id.example/keys
    scopes: { claim: scope, ceiling: [operator.read] }
    policy: { agent: ops }
introspection:
  name: opaque
  endpoint: https://id.example/introspect
  clientId: shim
  clientSecret: { env: SECRET }
  audience: shim
  scopes: { claim: scope, ceiling: [operator.write] }
`;
  const file = await configure(t, 'http://127.0.0.1:18789', more);
  const explain = (as: string, ...words: string[]) => run(['explain', '-c', file, '--as', as, ...words], { env });
  const no = await explain('corp:ada', 'POST', '/v1/chat/completions');
  t.equal(no.code, 1);
  t.match(no.stdout, /^rule .*needs operator\.write; corp:ada has: operator\.read$/m);
  t.match(no.stderr, /^corp:ada is taken to have all scopes of its ceiling; what a token grants: explain --token -$/m);
  const yes = await explain('opaque:ada', 'POST', '/v1/chat/completions');
  t.equal(yes.code, 0);
  t.match((await explain('corp:ada', 'GET', '/v1/models')).stdout, /x-openclaw-agent-id: ops$/m);
  for (const nobody of ['corp:', 'corp', 'other:ada', 'corp:a b', 'corp:a"b']) {
    const { code, stderr } = await explain(nobody, 'GET', '/v1/models');
    t.equal(code, 2, nobody);
    t.match(stderr, /there are: writer; and of providers: corp:…, opaque:…\n/);
  }
});

void t.test('explain: a Host that is given takes the place of the one made up', async (t) => {
  const file = await configure(t, 'http://127.0.0.1:18789');
  const { code, stdout } = await run(
    ['explain', '-c', file, '--as', 'writer', '--json', 'GET', '/v1/models', '-H', 'hOst: evil'],
    { env },
  );
  t.equal(code, 1);
  t.match(JSON.parse(stdout), { status: 421, code: 'host_not_allowed', message: /"evil"/ });
});

void t.test('explain: nobody can call as a caller without a live token', async (t) => {
  const file = await configure(
    t,
    'http://127.0.0.1:18789',
    [
      `  - { name: old, tokens: [{ hash: "sha256:${'a'.repeat(64)}", expires: 2020-01-01 }], scopes: [operator.read] }`,
      `  - { name: early, tokens: [{ hash: "sha256:${'b'.repeat(64)}", notBefore: 2999-01-01 }], scopes: [operator.read] }`,
      `  - { name: none, scopes: [operator.read] }`,
      `  - { name: both, tokens: [{ hash: "sha256:${'c'.repeat(64)}", expires: 2020-01-01 }, { hash: "sha256:${'d'.repeat(64)}" }], scopes: [operator.read] }`,
    ].join('\n'),
  );
  const explain = (name: string, ...more: string[]) =>
    run(['explain', '-c', file, '--as', name, 'GET', '/v1/models', ...more], { env });
  for (const [name, code, words] of [
    ['old', 'expired_token', 'The bearer token has expired.'],
    ['early', 'not_yet_valid_token', 'The bearer token is not valid yet.'],
    ['none', 'invalid_token', 'The caller has no token.'],
  ] as const) {
    const json = await explain(name, '--json');
    t.equal(json.code, 1, name);
    const message = `Nobody can call as "${name}" now. ${words}`;
    t.match(JSON.parse(json.stdout), { decision: 'refuse', status: 401, code, message, rule: /a live token/ });
    const text = await explain(name);
    t.equal(text.code, 1, name);
    t.match(text.stdout, `decision  refuse: 401 ${code}\n          ${message}\n`);
  }
  t.equal((await explain('both')).code, 0, 'one live token is enough');
});

void t.test('explain: health routes that are open to everybody', async (t) => {
  const file = await configure(t, 'http://127.0.0.1:18789');
  await writeFile(file, (await readFile(file, 'utf8')).replace('{ port: 0 }', '{ port: 0, health: true }'));
  for (const path of ['/health', '/healthz']) {
    const { code, stdout } = await run(['explain', '-c', file, '--as', 'writer', '--json', 'GET', path], { env });
    t.equal(code, 0);
    t.match(JSON.parse(stdout), {
      decision: 'forward',
      rule: `listen.health opens GET ${path} without a token, for everybody`,
      layers: [/^nobody: /],
    });
    t.notMatch(stdout, /operator\.read|Bearer/);
  }
});

void t.test('explain masks the identity headers of a trusted-proxy hop', async (t) => {
  const file = join(t.testdir({}), 'shim.config.yaml');
  await writeFile(
    file,
    [
      'gateway:',
      '  url: http://127.0.0.1:18789',
      '  auth: { mode: trusted-proxy, userHeader: { env: NAME }, requiredHeaders: { x-proof-8f2c: { env: SECRET } }, clientAddress: 192.0.2.1 }',
      'callers:',
      caller('writer', TOKENS.writer, ['operator.write']),
    ].join('\n'),
  );
  const { code, stdout } = await run(['explain', '-c', file, '--as', 'writer', 'GET', '/v1/models'], {
    env: { ...env, NAME: 'x-who-5d1e7a' },
  });
  t.equal(code, 0);
  t.match(stdout, /x-forwarded-for: 192\.0\.2\.1$/m);
  for (const secret of ['x-who-5d1e7a', 'x-proof-8f2c', GATEWAY_SECRET]) t.notMatch(stdout, secret);
});

void t.test('explain: a scope that is only reported is said to be so', async (t) => {
  const file = await configure(t, 'http://127.0.0.1:18789');
  const day = new Date(Date.now() + 86_400_000).toISOString().slice(0, 10);
  const only = caller('ro', TOKENS.reader, ['operator.read'], `unsafeReportOnly: { until: ${day} }`);
  await writeFile(file, `${await readFile(file, 'utf8')}\n${only}\n`);
  const { stdout, code } = await run(['explain', '-c', file, '--as', 'ro', 'POST', '/v1/chat/completions'], { env });
  t.equal(code, 0);
  t.match(stdout, /^enforced {2}shim: does not, it only reports the missing scope until \d{4}-\d\d-\d\d 00:00 UTC/m);
});

const SOCKETS = [
  'callers:',
  caller('plain', TOKENS.reader, ['operator.read']),
  caller('page', TOKENS.writer, ['operator.read', 'operator.write'], 'websocket: relay'),
  caller('chat', 'chat-token-0123456789-abcdef', ['operator.write'], 'websocket: relay, allowMethods: [chat.send, sessions.*], denyMethods: [sessions.delete]'), // prettier-ignore
  caller('not', 'not-token-0123456789-abcdefg', ['operator.write'], 'websocket: relay, denyMethods: [config.*]'),
  caller('nothing', 'none-token-0123456789-abcdef', ['operator.write'], 'websocket: relay, allowMethods: []'),
  caller('own', TOKENS.admin, ['operator.admin'], 'websocket: tunnel, unsafeTunnel: true'),
].join('\n');

async function socketFile(t: Test, auth = '{ mode: token, secret: { env: SECRET } }', listen = '{}'): Promise<string> {
  const file = join(t.testdir({}), 'shim.config.yaml');
  const gateway = `gateway: { url: "http://127.0.0.1:18789", auth: ${auth}, deviceStore: devices }`;
  await writeFile(file, [`listen: ${listen}`, gateway, SOCKETS].join('\n'));
  return file;
}

const asked = async (file: string, name: string, path = '/', ...more: string[]) => {
  const { code, stdout } = await run(['explain', '-c', file, '--as', name, '--websocket', '--json', 'GET', path, ...more], { env }); // prettier-ignore
  return { code, report: JSON.parse(stdout) as Record<string, unknown>, stdout };
};

void t.test('explain --websocket: relay, tunnel, and who has none', async (t) => {
  const file = await socketFile(t);
  const traceparent = ['traceparent', '00-<trace id>-<span id>-03'];
  t.strictSame(await asked(file, 'page').then(({ code, report }) => ({ code, report })), {
    code: 0,
    report: {
      decision: 'forward',
      rule: 'websocket: relay of page, who has: operator.read, operator.write',
      layers: ['shim: the scopes in the first frame', 'gateway: every method, by these scopes, on every release'],
      headers: [['host', '127.0.0.1:18789'], ['x-openclaw-scopes', 'operator.read,operator.write'], traceparent],
    },
  });
  t.match(await asked(file, 'own', '/', '-H', 'User-Agent: u', '-H', 'x-openclaw-scopes: operator.pairing'), {
    code: 0,
    report: {
      decision: 'forward',
      rule: 'websocket: tunnel of own, who has: operator.admin',
      layers: ['shim: who may open it, nothing within', 'gateway: what the client signs for itself'],
      headers: [['host', '127.0.0.1:18789'], ['User-Agent', 'u'], ['x-openclaw-scopes', 'operator.admin'], traceparent],
    },
  });
  const off = { decision: 'refuse', status: 404, code: 'route_not_exposed', message: /callers\[\]\.websocket/ };
  t.match(await asked(file, 'plain'), { code: 1, report: off });
  t.match(await asked(file, 'page', '/?'), { code: 1, report: { status: 404, code: 'route_not_exposed' } });
  t.match(await asked(file, 'page', '/v1/models'), { code: 1, report: { status: 404 } });
  const post = await run(['explain', '-c', file, '--as', 'page', '--websocket', 'POST', '/'], { env });
  t.equal(post.code, 1);
  t.match(post.stdout, /refuse: 400 bad_request/);
  const plain = await run(['explain', '-c', file, '--as', 'page', 'GET', '/'], { env });
  t.equal(plain.code, 1);
  t.match(plain.stdout, /^decision {2}refuse: 426 upgrade_required$/m);
  const text = await run(['explain', '-c', file, '--as', 'page', '--websocket', 'GET', '/'], { env });
  t.match(text.stdout, /^decision {2}forward\nrule {6}websocket: relay of page/m);
});

void t.test('explain --websocket: methods', async (t) => {
  const file = await socketFile(t);
  const lists = async (name: string): Promise<unknown> =>
    ((await asked(file, name)).report.layers as string[]).slice(2);
  t.strictSame(await lists('page'), []);
  t.strictSame(await lists('chat'), ['shim: methods of chat.send, sessions.* but sessions.delete']);
  t.strictSame(await lists('not'), ['shim: methods but config.*']);
  t.strictSame(await lists('nothing'), ['shim: methods of none']);
});

void t.test(
  'explain --websocket says what holds for the caller, also where a first frame could tell who calls',
  async (t) => {
    const listen = '{ websocket: { firstFrameToken: true, subprotocolToken: true } }';
    const file = await socketFile(t, undefined, listen);
    t.match(await asked(file, 'page'), { code: 0, report: { rule: /^websocket: relay of page/ } });
    t.match(await asked(file, 'plain'), { code: 1, report: { decision: 'refuse', status: 404 } });
    t.match(await asked(file, 'own', '/', '-H', 'Sec-WebSocket-Protocol: openclaw.v1, bearer.x'), { code: 0 });
  },
);

void t.test(
  'explain --websocket in the trusted-proxy hop: a local password takes the place of the identity',
  async (t) => {
    const auth = (password: string): string =>
      `{ mode: trusted-proxy, userHeader: x-who-5d1e7a, requiredHeaders: { x-proof-8f2c: { env: SECRET } }${password} }`;
    const names = async (password: string, caller: string): Promise<unknown> => {
      const { report, stdout } = await asked(await socketFile(t, auth(password)), caller);
      for (const secret of ['x-who-5d1e7a', 'x-proof-8f2c', GATEWAY_SECRET, 'local-password-93k']) t.notMatch(stdout, secret); // prettier-ignore
      return (report.headers as [string, string][]).map(([name]) => name);
    };
    const identity = ['****', '****', 'x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host'];
    const own = ['x-openclaw-scopes', 'traceparent'];
    t.strictSame(await names('', 'page'), ['host', ...identity, ...own]);
    t.strictSame(await names(', password: { env: SECRET }', 'page'), ['host', ...own]);
    t.strictSame(await names(', password: { env: SECRET }', 'own'), ['host', ...identity, ...own]);
  },
);

void t.test('explain: two shims, from each side', async (t) => {
  const ca = await makeAuthority();
  const server = await ca.issue({ usage: ['serverAuth'] });
  const client = await ca.issue({ uris: ['spiffe://cluster/laptop'], usage: ['clientAuth'] });
  const near = `gateway: { url: "https://127.0.0.1:1", auth: { mode: shim }, tls: { ca: ca.crt, cert: c.crt, key: c.key } }
callers:
${caller('writer', TOKENS.writer, ['operator.write'])}`;
  const far = `listen: { tls: { cert: s.crt, key: s.key, clientCa: ca.crt } }
gateway: { url: "http://127.0.0.1:1", auth: { mode: none } }
callers: [{ name: laptop, certificates: [{ uri: "spiffe://cluster/laptop" }], onBehalf: true, scopes: [operator.read] }]`;
  const dir = t.testdir({
    'near.yaml': near,
    'far.yaml': far,
    'ca.crt': ca.cert,
    's.crt': server.cert,
    's.key': server.key,
    'c.crt': client.cert,
    'c.key': client.key,
  });
  const explain = async (file: string, as: string, ...words: string[]) =>
    (await run(['explain', '-c', join(dir, file), '--as', as, ...words])).stdout;

  const first = await explain('near.yaml', 'writer', 'POST', '/v1/chat/completions');
  t.match(first, /^decision {2}forward$/m);
  t.match(first, /next shim: its own routes/);
  t.match(first, /x-auth-shim-caller: writer\n *x-auth-shim-scopes: operator\.write$/m);
  t.notMatch(first, /gateway from/);
  const who = ['-H', 'x-auth-shim-caller: writer', '-H', 'x-auth-shim-scopes: operator.write'];
  const second = await explain('far.yaml', 'laptop', ...who, 'GET', '/v1/models');
  t.match(second, /^rule .*laptop\/writer has: operator\.read$/m);
  t.match(
    await explain('far.yaml', 'laptop', ...who, 'POST', '/v1/chat/completions'),
    /refuse: 403 insufficient_scope/,
  );
  t.match(await explain('far.yaml', 'laptop', 'GET', '/v1/models'), /refuse: 400 bad_request/);
});
