/** A transparent WebSocket: both heads of the handshake are made anew, then bytes pass as they are. */
import { createHash } from 'node:crypto';
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { createProxyServer } from 'http-proxy-3';
import { refuse, type Refusal } from '../errors.ts';
import type { Connect } from '../gateway/connection.ts';
import { gatewayFault } from './fault.ts';
import { Agent } from './node-http.ts';

/** Time for the connection to the gateway and its 101. */
const DIAL_MS = 10_000;
/** Bytes that one side does not take for this long end the tunnel; the listener's own limit ends with the upgrade. */
const STALL_MS = 60_000;
const ACCEPT_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const UPGRADE = { upgrade: 'websocket', connection: 'Upgrade' } as const;

/** What one tunnel is opened with. Header lists are names and values, alternating. */
export interface TunnelRequest {
  /** The caller's upgrade as the gate let it through: GET, version 13, a key, no body, no bytes behind it. */
  readonly req: IncomingMessage;
  /** What the gateway gets besides the fields of the handshake. Of `req` it gets the key alone. */
  readonly headers: readonly string[];
  /** Subprotocols that the gateway is offered; none by default. */
  readonly protocols?: readonly string[];
  readonly connect: Connect;
  /** `Host` of the request. */
  readonly host: string;
  /** What the caller gets besides the fields of the handshake. */
  readonly answerHeaders: readonly string[];
  /** Milliseconds; for tests of the limits themselves. */
  readonly dialTimeout?: number;
  readonly stallTimeout?: number;
}

export type TunnelSide = 'caller' | 'gateway' | 'shim';

/** Each is told at most once, after `openTunnel` has returned. The last is `refused` or `closed`, and one of them comes. */
export interface TunnelEvents {
  /** The 101 is written. */
  open(): void;
  /** Nothing was written to the caller, whose socket is left for the answer. */
  refused(refusal: Refusal): void;
  /** Both sockets are closed; the side is the one that left first. */
  closed(side: TunnelSide): void;
}

export interface Tunnel {
  /** Bytes behind the heads, sent to the gateway. */
  readonly bytesIn: number;
  /** Bytes behind the heads, read from the gateway. */
  readonly bytesOut: number;
  /** Destroys both sockets. */
  end(): void;
}

/**
 * Dials the gateway, and joins the two sockets if its 101 is right. Until then the caller must be silent (RFC 6455
 * section 4.1): bytes that come too early are refused, so that no gateway that declines can read them.
 *
 * @param request the caller's upgrade, and what both sides are told
 * @param on hears what becomes of it
 * @returns the tunnel
 * @throws TypeError where a header cannot be sent (`ERR_INVALID_CHAR`, `ERR_INVALID_HTTP_TOKEN`); nothing was dialled
 */
export function openTunnel(request: TunnelRequest, on: TunnelEvents): Tunnel {
  const { req, protocols = [], dialTimeout = DIAL_MS, stallTimeout = STALL_MS } = request;
  const { socket: caller } = req;
  const key = req.headers['sec-websocket-key'] ?? '';
  let dial!: ClientRequest;
  let gateway: Socket | undefined;
  let [headsIn, headsOut] = [0, 0];
  let sockets = 0;
  let ended: TunnelSide | 'declined' | undefined;

  const tunnel: Tunnel = {
    get bytesIn() {
      return (gateway?.bytesWritten ?? 0) - headsIn;
    },
    get bytesOut() {
      return (gateway?.bytesRead ?? 0) - headsOut;
    },
    end() {
      over('shim');
      if (gateway) for (const socket of [caller, gateway]) socket.destroy();
    },
  };
  if (!caller.readable) {
    // It left while the gate was asked, and its events are over.
    ended = 'caller';
    caller.destroy();
    process.nextTick(() => on.closed('caller'));
    return tunnel;
  }

  // Its target is nobody's: the agent makes the connection, with TLS where that is due.
  const agent = new Agent();
  let opening: Socket | undefined;
  agent.createConnection = ((_options: unknown, opened: Parameters<Connect>[0]) => {
    opening = request.connect(opened);
  }) as never;
  const library = createProxyServer({ target: 'http://gateway', agent });
  // It throws errors of the sockets that nobody hears.
  library.on('error', () => undefined);
  library.once('proxyReqWs', (made) => (dial = made));
  // It sends on every header of the request that it is given: never the caller's own.
  const headers = {
    ...fieldsOf(request.headers),
    host: request.host,
    ...UPGRADE,
    'sec-websocket-key': key,
    'sec-websocket-version': '13',
    ...(protocols.length > 0 && { 'sec-websocket-protocol': protocols.join(', ') }),
  };
  library.ws({ method: 'GET', url: '/', headers } as unknown as IncomingMessage, caller, Buffer.alloc(0));

  // It passes any answer on, and a listener before its own cannot stop it: its own are taken off, and called for a
  // 101 that is right.
  const join = dial.listeners('upgrade');
  for (const event of ['error', 'response', 'upgrade']) dial.removeAllListeners(event);
  // Of a connection that ended before its answer the connection itself knows more.
  dial.on('error', (error) => decline(gatewayFault(opening?.errored ?? error, false).refusal));
  // A 101 that lacks `Upgrade`, or lacks it in `Connection`, is one of these.
  dial.on('response', ({ statusCode }) => {
    const code = statusCode === 401 || statusCode === 403 ? 'gateway_refused' : 'gateway_bad_response';
    decline(refuse(code, { reason: `the gateway answered the upgrade with ${statusCode}` }));
  });
  dial.on('upgrade', (answer, socket: Socket, head) => {
    const accept = createHash('sha1').update(`${key}${ACCEPT_GUID}`).digest('base64');
    const wrong = wrongIn(answer.headers, accept, protocols);
    if (wrong) return decline(refuse('gateway_bad_response', { reason: `the gateway's 101 has a wrong ${wrong}` }));
    clearTimeout(timer);
    caller.off('data', early);
    gateway = socket;
    [headsIn, headsOut] = [socket.bytesWritten, socket.bytesRead - head.length];
    const protocol = answer.headers['sec-websocket-protocol'];
    answer.headers = {
      ...UPGRADE,
      'sec-websocket-accept': accept,
      ...(protocol !== undefined && { 'sec-websocket-protocol': protocol }),
      ...fieldsOf(request.answerHeaders),
    };
    for (const listener of join) Reflect.apply(listener, dial, [answer, socket, head]);
    watch(socket, 'gateway');
    on.open();
  });
  const early = (): void => decline(refuse('bad_request', { reason: 'bytes before the 101' }));
  const late = (): void => decline(refuse('gateway_timeout', { reason: 'no answer to the upgrade' }));
  const timer = setTimeout(late, dialTimeout);
  watch(caller, 'caller');
  // A socket that nobody reads does not tell that its peer has left, either.
  caller.on('data', early);
  return tunnel;

  function decline(refusal: Refusal): void {
    if (ended) return;
    ended = 'declined';
    clearTimeout(timer);
    dial.destroy();
    if (!gateway) opening?.destroy();
    on.refused(refusal);
  }

  function watch(socket: Socket, side: TunnelSide): void {
    const left = (): void => over(side);
    sockets++;
    socket.on('end', left).on('error', left).on('close', left);
    socket.on('close', () => {
      if (--sockets === 0 && ended !== 'declined') on.closed(ended as TunnelSide);
    });
    socket.setTimeout(stallTimeout).on('timeout', () => {
      if (socket.writableLength > 0) socket.destroy();
    });
  }

  /** What a side sent before it left still goes to the other, for as long as that one takes it. */
  function over(side: TunnelSide): void {
    if (ended) return;
    ended = side;
    clearTimeout(timer);
    dial.destroy();
    if (!gateway) opening?.destroy();
    const [gone, other] = side === 'gateway' ? [gateway, caller] : [caller, gateway];
    gone?.destroy();
    other?.destroySoon();
  }
}

/** @returns the values of each name, in lower case */
function fieldsOf(list: readonly string[]): Record<string, string[]> {
  const fields = new Map<string, string[]>();
  for (let i = 0; i < list.length; i += 2) {
    const name = (list[i] as string).toLowerCase();
    fields.set(name, [...(fields.get(name) ?? []), list[i + 1] as string]);
  }
  return Object.fromEntries(fields);
}

/** @returns the field for which a client must fail the connection (RFC 6455 section 4.1) */
function wrongIn(headers: IncomingHttpHeaders, accept: string, protocols: readonly string[]): string | undefined {
  if (headers.upgrade?.toLowerCase() !== 'websocket') return 'Upgrade';
  if (headers['sec-websocket-accept'] !== accept) return 'Sec-WebSocket-Accept';
  if (headers['sec-websocket-extensions'] !== undefined) return 'Sec-WebSocket-Extensions';
  const protocol = headers['sec-websocket-protocol'];
  return protocol === undefined || protocols.includes(protocol) ? undefined : 'Sec-WebSocket-Protocol';
}
