/** TLS handshakes that came to nothing and cost much: how many bytes of them came from one network within a minute. */
import { createCounts, networkOf } from './counts.ts';

/**
 * What a client's own flight is made of: a hello, a certificate and an intermediate. OpenSSL verifies all signatures of
 * a chain of 100 KB before Node can say no, which can take half a second; what is as long as this takes 20 ms at most.
 */
const ORDINARY_BYTES = 4_096;
/** Beyond the ordinary, in a minute: two chains of that kind, or 30 refused ones of three RSA keys of 4,096 bits. */
const MOST_BYTES = 131_072;

/** `peer` is the address of the client; `undefined` for a unix socket, which is not counted. */
export interface HandshakeCosts {
  /**
   * Counts a handshake that came to nothing.
   *
   * @param bytes that the client sent in it
   * @returns whole seconds for which no connection of its network is to be taken, or `undefined` while it costs little
   */
  readonly failed: (peer: string | undefined, bytes: number) => number | undefined;
  /** @returns whether connections of the network of this peer are not to be taken now */
  readonly shut: (peer: string | undefined) => boolean;
}

/**
 * @param now milliseconds, from any zero, never going back
 * @returns the costs, in this process alone and in bounded memory
 */
export function createHandshakeCosts(now: () => number = () => performance.now()): HandshakeCosts {
  const bytes = createCounts(MOST_BYTES, now);
  let counted = false;
  return {
    failed(peer, sent) {
      const beyond = sent - ORDINARY_BYTES;
      if (peer === undefined || beyond <= 0) return undefined;
      counted = true;
      const wait = bytes.add(networkOf(peer), beyond);
      return wait > 0 ? Math.ceil(wait / 1000) : undefined;
    },
    // Nearly always nobody was counted: then no address is looked at.
    shut: (peer) => counted && peer !== undefined && bytes.full(networkOf(peer)),
  };
}
