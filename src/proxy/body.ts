/** Request bodies. */
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';

/** What happens to a body on its way. */
export interface BodyWatch {
  /** Most bytes. */
  readonly limit: number;
  /** Is told the size of each chunk. */
  readonly count: (bytes: number) => void;
  /** Is called once, with the first chunk that passes the limit; nothing is read after that. */
  readonly tooLarge: () => void;
}

const SMALLEST = 4 * 1024;

/**
 * Reads a body whole.
 *
 * @param req the request; reading begins at once
 * @param watch limit and count
 * @param done gets the bytes; it is not called when the caller goes away first
 * @returns lets go of the request, for when nobody wants its body any more: neither `done` nor the watch is called then
 */
export function collectBody(req: IncomingMessage, watch: BodyWatch, done: (body: Buffer) => void): () => void {
  let body: Buffer = Buffer.alloc(0);
  let size = 0;
  const onData = (chunk: Buffer): void => {
    const end = size + chunk.length;
    watch.count(chunk.length);
    if (end > watch.limit) {
      detach();
      watch.tooLarge();
    } else if (size === 0) {
      // A body of one chunk is taken as it came.
      body = chunk;
    } else {
      if (end > body.length) {
        // One buffer that grows: a buffer for each one-byte chunk would take 500 times the memory.
        const larger = Buffer.allocUnsafe(Math.min(watch.limit, Math.max(end, 2 * body.length, SMALLEST)));
        body.copy(larger, 0, 0, size);
        body = larger;
      }
      chunk.copy(body, size);
    }
    size = end;
  };
  const onEnd = (): void => {
    detach();
    done(body.subarray(0, size));
  };
  const detach = (): void => {
    req.off('data', onData);
    req.off('end', onEnd);
  };
  req.on('data', onData);
  req.on('end', onEnd);
  return detach;
}

/**
 * A body passed on as it comes, with backpressure. It stands between the request and undici, because undici destroys
 * the body of a failed request, and a destroyed request takes the caller's connection, and the answer, with it.
 */
export class PassingBody extends Readable {
  readonly #req: IncomingMessage;
  readonly #watch: BodyWatch;
  #size = 0;

  /**
   * @param req the request
   * @param watch limit and count; what would pass the limit is not passed on
   */
  constructor(req: IncomingMessage, watch: BodyWatch) {
    super();
    this.#req = req;
    this.#watch = watch;
    req.on('data', this.#onData);
    req.on('end', this.#onEnd);
    req.pause();
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#size += chunk.length;
    this.#watch.count(chunk.length);
    if (this.#size > this.#watch.limit) {
      this.#detach();
      this.#watch.tooLarge();
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
