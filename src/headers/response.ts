/** The header list that the caller gets: the gateway's, without what is between the shim and the gateway. Pure. */
import { foldName, isProtectedFamily } from './families.ts';

/** Hop-by-hop fields, and what the shim answers for itself: cookies never pass, CORS and request ids are ours. */
const DROPPED: ReadonlySet<string> = new Set([
  'alt-svc',
  'authorization',
  'connection',
  'cookie',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'set-cookie',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'x-request-id',
]);

/** What the proxy has to know of the gateway's answer before the first body byte passes. */
export interface ResponseHead {
  /** Names and values, alternating. */
  readonly headers: string[];
  readonly contentType: string | undefined;
  readonly contentLength: string | undefined;
  readonly contentEncoding: string | undefined;
}

/**
 * @param raw names and values of the gateway's response, alternating
 * @param secretNames folded names that are secret themselves (configured identity headers)
 * @returns what may pass
 */
export function buildResponseHeaders(raw: readonly string[], secretNames: ReadonlySet<string>): ResponseHead {
  const headers: string[] = [];
  const seen: Record<string, string> = {};
  let nominated: string[] = [];
  for (let i = 0; i < raw.length; i += 2) {
    const name = (raw[i] as string).toLowerCase();
    if (name === 'connection') {
      nominated = nominated.concat((raw[i + 1] as string).split(',').map((member) => member.trim().toLowerCase()));
    }
  }
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] as string;
    const value = raw[i + 1] as string;
    const folded = foldName(name);
    if (folded.startsWith('content-')) seen[folded] = value;
    if (DROPPED.has(folded) || folded.startsWith('access-control-') || isProtectedFamily(folded)) continue;
    if (secretNames.has(folded) || (nominated.length > 0 && nominated.includes(name.toLowerCase()))) continue;
    headers.push(name, value);
  }
  return {
    headers,
    contentType: seen['content-type'],
    contentLength: seen['content-length'],
    contentEncoding: seen['content-encoding'],
  };
}
