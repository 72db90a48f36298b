/** Limits counted in memory. */
import t from 'tap';
import { mock } from 'node:test';
import type { Refusal } from '../../src/errors.ts';
import { createLimiter, type Admitted, type Limiter, type LimitPolicy } from '../../src/limits/limiter.ts';
import { createCountedNames } from '../../src/limits/names.ts';
import { testLog } from '../helpers/redis.ts';

const SECOND = 1000;
const DAY = 86_400 * SECOND;

t.before(() => mock.timers.enable({ apis: ['Date', 'setTimeout'], now: Date.UTC(2026, 11, 1) }));
t.after(() => mock.timers.reset());

const newLimiter = (): Promise<Limiter> => createLimiter(undefined, testLog().logger);

void t.test('callers of another shim: new names are no new budget', async (t) => {
  const limiter = await newLimiter();
  const policy = { requestsPerDay: 1 };
  for (let i = 0; i < 1_000; i++) t.equal(await codes(limiter, 1, policy, `laptop/${i}`), '+');
  t.equal(await codes(limiter, 1, policy, 'laptop/7'), 'quota_exceeded');
  t.equal(await codes(limiter, 1, policy, 'laptop/beyond'), '+', 'those beyond have one budget');
  t.equal(await codes(limiter, 1, policy, 'laptop/further'), 'quota_exceeded');
  t.equal(await codes(limiter, 1, policy, 'other/beyond'), '+', 'another shim has its own');
  t.equal(await codes(limiter, 1, policy, 'own'), '+');
  await limiter.close();
});

void t.test('and the next day names count anew', async (t) => {
  let now = 0;
  const counted = createCountedNames(() => now);
  for (let i = 0; i < 1_000; i++) counted(`laptop/${i}`);
  t.equal(counted('laptop/beyond'), 'laptop/');
  now = DAY;
  t.equal(counted('laptop/beyond'), 'laptop/beyond');
});

/** The codes of so many requests; those that are admitted end at once. */
async function codes(limiter: Limiter, times: number, policy: LimitPolicy, caller = 'a'): Promise<string> {
  const found: string[] = [];
  for (let i = 0; i < times; i++) {
    const answer = await limiter.admit(caller, policy);
    if (answer.kind === 'admitted') answer.release();
    found.push(answer.kind === 'admitted' ? '+' : answer.code);
  }
  return found.join(' ');
}

async function refused(limiter: Limiter, policy: LimitPolicy): Promise<Refusal> {
  const answer = await limiter.admit('a', policy);
  if (answer.kind !== 'refuse') throw new Error('admitted');
  return answer;
}

async function admitted(limiter: Limiter, policy: LimitPolicy): Promise<Admitted> {
  const answer = await limiter.admit('a', policy);
  if (answer.kind !== 'admitted') throw new Error(answer.code);
  return answer;
}

const headers = (limit: number, remaining: number, reset: number): string[] => [
  'ratelimit-limit',
  String(limit),
  'ratelimit-remaining',
  String(remaining),
  'ratelimit-reset',
  String(reset),
];

void t.test('without a limit the answer comes at once and has no headers', async (t) => {
  const limiter = await newLimiter();
  const answer = limiter.admit('a', {});
  t.match(answer, { kind: 'admitted', headers: [] });
  t.match(limiter.admit('a', { streams: 2 }), { kind: 'admitted', headers: [] });
  t.equal(limiter.storeUp, true);
  await limiter.close();
});

void t.test('so many a minute, which begins with its first request', async (t) => {
  const limiter = await newLimiter();
  const policy = { requestsPerMinute: 2 };
  t.strictSame((await admitted(limiter, policy)).headers, headers(2, 1, 60));
  mock.timers.tick(20.5 * SECOND);
  t.strictSame((await admitted(limiter, policy)).headers, headers(2, 0, 40));
  t.strictSame(await refused(limiter, policy), {
    kind: 'refuse',
    code: 'rate_limited',
    message: 'At most 2 requests a minute.',
    retryAfter: 40,
    headers: headers(2, 0, 40),
  });
  t.equal(await codes(limiter, 1, policy, 'b'), '+', 'another caller has its own');
  mock.timers.tick(39 * SECOND);
  t.equal(await codes(limiter, 1, policy), 'rate_limited');
  mock.timers.tick(0.5 * SECOND);
  t.equal(await codes(limiter, 3, policy), '+ + rate_limited');
});

void t.test('burst: more than the minute has, until its ten minutes are over', async (t) => {
  const limiter = await newLimiter();
  const policy = { requestsPerMinute: 1, burst: 2 };
  t.equal(await codes(limiter, 4, policy), '+ + + rate_limited');
  t.strictSame(await refused(limiter, policy), {
    kind: 'refuse',
    code: 'rate_limited',
    message: 'At most 1 requests a minute and 2 more in ten minutes.',
    retryAfter: 60,
    headers: headers(1, 0, 60),
  });
  mock.timers.tick(60 * SECOND);
  t.equal(await codes(limiter, 2, policy), '+ rate_limited', 'the next minute has its own, and no burst');
  mock.timers.tick(530 * SECOND);
  t.equal(await codes(limiter, 2, policy), '+ rate_limited');
  t.equal((await refused(limiter, policy)).retryAfter, 10, 'the burst comes back before the minute ends');
  mock.timers.tick(10 * SECOND);
  t.equal(await codes(limiter, 3, policy), '+ + rate_limited');
});

void t.test('so many in 24 hours', async (t) => {
  const limiter = await newLimiter();
  const policy = { requestsPerDay: 2 };
  t.strictSame((await admitted(limiter, policy)).headers, headers(2, 1, 86_400));
  t.equal(await codes(limiter, 1, policy), '+');
  mock.timers.tick(DAY - SECOND);
  t.strictSame(await refused(limiter, policy), {
    kind: 'refuse',
    code: 'quota_exceeded',
    message: 'At most 2 requests in 24 hours.',
    retryAfter: 1,
    headers: headers(2, 0, 1),
  });
  mock.timers.tick(SECOND);
  t.equal(await codes(limiter, 1, policy), '+');
});

void t.test('so many open at once', async (t) => {
  const limiter = await newLimiter();
  const policy = { streams: 2 };
  const first = await admitted(limiter, policy);
  const second = await admitted(limiter, policy);
  t.strictSame(limiter.admit('a', policy), {
    kind: 'refuse',
    code: 'too_many_streams',
    message: 'At most 2 requests open at once.',
    retryAfter: 1,
    headers: headers(2, 0, 1),
  });
  first.release();
  first.release();
  const third = await admitted(limiter, policy);
  t.equal((await refused(limiter, policy)).code, 'too_many_streams', 'a second release gave nothing');
  t.match(await limiter.admit('b', policy), { kind: 'admitted' });
  second.release();
  third.release();
  t.equal(await codes(limiter, 3, policy), '+ + +');
});

void t.test('what is open counts from before a limit was set', async (t) => {
  const limiter = await newLimiter();
  const { release } = await admitted(limiter, {});
  t.equal(await codes(limiter, 1, { streams: 1 }), 'too_many_streams');
  release();
  t.equal(await codes(limiter, 1, { streams: 1 }), '+');
});

void t.test('the headers tell of the limit that is nearest', async (t) => {
  const limiter = await newLimiter();
  const policy = { requestsPerMinute: 3, requestsPerDay: 4 };
  t.strictSame((await admitted(limiter, policy)).headers, headers(3, 2, 60));
  mock.timers.tick(60 * SECOND);
  t.strictSame((await admitted(limiter, policy)).headers, headers(3, 2, 60), 'as many of both: the first');
  t.strictSame((await admitted(limiter, policy)).headers, headers(3, 1, 60));
  t.strictSame((await admitted(limiter, policy)).headers, headers(3, 0, 60));
  mock.timers.tick(60 * SECOND);
  t.strictSame((await refused(limiter, policy)).headers, headers(4, 0, 86_280));
  t.strictSame((await admitted(limiter, { ...policy, requestsPerDay: 6 })).headers, headers(6, 1, 86_280));
});

void t.test('what is refused for one limit uses up no other', async (t) => {
  const limiter = await newLimiter();
  await t.test('streams: neither minute nor day', async (t) => {
    const { release } = await admitted(limiter, {});
    t.match(await codes(limiter, 5, { streams: 1, requestsPerMinute: 2, requestsPerDay: 2 }), /too_many_streams$/);
    release();
    t.equal(await codes(limiter, 2, { streams: 1, requestsPerMinute: 2, requestsPerDay: 2 }), '+ +');
  });
  await t.test('minute: neither stream nor day', async (t) => {
    t.match(await codes(limiter, 5, { streams: 1, requestsPerMinute: 2, requestsPerDay: 3 }), /^rate_limited/);
    mock.timers.tick(60 * SECOND);
    const policy = { streams: 1, requestsPerMinute: 2, requestsPerDay: 3 };
    t.equal(await codes(limiter, 2, policy), '+ quota_exceeded');
  });
  await t.test('day: neither stream, minute nor burst', async (t) => {
    const policy = { streams: 1, requestsPerMinute: 2, burst: 1, requestsPerDay: 3 };
    t.match(await codes(limiter, 6, policy), /^quota_exceeded/);
    t.equal(await codes(limiter, 3, { ...policy, requestsPerDay: 100 }), '+ + rate_limited');
  });
});

void t.test('a number that changes applies at the next request', async (t) => {
  const limiter = await newLimiter();
  t.equal(await codes(limiter, 6, { requestsPerMinute: 2, requestsPerDay: 10 }), `+ + ${refusals(4)}`);
  t.equal(await codes(limiter, 3, { requestsPerMinute: 4, requestsPerDay: 10 }), '+ + rate_limited', 'raised');
  t.equal(await codes(limiter, 1, { requestsPerMinute: 3, requestsPerDay: 10 }), 'rate_limited', 'lowered');
  t.equal(await codes(limiter, 1, {}), '+', 'lifted');
  t.equal(await codes(limiter, 5, { requestsPerDay: 4 }), Array(5).fill('quota_exceeded').join(' '));
  t.equal(await codes(limiter, 2, { requestsPerDay: 5 }), '+ quota_exceeded', 'what was refused is not counted');
});

void t.test('requests at the same moment share the limit', async (t) => {
  const limiter = await newLimiter();
  const policy = { requestsPerMinute: 10, requestsPerDay: 7, streams: 20 };
  const answers = await Promise.all(Array.from({ length: 25 }, async () => limiter.admit('a', policy)));
  const counted = (code: string): number =>
    answers.filter((answer) => (answer.kind === 'refuse' ? answer.code : answer.kind) === code).length;
  t.equal(counted('admitted'), 7);
  t.equal(counted('too_many_streams'), 5);
  t.equal(counted('rate_limited') + counted('quota_exceeded'), 13);
});

function refusals(count: number): string {
  return Array(count).fill('rate_limited').join(' ');
}

void t.test('WebSockets are counted apart from requests', async (t) => {
  const limiter = await newLimiter();
  const policy = { streams: 1, sockets: 2 };
  const sockets = [limiter.admit('a', policy, 'socket'), limiter.admit('a', policy, 'socket')] as Admitted[];
  t.match(sockets, [
    { kind: 'admitted', headers: [] },
    { kind: 'admitted', headers: [] },
  ]);
  const full = {
    kind: 'refuse',
    code: 'too_many_sockets',
    message: 'At most 2 WebSockets open at once.',
    retryAfter: 1,
    headers: headers(2, 0, 1),
  };
  t.strictSame(limiter.admit('a', policy, 'socket'), full);
  t.match(limiter.admit('b', policy, 'socket'), { kind: 'admitted' }, 'another caller has its own');
  const stream = await admitted(limiter, policy);
  t.match(limiter.admit('a', policy), { code: 'too_many_streams' });
  stream.release();
  t.strictSame(limiter.admit('a', policy, 'socket'), full, 'a request that ends gives no room for a socket');
  sockets[0]?.release();
  sockets[0]?.release();
  t.match(limiter.admit('a', policy, 'socket'), { kind: 'admitted' });
  t.strictSame(limiter.admit('a', policy, 'socket'), full, 'a second release gave nothing');
  t.match(limiter.admit('a', { streams: 1 }, 'socket'), { kind: 'admitted' }, 'a limit of requests is none of sockets');
});

void t.test('an upgrade is a request of its minute and its day; one that is refused there holds no room', async (t) => {
  const limiter = await newLimiter();
  const policy = { sockets: 2, requestsPerMinute: 1 };
  const first = await limiter.admit('a', policy, 'socket');
  t.match(first, { kind: 'admitted', headers: headers(1, 0, 60) });
  t.match(await limiter.admit('a', policy, 'socket'), { code: 'rate_limited' });
  t.match(await limiter.admit('a', policy), { code: 'rate_limited' }, 'they share the minute');
  mock.timers.tick(60 * SECOND);
  t.match(await limiter.admit('a', policy, 'socket'), { kind: 'admitted' });
  t.match(await limiter.admit('a', policy, 'socket'), { code: 'too_many_sockets' });
});
