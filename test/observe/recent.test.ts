import t from 'tap';
import { MOST_CALLERS, MOST_REFUSALS, Recent } from '../../src/observe/recent.ts';

const NOW = Date.UTC(2026, 11, 1, 12);
const DONE = {
  id: 'id',
  caller: 'page',
  method: 'GET',
  route: '/v1/models',
  path: undefined,
  status: 200,
  code: undefined,
  reason: undefined,
  ttfb: 12,
  end: 'done',
  socket: undefined,
} as const;
const NO = { ...DONE, status: 404, code: 'route_not_exposed', route: undefined, path: '/x', end: 'refused' } as const;

function recentAt(): { readonly recent: Recent; readonly clock: { now: number } } {
  const clock = { now: NOW };
  return { recent: new Recent(() => clock.now), clock };
}

void t.test('the last fifty refusals, the newest first', async (t) => {
  const { recent } = recentAt();
  recent.finished(DONE, true);
  t.same(recent.refusals(), [], 'an answer of the gateway is none');
  recent.finished({ ...DONE, status: 403 }, true);
  t.same(recent.refusals(), [], 'whatever its status');
  for (let i = 0; i < 2 * MOST_REFUSALS + 1; i++) recent.finished({ ...NO, id: `id-${i}`, path: `/x${i}` }, false);
  const rows = recent.refusals();
  t.equal(rows.length, 50);
  t.equal(rows[0]?.id, 'id-100');
  t.equal(rows.at(-1)?.id, 'id-51');
  recent.finished({ ...NO, reason: 'x'.repeat(10_000) }, false);
  t.strictSame(recent.refusals()[0], {
    at: NOW,
    times: 1,
    id: 'id',
    status: 404,
    code: 'route_not_exposed',
    caller: 'page',
    method: 'GET',
    route: '/x',
    reason: 'x'.repeat(300),
  });
});

void t.test('the same refusal one after another is one row', async (t) => {
  const { recent, clock } = recentAt();
  for (let i = 0; i < 10; i++) {
    clock.now += 1;
    recent.finished({ ...NO, id: `id-${i}` }, false);
  }
  t.match(recent.refusals(), [{ at: NOW + 10, times: 10, id: 'id-9' }]);
  for (const other of [
    { code: 'method_not_allowed' },
    { caller: 'other' },
    { method: 'POST' },
    { path: '/y' },
    { reason: 'why' },
  ]) {
    recent.finished({ ...NO, ...other }, false);
    recent.finished(NO, false);
  }
  const rows = recent.refusals();
  t.equal(rows.length, 11);
  t.equal(rows.at(-1)?.times, 10);
  for (const { times } of rows.slice(0, 10)) t.equal(times, 1);
});

void t.test('callers: when last, how often, how often in vain', async (t) => {
  const { recent, clock } = recentAt();
  const page = () => recent.callers().get('page');
  for (let i = 0; i < 60; i++) recent.finished(DONE, true);
  t.match(page(), { seenMs: NOW, perMinute: 60, requests: 60, failed: 0 });
  clock.now += 75_000;
  t.match(page(), { seenMs: NOW, perMinute: 45 }, 'a quarter of that minute is longer ago');
  recent.finished(DONE, true);
  t.match(page(), { seenMs: clock.now, perMinute: 46, requests: 61 });
  clock.now += 60_000;
  t.equal(page()?.perMinute, 1);
  clock.now += 60_000;
  t.equal(page()?.perMinute, 0);
  for (const [record, counts] of [
    [NO, true],
    [{ ...DONE, status: 500 }, true],
    [{ ...DONE, status: 404 }, true],
    [{ ...DONE, end: 'gateway_gone' }, true],
    [{ ...DONE, end: 'caller_gone' }, false],
    [{ ...DONE, status: 101, end: 'gateway_gone', socket: { close: 1000, closeReason: undefined } }, false],
  ] as const) {
    const before = page()?.failed ?? 0;
    recent.finished(record, true);
    t.equal(page()?.failed, before + Number(counts), JSON.stringify(record));
  }
  recent.finished({ ...NO, caller: undefined }, false);
  t.equal(recent.callers().size, 1, 'nobody is no caller');
});

void t.test('of more callers than there is room for, the one that was away the longest is forgotten', async (t) => {
  const { recent, clock } = recentAt();
  for (let i = 0; i < MOST_CALLERS; i++) {
    clock.now += 1;
    recent.finished({ ...DONE, caller: `c${i}` }, true);
  }
  recent.finished({ ...DONE, caller: 'c0' }, true);
  recent.finished({ ...DONE, caller: 'one more' }, true);
  const callers = recent.callers();
  t.equal(callers.size, 500);
  t.ok(callers.has('one more') && callers.has('c0'));
  t.notOk(callers.has('c1'));
});

void t.test('the hour has every request, and the time of those that the gateway answered', async (t) => {
  const { recent } = recentAt();
  const first = () => recent.hour().p50.at(-1);
  recent.finished(NO, false);
  recent.finished({ ...DONE, status: 0 }, true);
  recent.finished({ ...DONE, status: 101, socket: { close: 1000, closeReason: '' } }, true);
  t.equal(first(), null);
  recent.finished(DONE, true);
  t.ok(Math.abs((first() ?? 0) - 12) < 1.2);
  t.match([recent.hour().requests.at(-1), recent.hour().refusals.at(-1)], [4, 1]);
});

void t.test('the release is what the gateway told, where it looks like one', async (t) => {
  const { recent, clock } = recentAt();
  for (const text of [undefined, 7, '', 'a b', '<b>', `1${'.0'.repeat(40)}`, {}]) recent.gatewayTold(text);
  t.equal(recent.release, undefined);
  recent.gatewayTold('2026.9.6-beta.1');
  clock.now += 5;
  recent.gatewayTold('\u202e');
  t.strictSame(recent.release, { version: '2026.9.6-beta.1', at: NOW });
  recent.gatewayChanged();
  t.equal(recent.release, undefined);
});
