/** Counts of durations by size, in cells of our own: a tenth of what the library's cost per observation. */
import type { Sample } from './exposition.ts';

/** Upper bounds in seconds: a refusal takes milliseconds, an agent's run minutes. */
export const BOUNDS: readonly number[] = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600,
];

/** One histogram of one set of labels. */
export class Histogram {
  /** Not cumulative; the last one is for what is above every bound. */
  readonly #counts = Array.from({ length: BOUNDS.length + 1 }, () => 0);
  #ms = 0;

  /** @param ms a duration in milliseconds */
  observe(ms: number): void {
    const seconds = ms / 1000;
    let at = 0;
    while (at < BOUNDS.length && seconds > (BOUNDS[at] as number)) at++;
    (this.#counts[at] as number)++;
    this.#ms += ms;
  }

  /**
   * @param labels of this histogram
   * @returns its buckets, cumulative and up to `+Inf`, the sum in seconds, and the count; nothing before the first
   *   observation
   */
  read(labels: Readonly<Record<string, string>>): readonly Sample[] {
    let count = 0;
    const buckets = this.#counts.map((own, at): Sample => {
      count += own;
      const le = at < BOUNDS.length ? String(BOUNDS[at]) : '+Inf';
      return { suffix: '_bucket', labels: { ...labels, le }, value: count };
    });
    if (count === 0) return [];
    return [...buckets, { suffix: '_sum', labels, value: this.#ms / 1000 }, { suffix: '_count', labels, value: count }];
  }
}
