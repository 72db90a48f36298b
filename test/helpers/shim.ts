/** Runs the shim as people run it: a process of its own, with a configuration file. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const MAIN = join(import.meta.dirname, '../../src/main.ts');
/** A test that fails must not hang on a shim that does not drain. */
const STOP_MS = 5_000;

/** One line of the log, parsed. */
export type LogLine = Readonly<Record<string, unknown>>;

export interface ShimProcess {
  readonly url: string;
  readonly pid: number;
  /** What it wrote on stderr. */
  log(): string;
  /** Waits for a log line that fits; one that is already there counts. */
  logged(fits: (line: LogLine) => boolean): Promise<LogLine>;
  /** Ends it with SIGTERM. @returns its exit code; `null` when it had to be killed */
  stop(): Promise<number | null>;
}

/**
 * @param yaml text of the configuration; `listen.port: 0` takes a free port
 * @param env all of its environment, but for `PATH` and `HOME`
 * @param node the program that runs it; this process's own by default
 * @returns the shim, listening
 * @throws Error with its log when it ends before it listens
 */
export async function startShim(
  yaml: string,
  env: Readonly<Record<string, string>> = {},
  node = process.execPath,
): Promise<ShimProcess> {
  const dir = await mkdtemp(join(tmpdir(), 'auth-shim-'));
  const file = join(dir, 'shim.config.yaml');
  await writeFile(file, yaml);
  const child = spawn(node, [MAIN, 'serve', '-c', file], {
    cwd: dir,
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env.PATH ?? '', HOME: dir, ...env },
  });
  // A test that breaks off must not leave it behind.
  const abandon = (): void => void child.kill('SIGKILL');
  process.once('exit', abandon);
  const exit = new Promise<number | null>((resolve, reject) => child.once('exit', resolve).once('error', reject));
  const lines: LogLine[] = [];
  const waiting = new Set<(line: LogLine) => void>();
  let log = '';
  createInterface({ input: child.stderr }).on('line', (text) => {
    log += `${text}\n`;
    const line = parse(text);
    lines.push(line);
    for (const see of waiting) see(line);
  });
  const logged = (fits: (line: LogLine) => boolean): Promise<LogLine> =>
    new Promise((resolve) => {
      const found = lines.find(fits);
      if (found) return resolve(found);
      const see = (line: LogLine): void => {
        if (!fits(line)) return;
        waiting.delete(see);
        resolve(line);
      };
      waiting.add(see);
    });
  const started = await Promise.race([logged(({ msg }) => msg === 'listening'), exit]);
  if (started === null || typeof started === 'number') {
    await rm(dir, { recursive: true, force: true });
    throw new Error(`the shim ended with ${started} before it listened\n${log}`);
  }
  return {
    url: String(started.url),
    pid: child.pid!,
    log: () => log,
    logged,
    stop: async () => {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
      const code = await exit;
      clearTimeout(timer);
      process.off('exit', abandon);
      await rm(dir, { recursive: true, force: true });
      return code;
    },
  };
}

function parse(text: string): LogLine {
  try {
    return JSON.parse(text) as LogLine;
  } catch {
    return { msg: text };
  }
}
