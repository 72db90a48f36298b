/** JWTs of a real provider, and forged ones. */
import { createHmac, createPublicKey, sign as signBytes, type JsonWebKey } from 'node:crypto';
import t, { type Test } from 'tap';
import { createJwtVerifier, type JwtVerifier, type Verified } from '../../src/callers/jwt.ts';
import { isJwtShape, LONGEST_JWT } from '../../src/callers/unverified.ts';
import type { KeysDeps } from '../../src/callers/keys.ts';
import type { Unauthenticated } from '../../src/callers/table.ts';
import { hashToken } from '../../src/callers/token.ts';
import type { IssuerConfig } from '../../src/config/issuers.ts';
import { refuse, type Refusal } from '../../src/errors.ts';
import type { Caller, RawToken } from '../../src/types.ts';
import {
  issuerOf,
  jsonAt,
  makeKey,
  publicOf,
  startEndpoint,
  startProvider,
  type Endpoint,
  type SigningKey,
} from '../helpers/provider.ts';
import { testLog } from '../helpers/redis.ts';

const DISCOVERY = '/.well-known/openid-configuration';
const SECOND = 1_000;
const RSA = await makeKey('r1');
const OTHER = await makeKey('r1');
const NEXT = await makeKey('r2');
const EC = await makeKey('e1', 'ES256');

interface Checker {
  readonly verifier: JwtVerifier;
  readonly clock: { now: number };
  /** What becomes of a token: `+ caller`, or the code. `at once` when nothing was waited for. */
  readonly check: (token: string) => Promise<string>;
  readonly checkNow: (token: string) => string;
  readonly answer: (token: string) => Promise<Verified | Unauthenticated>;
}

/** Names callers `test:sub`; who has no `sub` is nobody. */
function callerFrom(issuer: IssuerConfig, claims: Readonly<Record<string, unknown>>): Caller | Refusal {
  if (typeof claims.sub !== 'string') return refuse('invalid_token', { reason: 'no sub' });
  return { ...issuer.policy, name: `${issuer.name}:${claims.sub}`, tokens: [], scopes: issuer.scopes.ceiling };
}

async function checker(t: Test, issuers: readonly IssuerConfig[], before?: JwtVerifier): Promise<Checker> {
  const clock = { now: Date.now() };
  const logger = testLog().logger as KeysDeps['logger'];
  const verifier = await createJwtVerifier(issuers, { now: () => clock.now, logger, callerFrom }, before);
  t.teardown(() => verifier.close());
  const words = (answer: Verified | Unauthenticated): string =>
    answer.kind === 'caller' ? `+ ${answer.caller.name}` : answer.code;
  const ask = (token: string): ReturnType<JwtVerifier['verify']> =>
    verifier.verify(token as RawToken, hashToken(token as RawToken), 'authorization', clock.now);
  return {
    verifier,
    clock,
    answer: async (token) => ask(token),
    check: async (token) => words(await ask(token)),
    checkNow(token) {
      const answer = ask(token);
      return answer instanceof Promise ? 'later' : words(answer);
    },
  };
}

/** A provider whose keys the tests sign with themselves. */
async function startSigner(t: Test, keys: readonly SigningKey[], more: Partial<IssuerConfig> = {}) {
  const endpoint = await startEndpoint(t, publish(keys));
  const issuer = issuerOf(endpoint.url, { kind: 'jwksUri', url: `${endpoint.url}/jwks` }, more);
  const checks = await checker(t, [issuer]);
  const time = Math.floor(checks.clock.now / SECOND);
  const good = { iss: endpoint.url, aud: 'urn:shim', sub: 'ci', iat: time, exp: time + 60 };
  return { endpoint, issuer, time, good, ...checks };
}

function publish(keys: readonly SigningKey[]): Endpoint['answer'] {
  return jsonAt({ '/jwks': { keys: keys.map(publicOf) } });
}

function encode(part: unknown): string {
  return Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url');
}

/** Signs header and claims, as they are where they are texts; of a header that is an object alg and kid are the key's. */
function jws(key: SigningKey, claims: unknown, header: object | string = {}): string {
  const whole = typeof header === 'string' ? header : { alg: key.alg, kid: key.kid, ...header };
  const input = `${encode(whole)}.${encode(claims)}`;
  const options = { key: key as JsonWebKey, format: 'jwk', dsaEncoding: 'ieee-p1363' } as const;
  return `${input}.${signBytes('sha256', Buffer.from(input), options).toString('base64url')}`;
}

function hmac(secret: string | Buffer, claims: unknown, header: object = {}): string {
  const input = `${encode({ alg: 'HS256', ...header })}.${encode(claims)}`;
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
}

void t.test('a token of a real provider names its caller, and is remembered', async (t) => {
  const provider = await startProvider(t, [RSA, EC]);
  const issuer = issuerOf(provider.url, { kind: 'discovery', url: provider.url + DISCOVERY }, { requireTyp: 'at+jwt' });
  const { check, checkNow, answer, clock } = await checker(t, [issuer]);
  for (const alg of ['RS256', 'ES256'] as const) {
    const token = await provider.token('urn:shim', alg);
    clock.now = Date.now();
    t.ok(isJwtShape(token));
    t.equal(checkNow(token), 'later');
    t.equal(await check(token), '+ test:agent');
    t.equal(checkNow(token), '+ test:agent', 'at once');
    const hash = hashToken(token as RawToken);
    const { exp } = JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString()) as { exp: number };
    t.equal(((await answer(token)) as Verified).caller, ((await answer(token)) as Verified).caller, 'not named anew');
    t.match(await answer(token), { token: { hash, id: hash.slice(0, 12), expires: exp * SECOND } });
    t.equal(await check(await provider.token('urn:somebody-else', alg)), 'invalid_token');
    const before = clock.now;
    clock.now = exp * SECOND;
    t.equal(checkNow(token), 'expired_token', 'also of a token that is remembered');
    clock.now = before - 60 * SECOND;
    t.equal(checkNow(token), 'not_yet_valid_token');
    clock.now = before;
  }
  t.equal(provider.hits('/jwks'), 1);
});

void t.test('keys rotate while requests run', async (t) => {
  const provider = await startProvider(t, [RSA]);
  const issuer = issuerOf(provider.url, { kind: 'discovery', url: provider.url + DISCOVERY });
  const { verifier, check, checkNow, answer, clock } = await checker(t, [issuer]);
  const old = await provider.token('urn:shim');
  clock.now = Date.now();
  const { token } = (await answer(old)) as Verified;

  provider.rotate([NEXT, RSA]);
  const fresh = await provider.token('urn:shim');
  clock.now = Date.now();
  t.strictSame(
    await Promise.all(Array.from({ length: 100 }, (_, i) => check(i % 2 ? old : fresh))),
    Array.from({ length: 100 }, () => '+ test:agent'),
  );
  t.equal(provider.hits('/jwks'), 2);
  t.equal(checkNow(old), '+ test:agent', 'its key is still published');
  t.match(verifier.find(token, clock.now), { kind: 'caller', caller: { name: 'test:agent' } });

  provider.rotate([NEXT]);
  clock.now += 31 * SECOND;
  t.equal(await check(jws({ ...OTHER, kid: 'r3' }, { iss: provider.url })), 'invalid_token', 'which makes it look');
  t.equal(checkNow(old), 'later');
  t.equal(await check(old), 'invalid_token');
  t.match(verifier.find(token, clock.now), { code: 'invalid_token', reason: 'the key that signed it is gone' });
  t.equal(await check(fresh), '+ test:agent');
  t.equal(provider.hits('/jwks'), 3);
});

void t.test('a provider that is down: its last keys for a while, then 503', async (t) => {
  const provider = await startProvider(t, [RSA, EC]);
  const discovery = { kind: 'discovery', url: provider.url + DISCOVERY } as const;
  const issuer = issuerOf(provider.url, discovery, { maxStale: 20 * 60 * SECOND });
  const { verifier, check, answer, clock } = await checker(t, [issuer]);
  const [first, second] = [await provider.token('urn:shim'), await provider.token('urn:shim')];
  clock.now = Date.now();
  const { token } = (await answer(first)) as Verified;
  await provider.stop();
  t.equal(await check(second), '+ test:agent');
  t.equal(await check(jws(NEXT, { iss: provider.url })), 'identity_unavailable', 'a key that may be a new one');
  t.equal(await check(jws({ ...OTHER }, { iss: provider.url })), 'invalid_token', 'a signature that is wrong');
  clock.now += 20 * 60 * SECOND;
  t.equal(await check(first), 'identity_unavailable', 'also of a token that was remembered');
  t.match(verifier.find(token, clock.now), { code: 'identity_unavailable' });
  t.equal(await check(jws(RSA, { iss: 'https://unknown.test' })), 'invalid_token');

  const never = await checker(t, [issuer]);
  never.clock.now = clock.now;
  t.equal(await never.check(first), 'identity_unavailable', 'it was never reached');
});

void t.test('forged tokens', async (t) => {
  const { endpoint, good, time, answer } = await startSigner(t, [RSA, EC]);
  const attacker = await startEndpoint(t, publish([OTHER]));
  const pem = createPublicKey({ key: RSA as JsonWebKey, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
  const der = createPublicKey({ key: RSA as JsonWebKey, format: 'jwk' }).export({ type: 'spki', format: 'der' });
  const known = jws(RSA, good);
  const [head, body, tail] = known.split('.') as [string, string, string];
  const text = JSON.stringify(good);
  const without = (name: keyof typeof good): object => ({ ...good, [name]: undefined });
  const none = (alg: string): string => `${encode({ alg })}.${encode(good)}.`;
  const last = tail.slice(-1) === 'A' ? 'B' : 'A';

  const forged: Readonly<Record<string, string>> = {
    'alg none': none('none'),
    'alg None': none('None'),
    'alg none with a signature': `${encode({ alg: 'none' })}.${encode(good)}.${tail}`,
    'no alg': jws(RSA, good, { alg: undefined }),
    'alg as a list': jws(RSA, good, { alg: ['RS256'] }),
    'HS256 with the public key, PEM': hmac(pem.toString(), good, { kid: 'r1' }),
    'HS256 with the public key, PEM without its last line end': hmac(pem.toString().trim(), good, { kid: 'r1' }),
    'HS256 with the public key, DER': hmac(der, good, { kid: 'r1' }),
    'HS256 with nothing': hmac('', good, { kid: 'r1' }),
    'another key of that kid': jws(OTHER, good),
    'another algorithm of that key': jws(RSA, good, { alg: 'PS256' }),
    'the key of another algorithm': jws(RSA, good, { alg: 'ES256', kid: 'e1' }),
    'a kid that is a path': jws(OTHER, good, { kid: '../../../../dev/null' }),
    'a kid that is SQL': jws(OTHER, good, { kid: "r1' UNION SELECT 'key" }),
    'a kid that is a URL': jws(OTHER, good, { kid: `${attacker.url}/jwks` }),
    'a kid that is a number': jws(RSA, good, { kid: 1 }),
    'a kid that every object has': jws(RSA, good, { kid: '__proto__' }),
    jku: jws(OTHER, good, { jku: `${attacker.url}/jwks` }),
    'jku for a new kid': jws(OTHER, good, { kid: 'mine', jku: `${attacker.url}/jwks` }),
    x5u: jws(OTHER, good, { x5u: `${attacker.url}/cert` }),
    jwk: jws(OTHER, good, { jwk: publicOf(OTHER) }),
    'jwk without a kid': jws(OTHER, good, { kid: undefined, jwk: publicOf(OTHER) }),
    x5c: jws(OTHER, good, { x5c: [der.toString('base64')] }),
    'crit that nobody knows': jws(RSA, good, { crit: ['exp'], exp: 1 }),
    'crit that jose knows': jws(RSA, good, { crit: ['b64'], b64: true }),
    'a payload that is not encoded': jws(RSA, good, { crit: ['b64'], b64: false }),
    'the issuer of the attacker': jws(OTHER, { ...good, iss: attacker.url }),
    'iss in the header alone': jws(RSA, without('iss'), { iss: endpoint.url }),
    'iss with a slash': jws(RSA, { ...good, iss: `${endpoint.url}/` }),
    'iss as a list': jws(RSA, { ...good, iss: [endpoint.url] }),
    'no iss': jws(RSA, without('iss')),
    'no aud': jws(RSA, without('aud')),
    'another aud': jws(RSA, { ...good, aud: 'urn:shim2' }),
    'aud in another case': jws(RSA, { ...good, aud: 'URN:shim' }),
    'aud that begins so': jws(RSA, { ...good, aud: 'urn:shim/x' }),
    'aud as an object': jws(RSA, { ...good, aud: { 'urn:shim': true } }),
    'aud as a nested list': jws(RSA, { ...good, aud: [['urn:shim']] }),
    'aud of others': jws(RSA, { ...good, aud: ['a', 'b'] }),
    'no exp': jws(RSA, without('exp')),
    'exp as a text': jws(RSA, { ...good, exp: `${time + 60}` }),
    'exp as null': jws(RSA, { ...good, exp: null }),
    'exp as a list': jws(RSA, { ...good, exp: [time + 60] }),
    'exp without end': jws(RSA, text.replace(/"exp":\d+/, '"exp":1e999')),
    'exp in milliseconds of a far time': jws(RSA, { ...good, exp: 1e15 }),
    'nbf as a text': jws(RSA, { ...good, nbf: '0' }),
    'iat as a text': jws(RSA, { ...good, iat: `${time}` }),
    'no sub': jws(RSA, without('sub')),
    'a claim twice': jws(RSA, text.replace('"sub":"ci"', '"sub":"ci","sub":"admin"')),
    'a claim twice, escaped': jws(RSA, text.replace('"sub":"ci"', '"sub":"ci","s\\u0075b":"admin"')),
    'alg twice': jws(RSA, good, `{"alg":"none","kid":"r1","alg":"RS256"}`),
    'claims that are a list': jws(RSA, [good]),
    'claims that are no JSON': jws(RSA, text.slice(1)),
    'claims behind a byte order mark': jws(RSA, `\ufeff${text}`),
    'claims with more behind': jws(RSA, `${text}{}`),
    'claims nested deeply': jws(RSA, text.replace('{', `{"x":${'['.repeat(1_000)}${']'.repeat(1_000)},`)),
    'a changed claim': `${head}.${encode({ ...good, sub: 'admin' })}.${tail}`,
    'a changed header': `${encode({ alg: 'RS256', kid: 'r1', typ: 'x' })}.${body}.${tail}`,
    'a cut signature': known.slice(0, -4),
    'a changed signature': `${head}.${body}.${tail.startsWith('A') ? 'B' : 'A'}${tail.slice(1)}`,
    'no signature': `${head}.${body}.`,
    padding: `${known}==`,
    'bits that nobody reads': known.slice(0, -1) + String.fromCharCode(known.charCodeAt(known.length - 1) + 1),
    'base64 of the other alphabet': known.replaceAll('-', '+').replaceAll('_', '/'),
    'a line end': `${known}\n`,
    'a blank within': `${head}. ${body}.${tail}`,
    'a part twice': `${head}.${head}.${body}.${tail}`,
    'two tokens': `${known}.${known}`,
    'two tokens with a comma': `${known},${known}`,
    'an empty header': `.${body}.${tail}`,
    'an empty payload': `${head}..${tail}`,
    nothing: '..',
    'a huge header': jws(RSA, good, { x: 'x'.repeat(LONGEST_JWT) }),
    'a byte too many': known + last.repeat(LONGEST_JWT),
  };
  for (const [name, token] of Object.entries(forged)) {
    if (token === known) throw new Error(name);
    const found = await answer(token);
    t.match(found, { kind: 'refuse', code: 'invalid_token', tokenId: /^[0-9a-f]{12}$/, reason: /./ }, name);
    const { reason = '' } = found as Unauthenticated;
    const parts = token.split(/[.,\s]+/).filter((part) => part.length > 3);
    t.notOk(parts.some((part) => reason.includes(part)) || /admin|evil|dev.null|UNION|127\.0/.test(reason), reason);
  }
  t.equal(attacker.requests.length, 0);
  t.equal(endpoint.requests.length, 2, 'the keys, and once for those that are not there');
  t.match(await answer(known), { kind: 'caller' });
});

void t.test('what no key can have signed asks nobody for keys', async (t) => {
  const { endpoint, good, check, answer } = await startSigner(t, [RSA]);
  t.equal(await check(jws(RSA, good)), '+ test:ci');
  for (const header of [{ alg: 'none' }, { alg: 'HS256' }, { alg: undefined }, { kid: 1 }, { kid: null }]) {
    t.equal(await check(jws(RSA, good, header)), 'invalid_token');
  }
  for (const token of ['', 'x', 'x.y', 'x.y.z.w', '....']) {
    t.match(await answer(token), { code: 'invalid_token', reason: 'no JWT of three parts' });
  }
  t.equal(endpoint.requests.length, 1);
});

void t.test('a fault in naming callers is no fault of the token', async (t) => {
  const endpoint = await startEndpoint(t, publish([EC]));
  const issuer = issuerOf(endpoint.url, { kind: 'jwksUri', url: `${endpoint.url}/jwks` });
  const fault = new Error('a fault');
  const fail = (): never => {
    throw fault;
  };
  const logger = testLog().logger as KeysDeps['logger'];
  const verifier = await createJwtVerifier([issuer], { now: Date.now, logger, callerFrom: fail });
  t.teardown(() => verifier.close());
  const token = jws(EC, { iss: endpoint.url, aud: 'urn:shim', exp: 4e9 }) as RawToken;
  await t.rejects(async () => verifier.verify(token, hashToken(token), 'authorization', Date.now()), fault);
});

void t.test('what is right, also where it is unusual', async (t) => {
  const { good, time, check } = await startSigner(t, [RSA, EC], { clockTolerance: 30 * SECOND });
  const cases: Readonly<Record<string, readonly [string, string]>> = {
    'one audience of many': [jws(RSA, { ...good, aud: ['other', 'urn:shim'] }), '+ test:ci'],
    ES256: [jws(EC, good), '+ test:ci'],
    'no kid, one key of that algorithm': [jws(RSA, good, { kid: undefined }), '+ test:ci'],
    'headers that are not read': [jws(RSA, good, { jku: 'https://evil.test', cty: 'x' }), '+ test:ci'],
    'expired within the tolerance': [jws(RSA, { ...good, exp: time - 29 }), '+ test:ci'],
    expired: [jws(RSA, { ...good, exp: time - 30 }), 'expired_token'],
    'long expired': [jws(RSA, { ...good, exp: 0 }), 'expired_token'],
    'nbf within the tolerance': [jws(RSA, { ...good, nbf: time + 30 }), '+ test:ci'],
    'nbf in the future': [jws(RSA, { ...good, nbf: time + 31 }), 'not_yet_valid_token'],
    'iat in the future': [jws(RSA, { ...good, iat: time + 31 }), 'not_yet_valid_token'],
    'no iat': [jws(RSA, { ...good, iat: undefined }), '+ test:ci'],
    'expired, and not for us': [jws(RSA, { ...good, exp: 0, aud: 'other' }), 'invalid_token'],
    'expired, and forged': [jws(OTHER, { ...good, exp: 0 }), 'invalid_token'],
    'expired, and of nobody': [jws(RSA, { ...good, exp: 0, sub: undefined }), 'invalid_token'],
  };
  for (const [name, [token, expected]] of Object.entries(cases)) t.equal(await check(token), expected, name);
});

void t.test('who is known where only the time is wrong', async (t) => {
  const { good, time, answer } = await startSigner(t, [EC]);
  for (const claims of [{ exp: 0 }, { nbf: time + 60 }]) {
    t.match(await answer(jws(EC, { ...good, ...claims })), { kind: 'refuse', caller: { name: 'test:ci' } });
  }
});

void t.test('a type that is required', async (t) => {
  const { good, check } = await startSigner(t, [EC], { requireTyp: 'at+jwt' });
  for (const typ of ['at+jwt', 'AT+JWT', 'application/at+jwt'])
    t.equal(await check(jws(EC, good, { typ })), '+ test:ci');
  for (const typ of [undefined, 'JWT', 'logout+jwt', 1]) t.equal(await check(jws(EC, good, { typ })), 'invalid_token');
});

void t.test('1,000 random kids see one fetch', async (t) => {
  const { endpoint, good, check, clock } = await startSigner(t, [RSA]);
  t.equal(await check(jws(RSA, good)), '+ test:ci');
  const tail = encode('x'.repeat(256));
  const random = (kid: number): string => `${encode({ alg: 'RS256', kid: `random-${kid}` })}.${encode(good)}.${tail}`;
  for (const round of [0, 1]) {
    const codes = await Promise.all(Array.from({ length: 1_000 }, (_, i) => check(random(round * 1_000 + i))));
    t.strictSame([...new Set(codes)], ['invalid_token']);
    t.equal(endpoint.requests.length, 2);
  }
  endpoint.answer = publish([NEXT]);
  t.equal(await check(jws(NEXT, good)), 'invalid_token', 'a new key is found at the next look');
  clock.now += 30 * SECOND;
  t.equal(await check(jws(NEXT, good)), '+ test:ci');
});

void t.test('keys without a kid', async (t) => {
  const bare = ({ kid: _kid, ...key }: SigningKey): SigningKey => key as unknown as SigningKey;
  const { endpoint, good, check } = await startSigner(t, [bare(OTHER), bare(RSA)]);
  t.equal(await check(jws(bare(RSA), good)), '+ test:ci', 'each is tried');
  t.equal(endpoint.requests.length, 1);
  endpoint.answer = publish([bare(NEXT)]);
  t.equal(await check(jws(bare(NEXT), good)), '+ test:ci', 'they may have been replaced');
});

void t.test('what another reader might take for a token of an issuer is its own', async (t) => {
  const { good, issuer, verifier } = await startSigner(t, [RSA]);
  const token = jws(RSA, good);
  const [head = '', payload = '', signature = ''] = token.split('.');
  const claims = (text: string): boolean => verifier.claims(text as RawToken);
  t.equal(claims(token), true);
  for (const twisted of [
    `${token}=`,
    `${head}.${payload}=.${signature}`,
    `${head}.${encode(`{"iss":"x","iss":${JSON.stringify(issuer.issuer)}}`)}.${signature}`,
    `${head}.${encode(`{"iss":${JSON.stringify(issuer.issuer)},"iss":"x"}`)}.${signature}`,
    `${encode('{"alg":"RS256","alg":"none"}')}.${payload}.${signature}`,
  ])
    t.equal(claims(twisted), true, twisted.slice(0, 40));
  t.equal(claims(jws(RSA, { ...good, iss: `${issuer.issuer}/` })), false);
  t.equal(claims('a.b.c'), false);
});

void t.test('a token without a kid is not tried with every key', async (t) => {
  const many = await Promise.all(Array.from({ length: 9 }, (_, i) => makeKey(`k${i}`)));
  const { good, check, answer } = await startSigner(t, many);
  const [first] = many as [SigningKey];
  const { kid: _kid, ...bare } = first;
  t.equal(await check(jws(first, good)), '+ test:ci');
  const nameless = jws(bare as unknown as SigningKey, good);
  t.equal(await check(nameless), 'invalid_token');
  t.match(await answer(nameless), { reason: 'a token of test: it has no kid, and more than 8 keys could be meant' });
});

void t.test('each issuer has its own rules', async (t) => {
  const one = await startEndpoint(t, publish([RSA]));
  const secret = 'a secret of at least thirty-two bytes';
  const { check, clock } = await checker(t, [
    issuerOf(one.url, { kind: 'jwksUri', url: `${one.url}/jwks` }, { name: 'one' }),
    issuerOf('two', { kind: 'secret', secret }, { name: 'two', algorithms: ['HS256'], audience: ['urn:two'] }),
  ]);
  const exp = Math.floor(clock.now / SECOND) + 60;
  const claims = (iss: string, aud: string): object => ({ iss, aud, exp, sub: 'ci' });
  t.equal(await check(jws(RSA, claims(one.url, 'urn:shim'))), '+ one:ci');
  t.equal(await check(hmac(secret, claims('two', 'urn:two'), { kid: 'any' })), '+ two:ci');
  t.equal(await check(jws(RSA, claims('two', 'urn:two'))), 'invalid_token', 'a key of the other');
  t.equal(await check(hmac(secret, claims(one.url, 'urn:shim'))), 'invalid_token', 'the secret of the other');
  t.equal(await check(jws(RSA, claims(one.url, 'urn:two'))), 'invalid_token', 'the audience of the other');
  t.equal(await check(hmac('another secret of thirty-two bytes..', claims('two', 'urn:two'))), 'invalid_token');
});

void t.test('10,000 tokens are remembered at most', async (t) => {
  const secret = 'a secret of at least thirty-two bytes';
  const issuer = issuerOf('i', { kind: 'secret', secret }, { algorithms: ['HS256'] });
  const { check, checkNow, clock } = await checker(t, [issuer]);
  const exp = Math.floor(clock.now / SECOND) + 60;
  const token = (jti: number): string => hmac(secret, { iss: 'i', aud: 'urn:shim', sub: 'ci', exp, jti });
  // In their order, which batches do not keep.
  for (let i = 0; i < 100; i++) await check(token(i));
  for (let first = 100; first < 10_000; first += 100) {
    await Promise.all(Array.from({ length: 100 }, (_, i) => check(token(first + i))));
  }
  t.equal(checkNow(token(0)), '+ test:ci');
  t.equal(await check(token(10_000)), '+ test:ci');
  t.equal(checkNow(token(0)), 'later');
  t.equal(checkNow(token(1)), '+ test:ci');
});

void t.test('a reload forgets tokens, keeps keys, and judges open requests by its own rules', async (t) => {
  const { endpoint, issuer, good, answer, verifier, clock } = await startSigner(t, [EC]);
  const text = jws(EC, good);
  const { token } = (await answer(text)) as Verified;
  const reload = async (more: Partial<IssuerConfig>): Promise<Checker> =>
    checker(t, [{ ...issuer, ...more }], verifier);

  const same = await reload({ scopes: { claim: ['scope'], ceiling: ['operator.write'] } });
  t.match(same.verifier.find(token, clock.now), { caller: { name: 'test:ci', scopes: ['operator.write'] } });
  t.equal(same.checkNow(text), 'later');
  t.equal(await same.check(text), '+ test:ci');
  t.match(same.verifier.find(token, token.expires as number), { code: 'expired_token', caller: { name: 'test:ci' } });
  t.equal(endpoint.requests.length, 1);

  for (const more of [
    { audience: ['urn:other'] },
    { algorithms: ['RS256'] },
    { requireTyp: 'at+jwt' },
    { clockTolerance: 1 },
    { issuer: 'https://other.test' },
  ]) {
    const { verifier: next } = await reload(more);
    t.match(next.find(token, clock.now), { code: 'invalid_token' }, JSON.stringify(more));
  }
  const { verifier: renamed } = await reload({ name: 'other' });
  t.match(renamed.find(token, clock.now), { code: 'identity_unavailable' }, 'keys that are on their way');
});

void t.test('a weak key beside a good one is none, and no more', async (t) => {
  // 512 bits: jose takes none below 2,048 (RFC 7518 section 3.3).
  const n = Buffer.from((OTHER.n as string).slice(0, 86), 'base64url').toString('base64url');
  const weak: SigningKey = { ...publicOf(OTHER), kid: 'weak', alg: 'RS256', n };
  const { good, answer } = await startSigner(t, [weak, RSA]);
  t.match(await answer(jws(RSA, good, { kid: undefined })), { kind: 'caller' });
  t.match(await answer(jws(OTHER, good, { kid: undefined })), { code: 'invalid_token' });
});

void t.test('keys that grew old while the machine slept are fetched for a token that is remembered', async (t) => {
  const { endpoint, good, clock, check } = await startSigner(t, [RSA]);
  const token = jws(RSA, { ...good, exp: good.exp + 3 * 86_400 });
  t.equal(await check(token), '+ test:ci');
  clock.now += 25 * 3_600 * SECOND;
  t.equal(await check(token), '+ test:ci');
  t.equal(endpoint.hits('/jwks'), 2);
});
