/** What was let through, judged again: by the same tables, with what is known by now. */
import { actFor } from './callers/on-behalf.ts';
import type { CallerTable, Unauthenticated } from './callers/table.ts';
import type { Config } from './config/config.ts';
import type { About } from './decision.ts';
import { isExpired, refuse, type Refusal } from './errors.ts';
import { keepsPolicy, keepsRoute, reportsOnly } from './policy/authorize.ts';
import { elsewhere, mayComeFrom } from './policy/from.ts';
import { keepsSocket } from './policy/sockets.ts';
import type { Token } from './types.ts';

/**
 * Whether a request that was let through still would be: its token may have been revoked or have expired since, its
 * caller may be gone or have lost the scope. What is not yet sent is not sent with a policy that has changed, nor
 * while a required audit cannot be written.
 *
 * @param about what a gate, this one or an earlier one, learnt of the request
 * @param starting whether it is only now to be sent, so that an expired token is never one to go on with
 * @returns why not, or `undefined`
 */
export type Recheck = (about: About, starting: boolean) => Refusal | undefined;

interface RecheckParts {
  readonly config: Pick<Config, 'stream'>;
  readonly callers: Pick<CallerTable, 'find'>;
  readonly unaudited: () => boolean;
  readonly now: () => number;
}

/** An issuer renews its tokens while a WebSocket of theirs stays open: time for its caller to open another. */
const SOCKET_GRACE_MS = 30_000;

const CHANGED = {
  message: 'What this caller is allowed has changed before the request had arrived. Send it again.',
  reason: 'the policy of the caller has changed',
} as const;

/**
 * @param parts of the gate
 * @returns the function that judges again
 */
export function createRecheck({ config: { stream }, callers, unaudited, now }: RecheckParts): Recheck {
  return (about, starting) => {
    const { caller: name, token, assertion, certificate, onBehalf, policy, route, peer, tools, socket } = about;
    if (name === undefined || route === undefined) return undefined;
    const ended = ({ tokenId }: Unauthenticated): Token | undefined =>
      [token, assertion].find((one) => one?.id === tokenId);
    const credential = callers.find({ token, assertion, certificate }, now());
    if (credential.kind === 'refuse') {
      // Nobody can tell whether it still holds: what runs may have been paid for, what starts must not.
      const unknown = credential.code === 'identity_unavailable';
      if (starting || !(unknown || (isExpired(credential) && outlives(ended(credential), socket !== undefined))))
        return credential;
      // Nor whom it names, where nothing was ever heard of its provider.
      if (unknown && credential.caller === undefined) return undefined;
    }
    const { caller: owner } = credential;
    if (owner === undefined) return credential as Refusal;
    const caller = onBehalf && owner.onBehalf ? actFor(owner, onBehalf) : owner;
    if (caller.name !== name) return refuse('invalid_token', { reason: `the credential is ${caller.name}'s now` });
    if (!mayComeFrom(caller, peer)) return refuse('invalid_token', { reason: elsewhere(caller, peer) });
    const keeps =
      'websocket' in route
        ? socket !== undefined && keepsSocket(caller, socket)
        : keepsRoute(caller, route, tools) || (about.wouldRefuse && reportsOnly(caller, route, now()));
    if (!keeps) {
      const reason = `${name} may not use this route any more`;
      return refuse('insufficient_scope', { reason, ...('scope' in route && { scope: route.scope }) });
    }
    if (!starting) return undefined;
    // Its headers are built: they would tell the gateway what the caller was allowed before. A WebSocket has its grant.
    if (!('websocket' in route) && policy !== undefined && !keepsPolicy(policy, caller))
      return refuse('request_timeout', CHANGED);
    // The audit may have failed since it was let through.
    return unaudited() ? refuse('audit_unavailable') : undefined;
  };

  /** Whether what runs may go on though the time of this is over; `undefined` is a certificate. */
  function outlives(token: Token | undefined, socket: boolean): boolean {
    if (stream.endAtExpiry === false) return true;
    if (token === undefined || !('claims' in token)) return false;
    // Tokens of pipelines live for minutes, the runs that they began for longer.
    return socket ? now() < (token.expires ?? 0) + SOCKET_GRACE_MS : stream.endAtExpiry === undefined;
  }
}
