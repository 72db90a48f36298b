/** Failed logins: how many came from one network, or with one token, within a minute. */
import { createCounts, networkOf } from './counts.ts';

const MOST_FAILURES = 10;

/** `peer` is the address of the client; `undefined` for a unix socket, which is not counted. */
export interface FailedLogins {
  /**
   * Counts a failed login. It must only ever change the answer to a credential that is wrong: an address can be shared,
   * and somebody with the right token must not be shut out by others.
   *
   * @param tokenId first 12 hex digits of the hash of the token that was sent; `undefined` without one
   * @returns whole seconds for which failed logins are to be answered 429, or `undefined` while there are few
   */
  readonly count: (peer: string | undefined, tokenId: string | undefined) => number | undefined;
  /** Counts a token of a peer about which somebody was asked and did not answer: nobody can tell whether it failed. */
  readonly unanswered: (peer: string | undefined) => void;
  /**
   * @returns `failed` where one more failed login of this peer would be answered 429, `unanswered` where as many had no
   *   answer; nothing is counted
   */
  readonly tooMany: (peer: string | undefined) => 'failed' | 'unanswered' | undefined;
}

/**
 * @param now milliseconds, from any zero, never going back
 * @returns the count, in this process alone and in bounded memory
 */
export function createFailedLogins(now: () => number = () => performance.now()): FailedLogins {
  const peers = createCounts(MOST_FAILURES, now);
  const tokens = createCounts(MOST_FAILURES, now);
  const silent = createCounts(MOST_FAILURES, now);
  return {
    count(peer, tokenId) {
      const wait = Math.max(
        peer === undefined ? 0 : peers.add(networkOf(peer)),
        tokenId === undefined ? 0 : tokens.add(tokenId),
      );
      return wait > 0 ? Math.ceil(wait / 1000) : undefined;
    },
    unanswered(peer) {
      if (peer !== undefined) silent.add(networkOf(peer));
    },
    tooMany(peer) {
      if (peer === undefined) return undefined;
      const network = networkOf(peer);
      return peers.full(network) ? 'failed' : silent.full(network) ? 'unanswered' : undefined;
    },
  };
}
