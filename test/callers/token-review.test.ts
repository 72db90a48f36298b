/**
 * TokenReview against a stand-in: no real API server can be had here. It checks method, path, bearer and body, and
 * answers in the shapes of the Kubernetes API reference (authentication.k8s.io/v1): 201 with the whole object for a
 * review, a `Status` object for what it refuses, `authenticated` left out where it would be false.
 */
import { once } from 'node:events';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { setImmediate } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { callerFrom } from '../../src/callers/claims.ts';
import { createJwtVerifier, type JwtDeps, type Verified } from '../../src/callers/jwt.ts';
import type { Unauthenticated } from '../../src/callers/table.ts';
import { hashToken } from '../../src/callers/token.ts';
import type { IssuerConfig } from '../../src/config/issuers.ts';
import { refuse } from '../../src/errors.ts';
import type { RawToken } from '../../src/types.ts';
import { makeAuthority } from '../helpers/certificates.ts';
import { issuerOf, startEndpoint } from '../helpers/provider.ts';
import { testLog } from '../helpers/redis.ts';

const SECOND = 1_000;
const PATH = '/apis/authentication.k8s.io/v1/tokenreviews';
const BEARER = 'token-of-the-shim-itself';
const ISSUER = 'https://kubernetes.default.svc.cluster.local';
const SUB = 'system:serviceaccount:agents:batch';
const authority = await makeAuthority();
const pair = await authority.issue({ ips: ['127.0.0.1'] });

type Json = Readonly<Record<string, unknown>>;

/** Before every clock of a test. */
const TIME = Math.floor(Date.now() / SECOND);

/** A token of a Pod, whose signature only the API server could verify. */
function podToken(more: Json = {}): string {
  const claims = {
    aud: ['openclaw-shim'],
    exp: TIME + 3_600,
    iat: TIME,
    iss: ISSUER,
    jti: 'ea28ed49-2e11-4280-9ec5-bc3d1d84661a',
    'kubernetes.io': {
      namespace: 'agents',
      pod: { name: 'batch-69cbfb9798-jv9gn', uid: '778a530c-b3f4-47c0-9cd5-ab018fb64f33' },
      serviceaccount: { name: 'batch', uid: 'a087d5a0-e1dd-43ec-93ac-f13d89cd13af' },
    },
    nbf: TIME,
    sub: SUB,
    ...more,
  };
  return `${encode({ alg: 'RS256', kid: 'x' })}.${encode(claims)}.${encode('signature')}`;
}

function encode(part: unknown): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url');
}

const YES: Json = {
  authenticated: true,
  user: {
    username: SUB,
    uid: 'a087d5a0-e1dd-43ec-93ac-f13d89cd13af',
    groups: ['system:serviceaccounts', 'system:serviceaccounts:agents', 'system:authenticated'],
    extra: { 'authentication.kubernetes.io/pod-name': ['batch-69cbfb9798-jv9gn'] },
  },
  audiences: ['openclaw-shim'],
};
const NO: Json = { user: {}, error: '[invalid bearer token, service account token has been invalidated]' };

/** What the API server says: the status of a review, or an answer of another kind. */
interface ApiServer {
  status: Json | null;
  answer: RequestListener | undefined;
  /** `spec.token` of every review so far. */
  readonly reviewed: readonly string[];
  readonly url: string;
}

async function startApiServer(t: Test): Promise<ApiServer> {
  const reviewed: string[] = [];
  const endpoint = await startEndpoint(t, (request, response) => void review(request, response), pair);
  const server: ApiServer = { status: YES, answer: undefined, reviewed, url: endpoint.url };
  return server;

  async function review(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = JSON.parse((await request.toArray()).join('')) as Review;
    const { method, url, headers } = request;
    if (method !== 'POST' || url !== PATH) return failure(response, 404, 'NotFound');
    if (headers.authorization !== `Bearer ${BEARER}`) return failure(response, 401, 'Unauthorized');
    if (headers['content-type'] !== 'application/json') return failure(response, 415, 'UnsupportedMediaType');
    const { apiVersion, kind, spec } = body;
    const isReview = apiVersion === 'authentication.k8s.io/v1' && kind === 'TokenReview';
    if (!isReview || spec.audiences.join() !== 'openclaw-shim,other') return failure(response, 400, 'BadRequest');
    reviewed.push(spec.token);
    if (server.answer) return server.answer(request, response);
    const review = { kind, apiVersion, metadata: { creationTimestamp: null }, spec, status: server.status };
    response.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify(review));
  }
}

interface Review {
  readonly apiVersion: string;
  readonly kind: string;
  readonly spec: { readonly token: string; readonly audiences: readonly string[] };
}

function failure(response: ServerResponse, code: number, reason: string): void {
  const status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message: reason, reason, code };
  response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(status));
}

const nameCaller: JwtDeps['callerFrom'] = (issuer, claims) => {
  const named = callerFrom(issuer, claims);
  return 'fault' in named ? refuse('invalid_token', { reason: named.fault }) : named.caller;
};

function words(answer: Verified | Unauthenticated): string {
  return answer.kind === 'caller' ? `+ ${answer.caller.name}` : answer.code;
}

async function checker(t: Test, api: string, more: Partial<IssuerConfig> = {}) {
  const clock = { now: Date.now() };
  const log = testLog();
  const issuer = issuerOf(
    ISSUER,
    { kind: 'tokenReview', api: api + PATH, cache: 60 * SECOND },
    { name: 'k8s', audience: ['openclaw-shim', 'other'], ca: authority.cert, bearer: BEARER, ...more },
  );
  const logger = log.logger as JwtDeps['logger'];
  const verifier = await createJwtVerifier([issuer], { now: () => clock.now, logger, callerFrom: nameCaller });
  t.teardown(() => verifier.close());
  const answer = async (token: string): Promise<Verified | Unauthenticated> =>
    verifier.verify(token as RawToken, hashToken(token as RawToken), 'authorization', clock.now);
  return { verifier, clock, log, issuer, answer, check: async (token: string) => words(await answer(token)) };
}

void t.test('a token of a Pod', async (t) => {
  const server = await startApiServer(t);
  const { verifier, check, answer, clock } = await checker(t, server.url);
  const token = podToken();
  t.equal(await check(token), `+ k8s:${SUB}`);
  t.strictSame(server.reviewed, [token]);
  t.match(await answer(token), {
    token: { issuer: ISSUER, hash: hashToken(token as RawToken), claims: { iss: ISSUER } },
  });
  const elsewhere = verifier.verify(
    token as RawToken,
    hashToken(token as RawToken),
    'cf-access-jwt-assertion',
    clock.now,
  );
  t.match(await elsewhere, { code: 'invalid_token' }, 'another header is not where its tokens are shown');
  t.equal(server.reviewed.length, 1, 'it is remembered');
  clock.now += 60 * SECOND;
  server.status = NO;
  t.match(await answer(token), { code: 'invalid_token', reason: /the API server does not know it/ });
  t.equal(server.reviewed.length, 2);
});

void t.test('a peer whose logins fail too often is not asked for', async (t) => {
  const server = await startApiServer(t);
  const { verifier, check, clock } = await checker(t, server.url);
  const limited = async (token: string): Promise<string> => {
    const raw = token as RawToken;
    return words(await verifier.verify(raw, hashToken(raw), 'authorization', clock.now, () => 'failed'));
  };
  t.equal(await limited(podToken()), 'invalid_token');
  t.equal(server.reviewed.length, 0);
  t.equal(await check(podToken()), `+ k8s:${SUB}`);
  t.equal(await limited(podToken()), `+ k8s:${SUB}`, 'what is remembered needs no question');
  clock.now += 60 * SECOND;
  t.equal(await limited(podToken()), `+ k8s:${SUB}`, 'what was good is asked about');
  t.equal(server.reviewed.length, 2);
  t.equal(await limited(podToken({ jti: 'junk' })), 'invalid_token');
  t.equal(server.reviewed.length, 2);
});

void t.test('1,000 requests with one token are one review', async (t) => {
  const server = await startApiServer(t);
  const { check } = await checker(t, server.url);
  const token = podToken();
  const all = await Promise.all(Array.from({ length: 1_000 }, () => check(token)));
  t.strictSame([...new Set(all)], [`+ k8s:${SUB}`]);
  t.equal(server.reviewed.length, 1);
});

void t.test('what the API server may say', async (t) => {
  const server = await startApiServer(t);
  const { answer } = await checker(t, server.url);
  const cases: Readonly<Record<string, readonly [Json, RegExp | undefined]>> = {
    'one audience of many': [{ ...YES, audiences: ['a', 'other'] }, undefined],
    'not authenticated': [{ ...YES, authenticated: false }, /does not know it/],
    'an error alone': [NO, /does not know it/],
    nothing: [{}, /does not know it/],
    'no audiences, as of one that knows none': [{ ...YES, audiences: undefined }, /for others/],
    'other audiences': [{ ...YES, audiences: ['https://kubernetes.default.svc'] }, /for others/],
    'audiences as a text': [{ ...YES, audiences: 'openclaw-shim' }, /for others/],
    'another user': [{ ...YES, user: { username: 'system:serviceaccount:agents:other' } }, /somebody else's/],
    'no user': [{ ...YES, user: undefined }, /somebody else's/],
    'a user without a name': [{ ...YES, user: {} }, /somebody else's/],
  };
  for (const [name, [status, reason]] of Object.entries(cases)) {
    server.status = status;
    const found = await answer(podToken({ jti: name }));
    t.equal(words(found), reason ? 'invalid_token' : `+ k8s:${SUB}`, name);
    if (reason) t.match((found as Unauthenticated).reason, reason, name);
  }
});

void t.test('what is in a token is checked here as well', async (t) => {
  const server = await startApiServer(t);
  const { check, answer, clock } = await checker(t, server.url, { clockTolerance: 30 * SECOND });
  const time = Math.floor(clock.now / SECOND);
  const cases: Readonly<Record<string, readonly [Json, string]>> = {
    'expired within the tolerance': [{ exp: time - 28 }, `+ k8s:${SUB}`],
    expired: [{ exp: time - 31 }, 'expired_token'],
    'no exp': [{ exp: undefined }, 'invalid_token'],
    'exp as a text': [{ exp: `${time + 60}` }, 'invalid_token'],
    'nbf within the tolerance': [{ nbf: time + 29 }, `+ k8s:${SUB}`],
    'nbf in the future': [{ nbf: time + 32 }, 'not_yet_valid_token'],
    'iat in the future': [{ iat: time + 32 }, 'not_yet_valid_token'],
    'no aud': [{ aud: undefined }, 'invalid_token'],
    'another aud': [{ aud: ['https://kubernetes.default.svc'] }, 'invalid_token'],
    'no sub': [{ sub: undefined }, 'invalid_token'],
  };
  for (const [name, [claims, expected]] of Object.entries(cases))
    t.equal(await check(podToken(claims)), expected, name);

  const { length } = server.reviewed;
  t.match(await answer(podToken({ iss: 'https://other.example' })), { reason: 'its iss is no issuer here' });
  t.equal(await check(podToken().replace('.', '=.')), 'invalid_token');
  t.equal(await check(`${encode({ alg: 'none' })}.e30.`), 'invalid_token');
  t.equal(server.reviewed.length, length, 'of others the API server is not asked');

  const typed = await checker(t, server.url, { requireTyp: 'at+jwt' });
  t.equal(await typed.check(podToken({ jti: 'typ' })), 'invalid_token');
});

void t.test('an API server that cannot be asked', async (t) => {
  const server = await startApiServer(t);
  const say =
    (code: number, text: string): RequestListener =>
    (_, response) =>
      void response.writeHead(code, { 'content-type': 'application/json' }).end(text);
  const review = (status: unknown, more: Json = {}): string =>
    JSON.stringify({ kind: 'TokenReview', apiVersion: 'authentication.k8s.io/v1', status, ...more });
  const cases: Readonly<Record<string, readonly [RequestListener, RegExp]>> = {
    'no such role': [(_, response) => failure(response, 403, 'Forbidden'), /403.*ClusterRole system:auth-delegator/],
    'status 500': [say(500, '{}'), /the answer is 500/],
    'status 429': [say(429, '{}'), /the answer is 429/],
    'a redirect': [(_, response) => void response.writeHead(307, { location: PATH }).end(), /307/],
    HTML: [say(201, '<!doctype html>'), /must be JSON/],
    'another kind': [say(201, review(YES, { kind: 'Status' })), /no TokenReview/],
    'another version': [say(201, review(YES, { apiVersion: 'authentication.k8s.io/v1beta1' })), /no TokenReview/],
    'no status': [say(201, review(undefined)), /no TokenReview/],
    'status null': [say(201, review(null)), /no TokenReview/],
    'authenticated as a text': [say(201, review({ ...YES, authenticated: 'true' })), /no boolean/],
    'authenticated null': [say(201, review({ ...YES, authenticated: null })), /no boolean/],
    'authenticated twice': [say(201, review(YES).replace('"user"', '"authenticated":true,"user"')), /duplicate key/],
  };
  for (const [name, [answer, reason]] of Object.entries(cases)) {
    server.answer = answer;
    const one = await checker(t, server.url);
    const token = podToken({ jti: name });
    t.match(await one.answer(token), { code: 'identity_unavailable', reason }, name);
    await one.answer(token);
    t.match(one.log.lines, [{ level: 'warn', from: 'tokenReview k8s', reason }], name);
    t.notMatch(JSON.stringify(one.log.lines), new RegExp(`${BEARER}|${token}`));
  }
  server.answer = undefined;
  const stale = await checker(t, server.url, { bearer: 'an-old-token' });
  t.match(await stale.answer(podToken()), {
    code: 'identity_unavailable',
    reason: /tokenFile \(401\).*auth-delegator/,
  });
  const { ca: _ca, ...unknown } = (await checker(t, server.url)).issuer;
  const known = (await makeAuthority()).cert;
  const strange = await checker(t, server.url, { ...unknown, ca: known });
  const { length } = server.reviewed;
  t.equal(await strange.check(podToken()), 'identity_unavailable', 'a certificate of somebody else');
  t.equal(server.reviewed.length, length);
});

void t.test('a request whose Pod is deleted ends within the time of the cache', async (t) => {
  const server = await startApiServer(t);
  const { answer, verifier, clock } = await checker(t, server.url);
  const { token } = (await answer(podToken())) as Verified;
  server.status = NO;
  clock.now += 59 * SECOND;
  t.equal(words(verifier.find(token, clock.now)), `+ k8s:${SUB}`);
  t.equal(server.reviewed.length, 1);
  clock.now += SECOND;
  while (verifier.find(token, clock.now).kind === 'caller') await setImmediate();
  t.match(verifier.find(token, clock.now), { code: 'invalid_token' });
  t.equal(server.reviewed.length, 2);
});

void t.test('a reload that changes who verifies ends what was verified so', async (t) => {
  const server = await startApiServer(t);
  const { answer, clock, issuer } = await checker(t, server.url);
  const { token } = (await answer(podToken())) as Verified;
  const again = await checker(t, server.url);
  t.equal(words(again.verifier.find(token, clock.now)), `+ k8s:${SUB}`);
  const keys = { ...issuer, keys: { kind: 'jwksUri', url: `${server.url}/openid/v1/jwks` } } as const;
  const byKeys = await checker(t, server.url, keys);
  t.match(byKeys.verifier.find(token, clock.now), { code: 'invalid_token', reason: /rules of its issuer/ });
  const other = await checker(t, server.url, { audience: ['other', 'openclaw-shim'] });
  t.match(other.verifier.find(token, clock.now), { code: 'invalid_token' });
  const issued: Verified['token'] = { ...token, rules: '[]', keyId: 'k' };
  t.match(again.verifier.find(issued, clock.now), { code: 'invalid_token' }, 'a token that keys have verified');
});

void t.test('close: running requests are not asked about any more', async (t) => {
  const server = await startApiServer(t);
  const { answer, verifier, clock } = await checker(t, server.url);
  const { token } = (await answer(podToken())) as Verified;
  const asked = new Promise<ServerResponse>((resolve) => {
    server.answer = (_, response) => resolve(response);
  });
  const waiting = answer(podToken({ jti: 'waiting' }));
  const response = await asked;
  verifier.close();
  clock.now += 60 * SECOND;
  t.equal(verifier.find(token, clock.now).kind, 'caller');
  response.destroy();
  await once(response, 'close');
  t.match(await waiting, { code: 'identity_unavailable' });
  for (let i = 0; i < 200; i += 1) await setImmediate();
  t.equal(server.reviewed.length, 2);
});
