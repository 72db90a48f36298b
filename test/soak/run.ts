/**
 * `npm run soak [-- 10m]`: mixed load on a `serve` process, with reloads, kills of the gateway and slow peers, in rounds.
 * Between two rounds everything is given back, and what the process still holds is measured. Ends with 1 where a request
 * is lost, something is not given back, or memory grows.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { parseDuration } from '../../src/config/units.ts';
import { createLoad } from './load.ts';
import type { Held } from './probe.ts';
import { slopeOf } from './slope.ts';
import { startWorld, type World } from './world.ts';

const ROUND_MS = 15_000;
/** Connections without a request are closed within this, by either side. */
const REST_MS = 10_000;
/** Code is compiled, and tables get their size. */
const WARM_UP = 0.25;
const MB = 1024 * 1024;
const MOST_GROWTH = 1;
const SLOWEST = 'slowest, in ms';
const HOUR_MS = 3_600_000;

type Rest = Held & { readonly descriptors: number; readonly open: number; readonly hours: number };

const words = process.argv[2] ?? '10m';
const duration = parseDuration(words);
if (duration === undefined || duration < 8 * ROUND_MS) {
  console.error('usage: npm run soak -- DURATION, such as 10m or 1h; two minutes at least');
  process.exit(2);
}

const world = await startWorld();
const load = createLoad(world);
const before = await world.held();
const began = performance.now();
const rests: Rest[] = [];
let busiest = 0;
const delay = monitorEventLoopDelay();
delay.enable();
while (performance.now() - began < duration) {
  await Promise.all([load.run(ROUND_MS), disturb(world), watch(world)]);
  const rest = await settle(world);
  rests.push(rest);
  const { rss, heap, external, descriptors, timers, open, stall } = rest;
  console.log(
    `${String(Math.round(rest.hours * 3600)).padStart(5)} s: rss ${mb(rss)}, heap ${mb(heap)}, external ${mb(external)} MB, ` +
      `${descriptors} descriptors, ${timers} timers, ${open} open, stalls of ${stall} ms (here ${Math.round(delay.max / 1e6)}); ${sum(load.account.lost)} lost of ${sum(load.account.sent)}`,
  );
  delay.reset();
}
const counted = await world.metric('requests_total');
const code = await world.end();
process.exitCode = report() ? 0 : 1;

/** A third, and two thirds into a round, so that the last streams see neither. */
async function disturb(world: World): Promise<void> {
  await pause(ROUND_MS / 5);
  await world.reload();
  await pause(ROUND_MS / 5);
  await world.restartGateway(500);
  await pause(ROUND_MS / 5);
  await world.reload();
}

async function watch(world: World): Promise<void> {
  await pause(ROUND_MS * 0.9);
  busiest = Math.max(busiest, await world.metric('open_requests', 'open_sockets'));
}

/** Waits until everything is given back, or for as long as that may take. */
async function settle(world: World): Promise<Rest> {
  const limit = performance.now() + REST_MS;
  let stall = 0;
  const first = rests[0] ?? before;
  for (;;) {
    const open = await world.metric('open_requests', 'open_streams', 'open_sockets');
    const held = await world.held();
    stall = Math.max(stall, held.stall);
    const rested = open === 0 && held.descriptors <= before.descriptors && held.timers <= first.timers;
    if (rested || performance.now() > limit) {
      return { ...held, stall, open, hours: (performance.now() - began) / HOUR_MS };
    }
    await pause(250);
  }
}

function report(): boolean {
  const { sent, fine, ended, lost } = load.account;
  const warm = rests.slice(Math.ceil(rests.length * WARM_UP));
  const table = (title: string, of: ReadonlyMap<string, number>): void => {
    console.log(title === SLOWEST ? title : `${title}: ${sum(of)}`);
    for (const [name, count] of [...of].toSorted(([a], [b]) => (a < b ? -1 : 1)))
      console.log(`  ${String(count).padStart(7)}  ${name}`);
  };
  console.log(
    `\n${words}, ${rests.length} rounds, ${world.kills.length} kills of the gateway, ${world.reloads.length} reloads, at most ${busiest} open at once`,
  );
  table('sent', sent);
  table('as expected', fine);
  table('ended by a kill or a revocation', ended);
  table('lost', lost);
  for (const one of load.account.cases.slice(0, 20)) console.log(`    ${one}`);
  console.log(`took more than 10 s: ${load.account.slow.length}`);
  for (const one of load.account.slow.slice(0, 20)) console.log(`    ${one}`);
  table(SLOWEST, load.account.slowest);
  console.log(`finished requests by the shim's own count: ${counted}`);

  const faults: string[] = [];
  if (sum(lost) > 0) faults.push(`${sum(lost)} requests came to what nothing explains`);
  if (sum(sent) !== sum(fine) + sum(ended) + sum(lost)) faults.push('not every request is accounted for');
  if (counted !== sum(sent)) faults.push('the shim did not count every request once');
  const open = rests.filter((rest) => rest.open > 0).length;
  if (open > 0) faults.push(`after ${open} rounds something was still open`);
  const kept = rests.filter(({ descriptors }) => descriptors > before.descriptors + 1).length;
  if (kept > 0)
    faults.push(`after ${kept} rounds descriptors were not given back (${before.descriptors} at the start)`);
  if (world.faults.length > 0) faults.push(`the log tells of faults: ${world.faults.slice(0, 3).join('\n')}`);
  if (code !== 0) faults.push(`the shim ended with ${code}`);

  console.log(
    `\nat rest, after ${Math.round(WARM_UP * 100)} % of warm-up (${warm.length} points); slopes with their 95 % interval`,
  );
  const lines: readonly (readonly [string, string, (rest: Rest) => number, number])[] = [
    ['heap + external', 'MB', ({ heap, external }) => (heap + external) / MB, MOST_GROWTH],
    ['rss', 'MB', ({ rss }) => rss / MB, MOST_GROWTH],
    ['descriptors', '', ({ descriptors }) => descriptors, MOST_GROWTH],
    ['timers', '', ({ timers }) => timers, MOST_GROWTH],
  ];
  for (const [name, unit, value, most] of lines) {
    const { perHour, within } = slopeOf(warm.map((rest) => [rest.hours, value(rest)]));
    const [first, last] = [warm[0], warm.at(-1)].map((rest) => value(rest as Rest).toFixed(1));
    const grows = perHour - within > most;
    const verdict = grows ? 'GROWS' : perHour + within < most ? 'flat' : 'no growth that so short a run can tell';
    console.log(
      `  ${name.padEnd(16)} ${first} to ${last} ${unit}, ${perHour.toFixed(2)} ± ${within.toFixed(2)} ${unit}/h: ${verdict}`,
    );
    if (grows) faults.push(`${name} grows by ${(perHour - within).toFixed(2)} ${unit}/h at least`);
  }
  console.log(faults.length === 0 ? '\nPASSED' : `\nFAILED\n${faults.map((fault) => `- ${fault}`).join('\n')}`);
  return faults.length === 0;
}

function sum(of: ReadonlyMap<string, number>): number {
  return [...of.values()].reduce((all, one) => all + one, 0);
}

function mb(bytes: number): string {
  return (bytes / MB).toFixed(1);
}
