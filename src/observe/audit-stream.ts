/** Audit lines to a descriptor that is open already: stdout, whatever is behind it. */
import { write, writeSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { AuditTarget } from './audit-queue.ts';

const writeTo = promisify(write);
/** A pipe that does not block says EAGAIN while it is full, and nothing when it no longer is. */
const FULL_PIPE_MS = 50;

export class AuditStream implements AuditTarget {
  readonly #fd: number;

  /** @param fd stays open */
  constructor(fd: number) {
    this.#fd = fd;
  }

  prepare(): Promise<boolean> {
    return Promise.resolve(false);
  }

  async write(batch: Buffer, offset: number): Promise<number> {
    for (;;) {
      try {
        return (await writeTo(this.#fd, batch, offset)).bytesWritten;
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error;
        await wait(FULL_PIPE_MS, undefined, { ref: false });
      }
    }
  }

  writeSync(lines: Buffer): void {
    for (let offset = 0; offset < lines.length;) offset += writeSync(this.#fd, lines, offset);
  }

  reopen(): void {}

  close(): Promise<void> {
    return Promise.resolve();
  }
}
