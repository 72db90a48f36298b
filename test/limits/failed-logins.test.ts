import t from 'tap';
import { createFailedLogins, type FailedLogins } from '../../src/limits/failed-logins.ts';

/** A clock that stands still until it is told. */
function counter(): { readonly count: FailedLogins['count']; readonly tick: (ms: number) => void } {
  let now = 1_000_000;
  return {
    count: createFailedLogins(() => now).count,
    tick: (ms) => {
      now += ms;
    },
  };
}

/** Answers of so many failures. */
function fail(count: FailedLogins['count'], times: number, peer?: string, tokenId?: string): (number | undefined)[] {
  return Array.from({ length: times }, () => count(peer, tokenId));
}

const TEN = Array<undefined>(10).fill(undefined);

void t.test('ten in a minute for an address', async (t) => {
  const { count, tick } = counter();
  t.strictSame(fail(count, 11, '192.0.2.1'), [...TEN, 60]);
  tick(18_500);
  t.equal(count('192.0.2.1', undefined), 42);
  t.equal(count('192.0.2.2', undefined), undefined, 'another address');
  tick(41_499);
  t.equal(count('192.0.2.1', undefined), 1);
  tick(1);
  t.strictSame(fail(count, 11, '192.0.2.1'), [...TEN, 60], 'then anew');
});

void t.test('ten in a minute for a token, wherever it comes from', async (t) => {
  const { count } = counter();
  for (let i = 0; i < 10; i++) t.equal(count(`192.0.2.${i}`, 'aaaaaaaaaaaa'), undefined);
  t.equal(count('192.0.2.99', 'aaaaaaaaaaaa'), 60);
  t.equal(count(undefined, 'aaaaaaaaaaaa'), 60);
  t.equal(count('192.0.2.99', 'bbbbbbbbbbbb'), undefined);
});

void t.test('the longer of both waits', async (t) => {
  const { count, tick } = counter();
  fail(count, 11, '192.0.2.1');
  tick(30_000);
  fail(count, 10, undefined, 'aaaaaaaaaaaa');
  t.equal(count('192.0.2.1', 'aaaaaaaaaaaa'), 60);
  t.equal(count('192.0.2.1', undefined), 30);
});

void t.test('without an address and a token nothing is counted', async (t) => {
  t.strictSame(fail(counter().count, 11), [...TEN, undefined]);
});

const SAME: readonly { name: string; first: string; second: string; same: boolean }[] = [
  { name: 'a /64', first: '2001:db8:0:1::1', second: '2001:db8:0:1:ffff:ffff:ffff:ffff', same: true },
  { name: 'two /64', first: '2001:db8:0:1::1', second: '2001:db8:0:2::1', same: false },
  { name: 'two spellings', first: '2001:db8::1', second: '2001:0DB8:0000:0000:1::', same: true },
  { name: 'a gap inside the /64', first: '1:0:0:4::', second: '1:0:0:5::', same: false },
  { name: 'a gap after the /64', first: '1:2:3:4::', second: '1:2:3:5::', same: false },
  { name: 'a gap at the start', first: '::1:2:3:4:5', second: '::2:2:3:4:5', same: false },
  { name: 'no gap', first: '1:2:3:4:5:6:7:8', second: '1:2:3:4::', same: true },
  { name: 'an IPv4-mapped address', first: '::ffff:192.0.2.1', second: '192.0.2.1', same: true },
  { name: 'an IPv4-mapped address in hex', first: '::FFFF:c000:201', second: '192.0.2.1', same: true },
  { name: 'two IPv4-mapped addresses', first: '::ffff:192.0.2.1', second: '::ffff:192.0.2.2', same: false },
];

void t.test('which addresses are one', async (t) => {
  for (const { name, first, second, same } of SAME) {
    const { count } = counter();
    fail(count, 10, first);
    t.equal(count(second, undefined), same ? 60 : undefined, name);
  }
});

void t.test('300,000 addresses and tokens in bounded memory', async (t) => {
  const { count, tick } = counter();
  const name = (i: number): readonly [string, string] => [
    `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`,
    i.toString(16).padStart(12, '0'),
  ];
  for (let i = 0; i < 1000; i++) count(...name(i));
  const before = process.memoryUsage().heapUsed;
  const began = performance.now();
  for (let i = 0; i < 300_000; i++) {
    if (i % 5 === 0) tick(1);
    count(...name(i));
  }
  const after = process.memoryUsage().heapUsed;
  t.comment(`${((performance.now() - began) / 300).toFixed(2)} µs each, ${((after - before) / 1e6).toFixed(1)} MB`);
  t.ok(after - before < 50e6, 'with what was not collected yet; unbounded it would be three times as much');
});

void t.test('beyond the bound all others share one count, and it ends', async (t) => {
  const { count, tick } = counter();
  const known = '192.0.2.1';
  fail(count, 5, known);
  for (let i = 0; i < 9_999; i++) count(`10.0.${i >> 8}.${i & 255}`, undefined);
  for (let i = 0; i < 10; i++) t.equal(count(`10.1.0.${i}`, undefined), undefined);
  t.equal(count('10.1.0.99', undefined), 60, 'the eleventh that is not known');
  t.strictSame(fail(count, 5, known), TEN.slice(5), 'who is known has a count of their own');
  t.equal(count(known, undefined), 60);
  tick(60_000);
  fail(count, 11, '10.1.0.99');
  t.equal(count('10.1.0.98', undefined), undefined, 'there is room again for each');
});

void t.test('the count that is shared has windows as well', async (t) => {
  const { count, tick } = counter();
  const fill = (net: number): void => {
    for (let i = 0; i < 10_000; i++) count(`10.${net}.${i >> 8}.${i & 255}`, undefined);
  };
  fill(0);
  t.strictSame(fail(count, 11, '192.0.2.1'), [...TEN, 60]);
  tick(60_000);
  fill(1);
  t.strictSame(fail(count, 11, '192.0.2.1'), [...TEN, 60]);
});

void t.test('who fails again after a minute does not keep the room of others', async (t) => {
  const { count, tick } = counter();
  for (let i = 0; i < 9_000; i++) count(`10.0.${i >> 8}.${i & 255}`, undefined);
  tick(60_000);
  count('10.0.0.0', undefined);
  const others = Array.from({ length: 9_999 }, (_, i) => count(`10.1.${i >> 8}.${i & 255}`, undefined));
  t.ok(others.every((wait) => wait === undefined));
});

void t.test('whether one more would be too many is told without counting it', async (t) => {
  let now = 0;
  const { count, tooMany } = createFailedLogins(() => now);
  const one = '192.0.2.1';
  for (let i = 0; i < 9; i++) count(one, undefined);
  for (let i = 0; i < 20; i++) t.equal(tooMany(one), undefined);
  t.equal(count(one, undefined), undefined, 'the tenth');
  t.equal(tooMany(one), 'failed');
  t.equal(tooMany('192.0.2.2'), undefined);
  t.equal(tooMany(undefined), undefined, 'a unix socket');
  now = 60_000;
  t.equal(tooMany(one), undefined, 'a minute later');
});

void t.test('what had no answer is counted apart, and refuses nobody else', async (t) => {
  const { count, tooMany, unanswered } = createFailedLogins(() => 0);
  const one = '192.0.2.1';
  for (let i = 0; i < 9; i++) unanswered(one);
  t.equal(tooMany(one), undefined);
  unanswered(one);
  t.equal(tooMany(one), 'unanswered');
  t.equal(tooMany('192.0.2.2'), undefined);
  t.equal(count(one, undefined), undefined, 'no login has failed');
  for (let i = 0; i < 9; i++) count(one, undefined);
  t.equal(tooMany(one), 'failed');
  unanswered(undefined);
});
