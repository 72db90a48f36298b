/** The listener that callers connect to. */
import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { refuse, type Refusal } from '../errors.ts';
import type { ListenTls } from '../config/config.ts';
import { asksForWebSocket } from '../headers/upgrade.ts';
import type { CertificateOf, HttpProxy } from '../proxy/http.ts';
import { createServer } from '../proxy/node-http.ts';
import type { SocketProxy } from '../proxy/websocket.ts';
import { createTlsServer, type TlsParts } from './tls.ts';

/** Time for a whole request head. */
const HEADERS_MS = 15_000;
/** Bytes that a caller does not read or send for this long end the connection. */
const IDLE_MS = 60_000;
/** Longer than load balancers keep theirs, so that they never write into a connection that is closing. */
const KEEP_ALIVE_MS = 75_000;

/** What the listener is made of. */
export interface ListenerParts {
  readonly proxy: HttpProxy;
  readonly sockets: SocketProxy;
  readonly headerBytes: number;
  readonly connections: number;
  /** Where callers speak TLS. */
  readonly tls: TlsParts | undefined;
  /** Milliseconds; for tests of the limits themselves. */
  readonly headersTimeout?: number;
  readonly idleTimeout?: number;
}

/** The listener and its connections. */
export interface Listener {
  /** Not listening yet. */
  readonly server: Server;
  readonly certificateOf: CertificateOf;
  /**
   * Takes other settings of TLS for the connections to come. Whether it is TLS at all stays as it was.
   *
   * @throws Error where OpenSSL refuses them; those from before stay
   */
  apply(tls: ListenTls | undefined): void;
  /**
   * Ends the connections whose certificate is no longer trusted: those without an open request at once, others when
   * they are found so again.
   */
  recheck(): void;
  /** Ends every connection at once, but for those that became WebSockets. */
  closeAll(): void;
}

/**
 * @param parts the proxy and the limits of the listener
 * @returns the listener
 */
export function createListener(parts: ListenerParts): Listener {
  const { proxy, sockets } = parts;
  const options = {
    maxHeaderSize: parts.headerBytes,
    headersTimeout: parts.headersTimeout ?? HEADERS_MS,
    // A slow but moving upload has no limit in all; a stalled one is caught by the idle limit.
    requestTimeout: 0,
    connectionsCheckingInterval: 1_000,
    keepAliveTimeout: KEEP_ALIVE_MS,
    requireHostHeader: false,
    shouldUpgradeCallback: ({ rawHeaders }: IncomingMessage) => asksForWebSocket(rawHeaders),
    noDelay: true,
    // Finds peers that vanished without a word while the gateway is silent.
    keepAlive: true,
    keepAliveInitialDelay: 30_000,
  };
  const tls = parts.tls && createTlsServer(options, parts.tls);
  const server = tls?.server ?? createServer(options);
  server.maxConnections = parts.connections;
  server.timeout = parts.idleTimeout ?? IDLE_MS;

  const upgraded = new WeakSet<Duplex>();
  server.on('request', (req, res) => proxy.handle(req, res));
  server.on('checkContinue', (req, res) => proxy.handle(req, res));
  server.on('checkExpectation', (req, res) => proxy.handle(req, res));
  server.on('connect', (req, socket: Duplex) => proxy.connect(req, socket));
  server.on('upgrade', (req, socket: Socket, head) => {
    // Behind a request whose answer is not out.
    if (proxy.busy(socket)) socket.destroy();
    else {
      upgraded.add(socket);
      sockets.upgrade(req, socket, head);
    }
  });
  server.on('timeout', (socket: Socket) => proxy.idle(socket));

  // The parser tells every further chunk, and the end, of a connection that it gave up.
  const broken = new WeakSet<Duplex>();
  server.on('clientError', (error: NodeJS.ErrnoException & { rawPacket?: Buffer }, socket: Duplex) => {
    if (broken.has(socket)) return;
    broken.add(socket);
    proxy.broken(socket, parserRefusal(error));
  });
  return {
    server,
    certificateOf: tls?.certificateOf ?? (() => undefined),
    apply: (next) => next && tls?.apply(next),
    recheck: () => tls?.recheck((socket) => upgraded.has(socket) || proxy.busy(socket)),
    closeAll() {
      tls?.closeHandshakes();
      server.closeAllConnections();
    },
  };
}

/** @returns the answer to what Node's parser refused, or `undefined` where nobody is left to answer */
function parserRefusal(error: NodeJS.ErrnoException & { rawPacket?: Buffer }): Refusal | undefined {
  const reason = error.code ?? 'parser error';
  switch (error.code) {
    case 'ECONNRESET':
    case 'EPIPE':
    case 'HPE_INVALID_EOF_STATE':
      return undefined;
    case 'HPE_HEADER_OVERFLOW':
      return refuse('headers_too_large', { reason });
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return refuse('body_too_large', { reason });
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return refuse('request_timeout', { reason });
    case 'HPE_INVALID_METHOD':
      // A request line whose method alone the parser does not know, and not bytes of another protocol.
      return /^[A-Za-z!#$%&'*+.^_`|~0-9-]+ \/[!-~]* HTTP\/1\.1\r\n/.test(error.rawPacket?.toString('latin1') ?? '')
        ? refuse('method_not_allowed', { reason, allow: [] })
        : refuse('bad_request', { reason });
    default:
      // A fault of TLS: nothing that is written now would be read.
      return reason.startsWith('ERR_SSL_') ? undefined : refuse('bad_request', { reason });
  }
}
