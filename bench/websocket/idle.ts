/** Thousands of WebSockets on which nothing passes. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Counted } from './caller.ts';
import type { Processes } from './processes.ts';

/** What the shim keeps for itself, and one descriptor for each of the two sides. */
const RESERVE = 192;
const EACH = 2;
const SETTLE_MS = 2_000;
const WATCH_MS = 5_000;
/** The first of all loads the code. */
const FIRST = 50;

/** Bytes resident in the shim. */
export interface IdleRound {
  readonly before: number;
  readonly open: number;
  readonly closed: number;
  /** Milliseconds until all were open, and how many were still open when they were closed. */
  readonly ms: number;
  readonly alive: number;
  /** Microseconds of CPU in a second in which nothing happens: the shim looks after each socket. */
  readonly micros: number;
}

export interface IdleResult {
  readonly count: number;
  readonly rounds: readonly IdleRound[];
}

/**
 * @param processes gateway, shim, caller
 * @param wanted how many sockets
 * @param rounds how often they are opened and closed
 * @returns what they cost; fewer than wanted where the descriptors of one process are not enough
 */
export async function measureIdle({ ask, shim }: Processes, wanted: number, rounds: number): Promise<IdleResult> {
  const limit = Number(/^Max open files\s+\S+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1]);
  const count = Math.min(wanted, Math.floor((limit - RESERVE) / EACH));
  const { url } = shim;
  await ask({ job: 'open', url, count: FIRST });
  await ask({ job: 'close' });
  const results: IdleRound[] = [];
  for (let round = 0; round < rounds; round++) {
    await sleep(SETTLE_MS);
    const before = shim.residentBytes();
    const { ms } = await ask<Counted>({ job: 'open', url, count });
    await sleep(SETTLE_MS);
    const open = shim.residentBytes();
    const used = shim.cpuMicros();
    await sleep(WATCH_MS);
    const micros = ((shim.cpuMicros() - used) * 1_000) / WATCH_MS;
    const { count: alive } = await ask<Counted>({ job: 'close' });
    await sleep(SETTLE_MS);
    results.push({ before, open, closed: shim.residentBytes(), ms, alive, micros });
  }
  return { count, rounds: results };
}
