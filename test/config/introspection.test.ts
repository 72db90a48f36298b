/** The section `introspection`, and issuers with a `tokenReview`: what they become, and one fault at a time. */
import t from 'tap';
import { parse } from 'yaml';
import * as z from 'zod';
import {
  buildIntrospection,
  rawIntrospection,
  type IntrospectionConfig,
  type IntrospectionContext,
} from '../../src/config/introspection.ts';
import { warnOfIntrospection } from '../../src/config/issuer-warnings.ts';
import { createReport, formatPath } from '../../src/config/report.ts';
import { rawCallersFile, rawConfig } from '../../src/config/schema.ts';
import { checkShape } from '../../src/config/shape.ts';
import { makeAuthority } from '../helpers/certificates.ts';
import { FILE, NOW, worldOf } from '../helpers/configuration.ts';
import { issuersOf } from '../helpers/issuers.ts';
import { codeOf, textOf } from '../helpers/pages.ts';

const ca = await makeAuthority();
const own = await ca.issue({ name: 'shim' });
const PAGE = textOf('docs/introspection.md');
const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
const SECRET = 'Zk3mQ8vT1xYw';
const world = {
  ...worldOf(
    {
      'ca.crt': ca.cert,
      'shim.crt': own.cert,
      'shim.key': own.key,
      '/etc/shim/ca.crt': ca.cert,
      '/etc/shim/introspection.crt': own.cert,
      '/etc/shim/introspection.key': own.key,
      token: 'a.b.c',
      [`${ACCOUNT}/ca.crt`]: ca.cert,
      [`${ACCOUNT}/token`]: 'a.b.c',
    },
    { CLIENT: SECRET, INTROSPECTION_SECRET: SECRET, BLANK: '' },
  ),
  // The certificates are of today.
  now: Date.now(),
};

const introspection = rawIntrospection(
  rawCallersFile.shape.callers.unwrap().element,
  rawConfig.shape.gateway.shape.auth.shape.secret.unwrap(),
);
const schema = z.strictObject({ introspection });

async function built(text: string, context: Partial<IntrospectionContext> = {}) {
  const report = createReport();
  const raw = checkShape(schema, parse(text) as Record<string, unknown>, report);
  const standing = { limits: {}, now: NOW, owners: [], issuers: new Set<string>(), ...context };
  const config = await buildIntrospection(raw.introspection ?? {}, standing, { file: FILE, world, report });
  const faulty = report.findings.some(({ level }) => level === 'error');
  if (config && !faulty) warnOfIntrospection(config, report);
  const told = (wanted: string): string[] =>
    report.findings.flatMap(({ level, path, message }) =>
      level === wanted ? [`${formatPath(path)}: ${message}`] : [],
    );
  return { config, faults: told('error'), warnings: told('warning') };
}

/** The section, where the words stand for what is not said otherwise. */
const one = ({
  name = 'name: opaque',
  endpoint = 'endpoint: https://id.example/introspect',
  id = 'clientId: shim',
  client = 'clientSecret: { env: CLIENT }',
  audience = 'audience: shim',
  scopes = 'scopes: { claim: scope, ceiling: [operator.write] }',
  rest = '',
}: Readonly<Record<string, string>> = {}): string =>
  `introspection: { ${[name, endpoint, id, client, audience, scopes, rest].filter((part) => part !== '').join(', ')} }`;

const STANDARD: IntrospectionConfig = {
  name: 'opaque',
  endpoint: 'https://id.example/introspect',
  clientId: 'shim',
  client: { secret: SECRET },
  audience: ['shim'],
  cache: 60_000,
  scopes: { claim: ['scope'], ceiling: ['operator.write'] },
  template: ['', ['sub'], ''],
  match: [],
  policy: { allowHeaders: [], onForbiddenHeader: 'drop' },
};

const BECOMES: Readonly<Record<string, readonly [Readonly<Record<string, string>>, object]>> = {
  'the least': [{}, {}],
  'audiences, each once': [{ audience: 'audience: [a, b, a]' }, { audience: ['a', 'b'] }],
  'a certificate': [{ client: 'tls: { cert: shim.crt, key: shim.key }' }, { client: { cert: own.cert, key: own.key } }],
  loopback: [{ endpoint: 'endpoint: "http://127.0.0.1:8080/i"' }, { endpoint: 'http://127.0.0.1:8080/i' }],
  'authorities, issuer and cache': [
    { rest: 'caFile: ca.crt, issuer: https://id.example, cache: 5s' },
    { ca: ca.cert, issuer: 'https://id.example', cache: 5_000 },
  ],
  'a name, what has to match, and a policy': [
    { rest: 'caller: { claim: client_id }, match: { active: true }, policy: { limits: { streams: 2 } }' },
    {
      template: ['', ['client_id'], ''],
      match: [{ claim: ['active'], values: [true] }],
      policy: { ...STANDARD.policy, limits: { streams: 2 } },
    },
  ],
};

void t.test('what it becomes', async (t) => {
  for (const [name, [text, is]] of Object.entries(BECOMES)) {
    t.strictSame(await built(one(text)), { config: { ...STANDARD, ...is }, faults: [], warnings: [] }, name);
  }
});

const rest = (text: string) => ({ rest: text });
const REFUSED: readonly (readonly [text: Readonly<Record<string, string>>, says: RegExp])[] = [
  [{ name: '' }, /^introspection\.name: this key is required/],
  [{ name: 'name: A' }, /\.name: expected a name of 1 to 32/],
  [{ endpoint: '' }, /\.endpoint: this key is required/],
  [{ endpoint: 'endpoint: id.example' }, /\.endpoint: expected a URL/],
  [{ endpoint: 'endpoint: https://u@id.example/' }, /\.endpoint: expected no user/],
  [{ endpoint: 'endpoint: http://id.example/' }, /\.endpoint: expected https beyond loopback: tokens and the secret/],
  [{ id: '' }, /\.clientId: this key is required/],
  [{ id: 'clientId: ä' }, /\.clientId: expected the id of a client/],
  [{ client: '' }, /^introspection: expected what the shim proves itself/],
  [{ client: 'clientSecret: plain' }, /\.clientSecret: expected a reference/],
  [{ client: 'clientSecret: { env: GONE }' }, /\.clientSecret\.env: the variable GONE is not set/],
  [{ client: 'clientSecret: { env: BLANK }' }, /\.clientSecret\.env: the variable BLANK is empty/],
  [{ client: 'tls: { cert: shim.crt }' }, /\.tls\.key: this key is required/],
  [{ client: 'tls: { cert: gone.crt, key: shim.key }' }, /\.tls\.cert: gone.crt does not exist/],
  [{ client: 'tls: { cert: ca.crt, key: shim.key }' }, /\.tls\.key: shim.key is not the key/],
  [rest('tls: { cert: shim.crt, key: shim.key }'), /\.tls: the client has a clientSecret already/],
  [
    { endpoint: 'endpoint: http://127.0.0.1/', client: 'tls: { cert: shim.crt, key: shim.key }' },
    /\.tls: endpoint is no https URL/,
  ],
  [{ endpoint: 'endpoint: http://127.0.0.1/', rest: 'caFile: ca.crt' }, /\.caFile: endpoint is no https URL/],
  [rest('caFile: gone.crt'), /\.caFile: gone.crt does not exist/],
  [{ audience: '' }, /\.audience: this key is required/],
  [{ audience: 'audience: []' }, /\.audience: expected 1 to 512/],
  ...['0', '999ms', '61m', '2h'].map((cache) => [rest(`cache: ${cache}`), /\.cache: expected 1s to 1h/] as const),
  [rest('cache: 60'), /\.cache: expected a duration/],
  [{ scopes: '' }, /\.scopes: this key is required/],
  [rest('caller: {}'), /\.caller: expected either a claim/],
  [rest('match: { a: [] }'), /\.match\.a: expected a text/],
  [rest('policy: { websocket: tunnel }'), /\.policy\.websocket: expected off or relay/],
  [rest('issuer: "a b"'), /\.issuer: expected 1 to 512/],
  [rest('jwksUri: https://id.example'), /\.jwksUri: unknown key/],
];

void t.test('one fault, one place', async (t) => {
  for (const [text, says] of REFUSED) {
    const { faults } = await built(one(text));
    const name = JSON.stringify(text).slice(0, 100);
    t.equal(faults.length, 1, `${name}: ${faults.join('; ')}`);
    t.match(faults[0], says, name);
    t.notMatch(faults[0], SECRET);
  }
});

void t.test('beside callers and issuers', async (t) => {
  t.match((await built(one(), { issuers: new Set(['opaque']) })).faults, [/^introspection\.name: an issuer has this/]);
  const prefixed = one({ rest: 'policy: { sessionPrefix: "ci:" }' });
  const owners = [{ name: 'web', sessionPrefix: 'ci:web:' }, { name: 'other' }];
  t.match((await built(prefixed, { owners })).faults, [/^introspection\.policy\.sessionPrefix: .*"web"/]);
  t.strictSame((await built(prefixed, { owners: [{ name: 'web', sessionPrefix: 'web:' }] })).faults, []);
});

void t.test('what is allowed and deserves a word', async (t) => {
  const ceiling = async (scopes: string, policy = ''): Promise<readonly string[]> =>
    (await built(one({ scopes: `scopes: { claim: scope, ceiling: [${scopes}] }`, rest: policy }))).warnings;
  t.match(await ceiling('operator.admin'), [/^introspection\.scopes\.ceiling: "opaque" can make anybody/]);
  t.match(await ceiling(''), [/^introspection\.scopes\.ceiling: callers of "opaque" get no scopes/]);
  t.strictSame(await ceiling('', 'policy: { tools: [web_fetch] }'), []);
});

/** An issuer whose tokens an API server is asked about. */
const reviewed = (
  more = '',
  review = 'tokenReview: https://kubernetes.default.svc',
  token = 'tokenFile: token',
): string =>
  `issuers: [{ name: k8s, issuer: i, audience: shim, scopes: { claim: sub, ceiling: [] }, policy: { tools: [a] }, ${[review, token, more].filter((part) => part !== '').join(', ')} }]`;

void t.test('tokenReview', async (t) => {
  const api = 'https://kubernetes.default.svc/apis/authentication.k8s.io/v1/tokenreviews';
  const { issuers, faults, warnings } = await issuersOf(reviewed('caFile: ca.crt'), world);
  t.strictSame([...faults, ...warnings], []);
  t.match(issuers, [{ keys: { kind: 'tokenReview', api, cache: 60_000 }, ca: ca.cert, bearer: 'a.b.c' }]);
  const apiOf = async (url: string): Promise<unknown> =>
    (await issuersOf(reviewed('', `tokenReview: ${url}`), world)).issuers[0]?.keys;
  t.match(await apiOf('https://kubernetes.default.svc/'), { api });
  t.match(await apiOf('https://r.example/k8s/c1'), { api: api.replace('kubernetes.default.svc', 'r.example/k8s/c1') });
  t.match((await issuersOf(reviewed('cache: 10s'), world)).issuers, [{ keys: { cache: 10_000 } }]);

  const refused: readonly (readonly [string, RegExp])[] = [
    [reviewed('', undefined, ''), /\.tokenFile: tokenReview needs a token/],
    [reviewed('', undefined, 'tokenFile: gone'), /\.tokenFile: gone does not exist/],
    [reviewed('', undefined, 'tokenFile: 7'), /\.tokenFile: expected the path/],
    [reviewed('', 'tokenReview: http://kubernetes.default.svc'), /\.tokenReview: expected https .*: tokens would/],
    [reviewed('', 'tokenReview: kubernetes.default.svc'), /\.tokenReview: expected a URL/],
    [reviewed('', 'tokenReview: http://127.0.0.1:8001, caFile: ca.crt'), /\.caFile: tokenReview is no https URL/],
    [reviewed('jwksUri: https://a.example'), /\.tokenReview: the keys come from jwksUri already/],
    [reviewed('algorithms: [RS256]'), /\.algorithms: the API server verifies the signature/],
    [reviewed('maxStale: 1h'), /\.maxStale: no keys are kept/],
    [reviewed('cache: 0'), /\.cache: expected 1s to 1h/],
    [reviewed('cache: 2h'), /\.cache: expected 1s to 1h/],
    [reviewed('cache: 1m', 'jwksUri: https://a.example'), /\.cache: only tokenReview has a cache/],
  ];
  for (const [text, says] of refused) {
    const found = await issuersOf(text, world);
    t.equal(found.faults.length, 1, `${text}: ${found.faults.join('; ')}`);
    t.match(found.faults[0], says, text);
  }
});

void t.test('the page: every key, its defaults, and examples that run', async (t) => {
  const code = codeOf(PAGE).join('\n');
  for (const key of Object.keys(introspection.shape)) t.match(code, new RegExp(`\\b${key}\\b`), key);
  t.match(PAGE, /`cache` +\| `60s` /);
  const blocks = [...PAGE.matchAll(/^```yaml\n(introspection:\n.*?)^```$/gms)];
  t.equal(blocks.length, 2);
  for (const [, text = ''] of blocks) {
    const { faults, warnings } = await built(text);
    t.strictSame([...faults, ...warnings], []);
  }
});
