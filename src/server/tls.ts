/** TLS under HTTP: Node's HTTPS server, and which handshakes it takes. */
import { constants, randomBytes, X509Certificate } from 'node:crypto';
import type { Server, ServerOptions } from 'node:https';
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { DetailedPeerCertificate, TLSSocket } from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import { createClientTrust, readClientCertificate } from '../callers/certificate.ts';
import type { ListenTls } from '../config/config.ts';
import { refuse } from '../errors.ts';
import { createHandshakeCosts, type HandshakeCosts } from '../limits/handshakes.ts';
import type { HandshakeFailure } from '../observe/handshakes.ts';
import type { CertificateOf } from '../proxy/http.ts';
import { writeRawRefusal } from '../proxy/refuse.ts';
import type { ClientCertificate } from '../types.ts';

const HANDSHAKE_MS = 10_000;
/** A resumed session is not verified again: those of an authority that has expired are at an end after so long. */
const TICKETS_MS = 3_600_000;
const TICKET_KEY_BYTES = 48;
/** OpenSSL takes up to 100; nobody has more than a few. */
const MOST_ISSUERS = 8;

/** A handshake that came to nothing. */
export interface FailedHandshake {
  readonly reason: HandshakeFailure;
  /** Node's or OpenSSL's code for it, or words. */
  readonly detail: string;
  readonly peer: string | undefined;
  /** Of the answer, where there was one. */
  readonly id?: string;
  /** Whole seconds for which no connection of the peer's network is taken: its failed handshakes cost too much. */
  readonly shutsOut?: number;
}

/** Node has no other way from a connection to the one that carries it. Without it less is told, and less is trusted. */
type OverTcp = TLSSocket & { readonly _parent?: Socket };

/** What the server is made of. */
export interface TlsParts {
  readonly tls: ListenTls;
  /** @param resumed whether it went on with an earlier session */
  readonly done: (resumed: boolean) => void;
  readonly failed: (failure: FailedHandshake) => void;
  /** A connection was ended before any TLS, since the network of its peer is shut out. */
  readonly shutOut: () => void;
  readonly randomId: () => string;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Milliseconds for a whole handshake; shorter in tests. */
  readonly handshakeTimeout?: number | undefined;
  /** For tests. */
  readonly costs?: HandshakeCosts;
}

/** An HTTPS server and its connections. */
export interface TlsServer {
  /** Not listening yet. Faults of TLS are no `clientError` of it. */
  readonly server: Server;
  readonly certificateOf: CertificateOf;
  /**
   * Takes other settings for the handshakes to come. Sessions from before are not resumed.
   *
   * @throws Error where OpenSSL refuses them; those from before stay
   */
  apply(tls: ListenTls): void;
  /**
   * Ends the connections that would not be let in any more: a busy one only when it was found so before.
   *
   * @param busy whether a request of it is open
   */
  recheck(busy: (socket: Duplex) => boolean): void;
  /** Ends the handshakes that are not over: Node's `closeAllConnections` leaves them. */
  closeHandshakes(): void;
}

/**
 * @param options of an HTTP server
 * @param parts the settings, and who is told
 * @returns the server
 */
export function createTlsServer(options: ServerOptions, parts: TlsParts): TlsServer {
  // Only where TLS is configured: it costs 7 ms and 3 MB.
  const { createServer } = createRequire(import.meta.url)('node:https') as typeof import('node:https');
  const { handshakeTimeout = HANDSHAKE_MS, costs = createHandshakeCosts() } = parts;
  let { tls } = parts;
  let ticketsSince = parts.now();
  let trusts = createClientTrust(tls.client?.ca);
  /** What each connection began under, which is what verifies it. */
  const began = new WeakMap<Duplex, ListenTls>();
  /** Every open connection, and what it has shown. */
  const connections = new Map<Duplex, ClientCertificate | undefined>();
  const leaving = new WeakSet<Duplex>();
  const handshaking = new Set<Socket>();
  const shutOut = new WeakSet<Duplex>();

  const server = createServer({ ...options, ...contextOf(tls), ...verificationOf(tls), handshakeTimeout });
  // Node's own makes a `clientError` of it, which is answered in HTTP.
  server.removeAllListeners('tlsClientError');
  server.on('tlsClientError', handshakeFailed);
  server.prependListener('connection', (raw: Socket) => {
    began.set(raw, tls);
    handshaking.add(raw);
    raw.once('close', () => handshaking.delete(raw));
    // Node can tell it later only if it was asked while the connection was open.
    if (costs.shut(raw.remoteAddress)) endShut(raw);
  });
  // Before HTTP sees the connection.
  server.prependListener('secureConnection', admit);

  return {
    server,
    certificateOf: (socket) => connections.get(socket),
    apply(next) {
      if (isDeepStrictEqual(next, tls)) return;
      server.setSecureContext(contextOf(next));
      // What Node's server reads of itself at each connection; it has no function that sets them.
      Object.assign(server, verificationOf(next));
      if (next.client?.ca !== tls.client?.ca) trusts = createClientTrust(next.client?.ca);
      tls = next;
    },
    recheck(busy) {
      const now = parts.now();
      if (now - ticketsSince >= TICKETS_MS) {
        ticketsSince = now;
        server.setTicketKeys(randomBytes(TICKET_KEY_BYTES));
      }
      for (const [socket, certificate] of connections) {
        const fine = certificate ? trusts(certificate, now) : tls.client?.auth !== 'require';
        if (fine) leaving.delete(socket);
        else if (leaving.has(socket) || !busy(socket)) socket.destroy();
        // What is open may be let outlive the certificate: then it ends by itself, or by the gate.
        else if (certificate === undefined || now < certificate.notAfter) leaving.add(socket);
      }
    },
    closeHandshakes() {
      for (const raw of handshaking) raw.destroy();
    },
  };

  /** Node resumes a session without looking at its certificate again, and passes on what does not verify. */
  function admit(socket: OverTcp): void {
    const judged = judge(socket);
    if (judged && 'reason' in judged) {
      told({ ...judged, peer: socket.remoteAddress }, socket._parent);
      socket.destroy();
      return;
    }
    if (socket._parent) handshaking.delete(socket._parent);
    connections.set(socket, judged);
    socket.once('close', () => connections.delete(socket));
    parts.done(socket.isSessionReused());
  }

  function judge(socket: OverTcp): ClientCertificate | Omit<FailedHandshake, 'peer'> | undefined {
    const { client } = tls;
    const leaf = client && socket.getPeerX509Certificate();
    if (!leaf) {
      return client?.auth === 'require' ? { reason: 'no_certificate', detail: 'none was shown' } : undefined;
    }
    if (!socket.authorized) return unverified(socket);
    const verifiedBy = socket._parent && began.get(socket._parent)?.client?.ca;
    let certificate: ClientCertificate;
    try {
      certificate = readClientCertificate(leaf, issuersOf(socket), verifiedBy);
    } catch (error) {
      return { reason: 'unreadable_certificate', detail: (error as Error).message };
    }
    const now = parts.now();
    const { id: detail } = certificate;
    if (now < certificate.notBefore) return { reason: 'not_yet_valid_certificate', detail };
    if (now >= certificate.notAfter) return { reason: 'expired_certificate', detail };
    return trusts(certificate, now) ? certificate : { reason: 'untrusted_certificate', detail };
  }

  function handshakeFailed(error: NodeJS.ErrnoException, socket: OverTcp): void {
    const { _parent: raw } = socket;
    if (raw && shutOut.has(raw)) return;
    const failure = {
      ...(socket.authorizationError ? unverified(socket) : { reason: reasonOf(error), detail: codeOf(error) }),
      peer: raw?.remoteAddress,
    };
    // Node leaves it open after its own limit.
    socket.destroy();
    if (failure.reason !== 'plain_http' || !raw || raw.destroyed) {
      told(failure, raw);
      return;
    }
    const id = parts.randomId();
    parts.failed({ ...failure, id });
    writeRawRefusal(raw, refuse('bad_request', { message: 'This port speaks TLS: use https.' }), id);
  }

  /** OpenSSL verifies all of a chain before anybody can say no: what that costs is bounded by network. */
  function told(failure: FailedHandshake, raw: Socket | undefined): void {
    if (raw) handshaking.delete(raw);
    // What came then is the first request.
    const bytes = failure.reason === 'no_certificate' ? 0 : (raw?.bytesRead ?? 0);
    const shutsOut = costs.failed(failure.peer, bytes);
    parts.failed({ ...failure, ...(shutsOut !== undefined && { shutsOut }) });
    if (shutsOut === undefined) return;
    // Their chains may be here already: each would be verified.
    for (const other of handshaking) if (costs.shut(other.remoteAddress)) endShut(other);
  }

  function endShut(raw: Socket): void {
    handshaking.delete(raw);
    shutOut.add(raw);
    raw.destroy();
    parts.shutOut();
  }
}

/** Complete, since Node takes what is missing for its default. An empty text would stand for every public authority. */
function contextOf({ cert, key, minVersion, client }: ListenTls) {
  return {
    cert,
    key,
    minVersion,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    ...(client && { ca: [client.ca] }),
  };
}

function verificationOf({ client }: ListenTls) {
  return { requestCert: client !== undefined, rejectUnauthorized: client?.auth === 'require' };
}

/**
 * A server has them in Node's older form alone, some releases not at all (nodejs/node#65579), and no session that was
 * resumed.
 */
function issuersOf(socket: TLSSocket): X509Certificate[] {
  const issuers: X509Certificate[] = [];
  let last: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  while (issuers.length < MOST_ISSUERS) {
    const next: DetailedPeerCertificate | undefined = last?.issuerCertificate;
    // A root is its own issuer.
    if (next === undefined || next === last) break;
    issuers.push(new X509Certificate(next.raw));
    last = next;
  }
  return issuers;
}

/** Why a certificate did not verify, in Node's codes. */
const UNVERIFIED: Readonly<Record<string, HandshakeFailure>> = {
  CERT_HAS_EXPIRED: 'expired_certificate',
  CERT_NOT_YET_VALID: 'not_yet_valid_certificate',
  INVALID_PURPOSE: 'wrong_usage_certificate',
};

function unverified({ authorizationError }: TLSSocket): Omit<FailedHandshake, 'peer'> {
  // A code, in spite of its type.
  const detail = String(authorizationError);
  return { reason: UNVERIFIED[detail] ?? 'untrusted_certificate', detail };
}

/** Why a handshake broke off, in Node's and OpenSSL's codes. */
const BROKEN: Readonly<Record<string, HandshakeFailure>> = {
  ERR_TLS_HANDSHAKE_TIMEOUT: 'timeout',
  ECONNRESET: 'closed',
  EPIPE: 'closed',
  ERR_SSL_HTTP_REQUEST: 'plain_http',
  ERR_SSL_HTTPS_PROXY_REQUEST: 'plain_http',
  ERR_SSL_WRONG_VERSION_NUMBER: 'not_tls',
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'protocol_version',
  ERR_SSL_NO_SHARED_CIPHER: 'cipher',
  ERR_SSL_NO_APPLICATION_PROTOCOL: 'alpn',
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: 'no_certificate',
};

function codeOf(error: NodeJS.ErrnoException): string {
  return error.code ?? 'unknown';
}

function reasonOf(error: NodeJS.ErrnoException): HandshakeFailure {
  const code = codeOf(error);
  return BROKEN[code] ?? (/^ERR_SSL_.*_ALERT_/.test(code) ? 'client_alert' : 'other');
}
