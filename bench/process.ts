/** One process under measurement, and what the kernel's accounting (Linux, `/proc`) says of it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

/** `USER_HZ`: the unit of `/proc/PID/stat` is 10 ms on every Linux. */
const TICK_MICROS = 10_000;
const START_LIMIT_MS = 20_000;

/** None outlives this process, however it ends. */
const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

export interface Measured {
  /** Where it listens. */
  readonly url: string;
  /** Milliseconds from spawn until it said that it listens, or took a connection. */
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
 * @throws when it ends, or says nothing for 20 s
 */
export function startProcess(
  args: readonly string[],
  log: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Measured> {
  return start(process.execPath, args, log, env, () => Promise.resolve(listeningUrl(readFileSync(log, 'utf8'))));
}

/**
 * @param command a program that does not tell where it listens
 * @param args its arguments
 * @param log file for what it writes
 * @param port where it listens on loopback
 * @returns the process, listening
 * @throws when it ends, or takes no connection for 20 s
 */
export function startProgram(command: string, args: readonly string[], log: string, port: number): Promise<Measured> {
  const url = `http://127.0.0.1:${port}`;
  // Caddy writes there what it was configured with.
  const own = { XDG_CONFIG_HOME: dirname(log), XDG_DATA_HOME: dirname(log) };
  return start(command, args, log, own, async () => ((await takesConnections(port)) ? url : undefined));
}

async function start(
  command: string,
  args: readonly string[],
  log: string,
  env: Readonly<Record<string, string>>,
  findUrl: () => Promise<string | undefined>,
): Promise<Measured> {
  const fd = openSync(log, 'w');
  const begun = performance.now();
  const child = spawn(command, args, { stdio: ['ignore', fd, fd], env: { ...process.env, ...env } });
  closeSync(fd);
  const exited = once(child, 'exit');
  running.add(child);
  const pid = child.pid as number;

  let url: string | undefined;
  while (url === undefined) {
    if (child.exitCode !== null || performance.now() - begun > START_LIMIT_MS) {
      child.kill();
      throw new Error(`${command} ${args.join(' ')} does not listen:\n${readFileSync(log, 'utf8').slice(0, 2_000)}`);
    }
    await sleep(2);
    url = await findUrl();
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
      running.delete(child);
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

async function takesConnections(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
