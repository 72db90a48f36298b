/** Writes a file so that a reader sees the old text or the new one, never a part. */
import {
  closeSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** Somebody else wrote the file meanwhile; their change would be lost. */
export class ReplaceError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ReplaceError';
  }
}

/**
 * A new file in the same folder, flushed, then renamed over the old one. Mode and owner stay; a symbolic link
 * stays a link.
 *
 * @param path the file; it exists
 * @param before what it held when the change was made
 * @param after what it is to hold
 * @throws ReplaceError when it holds something else by now, and the system's errors
 */
export function replaceFile(path: string, before: string, after: string): void {
  const target = realpathSync(path);
  const { mode, uid, gid } = statSync(target);
  const folder = dirname(target);
  const fresh = join(folder, `.${basename(target)}.new`);
  // `wx`: two commands at once meet here, and the second one fails.
  const file = openSync(fresh, 'wx', 0o600);
  try {
    try {
      const own = fstatSync(file);
      if (own.uid !== uid || own.gid !== gid) fchownSync(file, uid, gid);
      fchmodSync(file, mode & 0o7777);
      writeFileSync(file, after);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    if (readFileSync(target, 'utf8') !== before) throw new ReplaceError('the file was changed meanwhile; try again');
    renameSync(fresh, target);
  } catch (error) {
    rmSync(fresh, { force: true });
    throw error;
  }
  const directory = openSync(folder, 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
