/** Stands in for wrk: the same arguments in the environment, the same line of JSON at the end. */
import { Agent, request } from 'node:http';
import { performance } from 'node:perf_hooks';

const [url, connections, seconds] = process.argv.slice(2) as [string, string, string];
const pad = Number(process.env.BENCH_PAD);
const body = pad > 0 ? JSON.stringify({ pad: 'x'.repeat(pad) }) : (process.env.BENCH_BODY ?? '{}');
const headers = {
  'content-type': 'application/json',
  'content-length': Buffer.byteLength(body),
  authorization: `Bearer ${process.env.BENCH_TOKEN}`,
};
const agent = new Agent({ keepAlive: true, maxSockets: Number(connections) });
const begun = performance.now();
const until = begun + Number(seconds) * 1_000;
let requests = 0;
let refused = 0;
let errors = 0;
let running = Number(connections);

function next(): void {
  if (performance.now() >= until) {
    if (--running === 0) finish();
    return;
  }
  const failed = (): void => {
    errors++;
    next();
  };
  const req = request(url, { method: 'POST', headers, agent }, (res) => {
    if (res.statusCode !== 200) refused++;
    res.resume();
    res.on('end', () => {
      requests++;
      next();
    });
    res.on('error', failed);
  });
  req.once('error', failed);
  req.end(body);
}

function finish(): void {
  agent.destroy();
  const micros = Math.round((performance.now() - begun) * 1_000);
  process.stdout.write(`${JSON.stringify({ requests, refused, errors, micros })}\n`);
}

for (let i = 0; i < Number(connections); i++) next();
