/** One request at the gateway, and its answer on the way back. Lifetimes are tied both ways. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import { errorBody, reasonOf, refuse, type Refusal } from '../errors.ts';
import type { Forward } from '../decision.ts';
import { blameEvent, blameShim, mayBlameShim } from '../gateway/blame.ts';
import { buildResponseHeaders } from '../headers/response.ts';
import type { EndReason } from '../observe/log.ts';
import { usageTail, type Usage, type UsageTail } from '../observe/usage.ts';
import type { PassingBody } from './body.ts';
import type { Exchange } from './exchange.ts';
import { gatewayFault } from './fault.ts';
import { corsHeaders } from './refuse.ts';
import { errorEvent, EventBoundary, isEventStream, KEEP_ALIVE, readErrorEvent } from './sse.ts';

/** A refusal of the gateway is read whole up to this size before it is known whom it is about. */
const BLAME_BYTES = 16 * 1024;
const SMALL_BYTES = 16 * 1024;
/** How long a told end may take to reach the caller. */
const FAREWELL_MS = 1_000;

type Controller = Dispatcher.DispatchController;

/** An answer that may be about the shim: nothing of it is sent before that is known. */
interface Withheld {
  readonly status: number;
  readonly raw: readonly string[];
  readonly chunks: Buffer[];
  size: number;
}

/** The handler that undici calls, and the caller's side of the same exchange. */
export class Forwarding implements Dispatcher.DispatchHandler {
  readonly #exchange: Exchange;
  readonly #decision: Forward;
  readonly #body: PassingBody | undefined;
  #controller: Controller | undefined;
  #recheck: (() => Refusal | undefined) | undefined;
  #aborted: Error | undefined;
  /** Nothing more is written to the caller. */
  #over = false;
  #boundary: EventBoundary | undefined;
  #timer: NodeJS.Timeout | undefined;
  #withheld: Withheld | undefined;
  /** `Content-Length` of the gateway's answer, if it has one. */
  #length = -1;
  /** What this tick has brought and was not written yet. */
  #read: Buffer[] = [];
  /** The end of a reply that tells its usage. */
  #tail: UsageTail | undefined;
  /** A small body that came in one piece, as Latin-1. */
  #whole: string | undefined;

  constructor(exchange: Exchange, decision: Forward, body: PassingBody | undefined) {
    this.#exchange = exchange;
    this.#decision = decision;
    this.#body = body;
  }

  /** Whether it is an event stream, as far as its answer has begun. */
  get streams(): boolean {
    return this.#boundary !== undefined;
  }

  /** The tokens of the run, where the gateway told them. */
  get usage(): Usage | undefined {
    return this.#tail?.read();
  }

  /**
   * Ends the exchange for a reason of the shim's own. An event stream is told between two events; anything else
   * that has begun breaks off, never with a clean end.
   *
   * @param reason for the log
   * @param refusal for the caller
   */
  end(reason: EndReason, refusal: Refusal): void {
    if (this.#over) return;
    const { res } = this.#exchange;
    this.#exchange.endBecause(reason, reasonOf(refusal));
    this.abandon(reason);
    if (!res.headersSent) {
      this.#exchange.refuse(refusal);
    } else if (this.#boundary?.between) {
      const farewell = setTimeout(() => res.destroy(), FAREWELL_MS);
      res.write(errorEvent(errorBody(refusal)), () => {
        clearTimeout(farewell);
        res.destroy();
      });
    } else {
      res.destroy();
    }
  }

  /** Ends the gateway's side; nothing of it reaches the caller any more. */
  abandon(reason: EndReason): void {
    this.#finish();
    this.#abort(reason);
  }

  /** The body lets go of the request, whose rest may have to be read away. */
  #finish(): void {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#body?.destroy();
  }

  #abort(reason: EndReason): void {
    this.#aborted ??= new Error(reason);
    this.#controller?.abort(this.#aborted);
  }

  /** The caller's connection is closed. The gateway cancels a run whose client is gone, so it is told at once. */
  callerClosed(): void {
    this.#finish();
    if (!this.#exchange.res.writableFinished) this.#abort('caller_gone');
  }

  /**
   * To be told when undici has the request. One that it could not send at once waits for a connection, and what let
   * it through may not hold by then.
   *
   * @param recheck why it would not be let through any more, or `undefined`
   */
  dispatched(recheck: () => Refusal | undefined): void {
    if (!this.#controller) this.#recheck = recheck;
  }

  onRequestStart(controller: Controller): void {
    this.#controller = controller;
    const refusal = this.#aborted ? undefined : this.#recheck?.();
    if (refusal) this.end('refused', refusal);
    if (this.#aborted) controller.abort(this.#aborted);
  }

  onResponseStart(controller: Controller, status: number, headers: IncomingHttpHeaders): void {
    if (status < 200) return;
    const raw = (controller.rawHeaders as Buffer[]).map((part) => part.toString('latin1'));
    if (mayBlameShim(status, headers['content-type'])) this.#withheld = { status, raw, chunks: [], size: 0 };
    else this.#begin(status, raw);
  }

  #begin(status: number, raw: readonly string[]): void {
    const { req, res, id, closes, snapshot } = this.#exchange;
    const { hop, heartbeat } = snapshot;
    const head = buildResponseHeaders(raw, hop.secretNames, hop.secrets);
    const { contentType, contentLength, contentEncoding } = head;
    const bodyless = req.method === 'HEAD' || status === 204 || status === 304;
    if (contentLength === undefined && !head.chunked && !bodyless) {
      const reason = 'neither a length nor chunked: its end could not be told from the end of the gateway';
      this.end('gateway_gone', refuse('gateway_bad_response', { reason }));
      return;
    }
    const { about, route, answerHeaders } = this.#decision;
    head.headers.push('x-request-id', id, ...answerHeaders, ...corsHeaders(about.origin));
    if (this.#exchange.audited) this.#tail = usageTail(route.template, contentType, contentEncoding);
    // What is left of the request could not be told from the next one.
    if (closes) head.headers.push('connection', 'close');
    this.#exchange.begin();
    res.writeHead(status, head.headers);
    if (contentLength !== undefined) this.#length = Number(contentLength);
    const open = contentLength === undefined && contentEncoding === undefined && req.method !== 'HEAD';
    if (open && isEventStream(status, contentType)) {
      this.#boundary = new EventBoundary();
      if (heartbeat > 0) this.#timer = setTimeout(() => this.#beat(), heartbeat);
    }
    // A head goes out with what comes of its body in the same read; where nothing does, it is not kept back.
    queueMicrotask(() => {
      if (!this.#over && this.#exchange.bytesOut === 0) res.flushHeaders();
    });
  }

  #beat(): void {
    const { res } = this.#exchange;
    if (this.#boundary?.between && res.writableLength === 0) res.write(KEEP_ALIVE);
    this.#timer?.refresh();
  }

  onResponseData(_controller: Controller, chunk: Buffer): void {
    if (this.#over) return;
    if (this.#withheld) this.#withhold(this.#withheld, chunk);
    else this.#pass(chunk);
  }

  #pass(chunk: Buffer): void {
    if (this.#boundary?.between && this.#endedAboutShim(chunk)) return;
    this.#exchange.bytesOut += chunk.length;
    this.#boundary?.push(chunk);
    this.#tail?.push(chunk);
    this.#timer?.refresh();
    if (chunk.length === this.#length && chunk.length <= SMALL_BYTES) {
      // The end of the response follows in this tick: as text, the body goes out with its head in one write.
      this.#whole = chunk.toString('latin1');
      return;
    }
    // What one read of the gateway's socket brought goes out as one chunk: in the same tick, without delay.
    this.#read.push(chunk);
    if (this.#read.length === 1) queueMicrotask(() => this.#flush());
  }

  /** @returns whether another shim ended the stream for what this one is, and the caller was told so */
  #endedAboutShim(chunk: Buffer): boolean {
    const { hop } = this.#exchange.snapshot;
    const body = hop.mode === 'shim' ? readErrorEvent(chunk) : undefined;
    const refusal = body === undefined ? undefined : blameEvent(hop, body);
    if (!refusal) return false;
    this.#flush();
    this.end('refused', refusal);
    return true;
  }

  #flush(): void {
    const { res } = this.#exchange;
    const [first] = this.#read;
    if (first === undefined || this.#over) return;
    const chunk = this.#read.length === 1 ? first : Buffer.concat(this.#read);
    this.#read = [];
    if (res.write(chunk)) return;
    this.#controller?.pause();
    res.once('drain', () => this.#controller?.resume());
  }

  #withhold(withheld: Withheld, chunk: Buffer): void {
    withheld.chunks.push(chunk);
    withheld.size += chunk.length;
    if (withheld.size > BLAME_BYTES && !this.#blamed(withheld)) this.#release(withheld);
  }

  /** @returns whether the answer was about the shim, and the caller got the shim's own instead */
  #blamed({ status, chunks }: Withheld): boolean {
    const { scopes: sent, route } = this.#decision;
    const body = Buffer.concat(chunks).toString('utf8');
    const refusal = blameShim(this.#exchange.snapshot.hop, { status, body, template: route.template, sent });
    if (refusal) this.end('refused', refusal);
    return refusal !== undefined;
  }

  #release(withheld: Withheld): void {
    this.#withheld = undefined;
    this.#begin(withheld.status, withheld.raw);
    for (const chunk of withheld.chunks) this.#pass(chunk);
  }

  onResponseEnd(): void {
    if (this.#over) return;
    if (this.#withheld) {
      if (this.#blamed(this.#withheld)) return;
      this.#release(this.#withheld);
      if (this.#over) return;
    }
    this.#flush();
    this.#finish();
    this.#exchange.finish(this.#whole);
  }

  onResponseError(_controller: Controller, error: Error): void {
    if (this.#over) return;
    const { res } = this.#exchange;
    const { refusal, end } = gatewayFault(error, res.headersSent);
    if (end === 'gateway_idle' || !res.headersSent) {
      this.end(end, refusal);
      return;
    }
    this.#finish();
    this.#exchange.endBecause(end, refusal.reason);
    res.destroy();
  }
}
