/** The section `issuers`: what it becomes, and one fault at a time. */
import t from 'tap';
import { rawCallersFile, rawConfig } from '../../src/config/schema.ts';
import { rawIssuers } from '../../src/config/issuers.ts';
import * as z from 'zod';
import type { Caller } from '../../src/types.ts';
import { makeAuthority } from '../helpers/certificates.ts';
import { worldOf } from '../helpers/configuration.ts';
import { issuersOf } from '../helpers/issuers.ts';
import { codeOf, textOf } from '../helpers/pages.ts';

const ca = await makeAuthority();
const JWKS = '{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}';
const standing = worldOf(
  {
    'ca.crt': ca.cert,
    'not.crt': 'no certificate',
    token: 'eyJhbGciOiJSUzI1NiJ9.e30.c2ln\n',
    empty: '\n',
    'keys.json': JWKS,
    'text.json': 'keys',
    'keys.pem': '-----BEGIN PUBLIC KEY-----\n',
    'twice.json': '{"keys":[],"keys":[]}',
    'none.json': '{"keys":[]}',
    'map.json': '{"keys":{}}',
    'odd.json': '{"keys":[1]}',
    'private.json': '{"keys":[{"kty":"OKP","crv":"Ed25519","x":"a","d":"b"}]}',
    'shared.json': '{"keys":[{"kty":"oct","k":"b"}]}',
  },
  { HMAC: 'Zk3mQ8vT1xYwZk3mQ8vT1xYwZk3mQ8vT', SHORT: 'Zk3mQ8vT1xYwZk3mQ8vT1xYwZk3mQ8v' },
);

// The certificate is of today.
const world = { ...standing, now: Date.now() };

const SCOPES = 'scopes: { claim: scope, ceiling: [operator.write] }';
const KEYS = 'jwksUri: https://id.example/keys';
/** One issuer, where `with` stands for what is not said otherwise. */
const one = ({
  name = 'name: corp',
  issuer = 'issuer: https://id.example',
  audience = 'audience: shim',
  ...more
}: Readonly<Record<string, string>> = {}): string => {
  const { keys = KEYS, scopes = SCOPES, rest } = more;
  return [name, issuer, audience, keys, scopes, rest].filter((part) => part !== undefined && part !== '').join(', ');
};
const list = (...issuers: readonly string[]): string => `issuers: [${issuers.map((text) => `{ ${text} }`).join(', ')}]`;
const build = (...issuers: readonly string[]) => issuersOf(list(...issuers), world);

const STANDARD = {
  name: 'corp',
  issuer: 'https://id.example',
  audience: ['shim'],
  header: 'authorization',
  keys: { kind: 'jwksUri', url: 'https://id.example/keys' },
  algorithms: ['RS256', 'PS256', 'ES256', 'EdDSA'],
  clockTolerance: 30_000,
  maxStale: 3_600_000,
  scopes: { claim: ['scope'], ceiling: ['operator.write'] },
  template: ['', ['sub'], ''],
  match: [],
  policy: { allowHeaders: [], onForbiddenHeader: 'drop' },
};

void t.test('the least, with its defaults', async (t) => {
  t.strictSame(await build(one()), { issuers: [STANDARD], faults: [], warnings: [] });
});

const BECOMES: readonly { name: string; text: Readonly<Record<string, string>>; is: object }[] = [
  {
    name: 'the assertion of Cloudflare Access',
    text: { rest: 'header: Cf-Access-Jwt-Assertion' },
    is: { header: 'cf-access-jwt-assertion' },
  },
  { name: 'audiences, each once', text: { audience: 'audience: [a, b, a]' }, is: { audience: ['a', 'b'] } },
  {
    name: 'discovery by the issuer',
    text: { keys: 'discovery: true' },
    is: { keys: { kind: 'discovery', url: 'https://id.example/.well-known/openid-configuration' } },
  },
  {
    name: 'discovery by an issuer with a path and a slash',
    text: { issuer: 'issuer: https://id.example/realms/a/', keys: 'discovery: true' },
    is: {
      issuer: 'https://id.example/realms/a/',
      keys: { kind: 'discovery', url: 'https://id.example/realms/a/.well-known/openid-configuration' },
    },
  },
  {
    name: 'discovery elsewhere, on loopback',
    text: { issuer: 'issuer: my-issuer', keys: 'discovery: "http://[::1]:8080/d"' },
    is: { issuer: 'my-issuer', keys: { kind: 'discovery', url: 'http://[::1]:8080/d' } },
  },
  { name: 'keys of a file', text: { keys: 'jwksFile: keys.json' }, is: { keys: { kind: 'file', jwks: JWKS } } },
  {
    name: 'a secret',
    text: { keys: 'secret: { env: HMAC }, algorithms: [HS256]' },
    is: { keys: { kind: 'secret', secret: 'Zk3mQ8vT1xYwZk3mQ8vT1xYwZk3mQ8vT' }, algorithms: ['HS256'] },
  },
  {
    name: 'what an API server wants',
    text: { rest: 'caFile: ca.crt, tokenFile: token' },
    is: { ca: ca.cert, bearer: 'eyJhbGciOiJSUzI1NiJ9.e30.c2ln' },
  },
  {
    name: 'times, algorithms and typ',
    text: { rest: 'clockTolerance: 0, maxStale: 24h, algorithms: [ES512, Ed25519, ES512], requireTyp: at+jwt' },
    is: { clockTolerance: 0, maxStale: 86_400_000, algorithms: ['ES512', 'Ed25519'], requireTyp: 'at+jwt' },
  },
  {
    name: 'a path and a map',
    text: {
      scopes:
        'scopes: { claim: realm_access.roles, map: { "a b": [operator.read, operator.read], 7: [] }, ceiling: [operator.write] }',
    },
    is: {
      scopes: {
        claim: ['realm_access', 'roles'],
        map: new Map([
          ['7', []],
          ['a b', ['operator.read']],
        ]),
        ceiling: ['operator.write'],
      },
    },
  },
  {
    name: 'a path as a list',
    text: { scopes: 'scopes: { claim: [https://app.example/roles], ceiling: [operator.write] }' },
    is: { scopes: { claim: ['https://app.example/roles'], ceiling: ['operator.write'] } },
  },
  {
    name: 'a path with dots in it',
    text: { scopes: String.raw`scopes: { claim: 'https://app\.example/roles', ceiling: [] }` },
    is: { scopes: { claim: ['https://app.example/roles'], ceiling: [] } },
  },
  { name: 'a claim as name', text: { rest: 'caller: { claim: email }' }, is: { template: ['', ['email'], ''] } },
  {
    name: 'a template',
    text: { rest: String.raw`caller: { template: 'r/{repository}@{kubernetes\.io.ns}+' }` },
    is: { template: ['r/', ['repository'], '@', ['kubernetes.io', 'ns'], '+'] },
  },
  {
    name: 'what has to match',
    text: { rest: String.raw`match: { email_verified: true, a.b: [x, y, x], kubernetes\.io.ns: "1" }` },
    is: {
      match: [
        { claim: ['email_verified'], values: [true] },
        { claim: ['a', 'b'], values: ['x', 'y'] },
        { claim: ['kubernetes.io', 'ns'], values: ['1'] },
      ],
    },
  },
  {
    name: 'a policy',
    text: {
      rest: 'policy: { allowHeaders: [model], onForbiddenHeader: refuse, websocket: relay, denyMethods: [config.*], limits: { streams: 2, body: 1KiB } }',
    },
    is: {
      policy: {
        allowHeaders: ['x-openclaw-model'],
        onForbiddenHeader: 'refuse',
        websocket: 'relay',
        methods: { deny: ['config.*'] },
        limits: { streams: 2, body: 1024 },
      },
    },
  },
];

void t.test('what it becomes', async (t) => {
  for (const { name, text, is } of BECOMES) {
    const { issuers, faults } = await build(one(text));
    t.strictSame(faults, [], name);
    t.strictSame(issuers, [{ ...STANDARD, ...is }], name);
  }
  const { issuers } = await issuersOf(list(one()), world, { limits: { streams: 4 } });
  t.strictSame(issuers[0]?.policy.limits, { streams: 4 }, 'the limits of everybody');
  t.strictSame((await issuersOf('issuers: []')).issuers, []);
});

const scopes = (text: string) => ({ scopes: `scopes: { ${text} }` });
const keys = (text: string) => ({ keys: text });
const rest = (text: string) => ({ rest: text });

const REFUSED: readonly (readonly [text: Readonly<Record<string, string>>, says: RegExp])[] = [
  [{ name: '' }, /^issuers\[0\]\.name: this key is required/],
  ...['', 'Corp', '1a', '-a', 'a:b', 'a/b', 'a_b', 'a'.repeat(33)].map(
    (name) => [{ name: `name: "${name}"` }, /^issuers\[0\]\.name: expected a name of 1 to 32/] as const,
  ),
  [{ issuer: '' }, /^issuers\[0\]\.issuer: this key is required/],
  ...['', 'a b', 'ä', `${'a'.repeat(513)}`].map(
    (issuer) => [{ issuer: `issuer: "${issuer}"` }, /issuer: expected 1 to 512 characters/] as const,
  ),
  [{ audience: '' }, /^issuers\[0\]\.audience: this key is required/],
  ...['[]', '""', '[""]', '7', '{}', '["a b"]'].map(
    (audience) => [{ audience: `audience: ${audience}` }, /\.audience(?:\[0\])?: expected 1 to 512/] as const,
  ),
  [keys(''), /^issuers\[0\]: expected where the keys of this issuer come from/],
  [keys(`${KEYS}, discovery: true`), /\.discovery: the keys come from jwksUri already/],
  [keys(`${KEYS}, jwksFile: keys.json`), /\.jwksFile: the keys come from jwksUri already/],
  [keys(`jwksFile: keys.json, secret: { env: HMAC }, algorithms: [HS256]`), /\.secret: the keys come from jwksFile/],
  [keys('discovery: false'), /\.discovery: expected true, or the URL/],
  [{ issuer: 'issuer: corp', keys: 'discovery: true' }, /\.discovery: expected a URL/],
  ...[
    'id.example/keys',
    'ftp://id.example/',
    'https://',
    'https://id.example/a b',
    '/etc/keys',
    'https://ä.example',
  ].map((url) => [keys(`jwksUri: "${url}"`), /\.jwksUri: expected a URL/] as const),
  ...[
    'https://u@id.example/',
    'https://@id.example/',
    'https://u:p@id.example/',
    'https://id.example/?',
    'https://id.example/?a=b',
    'https://id.example/#',
    'https://id.example/\\\\a',
    'https:\\\\\\\\id.example',
  ].map((url) => [keys(`jwksUri: "${url}"`), /\.jwksUri: expected (?:no user, no query|a URL)/] as const),
  ...['http://id.example/', 'HTTP://10.0.0.1/', 'http://localhost.example/', 'http://127.0.0.1.example/'].map(
    (url) => [keys(`jwksUri: "${url}"`), /\.jwksUri: expected https beyond loopback/] as const,
  ),
  [keys('discovery: http://id.example/d'), /\.discovery: expected https beyond loopback/],
  [keys('jwksFile: gone.json'), /\.jwksFile: gone.json does not exist/],
  [keys('jwksFile: text.json'), /\.jwksFile: text.json must be JSON/],
  [keys('jwksFile: twice.json'), /\.jwksFile: twice.json has a duplicate key/],
  [keys('jwksFile: none.json'), /\.jwksFile: none.json has no keys/],
  [keys('jwksFile: keys.pem'), /\.jwksFile: keys.pem is PEM: expected a JWK Set/],
  [keys('jwksFile: map.json'), /\.jwksFile: map.json is no JWK Set/],
  [keys('jwksFile: odd.json'), /\.jwksFile: odd.json has a key without "kty"/],
  [keys('jwksFile: private.json'), /\.jwksFile: private.json holds a private or secret key/],
  [keys('jwksFile: shared.json'), /\.jwksFile: shared.json holds a private or secret key/],
  [keys('secret: plain, algorithms: [HS256]'), /\.secret: expected a reference/],
  [keys('secret: { env: HMAC }'), /\.algorithms: a secret is for HS256 alone/],
  [keys('secret: { env: HMAC }, algorithms: [RS256]'), /\.algorithms\[0\]: a secret is for HS256 alone/],
  [keys('secret: { env: HMAC }, algorithms: [HS256, ES256]'), /\.algorithms\[1\]: a secret is for HS256 alone/],
  [keys('secret: { env: HMAC }, algorithms: [HS512]'), /\.algorithms\[0\]: unknown algorithm/],
  [keys('secret: { env: GONE }, algorithms: [HS256]'), /\.secret\.env: the variable GONE is not set/],
  [keys('secret: { env: SHORT }, algorithms: [HS256]'), /\.secret: the secret is shorter than 32/],
  [rest('algorithms: []'), /\.algorithms: an empty list/],
  [rest('algorithms: [HS256]'), /\.algorithms\[0\]: HS256 is for a secret alone/],
  [rest('algorithms: [RS256, HS256]'), /\.algorithms\[1\]: HS256 is for a secret alone/],
  ...['none', 'None', 'NONE'].map(
    (algorithm) => [rest(`algorithms: [${algorithm}]`), /\.algorithms\[0\]: "none" is no signature/] as const,
  ),
  [rest('algorithms: [rs256]'), /\.algorithms\[0\]: unknown algorithm/],
  [rest('algorithms: [RSA-OAEP]'), /\.algorithms\[0\]: unknown algorithm/],
  [rest('clockTolerance: 301s'), /\.clockTolerance: expected at most 5m/],
  [rest('clockTolerance: 30'), /\.clockTolerance: expected a duration/],
  [rest('maxStale: 25h'), /\.maxStale: expected 1m to 24h/],
  [rest('maxStale: 59s'), /\.maxStale: expected 1m to 24h/],
  [rest('maxStale: 0'), /\.maxStale: expected 1m to 24h/],
  [rest('requireTyp: "a b"'), /\.requireTyp: expected the type/],
  [{ ...keys('jwksFile: keys.json'), ...rest('maxStale: 1h') }, /\.maxStale: nothing is fetched/],
  [{ ...keys('jwksFile: keys.json'), ...rest('caFile: ca.crt') }, /\.caFile: nothing is fetched/],
  [{ ...keys('jwksFile: keys.json'), ...rest('tokenFile: token') }, /\.tokenFile: nothing is fetched/],
  [{ ...keys('jwksUri: http://127.0.0.1/'), ...rest('caFile: ca.crt') }, /\.caFile: jwksUri is no https URL/],
  [rest('caFile: gone.crt'), /\.caFile: gone.crt does not exist/],
  [rest('caFile: not.crt'), /\.caFile: not.crt is not PEM/],
  [rest('tokenFile: gone'), /\.tokenFile: gone does not exist/],
  [rest('tokenFile: empty'), /\.tokenFile: empty is empty/],
  [{ scopes: '' }, /^issuers\[0\]\.scopes: this key is required/],
  [scopes('claim: scope'), /\.scopes\.ceiling: this key is required/],
  [scopes('ceiling: []'), /\.scopes\.claim: this key is required/],
  [scopes('claim: scope, ceiling: operator.read'), /\.scopes\.ceiling: expected a list/],
  [scopes('claim: scope, ceiling: [admin]'), /\.scopes\.ceiling\[0\]: unknown scope "admin"/],
  [scopes('claim: scope, ceiling: ["operator.read,operator.admin"]'), /ceiling\[0\]: a comma in a scope/],
  [scopes('claim: scope, ceiling: [], map: { a: [operator.wirte] }'), /\.map\.a\[0\]: unknown scope/],
  [scopes('claim: scope, ceiling: [], map: { a: operator.read }'), /\.map\.a: expected a list/],
  [scopes('claim: scope, ceiling: [], map: { "a,b": [] }'), /\.map\["a,b"\]: a value with a comma/],
  [scopes(String.raw`claim: scope, ceiling: [], map: { "a\nb": [] }`), /a value with a comma or a control character/],
  [scopes('claim: scope, ceiling: [], map: { "": [] }'), /a value with a comma or a control character/],
  ...['', '.a', 'a.', 'a..b'].map(
    (claim) =>
      [scopes(`claim: "${claim}", ceiling: []`), /\.scopes\.claim: expected (?:a|the name of a) claim/] as const,
  ),
  [scopes('claim: [], ceiling: []'), /\.scopes\.claim: expected a claim/],
  [scopes('claim: ["a", ""], ceiling: []'), /\.scopes\.claim\[1\]: expected a claim/],
  [scopes('claim: https://app.example/roles, ceiling: []'), /\.scopes\.claim: a claim with dots in its name/],
  ...['__proto__', 'a.constructor', 'prototype.a'].map(
    (claim) => [scopes(`claim: ${claim}, ceiling: []`), /\.scopes\.claim: "\w+" is no claim/] as const,
  ),
  [rest('caller: {}'), /\.caller: expected either a claim, or a template/],
  [rest('caller: { claim: a, template: "{a}" }'), /\.caller: expected either a claim, or a template/],
  [rest('caller: { template: "" }'), /\.caller\.template: it has no claim/],
  [rest('caller: { template: batch }'), /\.caller\.template: it has no claim/],
  [rest('caller: { template: "{}" }'), /\.caller\.template: \{\}: expected the name of a claim/],
  [rest('caller: { template: "{a}{b}" }'), /\.caller\.template: between two claims/],
  ...['{a', 'a}{b}', '{a}}', '{{a}}'].map(
    (template) =>
      [rest(`caller: { template: "${template}" }`), /\.caller\.template: it has (?:a brace|no claim)/] as const,
  ),
  ...[' {a}', 'a,{a}', 'ä{a}', '\\"{a}', '\\\\{a}'].map(
    (template) => [rest(`caller: { template: "${template}" }`), /\.caller\.template: expected visible ASCII/] as const,
  ),
  [rest('match: { a: [] }'), /\.match\.a: expected a text, true or false/],
  [rest('match: { a: 7 }'), /\.match\.a: expected a text, true or false/],
  [rest('match: { a..b: x }'), /\.match\["a..b"\]: expected the name of a claim/],
  [rest('policy: { websocket: tunnel }'), /\.policy\.websocket: expected off or relay/],
  [rest('policy: { scopes: [operator.admin] }'), /\.policy\.scopes: unknown key/],
  [rest('policy: { onBehalf: true }'), /\.policy\.onBehalf: unknown key/],
  [rest('policy: { unsafeTunnel: true }'), /\.policy\.unsafeTunnel: unknown key/],
  [rest('policy: { websocket: relay, agent: a }'), /\.policy\.agent: a caller with a WebSocket cannot have agent/],
  [rest('policy: { from: [0.0.0.0/0] }'), /\.policy\.from\[0\]: this range is everybody/],
  [rest('policy: { limits: { burst: 1 } }'), /\.policy\.limits\.burst: burst adds to requestsPerMinute/],
  [rest('policy: { sessionPrefix: "cron:" }'), /\.policy\.sessionPrefix: subagent:, cron: and acp: are reserved/],
  [rest('jwksUrl: x'), /\.jwksUrl: unknown key \(did you mean "jwksUri"\?\)/],
];

void t.test('one fault, one place', async (t) => {
  for (const [text, says] of REFUSED) {
    const { faults } = await build(one(text));
    const name = JSON.stringify(text).slice(0, 100);
    t.equal(faults.length, 1, `${name}: ${faults.join('; ')}`);
    t.match(faults[0], says, name);
  }
});

void t.test('issuers beside others', async (t) => {
  const other = one({ name: 'name: other', issuer: 'issuer: https://id.example/' });
  t.strictSame((await build(one(), other)).faults, [], 'a slash is another issuer');
  t.match((await build(one(), one({ issuer: 'issuer: https://b.example' }))).faults, [
    /^issuers\[1\]\.name: this name is listed already/,
  ]);
  t.match((await build(one(), one({ name: 'name: other', audience: 'audience: b' }))).faults, [
    /^issuers\[1\]\.issuer: this issuer is listed already/,
  ]);
  const { faults } = await build(one({ audience: '' }), one({ scopes: '' }));
  t.equal(faults.length, 4, 'all are told at once');
});

void t.test('nobody reaches the sessions of another', async (t) => {
  const web = { name: 'web', sessionPrefix: 'agent:main:web:' } as Caller;
  const prefixed = (prefix: string, more = {}): string =>
    one({ ...more, rest: `policy: { sessionPrefix: "${prefix}" }` });
  for (const prefix of ['agent:main:web:', 'agent:main:', 'agent:main:web:a:', 'web:']) {
    const { faults } = await issuersOf(list(prefixed(prefix)), world, { callers: [web] });
    t.match(faults, [/^issuers\[0\]\.policy\.sessionPrefix: its sessions and those of "web"/], prefix);
  }
  t.strictSame((await issuersOf(list(prefixed('agent:main:ci:')), world, { callers: [web] })).faults, []);
  const both = list(prefixed('ci:'), prefixed('ci:a:', { name: 'name: b', issuer: 'issuer: b' }));
  t.match((await issuersOf(both, world)).faults, [/^issuers\[1\].*"corp"/]);
});

const WARNED: readonly (readonly [text: Readonly<Record<string, string>>, says: RegExp])[] = [
  [scopes('claim: scope, ceiling: [operator.admin]'), /\.scopes\.ceiling: "corp" can make anybody operator.admin/],
  [scopes('claim: scope, ceiling: []'), /\.scopes\.ceiling: callers of "corp" get no scopes/],
  [keys('secret: { env: HMAC }, algorithms: [HS256]'), /\.algorithms: HS256: whoever can verify/],
  ...[
    'https://id.example',
    'https://kubernetes.default.svc',
    'https://kubernetes.default.svc.cluster.local',
    'sts.amazonaws.com',
    'api://AzureADTokenExchange',
    'https://management.azure.com/',
    '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/a/providers/b',
    'https://storage.googleapis.com',
    'https://acme.eu.auth0.com/userinfo',
    'https://github.com/octo-org',
    'account',
    'api://default',
    '*',
  ].map(
    (audience) =>
      [{ audience: `audience: [shim, "${audience}"]` }, /\.audience: .* looks like somebody else's/] as const,
  ),
  [keys('discovery: https://id.example/'), /\.discovery: expected the URL of the document/],
  ...['https://token.actions.githubusercontent.com', 'https://accounts.google.com'].map(
    (issuer) => [{ issuer: `issuer: ${issuer}` }, /^issuers\[0\]: everybody can get tokens/] as const,
  ),
];

void t.test('what is allowed and deserves a word', async (t) => {
  for (const [text, says] of WARNED) {
    const { faults, warnings } = await build(one(text));
    const name = JSON.stringify(text).slice(0, 100);
    t.strictSame(faults, [], name);
    t.equal(warnings.length, 1, `${name}: ${warnings.join('; ')}`);
    t.match(warnings[0], says, name);
  }
  const fine: readonly Readonly<Record<string, string>>[] = [
    { audience: 'audience: https://shim.example' },
    { audience: 'audience: api://openclaw-shim' },
    keys('discovery: https://id.example/.well-known/oauth-authorization-server'),
    { issuer: 'issuer: https://accounts.google.com', rest: 'match: { email: a }' },
    { ...scopes('claim: scope, ceiling: []'), rest: 'policy: { tools: [web_fetch] }' },
  ];
  for (const text of fine) {
    t.strictSame((await build(one(text))).warnings, [], JSON.stringify(text));
  }
});

void t.test('no secret is in what is said', async (t) => {
  const { faults } = await build(
    one(keys('secret: { env: SHORT }, algorithms: [HS256]')),
    one(keys('jwksFile: private.json')),
  );
  t.notMatch(faults.join(), /Zk3m|"d"/);
});

void t.test('the page has every key, and its defaults', async (t) => {
  const schema = rawIssuers(
    rawCallersFile.shape.callers.unwrap().element,
    rawConfig.shape.gateway.shape.auth.shape.secret.unwrap(),
  );
  const page = textOf('docs/identity.md');
  const code = codeOf(page).join('\n');
  for (const key of keysOf(z.toJSONSchema(schema) as Schema)) t.match(code, new RegExp(`\\b${key}\\b`), key);
  t.match(page, `\`[${STANDARD.algorithms.join(', ')}]\``);
  t.match(page, /`clockTolerance` \| `30s` /);
  t.match(page, /`maxStale` +\| `1h` /);
});

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
}

function keysOf({ properties = {}, items }: Schema): string[] {
  const own = Object.entries(properties).flatMap(([key, value]) => [key, ...(key === 'secret' ? [] : keysOf(value))]);
  return [...own, ...(items ? keysOf(items) : [])];
}
