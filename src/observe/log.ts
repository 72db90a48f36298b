/** The log: one line a request, at its end. Lines are JSON, so that control characters in values are escaped. */
import { pino, type Logger } from 'pino';
import { linesTo } from './lines.ts';

export type { Logger };

/** What happened to one request. Sizes in bytes, times in milliseconds. No token, query or body is ever in it. */
export interface RequestRecord {
  readonly id: string;
  readonly caller: string | undefined;
  readonly token: string | undefined;
  /** Id of the connection's client certificate, whoever named the caller. */
  readonly certificate?: string | undefined;
  readonly method: string;
  /** Template of the route; `undefined` where none was found. */
  readonly route: string | undefined;
  /** The path of a request without a route, cut to 200 characters. */
  readonly path: string | undefined;
  readonly peer: string | undefined;
  readonly status: number;
  /** The error code of the shim's own answers. */
  readonly code: string | undefined;
  readonly reason: string | undefined;
  /** What it would have been refused for, were the caller's policy not only reported. */
  readonly wouldRefuse: string | undefined;
  /** Headers that the caller sent and may not. */
  readonly dropped: readonly string[] | undefined;
  readonly ttfb: number;
  readonly ms: number;
  readonly in: number;
  readonly out: number;
  /** Why it ended. */
  readonly end: EndReason;
  /** Of a WebSocket alone. */
  readonly socket?: SocketRecord | undefined;
  /** Id of the trace (W3C Trace Context). */
  readonly trace: string | undefined;
}

/** How a WebSocket was closed, and what passed: messages from the caller, and to it; a tunnel counts none. */
export interface SocketRecord {
  /** Status code of its end (RFC 6455 section 7.4); 1006 for an end without a close frame. */
  readonly close: number;
  readonly closeReason: string | undefined;
  readonly framesIn?: number;
  readonly framesOut?: number;
}

export type EndReason =
  | 'done'
  | 'refused'
  | 'caller_gone'
  | 'caller_idle'
  | 'gateway_gone'
  | 'gateway_idle'
  | 'body_too_large'
  | 'protocol_error'
  | 'revoked'
  | 'expired'
  | 'shutdown'
  | 'error';

/** Lines are kept together for this long, which saves a system call a request; an end of the process flushes. */
const FLUSH_MS = 100;
const BATCH_CHARACTERS = 32 * 1024;
const BATCH_REQUESTS = 64;

/** Where requests are told of. */
export interface RequestLog {
  readonly logger: Logger;
  /** Writes the line of one request. */
  readonly request: (level: 'info' | 'warn', record: RequestRecord) => void;
}

/** A line that is still to be made; milliseconds since the epoch. */
interface Request {
  readonly level: 'info' | 'warn';
  readonly time: number;
  readonly record: RequestRecord;
}

/** The log and the way to empty its buffer. */
export interface Log extends RequestLog {
  /** Writes what is buffered, now. Settles when it is written, or after a second where the reader is stuck. */
  flush(): Promise<void>;
}

/**
 * @param logger pino's
 * @returns a log that writes requests as any other line
 */
export function requestLog(logger: Logger): RequestLog {
  return { logger, request: (level, record) => logger[level](record, 'request') };
}

/**
 * @param fd file descriptor that lines go to
 * @param pretty whether lines are for people, not programs
 * @returns the log
 */
export async function createLog(fd: number, pretty: boolean): Promise<Log> {
  const lines = linesTo(fd);
  if (pretty) {
    // CommonJS: a bundle has its default alone.
    const { default: pretty } = await import('pino-pretty');
    const words = pretty.prettyFactory({ singleLine: true, ignore: 'pid,hostname', translateTime: 'HH:MM:ss.l' });
    const logger = pino({ base: undefined }, { write: (line) => lines.write(words(line)) });
    return { ...requestLog(logger), flush: () => lines.flush() };
  }
  let batch = '';
  const requests: Request[] = [];
  const format = (): void => {
    for (const { level, time, record } of requests) {
      batch += `{"level":"${level}"${timestamp(time)},${JSON.stringify(record).slice(1, -1)},"msg":"request"}\n`;
    }
    requests.length = 0;
  };
  const send = (): void => {
    format();
    if (batch === '') return;
    lines.write(batch);
    batch = '';
  };
  const write = (line: string): void => {
    format();
    batch += line;
    if (batch.length >= BATCH_CHARACTERS) send();
  };
  setInterval(send, FLUSH_MS).unref();
  const level = (label: string): { level: string } => ({ level: label });
  const logger = pino({ base: undefined, timestamp: () => timestamp(Date.now()), formatters: { level } }, { write });
  return {
    logger,
    // The same lines as pino's own, made many at a time: each costs a third of one that is made alone.
    request(level, record) {
      if (!logger.isLevelEnabled(level)) return;
      requests.push({ level, time: Date.now(), record });
      if (requests.length >= BATCH_REQUESTS) write('');
    },
    flush() {
      send();
      return lines.flush();
    },
  };
}

let millisecond = 0;
let written = '';

/** Writing a date costs more than the rest of a line; many lines share a millisecond. */
function timestamp(now: number): string {
  if (now !== millisecond) {
    millisecond = now;
    written = `,"time":"${new Date(now).toISOString()}"`;
  }
  return written;
}
