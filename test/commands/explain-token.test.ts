/** `auth-shim explain --token -`: what it finds, that the table of callers finds the same, and that no token is printed. */
import { createHmac, sign as signBytes, type JsonWebKey } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createJwtVerifier } from '../../src/callers/jwt.ts';
import { createNaming } from '../../src/callers/named.ts';
import { createCallerTable } from '../../src/callers/table.ts';
import { mintToken } from '../../src/callers/token.ts';
import { loadConfig } from '../../src/config/load.ts';
import { disk } from '../../src/config/world.ts';
import type { KeysDeps } from '../../src/callers/keys.ts';
import { makeAuthority } from '../helpers/certificates.ts';
import { env, run } from '../helpers/command-line.ts';
import type { Run } from '../helpers/process.ts';
import {
  makeKey,
  MISBEHAVIOURS,
  publicOf,
  startEndpoint,
  startProvider,
  type SigningKey,
} from '../helpers/provider.ts';
import { testLog } from '../helpers/redis.ts';
import { bearer, caller, hashOf, startStack, TOKENS } from '../helpers/stack.ts';

const RSA = await makeKey('r1');
const OTHER = await makeKey('r1');
const EC = await makeKey('e1', 'ES256');
const SECRET = 'Zk3mQ8vT1xYwZk3mQ8vT1xYwZk3mQ8vT';
const NOW = Date.UTC(2026, 11, 1, 12);
const SECONDS = NOW / 1_000;
const HIDDEN = 'a-value-that-no-check-is-about';
const MINTED = mintToken(() => new Uint8Array(32).fill(7));
const CORP = 'https://id.corp.test';
const good = {
  iss: CORP,
  aud: 'urn:shim',
  sub: 'ci',
  org: 'acme',
  scope: 'run all x',
  hidden: HIDDEN,
  iat: SECONDS - 60,
  exp: SECONDS + 600,
};

const gateway = 'gateway: { url: "http://127.0.0.1:18789", auth: { mode: token, secret: { env: SECRET } } }';

interface Finding {
  readonly check: string;
  readonly result: string;
  readonly words: string;
}

interface Explained {
  readonly token: {
    readonly findings: readonly Finding[];
    readonly caller?: string;
    readonly scopes?: readonly string[];
    readonly expires?: string;
    readonly code?: string;
  };
  readonly decision?: string;
  readonly status?: number;
  readonly code?: string;
  readonly message?: string;
}

function encode(part: unknown): string {
  return Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url');
}

/** Signs header and claims, as they are where they are texts. */
function jws(key: SigningKey, claims: unknown, header: object | string = {}): string {
  const whole = typeof header === 'string' ? header : { alg: key.alg, kid: key.kid, ...header };
  const input = `${encode(whole)}.${encode(claims)}`;
  const options = { key: key as JsonWebKey, format: 'jwk', dsaEncoding: 'ieee-p1363' } as const;
  return `${input}.${signBytes('sha256', Buffer.from(input), options).toString('base64url')}`;
}

function hmac(claims: unknown): string {
  const input = `${encode({ alg: 'HS256' })}.${encode(claims)}`;
  return `${input}.${createHmac('sha256', SECRET).update(input).digest('base64url')}`;
}

/** Four issuers with keys that are there, and callers of every kind. */
async function configured(t: Test): Promise<string> {
  const folder = t.testdir({ 'keys.json': JSON.stringify({ keys: [publicOf(RSA), publicOf(EC)] }) });
  const issuer = (name: string, iss: string, more: string, ceiling = '[operator.read]'): string =>
    `  - { name: ${name}, issuer: "${iss}", audience: urn:shim, scopes: { claim: scope, map: { run: [operator.write], all: [operator.admin] }, ceiling: ${ceiling} }, ${more} }`;
  const keys = `jwksFile: "${folder}/keys.json"`;
  const file = join(folder, 'shim.config.yaml');
  const token = (name: string, token: string, time: string): string =>
    `  - { name: ${name}, scopes: [operator.read], tokens: [{ hash: "${hashOf(token)}", ${time} }] }`;
  await writeFile(
    file,
    [
      gateway,
      'issuers:',
      issuer('corp', CORP, `${keys}, match: { org: acme }`, '[operator.write]'),
      issuer('typed', 'https://typed.test', `${keys}, requireTyp: at+jwt`),
      issuer('access', 'https://team.cloudflareaccess.test', `${keys}, header: Cf-Access-Jwt-Assertion`),
      issuer('hs', 'hs', 'secret: { env: HS }, algorithms: [HS256]'),
      'callers:',
      caller('writer', TOKENS.writer, ['operator.write']),
      caller('minted', MINTED, ['operator.read']),
      token('late', TOKENS.reader, 'expires: 2026-11-30'),
      token('early', TOKENS.admin, 'notBefore: 2027-01-01'),
    ].join('\n'),
  );
  return file;
}

const variables = { ...env, HS: SECRET };

/** Nothing that is written may have the token, or a part of it by which it could be used or read. */
function hides(t: Test, token: string, { stdout, stderr }: Run, name: string): void {
  const [, payload = '', signature = ''] = token.split('.');
  for (const secret of [token, payload, signature, HIDDEN]) {
    if (secret.length > 8 && (stdout + stderr).includes(secret)) t.fail(`${name}: ${secret.slice(0, 40)} is told`);
  }
}

async function explain(t: Test, file: string, token: string, words: readonly string[] = [], now = () => NOW) {
  const more = { env: variables, stdin: async () => `${token}\n`, now };
  const text = await run(['explain', '-c', file, '--token', '-', ...words], more);
  const json = await run(['explain', '-c', file, '--token', '-', '--json', ...words], more);
  for (const one of [text, json]) hides(t, token, one, words.join(' '));
  if (text.code !== json.code) t.fail('text and JSON differ');
  const report = (
    json.code !== 0 && json.code !== 1 ? { token: { findings: [] } } : JSON.parse(json.stdout)
  ) as Explained;
  const told = (result: string): string[] =>
    report.token.findings.filter((one) => one.result === result).map(({ check }) => check);
  const words_ = (check: string): string => report.token.findings.find((one) => one.check === check)?.words ?? '';
  return { ...text, report, told, words: words_ };
}

const known = jws(RSA, good);
const [head, body, tail] = known.split('.') as [string, string, string];
const with_ = (more: object): object => ({ ...good, ...more });
const text = JSON.stringify(good);

/** What refuses each; `+`: who it names. */
const TOKENS_OF: Readonly<Record<string, readonly [token: string, becomes: string]>> = {
  'a token of a caller': [TOKENS.writer, '+ writer'],
  'a minted token': [MINTED, '+ minted'],
  'a mistyped token': [`${MINTED.slice(0, -1)}${MINTED.endsWith('a') ? 'b' : 'a'}`, 'table'],
  'a minted token of others': [mintToken(() => new Uint8Array(32).fill(9)), 'table'],
  'what begins as minted, with three parts': [`shim_${known}`, 'table'],
  'an expired token of a caller': [TOKENS.reader, 'time'],
  'a token of a caller, too early': [TOKENS.admin, 'time'],
  opaque: ['x'.repeat(40), 'table'],
  short: ['a.b.c', 'table'],
  'with Bearer': [`Bearer ${known}`, 'table'],
  'with a comma': [`${known},${known}`, 'table'],
  'four parts': [`${known}.${tail}`, 'table'],
  'terminal escapes': ['\u001b]0;x\u0007'.repeat(9), 'table'],
  'a good JWT': [known, '+ corp:ci'],
  ES256: [jws(EC, good), '+ corp:ci'],
  'no kid': [jws(RSA, good, { kid: undefined }), '+ corp:ci'],
  HS256: [hmac(with_({ iss: 'hs' })), '+ hs:ci'],
  'the type that is asked for': [jws(EC, with_({ iss: 'https://typed.test' }), { typ: 'at+jwt' }), '+ typed:ci'],
  'of Cloudflare Access': [jws(EC, with_({ iss: 'https://team.cloudflareaccess.test' })), '+ access:ci'],
  'of Cloudflare Access, forged': [jws(OTHER, with_({ iss: 'https://team.cloudflareaccess.test' })), 'signature'],
  'expired within the tolerance': [jws(EC, with_({ exp: SECONDS - 10 })), '+ corp:ci'],
  'no scope that is known': [jws(EC, with_({ scope: 'x' })), '+ corp:ci'],
  'padding at its end': [`${known}==`, 'form'],
  'a claim twice': [jws(RSA, text.replace('"sub":"ci"', '"sub":"ci","sub":"admin"')), 'form'],
  'another issuer': [jws(RSA, with_({ iss: 'https://evil.test' })), 'issuer'],
  'an issuer with terminal escapes': [jws(RSA, with_({ iss: '\u001b[2J\u202e' })), 'issuer'],
  'iss as a list': [jws(RSA, with_({ iss: [CORP] })), 'issuer'],
  'alg none': [`${encode({ alg: 'none' })}.${body}.`, 'header'],
  'HS256 where keys are published': [hmac(good), 'header'],
  crit: [jws(RSA, good, { crit: ['exp'] }), 'header'],
  'a kid that is a number': [jws(RSA, good, { kid: 1 }), 'header'],
  'another kid': [jws(RSA, good, { kid: 'r9' }), 'key'],
  'the kid of a key of another alg': [jws(RSA, good, { kid: 'e1' }), 'key'],
  'another key of that kid': [jws(OTHER, good), 'signature'],
  'another key, no kid': [jws(OTHER, good, { kid: undefined }), 'signature'],
  'a key of its own': [jws(OTHER, good, { jwk: publicOf(OTHER) }), 'signature'],
  'a changed claim': [`${head}.${encode(with_({ sub: 'admin' }))}.${tail}`, 'signature'],
  'no signature': [`${head}.${body}.`, 'signature'],
  'another type': [jws(EC, with_({ iss: 'https://typed.test' }), { typ: 'JWT' }), 'typ'],
  'no exp': [jws(EC, with_({ exp: undefined })), 'claims'],
  'no aud': [jws(EC, with_({ aud: undefined })), 'claims'],
  'another aud': [jws(EC, with_({ aud: 'urn:other' })), 'aud'],
  'another aud, and expired': [jws(EC, with_({ aud: ['a', 'b'], exp: 0 })), 'aud'],
  expired: [jws(EC, with_({ exp: SECONDS - 180 })), 'time'],
  'too early by nbf': [jws(EC, with_({ nbf: SECONDS + 180 })), 'time'],
  'too early by iat': [jws(EC, with_({ iat: SECONDS + 180 })), 'time'],
  'exp as a text': [jws(EC, with_({ exp: '1' })), 'time'],
  'exp beyond all time': [jws(EC, with_({ exp: 1e15 })), 'time'],
  'another org': [jws(EC, with_({ org: 'evil' })), 'match'],
  'no sub': [jws(EC, with_({ sub: undefined })), 'caller'],
  'a sub with a blank': [jws(EC, with_({ sub: 'a b' })), 'caller'],
  'expired, and another org': [jws(EC, with_({ exp: 0, org: 'evil' })), 'time match'],
};

void t.test('each check finds what the table of callers finds, and no token is printed', async (t) => {
  const file = await configured(t);
  const { config } = await loadConfig(file, { ...disk, env: variables, home: '/', now: NOW });
  const logger = testLog().logger as KeysDeps['logger'];
  for (const [name, [token, becomes]] of Object.entries(TOKENS_OF)) {
    const verifier = await createJwtVerifier(config.issuers, {
      now: () => NOW,
      logger,
      callerFrom: createNaming(logger),
    });
    const table = createCallerTable(config.callers, undefined, { jwts: verifier });
    const shown = name.includes('Cloudflare')
      ? { authorization: undefined, assertion: token }
      : { authorization: `Bearer ${token}` };
    const answer = await table.authenticate(shown, NOW);
    const { code, stdout, report, told } = await explain(t, file, token);
    const verdict = report.token;
    if (answer.kind === 'caller') {
      t.equal(code, 0, name);
      t.equal(`+ ${verdict.caller}`, becomes, name);
      t.strictSame([verdict.caller, verdict.scopes], [answer.caller.name, answer.caller.scopes], name);
      t.strictSame([...told('refused'), ...told('not reached')], [], name);
    } else {
      t.equal(code, 1, name);
      t.equal(verdict.code, answer.code, name);
      t.equal(told('refused').join(' '), becomes, `${name}: ${answer.reason}`);
      t.equal(verdict.caller, undefined, name);
    }
    // oxlint-disable-next-line no-control-regex
    t.notMatch(stdout, /[^\n\x20-\x7e]/, name);
  }
});

void t.test('a good token, in words', async (t) => {
  const { stdout } = await explain(t, await configured(t), known, ['POST', '/v1/chat/completions']);
  const expected = [
    /^token {5}[0-9a-f]{12}$/,
    /^ok {2}table {6}no token of callers, but a JWT: issuers are asked$/,
    /^ok {2}form {7}alg "RS256", kid "r1", typ none, crit none$/,
    /^ok {2}issuer {5}"https:\/\/id\.corp\.test" is "corp"$/,
    /^ok {2}header {5}algorithms: RS256, PS256, ES256, EdDSA; shown in authorization$/,
    /^ok {2}keys {7}of the configuration \(file\)$/,
    /^ok {2}key {8}for alg "RS256" and kid "r1"$/,
    /^ok {2}signature {2}right$/,
    /^ok {2}typ {8}none is asked for$/,
    /^ok {2}claims {5}those that must be there: iss, aud, exp$/,
    /^ok {2}iss {8}"https:\/\/id\.corp\.test"$/,
    /^ok {2}aud {8}"urn:shim", one of: urn:shim$/,
    /^ok {2}time {7}expires in 10 minutes \(2026-12-01 12:10 UTC\), issued 1 minute ago; tolerance 30 s$/,
    /^ok {2}match {6}as asked for: org$/,
    /^ok {2}caller {5}"corp:ci"$/,
    /^ok {2}scopes {5}scope: "run", "all", "x"; granted: operator\.admin; with the ceiling \(operator\.write\): operator\.write; cut: operator\.admin; dropped, since they grant nothing: "x"$/,
    /^caller {4}corp:ci: operator\.write$/,
    /^$/,
    /^corp:ci POST \/v1\/chat\/completions$/,
    /^decision {2}forward$/,
    /^rule .*needs operator\.write; corp:ci has: operator\.write$/,
  ];
  const lines = stdout.split('\n');
  for (const [index, line] of expected.entries()) t.match(lines[index], line);
});

void t.test('times, in words', async (t) => {
  const file = await configured(t);
  const time = async (token: string): Promise<string> => (await explain(t, file, token)).words('time');
  const claims = (more: object): string => jws(EC, with_({ iat: undefined, ...more }));
  t.equal(await time(claims({ exp: SECONDS - 180 })), 'expired 3 minutes ago (2026-12-01 11:57 UTC); tolerance 30 s');
  t.equal(await time(claims({ exp: SECONDS - 10 })), 'expired 10 seconds ago (2026-12-01 11:59 UTC); tolerance 30 s');
  t.match(
    await time(claims({ nbf: SECONDS + 7_200 })),
    /^begins in 2 hours \(2026-12-01 14:00 UTC\), expires in 10 min/,
  );
  t.match(await time(claims({ iat: SECONDS + 180 })), /, issued in 3 minutes; tolerance/);
  t.match(await time(claims({ exp: '1' })), /"exp" claim must be a number; exp is no time; tolerance 30 s$/);
  t.match(await time(claims({ exp: 1e15 })), /its exp is no time; exp is no time; tolerance 30 s$/);
  t.equal(await time(claims({ exp: 8.64e12 })), 'expires in 99,979,211 days (+275760-09-13 00 UTC); tolerance 30 s');
  t.equal(await time(TOKENS.reader), 'expired 12 hours ago (2026-12-01 00:00 UTC)');
  t.match(await time(TOKENS.admin), /^begins in 30 days \(2027-01-01 00:00 UTC\), does not expire$/);
  t.equal(await time(TOKENS.writer), 'does not expire');
});

void t.test('tokens that no issuer is asked about', async (t) => {
  const file = await configured(t);
  const table = async (token: string): Promise<string> => (await explain(t, file, token)).words('table');
  t.match(await table(TOKENS.writer), /^token [0-9a-f]{12} of "writer", by its hash$/);
  t.match(await table(TOKENS.reader), /^token [0-9a-f]{12} of "late", by its hash$/);
  t.match(await table(`${MINTED.slice(0, -1)}${MINTED.endsWith('a') ? 'b' : 'a'}`), /^checksum mismatch: .*"shim_"/);
  t.equal(await table('x'.repeat(40)), 'unknown token; it is opaque, and of nobody in callers');
  t.match(await table(`Bearer ${known}`), /without "Bearer"$/);
  const bare = join(t.testdir({}), 'bare.yaml');
  await writeFile(bare, [gateway, 'callers:', caller('writer', TOKENS.writer, ['operator.write'])].join('\n'));
  const short = jws(EC, { iss: CORP });
  t.match(
    (await explain(t, bare, short)).words('table'),
    /^unknown token; it looks like a JWT, but there are no issuers/,
  );
});

void t.test('where an endpoint is asked about a JWT, its iss is told', async (t) => {
  const file = join(t.testdir({}), 'both.yaml');
  const endpoint = await startEndpoint(t, (_, response) => response.end('{"active":false}'));
  const issuers = `issuers:
  - { name: corp, issuer: ${CORP}, audience: shim, jwksUri: ${endpoint.url}/jwks, scopes: { claim: scope, ceiling: [operator.read] } }
introspection:
  name: opaque
  endpoint: ${endpoint.url}/introspect
  clientId: shim
  clientSecret: { env: SECRET }
  audience: shim
  scopes: { claim: scope, ceiling: [operator.read] }`;
  await writeFile(file, [gateway, issuers].join('\n'));
  const table = async (token: string): Promise<string> => (await explain(t, file, token)).words('table');
  t.equal(
    await table(jws(EC, { iss: `${CORP}/` })),
    `no token of callers, nor of an issuer (its iss is "${CORP}/"): the endpoint of introspection is asked`,
  );
  t.equal(await table('x'.repeat(40)), 'no token of callers, nor of an issuer: the endpoint of introspection is asked');
});

void t.test('the decision is that of explain --as', async (t) => {
  const file = await configured(t);
  for (const words of [
    ['POST', '/v1/chat/completions'],
    ['GET', '/nowhere'],
    ['POST', '/tools/invoke', '-H', 'x-openclaw-model: m'],
    ['GET', '/', '--websocket'],
    ['GET', '/v1/models', '-H', 'Host: evil'],
  ]) {
    const { report, code } = await explain(t, file, TOKENS.writer, words);
    const as = await run(['explain', '-c', file, '--as', 'writer', '--json', ...words], { env: variables });
    const { token, ...decision } = report;
    t.equal(token.caller, 'writer');
    t.strictSame(decision, JSON.parse(as.stdout), words.join(' '));
    t.equal(code, as.code, words.join(' '));
  }
  const open = `${file}.open`;
  await writeFile(open, ['listen: { health: true }', gateway, 'callers: []'].join('\n'));
  const health = await explain(t, open, known, ['GET', '/health']);
  t.equal(health.code, 0, 'which needs no token');
  t.match(health.report, { token: { code: 'invalid_token' }, decision: 'forward', rule: /without a token/ });
  const nobody = await explain(t, file, jws(OTHER, good), ['GET', '/v1/models']);
  t.equal(nobody.code, 1);
  t.match(nobody.report, { decision: 'refuse', status: 401, code: 'invalid_token', rule: /a live token/ });
  t.match(
    nobody.stdout,
    /^decision {2}refuse: 401 invalid_token$[^]*^nobody GET \/v1\/models\ndecision {2}refuse: 401/m,
  );
});

void t.test('a shim that serves answers what was explained', async (t) => {
  const folder = t.testdir({ 'keys.json': JSON.stringify({ keys: [publicOf(RSA), publicOf(EC)] }) });
  const issuers = (keys: string): string =>
    `issuers: [{ name: corp, issuer: "${CORP}", audience: urn:shim, jwksFile: ${keys}, match: { org: acme }, scopes: { claim: scope, map: { run: [operator.write] }, ceiling: [operator.write] } }]`;
  const who = `callers:\n${caller('writer', TOKENS.writer, ['operator.write'])}`;
  const file = join(folder, 'shim.config.yaml');
  await writeFile(file, [gateway, who, issuers(join(folder, 'keys.json'))].join('\n'));
  const files = { 'keys.json': JSON.stringify({ keys: [publicOf(RSA), publicOf(EC)] }) };
  const stack = await startStack(t, { callers: who, more: issuers('keys.json'), files });
  const now = Math.floor(Date.now() / 1_000);
  const claims = (more: object): object => with_({ iat: now - 60, exp: now + 600, ...more });
  // Ten that fail would be too many from one place.
  const tokens = [
    TOKENS.writer,
    jws(RSA, claims({})),
    jws(EC, claims({ scope: 'x' })),
    'x'.repeat(40),
    `${jws(RSA, claims({}))}==`,
    jws(OTHER, claims({})),
    jws(RSA, claims({}), { kid: 'r9' }),
    jws(EC, claims({ aud: 'urn:other' })),
    jws(EC, claims({ exp: now - 60 })),
    jws(EC, claims({ nbf: now + 60 })),
    jws(EC, claims({ org: 'evil' })),
    jws(EC, claims({ sub: undefined })),
  ];
  const served: unknown[] = [];
  const explained: unknown[] = [];
  for (const token of tokens) {
    const response = await fetch(`${stack.url}/v1/models`, { headers: bearer(token) });
    const { error } = (await response.json()) as {
      readonly error?: { readonly code: string; readonly message: string };
    };
    served.push(error ? [response.status, error.code, error.message] : response.status);
    const { report } = await explain(t, file, token, ['GET', '/v1/models'], Date.now);
    const { decision, status, code, message } = report;
    explained.push(decision === 'forward' ? 200 : [status, code, message]);
  }
  t.strictSame(explained, served);
  t.strictSame(served.slice(0, 2), [200, 200]);
  t.equal(new Set(served.flat()).size > 6, true, 'they differ');
});

void t.test('a real provider: its token, and its outage', async (t) => {
  const provider = await startProvider(t, [RSA]);
  const file = join(t.testdir({}), 'shim.config.yaml');
  const scopes = '{ claim: scope, map: { runs:write: [operator.write] }, ceiling: [operator.write] }';
  const issuer = `{ name: corp, issuer: "${provider.url}", audience: urn:shim, discovery: true, requireTyp: at+jwt, scopes: ${scopes} }`;
  await writeFile(file, [gateway, 'issuers:', `  - ${issuer}`].join('\n'));
  const token = await provider.token('urn:shim');
  const ask = (one: string, ...words: string[]) => explain(t, file, one, words, Date.now);

  const right = await ask(token, 'POST', '/v1/responses');
  t.equal(right.code, 0);
  t.match(right.report, { token: { caller: 'corp:agent', scopes: ['operator.write'] }, decision: 'forward' });
  t.equal(right.words('keys'), `discovery ${provider.url}/.well-known/openid-configuration`);
  t.strictSame((await ask(await provider.token('urn:other'))).told('refused'), ['aud']);
  const opaque = await ask(await provider.token('urn:opaque'));
  t.strictSame(opaque.told('refused'), ['table']);

  provider.answer = MISBEHAVIOURS['a page in HTML'] as typeof provider.answer;
  const page = await ask(token);
  t.equal(page.code, 1);
  t.strictSame(page.told('unavailable'), ['keys']);
  t.match(page.words('keys'), /^no keys of corp; .*JSON/);
  t.notMatch(page.stdout, 'secret-in-a-page');
  await provider.stop();
  const down = await ask(token, 'GET', '/v1/models');
  t.equal(down.code, 1);
  t.match(down.words('keys'), /^no keys of corp; .*ECONNREFUSED/);
  t.match(down.stdout, /^\? {3}keys {7}no keys of corp/m);
  t.match(down.report, { token: { code: 'identity_unavailable' }, status: 503, rule: /nobody can tell$/ });
});

void t.test('a client certificate that connections show as well is not forgotten', async (t) => {
  const ca = await makeAuthority();
  const server = await ca.issue({ usage: ['serverAuth'] });
  const folder = t.testdir({ 'ca.crt': ca.cert, 's.crt': server.cert, 's.key': server.key });
  const file = join(folder, 'shim.config.yaml');
  const path = (name: string): string => join(folder, name);
  const tls = `listen: { tls: { cert: ${path('s.crt')}, key: ${path('s.key')}, clientCa: ${path('ca.crt')} } }`;
  await writeFile(file, [tls, gateway, 'callers:', caller('writer', TOKENS.writer, ['operator.write'])].join('\n'));
  const { code, stdout, told } = await explain(t, file, TOKENS.writer, [], Date.now);
  t.equal(code, 0);
  t.strictSame(told('not reached'), ['certificate']);
  t.match(stdout, /^- {3}certificate {2}one that a connection shows beside the token is not looked at here$/m);
});

void t.test('usage', async (t) => {
  const file = await configured(t);
  const usage = async (words: readonly string[], stdin = ''): Promise<Run> => {
    const result = await run(['explain', '-c', file, ...words], { env: variables, stdin: async () => stdin });
    t.equal(result.code, 2, words.join(' '));
    t.equal(result.stdout, '');
    hides(t, known, result, words.join(' '));
    return result;
  };
  for (const words of [['--token', known], [`--token=${known}`], ['--token', known, 'GET', '/'], ['--token', '']]) {
    t.match(
      (await usage(words)).stderr,
      /never belongs on a command line: .*history.*--token - < token\.txt.*replaced/,
    );
  }
  t.match((await usage(['--token', '-', '--as', 'writer'], known)).stderr, /cannot be used with/);
  t.match((await usage([])).stderr, /--as CALLER METHOD PATH, or --token -/);
  for (const words of [['GET'], ['--websocket'], ['-H', 'a: b']]) {
    t.match((await usage(['--token', '-', ...words], known)).stderr, /a method and a path/);
  }
  t.match((await usage(['--token', '-', 'GET', '/', '-H', 'a'], known)).stderr, /"Name: value"/);
  for (const stdin of ['', '\n', `${known}\n${known}`, `${known}\n\n`, `\n${known}`, 'x'.repeat(8_193)]) {
    t.match((await usage(['--token', '-'], stdin)).stderr, /one line of at most 8192 characters/);
  }
  for (const [end, code] of [
    ['', 0],
    ['\n', 0],
    ['\r\n', 0],
  ] as const) {
    const more = { env: variables, stdin: async () => known + end, now: () => NOW };
    t.equal((await run(['explain', '-c', file, '--token', '-'], more)).code, code, 'one line');
  }
  const longest = await explain(t, file, 'x'.repeat(8_192));
  t.equal(longest.code, 1);
  const gone = await run(['explain', '-c', `${file}.gone`, '--token', '-'], { stdin: async () => known });
  t.equal(gone.code, 78);
  hides(t, known, gone, 'no configuration');
  const help = await run(['explain', '--help']);
  t.match(help.stdout, /--token <->.*stdin/);
  t.match(help.stdout, /--token - POST \/v1\/chat\/completions < token\.txt/);
});
