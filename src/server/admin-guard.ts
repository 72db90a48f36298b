/** Who may look: what every request to the admin listener is asked first. */
import { hash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { AdminConfig } from '../config/config.ts';

/** A request that is not answered. */
export interface AdminRefusal {
  readonly status: number;
  readonly words: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Browsers ask for user and password: any user, and the token. */
const CHALLENGE = 'Basic realm="auth-shim admin", charset="UTF-8", Bearer realm="auth-shim admin"';
/** What browsers send with a page's own requests, and with an address that somebody typed (Fetch Metadata). */
const OWN_SITES: ReadonlySet<string> = new Set(['same-origin', 'none']);

/**
 * Whatever it is for: the name that it is asked by, the method, and the site that it comes from.
 *
 * @param req a request
 * @param config of the admin listener
 * @returns why it is not answered, or `undefined`
 */
export function refuseForeign(req: IncomingMessage, config: AdminConfig): AdminRefusal | undefined {
  const { method, headers } = req;
  if (!isOwnHost(req, config)) return { status: 421, words: 'this host name is not served here' };
  if (method !== 'GET' && method !== 'HEAD') {
    return { status: 405, words: 'only GET and HEAD', headers: { allow: 'GET, HEAD' } };
  }
  const origin = `${config.tls ? 'https' : 'http'}://${headers.host}`;
  const { 'sec-fetch-site': site = 'none' } = headers;
  if (!OWN_SITES.has(String(site)) || (headers.origin !== undefined && headers.origin !== origin)) {
    return { status: 403, words: 'not for other sites: open it by its own address' };
  }
  return undefined;
}

/**
 * @param req a request
 * @param config of the admin listener
 * @returns why its sender may not look, or `undefined`
 */
export function refuseStranger(req: IncomingMessage, config: AdminConfig): AdminRefusal | undefined {
  if (config.tokenHash === undefined) return undefined;
  // Of one length, and of no use to whoever measures how long the comparison takes.
  const shown = hash('sha256', tokenOf(req.headers.authorization) ?? '', 'buffer');
  if (timingSafeEqual(shown, Buffer.from(config.tokenHash, 'hex'))) return undefined;
  return { status: 401, words: 'the token of admin.token is needed', headers: { 'www-authenticate': CHALLENGE } };
}

/** `Bearer <token>` (RFC 6750 section 2.1), or `Basic` with any user and the token as password (RFC 7617). */
function tokenOf(field: string | undefined): string | undefined {
  const [, scheme = '', credentials = ''] = /^(bearer|basic) +([^\s,]+)$/i.exec(field ?? '') ?? [];
  if (scheme.toLowerCase() !== 'basic') return credentials;
  const pair = Buffer.from(credentials, 'base64').toString();
  return pair.includes(':') ? pair.slice(pair.indexOf(':') + 1) : undefined;
}

/**
 * Against DNS rebinding: a web page cannot name a loopback host in `Host`, and an address that this very connection
 * came in by is no name that could lead elsewhere.
 */
function isOwnHost({ headers, socket }: IncomingMessage, { hosts }: AdminConfig): boolean {
  const host = headers.host
    ?.replace(/:\d+$/, '')
    .replace(/^\[|\]$/g, '')
    .toLowerCase();
  return host !== undefined && (hosts.has(host) || host === socket.localAddress?.replace(/^::ffff:/, ''));
}
