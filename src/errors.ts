/**
 * The closed table of errors that a caller can see. The code is the interface; the words are help.
 * Bodies have the shape that OpenAI SDKs parse; `WWW-Authenticate` follows RFC 6750 section 3.
 */

interface ErrorRow {
  readonly status: number;
  readonly type: string;
  /** The words for a caller when the refusal has none of its own. */
  readonly message: string;
  /** What was wrong may still be in flight on this connection, so that it cannot be used again. */
  readonly close?: true;
}

const row = (status: number, type: string, message: string, close?: true): ErrorRow =>
  close ? { status, type, message, close } : { status, type, message };

const INVALID = 'invalid_request_error';
const AUTHENTICATION = 'authentication_error';
const PERMISSION = 'permission_error';
const RATE = 'rate_limit_error';
const GATEWAY = 'gateway_error';
const SERVER = 'server_error';

export const ERRORS = {
  bad_request: row(400, INVALID, 'The request is malformed.', true),
  header_not_allowed: row(400, INVALID, 'A request header is not allowed for this caller.', true),
  missing_token: row(401, AUTHENTICATION, 'Send a token as "Authorization: Bearer <token>".', true),
  invalid_token: row(401, AUTHENTICATION, 'The bearer token is not valid.', true),
  expired_token: row(401, AUTHENTICATION, 'The bearer token has expired.', true),
  invalid_certificate: row(401, AUTHENTICATION, 'The client certificate is not valid for a caller.', true),
  expired_certificate: row(401, AUTHENTICATION, 'The client certificate is out of its time.', true),
  not_yet_valid_token: row(401, AUTHENTICATION, 'The bearer token is not valid yet.', true),
  insufficient_scope: row(403, PERMISSION, 'The caller lacks the scope that this route needs.'),
  origin_not_allowed: row(403, PERMISSION, 'Requests from this web origin are not allowed.'),
  session_not_allowed: row(403, PERMISSION, 'This session does not belong to the caller.'),
  tool_not_allowed: row(403, PERMISSION, 'The caller may not invoke this tool.'),
  route_not_exposed: row(404, INVALID, 'This route is not exposed.'),
  method_not_allowed: row(405, INVALID, 'This method is not allowed on this route.'),
  request_timeout: row(408, INVALID, 'The request did not arrive in time.', true),
  body_too_large: row(413, INVALID, 'The request body is too large.', true),
  expectation_failed: row(417, INVALID, 'Only "Expect: 100-continue" is supported.', true),
  host_not_allowed: row(421, INVALID, 'This host name is not served here.', true),
  upgrade_required: row(426, INVALID, 'This route needs a WebSocket upgrade.'),
  rate_limited: row(429, RATE, 'Too many requests.'),
  quota_exceeded: row(429, RATE, 'The quota of this caller is used up.'),
  too_many_streams: row(429, RATE, 'Too many open streams.'),
  too_many_sockets: row(429, RATE, 'Too many open sockets.'),
  headers_too_large: row(431, INVALID, 'The request headers are too large.', true),
  internal_error: row(500, SERVER, 'Something went wrong in the proxy. Quote the request id to its operator.'),
  gateway_unreachable: row(
    502,
    GATEWAY,
    'The gateway cannot be reached. Its operator should see that it runs and that gateway.url is right.',
  ),
  gateway_bad_response: row(502, GATEWAY, 'The gateway sent a response that cannot be passed on.'),
  gateway_refused: row(502, GATEWAY, 'The gateway refused the proxy itself, not the caller.'),
  identity_unavailable: row(503, SERVER, 'The identity provider cannot be asked at the moment.'),
  limits_unavailable: row(503, SERVER, 'The store of the request limits cannot be reached at the moment.'),
  audit_unavailable: row(503, SERVER, 'The audit record cannot be written at the moment.'),
  shutting_down: row(503, SERVER, 'The proxy is shutting down.'),
  gateway_timeout: row(504, GATEWAY, 'The gateway did not answer in time.'),
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

/** A "no" of the gate or the proxy, as a value. */
export interface Refusal {
  readonly kind: 'refuse';
  readonly code: ErrorCode;
  /** Words for the caller that say more than the table's. Never holds a secret. */
  readonly message?: string;
  /** Words for the log alone. */
  readonly reason?: string;
  /** The scope that was missing (`insufficient_scope`), for `WWW-Authenticate`. */
  readonly scope?: string;
  /** The methods that the path has (`method_not_allowed`), for `Allow` (RFC 9110 section 15.5.6). */
  readonly allow?: readonly string[];
  /** Where the metadata of this resource is, for `WWW-Authenticate` (RFC 9728 section 5.1). */
  readonly resourceMetadata?: string;
  /** Seconds for `Retry-After` (RFC 9110 section 10.2.3); every 503 has one also without it. */
  readonly retryAfter?: number;
  /** Further response headers, names and values alternating. */
  readonly headers?: readonly string[];
}

/**
 * @param code row of the error table
 * @param more words and header facts that go beyond the table
 * @returns the refusal as a value
 */
export function refuse(code: ErrorCode, more: Omit<Refusal, 'kind' | 'code'> = {}): Refusal {
  return { kind: 'refuse', code, ...more };
}

/**
 * @param refusal what was decided
 * @returns words for the log: its own, or else those that the caller gets and that say more than its code
 */
export function reasonOf({ reason, message }: Pick<Refusal, 'reason' | 'message'>): string | undefined {
  // Names in them are the caller's choice; one that may be a token is none for the log.
  return reason ?? message?.replaceAll(/(?=[\w~+=-]*\d)[\w~+=-]{24,}/g, '****');
}

/**
 * @param refusal of a credential
 * @returns whether nothing but its time is wrong
 */
export function isExpired({ code }: Pick<Refusal, 'code'>): boolean {
  return code === 'expired_token' || code === 'expired_certificate';
}

/**
 * @param limit most bytes that the body may have
 * @returns the refusal of a body that has more, or says that it will
 */
export function refuseLargeBody(limit: number): Refusal {
  return refuse('body_too_large', { message: `The body may have at most ${limit} bytes.` });
}

/**
 * @param refusal what was decided
 * @returns the JSON text of the answer, in the shape that OpenAI SDKs parse
 */
export function errorBody(refusal: Refusal): string {
  const { type, message } = ERRORS[refusal.code];
  return JSON.stringify({
    error: { message: refusal.message ?? message, type, code: refusal.code, param: null },
  });
}

/**
 * @param refusal what was decided
 * @returns the value of `WWW-Authenticate`, or `undefined` where none is due. A missing credential gets
 *   no `error=` attribute (RFC 6750 section 3.1).
 */
export function challenge(refusal: Refusal): string | undefined {
  const scheme = challengeOf(refusal);
  const { resourceMetadata } = refusal;
  return scheme && resourceMetadata !== undefined ? `${scheme}, resource_metadata="${resourceMetadata}"` : scheme;
}

function challengeOf(refusal: Refusal): string | undefined {
  const bearer = 'Bearer realm="openclaw"';
  switch (refusal.code) {
    case 'missing_token':
    case 'invalid_certificate':
    case 'expired_certificate':
      return bearer;
    case 'invalid_token':
    case 'expired_token':
    case 'not_yet_valid_token':
      return `${bearer}, error="invalid_token", error_description="${ERRORS[refusal.code].message}"`;
    case 'insufficient_scope':
      return `${bearer}, error="insufficient_scope"${refusal.scope ? `, scope="${refusal.scope}"` : ''}`;
    default:
      return undefined;
  }
}
