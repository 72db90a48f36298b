/** Requests for a WebSocket: asked at the gate, then refused, relayed, or tunnelled. */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { About, Decision, Refused, Upgrade } from '../decision.ts';
import { ERRORS, refuse, type Refusal } from '../errors.ts';
import type { EndReason } from '../observe/log.ts';
import type { RequestFacts } from '../types.ts';
import { Entrances } from './entrances.ts';
import { factsOf, type CertificateOf } from './http.ts';
import { endOf, stillHolds } from './recheck.ts';
import { recordDecision, type Asked, type Observers } from './record.ts';
import { refuseSocket } from './refuse.ts';
import type { Snapshot } from './snapshot.ts';
import { SocketEnd } from './socket-end.ts';
import { openRelay, openTunnelled, type HandshakeLimits, type Opening, type Session } from './socket-session.ts';

/** What the proxy of WebSockets is made of. */
export interface SocketProxyParts {
  /** What the next request is judged and carried by. */
  readonly current: () => Snapshot;
  readonly observers: Observers;
  readonly randomId: () => string;
  readonly certificateOf: CertificateOf;
  /** Shorter in tests. */
  readonly handshakeLimits?: HandshakeLimits | undefined;
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
  /** Calls back for each that is open and has a caller. */
  eachOpen(visit: (caller: string) => void): void;
  /** Settles when all are closed, and kept a record of. */
  closed(): Promise<void>;
}

type Arrival = Opening & { readonly facts: RequestFacts };

/** What drains and says nothing for so long is in the middle of nothing. Milliseconds. */
const QUIET_MS = 5_000;
const NARROWED = 'This caller may do less now than the socket was given.';
const RESTART = { code: 1012, reason: 'service restart' } as const;

/**
 * @param parts gate, way to the gateway, log
 * @returns the proxy
 */
export function createSocketProxy(parts: SocketProxyParts): SocketProxy {
  const { current, observers, randomId, certificateOf } = parts;
  const sessions = new Set<Session>();
  const entrances = new Entrances();
  /** How many messages of a session had passed, and since when no more. */
  const quiet = new Map<Session, { readonly passed: number; readonly since: number }>();
  /** What those that come now are told. */
  let ending: Refusal | undefined;
  let ended: SocketEnd | undefined;
  let lastClosed: PromiseWithResolvers<void> | undefined;

  return {
    upgrade(req, socket, head) {
      socket.on('error', () => socket.destroy());
      const asked: Asked = { id: randomId(), method: req.method ?? '', target: req.url ?? '' };
      const facts: RequestFacts = { ...factsOf(req, certificateOf), upgrade: { early: head.length > 0 } };
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
      const arrival = { ...parts, req, socket, asked, facts, snapshot, forget };
      void (async () => act(arrival, stillHolds(await snapshot.gate.decide(facts), recheck)))().catch(fail);
    },

    drain() {
      ending = refuse('shutting_down');
    },

    endAll(reason, refusal) {
      ending = refusal;
      ended = new SocketEnd(reason, RESTART);
      for (const session of sessions) session.end(ended);
    },

    recheck() {
      const { gate } = current();
      const now = performance.now();
      for (const session of sessions) {
        const refusal = gate.recheck(session.about, false);
        if (refusal) {
          const words = refusal.code === 'insufficient_scope' ? NARROWED : ERRORS[refusal.code].message;
          const { code, reason: detail } = refusal;
          const close = { code: 1008, reason: `${code}: ${words}` };
          session.end(new SocketEnd(endOf(refusal), close, { code, ...(detail !== undefined && { detail }) }));
        } else if (ending && isQuiet(session, now)) {
          session.end(new SocketEnd('shutdown', RESTART));
        } else {
          session.look(now);
        }
      }
    },

    open: () => sessions.size,

    eachOpen(visit) {
      for (const { about } of sessions) if (about.caller !== undefined) visit(about.caller);
    },

    async closed() {
      if (sessions.size === 0) return;
      lastClosed ??= Promise.withResolvers();
      await lastClosed.promise;
    },
  };

  function isQuiet(session: Session, now: number): boolean {
    const passed = session.passed();
    const before = quiet.get(session);
    if (before?.passed === passed) return now - before.since >= QUIET_MS;
    quiet.set(session, { passed, since: now });
    return false;
  }

  function forget(session: Session): void {
    sessions.delete(session);
    quiet.delete(session);
    if (sessions.size === 0) lastClosed?.resolve();
  }

  function recheck(about: About): Refusal | undefined {
    return ending ?? current().gate.recheck(about, true);
  }

  function keep(session: Session): void {
    if (session.closed) return;
    sessions.add(session);
    // All others were ended while this one was opened.
    if (ended) session.end(ended);
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
        try {
          keep(await (decision.mode === 'relay' ? openRelay(arrival, decision) : openTunnelled(arrival, decision)));
        } catch (error) {
          decision.release();
          throw error;
        }
        return;
      case 'first-frame': {
        const leave = entrances.enter(about.peer);
        const by = (token: string | undefined): Promise<Upgrade | Refused> => enter(arrival, about, token);
        if (!leave) {
          refuseSocket(observers, socket, refuse('too_many_sockets'), asked, about);
          return;
        }
        try {
          keep(await openRelay(arrival, { about, by, leave }));
        } catch (error) {
          leave();
          throw error;
        }
        return;
      }
      default:
        refuseSocket(observers, socket, refuse('bad_request'), asked, about);
    }
  }

  /** The gate is asked once, with what the first frame shows in place of the header. */
  async function enter(
    { facts, snapshot }: Arrival,
    about: About,
    token: string | undefined,
  ): Promise<Upgrade | Refused> {
    if (token === undefined) {
      return { ...refuse('missing_token', { message: 'Send the token as auth.token of connect.' }), about };
    }
    const rawHeaders = [...facts.rawHeaders, 'authorization', `Bearer ${token}`];
    const decision = stillHolds(await snapshot.gate.decide({ ...facts, rawHeaders }), recheck);
    if (decision.kind === 'refuse') return decision;
    if (decision.kind === 'upgrade' && decision.mode === 'relay') return decision;
    if (decision.kind === 'upgrade') decision.release();
    const message = 'A tunnel takes its token in the Authorization header.';
    return { ...refuse('bad_request', { message }), about: decision.about };
  }
}
