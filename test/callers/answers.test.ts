/** What is remembered of tokens, and how much: with a source that needs no network. */
import t from 'tap';
import { createAnswers, type AnswersDeps } from '../../src/callers/answers.ts';
import { hashToken } from '../../src/callers/token.ts';
import { invalid } from '../../src/callers/unauthenticated.ts';
import { createClaimJudge, type Answer, type ClaimChecks, type VouchedToken } from '../../src/callers/vouched.ts';
import type { Caller, RawToken } from '../../src/types.ts';
import { testLog } from '../helpers/redis.ts';

const NOW = Date.UTC(2026, 11, 1);
const caller: Caller = { name: 'ci', tokens: [], scopes: [], allowHeaders: [], onForbiddenHeader: 'drop' };

/** Tokens that begin with `good` are good. */
async function startAnswers() {
  const log = testLog();
  const clock = { now: NOW };
  const rules = 'rules';
  const callerFrom = (): Caller => caller;
  const checks: ClaimChecks<VouchedToken> = {
    about: 'a token',
    options: () => ({}),
    lateness: 0,
    rules,
    callerFrom,
    complete: (token) => token,
  };
  const judge = await createClaimJudge(checks);
  const asked: string[] = [];
  const answers = createAnswers<VouchedToken>(
    {
      who: 'test',
      cache: 60_000,
      rules,
      callerFrom,
      async ask({ raw, hash }, now) {
        asked.push(raw);
        return raw.startsWith('good') ? judge({ raw, hash }, {}, now) : invalid(hash, 'no');
      },
    },
    { now: () => clock.now, logger: log.logger as AnswersDeps['logger'] },
  );
  const ask = (raw: string): Answer | Promise<Answer> =>
    answers.verify(raw as RawToken, hashToken(raw as RawToken), clock.now);
  return { answers, asked, clock, log, ask };
}

void t.test('made-up tokens push out none that is good, and of each kind 10,000 are remembered', async (t) => {
  const { ask } = await startAnswers();
  t.match(await ask('good'), { kind: 'caller' });
  for (let i = 0; i <= 10_000; i += 1) await ask(`bad ${i}`);
  t.match(ask('good'), { kind: 'caller' });
  t.match(ask('bad 10000'), { code: 'invalid_token' });
  t.match(ask('bad 1'), { code: 'invalid_token' });
  t.type(ask('bad 0'), Promise);
  for (let i = 0; i < 10_000; i += 1) await ask(`good ${i}`);
  t.match(ask('good 0'), { kind: 'caller' });
  t.type(ask('good'), Promise, 'the oldest is forgotten');
});

void t.test('a token that is asked about again is the newest', async (t) => {
  const { ask, clock } = await startAnswers();
  for (let i = 0; i < 10_000; i += 1) await ask(`good ${i}`);
  clock.now += 60_000;
  await ask('good 1');
  await ask('good 10000');
  await ask('good 10001');
  t.match(ask('good 1'), { kind: 'caller' });
});

void t.test('a running request whose token was pushed out is asked about again', async (t) => {
  const { answers, ask, asked, clock } = await startAnswers();
  const first = (await ask('good')) as Extract<Answer, { kind: 'caller' }>;
  for (let i = 0; i < 10_000; i += 1) await ask(`good ${i}`);
  t.equal(asked.length, 10_001);
  t.match(answers.find(first.token, clock.now), { kind: 'caller' });
  t.match(answers.find(first.token, clock.now), { kind: 'caller' });
  t.strictSame(asked.slice(10_001), ['good']);
});

void t.test('what is remembered costs no question and no promise', async (t) => {
  const { ask, asked } = await startAnswers();
  await ask('good');
  const known = ask('good');
  t.notOk(known instanceof Promise);
  t.equal(known, ask('good'), 'nor a new answer');
  t.equal(asked.length, 1);
});
