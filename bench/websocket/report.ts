/** The report of the WebSocket benchmark as tables. */
import type { Plan, Spread } from '../rows.ts';
import { table } from '../table.ts';
import type { IdleResult } from './idle.ts';
import type { RateResult, TripResult } from './measure.ts';

export interface SocketReport {
  readonly node: string;
  readonly plan: Plan;
  readonly rates: readonly RateResult[];
  readonly trips: readonly TripResult[];
  readonly idle: IdleResult;
}

/** Microseconds that the shim may add to the p99. */
const ADDED = 2_000;

/**
 * @param report all figures
 * @returns lines for people
 */
export function formatSockets({ node, plan, rates, trips, idle }: SocketReport): string {
  return [
    `WebSocket relay, Node ${node}, one connection, ${plan.rounds} rounds of ${plan.seconds} s in turns, medians\n`,
    table(
      ['64-byte frames a second', 'direct', 'shim', 'ratio', '(lowest – highest)', 'target', '', 'CPU µs a frame'],
      rates.map(({ row, direct, through, ratio, target, micros }) => [
        row,
        fixed(direct),
        fixed(through),
        fixed(ratio[0], 2),
        range(ratio, 2),
        ...(target === undefined ? ['', ''] : [`≥ ${fixed(target, 2)}`, ratio[0] >= target ? 'met' : 'MISSED']),
        fixed(micros, 1),
      ]),
    ),
    table(
      ['round trip at 1,000 a second, µs', 'direct', 'shim', 'added', '(lowest – highest)', 'target', ''],
      trips.map(({ p, direct, through, added }) => [
        p,
        fixed(direct),
        fixed(through),
        fixed(added[0]),
        range(added, 0),
        ...(p === 'p99' ? [`≤ ${ADDED}`, added[0] <= ADDED ? 'met' : 'MISSED'] : ['', '']),
      ]),
    ),
    table(
      [
        `${idle.count} idle sockets`,
        'MB before',
        'MB open',
        'KB each',
        'MB closed',
        'seconds to open',
        'alive',
        'CPU ms a second',
      ],
      idle.rounds.map(({ before, open, closed, ms, alive, micros }, round) => [
        `round ${round + 1}`,
        mb(before),
        mb(open),
        fixed((open - before) / 1_024 / idle.count, 1),
        mb(closed),
        fixed(ms / 1_000, 1),
        String(alive),
        fixed(micros / 1_000),
      ]),
    ),
  ].join('\n');
}

function range([, low, high]: Spread, digits: number): string {
  return `${fixed(low, digits)} – ${fixed(high, digits)}`;
}

function fixed(value: number, digits = 0): string {
  return value.toFixed(digits);
}

function mb(bytes: number): string {
  return fixed(bytes / 2 ** 20);
}
