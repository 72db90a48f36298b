/** The Redis that counts the limits is killed, hangs, and is back, under load. */
import type { ChildProcess } from 'node:child_process';
import t, { type Test } from 'tap';
import { commandGateway, runShim, type ChaosShim } from '../helpers/chaos.ts';
import { ask, keepAlive, outcomeOf, outcomes, percentile, startLoad, type Answer } from '../helpers/load.ts';
import { startRedis, NO_REDIS } from '../helpers/redis.ts';
import { caller, TOKENS } from '../helpers/stack.ts';

/** The store may take 250 ms; the rest is for a machine with much to do. */
const SLOWEST_MS = 2_000;
const BUDGET = 6;
const BACK = /is back$/;
const DOWN = /^the store of the request limits is down/;

void t.test(
  'local counts alone, refuse refuses, nobody waits, and the budget is shared again',
  { skip: NO_REDIS },
  async (t) => {
    const redis = await startRedis(t);
    const gateway = await commandGateway(t, (req, res) => void req.resume().once('end', () => res.end('{}')));
    const run = (t: Test, onStoreFailure: string): Promise<ChaosShim> =>
      runShim(t, {
        gateway,
        callers: [
          'callers:',
          caller('busy', TOKENS.writer, ['operator.read'], 'limits: { requestsPerMinute: 1000000 }'),
          caller('small', TOKENS.reader, ['operator.read'], `limits: { requestsPerMinute: ${BUDGET} }`),
          caller('free', TOKENS.admin, ['operator.read']),
        ].join('\n'),
        more: `limits: { store: { redis: "redis://127.0.0.1:${redis.port}" }, onStoreFailure: ${onStoreFailure} }`,
      });
    const [one, two, strict] = [await run(t, 'local'), await run(t, 'local'), await run(t, 'refuse')] as const;
    const shims = [one, two, strict] as const;
    const agent = keepAlive();
    t.teardown(() => agent.destroy());
    const asked = new Map<Answer, ChaosShim>();
    const load = startLoad(12, async (worker, nth) => {
      const shim = shims[worker % 3] as ChaosShim;
      const answer = await ask(shim.port, { token: nth % 10 === 9 ? TOKENS.admin : TOKENS.writer, agent });
      asked.set(answer, shim);
      return answer;
    });
    const more = (count: number): Promise<void> => {
      const from = load.answers.length;
      return load.until((all) =>
        shims.every((shim) => all.slice(from).filter((a) => asked.get(a) === shim).length > count),
      );
    };
    /** Outcomes of one shim since the `from`th answer. */
    const since = (from: number, shim: ChaosShim): string[] =>
      Object.keys(outcomes(load.answers.slice(from).filter((answer) => asked.get(answer) === shim))).sort();
    const all = async (fits: RegExp, from: readonly number[]): Promise<void> => {
      await Promise.all(shims.map((shim, nth) => shim.logged(({ msg }) => fits.test(String(msg)), from[nth])));
    };
    const linesNow = (): number[] => shims.map((shim) => shim.lines().length);
    /** Codes of the caller with the small budget, one after the other. */
    const small = async (...at: ChaosShim[]): Promise<string> => {
      const found = [];
      for (const shim of at) found.push(outcomeOf(await ask(shim.port, { token: TOKENS.reader })));
      return found.join(', ');
    };

    await more(50);
    t.equal(await small(one, one, two, two, strict, strict, one), `${'200, '.repeat(6)}429 rate_limited`);
    t.equal(await small(two, strict), '429 rate_limited, 429 rate_limited', 'one budget');

    let child: ChildProcess | undefined;
    for (const [name, stop, start] of [
      ['killed', () => redis.stop(), () => startRedis(t, [], redis.port)],
      ['hanging', () => child?.kill('SIGSTOP'), () => child?.kill('SIGCONT')],
    ] as const) {
      const first = load.answers.length;
      let mark = linesNow();
      await stop();
      await all(DOWN, mark);
      const down = load.answers.length;
      await more(100);
      t.strictSame(since(first, one), ['200'], `${name}: a replica that counts alone refuses nobody`);
      t.strictSame(since(first, two), ['200']);
      // A caller without such a limit needs no store.
      t.strictSame(since(down + 12, strict), ['200', '503 limits_unavailable']);
      t.equal(await strict.metric('limit_store_up'), 0);
      mark = linesNow();
      const started = await start();
      if (typeof started === 'object') child = started.child;
      await all(BACK, mark);
      const back = load.answers.length;
      await more(50);
      t.strictSame(since(back + 12, strict), ['200'], `${name}: and back`);
      t.equal(await strict.metric('limit_store_up'), 1);
    }
    const answers = await load.stop();
    const slowest = percentile(answers, 1);
    t.ok(slowest < SLOWEST_MS, `the slowest took ${slowest} ms`);
    // The store that came back knows nothing of before.
    t.equal(
      await small(two, two, one, one, strict, strict, two),
      `${'200, '.repeat(6)}429 rate_limited`,
      'shared again',
    );
    t.equal(await small(one, strict), '429 rate_limited, 429 rate_limited');
    t.comment(
      `${JSON.stringify(outcomes(answers))}, the slowest took ${slowest} ms, p99 ${percentile(answers, 0.99)} ms`,
    );
  },
);
