/** Requests for a WebSocket: asked at the gate, then refused, relayed, or tunnelled. */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { About, Decision, Upgrade } from '../decision.ts';
import { ERRORS, refuse, type Refusal } from '../errors.ts';
import { loopbackOnly } from '../gateway/pool.ts';
import type { EndReason } from '../observe/log.ts';
import type { RequestFacts } from '../types.ts';
import { Entrances } from './entrances.ts';
import { factsOf } from './http.ts';
import { recordConnect, recordDecision, recordEnd, type Asked, type End, type Observers } from './record.ts';
import { refuseSocket, writeRawRefusal } from './refuse.ts';
import type { Snapshot } from './snapshot.ts';
import { SocketEnd } from './socket-end.ts';

/** Milliseconds for a whole handshake, as at the gateway, and for a first frame that shows the token. */
const HANDSHAKE_MS = 15_000;
const FIRST_FRAME_MS = 10_000;

/** What the proxy of WebSockets is made of. */
export interface SocketProxyParts {
  /** What the next request is judged and carried by. */
  readonly current: () => Snapshot;
  readonly observers: Observers;
  readonly randomId: () => string;
  /** Milliseconds, shorter in tests. */
  readonly handshakeTimeout?: number | undefined;
  readonly firstFrameTimeout?: number | undefined;
}

/** The WebSocket side of the shim. */
export interface SocketProxy {
  /** Takes one request for a WebSocket, with what Node read behind it. */
  upgrade(req: IncomingMessage, socket: Socket, head: Buffer): void;
  /** From now on none is opened, and those on which nothing passes are ended, told. */
  drain(): void;
  /** Ends every socket, told; those that come afterwards are refused. */
  endAll(reason: EndReason, refusal: Refusal): void;
  /** Ends every socket whose credential would not let it through any more, and drops peers that are gone. */
  recheck(): void;
  /** How many are open. */
  open(): number;
}

/** An open socket, from the gate on. */
interface Session {
  about: About;
  end(end: SocketEnd): void;
  /** Messages, or bytes, so far. */
  passed(): number;
  look?(now: number): void;
}

/** What drains and says nothing for so long is in the middle of nothing. Milliseconds. */
const QUIET_MS = 5_000;
const RESTART = { code: 1012, reason: 'service restart' } as const;

/**
 * @param parts gate, way to the gateway, log
 * @returns the proxy
 */
export function createSocketProxy(parts: SocketProxyParts): SocketProxy {
  const { current, observers, randomId } = parts;
  const sessions = new Set<Session>();
  const entrances = new Entrances();
  /** How many messages of a session had passed, and since when no more. */
  const quiet = new Map<Session, { readonly passed: number; readonly since: number }>();
  let ending: Refusal | undefined;
  let draining = false;

  return {
    upgrade(req, socket, head) {
      socket.on('error', () => socket.destroy());
      const asked: Asked = { id: randomId(), method: req.method ?? '', target: req.url ?? '' };
      const facts: RequestFacts = { ...factsOf(req), upgrade: { early: head.length > 0 } };
      const snapshot = current();
      const about: About = { peer: facts.peer };
      if (ending) {
        refuseSocket(observers, socket, ending, asked, about);
        return;
      }
      const fail = (error: unknown): void => {
        observers.logger.error({ id: asked.id, err: error }, 'unexpected error');
        refuseSocket(observers, socket, refuse('internal_error'), asked, about);
      };
      void (async () => {
        const decision = await snapshot.gate.decide(facts);
        await act({ req, socket, asked, facts, snapshot }, stillHolds(decision));
      })().catch(fail);
    },

    drain() {
      ending = refuse('shutting_down');
      draining = true;
    },

    endAll(reason, refusal) {
      ending = refusal;
      for (const session of sessions) session.end(new SocketEnd(reason, RESTART));
    },

    recheck() {
      const { gate } = current();
      const now = performance.now();
      for (const session of sessions) {
        const refusal = gate.recheck(session.about, false);
        if (refusal) {
          const end = refusal.code === 'expired_token' ? 'expired' : 'revoked';
          const reason = `${refusal.code}: ${ERRORS[refusal.code].message}`;
          session.end(new SocketEnd(end, { code: 1008, reason }, { code: refusal.code }));
        } else if (draining && isQuiet(session, now)) {
          session.end(new SocketEnd('shutdown', RESTART));
        } else {
          session.look?.(now);
        }
      }
    },

    open: () => sessions.size,
  };

  function isQuiet(session: Session, now: number): boolean {
    const passed = session.passed();
    const before = quiet.get(session);
    if (before?.passed === passed) return now - before.since >= QUIET_MS;
    quiet.set(session, { passed, since: now });
    return false;
  }

  interface Arrival {
    readonly req: IncomingMessage;
    readonly socket: Socket;
    readonly asked: Asked;
    readonly facts: RequestFacts;
    readonly snapshot: Snapshot;
  }

  /** What was let through may have lost its credential while a store was asked. */
  function stillHolds(decision: Decision): Decision {
    const refusal = decision.kind === 'upgrade' ? (ending ?? current().gate.recheck(decision.about, true)) : undefined;
    if (!refusal) return decision;
    if (decision.kind === 'upgrade') decision.release();
    return { ...refusal, about: decision.about };
  }

  async function act(arrival: Arrival, decision: Decision): Promise<void> {
    const { socket, asked } = arrival;
    const { about } = decision;
    switch (decision.kind) {
      case 'refuse':
        refuseSocket(observers, socket, decision, asked, about);
        return;
      case 'upgrade':
        recordDecision(observers, asked, about, 'forward');
        if (decision.mode === 'relay') await relay(arrival, about, decision);
        else await tunnel(arrival, decision);
        return;
      case 'first-frame': {
        const leave = entrances.enter(about.peer);
        if (leave) await relay(arrival, about, undefined, leave);
        else refuseSocket(observers, socket, refuse('too_many_sockets'), asked, about);
        return;
      }
      default:
        refuseSocket(observers, socket, refuse('bad_request'), asked, about);
    }
  }

  /** @param leave gives the room of a socket that has not shown its token yet */
  async function relay(arrival: Arrival, about: About, decision?: Upgrade, leave?: () => void): Promise<void> {
    const { req, socket, asked, snapshot } = arrival;
    const { id } = asked;
    let upgrade = decision;
    const session: Session = { about, end: () => undefined, passed: () => 0 };
    const started = performance.now();
    const { Relay } = await import('./relay.ts');
    const opened = new Relay({
      req,
      socket,
      protocol: decision?.protocol,
      answerHeaders: ['x-request-id', id, ...(decision?.answerHeaders ?? [])],
      entrance: decision ?? ((token) => enter(arrival, token)),
      entered(by) {
        upgrade = by;
        session.about = by.about;
        leave?.();
        recordDecision(observers, asked, by.about, 'forward');
      },
      hop: snapshot.relay,
      methods: () => upgrade?.caller.methods,
      recheck: (by) => current().gate.recheck(by.about, true),
      logger: observers.logger,
      now: Date.now,
      limits: {
        handshake: parts.handshakeTimeout ?? HANDSHAKE_MS,
        firstFrame: decision ? HANDSHAKE_MS : (parts.firstFrameTimeout ?? FIRST_FRAME_MS),
      },
      failed: (error) => observers.logger.error({ id, err: error }, 'unexpected error'),
      connected: (connected, code) =>
        recordConnect(observers, id, session.about, {
          asked: undefined,
          scopes: undefined,
          device: undefined,
          ...connected,
          code,
        }),
      closed({ end, close, more }, { framesIn, framesOut, bytesIn, bytesOut }) {
        leave?.();
        upgrade?.release();
        sessions.delete(session);
        quiet.delete(session);
        const ms = tenths(performance.now() - started);
        recordEnd(observers, asked, session.about, {
          status: 101,
          ttfb: 0,
          ms,
          in: bytesIn,
          out: bytesOut,
          end,
          reason: more.detail,
          forwarded: true,
          socket: { close: close.code, closeReason: close.reason, framesIn, framesOut },
        });
      },
    });
    session.end = (end) => opened.end(end);
    session.look = (now) => opened.look(now);
    session.passed = () => opened.passed.framesIn + opened.passed.framesOut;
    sessions.add(session);
    observers.logger.info({ id, caller: about.caller, peer: about.peer }, 'socket open');
  }

  async function tunnel(
    { req, socket, asked, snapshot }: Arrival,
    { about, caller, ...decision }: Upgrade,
  ): Promise<void> {
    const started = performance.now();
    const { openTunnel } = await import('./tunnel.ts');
    const { target } = snapshot.relay;
    let end: SocketEnd | undefined;
    const record = (status: number, how: Pick<End, 'end' | 'code' | 'reason' | 'socket'>): void => {
      decision.release();
      sessions.delete(session);
      quiet.delete(session);
      const { bytesIn, bytesOut } = opened;
      const ms = tenths(performance.now() - started);
      recordEnd(observers, asked, about, { status, ttfb: 0, ms, in: bytesIn, out: bytesOut, forwarded: true, ...how });
    };
    const opened = openTunnel(
      {
        req,
        headers: decision.headersWith(caller.scopes),
        origin: target.origin,
        lookup: loopbackOnly(target.lookup),
        answerHeaders: [
          ...['x-request-id', asked.id],
          ...(decision.protocol === undefined ? [] : ['sec-websocket-protocol', decision.protocol]),
          ...decision.answerHeaders,
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
          // Its frames are not read: an end of the shim's own cannot be told, and that of a side is not known.
          record(101, { end: end?.end ?? gone, socket: { close: 1006, closeReason: end?.close.reason } });
        },
      },
    );
    const session: Session = {
      about,
      end(by) {
        end ??= by;
        opened.end();
      },
      passed: () => opened.bytesIn + opened.bytesOut,
    };
    sessions.add(session);
  }

  /** The gate is asked once, with what the first frame shows in place of the header. */
  async function enter({ facts, snapshot }: Arrival, token: string | undefined): Promise<Upgrade | Refusal> {
    if (token === undefined) return refuse('missing_token', { message: 'Send the token as auth.token of connect.' });
    const rawHeaders = [...facts.rawHeaders, 'authorization', `Bearer ${token}`];
    const decision = stillHolds(await snapshot.gate.decide({ ...facts, rawHeaders }));
    if (decision.kind === 'refuse') return decision;
    if (decision.kind === 'upgrade' && decision.mode === 'relay') return decision;
    if (decision.kind === 'upgrade') decision.release();
    return refuse('bad_request', { message: 'A tunnel takes its token in the Authorization header.' });
  }
}

/** Milliseconds to a tenth. */
function tenths(ms: number): number {
  return Math.round(ms * 10) / 10;
}
