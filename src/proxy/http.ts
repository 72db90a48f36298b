/** Requests: asked at the gate, then refused or forwarded. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { ERRORS, refuse, type Refusal } from '../errors.ts';
import type { Forward, Gate } from '../gate.ts';
import type { GatewayPool } from '../gateway/pool.ts';
import type { EndReason, Logger } from '../observe/log.ts';
import { checkToolBody } from '../policy/tools.ts';
import type { RequestFacts } from '../types.ts';
import { collectBody, PassingBody } from './body.ts';
import { Exchange } from './exchange.ts';
import { Forwarding } from './forward.ts';
import { answerPreflight, writeRawRefusal } from './refuse.ts';

/** A body that is known to be this small is sent on whole, in one write with its head; others as they come. */
const WHOLE_BODY_BYTES = 64 * 1024;

/** What the proxy is made of. Times in milliseconds, 0 is off. */
export interface ProxyParts {
  readonly gate: Gate;
  readonly pool: GatewayPool;
  readonly logger: Logger;
  readonly secretNames: ReadonlySet<string>;
  readonly heartbeat: number;
  readonly gatewayIdle: number;
  /** Most bytes of a refused body that are read away. */
  readonly drainLimit: number;
  readonly randomId: () => string;
}

/** The HTTP side of the shim. */
export interface HttpProxy {
  /** Takes one request of Node's server. `Expect: 100-continue` is answered only after the gate. */
  handle(req: IncomingMessage, res: ServerResponse): void;
  /** Takes a CONNECT, for which Node has a bare socket alone. */
  connect(req: IncomingMessage, socket: Duplex): void;
  /** How many requests are at the gateway. */
  readonly active: number;
  /** Ends every request that is at the gateway, told where it can be. */
  endAll(reason: EndReason, refusal: Refusal): void;
}

/**
 * @param parts gate, pool, log and settings
 * @returns the proxy
 */
export function createHttpProxy(parts: ProxyParts): HttpProxy {
  const { gate, pool, logger, drainLimit, randomId } = parts;
  const open = new Set<Forwarding>();
  const closing = new WeakSet<Duplex>();

  return {
    handle(req, res) {
      if (closing.has(req.socket)) {
        res.destroy();
        return;
      }
      const exchange = new Exchange(randomId(), req, res, { logger, drainLimit, closing });
      try {
        const decision = gate.decide(factsOf(req));
        exchange.about = decision.about;
        if (decision.kind === 'refuse') exchange.refuse(decision);
        else if (decision.kind === 'preflight') answerPreflight(res, exchange.id, decision.about.origin);
        else forward(exchange, decision);
      } catch (error) {
        exchange.fail(error);
      }
    },
    connect(req, socket) {
      const id = randomId();
      const decision = gate.decide(factsOf(req));
      const refusal = decision.kind === 'refuse' ? decision : refuse('method_not_allowed');
      const { caller, peer } = decision.about;
      writeRawRefusal(socket, refusal, id);
      const { code, reason } = refusal;
      logger.info({ id, caller, peer, method: 'CONNECT', status: ERRORS[code].status, code, reason }, 'request');
    },
    get active() {
      return open.size;
    },
    endAll(reason, refusal) {
      for (const forwarding of open) forwarding.end(reason, refusal);
    },
  };

  function forward(exchange: Exchange, decision: Forward): void {
    const { req, res } = exchange;
    const { contentLength, bodyLimit, tools } = decision;
    if (decision.expectContinue) res.writeContinue();
    if (!decision.hasBody) {
      send(exchange, decision, null);
    } else if (tools || (contentLength !== undefined && contentLength <= WHOLE_BODY_BYTES)) {
      collectBody(req, bodyLimit, (body) => {
        exchange.bytesIn = body?.length ?? bodyLimit;
        const refusal = body ? tools && checkToolBody(tools, body) : tooLarge(bodyLimit);
        if (refusal) exchange.refuse(refusal);
        else send(exchange, decision, body ?? null);
      });
    } else {
      const body = new PassingBody(req, bodyLimit, () => forwarding.end('body_too_large', tooLarge(bodyLimit)));
      res.once('close', () => (exchange.bytesIn = body.size));
      const forwarding = send(exchange, decision, body);
    }
  }

  function send(exchange: Exchange, decision: Forward, body: Buffer | PassingBody | null): Forwarding {
    const forwarding = new Forwarding(exchange, decision, parts);
    open.add(forwarding);
    exchange.res.once('close', () => open.delete(forwarding));
    const headers = decision.headers;
    if (body instanceof PassingBody && decision.contentLength !== undefined) {
      headers.push('content-length', String(decision.contentLength));
    }
    try {
      pool.dispatch(
        {
          path: exchange.req.url as string,
          method: exchange.req.method as 'GET',
          headers,
          body,
          headersTimeout: parts.gatewayIdle,
          bodyTimeout: parts.gatewayIdle,
        },
        forwarding,
      );
    } catch (error) {
      exchange.fail(error);
    }
    return forwarding;
  }
}

function factsOf(req: IncomingMessage): RequestFacts {
  return {
    method: req.method ?? '',
    target: req.url ?? '',
    httpVersion: req.httpVersion,
    rawHeaders: req.rawHeaders,
    peer: req.socket.remoteAddress,
  };
}

function tooLarge(limit: number): Refusal {
  return refuse('body_too_large', { message: `The body may have at most ${limit} bytes.` });
}
