/** Which of the gateway's own refusals are about the shim, not the caller. Pure. */
import type { GatewayAuth } from '../config/config.ts';
import { ERRORS, refuse, type ErrorCode, type Refusal } from '../errors.ts';
import { hasScope, isScope } from '../scopes.ts';
import type { Scope } from '../types.ts';

/** Ids of the findings that an operator looks up; stable. */
export type Finding =
  | 'gateway_secret_refused'
  | 'proxy_attribution_required'
  | 'trusted_proxy_refused'
  | 'device_refused'
  | 'scope_not_honoured'
  | 'endpoint_not_enabled'
  | 'certificate_refused'
  | 'shim_refused'
  | 'shim_ceiling';

const SOCKET = '/';
/** Of the other shim's words for what this one sends, where its entry for this one lacks the key. */
const WITHOUT_ON_BEHALF = 'it has no onBehalf.';

const ADVICE: Record<Finding, string> = {
  gateway_secret_refused:
    'The gateway refused the secret of the proxy. Its operator should make gateway.auth (mode and secret) agree with the gateway.',
  proxy_attribution_required:
    'The gateway wants client attribution. Its operator should set gateway.trustedProxies in openclaw.json, or use the token hop.',
  trusted_proxy_refused:
    'The gateway does not trust the proxy. Its operator should check auth.mode, trustedProxies, auth.trustedProxy.userHeader, .requiredHeaders and .allowLoopback under gateway in openclaw.json.',
  device_refused:
    "The gateway refused the proxy's device identity. Its operator should see that both clocks agree, or forget the device (auth-shim device forget) for a new one.",
  scope_not_honoured:
    'The gateway did not honour the scope that the proxy sent. In this hop its release may not allow this route to any HTTP caller.',
  endpoint_not_enabled:
    'The gateway does not serve this endpoint. Its operator should enable it under gateway.http.endpoints in openclaw.json.',
  certificate_refused:
    'The gateway does not take the client certificate of the proxy. Its operator should see that gateway.tls.cert is valid, and that its authority is trusted there (in listen.tls.clientCa of a proxy beside the gateway).',
  shim_refused:
    'The proxy beside the gateway refused this proxy. Its operator should see that callers[].certificates there has the certificate of this one, with onBehalf: true, and listen.hosts the name that it is called by.',
  shim_ceiling:
    'The proxy beside the gateway lets this proxy do less than it lets its callers do. Its operator should compare the scopes of the two configurations.',
};

/** How the gateway is reached, as far as its refusals depend on it. */
export interface Hop {
  readonly mode: GatewayAuth['mode'];
  /** Folded names of configured identity headers, which the gateway may quote and the log must not. */
  readonly secretNames: ReadonlySet<string>;
  /** Values that the gateway is sent and nobody else may see. */
  readonly secrets: readonly string[];
}

/** The gateway's answer to one request. */
export interface GatewayAnswer {
  readonly status: number;
  /** As far as it was read. */
  readonly body: string;
  /** Template of the route. */
  readonly template: string;
  /** The scopes that were sent with the request. */
  readonly sent: readonly Scope[];
}

/**
 * @param status of the gateway's answer
 * @param contentType its media type
 * @returns whether its body has to be read before it is known whom it is about. The control UI answers unknown
 *   `GET`s with a page and 200, up to 2026.3.28 below `/v1/` too.
 */
export function mayBlameShim(status: number, contentType: string | undefined): boolean {
  if (status === 400 || status === 401 || status === 403 || status === 421) return true;
  const type = contentType?.toLowerCase().split(';', 1)[0];
  return (status === 404 && type === 'text/plain') || (status === 200 && type === 'text/html');
}

/**
 * A caller must never be told that their token is wrong when it is ours.
 *
 * @param hop how the gateway is reached
 * @param answer what it said
 * @returns 502 `gateway_refused` with what the operator must change, or `undefined` where the answer is the caller's
 */
export function blameShim(hop: Hop, answer: GatewayAnswer): Refusal | undefined {
  const finding = findingOf(hop, answer);
  if (!finding) return undefined;
  let quoted = answer.body;
  for (const secret of hop.secrets) quoted = quoted.replaceAll(secret, '****');
  for (const name of hop.secretNames) {
    quoted = quoted.replaceAll(new RegExp(name.replaceAll('-', '[^a-z0-9]'), 'gi'), '****');
  }
  return refuseFor(finding, `the gateway answered ${answer.status} ${quoted.slice(0, 500)}`);
}

/**
 * @param finding what the operator must change
 * @param words for the log alone
 * @returns 502 `gateway_refused`
 */
export function refuseFor(finding: Finding, words: string): Refusal {
  return refuse('gateway_refused', {
    message: `${ADVICE[finding]} (finding: ${finding})`,
    reason: `${finding}: ${words}`,
  });
}

/**
 * The words are those of the releases from 2026.3.28 to 2026.9.6.
 *
 * @param hop how the gateway is reached
 * @param answer what it said
 * @returns what the operator must change, or `undefined` where the answer is the caller's
 */
export function findingOf(hop: Pick<Hop, 'mode'>, answer: GatewayAnswer): Finding | undefined {
  const { mode } = hop;
  const { status, body, template, sent } = answer;
  if (mode === 'shim') return findingOfShim(answer);
  if (status === 200 || status === 404) {
    const absent = status === 200 ? /^\s*<!doctype html/i.test(body) : body.trim() === 'Not Found';
    return absent && template.startsWith('/v1/') ? 'endpoint_not_enabled' : undefined;
  }
  if (status === 400) return undefined;
  if (body.includes('proxy_attribution_required')) return 'proxy_attribution_required';
  if (body.startsWith('DEVICE_')) return 'device_refused';
  // A missing or wrong identity header is the same plain 401 as a wrong secret.
  if (body.includes('trusted_proxy_') || (status === 401 && mode === 'trusted-proxy')) return 'trusted_proxy_refused';
  if (status === 401) return 'gateway_secret_refused';
  if (body.includes('Session kills require')) return 'scope_not_honoured';
  const missing = missingScope(body);
  return missing !== undefined && isScope(missing) && hasScope(sent, missing) ? 'scope_not_honoured' : undefined;
}

/**
 * @param body of an answer of another shim
 * @returns what it refuses a caller, which passes as it is
 */
export function refusalOfShim(body: string): Refusal | undefined {
  const { code, message } = errorIn(body);
  return isCode(code) && typeof message === 'string' ? refuse(code, { message }) : undefined;
}

/**
 * How another shim ends what it had let through. This shim looks after its own callers: what the other refuses then, a
 * credential or a scope, is this shim's.
 *
 * @param hop how the gateway is reached
 * @param body of the error event that ends a stream
 * @returns 502 `gateway_refused` with what the operator must change, or `undefined` where its words are for the caller
 */
export function blameEvent(hop: Hop, body: string): Refusal | undefined {
  return blameEnd(hop, errorIn(body).code);
}

/**
 * The same for a WebSocket.
 *
 * @param hop how the gateway is reached
 * @param reason of the close frame: a code, a colon, words
 * @returns 502 `gateway_refused`, or `undefined` where its words are for the caller
 */
export function blameClose(hop: Hop, reason: string): Refusal | undefined {
  return blameEnd(hop, reason.split(':', 1)[0]);
}

function blameEnd({ mode }: Hop, code: unknown): Refusal | undefined {
  if (mode !== 'shim' || !isCode(code)) return undefined;
  const ceiling = code === 'insufficient_scope' ? 'shim_ceiling' : undefined;
  const finding = ERRORS[code].status === 401 ? 'shim_refused' : ceiling;
  return finding && refuseFor(finding, `the proxy beside the gateway ended it: ${code}`);
}

function isCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(ERRORS, code);
}

function errorIn(body: string): { readonly code?: unknown; readonly message?: unknown } {
  try {
    return (JSON.parse(body) as { error?: object } | null)?.error ?? {};
  } catch {
    return {};
  }
}

/** Of its 403, those that name a scope which this shim had sent along; all others are about the caller. */
function findingOfShim({ status, body, template, sent }: GatewayAnswer): Finding | undefined {
  if (status === 401 || status === 421 || (status === 400 && body.includes(WITHOUT_ON_BEHALF))) return 'shim_refused';
  // A WebSocket asks for scopes that its caller has: what is refused there is refused to this shim.
  if (template === SOCKET) return status === 403 ? 'shim_ceiling' : undefined;
  const needed = /"message":"This route needs the scope ([a-z.]+);/.exec(body)?.[1] ?? missingScope(body);
  return needed !== undefined && isScope(needed) && hasScope(sent, needed) ? 'shim_ceiling' : undefined;
}

function missingScope(body: string): string | undefined {
  return /missing scope: ([a-z.]+)/.exec(body)?.[1];
}
