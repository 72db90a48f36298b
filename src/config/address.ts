/** Addresses, by what they mean and not by how they are spelled. */
import { BlockList, isIP } from 'node:net';

/** A BlockList also sees an IPv4 rule in its IPv4-mapped IPv6 spellings. */
const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

const WILDCARD = new BlockList();
WILDCARD.addAddress('0.0.0.0', 'ipv4');
WILDCARD.addAddress('::', 'ipv6');

/**
 * @param address an IP address, in any spelling
 * @returns whether it is 127.0.0.0/8, `::1` or `::ffff:127.*`. A name is never loopback: it can change.
 */
export function isLoopback(address: string): boolean {
  return contains(LOOPBACK, address);
}

/**
 * @param address an IP address, in any spelling
 * @returns whether it stands for every address of the machine (`0.0.0.0`, `::`, `::ffff:0.0.0.0`)
 */
export function isWildcard(address: string): boolean {
  return contains(WILDCARD, address);
}

function contains(list: BlockList, address: string): boolean {
  const version = isIP(address);
  return version !== 0 && list.check(address, version === 4 ? 'ipv4' : 'ipv6');
}
