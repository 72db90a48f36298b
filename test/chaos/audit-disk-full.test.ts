/** The disk of the audit is full for a while. */
import { readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { commandGateway, runShim, type ChaosShim } from '../helpers/chaos.ts';
import { mountDisk } from '../helpers/disk.ts';
import { ask, keepAlive, outcomes, startLoad, type Load } from '../helpers/load.ts';
import { TOKENS } from '../helpers/stack.ts';

const { folder: disk, skip, resize } = mountDisk(t, '256k');

interface Running {
  readonly shim: ChaosShim;
  readonly load: Load;
  /** Every line but the last empty one; a torn one would not parse. */
  readonly records: () => Record<string, unknown>[];
}

async function run(t: Test, required: boolean): Promise<Running> {
  const file = join(disk, 'audit.jsonl');
  t.teardown(() => rmSync(file, { force: true }));
  const gateway = await commandGateway(t, (req, res) => void req.resume().once('end', () => res.end('{}')));
  const more = `audit: { file: ${file}, maxSize: 0, required: ${required} }`;
  const shim = await runShim(t, { gateway, more });
  const agent = keepAlive();
  t.teardown(() => agent.destroy());
  const load = startLoad(16, () => ask(shim.port, { token: TOKENS.writer, agent }));
  const records = (): Record<string, unknown>[] => {
    const text = readFileSync(file, 'utf8');
    t.ok(text.endsWith('\n'), 'the last line is whole');
    return text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  };
  return { shim, load, records };
}

void t.test(
  'required: nothing passes unaudited while it is full, everything when there is room',
  { skip },
  async (t) => {
    const filler = join(disk, 'filler');
    const { shim, load, records } = await run(t, true);
    await load.until((all) => all.length > 50);
    fill(filler);
    await load.until((all) => all.filter(({ code }) => code === 'audit_unavailable').length > 300);
    t.equal(await shim.metric('audit_healthy'), 0);
    t.equal((await fetch(`${shim.admin}/livez`)).status, 200);
    const refusedFrom = load.answers.length;
    await load.until((all) => all.length > refusedFrom + 100);
    t.strictSame(
      Object.keys(outcomes(load.answers.slice(refusedFrom))),
      ['503 audit_unavailable'],
      'nothing else by then',
    );
    t.ok(load.answers.at(-1)?.headers['retry-after'], 'it says when to come again');

    rmSync(filler);
    resize('32m');
    const room = performance.now();
    await load.until((all) => all.at(-1)?.status === 200);
    const back = performance.now() - room;
    t.ok(back < 10_000, `it passes again after ${Math.round(back)} ms`);
    const from = load.answers.length;
    await load.until((all) => all.length > from + 200);
    const answers = await load.stop();
    t.strictSame(Object.keys(outcomes(answers.slice(from))), ['200']);
    t.strictSame(Object.keys(outcomes(answers)).sort(), ['200', '503 audit_unavailable']);

    shim.child.kill('SIGTERM');
    t.equal(await shim.ended, 0);
    const all = records();
    const passed = answers.filter(({ status }) => status === 200).map(({ headers }) => String(headers['x-request-id']));
    const decided = new Set(all.filter(({ decision }) => decision === 'forward').map(({ id }) => String(id)));
    const ended = new Set(all.filter(({ event }) => event === 'end').map(({ id }) => String(id)));
    // Those that waited for a connection when the disk was full were decided, and never sent.
    const withdrawn = all.filter(({ event, code }) => event === 'end' && code === 'audit_unavailable').length;
    t.strictSame([decided.size, ended.size], [passed.length + withdrawn, passed.length + withdrawn]);
    t.ok(
      passed.every((id) => decided.has(id) && ended.has(id)),
      'every request that passed has both its records',
    );
    t.equal(all.filter(({ decision }) => decision === 'refuse').length, answers.length - passed.length - withdrawn);
    t.comment(`${JSON.stringify(outcomes(answers))}, back after ${Math.round(back)} ms, ${all.length} lines`);
  },
);

void t.test('not required: everything passes, and what is lost is counted and told', { skip }, async (t) => {
  resize('256k');
  const { shim, load, records } = await run(t, false);
  let dropped = 0;
  for (let asked = 1_000; dropped === 0 && asked < 60_000; asked += 1_000) {
    await load.until((all) => all.length > asked);
    dropped = await shim.metric('audit_dropped_total');
  }
  t.ok(dropped > 0, 'more waits than fits');
  t.equal(await shim.metric('audit_healthy'), 0);
  const memory = shim.memory();
  resize('64m');
  await shim.logged(({ msg }) => String(msg).startsWith('the audit is written again'));
  t.equal(await shim.metric('audit_healthy'), 1);
  const from = load.answers.length;
  await load.until((all) => all.length > from + 200);
  const answers = await load.stop();
  t.strictSame(Object.keys(outcomes(answers)), ['200']);
  dropped = await shim.metric('audit_dropped_total');

  shim.child.kill('SIGTERM');
  t.equal(await shim.ended, 0);
  const all = records();
  const told = all.filter(({ event }) => event !== 'decision' && event !== 'end');
  t.equal(
    told.reduce((sum, { dropped: lines }) => sum + Number(lines), 0),
    dropped,
    'the file tells how many are missing',
  );
  t.equal(all.length - told.length + dropped, 2 * answers.length, 'and none beyond these is');
  t.ok(memory < 250, `${memory} MB`);
  t.comment(`${answers.length} requests, ${dropped} lines dropped, ${memory} MB`);
});

/** Leaves no page free. */
function fill(path: string): void {
  const { bavail, bsize } = statfsSync(disk);
  writeFileSync(path, Buffer.alloc(bavail * bsize));
}
