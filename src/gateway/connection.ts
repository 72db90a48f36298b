/** One connection to the gateway: opened, and checked before anything is written to it. */
import type { X509Certificate } from 'node:crypto';
import { lookup as dnsLookup } from 'node:dns';
import { createRequire } from 'node:module';
import { connect as connectTcp, isIP, type LookupFunction, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { resolveLoopback } from '../config/address.ts';
import { fingerprintOf, readCertificateNames } from '../config/certificate-names.ts';
import type { GatewayTls } from '../config/config.ts';
import { bareHost } from '../config/hop.ts';

/** Milliseconds. A kernel takes connections, a handshake is the gateway's own: one that begins many runs is busy for long. */
const LIMITS = { connect: 10_000, handshake: 60_000 } as const;
const KEEP_ALIVE_MS = 60_000;
/** The chain of a session that is resumed is not verified again: authorities expire. */
const RESUMED_MS = 3_600_000;

/** Why there is no connection that may be used. The words are for the operator. */
export class HopError extends Error {
  /**
   * A plaintext hop must not leave the machine; a certificate that is not the gateway's; one of the shim's own that the
   * gateway does not take; nobody who answers in time.
   */
  readonly code: 'HOP_NOT_LOOPBACK' | 'HOP_CERTIFICATE' | 'HOP_REFUSED' | 'HOP_TIMEOUT';

  constructor(code: HopError['code'], message: string) {
    super(message);
    this.name = 'HopError';
    this.code = code;
  }
}

/** Where the gateway is, and what it has to prove. */
export interface GatewayTarget {
  /** Scheme, host and port. */
  readonly origin: string;
  readonly tls?: GatewayTls | undefined;
  /** Otherwise its name must resolve to this machine, at each connect. */
  readonly beyondLoopback?: boolean;
  /** Resolves names; by default the system's resolver. */
  readonly lookup?: typeof dnsLookup | undefined;
  /** For tests: another clock, in milliseconds since the epoch, and shorter limits, in milliseconds. */
  readonly now?: () => number;
  readonly limits?: Limits;
}

interface Limits {
  readonly connect: number;
  /** Of TLS, once there is a connection. */
  readonly handshake: number;
}

/**
 * Opens a connection. The callback is called once, with an error or with a socket that may be written to.
 *
 * @returns the socket, to be destroyed by who gives up before, and for nothing else: then the callback is not called
 */
export type Connect = (callback: (error: Error | null, socket: Socket | null) => void) => Socket;

/**
 * The one way to the gateway, for requests, relays and tunnels alike. Over TLS each connection is checked by itself,
 * also one that resumes a session, where Node would not look at the name again (CVE-2026-58040).
 *
 * @param target where the gateway is
 * @returns the function that opens connections. Over TLS they resume the session of the one before, which is nobody
 *   else's: a target with another identity has a function of its own
 */
export function createConnect(target: GatewayTarget): Connect {
  const { lookup = dnsLookup, now = Date.now, limits = LIMITS } = target;
  const url = new URL(target.origin);
  const { protocol, port } = url;
  const host = bareHost(url);
  const secure = protocol === 'https:';
  const options = {
    host,
    port: Number(port || (secure ? 443 : 80)),
    lookup: target.beyondLoopback ? (lookup as LookupFunction) : loopbackOnly(lookup),
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
  };
  if (!secure) return (callback) => settle(connectTcp(options), 'connect', limits, () => undefined, callback);

  // What only a hop over TLS needs is loaded with it.
  const { connect: connectTls, createSecureContext } = createRequire(import.meta.url)(
    'node:tls',
  ) as typeof import('node:tls');
  const { ca, cert, key, fingerprint, serverName = host } = target.tls ?? {};
  // Exactly this certificate says more than any authority could.
  const pinned = fingerprint !== undefined && ca === undefined;
  const byHost = !serverName.startsWith('spiffe://');
  const tlsOptions = {
    ...options,
    // Authorities of the system count only where none are named.
    secureContext: createSecureContext({ minVersion: 'TLSv1.2', ...(ca && { ca }), ...(cert && key && { cert, key }) }),
    servername: byHost && isIP(serverName) === 0 ? serverName : '',
    ALPNProtocols: ['http/1.1'],
    rejectUnauthorized: !pinned,
    // Asked below, for resumed sessions as well.
    checkServerIdentity: () => undefined,
  };
  let kept: Kept | undefined;

  return (callback) => {
    const offered = kept && now() - kept.verified < RESUMED_MS ? kept : undefined;
    const socket = connectTls({ ...tlsOptions, ...(offered && { session: offered.session }) });
    let ticket: Buffer | undefined;
    let certificate: X509Certificate | undefined;
    let verified = now();
    socket.on('session', (session: Buffer) => {
      ticket = session;
      if (certificate) kept = { session, certificate, verified };
    });
    const check = (): HopError | undefined => {
      // OpenSSL keeps no certificates for a client that resumes.
      const shown = socket.getPeerX509Certificate() ?? (socket.isSessionReused() ? offered?.certificate : undefined);
      const wrong = shown ? wrongWith(shown) : 'is missing';
      if (wrong === undefined) {
        certificate = shown as X509Certificate;
        if (socket.isSessionReused() && offered) ({ verified } = offered);
        if (ticket) kept = { session: ticket, certificate, verified };
        tellRefused(socket, () => ticket === undefined);
        return undefined;
      }
      kept = undefined;
      return new HopError('HOP_CERTIFICATE', `the certificate of ${target.origin} ${wrong}`);
    };
    return settle(socket, 'secureConnect', limits, check, callback);
  };

  function wrongWith(certificate: X509Certificate): string | undefined {
    const shown = fingerprintOf(certificate);
    if (fingerprint !== undefined && shown !== fingerprint) return `is not the one of the pin, but sha256:${shown}`;
    // Of the texts: for a time that is none, Node's dates are whatever the memory holds, and these are no number.
    if (!(Date.parse(certificate.validFrom) <= now())) return `is not valid before ${certificate.validFrom}`;
    if (!(now() < Date.parse(certificate.validTo))) return `is not valid after ${certificate.validTo}`;
    if (pinned) return undefined;
    const names = certificate.subjectAltName ?? 'no name (gateway.tls.fingerprint without ca takes it all the same)';
    if (!byHost) {
      const { uris } = readCertificateNames(certificate.subjectAltName);
      return uris.length === 1 && uris[0] === serverName ? undefined : `is not for ${serverName} alone, but ${names}`;
    }
    const named =
      isIP(serverName) === 0
        ? certificate.checkHost(serverName, { subject: 'never' })
        : certificate.checkIP(serverName);
    return named === undefined ? `is not for ${serverName}, but ${names}` : undefined;
  }
}

/**
 * With TLS 1.3 a client is through before the server has looked at its certificate (RFC 8446 section 4.4.2): a server
 * that breaks off then, without an alert or with one that was lost, has sent neither a ticket nor a byte.
 */
function tellRefused(socket: TLSSocket, noTicket: () => boolean): void {
  if (socket.getProtocol() !== 'TLSv1.3') return;
  const refusal = (): HopError | undefined =>
    socket.bytesRead === 0 && noTicket()
      ? new HopError(
          'HOP_REFUSED',
          'it broke off the TLS handshake: it may not take the certificate in gateway.tls.cert, or want one; its log has the reason',
        )
      : undefined;
  let told: Error | undefined;
  // Who waits for an answer is given the system's error, which then says what is behind it.
  socket.once('error', (error: NodeJS.ErrnoException) => {
    told = error;
    if (error.code === 'ECONNRESET' || error.code === 'EPIPE') error.cause ??= refusal();
  });
  // An alert is an error that ends nothing; without it here, the end that follows would be all that is told.
  socket.once('end', () => {
    const why = told ?? refusal();
    if (why) socket.destroy(why);
  });
}

/** A session that can be resumed, and the certificate that was found right for it. */
interface Kept {
  readonly session: Buffer;
  readonly certificate: X509Certificate;
  /** When its chain was, in milliseconds since the epoch. */
  readonly verified: number;
}

function settle(
  socket: Socket,
  open: 'connect' | 'secureConnect',
  { connect, handshake }: Limits,
  check: () => HopError | undefined,
  callback: Parameters<Connect>[0],
): Socket {
  const late = (what: string, limit: number): NodeJS.Timeout =>
    setTimeout(() => socket.destroy(new HopError('HOP_TIMEOUT', `no ${what} within ${limit} ms`)), limit);
  let timer = late('connection', connect);
  if (open === 'secureConnect') {
    socket.once('connect', () => {
      clearTimeout(timer);
      timer = late('TLS handshake', handshake);
    });
  }
  const failed = (error: Error): void => {
    clearTimeout(timer);
    callback(error, null);
  };
  socket.once('error', failed);
  socket.once('close', () => clearTimeout(timer));
  socket.once(open, () => {
    clearTimeout(timer);
    const wrong = checked(check);
    if (wrong === undefined) {
      socket.off('error', failed);
      callback(null, socket);
    } else {
      socket.destroy(wrong);
    }
  });
  return socket;
}

/** What cannot be read is not the gateway's: an exception here would be outside of every request. */
function checked(check: () => HopError | undefined): HopError | undefined {
  try {
    return check();
  } catch (error) {
    return new HopError(
      'HOP_CERTIFICATE',
      `the certificate of the gateway cannot be read: ${(error as Error).message}`,
    );
  }
}

/**
 * @param lookup resolves names
 * @returns the same, with a `HopError` in place of any address that is not loopback
 */
export function loopbackOnly(lookup: typeof dnsLookup): LookupFunction {
  const beyond = (name: string): HopError =>
    new HopError('HOP_NOT_LOOPBACK', `${name} does not resolve to a loopback address`);
  return resolveLoopback(lookup, beyond);
}
