/** Counts by one label from a closed set. */
import type { Sample } from './exposition.ts';

/** The label value for all that is beyond the set. */
export const OTHER = 'other';

/** All keys are there from the start, so that the first event is an increase. */
export class Tally {
  readonly #counts: Map<string, number>;

  constructor(keys: readonly string[]) {
    this.#counts = new Map(keys.map((key) => [key, 0]));
  }

  add(key: string): void {
    const known = this.#counts.has(key) ? key : OTHER;
    this.#counts.set(known, (this.#counts.get(known) ?? 0) + 1);
  }

  has(key: string): boolean {
    return this.#counts.has(key);
  }

  read(label: string): Sample[] {
    return [...this.#counts].map(([key, value]) => ({ labels: { [label]: key }, value }));
  }
}
