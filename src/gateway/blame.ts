/** Which of the gateway's own refusals are about the shim, not the caller. Pure. */
import { refuse, type Refusal } from '../errors.ts';
import { hasScope, isScope } from '../scopes.ts';
import type { Scope } from '../types.ts';

/** Ids of the findings that an operator looks up; stable. */
export type Finding =
  'gateway_secret_refused' | 'proxy_attribution_required' | 'trusted_proxy_refused' | 'scope_not_honoured';

const ADVICE: Record<Finding, string> = {
  gateway_secret_refused:
    'The gateway refused the secret of the proxy. Its operator should make gateway.auth (mode and secret) agree with the gateway.',
  proxy_attribution_required:
    'The gateway wants client attribution. Its operator should set gateway.trustedProxies in openclaw.json, or use the token hop.',
  trusted_proxy_refused:
    'The gateway does not trust the proxy. Its operator should check gateway.trustedProxies, auth.trustedProxy.allowLoopback and the required headers in openclaw.json.',
  scope_not_honoured:
    'The gateway did not honour the scope that the proxy sent. In the token hop this release may not allow this route to any HTTP caller.',
};

/** Statuses whose body has to be read before it is known whom the refusal is about. */
export function mayBlameShim(status: number): boolean {
  return status === 401 || status === 403;
}

/**
 * A caller must never be told that their token is wrong when it is ours.
 *
 * @param status status of the gateway's answer
 * @param body its body, as far as it was read
 * @param sent the scopes that the gateway was sent for this caller
 * @param secretNames names of configured identity headers, which the gateway may quote and the log must not
 * @returns 502 `gateway_refused` with what the operator must change, or `undefined` where the answer is the caller's
 */
export function blameShim(
  status: number,
  body: string,
  sent: readonly Scope[],
  secretNames: ReadonlySet<string>,
): Refusal | undefined {
  const finding = findingOf(status, body, sent);
  if (!finding) return undefined;
  let quoted = body.slice(0, 500);
  for (const name of secretNames)
    quoted = quoted.replaceAll(new RegExp(name.replaceAll('-', '[^a-z0-9]'), 'gi'), '****');
  return refuse('gateway_refused', {
    message: `${ADVICE[finding]} (finding: ${finding})`,
    reason: `${finding}: the gateway answered ${status} ${quoted}`,
  });
}

function findingOf(status: number, body: string, sent: readonly Scope[]): Finding | undefined {
  if (/proxy_attribution_required/.test(body)) return 'proxy_attribution_required';
  if (/trusted_proxy_|trusted-proxy/.test(body)) return 'trusted_proxy_refused';
  if (status === 401) return 'gateway_secret_refused';
  const missing = /missing scope: ([a-z.]+)/.exec(body)?.[1];
  if (missing !== undefined && isScope(missing) && hasScope(sent, missing)) return 'scope_not_honoured';
  return undefined;
}
