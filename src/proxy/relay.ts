/** A relayed WebSocket: both sides, from the 101 to the last close. */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { WebSocket, WebSocketServer, type ServerOptions } from 'ws';
import { refuse } from '../errors.ts';
import { SUBPROTOCOL } from '../headers/upgrade.ts';
import { blameClose } from '../gateway/blame.ts';
import { errorFrame } from '../gateway/connect.ts';
import { SOCKET_OPTIONS } from '../gateway/dial.ts';
import { allowsMethod, readRequestFrame } from '../policy/methods.ts';
import type { MethodPolicy } from '../types.ts';
import { handshake, type Connected, type HandshakeParts } from './handshake.ts';
import { Inbox, type Message } from './inbox.ts';
import { Liveness } from './liveness.ts';
import { pump } from './pump.ts';
import { SocketEnd, type Close } from './socket-end.ts';
import { refusedFor } from './socket-refusal.ts';

/** As at the gateway, before it knows who calls. */
const MOST_FIRST_BYTES = 64 * 1024;
/** Errors of the library that it answers with 1009. */
const TOO_LARGE = /^WS_ERR_UNSUPPORTED_(?:MESSAGE|DATA_PAYLOAD)_LENGTH$/;
/** Milliseconds between two looks at the peers: thousands of sockets every second would hold up the others. */
const LOOK_MS = 2_000;
/** A gateway that vanishes says nothing itself (IANA registry: bad gateway). */
const GATEWAY_LOST = { code: 1014, reason: 'the gateway is gone' } as const;
/** A frame that is read holds everybody up: 25 MiB of JSON would for seconds. */
const MOST_JUDGED_BYTES = 1024 * 1024;
/** What frames and their heads may take beyond the payload of the first. */
const FRAME_HEAD_BYTES = 14;

const server = new WebSocketServer({
  ...SOCKET_OPTIONS,
  noServer: true,
  clientTracking: false,
  handleProtocols: (_offered, req) => answers.get(req)?.protocol ?? false,
} as ServerOptions);
const answers = new WeakMap<IncomingMessage, Answer>();
server.on('headers', (lines, req) => lines.push(...(answers.get(req)?.lines ?? [])));

interface Answer {
  readonly protocol: typeof SUBPROTOCOL | undefined;
  readonly lines: readonly string[];
}

/** Messages and their bytes, from the caller and to it. */
export interface Passed {
  framesIn: number;
  framesOut: number;
  bytesIn: number;
  bytesOut: number;
}

export interface RelayParts extends Omit<HandshakeParts, 'inbox' | 'send' | 'signal'> {
  readonly req: IncomingMessage;
  readonly socket: Socket;
  readonly protocol: string | undefined;
  /** Of the 101: names and values, alternating. */
  readonly answerHeaders: readonly string[];
  /** Milliseconds for the whole handshake, and for the first frame in it. */
  readonly limits: { readonly handshake: number; readonly firstFrame: number };
  /** Which methods the caller may use, once it is known who calls. */
  readonly methods: () => MethodPolicy | undefined;
  /** Is told of an error that nobody expected. */
  readonly failed: (error: unknown) => void;
  /** What became of the first frame. */
  readonly connected: (connected: Connected, code: string | undefined) => void;
  /** Called once, when the caller's side is closed. */
  readonly closed: (end: SocketEnd, passed: Passed) => void;
}

/** One relayed WebSocket. */
export class Relay {
  readonly passed: Passed = { framesIn: 0, framesOut: 0, bytesIn: 0, bytesOut: 0 };
  readonly #parts: RelayParts;
  readonly #abort = new AbortController();
  readonly #alive: Liveness[] = [];
  #caller: WebSocket | undefined;
  #gateway: WebSocket | undefined;
  #looked = -Infinity;
  /** Why it ends: the first reason counts. */
  #end: SocketEnd | undefined;

  /** Answers 101 and begins the handshake. */
  constructor(parts: RelayParts) {
    this.#parts = parts;
    const { req, socket, answerHeaders } = parts;
    const lines = answerHeaders.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${answerHeaders[i + 1] ?? ''}`] : []));
    answers.set(req, { protocol: parts.protocol === SUBPROTOCOL ? SUBPROTOCOL : undefined, lines });
    // The caller may have left; then nothing was opened.
    if (socket.destroyed) queueMicrotask(() => this.#finish(1006));
    else socket.once('close', () => this.#caller ?? this.#finish(1006));
    server.handleUpgrade(req, socket, Buffer.alloc(0), (ws) => void this.#open(ws));
  }

  /**
   * Ends it for a reason of the shim's own, told to the caller.
   *
   * @param end why, and what the close frame says
   */
  end(end: SocketEnd): void {
    if (this.#end) return;
    this.#end = end;
    this.#abort.abort(end);
    if (end.more.frame !== undefined) this.#caller?.send(end.more.frame);
    close(this.#caller, end.close);
    close(this.#gateway, { code: 1001, reason: '' });
  }

  /**
   * Looks after both sides, every 2 s at most: who is silent is asked, who stays silent is dropped.
   *
   * @param now milliseconds of a clock that only goes on
   */
  look(now: number): void {
    if (now - this.#looked < LOOK_MS) return;
    this.#looked = now;
    for (const alive of this.#alive) {
      if (!alive.look(now)) this.#silent(alive === this.#alive[0]);
    }
  }

  async #open(caller: WebSocket): Promise<void> {
    const { socket, limits } = this.#parts;
    this.#caller = caller;
    const { promise: handshaken, resolve: settle } = Promise.withResolvers<void>();
    caller.on('error', (error) => this.#broken(caller, error));
    caller.once('close', (code: number, reason: Buffer) => {
      this.#ended('caller_gone', caller, { code, reason: reason.toString() });
      // What became of its first frame comes before its end, and what that took is given back after it.
      void handshaken.then(() => this.#finish(code));
    });
    this.#alive.push(new Liveness(caller, socket));
    const start = socket.bytesRead;
    const guard = (): void => {
      if (socket.bytesRead - start <= MOST_FIRST_BYTES + FRAME_HEAD_BYTES) return;
      this.end(
        new SocketEnd('refused', { code: 1009, reason: 'the first frame is too large' }, { code: 'body_too_large' }),
      );
      // Nothing more of it is kept in memory until the connection is destroyed.
      caller.pause();
    };
    socket.on('data', guard);
    const connected: Connected = {};
    const late = (): void => {
      const silent = new SocketEnd('refused', { code: 1008, reason: 'handshake timeout' }, { code: 'request_timeout' });
      // Once the gateway is asked the caller waits, too.
      this.end(connected.device === undefined ? silent : refusedFor(connected.id, refuse('gateway_timeout')));
    };
    const timers = [setTimeout(late, limits.handshake), setTimeout(late, limits.firstFrame)];
    const inbox = new Inbox(caller);
    caller.once('message', () => clearTimeout(timers[1]));

    try {
      const ready = await handshake(
        { ...this.#parts, inbox, send: (frame) => caller.send(frame), signal: this.#abort.signal },
        connected,
      );
      if (this.#end) {
        ready.dialled.ws.terminate();
        throw this.#end;
      }
      this.#parts.connected(connected, undefined);
      // Who is refused stays guarded: a frame that follows is kept in memory, too, until the connection is destroyed.
      socket.off('data', guard);
      this.#relay(caller, ready.dialled, ready.rest, ready.hello, inbox);
    } catch (error) {
      const end = error instanceof SocketEnd ? error : this.#unexpected(error, connected.id);
      this.#parts.connected(connected, end.more.code ?? end.end);
      this.end(end);
    } finally {
      for (const timer of timers) clearTimeout(timer);
      settle();
    }
  }

  #relay(
    caller: WebSocket,
    { ws: gateway, socket }: { readonly ws: WebSocket; readonly socket: Socket },
    rest: readonly Message[],
    hello: string,
    inbox: Inbox,
  ): void {
    const { passed } = this;
    const { socket: callerSocket, methods, hop } = this.#parts;
    this.#gateway = gateway;
    this.#alive.push(new Liveness(gateway, socket));
    gateway.on('error', (error) => this.#broken(gateway, error));
    gateway.once('close', (code: number, bytes: Buffer) => {
      const reason = bytes.toString();
      const refusal = blameClose(hop.blame, reason);
      if (refusal) this.end(refusedFor(undefined, refusal));
      else this.#ended('gateway_gone', gateway, { code, reason });
    });
    if (gateway.readyState === gateway.CLOSED) {
      // It left while its answer was looked at.
      this.#ended('gateway_gone', gateway, { code: 1006, reason: '' });
      return;
    }
    const toCaller = pump(gateway, caller, callerSocket, (bytes) => {
      if (this.#end) return false;
      passed.framesOut++;
      passed.bytesOut += bytes;
      return true;
    });
    const policy = methods();
    if (policy) callerSocket.on('drain', () => caller.resume());
    const toGateway = pump(caller, gateway, socket, (bytes, message) => {
      if (this.#end || (policy && !this.#allows(policy, message))) return false;
      passed.framesIn++;
      passed.bytesIn += bytes;
      return true;
    });
    caller.send(hello);
    for (const { data, binary } of rest) toCaller(data, binary);
    inbox.detach();
    gateway.on('message', toCaller);
    caller.on('message', toGateway);
    gateway.resume();
  }

  /** Whether a message may pass; it is answered here where it may not. */
  #allows(policy: MethodPolicy, { data, binary }: Message): boolean {
    if (data.length > MOST_JUDGED_BYTES) {
      this.end(
        new SocketEnd(
          'refused',
          { code: 1009, reason: 'a frame that is judged has at most 1 MiB' },
          { code: 'body_too_large' },
        ),
      );
      return false;
    }
    const frame = binary ? 'a frame must be text' : readRequestFrame(data);
    if (typeof frame === 'string') {
      this.end(new SocketEnd('refused', { code: 1008, reason: frame }, { code: 'bad_request' }));
      return false;
    }
    if (allowsMethod(policy, frame.method)) return true;
    const message = `method not allowed for this caller: ${frame.method.slice(0, 100)}`;
    this.#caller?.send(errorFrame(frame.id, { code: 'FORBIDDEN', message, details: { code: 'method_not_allowed' } }));
    // Who does not read these answers gets no more of them.
    if (this.#parts.socket.writableNeedDrain) this.#caller?.pause();
    return false;
  }

  /** One side is closed: the other is, too, with the same code and reason. */
  #ended(end: 'caller_gone' | 'gateway_gone', side: WebSocket, how: Close): void {
    const other = side === this.#caller ? this.#gateway : this.#caller;
    if (!this.#end) {
      // Told to go is no fault.
      const told = how.code === 1006 && end === 'gateway_gone' ? GATEWAY_LOST : how;
      this.#end = new SocketEnd(how.code === 1006 ? end : 'done', told);
      this.#abort.abort(this.#end);
    }
    if (other === this.#gateway && how.code === 1006) other?.terminate();
    else close(other, how.code === 1006 ? GATEWAY_LOST : how);
  }

  /** It sent what is no WebSocket, or too much of it; the library has answered that. */
  #broken(side: WebSocket, error: Error & { readonly code?: string }): void {
    if (!error.code?.startsWith('WS_ERR_')) return;
    const code = TOO_LARGE.test(error.code) ? 1009 : error.code === 'WS_ERR_INVALID_UTF8' ? 1007 : 1002;
    const how = { code, reason: '' };
    if (!this.#end) {
      const end = side === this.#caller ? 'protocol_error' : 'gateway_gone';
      this.#end = new SocketEnd(end, how, { detail: error.message });
      this.#abort.abort(this.#end);
    }
    close(side === this.#caller ? this.#gateway : this.#caller, how);
  }

  #silent(isCaller: boolean): void {
    const who = isCaller ? 'caller' : 'gateway';
    this.end(new SocketEnd(`${who}_idle`, { code: isCaller ? 1008 : 1014, reason: `the ${who} does not answer` }));
    (isCaller ? this.#caller : this.#gateway)?.terminate();
  }

  #unexpected(error: unknown, id: string | undefined): SocketEnd {
    this.#parts.failed(error);
    const { close, more } = refusedFor(id, refuse('internal_error'));
    return new SocketEnd('error', { ...close, code: 1011 }, more);
  }

  #finish(code: number): void {
    this.#parts.closed(this.#end ?? new SocketEnd('caller_gone', { code, reason: '' }), this.passed);
  }
}

function close(ws: WebSocket | undefined, { code, reason }: Close): void {
  if (!ws || ws.readyState === ws.CLOSED) return;
  if (code === 1005 || code === 1006) ws.close();
  else ws.close(code, reason);
  // What is not read any more cannot answer the close; the library destroys it after a while.
  ws.resume();
}
