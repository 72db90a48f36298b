import { BlockList } from 'node:net';
import t from 'tap';
import { createCallerTable, type Answer, type Shown } from '../src/callers/table.ts';
import { hashToken } from '../src/callers/token.ts';
import type { VerifiedToken } from '../src/callers/jwt.ts';
import type { Decision, Forward } from '../src/decision.ts';
import { refuse, type ErrorCode } from '../src/errors.ts';
import { createGate, type GateParts } from '../src/gate.ts';
import { createPresenter } from '../src/gateway/present.ts';
import { createAuthorize } from '../src/policy/authorize.ts';
import type { Caller, ClientCertificate, RawToken, RequestFacts, Route, Scope, Token } from '../src/types.ts';
import { OPEN, testConfig, type ConfigParts } from './helpers/config.ts';
import { issuersOf } from './helpers/issuers.ts';

const NOW = Date.UTC(2026, 5, 1);
const READER = 'reader-token-0123456789-abcdef' as RawToken;
const WRITER = 'writer-token-0123456789-abcdef' as RawToken;

function caller(name: string, token: RawToken, scopes: readonly Scope[], more: Partial<Caller> = {}): Caller {
  const hash = hashToken(token);
  const tokens = [{ hash, id: hash.slice(0, 12) }];
  return { name, tokens, scopes, allowHeaders: [], onForbiddenHeader: 'refuse', ...more };
}

const callers = [
  caller('reader', READER, ['operator.read']),
  caller('writer', WRITER, ['operator.write'], { sessionPrefix: 'w-' }),
];

interface Parts extends ConfigParts {
  readonly gate?: Partial<GateParts>;
}

function ask(facts: Partial<RequestFacts>, { gate: own, ...parts }: Parts = {}): Decision | Promise<Decision> {
  const listen = { origins: new Set(['https://app.example']), ...parts.listen };
  const config = testConfig({ callers, bodyLimit: 1000, ...parts, listen });
  const gate = createGate({
    config,
    callers: createCallerTable(config.callers),
    authorize: createAuthorize(config, () => 'RANDOM'),
    presenter: createPresenter(config.gateway.auth),
    ...OPEN,
    now: () => NOW,
    ...own,
  });
  return gate.decide({
    method: 'POST',
    target: '/',
    httpVersion: '1.1',
    rawHeaders: [],
    peer: '127.0.0.1',
    ...facts,
  });
}

const decide = (...args: Parameters<typeof ask>): Decision => ask(...args) as Decision;

function passes(facts: Partial<RequestFacts>, parts?: Parts): Forward {
  const decision = decide(facts, parts);
  if (decision.kind !== 'forward') throw new Error(`not forwarded: ${JSON.stringify(decision)}`);
  return decision;
}

const GOOD = ['Host', 'localhost', 'Authorization', `Bearer ${WRITER}`];
const CHAT = '/v1/chat/completions';
const TRACEPARENT = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-03`;

/** One fault a stage, in the order of the stages. What a later stage would say must not be heard. */
interface Fault {
  readonly says: string;
  readonly target?: string;
  readonly httpVersion?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const FAULTS: readonly Fault[] = [
  { says: '400 HTTP/1.1 is required (nginx: proxy_http_version 1.1)', httpVersion: '1.0' },
  { says: '400 the Connection header names host', headers: { Connection: 'host' } },
  { says: '400 the only transfer coding is chunked', headers: { 'Transfer-Encoding': 'gzip, chunked' } },
  { says: '417', headers: { Expect: 'x' } },
  { says: '400 the path has a dot segment', target: '/..' },
  { says: '400 the X-Forwarded-For of a trusted proxy is malformed', headers: { 'X-Forwarded-For': 'x' } },
  { says: '421', headers: { Host: 'evil.example' } },
  { says: '403 origin', headers: { Origin: 'https://evil.example' } },
  { says: '401', headers: { Authorization: 'Bearer x' } },
  { says: '404', target: '/nowhere' },
  { says: '403 scope', headers: { Authorization: `Bearer ${READER}` } },
  { says: '403 session', headers: { 'x-openclaw-session-key': 'other' } },
  { says: '400 header', headers: { 'x-openclaw-model': 'm' } },
  { says: '413', headers: { 'Content-Length': '1001' } },
];

const SAYINGS: Partial<Record<ErrorCode, string>> = {
  expectation_failed: '417',
  host_not_allowed: '421',
  origin_not_allowed: '403 origin',
  invalid_token: '401',
  route_not_exposed: '404',
  insufficient_scope: '403 scope',
  session_not_allowed: '403 session',
  header_not_allowed: '400 header',
  body_too_large: '413',
};

function saying(decision: Decision): string {
  if (decision.kind !== 'refuse') return decision.kind;
  return SAYINGS[decision.code] ?? `400 ${decision.reason}`;
}

const TRUSTED = new BlockList();
TRUSTED.addAddress('127.0.0.1', 'ipv4');

function withFaults(...faults: readonly Fault[]): string {
  const facts = { target: CHAT, httpVersion: '1.1' };
  const headers: Record<string, string> = { Host: 'localhost', Authorization: `Bearer ${WRITER}` };
  // The first fault counts where two want the same part of the request.
  for (const { target, httpVersion, headers: more } of faults.toReversed()) {
    Object.assign(facts, target === undefined ? {} : { target }, httpVersion === undefined ? {} : { httpVersion });
    Object.assign(headers, more);
  }
  return saying(
    decide({ ...facts, rawHeaders: Object.entries(headers).flat() }, { listen: { trustedProxies: TRUSTED } }),
  );
}

void t.test('each stage is heard by itself', async (t) => {
  for (const fault of FAULTS) t.equal(withFaults(fault), fault.says);
  t.equal(withFaults(), 'forward');
});

void t.test('an earlier stage is heard before every later one', async (t) => {
  for (const [index, first] of FAULTS.entries()) {
    for (const later of FAULTS.slice(index + 1)) t.equal(withFaults(first, later), first.says, `before ${later.says}`);
    t.equal(withFaults(...FAULTS.slice(index)), first.says, 'before all of them');
  }
});

void t.test('without a valid credential every route answers alike', async (t) => {
  const targets = [CHAT, '/nowhere', '/health', '/v1/models', '/tools/invoke', '/'];
  for (const target of targets) {
    for (const method of ['GET', 'POST', 'TRACE', 'PROPFIND']) {
      const { about: _, ...refusal } = decide({ method, target, rawHeaders: ['Host', 'localhost'] });
      t.strictSame(refusal, { kind: 'refuse', code: 'missing_token' }, `${method} ${target}`);
    }
  }
  t.match(decide({ method: 'CONNECT', target: 'evil.example:443', rawHeaders: ['Host', 'localhost'] }), {
    code: 'missing_token',
  });
  t.match(decide({ method: 'CONNECT', target: 'evil.example:443', rawHeaders: GOOD }), { code: 'method_not_allowed' });
});

void t.test('what becomes known on the way', async (t) => {
  const id = hashToken(READER).slice(0, 12);
  const rawHeaders = ['Host', 'localhost', 'Origin', 'https://app.example', 'Authorization', `Bearer ${READER}`];
  t.match(decide({ target: CHAT, rawHeaders }).about, {
    peer: '127.0.0.1',
    origin: 'https://app.example',
    caller: 'reader',
    token: { id },
    route: { template: CHAT },
  });
  const { about } = decide({ target: CHAT, rawHeaders: ['Host', 'localhost', 'Origin', 'https://evil.example'] });
  t.match(about, { trace: { traceId: 'a'.repeat(32) } });
  t.strictSame(Object.keys(about), ['peer', 'trace'], 'an origin that is not listed gets no CORS headers');
});

void t.test('origins', async (t) => {
  const preflight = ['Access-Control-Request-Method', 'POST', 'Host', 'localhost', 'Origin'];
  t.match(decide({ method: 'OPTIONS', target: '/nowhere', rawHeaders: [...preflight, 'https://app.example'] }), {
    kind: 'preflight',
    about: { origin: 'https://app.example' },
  });
  const origins = [
    'null',
    '',
    '*',
    'https://app.example:443',
    'https://app.example/',
    'HTTPS://app.example',
    'http://app.example',
  ];
  for (const origin of [...origins, 'https://app.example.evil', 'https://app.example, https://app.example']) {
    t.match(decide({ method: 'OPTIONS', rawHeaders: [...preflight, origin] }), { code: 'origin_not_allowed' }, origin);
    t.match(decide({ target: CHAT, rawHeaders: [...GOOD, 'Origin', origin] }), { code: 'origin_not_allowed' }, origin);
  }
  t.match(decide({ method: 'OPTIONS', rawHeaders: [...preflight.slice(2), 'https://app.example'] }), {
    code: 'missing_token',
  });
  t.match(decide({ method: 'POST', rawHeaders: [...preflight, 'https://app.example'] }), { code: 'missing_token' });
  t.match(
    decide({ method: 'OPTIONS', rawHeaders: preflight.slice(0, 4) }),
    { code: 'missing_token' },
    'no Origin, no preflight',
  );
});

void t.test('the words of a refusal say what is to be changed', async (t) => {
  t.match(decide({ target: '/..', rawHeaders: GOOD }), {
    code: 'bad_request',
    message: 'Bad request: the path has a dot segment.',
    reason: 'the path has a dot segment',
  });
  t.match(decide({ target: CHAT, rawHeaders: ['Host', 'Evil.example:80'] }), {
    code: 'host_not_allowed',
    message: 'The host name "evil.example" is not served here. The operator can add it to listen.hosts.',
  });
  t.match(decide({ target: CHAT, rawHeaders: ['Host', 'a'.repeat(5_000)] }), {
    message: `The host name "${'a'.repeat(100)}" is not served here. The operator can add it to listen.hosts.`,
  });
});

void t.test('health', async (t) => {
  const open = { listen: { health: true } };
  const rawHeaders = ['Host', 'localhost', 'x-openclaw-scopes', 'operator.admin', 'User-Agent', 'kube-probe/1.0'];
  for (const method of ['GET', 'HEAD']) {
    for (const target of ['/health', '/healthz']) {
      const { about, release, ...forward } = passes({ method, target, rawHeaders }, open);
      const route = { method, template: target, scope: 'operator.read' };
      t.strictSame(forward, {
        kind: 'forward',
        route,
        headers: ['x-openclaw-scopes', '', 'traceparent', TRACEPARENT],
        hasBody: false,
        contentLength: 0,
        bodyLimit: 0,
        expectContinue: false,
        scopes: [],
        tools: undefined,
        answerHeaders: [],
      });
      t.match(about, { peer: '127.0.0.1', route });
      t.equal(about.caller, undefined);
      t.equal(release(), undefined, 'it took no room');
    }
  }
  const closed: readonly (readonly [method: string, target: string, code: string])[] = [
    ['POST', '/health', 'missing_token'],
    ['GET', '/health?x', 'missing_token'],
    ['GET', '/health/', 'missing_token'],
    ['GET', '/healthz/x', 'missing_token'],
    ['GET', '/Health', 'missing_token'],
    ['GET', '/ready', 'missing_token'],
    ['GET', '/healthz/../v1/models', 'bad_request'],
    ['GET', '/health%7a', 'missing_token'],
  ];
  for (const [method, target, code] of closed)
    t.match(decide({ method, target, rawHeaders }, open), { code }, `${method} ${target}`);
  t.match(decide({ method: 'GET', target: '/health', rawHeaders: ['Host', 'evil'] }, open), {
    code: 'host_not_allowed',
  });
  t.match(decide({ method: 'GET', target: '/health', rawHeaders: [...rawHeaders, 'Origin', 'null'] }, open), {
    code: 'origin_not_allowed',
  });
  const unaudited = decide(
    { method: 'GET', target: '/health', rawHeaders },
    { ...open, gate: { unaudited: () => true } },
  );
  t.match(unaudited, { kind: 'refuse', code: 'audit_unavailable', about: { peer: '127.0.0.1' } });
  t.match(decide({ method: 'GET', target: '/health', rawHeaders }), { code: 'missing_token' }, 'closed by default');
  t.match(decide({ method: 'GET', target: '/health', rawHeaders: GOOD }), { code: 'route_not_exposed' });
});

void t.test('what is forwarded', async (t) => {
  const rawHeaders = [
    ...GOOD,
    'Content-Type',
    'application/json',
    'Expect',
    '100-continue',
    'Connection',
    'x-a',
    'X-A',
    'b',
  ];
  t.match(
    passes({
      target: CHAT,
      rawHeaders: [...rawHeaders, 'Content-Length', '1000', 'x-openclaw-scopes', 'operator.admin'],
    }),
    {
      headers: [
        'Content-Type',
        'application/json',
        'x-openclaw-session-key',
        'w-RANDOM',
        'authorization',
        'Bearer gateway-secret',
        'x-openclaw-scopes',
        'operator.write',
      ],
      hasBody: true,
      contentLength: 1000,
      bodyLimit: 1000,
      expectContinue: true,
      scopes: ['operator.write'],
      tools: undefined,
    },
  );
  t.equal(passes({ target: CHAT, rawHeaders }).expectContinue, false, 'nothing to wait for without a body');
  t.match(passes({ target: CHAT, rawHeaders: [...GOOD, 'Transfer-Encoding', 'chunked'] }), {
    contentLength: undefined,
    hasBody: true,
  });
});

void t.test('body limits', async (t) => {
  const own = [{ method: 'POST', template: '/x', scope: 'operator.write', bodyLimit: 10 } as const];
  const wide = [{ method: 'POST', template: '/x', scope: 'operator.write', bodyLimit: 5000 } as const];
  t.equal(passes({ target: '/x', rawHeaders: GOOD }, { routes: own }).bodyLimit, 10);
  t.equal(
    passes({ target: '/x', rawHeaders: GOOD }, { routes: wide }).bodyLimit,
    1000,
    'a route cannot go beyond the limit of all',
  );
  t.match(decide({ target: '/x', rawHeaders: [...GOOD, 'Content-Length', '11'] }, { routes: own }), {
    code: 'body_too_large',
    message: 'The body may have at most 10 bytes.',
  });
});

void t.test('whose address it is', async (t) => {
  const auth = {
    mode: 'trusted-proxy',
    userHeader: 'x-user',
    requiredHeaders: [],
    clientAddress: '192.0.2.1',
  } as const;
  const rawHeaders = [...GOOD, 'X-Forwarded-For', '8.8.8.8, 9.9.9.9'];
  const forwardedFor = (peer: string | undefined, trustedProxies?: BlockList): string | undefined => {
    const { headers } = passes({ target: CHAT, peer, rawHeaders }, { auth, listen: { trustedProxies } });
    return headers[headers.indexOf('x-forwarded-for') + 1];
  };
  t.equal(forwardedFor('203.0.113.9'), '203.0.113.9');
  t.equal(forwardedFor('127.0.0.1'), '192.0.2.1');
  t.equal(forwardedFor(undefined), '192.0.2.1');
  t.equal(forwardedFor('127.0.0.1', TRUSTED), '9.9.9.9');
});

void t.test('a fault of a part is not a "no"', async (t) => {
  const config = testConfig({ callers });
  const gate = createGate({
    config,
    callers: {
      ...createCallerTable([]),
      authenticate: () => {
        throw new Error('cannot tell');
      },
    },
    authorize: createAuthorize(config, () => 'RANDOM'),
    presenter: createPresenter(config.gateway.auth),
    ...OPEN,
    now: () => NOW,
  });
  const facts = { method: 'POST', target: CHAT, httpVersion: '1.1', rawHeaders: GOOD, peer: undefined };
  t.throws(() => gate.decide(facts), { message: 'cannot tell' });
});

void t.test('what was let through is looked at again', async (t) => {
  const { about } = decide({ target: CHAT, rawHeaders: GOOD });
  const token = about.token as Token;
  const [writer] = callers.filter(({ name }) => name === about.caller) as [Caller];
  const recheck = (changed: readonly Caller[], endAtExpiry = true, starting = false, unaudited = false): unknown => {
    const config = { ...testConfig({ callers: changed }), stream: { heartbeat: 0, gatewayIdle: 0, endAtExpiry } };
    return createGate({
      config,
      callers: createCallerTable(changed),
      authorize: createAuthorize(config, () => 'RANDOM'),
      presenter: createPresenter(config.gateway.auth),
      ...OPEN,
      unaudited: () => unaudited,
      now: () => NOW,
    }).recheck(about, starting);
  };
  const expired = [{ ...writer, tokens: [{ ...token, expires: NOW }] }];
  t.equal(recheck([writer]), undefined);
  t.match(recheck([]), { code: 'invalid_token', reason: 'the token was revoked' });
  t.match(recheck([{ ...writer, tokens: [] }]), { code: 'invalid_token' });
  t.match(recheck([{ ...writer, name: 'another' }]), { code: 'invalid_token' }, 'the token of somebody else by now');
  t.match(recheck(expired), { code: 'expired_token' });
  t.equal(recheck(expired, false), undefined, 'endAtExpiry: false');
  t.match(recheck(expired, false, true), { code: 'expired_token' }, 'but nothing is begun any more');
  const away = new BlockList();
  away.addSubnet('10.0.0.0', 8, 'ipv4');
  t.match(recheck([{ ...writer, from: away }]), {
    code: 'invalid_token',
    reason: 'writer may not call from 127.0.0.1',
  });
  const lesser = expired.map((one): Caller => ({ ...one, scopes: ['operator.read'] }));
  t.match(recheck(lesser, false), { code: 'insufficient_scope' }, 'expiry alone is let pass');
  t.match(
    recheck(
      expired.map((one) => ({ ...one, from: away })),
      false,
    ),
    { code: 'invalid_token' },
  );
  t.match(recheck([{ ...writer, scopes: ['operator.read'] }]), { code: 'insufficient_scope', scope: 'operator.write' });
  t.match(recheck([{ ...writer, scopes: ['operator.read'], tools: ['x'] }]), { code: 'insufficient_scope' });

  t.match(recheck([writer], true, true, true), { code: 'audit_unavailable' });
  t.match(recheck([], true, true, true), { code: 'invalid_token' }, 'a revocation is told first');
  t.equal(recheck([writer], true, false, true), undefined, 'what runs is not broken off');
});

void t.test('a caller of another shim', async (t) => {
  const certificates = [{ uri: 'spiffe://cluster/laptop' }];
  const shim: Caller = {
    name: 'laptop',
    tokens: [],
    certificates,
    onBehalf: true,
    scopes: ['operator.write'],
    allowHeaders: [],
    onForbiddenHeader: 'refuse',
  };
  const certificate: ClientCertificate = {
    fingerprint: 'f'.repeat(64),
    id: 'cert:f',
    uris: ['spiffe://cluster/laptop'],
    dnsNames: [],
    clientAuth: true,
    notBefore: NOW - 1,
    notAfter: NOW + 1,
    chain: [],
    verifiedBy: undefined,
  };
  const headers = (scopes: string) => ['Host', 'localhost', 'x-auth-shim-caller', 'web', 'x-auth-shim-scopes', scopes];
  const gateOf = (changed: readonly Caller[], { endAtExpiry = true, now = NOW, trusted = true } = {}) => {
    const config = { ...testConfig({ callers: changed }), stream: { heartbeat: 0, gatewayIdle: 0, endAtExpiry } };
    return createGate({
      config,
      callers: createCallerTable(changed, { credentials: 'all', trusts: () => trusted, required: false }),
      authorize: createAuthorize(config, () => 'RANDOM'),
      presenter: createPresenter(config.gateway.auth),
      ...OPEN,
      // A certificate is no guess: its failures are not counted.
      limiter: { ...OPEN.limiter, failedLogin: () => 60 },
      now: () => now,
    });
  };
  const ask = (rawHeaders: readonly string[], changed: readonly Caller[] = [shim], shown = certificate) =>
    gateOf(changed).decide({
      method: 'POST',
      target: CHAT,
      httpVersion: '1.1',
      rawHeaders,
      peer: '127.0.0.1',
      certificate: shown,
    }) as Decision;
  const sent = (decision: Decision): readonly string[] => (decision as Forward).headers;

  const passed = ask(headers('operator.admin'));
  t.match(passed, { kind: 'forward', about: { caller: 'laptop/web', scopes: ['operator.write'], certificate } });
  t.equal(sent(passed)[sent(passed).indexOf('x-openclaw-scopes') + 1], 'operator.write');
  t.notOk(sent(passed).some((part) => part.includes('auth-shim')));
  t.match(ask(headers('operator.read')), {
    code: 'insufficient_scope',
    about: { caller: 'laptop/web', certificate: { id: 'cert:f' } },
  });
  t.match(ask(['Host', 'localhost']), { code: 'bad_request', about: { caller: 'laptop' } });
  t.match(ask([...headers('operator.write'), 'x-openclaw-model', 'a/b']), { code: 'header_not_allowed' });
  t.match(ask([...headers('operator.write'), ...GOOD.slice(2)], [shim, ...callers]), { code: 'invalid_certificate' });
  const { onBehalf: _, ...ordinary } = shim;
  t.match(ask(headers('operator.write'), [ordinary]), { code: 'header_not_allowed', about: { caller: 'laptop' } });
  t.match(ask(headers('operator.write'), [shim], { ...certificate, uris: [] }), { code: 'missing_token' });

  const { about } = passed;
  const recheck = (changed: readonly Caller[], more = {}, starting = false) =>
    gateOf(changed, more).recheck(about, starting);
  t.equal(recheck([shim]), undefined);
  t.equal(recheck([shim], {}, true), undefined);
  t.match(recheck([{ ...shim, scopes: ['operator.read'] }]), { code: 'insufficient_scope' }, 'the ceiling is lower');
  t.match(recheck([ordinary]), { code: 'invalid_token' }, 'it may not call for others any more');
  t.match(recheck([]), { code: 'missing_token' });
  t.match(recheck([shim], { trusted: false }), { code: 'invalid_certificate' });
  t.match(recheck([shim], { now: NOW + 1 }), { code: 'expired_certificate' });
  t.equal(recheck([shim], { now: NOW + 1, endAtExpiry: false }), undefined);
  t.match(recheck([shim], { now: NOW + 1, endAtExpiry: false }, true), { code: 'expired_certificate' });
});

void t.test('an invoke goes on with the tools that it was checked against, and with no others', async (t) => {
  const hash = hashToken(WRITER);
  const token = { hash, id: hash.slice(0, 12) };
  const route: Route = { method: 'POST', template: '/tools/invoke', scope: 'operator.admin' };
  const recheck = (more: Partial<Caller>, tools?: readonly string[]): unknown => {
    const changed = [caller('writer', WRITER, [], more)];
    const config = testConfig({ callers: changed });
    const gate = createGate({
      config,
      callers: createCallerTable(changed),
      authorize: createAuthorize(config, () => 'RANDOM'),
      presenter: createPresenter(config.gateway.auth),
      ...OPEN,
      now: () => NOW,
    });
    return gate.recheck({ caller: 'writer', token, route, ...(tools && { tools }) }, false);
  };
  t.equal(recheck({ tools: ['a', 'b'] }, ['a']), undefined);
  t.match(recheck({ tools: ['b'] }, ['a']), { code: 'insufficient_scope' });
  t.match(recheck({ scopes: ['operator.admin'] }, ['a']), { code: 'insufficient_scope' });
  t.equal(recheck({ scopes: ['operator.admin'] }), undefined);
  t.match(
    recheck({ scopes: ['operator.admin'], tools: ['a'] }),
    { code: 'insufficient_scope' },
    'held to tools by now',
  );
  t.match(recheck({ tools: ['a'] }), { code: 'insufficient_scope' });
});

void t.test('from elsewhere nobody learns that a token is one', async (t) => {
  const from = new BlockList();
  from.addSubnet('10.0.0.0', 8, 'ipv4');
  const hash = hashToken(WRITER);
  for (const time of [{}, { expires: NOW }, { notBefore: NOW + 1 }]) {
    const tokens = [{ hash, id: hash.slice(0, 12), ...time }];
    const changed = [{ ...caller('writer', WRITER, ['operator.write']), tokens, from }];
    t.match(decide({ target: CHAT, rawHeaders: GOOD }, { callers: changed }), { code: 'invalid_token' });
  }
});

void t.test('from elsewhere a certificate is none', async (t) => {
  const from = new BlockList();
  from.addSubnet('10.0.0.0', 8, 'ipv4');
  const named: Caller = { ...caller('laptop', WRITER, ['operator.write']), tokens: [], from };
  const table = (answer: Answer) => ({ ...createCallerTable([]), authenticate: () => answer });
  const answers: Answer = { kind: 'caller', caller: named, token: undefined };
  const facts = { target: CHAT, rawHeaders: ['Host', 'localhost'], peer: '192.0.2.7' };
  t.match(decide(facts, { gate: { callers: table(answers) } }), {
    code: 'invalid_certificate',
    reason: 'laptop may not call from 192.0.2.7',
  });
  t.match(decide({ ...facts, peer: undefined }, { gate: { callers: table(answers) } }), {
    code: 'invalid_certificate',
    reason: 'laptop may not call from a unix socket',
  });
  t.equal(decide({ ...facts, peer: '10.0.0.1' }, { gate: { callers: table(answers) } }).kind, 'forward');
});

void t.test('failed logins are counted, by peer and token', async (t) => {
  const counted: unknown[] = [];
  const silent: unknown[] = [];
  const limiter: GateParts['limiter'] = {
    ...OPEN.limiter,
    failedLogin: (...args) => {
      counted.push(args);
      return 60;
    },
    unanswered: (peer) => silent.push(peer),
  };
  const login = (answer: Answer | Promise<Answer>): Promise<Decision> | Decision =>
    ask(
      { target: CHAT, rawHeaders: GOOD, peer: '192.0.2.7' },
      { gate: { limiter, callers: { ...createCallerTable([]), authenticate: () => answer } } },
    );
  const wrong = { ...refuse('invalid_token', { reason: 'unknown token' }), tokenId: 'f00' };
  const tooMany = {
    kind: 'refuse',
    code: 'rate_limited',
    message: 'Too many failed logins.',
    retryAfter: 60,
    reason: 'unknown token',
  };
  const { about, ...told } = login(wrong) as Decision & { kind: 'refuse' };
  t.strictSame(told, tooMany, 'the log keeps the reason');
  t.match(about, { peer: '192.0.2.7' });
  const later = login(Promise.resolve(wrong));
  t.match(await later, tooMany, 'also where somebody had to be asked first');
  t.notOk('reason' in (login(refuse('expired_token')) as object));
  t.strictSame(counted.splice(0), [
    ['192.0.2.7', 'f00'],
    ['192.0.2.7', 'f00'],
    ['192.0.2.7', undefined],
  ]);
  t.strictSame(silent, []);

  // A token that is used from elsewhere is counted like any other that is wrong, and so are those who only guess at it.
  const from = new BlockList();
  from.addSubnet('10.0.0.0', 8, 'ipv4');
  const [, writer] = callers as [Caller, Caller];
  const token = writer.tokens[0] as Token;
  t.match(login({ kind: 'caller', caller: { ...writer, from }, token }), { ...tooMany, reason: /may not call from/ });
  t.strictSame(counted.splice(0), [['192.0.2.7', token.id]]);

  for (const code of ['missing_token', 'invalid_certificate', 'expired_certificate', 'identity_unavailable'] as const)
    t.match(login(refuse(code)), { code }, 'nothing was guessed');
  t.match(login({ ...refuse('identity_unavailable'), unanswered: true }), { code: 'identity_unavailable' });
  t.equal((login({ kind: 'caller', caller: writer, token }) as Decision).kind, 'forward', 'whoever is right passes');
  t.strictSame(counted, []);
  t.strictSame(silent, ['192.0.2.7']);
});

void t.test('whoever fails too often asks nobody', async (t) => {
  let limited: Shown['limited'];
  const table = createCallerTable(callers);
  const failsTooOften = (peer: string | undefined) => (peer === '192.0.2.7' ? 'failed' : undefined);
  const gate: Partial<GateParts> = {
    limiter: { ...OPEN.limiter, failsTooOften },
    callers: {
      ...table,
      authenticate: (shown, now) => {
        ({ limited } = shown);
        return table.authenticate(shown, now);
      },
    },
  };
  passes({ target: CHAT, rawHeaders: GOOD, peer: '192.0.2.7' }, { gate });
  t.equal(limited?.(), 'failed');
  passes({ target: CHAT, rawHeaders: GOOD, peer: '192.0.2.8' }, { gate });
  t.equal(limited?.(), undefined);
});

void t.test('admission: the caller’s own limits, and what they say', async (t) => {
  const asked: unknown[] = [];
  const admitting = (admission: ReturnType<GateParts['limiter']['admit']>): Partial<GateParts> => ({
    limiter: {
      ...OPEN.limiter,
      admit: (...args) => {
        asked.push(args);
        return admission;
      },
    },
  });
  const limits = { streams: 2 };
  const changed = [caller('writer', WRITER, ['operator.write'], { limits })];
  const facts = { target: CHAT, rawHeaders: GOOD };
  const released: string[] = [];
  const release = (): void => void released.push('x');
  const room = { kind: 'admitted', headers: ['ratelimit-remaining', '1'], release } as const;
  const passed = passes(facts, { callers: changed, gate: admitting(room) });
  t.strictSame(passed.answerHeaders, ['ratelimit-remaining', '1']);
  passed.release();
  t.strictSame(released, ['x']);
  passes(facts, { gate: admitting(room) });
  const full = refuse('too_many_streams', { message: 'm', retryAfter: 1 });
  const refused = { ...full, about: { caller: 'writer', route: { template: CHAT } } };
  t.match(decide(facts, { gate: admitting(full) }), refused);
  t.match(await ask(facts, { gate: admitting(Promise.resolve(full)) }), refused);
  t.strictSame(asked.splice(0), [
    ['writer', limits],
    ['writer', {}],
    ['writer', {}],
    ['writer', {}],
  ]);

  const gate = { ...admitting(room), unaudited: () => true };
  t.match(decide(facts, { gate }), { kind: 'refuse', code: 'audit_unavailable', about: { caller: 'writer' } });
  t.strictSame(asked, [], 'what is not let through takes no room');
});

void t.test('what the audit learns of a request', async (t) => {
  const chooser = caller('writer', WRITER, ['operator.write'], {
    agent: 'main',
    allowHeaders: ['x-openclaw-session-key'],
    onForbiddenHeader: 'drop',
  });
  const rawHeaders = [...GOOD, 'x-openclaw-session-key', 'agent:main:1', 'x-openclaw-model', 'm'];
  t.match(passes({ target: CHAT, rawHeaders }, { callers: [chooser] }).about, {
    caller: 'writer',
    scopes: ['operator.write'],
    agent: 'main',
    sessionKey: 'agent:main:1',
    dropped: ['x-openclaw-model'],
  });
  const { agent, sessionKey } = passes({ target: CHAT, rawHeaders: GOOD }).about;
  t.strictSame([agent, sessionKey], [undefined, 'w-RANDOM']);
  const { about: plain } = passes({ target: '/v1/models', method: 'GET', rawHeaders: ['Host', 'localhost', 'Authorization', `Bearer ${READER}`] }); // prettier-ignore
  t.strictSame([plain.agent, plain.sessionKey, plain.dropped], [undefined, undefined, []]);
  for (const key of ['onBehalf', 'assertion', 'certificate', 'wouldRefuse', 'tools', 'origin', 'socket'])
    t.notOk(key in plain, `nothing is said of ${key}`);

  const reported = caller('writer', WRITER, [], { reportOnlyUntil: NOW + 1 });
  t.equal(passes({ target: CHAT, rawHeaders: GOOD }, { callers: [reported] }).about.wouldRefuse, 'insufficient_scope');
  const tooled = caller('writer', WRITER, [], { tools: ['a'] });
  t.strictSame(passes({ target: '/tools/invoke', rawHeaders: GOOD }, { callers: [tooled] }).about.tools, ['a']);
  const assertion = { hash: 'f'.repeat(64), id: 'f00', issuer: 'https://id.example' } as VerifiedToken;
  const answer: Answer = { kind: 'caller', caller: chooser, token: undefined, assertion };
  const table = { ...createCallerTable([]), authenticate: () => answer };
  t.equal(passes({ target: CHAT, rawHeaders: GOOD }, { gate: { callers: table } }).about.assertion, assertion);
});

void t.test('the trace of a caller goes on with its state; another’s state does not', async (t) => {
  const state = ['TraceState', 'a=1'];
  const sent = (traceparent: string): readonly string[] =>
    passes({ target: CHAT, rawHeaders: [...GOOD, 'Traceparent', traceparent, ...state] }).headers;
  const theirs = `00-${'c'.repeat(32)}-${'d'.repeat(16)}-01`;
  t.strictSame(sent(theirs).slice(0, 2), state);
  t.strictSame(sent(theirs).slice(-2), ['traceparent', `00-${'c'.repeat(32)}-${'b'.repeat(16)}-01`]);
  t.notOk(sent('rubbish').includes('TraceState'));
  t.strictSame(sent('rubbish').slice(-2), ['traceparent', TRACEPARENT]);
});

const METADATA = '/.well-known/oauth-protected-resource';

void t.test('where the metadata of the resource is told', async (t) => {
  const open = { listen: { resourceMetadata: {} } };
  const rawHeaders = ['Host', 'LOCALHOST:80'];
  const url = `http://LOCALHOST:80${METADATA}`;
  for (const method of ['GET', 'HEAD']) {
    t.match(decide({ method, target: METADATA, rawHeaders }, open), {
      kind: 'metadata',
      body: '{"resource":"http://LOCALHOST:80","bearer_methods_supported":["header"]}',
      about: { peer: '127.0.0.1', route: { method, template: METADATA, scope: 'operator.read' } },
    });
  }
  t.match(decide({ method: 'GET', target: METADATA, rawHeaders }), { code: 'missing_token' }, 'nowhere by default');
  t.match(decide({ method: 'POST', target: METADATA, rawHeaders }, open), { code: 'missing_token' });
  const upgrade = { early: false };
  t.equal(decide({ method: 'GET', target: METADATA, rawHeaders, upgrade }, open).kind, 'refuse', 'not by an upgrade');
  t.match(decide({ method: 'GET', target: METADATA, rawHeaders: ['Host', 'evil.example'] }, open), {
    code: 'host_not_allowed',
  });
  t.match(decide({ target: CHAT, rawHeaders }, open), { code: 'missing_token', resourceMetadata: url });
  const reader = [...rawHeaders, 'Authorization', `Bearer ${READER}`];
  t.match(decide({ target: CHAT, rawHeaders: reader }, open), { code: 'insufficient_scope', resourceMetadata: url });
  t.notOk('resourceMetadata' in decide({ target: CHAT, rawHeaders }));
});

void t.test('a missing scope is told as its provider calls it', async (t) => {
  const { issuers } = await issuersOf(`
issuers:
  - name: corp
    issuer: https://id.example
    audience: shim
    jwksUri: https://id.example/keys
    scopes: { claim: scope, map: { runs:read: [operator.read], runs:write: [operator.write] }, ceiling: [operator.write] }
`);
  const scopeFor = (name: string, target: string): unknown => {
    const answer: Answer = {
      kind: 'caller',
      caller: { ...(callers[0] as Caller), name, scopes: [] },
      token: undefined,
    };
    const gate = { callers: { ...createCallerTable([]), authenticate: () => answer } };
    const decision = decide({ target, rawHeaders: GOOD }, { issuers, gate });
    t.match(decision, { code: 'insufficient_scope' });
    return 'scope' in decision ? decision.scope : 'none';
  };
  t.equal(scopeFor('corp:ada', CHAT), 'runs:write');
  t.equal(scopeFor('corp:ada', '/tools/invoke'), 'none', 'one that nobody there can get is not asked for');
  t.equal(scopeFor('ada', CHAT), 'operator.write', 'who has no provider has no other name');
});

void t.test('a shim that asks for its callers is told of health what they would meet', async (t) => {
  const open = { listen: { health: true } };
  const forOthers = ['x-auth-shim-caller', 'web', 'x-auth-shim-scopes', 'operator.read'];
  const health = { method: 'GET', target: '/health' };
  t.match(decide({ ...health, rawHeaders: ['Host', 'localhost', ...forOthers] }, open), { code: 'missing_token' });
  t.match(decide({ ...health, rawHeaders: [...GOOD, ...forOthers] }, open), { code: 'header_not_allowed' });
  const shim = [caller('laptop', WRITER, ['operator.read'], { onBehalf: true })];
  const passed = passes({ ...health, rawHeaders: [...GOOD, ...forOthers] }, { ...open, callers: shim });
  t.strictSame(passed.headers, ['x-openclaw-scopes', '', 'traceparent', TRACEPARENT]);
  t.strictSame(passed.scopes, []);
});
