/** Lines of the log on their way to a descriptor that is open already, whatever is behind it. */
import { AuditStream } from './audit-stream.ts';

/** What a reader that is stuck may keep waiting; lines beyond it are dropped, not kept in memory. */
const STUCK_CHARACTERS = 8 * 1024 * 1024;
/** How long a reader that is stuck is waited for at the end. */
const FLUSH_MS = 1_000;

export interface Lines {
  /** Nothing waits for it: it is written as soon as the reader takes it. What cannot be written at all is lost. */
  write(text: string): void;
  /** Settles when all is written, or after a second without what is still waiting. */
  flush(): Promise<void>;
}

/**
 * @param fd of a file, or of a pipe or socket that does not block (as Node makes those of its own output)
 * @returns what writes to it, in order; it keeps the process up only while somebody waits for `flush`
 */
export function linesTo(fd: number): Lines {
  const stream = new AuditStream(fd);
  let waiting = '';
  let running: Promise<void> | undefined;

  async function run(): Promise<void> {
    while (waiting !== '') {
      const batch = Buffer.from(waiting);
      waiting = '';
      try {
        for (let offset = 0; offset < batch.length;) offset += await stream.write(batch, offset);
      } catch {
        // A full disk, or a reader that is gone: there is nobody to tell it to.
      }
    }
    running = undefined;
  }

  return {
    write(text) {
      if (text === '' || waiting.length + text.length > STUCK_CHARACTERS) return;
      waiting += text;
      running ??= run();
    },
    async flush() {
      let limit: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => (limit = setTimeout(resolve, FLUSH_MS)));
      await Promise.race([late, running]);
      clearTimeout(limit);
    },
  };
}
