import t from 'tap';
import { BYTES, LastHour, STEP_MS, STEPS } from '../../src/observe/last-hour.ts';

const NOW = Date.UTC(2026, 11, 1, 12);

void t.test('an hour of steps, the oldest first', async (t) => {
  const hour = new LastHour();
  for (let i = 0; i < 98; i++) hour.add(NOW - STEP_MS, false, 20);
  hour.add(NOW - STEP_MS, false, 5_000);
  hour.add(NOW - STEP_MS, true, undefined);
  hour.add(NOW - STEP_MS + 9_999, true, undefined);
  const view = hour.read(NOW);
  t.equal(view.beginMs, NOW - (STEPS - 1) * STEP_MS);
  t.equal(view.stepMs, STEP_MS);
  for (const part of [view.requests, view.refusals, view.p50, view.p99]) t.equal(part.length, STEPS);
  t.equal(view.requests.at(-2), 101);
  t.equal(view.refusals.at(-2), 2);
  t.equal(
    view.requests.reduce((sum, count) => sum + count, 0),
    101,
  );
  t.equal(view.requests.at(-1), 0);
  t.equal(view.p50.at(-1), null, 'nothing was measured');
  t.equal(BYTES, 136_800);
});

void t.test('latencies are right to a tenth, from a quarter of a millisecond to half an hour', async (t) => {
  for (const ms of [0.25, 0.3, 1, 1.7, 12, 99.9, 1_000, 61_000, 1_800_000]) {
    const hour = new LastHour();
    hour.add(NOW, false, ms);
    const { p50, p99 } = hour.read(NOW);
    const told = p50.at(-1) ?? 0;
    t.ok(Math.abs(told / ms - 1) < 0.1, `${ms}: ${told}`);
    t.equal(p99.at(-1), told);
  }
  for (const ms of [0, 0.01, 1e12]) {
    const hour = new LastHour();
    hour.add(NOW, false, ms);
    t.type(hour.read(NOW).p50.at(-1), 'number', `${ms}`);
  }
  const hour = new LastHour();
  for (let i = 0; i < 98; i++) hour.add(NOW, false, 10);
  for (let i = 0; i < 2; i++) hour.add(NOW, false, 1_000);
  const { p50, p99 } = hour.read(NOW);
  t.ok(Math.abs((p50.at(-1) ?? 0) - 10) < 1);
  t.ok(Math.abs((p99.at(-1) ?? 0) - 1_000) < 100, 'the slowest of a hundred');
});

void t.test('what is over for an hour is gone, also where the clock was set', async (t) => {
  const hour = new LastHour();
  hour.add(NOW, true, 10);
  const sum = (now: number): number => hour.read(now).requests.reduce((all, count) => all + count, 0);
  t.equal(sum(NOW + (STEPS - 1) * STEP_MS), 1);
  t.equal(sum(NOW + STEPS * STEP_MS), 0);
  t.equal(sum(NOW - STEP_MS), 0, 'set back');
  hour.add(NOW + STEPS * STEP_MS, false, undefined);
  t.equal(sum(NOW + STEPS * STEP_MS), 1, 'its place is cleared');
  const { refusals, p50 } = hour.read(NOW + STEPS * STEP_MS);
  t.equal(refusals.at(-1), 0);
  t.equal(p50.at(-1), null);
  hour.add(NOW, false, undefined);
  t.equal(sum(NOW), 1, 'set back, with a request');
});
