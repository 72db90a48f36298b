/** JSON from an identity provider, which may be slow, broken or somebody else. */
import { lookup as dnsLookup } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { isLoopbackHost, resolveLoopback } from '../config/address.ts';
import { bareHost } from '../config/hop.ts';
import { parseUnambiguous } from '../json.ts';

/** Bytes of an answer. Key sets have some thousands. */
const MOST_BYTES = 256 * 1024;

/** How it is fetched. */
export interface FetchOptions {
  /** Whom TLS is verified against, PEM; `undefined`: the authorities that Node knows. */
  readonly ca?: string | undefined;
  /** Sent as `Authorization: Bearer`. */
  readonly bearer?: string | undefined;
  /** Resolves names (the world's DNS). */
  readonly lookup?: typeof dnsLookup | undefined;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/** What was fetched. */
export interface Fetched {
  readonly body: Readonly<Record<string, unknown>>;
  /** `max-age` of its `Cache-Control` (RFC 9111 section 5.2.2.1), in milliseconds. */
  readonly maxAge: number | undefined;
}

/**
 * One GET on a connection of its own. Nothing is retried and no redirect followed; proxies in the environment are not
 * asked.
 *
 * @param url https, or http on loopback
 * @param options authorities, credential and end
 * @returns the JSON object of an answer with status 200 and at most 256 KiB
 * @throws Error whose message says why there is none, without quoting the answer; the signal's reason where that came
 *   first
 */
export async function fetchJson(url: string, { ca, bearer, lookup, signal }: FetchOptions): Promise<Fetched> {
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
    },
  });
  try {
    const { statusCode, headers, body } = await request.call(client, {
      method: 'GET',
      path: pathname + search,
      headers: { accept: 'application/json', ...(bearer !== undefined && { authorization: `Bearer ${bearer}` }) },
      signal,
    });
    if (statusCode !== 200) throw new Error(`the answer is ${statusCode}`);
    const json = parseUnambiguous(Buffer.from(await body.arrayBuffer()));
    if (typeof json === 'string') throw new Error(`the answer ${json}`);
    return { body: json, maxAge: readMaxAge(String(headers['cache-control'] ?? '')) };
  } finally {
    await client.destroy();
  }
}

const NOT_LOOPBACK = new Error('its name does not resolve to a loopback address');

function readMaxAge(cacheControl: string): number | undefined {
  const seconds = /(?:^|[\s,])max-age="?(\d{1,10})/i.exec(cacheControl)?.[1];
  return seconds === undefined ? undefined : Number(seconds) * 1_000;
}
