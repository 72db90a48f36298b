/** What holds for any input: of functions alone, without a socket. */
import fc from 'fast-check';
import { createCallerTable } from '../../src/callers/table.ts';
import { callerFrom } from '../../src/callers/claims.ts';
import { readUnverified } from '../../src/callers/unverified.ts';
import { ConfigError } from '../../src/config/config.ts';
import { parseConfig } from '../../src/config/load.ts';
import { cleanHello, readConnect, scopesFor } from '../../src/gateway/connect.ts';
import { readBearer } from '../../src/headers/bearer.ts';
import { readHead } from '../../src/headers/head.ts';
import { buildRequestHeaders } from '../../src/headers/request.ts';
import { readTarget } from '../../src/headers/target.ts';
import { parseUnambiguous } from '../../src/json.ts';
import { compileRoutes } from '../../src/policy/routes.ts';
import { readRequestFrame } from '../../src/policy/methods.ts';
import { expandScopes, hasScope, intersectScopes } from '../../src/scopes.ts';
import { SCOPES, type Route, type Scope } from '../../src/types.ts';
import { folded, isFamily } from './families.ts';
import { FILE, worldOf } from '../helpers/configuration.ts';
import { issuerOf } from '../helpers/provider.ts';
import { hashOf } from '../helpers/stack.ts';

/** Throws, or gives `false`, where it does not hold. */
type Property = ReturnType<typeof fc.property> | ReturnType<typeof fc.asyncProperty>;

const scopes = fc.uniqueArray(fc.constantFrom<Scope>(...SCOPES));
const same = (one: Iterable<unknown>, other: Iterable<unknown>): boolean =>
  new Set([...one, ...other]).size === new Set(one).size && new Set(one).size === new Set(other).size;

const lawsOfScopes = fc.property(scopes, scopes, fc.constantFrom<Scope>(...SCOPES), (asked, allowed, needed) => {
  const got = intersectScopes(asked, allowed);
  const both = [...expandScopes(asked)].filter((scope) => expandScopes(allowed).has(scope));
  return (
    same(expandScopes(got), both) &&
    same(got, intersectScopes(allowed, asked)) &&
    same(got, intersectScopes(got, got)) &&
    hasScope(got, needed) === expandScopes(got).has(needed) &&
    same(scopesFor(asked, allowed), got) &&
    same(expandScopes(scopesFor(undefined, allowed)), expandScopes(allowed))
  );
});

const piece = fc.constantFrom(
  '/',
  '//',
  '.',
  '..',
  '%2e',
  '%2F',
  '%5c',
  '\\',
  '%00',
  '%25',
  '#',
  '?',
  ';',
  'v1',
  'models',
  'chat',
  'A',
  'é',
  ' ',
  '\t',
  '&',
  'token=',
  '%',
);
const target = fc.oneof(
  fc.array(piece, { maxLength: 12 }).map((parts) => `/${parts.join('')}`),
  fc.string({ unit: 'binary-ascii', maxLength: 60 }),
);
const ROUTES: readonly Route[] = [
  '/v1/models',
  '/v1/chat/completions',
  '/v1/models/{id}',
  '/sessions/{key}/history',
  '/a/{b}',
].map((template) => ({ method: 'GET', template, scope: 'operator.read' }));
const find = compileRoutes(['/closed'], ROUTES);

/** A second reader of URLs, that of the WHATWG, changes nothing about what passes. */
const targetsAreReadInOneWay = fc.property(target, (text) => {
  const read = readTarget(text);
  if ('wrong' in read) return read.wrong !== '';
  const url = new URL(text, 'http://gateway');
  const route = find(read.path);
  const [template = ''] = [...(route?.values() ?? [])].map((one) => one.template);
  return (
    read.path + read.query === text &&
    url.host === 'gateway' &&
    url.pathname === read.path.replaceAll(/["<>`{}^]/g, encodeURIComponent) &&
    (route === undefined || template.split('/').length === decodedSegments(read.path, template))
  );
});

/** Of a model id alone a slash may be encoded. */
function decodedSegments(path: string, template: string): number {
  return template === '/v1/models/{id}' ? 4 : path.split('/').length;
}

const header = fc.oneof(
  fc.constantFrom(
    'X-OpenClaw-Scopes',
    'x_openclaw_scopes',
    'X-Forwarded-For',
    'x.forwarded.user',
    'Forwarded',
    'Tailscale-User-Login',
    'Authorization',
    'Cookie',
    'Connection',
    'X-Id-7f3a',
    'x_id_7f3a',
    'Accept',
    'tracestate',
    'X-Real-IP',
    'Proxy-Authorization',
    'X-Plain',
  ),
  fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}$/),
);
const value = fc.stringMatching(/^[\x21-\x7e]{0,12}$/);
const headerList = fc.array(fc.tuple(header, value), { maxLength: 16 }).map((pairs) => pairs.flat());

const SECRET_NAMES = new Set(['x-id-7f3a']);
const OURS = ['authorization', 'Bearer ours', 'x-openclaw-scopes', '', 'X-Id-7f3a', 'ours', 'traceparent', 't'];

const headersOfOursAreOnce = fc.property(
  headerList,
  fc.array(header.map((name) => name.toLowerCase())),
  (raw, nominated) => {
    const out = buildRequestHeaders(raw, nominated, SECRET_NAMES, OURS);
    const theirs = out.slice(0, -OURS.length);
    const names = theirs.filter((_, i) => i % 2 === 0).map(folded);
    return (
      out.slice(-OURS.length).join() === OURS.join() &&
      !names.some((name) => isFamily(name) || SECRET_NAMES.has(name)) &&
      !names.some((name) =>
        ['authorization', 'cookie', 'proxy-authorization', 'connection', 'traceparent'].includes(name),
      ) &&
      isSubsequence(theirs, raw)
    );
  },
);

function isSubsequence(part: readonly string[], whole: readonly string[]): boolean {
  let at = 0;
  for (let i = 0; i < whole.length; i += 2) if (whole[i] === part[at] && whole[i + 1] === part[at + 1]) at += 2;
  return at >= part.length;
}

const headsDoNotThrow = fc.property(headerList, target, (raw, text) => {
  const head = readHead({
    method: 'GET',
    target: text,
    httpVersion: '1.1',
    rawHeaders: ['Host', 'localhost', ...raw],
    peer: '127.0.0.1',
  });
  return 'kind' in head ? head.code !== undefined : head.host === 'localhost';
});

const TOKEN = 'token-of-the-writer-0123456789abcdef';
const DIGEST = hashOf(TOKEN).replace('sha256:', '');
const CALLERS = createCallerTable([
  {
    name: 'writer',
    scopes: ['operator.write'],
    tokens: [{ hash: DIGEST, id: DIGEST.slice(0, 12) }],
    allowHeaders: [],
    onForbiddenHeader: 'drop',
  },
]);
const credential = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 80 }),
  fc
    .tuple(
      fc.constantFrom('Bearer ', 'bearer ', 'Bearer  ', 'Basic ', 'Bearer\t', ''),
      fc.constantFrom(TOKEN, TOKEN.slice(1), `${TOKEN} `, `${TOKEN},x`, TOKEN.toUpperCase()),
      fc.string({ maxLength: 3 }),
    )
    .map((parts) => parts.join('')),
);

const aTokenAloneNamesItsCaller = fc.property(credential, (authorization) => {
  const read = readBearer(authorization);
  const answer = CALLERS.authenticate({ authorization }, 0);
  const named = !(answer instanceof Promise) && answer.kind === 'caller';
  return (
    (named === /^bearer /i.test(authorization) && named === (authorization.slice(7) === TOKEN)) ||
    (!named && (typeof read === 'string' || read.token !== TOKEN))
  );
});

const claim = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 140 }),
  fc.jsonValue(),
  fc.constantFrom('runs', 'all', 'operator.admin', 'a b'),
);
const ISSUER = issuerOf(
  'https://id.example',
  { kind: 'file', jwks: '{"keys":[]}' },
  {
    scopes: {
      claim: ['scope'],
      map: new Map([
        ['runs', ['operator.write']],
        ['all', ['operator.admin']],
      ]),
      ceiling: ['operator.write'],
    },
  },
);

const claimsNameWithinBounds = fc.property(
  fc.record({ sub: fc.oneof(fc.constant('ada'), claim), scope: claim, cnf: claim, x: claim }, { requiredKeys: [] }),
  (claims) => {
    const named = callerFrom(ISSUER, claims);
    if ('fault' in named) return named.fault !== '';
    const { name, scopes: given } = named.caller;
    return (
      /^[\x21-\x7e]{1,128}$/.test(name) &&
      name.startsWith(`${ISSUER.name}:`) &&
      !/[,"\\]/.test(name) &&
      given.every((scope) => hasScope(['operator.write'], scope))
    );
  },
);

const unverifiedTokensDoNotThrow = fc.property(
  fc.tuple(fc.jsonValue(), fc.jsonValue(), fc.base64String({ maxLength: 20 })).map(([head, payload, signature]) =>
    [JSON.stringify(head), JSON.stringify(payload)]
      .map((text) => Buffer.from(text).toString('base64url'))
      .concat(signature)
      .join('.'),
  ),
  (token) => typeof readUnverified(token) === 'string' || token.split('.').length === 3,
);

const jsonText = fc.oneof(
  fc.json(),
  fc.string({ maxLength: 40 }),
  fc.tuple(fc.json(), fc.json()).map(([a, b]) => `{"a":${a},"a":${b}}`),
  fc.constantFrom('{"__proto__":1}', '{"a":1,"\\u0061":2}', '\ufeff{}', '{"a":1}x'),
);

const jsonIsReadInOneWay = fc.property(jsonText, (text) => {
  const read = parseUnambiguous(Buffer.from(text));
  if (typeof read === 'string') return read !== '';
  return JSON.stringify(read) === JSON.stringify(JSON.parse(text)) && !/^\{"a":.*,"a":/s.test(text);
});

const params = fc.record(
  {
    minProtocol: fc.oneof(fc.integer(), fc.constant(3)),
    maxProtocol: fc.oneof(fc.integer(), fc.constant(4)),
    role: fc.constantFrom('operator', 'node'),
    scopes: fc.oneof(fc.array(fc.oneof(fc.constantFrom<string>(...SCOPES), fc.string())), fc.jsonValue()),
    caps: fc.jsonValue(),
    auth: fc.jsonValue(),
    locale: fc.jsonValue(),
    device: fc.jsonValue(),
  },
  { requiredKeys: [] },
);
const frame = fc.oneof(
  fc
    .record(
      {
        type: fc.constantFrom('req', 'res'),
        id: fc.oneof(fc.string(), fc.integer()),
        method: fc.constantFrom('connect', 'chat.send'),
        params: fc.oneof(params, fc.jsonValue()),
      },
      { requiredKeys: [] },
    )
    .map((one) => JSON.stringify(one)),
  fc.json(),
  fc.string({ unit: 'binary' }),
);

const firstFramesAskForNoMore = fc.property(frame, scopes, (text, allowed) => {
  const data = Buffer.from(text);
  const request = readRequestFrame(data);
  const asked = readConnect(data);
  if ('fault' in asked) return asked.fault !== '' && (typeof request === 'string' || request.method !== '');
  return scopesFor(asked.scopes, allowed).every((scope) => hasScope(allowed, scope));
});

const hello = fc
  .tuple(
    fc.dictionary(
      fc.constantFrom('server', 'url', 'canvasUrl', 'features', 'list', 'x'),
      fc.oneof(
        fc.jsonValue(),
        fc.constantFrom('https://gateway.internal/x', 'wss://10.0.0.1', ['http://a'], { nested: [{ pluginUrls: 1 }] }),
      ),
    ),
    fc.oneof(fc.jsonValue(), fc.constant({ deviceToken: 'of the shim', scopes: ['operator.admin'] })),
  )
  .map(([payload, auth]) => ({ ...payload, auth }));

const helloTellsNoAddress = fc.property(hello, scopes, scopes, (payload, wanted, given) => {
  const clean = cleanHello(payload, wanted, given) as { auth: { scopes: Scope[] } };
  const text = JSON.stringify(clean);
  return (
    !/"(?:https?|wss?):\/\//i.test(text.replaceAll(/"(?:https?|wss?):\/\/[^"]*":/gi, '')) &&
    !text.includes('deviceToken') &&
    clean.auth.scopes.every((scope) => hasScope(given, scope))
  );
});

const SOUND = {
  listen: { port: 0, hosts: ['shim.example'] },
  gateway: { url: 'http://127.0.0.1:18789', auth: { mode: 'token', secret: { env: 'GATEWAY' } } },
  callers: [
    {
      name: 'writer',
      scopes: ['operator.write'],
      tokens: [{ hash: hashOf(TOKEN) }],
      limits: { requestsPerMinute: 5 },
    },
  ],
  issuers: [
    {
      name: 'corp',
      issuer: 'https://id.example',
      audience: 'shim',
      jwksUri: 'https://id.example/keys',
      scopes: { claim: 'scope', ceiling: ['operator.read'] },
    },
  ],
  limits: { body: '1MiB' },
  stream: { heartbeat: '15s' },
  admin: { port: 18781 },
};
const SECRET_WORLD = worldOf({}, { GATEWAY: 'secret-of-the-gateway-0123456789' });

/** One place of a sound configuration is something else. */
const mutated = fc
  .tuple(
    fc.nat(60),
    fc.oneof(
      fc.jsonValue({ maxDepth: 1 }),
      fc.constantFrom('', '0s', '-1', 'operator.admin', '${X}', '99999999d', '../x', 'a,b', 'http://[', 1e21),
    ),
  )
  .map(([nth, other]) => {
    let left = nth;
    const change = (one: unknown): unknown => {
      if (left-- === 0) return other;
      if (Array.isArray(one)) return one.map(change);
      if (typeof one !== 'object' || one === null) return one;
      return Object.fromEntries(
        Object.entries(one).map(([key, member]) => [left === 0 && nth % 3 === 0 ? `${key}x` : key, change(member)]),
      );
    };
    return JSON.stringify(change(SOUND));
  });

const configurationsLoadOrSayWhy = fc.asyncProperty(mutated, async (text) => {
  try {
    await parseConfig(FILE, text, SECRET_WORLD);
    return true;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return (
      error.message.split('\n').every((line) => /^\S+:\d+:\d+:? /.test(line)) &&
      !error.message.includes('secret-of-the-gateway')
    );
  }
});

export const properties: Readonly<Record<string, Property>> = {
  'laws of scopes': lawsOfScopes,
  'targets are read in one way': targetsAreReadInOneWay,
  'headers of ours are there once, and none of the families': headersOfOursAreOnce,
  'heads are read or refused': headsDoNotThrow,
  'a token alone names its caller': aTokenAloneNamesItsCaller,
  'claims name within bounds': claimsNameWithinBounds,
  'unverified tokens are read or refused': unverifiedTokensDoNotThrow,
  'JSON is read in one way': jsonIsReadInOneWay,
  'first frames ask for no more than is allowed': firstFramesAskForNoMore,
  'a hello tells no address, and no scope that was not given': helloTellsNoAddress,
  'configurations load, or say where they are wrong': configurationsLoadOrSayWhy,
};
