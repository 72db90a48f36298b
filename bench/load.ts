/** The load: one POST over and over on a fixed count of connections, from a process of its own. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { here, isInstalled } from './machine.ts';

export interface Load {
  readonly path?: string;
  readonly token: string;
  /** The JSON body: it names the answer (see gateway.ts). */
  readonly body: string;
  /** Instead of it, a JSON body of so many bytes. */
  readonly pad?: number;
  readonly connections: number;
  readonly seconds: number;
  /** Every answer is to be an error of the proxy. */
  readonly refused?: boolean;
}

/** What came of it: answers, how many of them had a status from 400 on, what failed, and how long it took in all. */
export interface LoadResult {
  readonly requests: number;
  readonly refused: number;
  readonly errors: number;
  readonly micros: number;
}

const run = promisify(execFile);
const hasWrk = isInstalled('wrk');

/** What makes the load: wrk, or without it a small generator of our own, which costs more CPU itself. */
export const generator = hasWrk ? 'wrk' : 'bench/generator.ts';

/**
 * @param url origin of the proxy
 * @param load what to send
 * @returns the counts
 * @throws when a single request ends otherwise than it should: a figure of something else is none
 */
export async function applyLoad(url: string, load: Load): Promise<LoadResult> {
  const target = `${url}${load.path ?? '/v1/chat/completions'}`;
  const env = { ...process.env, BENCH_BODY: load.body, BENCH_PAD: String(load.pad ?? 0), BENCH_TOKEN: load.token };
  const { connections, seconds } = load;
  const [command, args] = hasWrk
    ? ['wrk', ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '30s', '-s', here('wrk.lua'), target]]
    : [process.execPath, [here('generator.ts'), target, String(connections), String(seconds)]];
  const { stdout } = await run(command, args, { env });
  const result = JSON.parse(stdout.trim().split('\n').at(-1) as string) as LoadResult;
  const wrong = result.errors > 0 || result.requests === 0 || result.refused !== (load.refused ? result.requests : 0);
  if (wrong) throw new Error(`${target}: ${JSON.stringify(result)}`);
  return result;
}
