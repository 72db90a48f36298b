/** What a configuration reads beside itself: files, variables, the clock. Handed in, so that tests have their own. */
import { lookup } from 'node:dns/promises';
import { closeSync, constants, fstatSync, openSync, readFileSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import type { Config } from './config.ts';

export interface ConfigWorld {
  /** @throws the system's error (`ENOENT`, `EISDIR`, `EACCES`) */
  readonly readFile: (path: string) => string;
  /** Permission bits of a file; where it is not given, nobody is warned of open files. */
  readonly fileMode?: (path: string) => number;
  /** Addresses of a name; empty where it does not resolve. Where it is not given, names are not looked up. */
  readonly resolve?: (name: string) => Promise<readonly string[]>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What `~/` stands for. */
  readonly home: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** What runs, where it is loaded anew: certificates whose files are bad now stay as they are in it. */
  readonly running?: Pick<Config, 'admin' | 'listen' | 'gateway' | 'certificates'>;
}

/**
 * @param name a host name
 * @returns its addresses as this machine resolves them; none where it cannot
 */
export async function resolveName(name: string): Promise<readonly string[]> {
  try {
    return (await lookup(name, { all: true })).map(({ address }) => address);
  } catch {
    return [];
  }
}

/** More than any configuration or secret has. */
const MOST_BYTES = 4 * 1024 * 1024;

/** The file system of this machine. Only plain files of a sane size are read: a pipe would be waited for. */
export const disk = {
  readFile(path: string): string {
    const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const found = fstatSync(file);
      if (found.isDirectory()) throw fault('EISDIR');
      if (!found.isFile()) throw fault('ENOTFILE');
      if (found.size > MOST_BYTES) throw fault('EFBIG');
      return readFileSync(file, 'utf8');
    } finally {
      closeSync(file);
    }
  },
  fileMode: (path: string): number => statSync(path).mode & 0o777,
} as const satisfies Partial<ConfigWorld>;

/**
 * @param path as it is written: absolute, `~/…`, or relative to the configuration file's folder
 * @param file the configuration file
 * @param home what `~` stands for
 * @returns the path to open; as relative as `file` is
 */
export function resolvePath(path: string, file: string, home: string): string {
  if (path.startsWith('~/')) return join(home, path.slice(2));
  return isAbsolute(path) ? path : join(dirname(file), path);
}

/**
 * @param error what reading a file threw
 * @returns why, in words that go after the file's name
 */
export function readFaultWords(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return 'does not exist';
    case 'EISDIR':
      return 'is a directory';
    case 'ENOTFILE':
      return 'is no plain file';
    case 'EFBIG':
      return 'is larger than 4 MiB';
    case 'EACCES':
    case 'EPERM':
      return 'may not be read by this user';
    default:
      return `cannot be read${code === '' ? '' : ` (${code})`}`;
  }
}

function fault(code: string): Error {
  return Object.assign(new Error(code), { code });
}
