/** The header list that the caller gets: the gateway's, without what is between the shim and the gateway. Pure. */
import { foldName, isProtectedFamily } from './families.ts';

/** Hop-by-hop fields, and what the shim answers for itself: cookies never pass, CORS, limits and request ids are ours. */
const DROPPED: ReadonlySet<string> = new Set([
  'alt-svc',
  'authorization',
  'connection',
  'cookie',
  'keep-alive',
  'ratelimit-limit',
  'ratelimit-remaining',
  'ratelimit-reset',
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

const FRAMING: ReadonlySet<string> = new Set([
  'content-encoding',
  'content-length',
  'content-type',
  'transfer-encoding',
]);

/** What the proxy has to know of the gateway's answer before the first body byte passes. */
export interface ResponseHead {
  /** Names and values, alternating. */
  readonly headers: string[];
  readonly contentType: string | undefined;
  readonly contentLength: string | undefined;
  readonly contentEncoding: string | undefined;
  /** Whether the body is chunked, by that coding alone. */
  readonly chunked: boolean;
}

/**
 * @param raw names and values of the gateway's response, alternating
 * @param secretNames folded names that are secret themselves (configured identity headers)
 * @param secrets values that nobody but the gateway may see
 * @returns what may pass; a header whose value quotes a secret does not
 */
export function buildResponseHeaders(
  raw: readonly string[],
  secretNames: ReadonlySet<string>,
  secrets: readonly string[],
): ResponseHead {
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
    // Those that frame the body are what undici took them for: by their exact name.
    if (FRAMING.has(folded)) {
      if (name.toLowerCase() !== folded) continue;
      seen[folded] = seen[folded] === undefined ? value : `${seen[folded]}, ${value}`;
    }
    if (DROPPED.has(folded) || folded.startsWith('access-control-') || isProtectedFamily(folded)) continue;
    if (secretNames.has(folded) || (nominated.length > 0 && nominated.includes(name.toLowerCase()))) continue;
    if (secrets.some((secret) => value.includes(secret) || name.includes(secret))) continue;
    if (quotesName(value, secretNames)) continue;
    headers.push(name, value);
  }
  return {
    headers,
    contentType: seen['content-type'],
    contentLength: seen['content-length'],
    contentEncoding: seen['content-encoding'],
    chunked: seen['transfer-encoding']?.toLowerCase() === 'chunked',
  };
}

/** `Vary` is one that names request headers. */
function quotesName(value: string, secretNames: ReadonlySet<string>): boolean {
  if (secretNames.size === 0) return false;
  const folded = foldName(value);
  for (const name of secretNames) if (folded.includes(name)) return true;
  return false;
}
