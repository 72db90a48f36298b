import t from 'tap';
import { slopeOf } from './slope.ts';

void t.test('a straight line has its slope, and no doubt', async (t) => {
  const { perHour, within } = slopeOf([0, 1, 2, 3].map((hours) => [hours, 5 + 2 * hours]));
  t.ok(Math.abs(perHour - 2) < 1e-9);
  t.ok(within < 1e-6);
});

void t.test('points that scatter leave a doubt: the textbook interval', async (t) => {
  // Residuals of ±1 around 3: s² = 4 / 2, spread of hours 5, t of two degrees of freedom 4.3.
  const { perHour, within } = slopeOf([
    [0, 4],
    [1, 2],
    [2, 2],
    [3, 4],
  ]);
  t.equal(perHour, 0);
  t.ok(Math.abs(within - 4.3 * Math.sqrt(4 / 2 / 5)) < 1e-9);
});
