/** One request and its answer, as the caller's side and the log see it. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ERRORS, reasonOf, refuse, type ErrorCode, type Refusal } from '../errors.ts';
import type { About } from '../decision.ts';
import type { DecisionRecord } from '../observe/audit-record.ts';
import type { EndReason } from '../observe/log.ts';
import type { Forwarding } from './forward.ts';
import type { Snapshot } from './snapshot.ts';
import { recordDecision, recordEnd, type Observers } from './record.ts';
import { LINGER_MS, writeRawRefusal, writeRefusal } from './refuse.ts';

/** What nothing is done by (RFC 9110 section 9.2.1). */
const REPEATABLE: ReadonlySet<string> = new Set(['GET', 'HEAD']);

/** Keeps what the log line needs; writes the line when the response is over, however it ended. */
export class Exchange {
  readonly id: string;
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  /** What it is judged and carried by, from its first byte to its last. */
  readonly snapshot: Snapshot;
  readonly #observers: Observers;
  readonly #started = performance.now();
  about: About = {};
  /** The gateway's side of it, once there is one. */
  forwarding: Forwarding | undefined;
  /** Stops collecting its body, where that is collected. */
  letGo: (() => void) | undefined;
  /** Gives back the room that the caller was given for it. */
  release: (() => void) | undefined;
  /** Bytes of the request body. */
  bytesIn = 0;
  /** Bytes of the gateway's response body. */
  bytesOut = 0;
  #awaitsContinue: boolean;
  /** Ends an answer that waits for the rest of its request. */
  #stopWaiting: (() => void) | undefined;
  #ttfb: number | undefined;
  #code: ErrorCode | undefined;
  #reason: string | undefined;
  #end: EndReason | undefined;

  constructor(id: string, req: IncomingMessage, res: ServerResponse, snapshot: Snapshot, observers: Observers) {
    this.id = id;
    this.req = req;
    this.res = res;
    this.snapshot = snapshot;
    this.#observers = observers;
    this.#awaitsContinue = req.headers.expect !== undefined;
    res.once('close', () => {
      this.forwarding?.callerClosed();
      this.#finished();
    });
  }

  get method(): string {
    return this.req.method ?? '';
  }

  get target(): string {
    return this.req.url ?? '';
  }

  /** Whether an audit is kept. */
  get audited(): boolean {
    return this.#observers.audit !== undefined;
  }

  /** Whether it was answered or given up, so that nothing more may come of it. */
  get over(): boolean {
    return this.res.destroyed || this.res.headersSent || this.#end !== undefined;
  }

  /** Whether some of the request's body was not read yet, so that its connection cannot be used again. */
  get unread(): boolean {
    const { req } = this;
    // `complete` of a request without a body is set only after it was handed out.
    if (req.headers['content-length'] === undefined && req.headers['transfer-encoding'] === undefined) return false;
    return Number(req.headers['content-length']) !== 0 && (!req.complete || req.readableLength > 0);
  }

  /**
   * Whether its connection must end with the answer: also after an `Upgrade`, behind which Node's parser throws away
   * what came in the same read, so that the next request would begin anywhere.
   */
  get closes(): boolean {
    return this.unread || this.req.headers.upgrade !== undefined;
  }

  /** Whether a silent connection waits for the gateway's answer, not for its caller to send or to read. */
  get waitsForGateway(): boolean {
    return this.req.complete && this.req.socket.writableLength === 0;
  }

  /** Asks the caller for the body that it announced with `Expect`. */
  continue(): void {
    this.#awaitsContinue = false;
    this.res.writeContinue();
  }

  /** The first byte of the answer goes out. */
  begin(): void {
    this.#ttfb ??= performance.now() - this.#started;
  }

  /** Why it ends, when not by itself. The first reason counts. */
  endBecause(reason: EndReason, detail?: string): void {
    this.#end ??= reason;
    this.#reason ??= detail;
  }

  /**
   * Ends an answer that is whole. The rest of a request that is still coming is read away for a while first: a close
   * with unread bytes resets the connection, and the answer may be lost with it (RFC 9112 section 9.6).
   *
   * @param rest what is still to be written, as Latin-1
   */
  finish(rest = ''): void {
    const { req, res } = this;
    if (!this.unread || this.#awaitsContinue) {
      res.end(rest, 'latin1');
      return;
    }
    if (rest !== '') res.write(rest, 'latin1');
    let left = this.snapshot.drainLimit;
    const end = (): void => {
      clearTimeout(timer);
      res.end();
    };
    const timer = setTimeout(end, LINGER_MS);
    this.#stopWaiting = end;
    req.on('data', (chunk: Buffer) => {
      left -= chunk.length;
      if (left < 0) end();
    });
    req.once('end', end);
    res.once('close', () => clearTimeout(timer));
    req.resume();
  }

  /**
   * Ends it for a reason of the shim's own, wherever it is: before the gateway, at it, or in the middle of its answer.
   *
   * @param reason for the log
   * @param refusal for the caller
   */
  end(reason: EndReason, refusal: Refusal): void {
    if (this.forwarding) {
      this.forwarding.end(reason, refusal);
    } else if (!this.over) {
      this.endBecause(reason, reasonOf(refusal));
      this.refuse(refusal);
    }
  }

  /** Answers with a refusal, unless an answer has begun: the first reason to refuse is the one that is told. */
  refuse(refusal: Refusal): void {
    if (this.res.headersSent) return;
    this.#refused(refusal);
    const begun = this.forwarding !== undefined && !REPEATABLE.has(this.method);
    writeRefusal(this.res, refusal, { id: this.id, origin: this.about.origin, close: this.closes, begun });
    this.finish();
  }

  /**
   * The rest of the request is no HTTP: nothing of its connection can be read or used any more.
   *
   * @param refusal what the caller is told, where no answer has begun; `undefined` where the caller is gone
   */
  breakOff(refusal: Refusal | undefined): void {
    const { req, res } = this;
    if (this.#stopWaiting) {
      this.#stopWaiting();
    } else if (refusal && !res.headersSent && req.socket.writable) {
      this.#refused(refusal);
      writeRawRefusal(req.socket, refusal, this.id);
    } else {
      res.destroy();
    }
  }

  /** What is about to be done is kept in the audit. */
  decided(decision: DecisionRecord['decision'], code?: ErrorCode): void {
    recordDecision(this.#observers, this, this.about, decision, code);
  }

  #refused(refusal: Refusal): void {
    this.#code = refusal.code;
    this.letGo?.();
    if (!this.forwarding) this.decided('refuse', refusal.code);
    this.endBecause('refused', reasonOf(refusal));
    this.begin();
  }

  /** An unexpected error ends one exchange, never the process. */
  attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.fail(error);
    }
  }

  /** An error that nobody expected: 500 with the request id for the caller, the stack for the log. */
  fail(error: unknown): void {
    this.#observers.logger.error({ id: this.id, err: error }, 'unexpected error');
    this.endBecause('error');
    this.forwarding?.abandon('error');
    if (this.res.headersSent) this.res.destroy();
    else this.refuse(refuse('internal_error'));
  }

  #finished(): void {
    this.release?.();
    const ms = performance.now() - this.#started;
    const code = this.#code;
    recordEnd(this.#observers, this, this.about, {
      status: code ? ERRORS[code].status : this.res.headersSent ? this.res.statusCode : 0,
      code,
      reason: this.#reason,
      ttfb: this.#ttfb ?? ms,
      ms,
      in: this.bytesIn,
      out: this.bytesOut,
      end: this.#end ?? (this.res.writableFinished ? 'done' : 'caller_gone'),
      forwarded: this.forwarding !== undefined,
      usage: this.forwarding?.usage,
    });
  }
}
