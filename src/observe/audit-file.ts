/** The file that audit lines are appended to, rotated by size, and opened anew when somebody moved it. */
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { open, rename, stat, type FileHandle } from 'node:fs/promises';
import type { AuditTarget } from './audit-queue.ts';

/**
 * Read access is for the last byte alone. A link at the end of the path is not followed: in a folder that others
 * may write to, it could lead anywhere. A FIFO must not keep the start waiting for its reader.
 */
const FLAGS = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const MODE = 0o600;
/** How often the name is compared with the file that is open. */
const LOOK_MS = 1_000;
const NEWLINE = 0x0a;

export interface AuditFileOptions {
  readonly path: string;
  /** Bytes; 0: never rotated here. */
  readonly maxSize: number;
  readonly keep: number;
  /** Told when it cannot be rotated; lines go on into the same file. */
  readonly onTrouble: (message: string) => void;
}

export class AuditFile implements AuditTarget {
  readonly #options: AuditFileOptions;
  #handle: FileHandle | undefined;
  #device = 0;
  #inode = 0;
  #size = 0;
  /** Bytes at which it is rotated. */
  #limit = Infinity;
  #looked = 0;
  #stale = false;

  constructor(options: AuditFileOptions) {
    this.#options = options;
  }

  async prepare(bytes: number): Promise<boolean> {
    if (this.#handle && (this.#stale || (await this.#moved()))) await this.close();
    const anew = this.#handle === undefined;
    if (anew) await this.#open();
    if (this.#size === 0 || this.#size + bytes <= this.#limit) return anew;
    return (await this.#rotate()) || anew;
  }

  async write(batch: Buffer, offset: number): Promise<number> {
    const { bytesWritten } = await (this.#handle as FileHandle).write(batch, offset);
    this.#size += bytesWritten;
    return bytesWritten;
  }

  /** By a descriptor of its own: the other one may be just being opened or closed. */
  writeSync(lines: Buffer): void {
    const fd = openSync(this.#options.path, FLAGS, MODE);
    try {
      for (let offset = 0; offset < lines.length;) offset += writeSync(fd, lines, offset);
    } finally {
      closeSync(fd);
    }
  }

  reopen(): void {
    this.#stale = true;
  }

  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close();
  }

  async #open(): Promise<void> {
    const { path, maxSize } = this.#options;
    this.#stale = false;
    const handle = await open(path, FLAGS, MODE).catch((error: unknown) => {
      throw new Error(`${path} ${faultWords(error)}`, { cause: error });
    });
    try {
      const { dev, ino, size, isFile } = await statOf(handle);
      if (!isFile) throw new Error(`${path} is no regular file`);
      this.#size = size;
      // Whoever wrote here before was ended within a line: only that line is broken, not ours with it.
      if (size > 0 && !(await endsWithNewline(handle, size))) this.#size += (await handle.write('\n')).bytesWritten;
      this.#device = dev;
      this.#inode = ino;
    } catch (error) {
      await handle.close();
      throw error;
    }
    this.#limit = maxSize === 0 ? Infinity : maxSize;
    this.#looked = performance.now();
    this.#handle = handle;
  }

  /** Whether the name leads elsewhere by now: logrotate, or a file that was deleted. */
  async #moved(): Promise<boolean> {
    const now = performance.now();
    if (now - this.#looked < LOOK_MS) return false;
    this.#looked = now;
    try {
      const { dev, ino, size } = await stat(this.#options.path);
      // It is smaller than what was written where somebody has cut it.
      this.#size = size;
      return dev !== this.#device || ino !== this.#inode;
    } catch {
      return true;
    }
  }

  /** @returns whether there is a new file */
  async #rotate(): Promise<boolean> {
    const { path, maxSize, keep, onTrouble } = this.#options;
    try {
      for (let number = keep - 1; number >= 1; number--) {
        await rename(`${path}.${number}`, `${path}.${number + 1}`).catch((error: unknown) => {
          if (codeOf(error) !== 'ENOENT') throw error;
        });
      }
      await rename(path, `${path}.1`);
    } catch (error) {
      this.#limit = this.#size + maxSize;
      onTrouble(`the audit file ${path} cannot be rotated (${codeOf(error)}) and grows`);
      return false;
    }
    await this.close();
    await this.#open();
    return true;
  }
}

async function statOf(handle: FileHandle) {
  const stats = await handle.stat();
  return { dev: stats.dev, ino: stats.ino, size: stats.size, isFile: stats.isFile() };
}

async function endsWithNewline(handle: FileHandle, size: number): Promise<boolean> {
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, size - 1);
  return buffer[0] === NEWLINE;
}

function faultWords(error: unknown): string {
  const code = codeOf(error);
  switch (code) {
    case 'EISDIR':
      return 'is a directory';
    case 'ELOOP':
      return 'is a symbolic link, which is not followed';
    case 'ENOENT':
      return 'is in a folder that does not exist';
    case 'EACCES':
    case 'EPERM':
      return 'may not be read and written by this user';
    default:
      return `cannot be opened (${code})`;
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
