import t from 'tap';
import { createCallerTable, type Unauthenticated } from '../../src/callers/table.ts';
import { hashToken, mintToken } from '../../src/callers/token.ts';
import type { ErrorCode } from '../../src/errors.ts';
import type { Caller, RawToken, Token } from '../../src/types.ts';

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
