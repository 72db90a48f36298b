/** One process under measurement, and what the kernel's accounting (Linux, `/proc`) says of it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

/** `USER_HZ`: the unit of `/proc/PID/stat` is 10 ms on every Linux. */
const TICK_MICROS = 10_000;
const START_LIMIT_MS = 10_000;

export interface Measured {
  /** Where it listens, as its own line said. */
  readonly url: string;
  /** Milliseconds from spawn to that line. */
  readonly startMs: number;
  /** Microseconds of CPU since its start, user and system, all threads. */
  cpuMicros(): number;
  /** Resident memory in bytes. */
  residentBytes(): number;
  /** Ends it; resolves when it is gone. */
  stop(): Promise<void>;
}

/**
 * @param args arguments for this Node
 * @param log file for its standard error, where its line `{"msg":"listening","url":…}` is looked for
 * @param env further variables
 * @returns the process, listening
 * @throws when it ends, or says nothing for 10 s
 */
export async function startProcess(
  args: readonly string[],
  log: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Measured> {
  const fd = openSync(log, 'w');
  const begun = performance.now();
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', fd], env: { ...process.env, ...env } });
  closeSync(fd);
  const exited = once(child, 'exit');
  const kill = (): boolean => child.kill('SIGKILL');
  process.once('exit', kill);
  const pid = child.pid as number;

  let url: string | undefined;
  while (url === undefined) {
    if (child.exitCode !== null || performance.now() - begun > START_LIMIT_MS) {
      child.kill();
      throw new Error(`${args.join(' ')} does not listen:\n${readFileSync(log, 'utf8').slice(0, 2_000)}`);
    }
    await sleep(2);
    url = listeningUrl(readFileSync(log, 'utf8'));
  }
  const startMs = performance.now() - begun;

  return {
    url,
    startMs,
    cpuMicros() {
      // The second field is the name in brackets, which may have spaces; utime and stime are the 14th and 15th.
      const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? [];
      return (Number(fields[11]) + Number(fields[12])) * TICK_MICROS;
    },
    residentBytes() {
      return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]) * 1_024;
    },
    async stop() {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 2_000);
      await exited;
      clearTimeout(timer);
      process.off('exit', kill);
    },
  };
}

function listeningUrl(text: string): string | undefined {
  for (const line of text.split('\n')) {
    if (!line.includes('"listening"') || !line.endsWith('}')) continue;
    return (JSON.parse(line) as { readonly url: string }).url;
  }
  return undefined;
}
