/** Identity providers by their pages: the settings and tokens that stand there, through the whole shim. */
import t from 'tap';
import { parse } from 'yaml';
import { makeAuthority } from '../helpers/certificates.ts';
import { worldOf } from '../helpers/configuration.ts';
import { issuersOf } from '../helpers/issuers.ts';
import { pages, textOf } from '../helpers/pages.ts';
import { jsonAt, makeKey, publicOf, signJwt, startEndpoint, type Endpoint } from '../helpers/provider.ts';
import { bearer, caller, startStack, TOKENS, type Stack } from '../helpers/stack.ts';

type Claims = Readonly<Record<string, unknown>>;

const blocksOf = (text: string, language: string): string[] =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'gms'))].map(([, block = '']) => block);

/** What a page has: its blocks with `issuers`, and its tokens, each a header and claims. */
function read(page: string) {
  const text = textOf(`docs/identity-${page}.md`);
  const json = blocksOf(text, 'json').map((block) => JSON.parse(block) as Claims);
  return {
    text,
    blocks: blocksOf(text, 'yaml').filter((block) => /^issuers:\n/m.test(block)),
    tokens: json.flatMap((claims, index) => (index % 2 === 1 ? [{ header: json[index - 1] as Claims, claims }] : [])),
  };
}

interface Shape {
  readonly example: readonly [page: string, block: number, token: number];
  readonly is: readonly [name: string, scopes: string, dropped?: readonly string[]];
  /** By the reason that the page has: what such a token has in place of its own. Not of what is a variant there. */
  readonly refused?: Readonly<Record<string, readonly Claims[]>>;
}

const nameless = (issuer: string, why: string): string => `a token of ${issuer} names no caller: its claim ${why}`;
const foreign = (issuer: string): string => `a token of ${issuer}: unexpected "aud" claim value`;
const MATCH = 'is not what match asks for';
const SERVICE = '88bf3b6d86161464f6509f7219099e57.access';

const SHAPES: readonly Shape[] = [
  {
    example: ['kubernetes', 0, 0],
    is: ['k8s:system:serviceaccount:agents:batch', 'operator.write'],
    refused: {
      [foreign('k8s')]: [{ aud: ['https://kubernetes.default.svc.cluster.local'] }],
      [nameless('k8s', `kubernetes.io.namespace ${MATCH}`)]: [
        { 'kubernetes.io': { namespace: 'other' } },
        { 'kubernetes.io': undefined },
      ],
      [nameless('k8s', 'sub is missing')]: [{ sub: undefined }],
    },
  },
  {
    example: ['github-actions', 0, 0],
    is: ['github:octo-org/octo-repo@refs/heads/main', 'operator.write'],
    refused: {
      [foreign('github')]: [{ aud: 'https://github.com/octo-org' }],
      [nameless('github', `repository_owner_id ${MATCH}`)]: [
        { repository_owner_id: '66' },
        { repository_owner_id: 65 },
        { repository_owner_id: undefined },
      ],
      [nameless('github', `runner_environment ${MATCH}`)]: [{ runner_environment: 'self-hosted' }],
      [nameless('github', 'ref is missing')]: [{ ref: undefined }],
      'a token of github names no caller: the name is longer than 128 characters': [
        { ref: `refs/heads/${'x'.repeat(100)}` },
      ],
    },
  },
  {
    example: ['google', 0, 0],
    is: ['google:batch@acme-prod.iam.gserviceaccount.com', 'operator.write'],
    refused: {
      [foreign('google')]: [{ aud: 'https://other.run.app' }],
      [nameless('google', `email_verified ${MATCH}`)]: [
        { email_verified: false },
        { email_verified: 'true' },
        { email: undefined, email_verified: undefined, google: undefined },
      ],
      [nameless('google', `email ${MATCH}`)]: [{ email: 'batch@evil.iam.gserviceaccount.com' }, { email: undefined }],
    },
  },
  {
    example: ['azure', 0, 0],
    is: ['azure:11112222-bbbb-3333-cccc-4444dddd5555', 'operator.write'],
    refused: {
      [foreign('azure')]: [{ aud: 'https://management.azure.com' }],
      [nameless('azure', `idtyp ${MATCH}`)]: [{ idtyp: 'user' }, { idtyp: undefined }],
      [nameless('azure', 'azp is missing')]: [{ azp: undefined }],
    },
  },
  { example: ['azure', 1, 1], is: ['azure-v1:11112222-bbbb-3333-cccc-4444dddd5555', 'operator.read'] },
  {
    example: ['keycloak', 0, 0],
    is: ['keycloak:service-account-batch', 'operator.write', ['default-roles-agents', 'offline_access']],
    refused: {
      [foreign('keycloak')]: [{ aud: 'account' }],
      'a token of keycloak: missing required "aud" claim': [{ aud: undefined }],
      [nameless('keycloak', `typ ${MATCH}`)]: [{ typ: 'ID' }, { typ: 'DPoP' }],
      [nameless('keycloak', 'preferred_username is missing')]: [{ preferred_username: undefined }],
    },
  },
  { example: ['keycloak', 1, 0], is: ['keycloak-clients:service-account-batch', 'operator.read'] },
  {
    example: ['auth0', 0, 0],
    is: ['auth0:Zk3mQ8vT1xYw2bPq7RtXw9Lc4Nd8Vf1H@clients', 'operator.write'],
    refused: {
      [foreign('auth0')]: [{ aud: 'https://acme.eu.auth0.com/api/v2/' }],
      [nameless('auth0', `gty ${MATCH}`)]: [{ gty: 'password' }, { gty: undefined }],
      [nameless('auth0', 'sub is missing')]: [{ sub: undefined }],
    },
  },
  {
    example: ['auth0', 1, 1],
    is: ['auth0-people:auth0|5f7c8ec7c33c6c004bbafe82', 'operator.read', ['read:reports']],
  },
  {
    example: ['cloudflare-access', 0, 0],
    is: [`access:${SERVICE}`, 'operator.write'],
    refused: {
      [foreign('access')]: [{ aud: ['97e2aae120121f902df8bc99fc345913ab186d174f3079ea729236766b2e7c4a'] }],
      [nameless('access', `type ${MATCH}`)]: [{ type: 'org' }],
      [nameless('access', 'common_name is missing')]: [{ common_name: undefined, email: 'ops@acme.example' }],
    },
  },
  {
    example: ['cloudflare-access', 1, 1],
    is: ['access-people:ops@acme.example', 'operator.write'],
    refused: { [nameless('access-people', 'email is missing')]: [{ email: undefined, common_name: SERVICE, sub: '' }] },
  },
];

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
const USER_HEADER = 'x-user-5b0c8e1f';
const authority = await makeAuthority();
const files = { [`${ACCOUNT}/ca.crt`]: authority.cert, [`${ACCOUNT}/token`]: 'the.token.of-the-pod' };
const world = { ...worldOf(files), now: Date.now() };
const key = await makeKey('any');
const kids = SHAPES.flatMap(({ example: [page] }) => read(page).tokens.map(({ header }) => header['kid']));
const published = { keys: [...new Set(kids)].map((kid) => ({ ...publicOf(key), kid })) };

/** It stands last in its block. */
const sectionOf = (block: string): string => block.slice(block.search(/^issuers:\n/m));

interface Issuer {
  readonly name: string;
  readonly issuer: string;
  readonly header?: string;
  readonly discovery?: true | string;
  readonly jwksUri?: string;
}

/** The list of an `issuers` section, whose URLs lead to a local provider; what it has to answer is added to `paths`. */
function localise(block: string, place: string, { url }: Endpoint, paths: Record<string, unknown>) {
  const items = sectionOf(block)
    .replace('issuers:\n', '')
    .replaceAll(/^( *(?:issuer|jwksUri|discovery): )https:\/\//gm, `$1${url}/${place}/`);
  const [issuer] = parse(items) as [Issuer];
  const { discovery, jwksUri } = issuer;
  if (jwksUri !== undefined) paths[new URL(jwksUri).pathname] = published;
  const document =
    discovery === true ? `${issuer.issuer.replace(/\/$/, '')}/.well-known/openid-configuration` : discovery;
  if (document !== undefined) paths[new URL(document).pathname] = { issuer: issuer.issuer, jwks_uri: `${url}/keys` };
  return { items, issuer };
}

async function sign(token: { readonly header: Claims; readonly claims: Claims }, changes: Claims): Promise<string> {
  const since = Math.floor(Date.now() / 1000) - (token.claims['iat'] as number);
  const times = Object.entries(token.claims).flatMap(([name, value]) =>
    ['iat', 'nbf', 'exp'].includes(name) ? [[name, (value as number) + since]] : [],
  );
  return signJwt(key, { ...token.claims, ...Object.fromEntries(times), ...changes }, token.header);
}

let client = 0;

/** Asks from an address of its own, so that failed logins stay few. */
async function ask(stack: Stack, headers: Record<string, string>) {
  const line = stack.nextLine();
  const from = `198.51.${(client += 1) >> 8}.${client & 255}`;
  const response = await fetch(`${stack.url}/v1/models`, { headers: { 'x-forwarded-for': from, ...headers } });
  await response.arrayBuffer();
  const { rawHeaders: raw = [] } = stack.gateway.requests.at(-1) ?? {};
  const told = new Headers(
    raw.flatMap((name, at) => (at % 2 === 0 ? [[name, raw[at + 1] ?? ''] as [string, string]] : [])),
  );
  return { status: response.status, line: await line, told };
}

const shown = (token: string, header = 'Authorization'): Record<string, string> =>
  header === 'Authorization' ? bearer(token) : { [header]: token };

void t.test('the settings and tokens of the pages', async (t) => {
  t.equal([...pages.keys()].filter((name) => name.startsWith('docs/identity-')).length, 7);
  const [plain, tls] = await Promise.all([
    startEndpoint(t, jsonAt({})),
    startEndpoint(t, jsonAt({}), await authority.issue({ ips: ['127.0.0.1'] })),
  ]);
  const paths: Record<string, unknown> = { '/keys': published };
  const examples = SHAPES.map((shape, index) => {
    const [page, number, token] = shape.example;
    const { text, blocks, tokens } = read(page);
    const block = blocks[number] ?? '';
    const local = localise(block, `p${index}`, block.includes('caFile:') ? tls : plain, paths);
    return { ...shape, text, block, token: tokens[token] as (typeof tokens)[number], ...local };
  });
  plain.answer = jsonAt(paths);
  tls.answer = jsonAt(paths);

  for (const { block, issuer, token } of examples) {
    const { issuers, ...built } = await issuersOf(sectionOf(block), world);
    t.strictSame(built, { faults: [], warnings: [] }, issuer.name);
    t.equal(issuers[0]?.issuer, token.claims['iss'], `${issuer.name}: iss`);
  }

  const [hop] = blocksOf(textOf('docs/identity-cloudflare-access.md'), 'yaml').filter((one) =>
    one.startsWith('gateway:'),
  );
  const { auth } = (parse(hop ?? '') as { gateway: { auth: Claims } }).gateway;
  const stack = await startStack(t, {
    listen: '{ host: 127.0.0.1, port: 0, trustedProxies: [127.0.0.1] }',
    callers: `issuers:\n${examples.map(({ items }) => items).join('')}`,
    auth: JSON.stringify(auth),
    env: { OPENCLAW_USER_HEADER: USER_HEADER },
    gateway: {
      auth: {
        mode: 'trusted-proxy',
        userHeader: USER_HEADER,
        requiredHeaders: Object.keys(auth['requiredHeaders'] as object),
      },
    },
    files,
  });

  for (const { issuer, token, is, refused, text } of examples) {
    const [name, scopes, dropped] = is;
    const good = await sign(token, { iss: issuer.issuer });
    const { status, line, told } = await ask(stack, shown(good, issuer.header));
    t.equal(status, 200, `${name}: ${String(line['reason'])}`);
    t.equal(told.get(USER_HEADER), name);
    t.equal(told.get('x-openclaw-scopes'), scopes, name);
    t.equal(told.get('cf-access-jwt-assertion'), '1', 'never that of the caller');
    if (refused) t.ok(text.includes(`"caller":"${name}"`), `the page says ${name}`);
    const unknown = stack.lines.find(({ msg, caller }) => /scopes claim/.test(String(msg)) && caller === name);
    t.strictSame(unknown?.['examples'], dropped, `${name}: dropped`);
    for (const [reason, changes] of Object.entries(refused ?? {})) {
      t.ok(text.includes(`\`${reason}\``), `the page has: ${reason}`);
      for (const change of changes) {
        const bad = await ask(stack, shown(await sign(token, { iss: issuer.issuer, ...change }), issuer.header));
        t.match(bad, { status: 401, line: { code: 'invalid_token', reason } }, JSON.stringify(change));
      }
    }
  }
  t.ok(
    tls.requests.length > 0 &&
      tls.requests.every(({ headers }) => headers.authorization === 'Bearer the.token.of-the-pod'),
  );

  const access = examples.find(({ issuer }) => issuer.name === 'access') as (typeof examples)[number];
  const elsewhere = await ask(stack, bearer(await sign(access.token, { iss: access.issuer.issuer })));
  t.match(elsewhere, { status: 401, line: { reason: 'a token of access: it was shown in authorization' } });
  t.ok(access.text.includes('`a token of access: it was shown in authorization`'));
});

void t.test('Cloudflare Access beside a token of the shim', async (t) => {
  const { blocks, tokens, text } = read('cloudflare-access');
  const [service, person] = tokens as [(typeof tokens)[number], (typeof tokens)[number]];
  const provider = await startEndpoint(t, jsonAt({}));
  const paths: Record<string, unknown> = { '/keys': published };
  const { items, issuer } = localise(blocks[2] ?? '', 'access', provider, paths);
  provider.answer = jsonAt(paths);
  const { credentials, trustedProxies } = (parse(blocks[2] ?? '') as { listen: Record<string, string> }).listen;
  const start = (more: Claims): Promise<Stack> =>
    startStack(t, {
      listen: JSON.stringify({ host: '127.0.0.1', port: 0, trustedProxies, ...more }),
      callers: `callers:\n${caller('agentpage', TOKENS.reader, ['operator.read'])}\nissuers:\n${items}`,
    });
  const assertion = async (token: typeof person, changes: Claims = {}) =>
    shown(await sign(token, { iss: issuer.issuer, ...changes }), issuer.header);
  const stack = await start({ credentials });
  const own = bearer(TOKENS.reader);

  for (const token of [service, person]) {
    const both = { ...own, ...(await assertion(token)) };
    const { told, ...passed } = await ask(stack, both);
    t.match(passed, { status: 200, line: { caller: 'agentpage' } });
    t.notOk(told.has('cf-access-jwt-assertion'));
    t.match(await ask(stack, await assertion(token)), { status: 403, line: { caller: 'access:app' } }, 'alone');
  }
  const wrong = { ...own, ...(await assertion(person, { aud: ['another'] })) };
  t.match(await ask(stack, wrong), { status: 401, line: { reason: foreign('access') } });
  t.match(await ask(stack, own), { status: 200, line: { caller: 'agentpage' } }, 'it is not missed');

  const strict = await start({});
  const reason = 'the assertion names access:app, and the token agentpage';
  t.match(await ask(strict, { ...own, ...(await assertion(person)) }), { status: 401, line: { reason } });
  t.ok(text.includes(`\`${reason}\``));
  const { warnings } = await issuersOf(sectionOf(blocks[2] ?? ''));
  t.match(warnings, [/callers of "access" get no scopes/]);
});
