/** The gateway is killed and started again under load. */
import t from 'tap';
import { gatewayProcess, runShim } from '../helpers/chaos.ts';
import { ask, keepAlive, outcomeOf, outcomes, startLoad, type Answer } from '../helpers/load.ts';
import { TOKENS } from '../helpers/stack.ts';

const WORKERS = 24;
/** Longer than what is on the way when the gateway is killed. */
const PACE = { chunks: 20, chunkDelay: 60 } as const;
const STREAM = JSON.stringify({ model: 'openclaw', stream: true, messages: [{ role: 'user', content: 'Hello' }] });
const isStream = ({ path }: Answer): boolean => path === '/v1/chat/completions';

void t.test('what is under way breaks, what comes is told, and all is well again by itself', async (t) => {
  let gateway = await gatewayProcess(t, 0, PACE);
  const { port } = gateway;
  const shim = await runShim(t, { gateway: gateway.url });
  const agent = keepAlive();
  t.teardown(() => agent.destroy());
  let streams = 0;
  const load = startLoad(WORKERS, async (worker) => {
    const plain = { token: TOKENS.writer, agent };
    if (worker % 2 === 0) return ask(shim.port, plain);
    const asked = { ...plain, method: 'POST', path: '/v1/chat/completions', body: STREAM };
    const answer = await ask(shim.port, { ...asked, onHead: () => streams++ });
    if (answer.status !== 0) streams--;
    return answer;
  });
  const unreachable = (answer: Answer): boolean => answer.code === 'gateway_unreachable';

  for (let round = 1; round <= 3; round++) {
    const before = load.answers.length;
    await load.until((all) => all.length > before + 100 && all.slice(before).some(isStream) && streams >= 8);
    const killedAt = performance.now();
    await gateway.kill();
    await load.until((all) => all.slice(before).filter(unreachable).length > 100);
    const downFrom = load.answers.slice(before).find(unreachable)?.ended as number;
    const downTo = performance.now();
    gateway = await gatewayProcess(t, port, PACE);
    const upFrom = performance.now();
    await load.until((all) => all.filter((one) => one.began > upFrom && isStream(one)).length >= 24);

    const answers = load.answers.slice(before);
    const down = answers.filter(({ began, ended }) => began > downFrom && ended < downTo);
    t.strictSame(Object.keys(outcomes(down)), ['502 gateway_unreachable'], `round ${round}: while it is down`);
    t.strictSame(Object.keys(outcomes(answers.filter(({ began }) => began > upFrom))), ['200'], 'when it is back');
    const streaming = answers.filter((one) => isStream(one) && one.began < killedAt && one.ended > killedAt);
    const found = outcomes(streaming);
    t.ok((found['200 broken'] ?? 0) > 0, 'streams under way broke off');
    const odd = Object.keys(found).filter(
      (one) => !['200', '200 broken', '502 gateway_bad_response', '502 gateway_unreachable'].includes(one),
    );
    t.strictSame(odd, []);
    t.comment(`round ${round}: ${JSON.stringify(outcomes(answers))}`);
  }

  const answers = await load.stop();
  for (const one of answers.filter(isStream)) {
    if (one.status === 200 && one.whole !== one.body.endsWith('data: [DONE]\n\n'))
      t.fail('a clean end of half a reply');
  }
  const found = outcomes(answers);
  t.strictSame(
    Object.keys(found).filter(
      (one) => !['200', '200 broken', '502 gateway_unreachable', '502 gateway_bad_response'].includes(one),
    ),
    [],
  );
  t.ok((found['502 gateway_bad_response'] ?? 0) <= 3 * WORKERS, 'only what was under way when it was killed');
  const longest = Math.max(...answers.map(({ began, ended }) => ended - began));
  t.ok(longest < 5_000, `the longest took ${Math.round(longest)} ms`);

  const count = (outcome: RegExp): number => answers.filter((one) => outcome.test(outcomeOf(one))).length;
  t.equal(await shim.metric('requests_total'), answers.length, 'every request is counted once');
  t.equal(await shim.metric('requests_total', { code: '200' }), count(/^200/));
  t.equal(await shim.metric('refusals_total', { code: 'gateway_unreachable' }), count(/unreachable/));
  t.equal(await shim.metric('gateway_errors_total', { code: 'gateway_gone' }), count(/broken/));
  t.equal(await shim.metric('open_requests'), 0);
  await shim.logged(() => shim.lines().filter(({ msg }) => msg === 'request').length === answers.length);
});
