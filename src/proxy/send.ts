/** A request that was let through, on its way to the gateway. */
import { refuseLargeBody, type Refusal } from '../errors.ts';
import type { Forward } from '../decision.ts';
import { checkToolBody } from '../policy/tools.ts';
import { collectBody, PassingBody, type BodyWatch } from './body.ts';
import type { Exchange } from './exchange.ts';
import { Forwarding } from './forward.ts';

/** A body that is known to be this small is sent on whole, in one write with its head; others as they come. */
const WHOLE_BODY_BYTES = 64 * 1024;

/**
 * Sends a request on: a small body in one write with its head, once it is whole; others as they come.
 *
 * @param exchange the request
 * @param decision what it is sent as
 * @param recheck asked when its body has come, or a connection: why it would not be let through any more, or `undefined`
 */
export function sendOn(exchange: Exchange, decision: Forward, recheck: () => Refusal | undefined): void {
  const { req } = exchange;
  const { contentLength, bodyLimit, tools } = decision;
  if (decision.expectContinue) exchange.continue();
  if (!decision.hasBody && !tools) {
    send(exchange, decision, null, recheck);
    return;
  }
  const watch: BodyWatch = {
    limit: bodyLimit,
    count: (bytes) => void (exchange.bytesIn += bytes),
    tooLarge: () => exchange.attempt(() => exchange.end('body_too_large', refuseLargeBody(bodyLimit))),
  };
  if (tools || (contentLength !== undefined && contentLength <= WHOLE_BODY_BYTES)) {
    exchange.letGo = collectBody(req, watch, (body) =>
      exchange.attempt(() => {
        // Its connection was broken off while its body came.
        if (exchange.over) return;
        const refusal = recheck() ?? (tools && checkToolBody(tools, body));
        if (refusal) exchange.refuse(refusal);
        else send(exchange, decision, body, recheck);
      }),
    );
  } else {
    send(exchange, decision, new PassingBody(req, watch), recheck);
  }
}

function send(
  exchange: Exchange,
  decision: Forward,
  body: Buffer | PassingBody | null,
  recheck: () => Refusal | undefined,
): void {
  const passing = body instanceof PassingBody ? body : undefined;
  const { wouldRefuse } = decision.about;
  exchange.decided(wouldRefuse ? 'would_refuse' : 'forward', wouldRefuse);
  const forwarding = new Forwarding(exchange, decision, passing);
  const { pool, gatewayIdle } = exchange.snapshot;
  exchange.forwarding = forwarding;
  const { headers, contentLength } = decision;
  if (passing && contentLength !== undefined) headers.push('content-length', String(contentLength));
  pool.dispatch(
    {
      path: exchange.req.url as string,
      method: exchange.req.method as 'GET',
      headers,
      body,
      headersTimeout: gatewayIdle,
      bodyTimeout: gatewayIdle,
    },
    forwarding,
  );
  forwarding.dispatched(recheck);
}
