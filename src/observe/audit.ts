/** The audit: one line at the decision of a request, one at the end of what was forwarded. Apart from the log. */
import type { AuditConfig } from '../config/audit.ts';
import { AuditFile } from './audit-file.ts';
import { AuditQueue } from './audit-queue.ts';
import { formatRecord, type AuditRecord, type GapRecord } from './audit-record.ts';
import { AuditStream } from './audit-stream.ts';

const BATCH_RECORDS = 64;
const SETTLE_MS = 50;
/** Where records go. */
export interface Audit {
  /** Never waits and never throws: a line that cannot be kept is counted. */
  write(record: Exclude<AuditRecord, GapRecord>): void;
  /** False after a failed write or a dropped line, true once all that waited is written. */
  readonly healthy: boolean;
  /** Lines that were given up since the start. */
  readonly dropped: number;
  /** Closes the file and opens it by its name again (SIGHUP, logrotate); no line is lost. */
  reopen(): void;
  /** Writes what waits, at once, for an end of the process that cannot wait. */
  flush(): void;
  /** Writes what waits and closes the file; two seconds at most. */
  close(): Promise<void>;
}

/** An audit that cannot be begun, in words for the operator. */
export class AuditError extends Error {}

/**
 * @param config where the audit goes
 * @param onTrouble gets words for the log when trouble begins and when it ends
 * @param now milliseconds since the epoch
 * @returns the audit, its file open
 * @throws AuditError when the file cannot be opened or is no regular file
 */
export async function createAudit(
  { target: where }: AuditConfig,
  onTrouble: (message: string) => void,
  now: () => number = Date.now,
): Promise<Audit> {
  const target = where.kind === 'file' ? new AuditFile({ ...where, onTrouble }) : new AuditStream(1);
  try {
    await target.prepare(0);
  } catch (error) {
    throw new AuditError(`the audit file ${error instanceof Error ? error.message : ''}`, { cause: error });
  }
  const gapLine = (dropped: number): string => formatRecord({ event: 'gap', dropped }, now());
  const queue = new AuditQueue({ target, gapLine, onTrouble });
  // Many lines made at once cost each a third of one made alone.
  const records: Exclude<AuditRecord, GapRecord>[] = [];
  const times: number[] = [];
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  const settle = (): void => {
    clearTimeout(timer);
    timer = undefined;
    for (const [i, record] of records.entries()) queue.push(formatRecord(record, times[i] as number));
    records.length = times.length = 0;
  };
  return {
    write(record) {
      records.push(record);
      times.push(now());
      // In trouble each line counts at once.
      if (records.length >= BATCH_RECORDS || !queue.healthy || closed) settle();
      else timer ??= setTimeout(settle, SETTLE_MS).unref();
    },
    get healthy() {
      return queue.healthy;
    },
    get dropped() {
      return queue.dropped;
    },
    reopen() {
      settle();
      queue.reopen();
    },
    flush() {
      settle();
      queue.flush();
    },
    close() {
      closed = true;
      settle();
      return queue.close();
    },
  };
}
