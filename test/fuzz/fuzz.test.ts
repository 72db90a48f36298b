/**
 * Properties over random input. In `npm test` a few cases, the same at every run; `npm run fuzz` runs others for a time.
 * What has failed once is kept in seeds.json, and comes first.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { properties } from './properties.ts';
import { oneRequestForTwoReaders, streamsArriveAsTheyAre } from './sockets.ts';
import { betweenTwoEventsAlone, endsAreToldBetweenTwoEvents } from './streams.ts';
import { connectsAreOurs, errorsNameNoDevice, scopesGrowTogether, textsLoadOrSayWhere } from './texts.ts';

type Property = fc.IProperty<unknown> | fc.IAsyncProperty<unknown>;
type Seeds = Record<string, { readonly seed: number; readonly path: string; readonly counterexample?: string }[]>;

const KEPT = join(import.meta.dirname, 'seeds.json');
const seeds = JSON.parse(readFileSync(KEPT, 'utf8')) as Seeds;
const ALONE = {
  ...properties,
  'scopes grow together': scopesGrowTogether,
  'texts load, or say where they are wrong': textsLoadOrSayWhere,
  'connects are ours': connectsAreOurs,
  'errors name no device': errorsNameNoDevice,
  'between two events alone something may be said': betweenTwoEventsAlone,
};
const OVER_SOCKETS = {
  'what is forwarded is one request for two readers': oneRequestForTwoReaders,
  'streams arrive as they are': streamsArriveAsTheyAre,
  'ends are told between two events': endsAreToldBetweenTwoEvents,
};
const count = Object.keys(ALONE).length + Object.keys(OVER_SOCKETS).length;
const total = Number(process.env.AUTH_SHIM_FUZZ_MS ?? 0);
const seed = Number(process.env.AUTH_SHIM_FUZZ_SEED ?? 20260328);
const how = (few: number): fc.Parameters<unknown> =>
  total > 0
    ? { seed, numRuns: Number.MAX_SAFE_INTEGER, interruptAfterTimeLimit: total / count, markInterruptAsFailure: false }
    : { seed, numRuns: few };

for (const [name, property] of Object.entries(ALONE)) {
  void t.test(name, async (t) => hold(t, name, property as Property, 100));
}
for (const [name, start] of Object.entries(OVER_SOCKETS)) {
  void t.test(name, async (t) => hold(t, name, (await start(t)) as Property, 25));
}

async function hold(t: Test, name: string, property: Property, few: number): Promise<void> {
  for (const kept of seeds[name] ?? []) {
    const again = await fc.check(property as fc.IAsyncProperty<unknown>, { ...kept, endOnFailure: true });
    t.notOk(again.failed, `seed ${kept.seed}, path ${kept.path}`);
  }
  const found = await fc.check(property as fc.IAsyncProperty<unknown>, how(few));
  if (found.failed && found.counterexamplePath !== null) {
    t.comment(fc.defaultReportMessage(found as never));
    (seeds[name] ??= []).push({
      seed: found.seed,
      path: found.counterexamplePath,
      counterexample: fc.stringify(found.counterexample),
    });
    if (total > 0) writeFileSync(KEPT, `${JSON.stringify(seeds, undefined, 2)}\n`);
  }
  t.notOk(found.failed, found.failed ? (fc.defaultReportMessage(found as never) ?? name) : name);
  t.ok(found.numRuns > 0, `${found.numRuns} runs`);
}
