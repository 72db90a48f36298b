/** Stands in for wrk: the same arguments in the environment, the same line of JSON at the end. */
import { Agent, request } from 'node:http';
import { performance } from 'node:perf_hooks';

const [url, connections, seconds] = process.argv.slice(2) as [string, string, string];
const body = process.env.BENCH_BODY ?? '{}';
const headers = {
  'content-type': 'application/json',
  'content-length': Buffer.byteLength(body),
  authorization: `Bearer ${process.env.BENCH_TOKEN}`,
};
const agent = new Agent({ keepAlive: true, maxSockets: Number(connections) });
const begun = performance.now();
const until = begun + Number(seconds) * 1_000;
const latencies: number[] = [];
let errors = 0;
let bytes = 0;
let running = Number(connections);

function next(): void {
  const sent = performance.now();
  if (sent >= until) {
    if (--running === 0) finish();
    return;
  }
  const failed = (): void => {
    errors++;
    next();
  };
  const req = request(url, { method: 'POST', headers, agent }, (res) => {
    if (res.statusCode !== 200) errors++;
    res.on('data', (chunk: Buffer) => (bytes += chunk.length));
    res.on('end', () => {
      latencies.push((performance.now() - sent) * 1_000);
      next();
    });
    res.on('error', failed);
  });
  req.once('error', failed);
  req.end(body);
}

function finish(): void {
  agent.destroy();
  latencies.sort((a, b) => a - b);
  const at = (share: number): number => Math.round(latencies[Math.floor(latencies.length * share)] ?? 0);
  const micros = Math.round((performance.now() - begun) * 1_000);
  process.stdout.write(
    `${JSON.stringify({ requests: latencies.length, errors, bytes, micros, p50: at(0.5), p99: at(0.99) })}\n`,
  );
}

for (let i = 0; i < Number(connections); i++) next();
