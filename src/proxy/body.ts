/** Request bodies. */
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';

/**
 * Reads a body whole.
 *
 * @param req the request; reading begins at once
 * @param limit most bytes
 * @param done gets the bytes, or `undefined` when there are more than the limit; it is not called when the caller
 *   goes away first
 */
export function collectBody(req: IncomingMessage, limit: number, done: (body: Buffer | undefined) => void): void {
  const chunks: Buffer[] = [];
  let size = 0;
  const onData = (chunk: Buffer): void => {
    chunks.push(chunk);
    size += chunk.length;
    if (size > limit) finish(undefined);
  };
  const onEnd = (): void => finish(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks, size));
  const finish = (body: Buffer | undefined): void => {
    req.off('data', onData);
    req.off('end', onEnd);
    done(body);
  };
  req.on('data', onData);
  req.on('end', onEnd);
}

/**
 * A body passed on as it comes, with backpressure. It stands between the request and undici, because undici destroys
 * the body of a failed request, and a destroyed request takes the caller's connection, and the answer, with it.
 */
export class PassingBody extends Readable {
  readonly #req: IncomingMessage;
  readonly #limit: number;
  readonly #tooLarge: () => void;
  #size = 0;

  /**
   * @param req the request
   * @param limit most bytes; what would pass it is not passed on
   * @param tooLarge is called once when it is passed
   */
  constructor(req: IncomingMessage, limit: number, tooLarge: () => void) {
    super();
    this.#req = req;
    this.#limit = limit;
    this.#tooLarge = tooLarge;
    req.on('data', this.#onData);
    req.on('end', this.#onEnd);
    req.pause();
  }

  /** Bytes that came so far. */
  get size(): number {
    return this.#size;
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#size += chunk.length;
    if (this.#size > this.#limit) {
      this.#detach();
      this.#tooLarge();
    } else if (!this.push(chunk)) {
      this.#req.pause();
    }
  };

  readonly #onEnd = (): void => {
    this.push(null);
  };

  #detach(): void {
    this.#req.off('data', this.#onData);
    this.#req.off('end', this.#onEnd);
  }

  override _read(): void {
    this.#req.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#detach();
    this.#req.pause();
    callback(error);
  }
}
