import t from 'tap';
import { createCallerTable, type Unauthenticated } from '../../src/callers/table.ts';
import type { JwtVerifier, VerifiedToken } from '../../src/callers/jwt.ts';
import { hashToken, mintToken } from '../../src/callers/token.ts';
import type { ErrorCode } from '../../src/errors.ts';
import type { Caller, ClientCertificate, RawToken, Token } from '../../src/types.ts';

const NOW = Date.UTC(2026, 5, 1);
const OLD = 'an-old-token-that-somebody-holds' as RawToken;
const NEW = mintToken(() => new Uint8Array(32).fill(7));
const LATER = 'valid-from-next-month-0123456789' as RawToken;
const PAST = 'expired-last-month-0123456789-ab' as RawToken;
const EDGE = 'valid-for-one-millisecond-000000' as RawToken;

function entry(token: RawToken, more: Partial<Token> = {}): Token {
  const hash = hashToken(token);
  return { hash, id: hash.slice(0, 12), ...more };
}

function caller(name: string, tokens: readonly Token[]): Caller {
  return { name, tokens, scopes: [], allowHeaders: [], onForbiddenHeader: 'drop' };
}

const one = caller('one', [entry(OLD), entry(NEW)]);
const two = caller('two', [
  entry(LATER, { notBefore: NOW + 1 }),
  entry(PAST, { expires: NOW }),
  entry(EDGE, { notBefore: NOW, expires: NOW + 1 }),
]);
const { authenticate, find } = createCallerTable([one, two, caller('three', [])]);

void t.test('who owns a token', async (t) => {
  const cases: readonly (readonly [token: RawToken, owner: Caller, now: number])[] = [
    [OLD, one, NOW],
    [NEW, one, NOW],
    [EDGE, two, NOW],
    [LATER, two, NOW + 1],
    [PAST, two, NOW - 1],
  ];
  for (const [token, owner, now] of cases) {
    t.strictSame(authenticate({ authorization: `bEARER ${token}` }, now), {
      kind: 'caller',
      caller: owner,
      token: owner.tokens.find(({ hash }) => hash === hashToken(token)),
    });
  }
});

void t.test('who is nobody', async (t) => {
  const typo = `${NEW.slice(0, -1)}${NEW.endsWith('a') ? 'b' : 'a'}`;
  const foreign = mintToken(() => new Uint8Array(32).fill(9));
  const cases: readonly (readonly [
    name: string,
    authorization: string | undefined,
    code: ErrorCode,
    reason?: string,
  ])[] = [
    ['no header', undefined, 'missing_token'],
    ['another scheme', `Basic ${OLD}`, 'missing_token'],
    ['no token', 'Bearer', 'invalid_token', 'not a b64token of 24 to 512 characters'],
    ['two tokens', `Bearer ${OLD} ${NEW}`, 'invalid_token', 'not a b64token of 24 to 512 characters'],
    ['unknown', `Bearer ${'x'.repeat(40)}`, 'invalid_token', 'unknown token'],
    ['minted, but not here', `Bearer ${foreign}`, 'invalid_token', 'unknown token'],
    ['mistyped', `Bearer ${typo}`, 'invalid_token', 'checksum mismatch: mistyped or cut'],
    ['in another case', `Bearer ${OLD.toUpperCase()}`, 'invalid_token', 'unknown token'],
    ['cut', `Bearer ${OLD.slice(0, -1)}`, 'invalid_token', 'unknown token'],
    ['longer', `Bearer ${OLD}a`, 'invalid_token', 'unknown token'],
    ['padded', `Bearer ${OLD}=`, 'invalid_token', 'unknown token'],
    ['its hash', `Bearer ${hashToken(OLD)}`, 'invalid_token', 'unknown token'],
    ['a name of Object', `Bearer ${'__proto__'.repeat(3)}`, 'invalid_token', 'unknown token'],
    ['not valid yet', `Bearer ${LATER}`, 'not_yet_valid_token', `token ${hashToken(LATER).slice(0, 12)} of two`],
    ['expired', `Bearer ${PAST}`, 'expired_token', `token ${hashToken(PAST).slice(0, 12)} of two`],
  ];
  for (const [name, authorization, code, reason] of cases) {
    const answer = authenticate({ authorization }, NOW);
    const { tokenId, caller: owner, ...refusal } = answer as Unauthenticated;
    t.strictSame(refusal, { kind: 'refuse', code, ...(reason && { reason }) }, name);
    const shown = reason !== undefined && !reason.startsWith('not a b64token');
    t.equal(owner?.name, code === 'invalid_token' || code === 'missing_token' ? undefined : 'two', name);
    t.equal(tokenId, shown ? hashToken(authorization?.slice(7) as RawToken).slice(0, 12) : undefined, name);
  }
  t.match(authenticate({ authorization: `Bearer ${EDGE}` }, NOW - 1), { code: 'not_yet_valid_token' });
  t.match(authenticate({ authorization: `Bearer ${EDGE}` }, NOW + 1), { code: 'expired_token' });
  t.match(
    createCallerTable([]).authenticate({ authorization: `Bearer ${OLD}` }, NOW),
    { code: 'invalid_token' },
    'nobody may call',
  );
});

void t.test('a token that was let through is found again by its hash', async (t) => {
  t.match(find({ token: { hash: hashToken(OLD) } }, NOW), { kind: 'caller', caller: { name: 'one' } });
  t.match(find({ token: { hash: hashToken(PAST) } }, NOW), { code: 'expired_token' });
  t.match(find({ token: { hash: hashToken(EDGE) } }, NOW - 1), { code: 'not_yet_valid_token' });
  t.match(createCallerTable([]).find({ token: { hash: hashToken(OLD) } }, NOW), {
    code: 'invalid_token',
    reason: 'the token was revoked',
  });
});

const WEB = 'spiffe://cluster/ns/app/sa/web';

function certificate(more: Partial<ClientCertificate> = {}): ClientCertificate {
  return {
    fingerprint: 'f'.repeat(64),
    id: `cert:${'f'.repeat(12)}`,
    uris: [],
    dnsNames: [],
    clientAuth: true,
    notBefore: NOW,
    notAfter: NOW + 1,
    chain: [],
    verifiedBy: undefined,
    ...more,
  };
}

const web: Caller = { ...caller('web', [entry(OLD)]), certificates: [{ uri: WEB }, { dns: 'web.example' }] };
const pinned: Caller = { ...caller('pinned', [entry(NEW)]), certificates: [{ fingerprint: 'a'.repeat(64) }] };
const rules = { credentials: 'all', trusts: () => true, required: false } as const;
const byName = certificate({ uris: [WEB] });

void t.test('who a certificate names', async (t) => {
  const table = createCallerTable([web, pinned], rules);
  const cases: readonly (readonly [name: string, shown: Partial<ClientCertificate>, owner: string | undefined])[] = [
    ['a URI', { uris: [WEB] }, 'web'],
    ['a DNS name, in any case', { dnsNames: ['WEB.Example'] }, 'web'],
    ['two names of one caller', { uris: [WEB], dnsNames: ['web.example', 'other.example'] }, 'web'],
    ['its fingerprint', { fingerprint: 'a'.repeat(64) }, 'pinned'],
    ['another URI', { uris: [`${WEB}2`] }, undefined],
    ['a URI in another case', { uris: [WEB.toUpperCase()] }, undefined],
    ['a URI that begins so', { uris: [`${WEB}/x`] }, undefined],
    ['the URI as a DNS name', { dnsNames: [WEB] }, undefined],
    ['a DNS name below it', { dnsNames: ['a.web.example'] }, undefined],
    ['no name', {}, undefined],
  ];
  const uris = Array.from({ length: 9_000 }, (_, i) => `spiffe://c/${i}`);
  const unknown = table.authenticate({ authorization: undefined, certificate: certificate({ uris }) }, NOW);
  t.match(unknown, { reason: /^certificate cert:\w+ names no caller \(spiffe:.{190,200}…\)$/ }, 'not all of its names');
  for (const [name, more, owner] of cases) {
    const answer = table.authenticate({ authorization: undefined, certificate: certificate(more) }, NOW);
    if (owner === undefined) t.match(answer, { code: 'missing_token', message: /names no caller/ }, name);
    else t.match(answer, { kind: 'caller', caller: { name: owner }, token: undefined }, name);
  }
});

void t.test('a certificate that names nobody well', async (t) => {
  const table = createCallerTable([web, pinned], rules);
  const two = certificate({ uris: [WEB], fingerprint: 'a'.repeat(64) });
  const without = certificate({ uris: [WEB], clientAuth: false });
  for (const authorization of [undefined, `Bearer ${OLD}`]) {
    const of = (shown: ClientCertificate, now = NOW) => table.authenticate({ authorization, certificate: shown }, now);
    t.match(of(two), { code: 'invalid_certificate', reason: /names web and pinned/ });
    t.match(of(without), { code: 'invalid_certificate', reason: /clientAuth/ });
    t.match(of(byName, NOW - 1), { code: 'expired_certificate', caller: { name: 'web' } });
    t.match(of(byName, NOW + 1), { code: 'expired_certificate', caller: { name: 'web' } });
    const distrustful = createCallerTable([web], { ...rules, trusts: (one, now) => one !== byName || now !== NOW });
    t.match(distrustful.authenticate({ authorization, certificate: byName }, NOW), { code: 'invalid_certificate' });
    t.match(createCallerTable([web]).authenticate({ authorization, certificate: byName }, NOW), {
      code: 'invalid_certificate',
    });
  }
});

void t.test('a bearer beside a certificate', async (t) => {
  for (const credentials of ['all', 'bearer'] as const) {
    const table = createCallerTable([web, pinned], { ...rules, credentials });
    const ask = (token: string, more: Partial<ClientCertificate>, now = NOW) =>
      table.authenticate({ authorization: `Bearer ${token}`, certificate: certificate(more) }, now);
    const wins = credentials === 'bearer';
    t.match(ask(OLD, { uris: [WEB] }), { kind: 'caller', caller: { name: 'web' }, token: { hash: hashToken(OLD) } });
    t.match(ask(NEW, {}), { kind: 'caller', caller: { name: 'pinned' } }, 'one that names nobody');
    t.match(
      ask(NEW, { uris: [WEB] }),
      wins ? { kind: 'caller', caller: { name: 'pinned' } } : { code: 'invalid_certificate', reason: /web.*pinned/ },
    );
    t.match(ask('x'.repeat(40), { uris: [WEB] }), { code: 'invalid_token' }, 'a wrong bearer is no bearer less');
    t.match(ask(OLD, {}, NOW + 1), { code: 'expired_certificate' }, 'it has to be valid, whoever is named');
    t.match(
      table.authenticate({ authorization: undefined, certificate: byName }, NOW),
      { kind: 'caller', caller: { name: 'web' } },
      'without a bearer it names its caller',
    );
  }
});

void t.test('an expired bearer hides nothing else that is wrong', async (t) => {
  const table = createCallerTable([web, pinned, two], { ...rules, credentials: 'all' });
  const expired = (certificate?: ClientCertificate) =>
    table.find({ token: entry(PAST), ...(certificate && { certificate }) }, NOW) as Unauthenticated;
  t.match(expired(), { code: 'expired_token', caller: { name: 'two' } });
  t.match(expired(certificate({})), { code: 'expired_token' });
  t.match(expired(certificate({ uris: [WEB] })), { code: 'invalid_certificate', reason: /web.*two/ });
  const late = table.find({ token: entry(PAST), certificate: certificate({}) }, NOW + 1);
  t.match(late, { code: 'expired_certificate', caller: { name: 'two' } });
  const refusing = (refusal: object) =>
    ({ headers: new Set(['cf-access-jwt-assertion']), find: () => refusal }) as unknown as JwtVerifier;
  const beside = (refusal: object) =>
    createCallerTable([two], undefined, { jwts: refusing(refusal) }).find(
      { token: entry(PAST), assertion: { issuer: 'a' } as VerifiedToken },
      NOW,
    );
  t.match(beside({ kind: 'refuse', code: 'invalid_token', reason: 'gone' }), { code: 'invalid_token', reason: 'gone' });
  t.match(beside({ kind: 'refuse', code: 'expired_token', caller: web }), {
    code: 'expired_token',
    caller: { name: 'two' },
  });
});

void t.test('where a certificate is required, a connection from before that has none to show', async (t) => {
  const table = createCallerTable([web], { ...rules, required: true });
  const refusal = { code: 'invalid_certificate', reason: /required/ };
  t.match(table.authenticate({ authorization: `Bearer ${OLD}` }, NOW), refusal);
  t.match(table.authenticate({ authorization: undefined }, NOW), refusal);
  t.match(table.find({ token: { hash: hashToken(OLD) } }, NOW), refusal);
  t.match(table.authenticate({ authorization: `Bearer ${OLD}`, certificate: byName }, NOW), { kind: 'caller' });
});

void t.test('what was let through by a certificate is found again', async (t) => {
  const find = (callers: readonly Caller[], token?: string, now = NOW) =>
    createCallerTable(callers, rules).find(
      { certificate: byName, ...(token !== undefined && { token: { hash: hashToken(token as RawToken) } }) },
      now,
    );
  t.match(find([web]), { kind: 'caller', caller: { name: 'web' } });
  t.match(find([web], OLD), { kind: 'caller', caller: { name: 'web' } });
  t.match(find([]), { code: 'missing_token' });
  t.match(find([{ ...web, certificates: [] }]), { code: 'missing_token' });
  t.match(find([web, pinned], NEW), { code: 'invalid_certificate' });
  t.match(find([web], NEW), { code: 'invalid_token' });
  t.match(find([web], undefined, NOW + 1), { code: 'expired_certificate', caller: { name: 'web' } });
});
