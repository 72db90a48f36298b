/** `auth-shim explain` */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { configure, env, run } from '../helpers/command-line.ts';
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
  t.match(nobody.stderr, /no caller is named "wirter"; there are: writer/);
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
