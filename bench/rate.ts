/**
 * POSTs at a fixed rate, a process of its own: each is sent when its time has come, whatever became of those before,
 * and its time counts from then on, so that a proxy that stalls is not spared the requests it kept from being sent.
 * Its arguments are url, requests a second, and seconds; the last line is JSON, times in milliseconds.
 */
import { Agent, request } from 'node:http';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

const [url, perSecond, seconds] = process.argv.slice(2) as [string, string, string];
const body = process.env.BENCH_BODY as string;
const headers = {
  'content-type': 'application/json',
  'content-length': Buffer.byteLength(body),
  authorization: `Bearer ${process.env.BENCH_TOKEN}`,
};
const agent = new Agent({ keepAlive: true });
const between = 1_000 / Number(perSecond);
/** Connections are made and this program is compiled before it counts. */
const WARM_UP = Math.round(Number(perSecond) / 2);
const total = Number(perSecond) * Number(seconds) + WARM_UP;
const first: number[] = [];
const last: number[] = [];

function post(due: number, counts: boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const req = request(url, { method: 'POST', headers, agent }, (res) => {
      if (res.statusCode !== 200) reject(new Error(`status ${res.statusCode}`));
      res.once('data', () => counts && first.push(performance.now() - due));
      res.once('error', reject);
      res.once('end', () => {
        if (counts) last.push(performance.now() - due);
        resolve();
      });
    });
    req.once('error', reject);
    req.end(body);
  });
}

const begun = performance.now();
const under: Promise<void>[] = [];
for (let i = 0; i < total;) {
  const now = performance.now();
  for (; i < total && begun + i * between <= now; i++) under.push(post(begun + i * between, i >= WARM_UP));
  await sleep(1);
}
await Promise.all(under);
agent.destroy();

const at = (times: readonly number[], share: number): number => times[Math.floor(times.length * share)] as number;
for (const times of [first, last]) times.sort((a, b) => a - b);
process.stdout.write(
  `${JSON.stringify({
    first50: at(first, 0.5),
    first99: at(first, 0.99),
    p50: at(last, 0.5),
    p99: at(last, 0.99),
  })}\n`,
);
