/** How long a caller waits, through each proxy and directly. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { here } from './machine.ts';
import { PROXIES, startGateway, startProxy, TOKEN, type Side } from './proxies.ts';
import { Rows, type Plan, type Row } from './rows.ts';

const PER_SECOND = 500;
const STREAMS = 16;
const run = promisify(execFile);

/** What rate.ts prints. Milliseconds. */
export interface Waited {
  readonly first50: number;
  readonly first99: number;
  readonly p50: number;
  readonly p99: number;
}

/**
 * @param url origin of a proxy or of the gateway
 * @param body of each POST
 * @param perSecond so many
 * @param seconds so long
 * @returns how long they took, from when each was due
 */
export function atRate(url: string, body: string, perSecond: number, seconds: number): Promise<Waited> {
  return told('rate.ts', [`${url}/v1/chat/completions`, String(perSecond), String(seconds)], body);
}

async function told<T>(script: string, args: readonly string[], body = ''): Promise<T> {
  const env = { ...process.env, BENCH_TOKEN: TOKEN, BENCH_BODY: body };
  const { stdout } = await run(process.execPath, [here(script), ...args], { env });
  return JSON.parse(stdout) as T;
}

/**
 * @param folder for logs and configurations
 * @param plan how long
 * @returns milliseconds of small POSTs at a fixed rate, and of events from the gateway to the caller
 */
export async function measureLatency(folder: string, { rounds, seconds }: Plan): Promise<Row[]> {
  const gateway = await startGateway(folder);
  const started = await Promise.all(PROXIES.map((name) => startProxy(name, gateway.url, folder)));
  const urls: readonly (readonly [Side, string])[] = [
    ['direct', gateway.url],
    ...PROXIES.map((name, i) => [name, started[i]?.url as string] as const),
  ];
  const rows = new Rows();
  try {
    for (let round = -1; round < rounds; round++) {
      for (const [side, url] of urls) {
        const small = await atRate(url, '{}', PER_SECOND, seconds);
        const chunk = await told<Waited>('chunks.ts', [
          `${url}/v1/chat/completions`,
          String(STREAMS),
          String(seconds * 2),
        ]);
        if (round < 0) continue;
        rows.add('small POST at 500 a second, p50', 'ms', side, small.p50);
        rows.add('small POST at 500 a second, p99', 'ms', side, small.p99);
        rows.add('delay of a chunk, p50', 'ms', side, chunk.p50);
        rows.add('delay of a chunk, p99', 'ms', side, chunk.p99);
      }
    }
    return rows.all();
  } finally {
    await Promise.all([gateway, ...started].map((one) => one.stop()));
  }
}
