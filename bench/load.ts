/** The load: one POST over and over on a fixed count of connections, from a process of its own. */
import { execFile, execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export interface Load {
  /** The JSON body: it names the answer (see gateway.ts). */
  readonly body: string;
  readonly connections: number;
  readonly seconds: number;
}

/** What came of it. Latencies and `micros` (how long it took in all) in microseconds. */
export interface LoadResult {
  readonly requests: number;
  readonly errors: number;
  readonly bytes: number;
  readonly micros: number;
  readonly p50: number;
  readonly p99: number;
}

const run = promisify(execFile);
const hasWrk = isOnPath('wrk');

/** What makes the load: wrk, or without it a small generator of our own, which costs more CPU itself. */
export const generator = hasWrk ? 'wrk' : 'bench/generator.ts';

/**
 * @param url origin of the proxy
 * @param token bearer token
 * @param load what to send
 * @returns the counts
 * @throws when a single request fails: figures of refusals are not figures of a proxy
 */
export async function applyLoad(url: string, token: string, load: Load): Promise<LoadResult> {
  const target = `${url}/v1/chat/completions`;
  const env = { ...process.env, BENCH_BODY: load.body, BENCH_TOKEN: token };
  const { connections, seconds } = load;
  const [command, args] = hasWrk
    ? ['wrk', ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '30s', '-s', here('wrk.lua'), target]]
    : [process.execPath, [here('generator.ts'), target, String(connections), String(seconds)]];
  const { stdout } = await run(command, args, { env });
  const result = JSON.parse(stdout.trim().split('\n').at(-1) as string) as LoadResult;
  if (result.errors > 0 || result.requests === 0) throw new Error(`${target}: ${JSON.stringify(result)}`);
  return result;
}

function here(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

function isOnPath(command: string): boolean {
  try {
    execFileSync('which', [command], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
