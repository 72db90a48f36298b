/** The header list that the gateway gets: built new from the raw one, never edited. Pure. */
import { foldName, isProtectedFamily } from './families.ts';

/**
 * Never forwarded: hop-by-hop fields (RFC 9110 section 7.6.1), what the shim sets or decides itself, and what
 * only a browser sends. `content-length` is set anew with the body that is really sent.
 */
const DROPPED: ReadonlySet<string> = new Set([
  'authorization',
  'connection',
  'content-length',
  'cookie',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'origin',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'referer',
  'te',
  'traceparent',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'x-request-id',
]);
const DROPPED_PREFIX = /^(?:sec-fetch-|sec-websocket-|access-control-)/;

/**
 * What `Connection` names is removed first and ours is added last, so that no caller can take a header of
 * ours away (CVE-2024-45410, CVE-2026-33805): on this gateway a missing scopes header can mean full power.
 *
 * @param raw the caller's names and values, alternating
 * @param nominated the names in the caller's `Connection`, lower case
 * @param secretNames further folded names that only the shim may set (configured identity headers)
 * @param ours names and values, alternating, that are added last
 * @param continued whether the trace is the caller's own, so that its `tracestate` belongs to it
 * @returns names and values, alternating; each name of `ours` is there exactly once
 */
export function buildRequestHeaders(
  raw: readonly string[],
  nominated: readonly string[],
  secretNames: ReadonlySet<string>,
  ours: readonly string[],
  continued = false,
): string[] {
  const out: string[] = [];
  for (let i = 0; i < raw.length; i += 2) {
    const folded = foldName(raw[i] as string);
    if (DROPPED.has(folded) || DROPPED_PREFIX.test(folded) || isProtectedFamily(folded)) continue;
    if (folded === 'tracestate' && !continued) continue;
    if (secretNames.size > 0 && secretNames.has(folded)) continue;
    if (nominated.length > 0 && nominated.includes((raw[i] as string).toLowerCase())) continue;
    out.push(raw[i] as string, raw[i + 1] as string);
  }
  out.push(...ours);
  return out;
}
