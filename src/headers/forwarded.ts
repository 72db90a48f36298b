/** Whose address it is, where proxies before the shim are trusted. Pure. */
import { isIP, type BlockList } from 'node:net';
import { isWildcard } from '../config/address.ts';

/**
 * The right-most address of `X-Forwarded-For` that is not a trusted proxy's own. It is read only where the peer
 * itself is trusted; everything left of it is what somebody claimed.
 *
 * @param peer address of the TCP peer; `undefined` for a unix socket
 * @param forwardedFor all `X-Forwarded-For` lines joined by commas
 * @param trusted the trusted proxies; `undefined`: none
 * @returns the address (IPv4-mapped IPv6 as IPv4), `undefined` for a unix socket, or `malformed`
 */
export function clientPeer(
  peer: string | undefined,
  forwardedFor: string | undefined,
  trusted: BlockList | undefined,
): string | undefined {
  const direct = peer === undefined ? undefined : unmapped(peer);
  if (direct === undefined || forwardedFor === undefined || !trusted || !isTrusted(direct, trusted)) return direct;
  const hops = forwardedFor.split(',');
  for (let i = hops.length - 1; i >= 0; i--) {
    const address = unmapped(withoutPort((hops[i] as string).trim()));
    if (isIP(address) === 0 || isWildcard(address)) return 'malformed';
    if (!isTrusted(address, trusted)) return address;
  }
  return direct;
}

function isTrusted(address: string, trusted: BlockList): boolean {
  return trusted.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}

/** `192.0.2.1:1234` and `[2001:db8::1]:1234` are written by some proxies. */
function withoutPort(hop: string): string {
  return /^\[([^\]]+)\](?::\d+)?$/.exec(hop)?.[1] ?? /^([\d.]+):\d+$/.exec(hop)?.[1] ?? hop;
}

/** Without the zone of a link-local address too: it means something on one machine alone (RFC 4007 section 6). */
function unmapped(address: string): string {
  return /^::ffff:([\d.]+)$/i.exec(address)?.[1] ?? address.replace(/^([^%]+)%[\w.:-]+$/, '$1');
}
