/** Failed logins: how many came from one network, or with one token, within a minute. */
import { isIP, SocketAddress } from 'node:net';

const MOST_FAILURES = 10;
const WINDOW_MS = 60_000;
/** Each of three tables holds so many; what is beyond shares one count. 4 MB when all are full. */
const MOST_KEYS = 10_000;
/** Looking for room takes longer than counting: while there is none, it is done this often. */
const SWEEP_MS = 1_000;

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
  const peers = createCounts(now);
  const tokens = createCounts(now);
  const silent = createCounts(now);
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

interface Count {
  failures: number;
  /** On the clock of `now`. */
  ends: number;
}

/**
 * The library's counters in memory have a timer for each key and no bound, and keys here are chosen by attackers.
 *
 * @returns `add` counts a failure of a key: milliseconds until its window ends when it has too many, else 0; `full`:
 *   whether it would have
 */
function createCounts(now: () => number): {
  readonly add: (key: string) => number;
  readonly full: (key: string) => boolean;
} {
  /** In the order in which their windows end. */
  const counts = new Map<string, Count>();
  const overflow: Count = { failures: 0, ends: 0 };
  let sweepAt = -Infinity;

  const find = (key: string, at: number): Count => {
    const known = counts.get(key);
    if (known !== undefined && known.ends > at) return known;
    counts.delete(key);
    if (counts.size >= MOST_KEYS && at >= sweepAt) dropEnded(at);
    if (counts.size >= MOST_KEYS) {
      if (overflow.ends <= at) Object.assign(overflow, { failures: 0, ends: at + WINDOW_MS });
      return overflow;
    }
    const fresh = { failures: 0, ends: at + WINDOW_MS };
    counts.set(key, fresh);
    return fresh;
  };
  const dropEnded = (at: number): void => {
    sweepAt = at + SWEEP_MS;
    for (const [key, { ends }] of counts) {
      if (ends > at) return;
      counts.delete(key);
    }
  };

  return {
    add(key) {
      const at = now();
      const count = find(key, at);
      count.failures++;
      return count.failures > MOST_FAILURES ? count.ends - at : 0;
    },
    full(key) {
      const count = counts.get(key) ?? (counts.size >= MOST_KEYS ? overflow : undefined);
      return count !== undefined && count.ends > now() && count.failures >= MOST_FAILURES;
    },
  };
}

/**
 * One client has a whole /64 of IPv6 addresses (RFC 4291 section 2.5.4, RFC 6177), so that is what is counted.
 *
 * @param address an IP address in any spelling
 * @returns the IPv4 address, also of an IPv4-mapped one, or the first 64 bits of an IPv6 address
 */
function networkOf(address: string): string {
  const version = isIP(address);
  if (version === 0) return address;
  // It writes every address in one way, and as a text of its own: a part of a header would keep all of it in memory.
  const { address: plain } = new SocketAddress({ address, family: version === 4 ? 'ipv4' : 'ipv6' });
  const mapped = /^::ffff:([\d.]+)$/.exec(plain)?.[1];
  if (version === 4 || mapped !== undefined) return mapped ?? plain;
  const [head, tail] = plain.split('::').map((part) => (part === '' ? [] : part.split(':'))) as [string[], string[]?];
  const zeros = tail === undefined ? [] : Array<string>(8 - head.length - tail.length).fill('0');
  return [...head, ...zeros, ...(tail ?? [])].slice(0, 4).join(':');
}
