/** The messages of a WebSocket while its first frames are awaited, one after another. */
import type { WebSocket } from 'ws';

export interface Message {
  readonly data: Buffer;
  readonly binary: boolean;
}

/** Keeps what comes, in order, until somebody asks for it. */
export class Inbox {
  readonly #ws: WebSocket;
  readonly #waiting: Message[] = [];
  #wake: (() => void) | undefined;

  constructor(ws: WebSocket) {
    this.#ws = ws;
    ws.on('message', this.#take);
    ws.once('close', this.#closed);
  }

  /** How many messages wait. */
  get length(): number {
    return this.#waiting.length;
  }

  /**
   * @param signal ends the wait
   * @returns the next message, `undefined` where the socket was closed before one came
   * @throws the signal's reason
   */
  async next(signal: AbortSignal): Promise<Message | undefined> {
    while (this.#waiting.length === 0) {
      signal.throwIfAborted();
      if (this.#ws.readyState === this.#ws.CLOSED) return undefined;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      signal.addEventListener('abort', this.#closed, { once: true });
      await promise;
      signal.removeEventListener('abort', this.#closed);
    }
    signal.throwIfAborted();
    return this.#waiting.shift();
  }

  /** @returns what still waits; from now on messages are somebody else's */
  detach(): readonly Message[] {
    this.#ws.off('message', this.#take);
    this.#ws.off('close', this.#closed);
    return this.#waiting;
  }

  readonly #take = (data: Buffer, binary: boolean): void => {
    this.#waiting.push({ data, binary });
    this.#wake?.();
  };

  readonly #closed = (): void => this.#wake?.();
}
