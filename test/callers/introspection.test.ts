/** Opaque tokens of a real provider, and endpoints that answer as they should not. */
import { once } from 'node:events';
import type { RequestListener, ServerResponse } from 'node:http';
import { setImmediate } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { callerFrom } from '../../src/callers/claims.ts';
import {
  createIntrospector,
  type Introspected,
  type IntrospectedToken,
  type IntrospectionDeps,
  type Introspector,
} from '../../src/callers/introspection.ts';
import type { Unauthenticated } from '../../src/callers/table.ts';
import { hashToken } from '../../src/callers/token.ts';
import type { IntrospectionConfig } from '../../src/config/introspection.ts';
import { refuse } from '../../src/errors.ts';
import type { RawToken } from '../../src/types.ts';
import { makeAuthority } from '../helpers/certificates.ts';
import { CLIENT, makeKey, MISBEHAVIOURS, startEndpoint, startProvider, TLS_CLIENT } from '../helpers/provider.ts';
import { testLog, type TestLog } from '../helpers/redis.ts';

const SECOND = 1_000;
const PATH = '/token/introspection';
const KEY = await makeKey('r1');

function configOf(endpoint: string, more: Partial<IntrospectionConfig> = {}): IntrospectionConfig {
  return {
    name: 'opaque',
    endpoint,
    clientId: CLIENT.id,
    client: { secret: CLIENT.secret },
    audience: ['urn:opaque'],
    cache: 60 * SECOND,
    scopes: {
      claim: ['scope'],
      map: new Map([['runs:read', ['operator.read']]]),
      ceiling: ['operator.write'],
    },
    template: ['', ['client_id'], ''],
    match: [],
    policy: { allowHeaders: [], onForbiddenHeader: 'drop' },
    ...more,
  };
}

type Found = Introspected | Unauthenticated;

interface Checker {
  readonly introspector: Introspector;
  readonly clock: { now: number };
  readonly log: TestLog;
  readonly answer: (token: string) => Promise<Found>;
  /** `+ caller`, or the code. */
  readonly check: (token: string) => Promise<string>;
  /** The same, or `later`. */
  readonly checkNow: (token: string) => string;
  /** Asks for a running request until what it is told has come, without letting time pass. */
  readonly findUntil: (token: IntrospectedToken, told: string) => Promise<Found>;
}

const nameCaller: IntrospectionDeps['callerFrom'] = (rules, claims) => {
  const named = callerFrom(rules, claims);
  return 'fault' in named ? refuse('invalid_token', { reason: named.fault }) : named.caller;
};

function words(answer: Found): string {
  return answer.kind === 'caller' ? `+ ${answer.caller.name}` : answer.code;
}

async function checker(t: Test, config: IntrospectionConfig): Promise<Checker> {
  const clock = { now: Date.now() };
  const log = testLog();
  const introspector = await createIntrospector(config, {
    now: () => clock.now,
    logger: log.logger as IntrospectionDeps['logger'],
    callerFrom: nameCaller,
  });
  t.teardown(() => introspector.close());
  const ask = (token: string): ReturnType<Introspector['verify']> =>
    introspector.verify(token as RawToken, hashToken(token as RawToken), clock.now);
  return {
    introspector,
    clock,
    log,
    answer: async (token) => ask(token),
    check: async (token) => words(await ask(token)),
    checkNow(token) {
      const answer = ask(token);
      return answer instanceof Promise ? 'later' : words(answer);
    },
    async findUntil(token, told) {
      for (;;) {
        const answer = introspector.find(token, clock.now);
        if (words(answer) === told) return answer;
        await setImmediate();
      }
    },
  };
}

/** An endpoint that says what the tests want of any token. */
async function startAnswers(t: Test, answer: object, more: Partial<IntrospectionConfig> = {}) {
  const said: { now: object } = { now: answer };
  const endpoint = await startEndpoint(t, (_, response) => json(response, said.now));
  const config = configOf(`${endpoint.url}/introspect`, more);
  return { endpoint, said, config, ...(await checker(t, config)) };
}

function json(response: ServerResponse, body: object, type = 'application/json'): void {
  response.writeHead(200, { 'content-type': type }).end(JSON.stringify(body));
}

const GOOD = { active: true, aud: 'urn:opaque', client_id: 'ci', scope: 'runs:read runs:write' };
const token = (number: number | string): string => `opaque-token-of-a-test-${number}`;

void t.test('a token of a real provider', async (t) => {
  const provider = await startProvider(t, [KEY]);
  const { introspector, answer, check, checkNow, clock, findUntil } = await checker(t, configOf(provider.url + PATH));
  const raw = await provider.token('urn:opaque');
  t.notMatch(raw, /\./);
  t.equal(checkNow(raw), 'later');
  t.equal(await check(raw), '+ opaque:agent');
  t.equal(checkNow(raw), '+ opaque:agent', 'at once');
  t.equal(provider.hits(PATH), 1);
  const known = (await answer(raw)) as Introspected;
  const hash = hashToken(raw as RawToken);
  const { exp, iat } = known.token.claims as { exp: number; iat: number };
  t.match(known, {
    caller: { scopes: ['operator.read'] },
    token: { hash, id: hash.slice(0, 12), expires: exp * SECOND, notBefore: iat * SECOND - 30 * SECOND },
  });
  t.notMatch(JSON.stringify(known), raw, 'no log can have it');

  t.equal(await check(await provider.token('urn:opaque-of-others')), 'invalid_token', 'another audience');
  t.equal(await check('nothing-that-the-provider-knows'), 'invalid_token');
  t.equal(provider.hits(PATH), 3);

  clock.now = exp * SECOND;
  t.match(await answer(raw), { code: 'expired_token', caller: { name: 'opaque:agent' } }, 'the provider says active');
  t.match(introspector.find(known.token, clock.now), { code: 'expired_token', caller: { name: 'opaque:agent' } });
  clock.now = iat * SECOND - 31 * SECOND;
  t.match(await answer(raw), { code: 'not_yet_valid_token', caller: { name: 'opaque:agent' } });
  clock.now = Date.now();

  const revoked = await provider.ask('/token/revocation', raw);
  t.equal(revoked.status, 200);
  clock.now += 55 * SECOND;
  const again = await checker(t, configOf(provider.url + PATH));
  t.equal(await again.check(raw), 'invalid_token', 'anew');
  clock.now += 6 * SECOND;
  t.match(await findUntil(known.token, 'invalid_token'), { reason: 'a token of opaque: it is not active' });
  t.equal(checkNow(raw), 'invalid_token');
});

void t.test('a provider that does not know the client', async (t) => {
  const provider = await startProvider(t, [KEY]);
  const client = { secret: 'another-secret' };
  const { answer, check, log } = await checker(t, configOf(provider.url + PATH, { client }));
  const raw = await provider.token('urn:opaque');
  t.match(await answer(raw), { code: 'identity_unavailable', reason: /refuses the client of the shim \(401\)/ });
  t.equal(await check(raw), 'identity_unavailable', 'it is asked again');
  t.equal(provider.hits(PATH), 2);
  t.match(log.lines, [{ level: 'warn', from: 'introspection opaque', reason: /clientId/ }]);
  t.notMatch(JSON.stringify(log.lines), new RegExp(`another-secret|${raw}`));
});

void t.test('a client with a certificate (RFC 8705)', async (t) => {
  const authority = await makeAuthority();
  const provider = await startProvider(t, [KEY]);
  const own = await authority.issue({ name: TLS_CLIENT });
  const pair = await authority.issue({ ips: ['127.0.0.1'] });
  const clientCa = authority.cert;
  const secure = await startEndpoint(t, (...both) => provider.answer(...both), { ...pair, clientCa });
  const raw = await provider.token('urn:opaque');
  const by = (more: Partial<IntrospectionConfig>): Promise<Checker> =>
    checker(t, configOf(secure.url + PATH, { ca: authority.cert, clientId: TLS_CLIENT, ...more }));

  t.equal(await (await by({ client: own })).check(raw), '+ opaque:agent');
  t.equal(secure.requests[0]?.headers.authorization, undefined);
  const other = await authority.issue({ name: 'somebody' });
  t.match(await (await by({ client: other })).answer(raw), { code: 'identity_unavailable', reason: /\(401\)/ });
  const stranger = await makeAuthority();
  t.match(await (await by({ client: await stranger.issue({ name: TLS_CLIENT }) })).answer(raw), { reason: /\(401\)/ });
  const before = secure.hits(PATH);
  t.equal(await (await by({ client: own, ca: stranger.cert })).check(raw), 'identity_unavailable');
  t.equal(secure.hits(PATH), before, 'an endpoint that nobody vouches for gets no token');
});

void t.test('what is asked', async (t) => {
  const bodies: string[] = [];
  const endpoint = await startEndpoint(t, async (request, response) => {
    bodies.push((await request.toArray()).join(''));
    json(response, GOOD);
  });
  const { check } = await checker(t, configOf(`${endpoint.url}/introspect`));
  t.equal(await check('a token with +/= in it'), '+ opaque:ci');
  const [request] = endpoint.requests;
  t.match(request, { method: 'POST', url: '/introspect' });
  t.match(request?.headers, {
    accept: 'application/json',
    'content-type': /^application\/x-www-form-urlencoded/,
    authorization: `Basic ${btoa(`${CLIENT.id}:${CLIENT.secret.replaceAll('-', '%2D')}`)}`,
  });
  t.strictSame(Object.fromEntries(new URLSearchParams(bodies[0])), {
    token: 'a token with +/= in it',
    token_type_hint: 'access_token',
  });
});

void t.test('what an answer may say', async (t) => {
  const { said, clock, answer } = await startAnswers(t, GOOD, { issuer: 'https://id.example' });
  const time = Math.floor(clock.now / SECOND);
  const is = (more: object): object => ({ ...GOOD, ...more });
  const cases: Readonly<Record<string, readonly [object, string, RegExp?]>> = {
    'the least': [GOOD, '+ opaque:ci'],
    'one audience of many': [is({ aud: ['a', 'urn:opaque'] }), '+ opaque:ci'],
    'its issuer': [is({ iss: 'https://id.example' }), '+ opaque:ci'],
    'a bearer token': [is({ token_type: 'Bearer' }), '+ opaque:ci'],
    'a bearer token, in lower case': [is({ token_type: 'bearer' }), '+ opaque:ci'],
    'times that are right': [is({ exp: time + 60, nbf: time, iat: time }), '+ opaque:ci'],
    'times within the tolerance': [is({ nbf: time + 30, iat: time + 30 }), '+ opaque:ci'],
    'active: false': [{ active: false }, 'invalid_token', /not active/],
    'active: false, with all the rest': [is({ active: false }), 'invalid_token', /not active/],
    'no aud': [is({ aud: undefined }), 'invalid_token', /missing required "aud"/],
    'another aud': [is({ aud: 'urn:opaque2' }), 'invalid_token', /unexpected "aud"/],
    'aud of others': [is({ aud: ['a', 'b'] }), 'invalid_token', /"aud"/],
    'aud as an object': [is({ aud: { 'urn:opaque': true } }), 'invalid_token', /"aud"/],
    'aud as a nested list': [is({ aud: [['urn:opaque']] }), 'invalid_token', /"aud"/],
    'another issuer': [is({ iss: 'https://id.example/' }), 'invalid_token', /"iss"/],
    'another type': [is({ token_type: 'DPoP' }), 'invalid_token', /no bearer/],
    'a type that is no text': [is({ token_type: ['Bearer'] }), 'invalid_token', /no bearer/],
    expired: [is({ exp: time - 1 }), 'expired_token'],
    'just expired': [is({ exp: Math.floor(time) }), 'expired_token'],
    'long expired': [is({ exp: 0 }), 'expired_token'],
    'nbf in the future': [is({ nbf: time + 32 }), 'not_yet_valid_token'],
    'iat in the future': [is({ iat: time + 32 }), 'not_yet_valid_token'],
    'exp as a text': [is({ exp: `${time + 60}` }), 'invalid_token', /"exp"/],
    'exp as null': [is({ exp: null }), 'invalid_token', /"exp"/],
    'exp of a far time': [is({ exp: 1e15 }), 'invalid_token', /exp is no time/],
    'nbf as a text': [is({ nbf: '0' }), 'invalid_token', /"nbf"/],
    'iat as a text': [is({ iat: `${time}` }), 'invalid_token', /"iat"/],
    'nobody who is named': [is({ client_id: undefined }), 'invalid_token', /its claim client_id is missing/],
    'expired, and of nobody': [is({ exp: 0, client_id: undefined }), 'invalid_token'],
  };
  clock.now = time * SECOND;
  for (const [name, [says, expected, reason]] of Object.entries(cases)) {
    said.now = says;
    const found = await answer(token(name));
    t.equal(words(found), expected, name);
    if (reason) t.match((found as Unauthenticated).reason, reason, name);
    if (/expired_|not_yet/.test(expected)) t.match(found, { caller: { name: 'opaque:ci' } }, name);
  }
});

/** Answers that say nothing about a token. */
const OUTAGES: Readonly<Record<string, readonly [RequestListener, RegExp]>> = {
  ...Object.fromEntries(Object.entries(MISBEHAVIOURS).map(([name, answer]) => [name, [answer, /./] as const])),
  'active as a text': [(_, response) => json(response, { ...GOOD, active: 'true' }), /"active" property/],
  'active as a number': [(_, response) => json(response, { ...GOOD, active: 1 }), /"active" property/],
  'no active': [(_, response) => json(response, { ...GOOD, active: undefined }), /"active" property/],
  'active twice': [(_, response) => void response.end('{"active":false,"active":true}'), /duplicate key/],
  'a JWT': [(_, response) => json(response, GOOD, 'application/token-introspection+jwt'), /a JWT, which is not/],
  'another JWT': [(_, response) => json(response, GOOD, 'Application/JWT; charset=utf-8'), /a JWT, which is not/],
  '10 MB that begin well': [(_, response) => json(response, { ...GOOD, padding: 'x'.repeat(10_000_000) }), /size/],
  'status 201': [(_, response) => void response.writeHead(201).end(JSON.stringify(GOOD)), /201/],
  'status 400 about the client': [
    (_, response) => void response.writeHead(400).end('{"error":"invalid_client"}'),
    /the answer is 400/,
  ],
  'a challenge': [
    (_, response) => void response.writeHead(401, { 'www-authenticate': 'Basic' }).end('{"error":"invalid_client"}'),
    /refuses the client/,
  ],
  'status 403': [(_, response) => void response.writeHead(403).end('{"active":true}'), /403/],
  'status 204': [(_, response) => void response.writeHead(204).end(), /204/],
};

void t.test('what says nothing about a token', async (t) => {
  const { endpoint, answer, log } = await startAnswers(t, GOOD);
  for (const [name, [listener, reason]] of Object.entries(OUTAGES)) {
    endpoint.answer = listener;
    const found = await answer(token(name));
    t.match(found, { kind: 'refuse', code: 'identity_unavailable', tokenId: /^[0-9a-f]{12}$/, reason }, name);
    t.notMatch((found as Unauthenticated).reason, /secret-in-a-page|opaque-token/, name);
  }
  t.equal(endpoint.hits('/elsewhere'), 0, 'no redirect is followed');
  await endpoint.stop();
  t.match(await answer(token('stopped')), { code: 'identity_unavailable', reason: /ECONNREFUSED/ });
  t.equal(log.lines.length, 1, 'one word about it');
});

void t.test('plaintext beyond loopback', async (t) => {
  const { answer } = await checker(t, configOf('http://id.example/introspect'));
  t.match(await answer(token(1)), { code: 'identity_unavailable', reason: /must be https/ });
});

void t.test('an endpoint that does not answer', async (t) => {
  const { endpoint, answer } = await startAnswers(t, GOOD);
  endpoint.answer = () => undefined;
  const found = await answer(token(1));
  t.match(found, { code: 'identity_unavailable', reason: /no answer within 5000 ms/ });
});

void t.test('an outage is told once, and its end', async (t) => {
  const { introspector, endpoint, check, checkNow, clock, log } = await startAnswers(t, GOOD);
  const good = endpoint.answer;
  const bad: RequestListener = (_, response) => void response.writeHead(500).end();
  t.strictSame(introspector.state(), { heardMs: undefined, failing: false });
  t.equal(await check(token('known')), '+ opaque:ci');
  endpoint.answer = bad;
  for (let i = 0; i < 20; i += 1) t.equal(await check(token(i)), 'identity_unavailable');
  t.equal(checkNow(token('known')), '+ opaque:ci', 'what is known is used');
  t.match(log.lines, [{ level: 'warn', from: 'introspection opaque', reason: 'the answer is 500' }]);
  const heardMs = clock.now;
  t.strictSame(introspector.state(), { heardMs, failing: true });
  clock.now += 1;
  endpoint.answer = good;
  t.equal(await check(token(0)), '+ opaque:ci', 'an outage is not remembered');
  t.strictSame(introspector.state(), { heardMs: heardMs + 1, failing: false });
  t.equal(log.lines.length, 2);
  t.match(log.lines[1], { level: 'info' });
  for (let i = 0; i < 20; i += 1) {
    endpoint.answer = i % 2 ? good : bad;
    await check(token(`flapping ${i}`));
  }
  t.equal(log.lines.length, 2, 'not with each request of an endpoint that wavers');
  clock.now += 60 * SECOND;
  endpoint.answer = bad;
  t.equal(await check(token('known')), 'identity_unavailable', 'what is too old is not');
  t.match(log.lines[2], { level: 'warn' });
});

void t.test('an answer is good for as long as it is kept, and not longer than the token', async (t) => {
  const { endpoint, said, clock, check, checkNow } = await startAnswers(t, GOOD);
  const start = Math.ceil(clock.now / SECOND) * SECOND;
  clock.now = start;
  t.equal(await check(token(1)), '+ opaque:ci');
  clock.now = start + 60 * SECOND - 1;
  t.equal(checkNow(token(1)), '+ opaque:ci');
  clock.now = start + 60 * SECOND;
  t.equal(checkNow(token(1)), 'later');
  t.equal(await check(token(1)), '+ opaque:ci');
  clock.now -= 3_600 * SECOND;
  t.equal(checkNow(token(1)), 'later', 'also where the clock was set back');
  await check(token(1));

  said.now = { ...GOOD, exp: start / SECOND + 10 };
  clock.now = start;
  t.equal(await check(token(2)), '+ opaque:ci');
  clock.now = start + 10 * SECOND - 1;
  t.equal(checkNow(token(2)), '+ opaque:ci');
  clock.now = start + 10 * SECOND;
  t.equal(checkNow(token(2)), 'expired_token');

  said.now = { active: false };
  const { length } = endpoint.requests;
  clock.now = start;
  t.equal(await check(token(3)), 'invalid_token');
  said.now = GOOD;
  clock.now = start + 5 * SECOND - 1;
  t.equal(checkNow(token(3)), 'invalid_token');
  t.equal(endpoint.requests.length, length + 1);
  clock.now = start + 5 * SECOND;
  t.equal(checkNow(token(3)), 'later');
  t.equal(await check(token(3)), '+ opaque:ci');
  t.equal(checkNow(token(3)), '+ opaque:ci');
});

void t.test('1,000 requests with one token are one question', async (t) => {
  const { endpoint, check } = await startAnswers(t, GOOD);
  const all = await Promise.all(Array.from({ length: 1_000 }, () => check(token(1))));
  t.strictSame([...new Set(all)], ['+ opaque:ci']);
  t.equal(endpoint.requests.length, 1);
});

void t.test('100 tokens at once: 12 are asked about', async (t) => {
  const open: ServerResponse[] = [];
  const { endpoint, check, answer } = await startAnswers(t, GOOD);
  const twelve = new Promise<void>((resolve) => {
    endpoint.answer = (_, response) => {
      if (open.push(response) === 12) resolve();
    };
  });
  const all = Array.from({ length: 100 }, (_, i) => check(token(i)));
  t.strictSame(
    await Promise.all(all.slice(12)),
    Array.from({ length: 88 }, () => 'identity_unavailable'),
  );
  await twelve;
  t.match(await answer(token(99)), { reason: 'introspection opaque: 12 new tokens are being asked about already' });
  const shared = check(token(0));
  for (const response of open) json(response, GOOD);
  t.equal(await shared, '+ opaque:ci', 'who asks the same joins');
  t.strictSame(
    await Promise.all(all.slice(0, 12)),
    Array.from({ length: 12 }, () => '+ opaque:ci'),
  );
  t.equal(endpoint.requests.length, 12);
  endpoint.answer = (_, response) => json(response, GOOD);
  t.equal(await check(token(99)), '+ opaque:ci', 'there is room again');
});

/** A running request, and time enough for its token to be asked about again. */
async function startRunning(t: Test, more: object = {}) {
  const answers = await startAnswers(t, { ...GOOD, ...more });
  const { token: known } = (await answers.answer(token(1))) as Introspected;
  const find = (): string => words(answers.introspector.find(known, answers.clock.now));
  return { known, find, ...answers };
}

void t.test('a running request is not asked about each second', async (t) => {
  const { endpoint, find, clock, said, findUntil, known } = await startRunning(t);
  for (let i = 0; i < 59; i += 1) {
    clock.now += SECOND;
    t.equal(find(), '+ opaque:ci');
  }
  t.equal(endpoint.requests.length, 1);
  clock.now += SECOND;
  t.equal(find(), '+ opaque:ci', 'which is not waited for');
  said.now = { ...GOOD, client_id: 'other' };
  await findUntil(known, '+ opaque:other');
  t.equal(endpoint.requests.length, 2);
  said.now = { active: false };
  clock.now += 59 * SECOND;
  t.equal(find(), '+ opaque:other');
  t.equal(endpoint.requests.length, 2);
  clock.now += SECOND;
  await findUntil(known, 'invalid_token');
  t.equal(endpoint.requests.length, 3);
  clock.now += 3_600 * SECOND;
  t.equal(find(), 'invalid_token', 'it ends once and for all');
  t.equal(endpoint.requests.length, 3);
});

void t.test('a running request goes on in an outage, which is asked about once per cache', async (t) => {
  const { endpoint, find, clock, log, said, findUntil, known } = await startRunning(t);
  const good = endpoint.answer;
  endpoint.answer = (_, response) => void response.writeHead(500).end();
  for (let minute = 1; minute <= 3; minute += 1) {
    clock.now += 60 * SECOND;
    t.equal(find(), '+ opaque:ci');
    await log.written(1);
    while (endpoint.requests.length < minute + 1) await setImmediate();
    for (let i = 0; i < 100; i += 1) {
      t.equal(find(), '+ opaque:ci');
      await setImmediate();
    }
    t.equal(endpoint.requests.length, minute + 1);
  }
  endpoint.answer = good;
  said.now = { active: false };
  clock.now += 60 * SECOND;
  await findUntil(known, 'invalid_token');
});

void t.test('whoever asks about an ended token ends what runs with it', async (t) => {
  const { find, check, clock, said } = await startRunning(t);
  clock.now += 60 * SECOND;
  said.now = { active: false };
  t.equal(await check(token(1)), 'invalid_token');
  t.equal(find(), 'invalid_token');
});

void t.test('an expired token is told as such, whatever the endpoint says by then', async (t) => {
  const time = Math.floor(Date.now() / SECOND);
  const { endpoint, known, find, check, clock, said, introspector } = await startRunning(t, { exp: time + 3_600 });
  said.now = { active: false };
  clock.now = (time + 3_600 - 60) * SECOND;
  t.equal(find(), '+ opaque:ci');
  t.equal(await check(token(1)), 'invalid_token');
  t.equal(find(), '+ opaque:ci', 'in the last minute a "no" may mean just that');
  clock.now = (time + 3_600) * SECOND;
  t.equal(endpoint.requests.length, 2);
  t.match(introspector.find(known, clock.now), { code: 'expired_token', caller: { name: 'opaque:ci' } });
});

void t.test('many running requests, and room for new ones', async (t) => {
  const open: ServerResponse[] = [];
  const { endpoint, introspector, clock, answer, check } = await startAnswers(t, GOOD);
  const good = endpoint.answer;
  const running: Introspected[] = [];
  for (let i = 0; i < 40; i += 1) running.push((await answer(token(i))) as Introspected);
  const eight = new Promise<void>((resolve) => {
    endpoint.answer = (_, response) => {
      if (open.push(response) === 8) resolve();
    };
  });
  clock.now += 60 * SECOND;
  for (const one of running) t.equal(introspector.find(one.token, clock.now).kind, 'caller');
  await eight;
  t.equal(endpoint.requests.length, 48);
  endpoint.answer = good;
  t.equal(await check(token('new')), '+ opaque:ci', 'a new one is not kept waiting');
  for (const response of open) json(response, GOOD);
  while (endpoint.requests.length < 81) await setImmediate();
  for (const one of running) t.equal(introspector.find(one.token, clock.now).kind, 'caller');
  t.equal(endpoint.requests.length, 81, 'each once');
});

void t.test(
  'a flood of new tokens keeps out none that was good, nor a running request from being asked about',
  async (t) => {
    const open: ServerResponse[] = [];
    const { endpoint, check, known, clock, find, said, findUntil } = await startRunning(t);
    t.equal(await check(token('good before')), '+ opaque:ci');
    let flood = true;
    endpoint.answer = (_, response) => void (flood ? open.push(response) : json(response, said.now));
    const junk = Array.from({ length: 40 }, (_, i) => check(token(`junk ${i}`)));
    while (open.length < 12) await setImmediate();
    t.equal(endpoint.requests.length, 2 + 12);
    flood = false;
    clock.now += 60 * SECOND;
    t.equal(await check(token('good before')), '+ opaque:ci', 'it is asked about at once');
    t.equal(find(), '+ opaque:ci');
    said.now = { active: false };
    await findUntil(known, 'invalid_token');
    t.equal(open.length, 12, 'while the flood waits');
    for (const response of open) json(response, said.now);
    await Promise.all(junk);
  },
);

void t.test('a reload forgets answers, and judges running requests by its own rules', async (t) => {
  const { known, config, introspector, endpoint, said } = await startRunning(t);
  introspector.close();
  const same = await checker(t, { ...config, scopes: { claim: ['scope'], ceiling: ['operator.read'] } });
  t.equal(same.checkNow(token(1)), 'later');
  t.equal(await same.check(token(1)), '+ opaque:ci');
  const next = await checker(t, { ...config, name: 'opaque', cache: SECOND });
  said.now = { active: false };
  t.match(next.introspector.find(known, next.clock.now), { caller: { scopes: ['operator.read'] } }, 'the last word');
  await next.findUntil(known, 'invalid_token');
  t.equal(endpoint.requests.length, 3);
  for (const more of [
    { audience: ['urn:other'] },
    { endpoint: `${endpoint.url}/other` },
    { clientId: 'other' },
    { issuer: 'https://id.example' },
  ]) {
    const other = await checker(t, { ...config, ...more });
    t.match(other.introspector.find(known, other.clock.now), { code: 'invalid_token', reason: /rules have changed/ });
  }
  const nobody = await checker(t, { ...config, match: [{ claim: ['client_id'], values: ['x'] }] });
  t.match(nobody.introspector.find(known, nobody.clock.now), { code: 'invalid_token', reason: /match/ });
  t.equal(endpoint.requests.length, 3);
});

void t.test('close: those that wait to be asked about again are forgotten', async (t) => {
  const open: ServerResponse[] = [];
  const { endpoint, introspector, clock, answer } = await startAnswers(t, GOOD);
  const running: Introspected[] = [];
  for (let i = 0; i < 12; i += 1) running.push((await answer(token(i))) as Introspected);
  const eight = new Promise<void>((resolve) => {
    endpoint.answer = (_, response) => {
      if (open.push(response) === 8) resolve();
    };
  });
  clock.now += 60 * SECOND;
  for (const one of running) introspector.find(one.token, clock.now);
  await eight;
  introspector.close();
  for (const response of open) json(response, GOOD);
  for (let i = 0; i < 200; i += 1) await setImmediate();
  t.equal(endpoint.requests.length, 20);
});

void t.test('who waits while a reload happens gets the answer', async (t) => {
  const { endpoint, introspector, check, clock, answer } = await startAnswers(t, GOOD);
  const { token: known } = (await answer(token(0))) as Introspected;
  const asked = new Promise<ServerResponse>((resolve) => {
    endpoint.answer = (_, response) => resolve(response);
  });
  const waiting = check(token(1));
  const response = await asked;
  introspector.close();
  clock.now += 60 * SECOND;
  t.equal(introspector.find(known, clock.now).kind, 'caller');
  json(response, GOOD);
  await once(response, 'close');
  t.equal(await waiting, '+ opaque:ci');
  for (let i = 0; i < 200; i += 1) await setImmediate();
  t.equal(endpoint.requests.length, 2, 'running requests are not asked about any more');
});
