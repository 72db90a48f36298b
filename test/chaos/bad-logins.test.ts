/** Bad logins as fast as they can come from one address, while others and a valid caller from there work. */
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import t from 'tap';
import { commandGateway, runShim } from '../helpers/chaos.ts';
import { ask, keepAlive, outcomeOf, outcomes, percentile, startLoad } from '../helpers/load.ts';
import { TOKENS } from '../helpers/stack.ts';

const ATTEMPTS = 10_000;
/** So many of them in a minute get 401, the others 429. */
const TOLERATED = 10;
const ELSEWHERE = '127.0.0.2';

void t.test('a valid credential always passes, and memory is bounded', async (t) => {
  const gateway = await commandGateway(t, (req, res) => void req.resume().once('end', () => res.end('{}')));
  const shim = await runShim(t, { gateway });
  const agents = [keepAlive(), keepAlive()] as const;
  t.teardown(() => agents.forEach((agent) => agent.destroy()));
  const load = startLoad(8, (worker) =>
    worker % 2 === 0
      ? ask(shim.port, { token: TOKENS.reader, agent: agents[0] })
      : ask(shim.port, { token: TOKENS.writer, agent: agents[1], from: ELSEWHERE }),
  );
  await load.until((all) => all.length > 2_000);
  const before = shim.memory();
  const from = load.answers.length;
  const began = performance.now();
  const statuses = await attack(shim.port, 32);
  const took = performance.now() - began;
  const after = shim.memory();
  const during = load.answers.slice(from);
  const answers = await load.stop();

  t.strictSame(statuses, { 401: TOLERATED, 429: ATTEMPTS - TOLERATED });
  t.strictSame(Object.keys(outcomes(answers)), ['200'], 'every valid request passed');
  t.ok(during.length > 100, `${during.length} of them during the attack`);
  const p99 = percentile(during, 0.99);
  t.ok(p99 < 2_000, `p99 ${p99} ms`);
  const wrong = { token: randomToken() };
  t.match(await ask(shim.port, wrong), { status: 429, code: 'rate_limited', headers: { 'retry-after': /^\d\d?$/ } });
  t.equal(outcomeOf(await ask(shim.port, { token: randomToken(), from: ELSEWHERE })), '401 invalid_token');
  t.equal(await shim.metric('limited_total', { code: 'failed_logins' }), ATTEMPTS - TOLERATED + 1);
  t.ok(after < before + 60, `${before} MB before, ${after} MB after`);
  t.comment(
    `${Math.round((ATTEMPTS / took) * 1_000)} bad logins a second, ${during.length} valid requests meanwhile, ` +
      `p99 ${p99} ms, ${before} MB before, ${after} MB after`,
  );
});

/** A token of its own for each attempt, over connections that are used as long as they last. @returns how often each status came */
async function attack(port: number, connections: number): Promise<Record<string, number>> {
  const statuses: Record<string, number> = {};
  let left = ATTEMPTS;
  const one = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const socket: Socket = connect(port, '127.0.0.1').setNoDelay(true);
      let text = '';
      const send = (): void => {
        if (left-- > 0) {
          socket.write(`GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${randomToken()}\r\n\r\n`);
        } else socket.end();
      };
      socket.once('connect', send);
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString('latin1');
        const [head = '', body] = text.split('\r\n\r\n');
        if (body === undefined || body.length < Number(/content-length: (\d+)/i.exec(head)?.[1])) return;
        const status = head.slice(9, 12);
        statuses[status] = (statuses[status] ?? 0) + 1;
        text = '';
        if (!/\r\nconnection: close/i.test(head)) send();
      });
      socket.once('error', reject);
      socket.once('close', resolve);
    });
  const work = async (): Promise<void> => {
    while (left > 0) await one();
  };
  await Promise.all(Array.from({ length: connections }, work));
  return statuses;
}

function randomToken(): string {
  return randomBytes(32).toString('base64url');
}
