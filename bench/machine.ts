/** Where it is measured: the machine and what is on it. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release } from 'node:os';
import { fileURLToPath } from 'node:url';

/**
 * @param path beside this file
 * @returns its absolute path
 */
export function here(path: string): string {
  return fileURLToPath(new URL(path, import.meta.url));
}

/** @returns whether a program of this name is on the PATH */
export function isInstalled(command: string): boolean {
  try {
    execFileSync('which', [command], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** @returns how many files this process and those that it starts may have open each */
export function openFiles(): number {
  return Number(/^Max open files\s+\S+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1]);
}

/** @returns the load average of the last minute */
export function loadNow(): number {
  return loadavg()[0] as number;
}

/** @returns a line for the report */
export function machine(): string {
  return `${availableParallelism()} cores of ${cpus()[0]?.model.trim()}, Linux ${release()}, Node ${process.version}`;
}

/** @returns names and versions of the proxies that are programs, as they say themselves */
export function versions(programs: readonly string[]): string {
  const asked: Readonly<Record<string, string>> = { caddy: 'version', nginx: '-v', haproxy: '-v' };
  return programs
    .filter((name) => name in asked)
    .map((name) => {
      // nginx writes it to its standard error.
      const text = execFileSync('sh', ['-c', `${name} ${asked[name]} 2>&1`], { encoding: 'utf8' });
      return `${name} ${/\d+\.\d+\.\d+/.exec(text)?.[0]}`;
    })
    .join(', ');
}
