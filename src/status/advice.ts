/** What the operator can do about each refusal. The reason beside it says what was wrong this time. */
import type { ErrorCode } from '../errors.ts';

export const ADVICE: Readonly<Record<ErrorCode, string>> = {
  bad_request: 'The client has to mend what the reason names; nothing here can allow it.',
  header_not_allowed: "The client leaves that header out, or the caller's allowHeaders gets it.",
  missing_token: 'The client has to send Authorization: Bearer <token>; a redirect or a proxy may take it away.',
  invalid_token:
    'Compare its id with auth-shim token list; explain --token - < FILE says what is wrong, also with a JWT.',
  expired_token: 'auth-shim token rotate NAME gives the caller a new one; for a token of an issuer, the client renews.',
  not_yet_valid_token: "Compare the clock of this machine with the issuer's, or wait until the token's first day.",
  invalid_certificate:
    'One credential must name one caller: look for the id of the certificate in callers[].certificates.',
  expired_certificate: 'Give the client a new certificate; if its dates are right, see the clock of this machine.',
  insufficient_scope:
    "Add the scope that the reason names to the caller's scopes, or to its provider's map and ceiling.",
  origin_not_allowed: 'Add the origin of the web page to listen.origins, if it is meant to call from browsers.',
  host_not_allowed: 'Add the name to listen.hosts, if it is a name of this shim.',
  session_not_allowed: "The client keeps to the caller's sessionPrefix or agent, or you widen them.",
  tool_not_allowed: "Add the tool to the caller's tools, if the caller is meant to have it.",
  upgrade_required: 'GET / is for WebSockets alone; for HTTP the base URL of the client lacks /v1.',
  route_not_exposed: 'Add the route to routes, if it is meant to be open; a WebSocket needs websocket of its caller.',
  method_not_allowed: 'The client has to use a method of this route: the Allow header of the answer lists them.',
  request_timeout: 'The client or its network was too slow, or its policy was changed meanwhile: it sends it again.',
  body_too_large: "Raise limits.body, that of the route or the caller's, if such bodies are meant to come.",
  expectation_failed: 'The client must not send Expect with another value than 100-continue.',
  headers_too_large: 'Raise limits.headerBytes, or see which cookie or token has grown.',
  rate_limited:
    "Raise requestsPerMinute in the caller's limits; where it says failed logins, find who sends wrong tokens.",
  quota_exceeded: "Raise requestsPerDay in the caller's limits, or let it wait until its 24 hours are over.",
  too_many_streams: "Raise streams in the caller's limits, or see why its client leaves requests open.",
  too_many_sockets: "Raise sockets in the caller's limits, or see why its client leaves WebSockets open.",
  gateway_unreachable: 'Start the gateway, or set gateway.url to where it listens: auth-shim doctor says which.',
  gateway_refused: 'The gateway refuses this shim, not the caller: auth-shim doctor says why, and the lines to write.',
  gateway_bad_response: 'See the log of the gateway at this time: it broke off. The run may have begun.',
  gateway_timeout:
    'The gateway was silent for longer than stream.gatewayIdle: raise it, or see the log of the gateway.',
  identity_unavailable: 'See the identity providers on this page, and whether this machine reaches them.',
  limits_unavailable:
    'Start the store of the limits again, or let each shim count alone meanwhile: limits.onStoreFailure: local.',
  audit_unavailable: 'Make room for the audit, or make its file writable: audit.required keeps callers out until then.',
  shutting_down: 'Nothing, where it was a planned stop; a longer drain.timeout lets more runs finish.',
  internal_error: 'A fault of the shim: report it with the line "unexpected error" of this request id in the log.',
};
