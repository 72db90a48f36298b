/** The program as a process of its own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';

export const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

export interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** What is run; by default the source. */
  readonly main?: string;
  readonly cwd?: string;
  readonly env?: Record<string, string | undefined>;
}

export interface ServeOptions extends RunOptions {
  /** A program that runs Node, and its arguments, such as `prlimit`. */
  readonly under?: readonly string[];
  /** Options of Node's own. */
  readonly node?: readonly string[];
}

/** Runs the program to its end. */
export async function runProgram(args: readonly string[], options: RunOptions = {}): Promise<Run> {
  const child = spawn(process.execPath, [options.main ?? MAIN, ...args], {
    cwd: options.cwd,
    env: environment(options),
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => (stdout += part));
  child.stderr.setEncoding('utf8').on('data', (part: string) => (stderr += part));
  child.stdin.end();
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

export interface Served {
  readonly child: ChildProcess;
  /** The start line. */
  readonly listening: Record<string, unknown>;
  readonly url: string;
  /** All lines on stderr so far. */
  lines(): readonly Record<string, unknown>[];
  /** Settles with the first line that fits, from the `from`th on; one that is there already counts. */
  logged(fits: (line: Record<string, unknown>) => boolean, from?: number): Promise<Record<string, unknown>>;
  /** Settles at its end, with the exit code. */
  readonly ended: Promise<number | null>;
}

/** Runs `serve` until it listens; it is ended with the test. */
export async function serve(t: Test, args: readonly string[], options: ServeOptions = {}): Promise<Served> {
  const { under = [], node = [], main = MAIN } = options;
  const [program = '', ...all] = [...under, process.execPath, ...node, main, 'serve', ...args];
  const child = spawn(program, all, { cwd: options.cwd, env: environment(options) });
  const ended = once(child, 'close').then(([code]) => code as number | null);
  t.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  // What is no JSON, a stack at the end for instance, is for the error alone.
  let text = '';
  let rest = '';
  const parsed: Record<string, unknown>[] = [];
  const waiting = new Set<() => void>();
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    const whole = (rest + part).split('\n');
    rest = whole.pop() ?? '';
    for (const line of whole) {
      if (line.startsWith('{')) parsed.push(JSON.parse(line) as Record<string, unknown>);
      else text += `${line}\n`;
    }
    for (const look of waiting) look();
  });
  const logged: Served['logged'] = (fits, from = 0) =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const found = parsed.find((line, index) => index >= from && fits(line));
        if (!found) return;
        waiting.delete(look);
        resolve(found);
      };
      waiting.add(look);
      void ended.then((code) => reject(new Error(`ended with ${code} before it said so: ${text}${told()}`)));
      look();
    });
  const told = (): string => JSON.stringify(parsed.slice(-20));
  const listening = await logged(({ msg }) => msg === 'listening');
  return { child, listening, url: listening.url as string, lines: () => parsed, logged, ended };
}

function environment({ env }: RunOptions): NodeJS.ProcessEnv {
  // The cache of compiled code halves the time of a start.
  const { PATH, NODE_COMPILE_CACHE } = process.env;
  return { PATH, ...(NODE_COMPILE_CACHE !== undefined && { NODE_COMPILE_CACHE }), ...env };
}
