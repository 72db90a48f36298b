/** One pass over the raw header list: everything that the gate has to know of it, or why it is refused. Pure. */
import { refuse, type Refusal } from '../errors.ts';
import type { RequestFacts } from '../types.ts';

/** 16 KiB of header would hold over 3,000 names: parsers have hidden headers past 2,000 (CVE-2026-58044). */
const MAX_HEADERS = 256;
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const FIELD_NAME_HOST = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::\d{1,5})?$/;
const FRAMING: ReadonlySet<string> = new Set(['host', 'content-length', 'transfer-encoding']);
/** RFC 9110 gives these no meaning with content, and proxies have been smuggled through by it (CVE-2026-29057). */
const BODYLESS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'DELETE', 'TRACE', 'CONNECT']);
/** A second line of these, or a list in one, would be read in two ways. */
const SINGLE: ReadonlySet<string> = new Set([
  'host',
  'authorization',
  'cf-access-jwt-assertion',
  'content-length',
  'transfer-encoding',
  'expect',
  'origin',
  'x-openclaw-agent-id',
  'x-openclaw-session-key',
  'x-openclaw-model',
  'x-openclaw-message-channel',
]);
/** In all spellings (`foldName`); the length is asked first, since no other header has to pay for this. */
const ON_BEHALF = /^x[^a-z0-9]auth[^a-z0-9]shim[^a-z0-9](?:caller|scopes)$/;
const ON_BEHALF_LENGTH = 18;
const NOBODY: Head['onBehalf'] = [];
/** Two of them are none (W3C Trace Context, level 1, section 3.2). */
const MANY = '';

/** What the header list says. Names are lower case. */
export interface Head {
  /** `Host` without its port and brackets, lower case. */
  readonly host: string;
  /** `Host` as it came. */
  readonly hostField: string;
  readonly authorization: string | undefined;
  /** `Cf-Access-Jwt-Assertion`. */
  readonly assertion: string | undefined;
  readonly origin: string | undefined;
  /** `Access-Control-Request-Method` of a CORS preflight. */
  readonly requestMethod: string | undefined;
  /** `traceparent`, where there is exactly one. */
  readonly traceparent: string | undefined;
  /** All `X-Forwarded-For` lines, joined. */
  readonly forwardedFor: string | undefined;
  /** Bytes of the body; `undefined` for a chunked one. */
  readonly contentLength: number | undefined;
  readonly hasBody: boolean;
  readonly expectContinue: boolean;
  /** What `Connection` names (RFC 9110 section 7.6.1). */
  readonly nominated: readonly string[];
  /** The values of the gateway's own headers that a caller's policy may allow. */
  readonly openclaw: ReadonlyMap<string, string>;
  /** Every header that folds to one with which a shim says whom it calls for: name and value. */
  readonly onBehalf: readonly (readonly [string, string])[];
}

/**
 * Syntax and framing beyond what Node's parser refuses by itself: duplicates that two readers would read
 * in two ways, transfer codings other than plain `chunked`, content where a method has none, framing
 * headers named by `Connection`.
 *
 * @param facts the request as it came
 * @returns the parts that the gate needs, or the refusal (400, 417, 431)
 */
export function readHead(facts: RequestFacts): Head | Refusal {
  const { rawHeaders } = facts;
  const bad = (reason: string): Refusal => refuse('bad_request', { message: `Bad request: ${reason}.`, reason });

  if (facts.httpVersion !== '1.1') return bad('HTTP/1.1 is required (nginx: proxy_http_version 1.1)');
  if (rawHeaders.length > 2 * MAX_HEADERS) return refuse('headers_too_large', { reason: 'too many headers' });

  const single = new Map<string, string>();
  const openclaw = new Map<string, string>();
  const nominated: string[] = [];
  let forwardedFor: string | undefined;
  let requestMethod: string | undefined;
  let traceparent: string | undefined;
  let onBehalf = NOBODY;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] as string).toLowerCase();
    const value = rawHeaders[i + 1] as string;
    if (SINGLE.has(name)) {
      if (single.has(name)) return bad(`more than one ${name} header`);
      single.set(name, value);
      if (name.startsWith('x-openclaw-')) openclaw.set(name, value);
    } else if (name === 'connection') {
      for (const member of value.split(',')) {
        const nominee = member.trim().toLowerCase();
        if (nominee === '') continue;
        if (!TOKEN.test(nominee)) return bad('the Connection header is malformed');
        if (FRAMING.has(nominee)) return bad(`the Connection header names ${nominee}`);
        nominated.push(nominee);
      }
    } else if (name === 'x-forwarded-for') {
      forwardedFor = forwardedFor === undefined ? value : `${forwardedFor},${value}`;
    } else if (name === 'access-control-request-method') {
      requestMethod = value;
    } else if (name === 'traceparent') {
      traceparent = traceparent === undefined ? value : MANY;
    } else if (name.length === ON_BEHALF_LENGTH && ON_BEHALF.test(name)) {
      onBehalf = [...onBehalf, [name, value]];
    }
  }

  const hostField = single.get('host');
  const hostParts = hostField === undefined ? undefined : FIELD_NAME_HOST.exec(hostField);
  if (hostField === undefined || !hostParts) return bad('the Host header is missing or malformed');

  const coding = single.get('transfer-encoding');
  const length = single.get('content-length');
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') return bad('the only transfer coding is chunked');
  if (coding !== undefined && length !== undefined) return bad('both Content-Length and Transfer-Encoding');
  if (length !== undefined && !/^\d{1,15}$/.test(length)) return bad('the Content-Length is malformed');
  const contentLength = coding === undefined ? Number(length ?? 0) : undefined;
  const hasBody = contentLength !== 0;
  if (hasBody && BODYLESS.has(facts.method)) return bad(`a ${facts.method} request has no body here`);

  const expect = single.get('expect');
  if (expect !== undefined && expect.toLowerCase() !== '100-continue') return refuse('expectation_failed');

  return {
    host: (hostParts[1] ?? (hostParts[2] as string)).toLowerCase(),
    hostField,
    authorization: single.get('authorization'),
    assertion: single.get('cf-access-jwt-assertion'),
    origin: single.get('origin'),
    requestMethod,
    traceparent,
    forwardedFor,
    contentLength,
    hasBody,
    expectContinue: expect !== undefined,
    nominated,
    openclaw,
    onBehalf,
  };
}
