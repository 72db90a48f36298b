/** Counts in windows of a minute, of keys that attackers can choose: in bounded memory. */
import { isIP, SocketAddress } from 'node:net';

const WINDOW_MS = 60_000;
/** What is beyond shares one count. 1.25 MB when it is full. */
const MOST_KEYS = 10_000;
/** Looking for room takes longer than counting: while there is none, it is done this often. */
const SWEEP_MS = 1_000;

interface Count {
  sum: number;
  /** On the clock of `now`. */
  ends: number;
}

/** The window of a key begins when it is first counted, and lasts a minute. */
export interface Counts {
  /**
   * @param key what is counted
   * @param by how much is added; 1 by default
   * @returns milliseconds until its window ends when the sum is above the limit, else 0
   */
  readonly add: (key: string, by?: number) => number;
  /** @returns whether the limit is reached; nothing is counted */
  readonly full: (key: string) => boolean;
}

/**
 * The library's counters in memory have a timer for each key and no bound.
 *
 * @param most the limit of a window
 * @param now milliseconds, from any zero, never going back
 * @returns counts, none yet
 */
export function createCounts(most: number, now: () => number): Counts {
  /** In the order in which their windows end. */
  const counts = new Map<string, Count>();
  const overflow: Count = { sum: 0, ends: 0 };
  let sweepAt = -Infinity;

  const find = (key: string, at: number): Count => {
    const known = counts.get(key);
    if (known !== undefined && known.ends > at) return known;
    counts.delete(key);
    if (counts.size >= MOST_KEYS && at >= sweepAt) dropEnded(at);
    if (counts.size >= MOST_KEYS) {
      if (overflow.ends <= at) Object.assign(overflow, { sum: 0, ends: at + WINDOW_MS });
      return overflow;
    }
    const fresh = { sum: 0, ends: at + WINDOW_MS };
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
    add(key, by = 1) {
      const at = now();
      const count = find(key, at);
      count.sum += by;
      return count.sum > most ? count.ends - at : 0;
    },
    full(key) {
      const count = counts.get(key) ?? (counts.size >= MOST_KEYS ? overflow : undefined);
      return count !== undefined && count.ends > now() && count.sum >= most;
    },
  };
}

/**
 * One client has a whole /64 of IPv6 addresses (RFC 4291 section 2.5.4, RFC 6177), so that is what is counted.
 *
 * @param address an IP address in any spelling
 * @returns the IPv4 address, also of an IPv4-mapped one, or the first 64 bits of an IPv6 address
 */
export function networkOf(address: string): string {
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
