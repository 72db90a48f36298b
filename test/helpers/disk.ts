/** A small disk in memory, that tests can fill. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';

export interface SmallDisk {
  readonly folder: string;
  /** Why tests with it are skipped, where this user may not mount one. */
  readonly skip: string | false;
  readonly resize: (size: string) => void;
}

/**
 * @param t it is unmounted with this test
 * @param size as `mount` has it
 * @returns the disk; its folder is not within those of tap, which tap removes before they are left
 */
export function mountDisk(t: Test, size: string): SmallDisk {
  const folder = mkdtempSync(join(tmpdir(), 'auth-shim-disk-'));
  const mount = (...args: string[]): void => void execFileSync('mount', [...args, folder], { stdio: 'ignore' });
  let mounted = true;
  try {
    mount('-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs');
  } catch {
    mounted = false;
  }
  t.teardown(() => {
    if (mounted) execFileSync('umount', ['--lazy', folder]);
    rmdirSync(folder);
  });
  return {
    folder,
    skip: !mounted && 'this user may not mount a disk',
    resize: (next) => mount('-o', `remount,size=${next}`),
  };
}
