/** Requests: asked at the gate, then refused or forwarded. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { refuse, type Refusal } from '../errors.ts';
import type { About, Decision } from '../decision.ts';
import type { EndReason } from '../observe/log.ts';
import type { ClientCertificate, RequestFacts } from '../types.ts';
import { Exchange } from './exchange.ts';
import type { Observers } from './record.ts';
import { endOf, stillHolds } from './recheck.ts';
import { answerMetadata, answerPreflight, refuseSocket } from './refuse.ts';
import { sendOn } from './send.ts';
import type { Snapshot } from './snapshot.ts';

/** Pipelined requests that wait on one connection, at most, and the body that each may have: it waits in memory. */
const MOST_WAITING = 8;
const WAITING_BODY_BYTES = 16 * 1024;

/** What the proxy is made of. */
export interface ProxyParts {
  /** What the next request is judged and carried by. */
  readonly current: () => Snapshot;
  readonly observers: Observers;
  readonly randomId: () => string;
  readonly certificateOf: CertificateOf;
}

/** @returns the certificate that an open connection of a caller has shown, if it has */
export type CertificateOf = (socket: Duplex) => ClientCertificate | undefined;

/** The HTTP side of the shim. */
export interface HttpProxy {
  /** Takes one request of Node's server. `Expect: 100-continue` is answered only after the gate. */
  handle(req: IncomingMessage, res: ServerResponse): void;
  /** Takes a CONNECT, for which Node has a bare socket alone. */
  connect(req: IncomingMessage, socket: Duplex): void;
  /**
   * Takes a connection whose bytes stopped being HTTP.
   *
   * @param refusal what its caller is told, `undefined` where nobody is left to tell
   */
  broken(socket: Duplex, refusal: Refusal | undefined): void;
  /** Takes a connection on which nothing moved for the idle limit, and ends it unless it waits for the gateway's answer. */
  idle(socket: Duplex): void;
  /** Whether an answer is still to go out on a connection. */
  busy(socket: Duplex): boolean;
  /** Ends every open request, told where it can be; those that come afterwards are refused. */
  endAll(reason: EndReason, refusal: Refusal): void;
  /** How many requests are open, and how many event streams among them. */
  open(): { readonly requests: number; readonly streams: number };
  /** Calls back for each open request that has a caller, with whether it is an event stream. */
  eachOpen(visit: (caller: string, streams: boolean) => void): void;
  /** Ends every open request whose credential would not let it through any more, told where it can be. */
  recheck(): void;
}

/**
 * @param parts gate, pool, log and settings
 * @returns the proxy
 */
export function createHttpProxy(parts: ProxyParts): HttpProxy {
  const { current, observers, randomId, certificateOf } = parts;
  /**
   * The exchange of each connection; at most one is open at a time. By connection, since a collection that gains and
   * loses a key with every request leaves dead tables, which keep requests until the next full garbage collection.
   */
  const latest = new Map<Duplex, Exchange>();

  /** Why nothing is let through any more. */
  let ending: { readonly reason: EndReason; readonly refusal: Refusal } | undefined;

  /** How many pipelined requests of a connection wait for their turn. */
  const waiting = new WeakMap<Duplex, number>();

  const proxy: HttpProxy = {
    handle(req, res) {
      // Pipelined requests are taken one after another: none is looked at before the answers ahead of it are out,
      // nor when one of these ended the connection.
      if (res.socket === null) {
        wait(req, res);
        return;
      }
      if (!res.socket.writable) return;
      const snapshot = current();
      const exchange = new Exchange(randomId(), req, res, snapshot, observers);
      const { socket } = req;
      if (!latest.has(socket)) socket.once('close', () => latest.delete(socket));
      latest.set(socket, exchange);
      if (ending) {
        exchange.end(ending.reason, ending.refusal);
        return;
      }
      exchange.attempt(() => {
        const decision = snapshot.gate.decide(factsOf(req, certificateOf));
        if (!(decision instanceof Promise)) act(exchange, decision);
        else
          void decision
            .then((later) =>
              exchange.attempt(() =>
                act(
                  exchange,
                  stillHolds(later, (about) => current().gate.recheck(about, true)),
                ),
              ),
            )
            .catch((error: unknown) => exchange.fail(error));
      });
    },

    connect(req, socket) {
      if (openOn(socket)) {
        socket.destroy();
        return;
      }
      socket.on('error', () => socket.destroy());
      const id = randomId();
      const tell = (refusal: Refusal, about: About): void =>
        refuseSocket(observers, socket, refusal, { id, method: 'CONNECT', target: '' }, about);
      const { gate } = current();
      void (async () => {
        const decision = await gate.decide(factsOf(req, certificateOf));
        if (decision.kind === 'refuse') tell(decision, decision.about);
        else tell(refuse('method_not_allowed', { allow: [] }), decision.about);
      })().catch((error: unknown) => {
        observers.logger.error({ id, err: error }, 'unexpected error');
        tell(refuse('internal_error'), { peer: req.socket.remoteAddress });
      });
    },

    broken(socket, refusal) {
      const exchange = openOn(socket);
      if (exchange?.req.complete && refusal) {
        // The bytes belong to no request: the one before them gets its answer, and is the last.
        exchange.res.shouldKeepAlive = false;
        exchange.res.prependOnceListener('finish', () => destroySoon(socket));
        return;
      }
      if (exchange) {
        exchange.forwarding?.abandon('caller_gone');
        exchange.breakOff(refusal);
      } else if (refusal && socket.writable) {
        const { remoteAddress: peer } = socket as IncomingMessage['socket'];
        refuseSocket(observers, socket, refusal, { id: randomId(), method: '', target: '' }, { peer });
      } else {
        socket.destroy();
      }
    },

    idle(socket) {
      const exchange = openOn(socket);
      if (exchange?.waitsForGateway) return;
      const forwarding = exchange?.forwarding;
      if (forwarding && exchange.req.readableLength > 0 && !exchange.res.headersSent) {
        // The gateway does not take the request. No run waits on it yet, and a full connection does not even tell
        // that its caller has left.
        forwarding.end('gateway_idle', refuse('gateway_timeout', { reason: 'the gateway does not read the request' }));
        return;
      }
      exchange?.endBecause('caller_idle');
      socket.destroy();
    },

    busy: (socket) => openOn(socket) !== undefined,

    endAll(reason, refusal) {
      ending = { reason, refusal };
      for (const exchange of latest.values()) exchange.attempt(() => exchange.end(reason, refusal));
    },

    eachOpen(visit) {
      for (const { res, about, forwarding } of latest.values()) {
        if (!res.closed && about.caller !== undefined) visit(about.caller, forwarding?.streams === true);
      }
    },

    open() {
      const open = [...latest.values()].filter(({ res }) => !res.closed);
      return { requests: open.length, streams: open.filter(({ forwarding }) => forwarding?.streams).length };
    },

    recheck() {
      const { gate } = current();
      for (const exchange of latest.values()) {
        if (exchange.res.closed) continue;
        exchange.attempt(() => {
          const refusal = gate.recheck(exchange.about, false);
          if (refusal) exchange.end(endOf(refusal), refusal);
        });
      }
    },
  };
  return proxy;

  /** Waiting requests write nothing, so that nothing else would bound them, and their unread bodies hide a hang-up. */
  function wait(req: IncomingMessage, res: ServerResponse): void {
    const { socket, headers } = req;
    const count = waiting.get(socket) ?? 0;
    const large =
      headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > WAITING_BODY_BYTES;
    if (count === MOST_WAITING || large) {
      socket.destroy();
      return;
    }
    waiting.set(socket, count + 1);
    res.once('socket', () => {
      waiting.set(socket, (waiting.get(socket) ?? 1) - 1);
      proxy.handle(req, res);
    });
  }

  function openOn(socket: Duplex): Exchange | undefined {
    const exchange = latest.get(socket);
    return exchange?.res.closed ? undefined : exchange;
  }

  function refuseRead(exchange: Exchange, refusal: Refusal): void {
    if (exchange.over) return;
    // Requests behind it, sent without waiting for the answer, end with it.
    if (!waiting.get(exchange.req.socket)) exchange.req.read();
    exchange.refuse(refusal);
  }

  function act(exchange: Exchange, decision: Decision): void {
    exchange.about = decision.about;
    if (decision.kind === 'forward') {
      exchange.release = decision.release;
      // The caller may have left, or sent what is no HTTP, while a store was asked.
      if (exchange.over) decision.release();
      else sendOn(exchange, decision, () => current().gate.recheck(decision.about, true));
    } else if (exchange.over) {
      return;
    } else if (decision.kind === 'refuse') {
      // A body that came with its head is parsed by then, and its connection stays open: a new one costs more than the refusal.
      if (exchange.unread) setImmediate(() => exchange.attempt(() => refuseRead(exchange, decision)));
      else exchange.refuse(decision);
    } else if (decision.kind === 'metadata') {
      exchange.decided('metadata');
      answerMetadata(exchange.res, exchange.id, decision.body, decision.about.origin, exchange.closes);
    } else {
      exchange.decided('preflight');
      answerPreflight(exchange.res, exchange.id, decision.about.origin, exchange.closes);
    }
  }
}

/**
 * @param req of Node's server
 * @param certificateOf asked for its connection
 * @returns what the gate judges
 */
export function factsOf(req: IncomingMessage, certificateOf: CertificateOf): RequestFacts {
  return {
    method: req.method ?? '',
    target: req.url ?? '',
    httpVersion: req.httpVersion,
    rawHeaders: req.rawHeaders,
    peer: req.socket.remoteAddress,
    certificate: certificateOf(req.socket),
  };
}

function destroySoon(socket: Duplex): void {
  (socket as IncomingMessage['socket']).destroySoon();
}
