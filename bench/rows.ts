/** What every measurement hands to the report. */
import { median } from './median.ts';
import type { Side } from './proxies.ts';

export interface Row {
  readonly name: string;
  readonly unit: string;
  /** One figure a round; the rounds of all sides are taken in turns. Who cannot do it is not in it. */
  readonly values: Readonly<Partial<Record<Side, readonly number[]>>>;
}

/** How much is measured. @property seconds how long the load of one proxy lasts in one round */
export interface Plan {
  readonly rounds: number;
  readonly seconds: number;
  readonly starts: number;
  /** How many streams are open at once, and in how many rounds. */
  readonly streams: readonly (readonly [count: number, rounds: number])[];
}

/** Median, lowest and highest of the rounds. */
export type Spread = readonly [number, number, number];

/** @returns median, lowest and highest */
export function spread(values: readonly number[]): Spread {
  return [median(values), Math.min(...values), Math.max(...values)];
}

/** @returns the two lists round by round, or nothing where one of them was not measured */
export function byRound(
  ones: readonly number[] | undefined,
  others: readonly number[] | undefined,
  combine: (one: number, other: number) => number,
): Spread | undefined {
  if (!ones?.length || !others?.length) return undefined;
  return spread(ones.map((value, round) => combine(value, others[round] as number)));
}

/** Collects the figures of rows, round by round. */
export class Rows {
  readonly #rows = new Map<string, { unit: string; values: Partial<Record<Side, number[]>> }>();

  add(name: string, unit: string, side: Side, value: number): void {
    let row = this.#rows.get(name);
    if (row === undefined) this.#rows.set(name, (row = { unit, values: {} }));
    (row.values[side] ??= []).push(value);
  }

  all(): Row[] {
    return [...this.#rows].map(([name, { unit, values }]) => ({ name, unit, values }));
  }
}
