/** JSON from an identity provider, which may be slow, broken or somebody else. */
import { lookup as dnsLookup } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { isLoopbackHost, resolveLoopback } from '../config/address.ts';
import { bareHost } from '../config/hop.ts';
import { parseUnambiguous } from '../json.ts';

/** Bytes of an answer. Key sets have some thousands. */
const MOST_BYTES = 256 * 1024;

/** How a provider is reached. */
export interface Reach {
  /** Whom TLS is verified against, PEM; `undefined`: the authorities that Node knows. */
  readonly ca?: string | undefined;
  /** What the shim shows there, PEM: both, or neither. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** Resolves names (the world's DNS). */
  readonly lookup?: typeof dnsLookup | undefined;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/** How it is fetched. */
export interface FetchOptions extends Pick<Reach, 'ca' | 'lookup' | 'signal'> {
  /** Sent as `Authorization: Bearer`. */
  readonly bearer?: string | undefined;
}

/** What is sent. */
export interface Sent {
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** An answer as it came. */
export interface Exchanged {
  readonly status: number;
  /** By name, lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

/** What was fetched. */
export interface Fetched {
  readonly body: Readonly<Record<string, unknown>>;
  /** `max-age` of its `Cache-Control` (RFC 9111 section 5.2.2.1), in milliseconds. */
  readonly maxAge: number | undefined;
}

/**
 * One GET, by the rules of `exchange`.
 *
 * @param url https, or http on loopback
 * @param options authorities, credential and end
 * @returns the JSON object of an answer with status 200 and at most 256 KiB
 * @throws Error whose message says why there is none, without quoting the answer; the signal's reason where that came
 *   first
 */
export async function fetchJson(url: string, { bearer, ...reach }: FetchOptions): Promise<Fetched> {
  const headers = { accept: 'application/json', ...(bearer !== undefined && { authorization: `Bearer ${bearer}` }) };
  const answer = await exchange(url, { method: 'GET', headers }, reach);
  if (answer.status !== 200) throw new Error(`the answer is ${answer.status}`);
  return { body: readJson(answer), maxAge: readMaxAge(String(answer.headers['cache-control'] ?? '')) };
}

/**
 * @param answer of a provider
 * @returns the JSON object in it
 * @throws Error whose message says why there is none, without quoting the answer
 */
export function readJson({ body }: Exchanged): Readonly<Record<string, unknown>> {
  const json = parseUnambiguous(body);
  if (typeof json === 'string') throw new Error(`the answer ${json}`);
  return json;
}

/**
 * One request on a connection of its own. Nothing is retried and no redirect followed; proxies in the environment are
 * not asked.
 *
 * @param url https, or http on loopback
 * @param sent method, headers and body
 * @param reach authorities, certificate and end
 * @returns the answer, of any status, with at most 256 KiB
 * @throws Error whose message says why there is none, without quoting the answer; the signal's reason where that came
 *   first
 */
export async function exchange(url: string, sent: Sent, { ca, cert, key, lookup, signal }: Reach): Promise<Exchanged> {
  const parsed = new URL(url);
  const { origin, protocol, pathname, search } = parsed;
  const plaintext = protocol === 'http:';
  if (!plaintext && protocol !== 'https:') throw new Error('its URL is neither https nor http');
  if (plaintext && !isLoopbackHost(bareHost(parsed))) throw new Error('its URL must be https');
  const resolve = lookup ?? dnsLookup;
  // Bundled, a CommonJS package that is imported on demand has its default export alone.
  const [{ default: Client }, { default: request }] = await Promise.all([
    import('undici/lib/dispatcher/client.js'),
    import('undici/lib/api/api-request.js'),
  ]);
  const client = new Client(origin, {
    allowH2: false,
    maxResponseSize: MOST_BYTES,
    connect: {
      lookup: plaintext ? resolveLoopback(resolve, () => NOT_LOOPBACK) : (resolve as LookupFunction),
      // Whatever NODE_TLS_REJECT_UNAUTHORIZED says.
      rejectUnauthorized: true,
      ...(ca !== undefined && { ca }),
      ...(cert !== undefined && key !== undefined && { cert, key }),
    },
  });
  try {
    const { statusCode, headers, body } = await request.call(client, {
      method: sent.method,
      path: pathname + search,
      headers: sent.headers,
      ...(sent.body !== undefined && { body: sent.body }),
      signal,
    });
    return { status: statusCode, headers, body: Buffer.from(await body.arrayBuffer()) };
  } finally {
    await client.destroy();
  }
}

/** @returns why something could not be fetched, for the log */
export function reasonOf(error: unknown): string {
  // Where a name has several addresses, the error of a connection has no message but a code.
  const { message = '', code } = error as Partial<NodeJS.ErrnoException>;
  return message === '' ? String(code) : message;
}

const NOT_LOOPBACK = new Error('its name does not resolve to a loopback address');

function readMaxAge(cacheControl: string): number | undefined {
  const seconds = /(?:^|[\s,])max-age="?(\d{1,10})/i.exec(cacheControl)?.[1];
  return seconds === undefined ? undefined : Number(seconds) * 1_000;
}
