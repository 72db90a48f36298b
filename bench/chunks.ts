/**
 * Reads event streams whose events say when they were sent, a process of its own: how long each took to come. Its
 * arguments are url, streams, and seconds; the last line is JSON, milliseconds.
 */
import { request } from 'node:http';
import { performance } from 'node:perf_hooks';

const [url, streams, seconds] = process.argv.slice(2) as [string, string, string];
const CHUNKS = 200;
const body = JSON.stringify({ stream: true, stamp: true, pace: (Number(seconds) * 1_000) / CHUNKS });
const headers = {
  'content-type': 'application/json',
  'content-length': body.length,
  authorization: `Bearer ${process.env.BENCH_TOKEN}`,
};
const delays: number[] = [];

function read(): Promise<void> {
  return new Promise((resolve, reject) => {
    const req = request(url, { method: 'POST', headers, agent: false }, (res) => {
      if (res.statusCode !== 200) reject(new Error(`status ${res.statusCode}`));
      res.setEncoding('utf8');
      res.on('data', (text: string) => {
        const now = performance.timeOrigin + performance.now();
        for (const [, at] of text.matchAll(/"at":([\d.]+)\}/g)) delays.push(now - Number(at));
      });
      res.once('error', reject);
      res.once('end', resolve);
    });
    req.once('error', reject);
    req.end(body);
  });
}

await Promise.all(Array.from({ length: Number(streams) }, read));
delays.sort((a, b) => a - b);
const at = (share: number): number => delays[Math.floor(delays.length * share)] as number;
process.stdout.write(`${JSON.stringify({ count: delays.length, p50: at(0.5), p99: at(0.99) })}\n`);
