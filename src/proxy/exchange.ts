/** One request and its answer, as the caller's side and the log see it. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { ERRORS, refuse, type ErrorCode, type Refusal } from '../errors.ts';
import type { About } from '../gate.ts';
import type { EndReason, Logger, RequestRecord } from '../observe/log.ts';
import { writeRefusal } from './refuse.ts';

/** What exchanges share. */
export interface ExchangeContext {
  readonly logger: Logger;
  /** Most bytes of a refused body that are read away. */
  readonly drainLimit: number;
  /** Connections that a refusal closes: what was pipelined behind it is not read. */
  readonly closing: WeakSet<Duplex>;
}

/** Keeps what the log line needs; writes the line when the response is over, however it ended. */
export class Exchange {
  readonly id: string;
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly #context: ExchangeContext;
  readonly #started = performance.now();
  about: About = {};
  /** Bytes of the request body. */
  bytesIn = 0;
  /** Bytes of the gateway's response body. */
  bytesOut = 0;
  #ttfb: number | undefined;
  #code: ErrorCode | undefined;
  #reason: string | undefined;
  #end: EndReason | undefined;

  constructor(id: string, req: IncomingMessage, res: ServerResponse, context: ExchangeContext) {
    this.id = id;
    this.req = req;
    this.res = res;
    this.#context = context;
    res.once('close', () => this.#log());
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

  /** Answers with a refusal; nothing of an answer was sent yet. */
  refuse(refusal: Refusal): void {
    const { req, res } = this;
    if (res.headersSent || res.destroyed) return;
    this.#code = refusal.code;
    this.endBecause('refused', refusal.reason);
    this.begin();
    const closes = writeRefusal(req, res, refusal, this.id, this.about.origin, this.#context.drainLimit);
    if (closes) this.#context.closing.add(req.socket);
  }

  /** An error that nobody expected: 500 with the request id for the caller, the stack for the log. */
  fail(error: unknown): void {
    this.#context.logger.error({ id: this.id, err: error }, 'unexpected error');
    this.endBecause('error');
    if (this.res.headersSent) this.res.destroy();
    else this.refuse(refuse('internal_error'));
  }

  #log(): void {
    const { about, res, req } = this;
    const ms = performance.now() - this.#started;
    const complete = res.writableFinished;
    const end = this.#end ?? (complete ? 'done' : 'caller_gone');
    const record: RequestRecord = {
      id: this.id,
      caller: about.caller,
      token: about.tokenId,
      method: req.method ?? '',
      route: about.route?.template,
      ...(about.route === undefined && about.caller !== undefined ? { path: pathOf(req.url ?? '') } : {}),
      peer: about.peer,
      status: res.headersSent ? res.statusCode : 0,
      ...(this.#code === undefined ? {} : { code: this.#code }),
      ...(this.#reason === undefined ? {} : { reason: this.#reason }),
      ...(about.dropped && about.dropped.length > 0 ? { dropped: about.dropped } : {}),
      ttfb: round(this.#ttfb ?? ms),
      ms: round(ms),
      in: this.bytesIn,
      out: this.bytesOut,
      end,
    };
    const serious = this.#code !== undefined && ERRORS[this.#code].status >= 500;
    this.#context.logger[serious ? 'warn' : 'info'](record, 'request');
  }
}

function pathOf(target: string): string {
  const mark = target.indexOf('?');
  return (mark < 0 ? target : target.slice(0, mark)).slice(0, 200);
}

/** Milliseconds to a tenth. */
function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
