/** Frames a second, and time a round trip: through the shim and directly, in turns. */
import { median } from '../median.ts';
import { spread, type Plan, type Spread } from '../rows.ts';
import type { Measured } from '../process.ts';
import type { Counted } from './caller.ts';
import type { Processes } from './processes.ts';

export interface RateResult {
  readonly row: string;
  /** Frames a second directly, and through the shim: medians. */
  readonly direct: number;
  readonly through: number;
  /** Of the rounds' ratios. */
  readonly ratio: Spread;
  /** Microseconds of the shim's CPU per frame. */
  readonly micros: number;
  /** What the ratio is held to, if to anything. */
  readonly target?: number;
}

/** Each frame a write of its own, as `ws` makes it, is what the target means; packed ones show the shim's own share. */
const ROWS = [
  { row: 'caller → gateway', job: 'up', packed: false, by: 'shim', target: 0.5 },
  { row: 'gateway → caller', job: 'down', packed: false, by: 'shim', target: 0.5 },
  { row: 'caller → gateway, 100 a write', job: 'up', packed: true, by: 'shim' },
  { row: 'gateway → caller, 100 a write', job: 'down', packed: true, by: 'shim' },
  { row: 'caller → gateway, with a method policy', job: 'up', packed: false, by: 'reading' },
] as const;

/**
 * @param processes gateway, shims, caller
 * @param plan how long
 * @returns one result a row; a first round, not counted, lets the compilers finish
 */
export async function measureRates(processes: Processes, { rounds, seconds }: Plan): Promise<RateResult[]> {
  const results: RateResult[] = [];
  for (const { row, job, packed, by, ...held } of ROWS) {
    const run = async ({ url }: Measured): Promise<{ rate: number; count: number }> => {
      const { count, ms } = await processes.ask<Counted>({ job, url, seconds, packed });
      return { rate: (count * 1_000) / ms, count };
    };
    const shim = processes[by];
    const direct: number[] = [];
    const through: number[] = [];
    const micros: number[] = [];
    for (let round = -1; round < rounds; round++) {
      const { rate } = await run(processes.gateway);
      const used = shim.cpuMicros();
      const relayed = await run(shim);
      if (round < 0) continue;
      direct.push(rate);
      through.push(relayed.rate);
      micros.push((shim.cpuMicros() - used) / relayed.count);
    }
    const ratio = spread(through.map((value, round) => value / (direct[round] as number)));
    results.push({ row, direct: median(direct), through: median(through), ratio, micros: median(micros), ...held });
  }
  return results;
}

/** Microseconds of a round trip at 1,000 a second on one connection. */
export interface TripResult {
  readonly p: 'p50' | 'p99';
  readonly direct: number;
  readonly through: number;
  /** Of the rounds' differences. */
  readonly added: Spread;
}

const PER_SECOND = 1_000;

/**
 * @param processes gateway, shim, caller
 * @param plan how long
 * @returns what the shim adds
 */
export async function measureTrips(
  { ask, gateway, shim }: Processes,
  { rounds, seconds }: Plan,
): Promise<TripResult[]> {
  const seen = { direct: [] as (readonly number[])[], through: [] as (readonly number[])[] };
  for (let round = -1; round < rounds; round++) {
    for (const [name, { url }] of [['direct', gateway] as const, ['through', shim] as const]) {
      const { micros } = await ask<{ micros: number[] }>({ job: 'echo', url, seconds, perSecond: PER_SECOND });
      if (round >= 0) seen[name].push(micros);
    }
  }
  return (
    [
      ['p50', 0.5],
      ['p99', 0.99],
    ] as const
  ).map(([p, share]) => {
    const at = (trips: readonly number[]): number => trips[Math.floor(trips.length * share)] as number;
    const direct = seen.direct.map(at);
    const through = seen.through.map(at);
    const added = spread(through.map((value, round) => value - (direct[round] as number)));
    return { p, direct: median(direct), through: median(through), added };
  });
}
