/** What to do about each refusal, in the words of the README's table. */
import type { ErrorCode } from '../errors.ts';

const EXPIRED_TOKEN = 'auth-shim token rotate NAME, or look at the dates and the clock.';
const INVALID_CERTIFICATE =
  'The client certificate names two callers, or another one than the token, or is out of its time: see client certificates; the log has its id.';
const ORIGIN_NOT_ALLOWED = 'Add it to listen.origins, listen.hosts.';
const SESSION_NOT_ALLOWED = 'The message says what the caller is bound to: its sessionPrefix, agent or tools.';
const ROUTE_NOT_EXPOSED = 'Add the route to routes if it is meant to be open.';
const REQUEST_TIMEOUT =
  "A limit of the listener or the route. 408 also where the caller's policy changed while the body came: send it again.";
const RATE_LIMITED =
  'Come back after Retry-After; the message has the limit, callers[].limits sets it. rate_limited also answers wrong tokens after ten of them in a minute.';
const GATEWAY_BAD_RESPONSE = 'The gateway broke off, or was silent for longer than stream.gatewayIdle.';
const SHUTTING_DOWN = 'Try again; quote the request id.';

export const ADVICE: Readonly<Record<ErrorCode, string>> = {
  bad_request: 'The message names what is ambiguous or malformed.',
  header_not_allowed: 'Do not send that header, or add it to allowHeaders.',
  missing_token: 'Send Authorization: Bearer <token>.',
  invalid_token:
    'The log says whether it is unknown, malformed, mistyped (its checksum fails), or used from an address that is not in from.',
  expired_token: EXPIRED_TOKEN,
  not_yet_valid_token: EXPIRED_TOKEN,
  invalid_certificate: INVALID_CERTIFICATE,
  expired_certificate: INVALID_CERTIFICATE,
  insufficient_scope:
    "The message names the scope that is missing and the ones there are: add it to the caller's scopes if it is meant to have it.",
  origin_not_allowed: ORIGIN_NOT_ALLOWED,
  host_not_allowed: ORIGIN_NOT_ALLOWED,
  session_not_allowed: SESSION_NOT_ALLOWED,
  tool_not_allowed: SESSION_NOT_ALLOWED,
  upgrade_required: 'GET / is for WebSockets, of version 13.',
  route_not_exposed: ROUTE_NOT_EXPOSED,
  method_not_allowed: ROUTE_NOT_EXPOSED,
  request_timeout: REQUEST_TIMEOUT,
  body_too_large: REQUEST_TIMEOUT,
  expectation_failed: REQUEST_TIMEOUT,
  headers_too_large: REQUEST_TIMEOUT,
  rate_limited: RATE_LIMITED,
  quota_exceeded: RATE_LIMITED,
  too_many_streams: RATE_LIMITED,
  too_many_sockets: RATE_LIMITED,
  gateway_unreachable:
    'The gateway is down, gateway.url is wrong, or its certificate is not the one that gateway.tls asks for: the log says which.',
  gateway_refused:
    'The gateway, or the next shim, refused the shim: its message says what the operator must change, and auth-shim doctor the lines to write. The original is in the log.',
  gateway_bad_response: GATEWAY_BAD_RESPONSE,
  gateway_timeout: GATEWAY_BAD_RESPONSE,
  limits_unavailable: 'The store of the limits is down, and limits.onStoreFailure is refuse.',
  audit_unavailable: 'The audit cannot be written, and audit.required is true: make room, or see the log.',
  shutting_down: SHUTTING_DOWN,
  internal_error: SHUTTING_DOWN,
  identity_unavailable: "The keys of the token's issuer cannot be fetched: the log says why.",
};
