/** A straight line through measured points, and how well they tell its slope. */

export interface Slope {
  /** Of the value, an hour. */
  readonly perHour: number;
  /** Half of the interval that holds the true slope 19 times in 20, if the points scatter by chance. */
  readonly within: number;
}

/** Student's t, two-sided 95 %, by degrees of freedom from 1 on; then that of the normal distribution. */
const T = [
  12.71, 4.3, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.2, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.1, 2.09, 2.09,
  2.08, 2.07, 2.07, 2.06, 2.06, 2.06, 2.05, 2.05, 2.05, 2.04,
];
const NORMAL = 1.96;

/**
 * @param points hours and value, three at least
 * @returns the slope by least squares, with its 95 % interval
 */
export function slopeOf(points: readonly (readonly [hours: number, value: number])[]): Slope {
  const n = points.length;
  const mean = (at: 0 | 1): number => points.reduce((sum, point) => sum + point[at], 0) / n;
  const [x, y] = [mean(0), mean(1)];
  const spread = points.reduce((sum, [hours]) => sum + (hours - x) ** 2, 0);
  const perHour = points.reduce((sum, [hours, value]) => sum + (hours - x) * (value - y), 0) / spread;
  const left = points.reduce((sum, [hours, value]) => sum + (value - y - perHour * (hours - x)) ** 2, 0);
  return { perHour, within: (T[n - 3] ?? NORMAL) * Math.sqrt(left / (n - 2) / spread) };
}
