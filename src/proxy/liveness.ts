/** Whether the peer of a WebSocket is still there. */
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';

/** Without a byte for so long a peer is asked; without one for so long after that it is gone. Milliseconds. */
export const SILENCE_MS = 30_000;
export const ANSWER_MS = 10_000;

/** Watches one side. Any byte counts, not only a pong: that may be far behind in what the peer sends. */
export class Liveness {
  readonly #ws: WebSocket;
  readonly #socket: Socket;
  #moved = 0;
  #since: number | undefined;
  #asked = false;

  constructor(ws: WebSocket, socket: Socket) {
    this.#ws = ws;
    this.#socket = socket;
  }

  /**
   * @param now milliseconds of a clock that only goes on
   * @returns false where the peer is gone
   */
  look(now: number): boolean {
    if (this.#ws.readyState !== this.#ws.OPEN) return true;
    const moved = this.#socket.bytesRead + this.#taken();
    // Nobody can answer who is not read.
    if (moved !== this.#moved || this.#since === undefined || this.#ws.isPaused) {
      this.#moved = moved;
      this.#since = now;
      this.#asked = false;
      return true;
    }
    const silent = now - this.#since;
    if (silent >= SILENCE_MS + ANSWER_MS) return false;
    if (silent >= SILENCE_MS && !this.#asked) {
      this.#asked = true;
      this.#ws.ping();
    }
    return true;
  }

  /** Bytes that the peer took of a backlog: one that reads slowly is there. Without a backlog writing proves nothing. */
  #taken(): number {
    const { bytesWritten, writableLength } = this.#socket;
    return writableLength === 0 ? 0 : bytesWritten - writableLength - queued(this.#socket);
  }
}

/**
 * What is left of the write that is under way: to Node it is one, however large, so that a message of 25 MiB to a slow
 * reader would be no sign of life for minutes. There is no public way; Node's own timeout of a socket looks here, too.
 */
function queued(socket: Socket): number {
  const { _handle: handle } = socket as { readonly _handle?: { readonly writeQueueSize?: number } | null };
  return handle?.writeQueueSize ?? 0;
}
