/** Where in an event stream something may be said between two events. Pure. */

const LF = 10;
const CR = 13;

/** A comment line: clients ignore it (HTML, "server-sent events", 9.2.6). */
export const KEEP_ALIVE = ': keep-alive\n\n';

/**
 * Follows the last bytes of an event stream, whose lines end in LF, CRLF or CR, however chunks split them. After a
 * final CR that follows an LF the stream is not between events yet: its LF may still come.
 */
export class EventBoundary {
  #third = LF;
  #second = LF;
  #last = LF;

  /** @param chunk the next bytes of the stream */
  push(chunk: Uint8Array): void {
    const n = chunk.length;
    if (n === 0) return;
    this.#third = n > 2 ? (chunk[n - 3] as number) : n === 2 ? this.#last : this.#second;
    this.#second = n > 1 ? (chunk[n - 2] as number) : this.#last;
    this.#last = chunk[n - 1] as number;
  }

  /** Whether the stream is at its beginning or right after a blank line. */
  get between(): boolean {
    if (this.#last === CR) return this.#second === CR;
    if (this.#last !== LF) return false;
    if (this.#second !== CR) return this.#second === LF;
    return this.#third === LF || this.#third === CR;
  }
}

/**
 * @param status of the gateway's answer
 * @param contentType its media type
 * @returns whether the answer is an event stream
 */
export function isEventStream(status: number, contentType: string | undefined): boolean {
  return status === 200 && contentType !== undefined && /^text\/event-stream(?:\s*;|\s*$)/i.test(contentType);
}

/**
 * @param body JSON text of an error
 * @returns the event by which a stream is told why it ends
 */
export function errorEvent(body: string): string {
  return `${ERROR_HEAD}${body}\n\n`;
}

const ERROR_HEAD = 'event: error\ndata: ';
/** More than any of the shim's own. */
const MOST_ERROR = 4 * 1024;

/**
 * @param chunk of an event stream, at the beginning of an event
 * @returns the body in it where it is the whole of such an event and nothing else: so another shim sends its last
 */
export function readErrorEvent(chunk: Buffer): string | undefined {
  if (chunk.length > MOST_ERROR || chunk[0] !== ERROR_HEAD.charCodeAt(0)) return undefined;
  const text = chunk.toString('utf8');
  return text.startsWith(ERROR_HEAD) && text.endsWith('\n\n') ? text.slice(ERROR_HEAD.length, -2) : undefined;
}
