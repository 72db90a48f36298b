/** What was let through, looked at again. */
import type { About, Decision } from '../decision.ts';
import { isExpired, type Refusal } from '../errors.ts';
import type { EndReason } from '../observe/log.ts';

/**
 * What was let through may have lost its credential while a store was asked.
 *
 * @param decision of a gate
 * @param recheck why it would not be let through any more, or `undefined`
 * @returns the decision, or the refusal in its place; the caller's room is given back then
 */
export function stillHolds(decision: Decision, recheck: (about: About) => Refusal | undefined): Decision {
  if (decision.kind !== 'forward' && decision.kind !== 'upgrade') return decision;
  const { about } = decision;
  const refusal = recheck(about);
  if (!refusal) return decision;
  decision.release();
  return { ...refusal, about };
}

/**
 * @param refusal of a recheck
 * @returns why what was let through ends
 */
export function endOf(refusal: Refusal): EndReason {
  return isExpired(refusal) ? 'expired' : 'revoked';
}
