/** The corpus over TCP: what every hop has in common in the one of tokens, and what a proxy tells in the other. */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { CASES } from './corpus/all.ts';
import { VARIANTS, type Hop } from './corpus/case.ts';
import { casesFor, play } from './corpus/player.ts';
import { startRig } from './corpus/rig.ts';

const HOPS: readonly Hop[] = ['token', 'trusted-proxy'];
/** Of what keeps a process up: sockets, servers, timers. */
const held = (): string =>
  process
    .getActiveResourcesInfo()
    .filter((name) => /TCP|TLS|Server|Timeout|Immediate/.test(name))
    .sort()
    .join();

for (const hop of HOPS) {
  for (const variant of VARIANTS) {
    void t.test(`${hop} hop, ${variant}`, async (t) => {
      const before = held();
      const rig = await startRig({ hop, variant, transport: 'tcp' });
      const cases = casesFor(CASES, rig);
      const played = await play(rig, cases);
      t.equal(played.length, cases.length + 1, 'each case, and the rig itself');
      for (const { id, failures } of played) if (failures.length > 0) t.fail(id, { failures });
      // What was destroyed is gone a turn or two later; what is held never goes.
      for (let turn = 0; turn < 100 && held() !== before; turn++) await sleep(10);
      t.equal(held(), before, 'nothing is held any more');
    });
  }
}
