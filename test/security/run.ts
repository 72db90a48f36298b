/**
 * `npm run test:corpus [-- WORD…]`: the corpus over TCP, TLS and a unix socket, in every hop, on Node 22, 24 and 26
 * from npm; each shim is a process of its own. Words choose among them: `22`, `tls`, `trusted-proxy`. Prints what
 * failed, a table, and last `N passed, N failed`.
 */
import { availableParallelism } from 'node:os';
import { CASES } from './corpus/all.ts';
import { HOPS, TRANSPORTS, VARIANTS, type Hop, type Transport } from './corpus/case.ts';
import { casesFor, play } from './corpus/player.ts';
import { startRig } from './corpus/rig.ts';
import { installNode, latestNode } from './nodes.ts';

const MAJORS = ['22', '24', '26'];
/** Small machines take four minutes; what takes longer hangs. */
const LIMIT_MS = 15 * 60_000;
const MOST_AT_ONCE = 4;

interface Combination {
  readonly version: string;
  readonly node: string;
  readonly transport: Transport;
  readonly hop: Hop;
}
interface Count {
  passed: number;
  failed: number;
}

const words = process.argv.slice(2);
/** Where none of a kind is named, all are meant. */
const chosen = <T extends string>(all: readonly T[]): readonly T[] => {
  const named = all.filter((one) => words.includes(one));
  return named.length > 0 ? named : all;
};
const known: readonly string[] = [...MAJORS, ...TRANSPORTS, ...HOPS];
const unknown = words.filter((word) => !known.includes(word));
if (unknown.length > 0) {
  console.error(`there is no ${unknown.join(', ')}: choose among ${known.join(', ')}`);
  process.exit(2);
}

const begun = performance.now();
setTimeout(() => {
  console.error(`it takes longer than ${LIMIT_MS / 60_000} minutes`);
  process.exit(1);
}, LIMIT_MS).unref();

// With the process end the shims that it started.
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

const combinations: Combination[] = [];
for (const major of chosen(MAJORS)) {
  const version = await latestNode(major);
  const node = await installNode(version);
  for (const transport of chosen(TRANSPORTS)) {
    for (const hop of chosen(HOPS)) combinations.push({ version, node, transport, hop });
  }
}

const counts = new Map<Combination, Count>();
const waiting = [...combinations];
async function work(): Promise<void> {
  for (let next = waiting.shift(); next; next = waiting.shift()) counts.set(next, await playAll(next));
}
await Promise.all(Array.from({ length: Math.min(availableParallelism(), MOST_AT_ONCE) }, work));

const cell = (text: string): string => text.padEnd(15);
console.log(['Node', 'transport', ...chosen(HOPS)].map(cell).join('').trimEnd());
for (const version of new Set(combinations.map((one) => one.version))) {
  for (const transport of chosen(TRANSPORTS)) {
    const row = combinations.filter((one) => one.version === version && one.transport === transport);
    const cells = row.map((one) => wordsFor(counts.get(one) as Count));
    console.log([version, transport, ...cells].map(cell).join('').trimEnd());
  }
}
const sum = (key: keyof Count): number => [...counts.values()].reduce((all, count) => all + count[key], 0);
console.log(`${Math.round((performance.now() - begun) / 1000)} s, ${combinations.length} combinations`);
console.log(`${sum('passed')} passed, ${sum('failed')} failed`);
process.exitCode = sum('failed') === 0 ? 0 : 1;

function wordsFor({ passed, failed }: Count): string {
  return failed === 0 ? String(passed) : `${passed}, ${failed} failed`;
}

/** A shim that does not even start is a failure of its combination. */
async function playAll({ version, ...setting }: Combination): Promise<Count> {
  const count: Count = { passed: 0, failed: 0 };
  for (const variant of VARIANTS) {
    const name = `Node ${version}, ${setting.transport}, ${setting.hop}, ${variant}`;
    try {
      const rig = await startRig({ ...setting, variant });
      for (const { id, failures } of await play(rig, casesFor(CASES, rig))) {
        if (failures.length === 0) count.passed++;
        else {
          count.failed++;
          console.log(`FAILED ${name}: ${id}\n  ${failures.join('\n  ')}`);
        }
      }
    } catch (error) {
      count.failed++;
      console.log(`FAILED ${name}: ${(error as Error).stack}`);
    }
  }
  return count;
}
