/** The configuration changes 200 times under load: each request is judged and carried by one of them, whole. */
import { renameSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import t from 'tap';
import { commandGateway, startFrom } from '../helpers/chaos.ts';
import { ask, keepAlive, outcomeOf, outcomes, percentile, startLoad, type Answer } from '../helpers/load.ts';
import { caller, TOKENS } from '../helpers/stack.ts';

const RELOADS = 200;
const SCOPES = { A: ['operator.read', 'operator.write'], B: ['operator.write'] } as const;
const LIMITS = { A: 1_000_000, B: 2_000_000 } as const;
type Version = keyof typeof SCOPES;

/** What a request met of each configuration, in one line; these two are whole. */
const WHOLE = {
  A: 'at A: fixed, operator.read,operator.write, version A, 1000000 a minute',
  B: 'at B: fixed, operator.write, version B, 2000000 a minute',
} as const;

void t.test('no request is lost, none meets a mixture', async (t) => {
  const answerAs =
    (name: Version) =>
    (req: IncomingMessage, res: ServerResponse): void => {
      const { 'x-user': user, 'x-version': version, 'x-openclaw-scopes': scopes } = req.headers;
      req.resume().once('end', () => {
        const seen = `at ${name}: ${String(user)}, ${String(scopes)}, version ${String(version)}`;
        // Some replies take longer than a reload.
        setTimeout(() => res.end(JSON.stringify({ seen })), req.url?.includes('slow') ? 30 : 0);
      });
    };
  const urls = { A: await commandGateway(t, answerAs('A')), B: await commandGateway(t, answerAs('B')) };
  const folder = t.testdir({});
  const file = join(folder, 'shim.config.yaml');
  const configure = (version: Version): void => {
    const limits = `limits: { requestsPerMinute: ${LIMITS[version]} }`;
    const auth = [
      'mode: trusted-proxy',
      'userHeader: x-user',
      `requiredHeaders: { x-version: ${version} }`,
      'clientAddress: 192.0.2.1',
    ];
    const text = [
      'listen: { port: 0 }',
      'admin: { port: 0 }',
      `gateway: { url: "${urls[version]}", auth: { ${auth.join(', ')} } }`,
      'callers:',
      caller('fixed', TOKENS.writer, SCOPES[version], limits),
      // This token changes hands with every reload.
      caller(`reader-${version}`, TOKENS.reader, SCOPES[version], limits),
    ];
    writeFileSync(`${file}.new`, text.join('\n'));
    renameSync(`${file}.new`, file);
  };
  configure('A');
  const shim = await startFrom(t, file, {});
  const agent = keepAlive();
  t.teardown(() => agent.destroy());

  /** Configuration number n is A for even n. `seen` is known to be in force, `written` may be. */
  const known = { seen: 0, written: 0 };
  const versionOf = (number: number): Version => (number % 2 === 0 ? 'A' : 'B');
  const facts = new Map<Answer, { readonly from: number; readonly to: number }>();
  const metOf = (answer: Answer): string => {
    const { seen } = JSON.parse(answer.body || '{}') as { seen?: string };
    return `${seen}, ${String(answer.headers['ratelimit-limit'])} a minute`;
  };
  const load = startLoad(16, async (worker, nth) => {
    const from = known.seen;
    const token = worker % 4 === 3 ? TOKENS.reader : TOKENS.writer;
    const path = worker % 4 === 2 ? '/sessions/slow/history' : '/v1/models';
    const body =
      worker % 4 === 1 ? { method: 'POST', path: '/v1/chat/completions', body: '{}', bodyAfter: pause(nth % 20) } : {};
    const answer = await ask(shim.port, { token, path, agent, ...body });
    facts.set(answer, { from, to: known.written });
    return answer;
  });

  const began = performance.now();
  for (let number = 1; number <= RELOADS; number++) {
    known.written = number;
    configure(versionOf(number));
    shim.child.kill('SIGHUP');
    const whole = WHOLE[versionOf(number)];
    // One that began before can have met the last configuration but one, which is the same.
    const written = performance.now();
    let at = load.answers.length;
    await load.until((all) => {
      for (; at < all.length; at++) {
        const answer = all[at] as Answer;
        if (answer.began > written && metOf(answer) === whole) return true;
      }
      return false;
    });
    known.seen = number;
  }
  const took = performance.now() - began;
  const last = load.answers.length;
  await load.until((all) => all.length > last + 100);
  const answers = await load.stop();

  const wrong: string[] = [];
  const moved: Answer[] = [];
  for (const answer of answers) {
    const { from, to } = facts.get(answer) as { from: number; to: number };
    const fits = [versionOf(from), ...(to > from ? [versionOf(from + 1)] : [])];
    const ofReader = fits.map((version) => WHOLE[version].replace('fixed', `reader-${version}`));
    if (fits.some((version) => metOf(answer) === WHOLE[version]) || ofReader.includes(metOf(answer))) continue;
    // Its token has another caller now: that ends what the old one had under way.
    if (outcomeOf(answer) === '401 invalid_token' && to > from) moved.push(answer);
    else wrong.push(`${outcomeOf(answer)} ${answer.path} ${metOf(answer)}, between ${from} and ${to}: ${answer.body}`);
  }
  t.strictSame(wrong.slice(0, 5), [], `${wrong.length} of ${answers.length}`);
  const reasons = shim.lines().filter(({ code }) => code === 'invalid_token');
  t.ok(
    reasons.every(
      ({ caller, reason }) =>
        String(caller).startsWith('reader') && /^the credential is reader-[AB]'s now$/.test(String(reason)),
    ),
    'nobody else was refused',
  );
  t.equal(await shim.metric('config_reloads_total', { result: 'failed' }), 0);
  t.ok((await shim.metric('config_reloads_total', { result: 'ok' })) >= RELOADS);
  t.equal(await shim.metric('requests_total'), answers.length);
  // Connections to a gateway that was left stay for four seconds: some thousand of them here.
  t.ok(shim.memory() < 350, `${shim.memory()} MB`);
  t.comment(
    `${RELOADS} reloads in ${Math.round(took)} ms, ${JSON.stringify(outcomes(answers))}, ` +
      `${moved.length} ended with their credential, p99 ${percentile(answers, 0.99)} ms, ${shim.memory()} MB`,
  );
});

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
