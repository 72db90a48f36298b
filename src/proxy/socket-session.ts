/** A WebSocket from the gate on: how it is opened, looked after, and recorded. */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { About, Refused, Upgrade } from '../decision.ts';
import { ERRORS, type ErrorCode } from '../errors.ts';
import { DeviceStoreError } from '../gateway/device-store.ts';
import { recordConnect, recordDecision, recordEnd, type Asked, type End, type Observers } from './record.ts';
import { writeRawRefusal } from './refuse.ts';
import type { Snapshot } from './snapshot.ts';
import type { SocketEnd } from './socket-end.ts';

/** Milliseconds for a whole handshake, as at the gateway, and for a first frame that shows the token. */
export interface HandshakeLimits {
  readonly handshake: number;
  readonly firstFrame: number;
}

const LIMITS: HandshakeLimits = { handshake: 15_000, firstFrame: 10_000 };

/** A WebSocket that is open, or about to be. */
export interface Session {
  /** What the gate learnt of it: by the upgrade, or by its first frame. */
  readonly about: About;
  readonly closed: boolean;
  /** Ends it for a reason of the shim's own. */
  end(end: SocketEnd): void;
  /** Messages, or bytes, so far. */
  passed(): number;
  /** Drops a peer that is gone; `now` in milliseconds of a clock that only goes on. */
  look(now: number): void;
}

/** A request for a WebSocket, and what it is carried by. */
export interface Opening {
  readonly req: IncomingMessage;
  readonly socket: Socket;
  readonly asked: Asked;
  /** The configuration that it began with. */
  readonly snapshot: Snapshot;
  /** The one of this moment. */
  readonly current: () => Snapshot;
  readonly observers: Observers;
  readonly handshakeLimits?: HandshakeLimits | undefined;
  /** Is told of its end. */
  readonly forget: (session: Session) => void;
}

/** Who is let in by the first frame. */
export interface FirstFrame {
  readonly about: About;
  readonly by: (token: string | undefined) => Promise<Upgrade | Refused>;
  /** Gives the room of a socket that has not shown its token yet; a second call does nothing. */
  readonly leave: () => void;
}

/**
 * @param opening the request
 * @param entrance the gate's decision, or how it is asked by the first frame
 * @returns the session; its 101 is out
 */
export async function openRelay(opening: Opening, entrance: Upgrade | FirstFrame): Promise<Session> {
  const { req, socket, asked, snapshot, current, observers } = opening;
  const { id } = asked;
  const { logger } = observers;
  const { firstFrame, handshake } = opening.handshakeLimits ?? LIMITS;
  const later = 'by' in entrance ? entrance : undefined;
  let upgrade = 'by' in entrance ? undefined : entrance;
  let { about } = entrance;
  let closed = false;
  const started = performance.now();
  const byFirstFrame = async (token: string | undefined): Promise<Upgrade | Refused> => {
    const decision = await (entrance as FirstFrame).by(token);
    ({ about } = decision);
    if (decision.kind === 'refuse') return decision;
    upgrade = decision;
    later?.leave();
    recordDecision(observers, asked, about, 'forward');
    return decision;
  };
  const { Relay } = await import('./relay.ts');
  const relay = new Relay({
    req,
    socket,
    protocol: upgrade?.protocol,
    answerHeaders: ['x-request-id', id, ...(upgrade?.answerHeaders ?? [])],
    entrance: upgrade ?? byFirstFrame,
    hop: snapshot.relay,
    methods: () => upgrade?.caller.methods,
    recheck: () => current().gate.recheck(about, true),
    logger,
    now: Date.now,
    limits: { handshake, firstFrame: later ? firstFrame : handshake },
    failed(error) {
      // What is wrong with the store is for the operator to mend, and said in words.
      if (error instanceof DeviceStoreError) logger.error({ id, caller: about.caller }, error.message);
      else logger.error({ id, err: error }, 'unexpected error');
    },
    connected(connected, code) {
      // It was refused, or left, before anything was decided.
      if (!upgrade) recordDecision(observers, asked, about, 'refuse', codeOf({ code }) ?? 'missing_token');
      recordConnect(observers, id, about, { ...connected, code });
    },
    closed({ end, close, more }, { framesIn, framesOut, bytesIn, bytesOut }) {
      closed = true;
      later?.leave();
      upgrade?.release();
      opening.forget(session);
      recordEnd(observers, asked, about, {
        ...took(started),
        status: 101,
        in: bytesIn,
        out: bytesOut,
        end,
        code: end === 'refused' ? codeOf(more) : undefined,
        reason: more.detail,
        forwarded: true,
        socket: { close: close.code, closeReason: close.reason, framesIn, framesOut },
      });
    },
  });
  const session: Session = {
    get about() {
      return about;
    },
    get closed() {
      return closed;
    },
    end: (end) => relay.end(end),
    passed: () => relay.passed.framesIn + relay.passed.framesOut,
    look: (now) => relay.look(now),
  };
  logger.info({ id, caller: about.caller, peer: about.peer }, 'socket open');
  return session;
}

/**
 * Its frames are not read: an end of the shim's own cannot be told, and that of a side is not known.
 *
 * @param opening the request
 * @param upgrade the gate's decision
 * @returns the session; the gateway is being dialled
 */
export async function openTunnelled(opening: Opening, upgrade: Upgrade): Promise<Session> {
  const { req, socket, asked, snapshot, observers } = opening;
  const { about, caller, protocol } = upgrade;
  const { target } = snapshot.relay;
  let end: SocketEnd | undefined;
  let closed = false;
  const started = performance.now();
  const record = (status: number, how: Pick<End, 'end' | 'code' | 'reason' | 'socket'>): void => {
    closed = true;
    upgrade.release();
    opening.forget(session);
    const { bytesIn, bytesOut } = tunnel;
    recordEnd(observers, asked, about, {
      ...took(started),
      status,
      in: bytesIn,
      out: bytesOut,
      forwarded: true,
      ...how,
    });
  };
  const { openTunnel } = await import('./tunnel.ts');
  const tunnel = openTunnel(
    {
      req,
      headers: upgrade.headersWith(caller.scopes),
      connect: target.connect,
      host: target.host,
      answerHeaders: [
        'x-request-id',
        asked.id,
        ...(protocol === undefined ? [] : ['sec-websocket-protocol', protocol]),
        ...upgrade.answerHeaders,
      ],
    },
    {
      open: () => observers.logger.info({ id: asked.id, caller: caller.name, peer: about.peer }, 'socket tunnelled'),
      refused(refusal) {
        const { code, reason } = refusal;
        writeRawRefusal(socket, refusal, asked.id, about.origin);
        record(ERRORS[code].status, { end: 'refused', code, reason });
      },
      closed(side) {
        const gone = side === 'gateway' ? 'gateway_gone' : 'caller_gone';
        const socket = { close: 1006, closeReason: end?.close.reason };
        record(101, { end: end?.end ?? gone, reason: end?.more.detail, socket });
      },
    },
  );
  const session: Session = {
    about,
    get closed() {
      return closed;
    },
    end(by) {
      end ??= by;
      tunnel.end();
    },
    passed: () => tunnel.bytesIn + tunnel.bytesOut,
    look: () => undefined,
  };
  return session;
}

/** The 101 is the first byte, and comes at once. */
function took(started: number): Pick<End, 'ms' | 'ttfb'> {
  return { ms: performance.now() - started, ttfb: 0 };
}

/** The code of a refusal of the shim's own; the gateway's are not in its table. */
function codeOf({ code = '' }: { readonly code?: string | undefined }): ErrorCode | undefined {
  return Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : undefined;
}
