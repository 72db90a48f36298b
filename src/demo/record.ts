/** What the stand-in gateway keeps of a request: exact bytes, and how the exchange ended. */
import type { IncomingMessage, ServerResponse } from 'node:http';

export interface Recorded {
  readonly method: string;
  /** The request target, byte for byte. */
  readonly url: string;
  /** Names and values alternating, as they came. */
  readonly rawHeaders: readonly string[];
  /** Trailer names and values alternating; there only after `received`. */
  readonly rawTrailers: readonly string[];
  /** The bytes of the body so far. */
  readonly body: Buffer;
  /** Whether the peer went away before the response was out. */
  readonly aborted: boolean;
  /** Settles when the whole body is in, or the peer is gone. */
  readonly received: Promise<void>;
  /** Settles when the exchange is over. */
  readonly ended: Promise<'finished' | 'aborted'>;
}

export interface Recording {
  readonly request: Recorded;
  /** Fires when the peer goes away before the response is out. */
  readonly gone: AbortSignal;
}

export function record(req: IncomingMessage, res: ServerResponse): Recording {
  const parts: Buffer[] = [];
  const gone = new AbortController();
  req.on('data', (part: Buffer) => parts.push(part));
  const received = new Promise<void>((resolve) => req.once('end', resolve).once('close', () => resolve()));
  const ended = new Promise<'finished' | 'aborted'>((resolve) => {
    res.once('close', () => {
      if (!res.writableFinished) gone.abort();
      resolve(res.writableFinished ? 'finished' : 'aborted');
    });
  });
  const request: Recorded = {
    method: req.method ?? '',
    url: req.url ?? '',
    rawHeaders: req.rawHeaders,
    get rawTrailers() {
      return req.rawTrailers;
    },
    get body() {
      return Buffer.concat(parts);
    },
    get aborted() {
      return gone.signal.aborted;
    },
    received,
    ended,
  };
  return { request, gone: gone.signal };
}
