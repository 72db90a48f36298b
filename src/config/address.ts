/** Addresses, by what they mean and not by how they are spelled. */
import type { lookup as dnsLookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import type { Path, Report } from './report.ts';

/** A BlockList also sees an IPv4 rule in its IPv4-mapped IPv6 spellings. */
const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

const WILDCARD = new BlockList();
WILDCARD.addAddress('0.0.0.0', 'ipv4');
WILDCARD.addAddress('::', 'ipv6');
const HOST_NAME = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/i;

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

/**
 * @param host an address or a name
 * @returns whether only this machine can reach it
 */
export function isLoopbackHost(host: string): boolean {
  return host.toLowerCase() === 'localhost' || isLoopback(host);
}

/**
 * @param host an address without brackets, or a name
 * @returns whether it is one of both
 */
export function isHost(host: string): boolean {
  // A name whose last label is a number is a mistyped address (WHATWG URL, "ends in a number").
  return isIP(host) !== 0 || (HOST_NAME.test(host) && !/(^|\.)\d+$/.test(host));
}

/**
 * @param list addresses and ranges
 * @param address an IP address, in any spelling
 * @returns whether it is one of them
 */
export function contains(list: BlockList, address: string): boolean {
  let verdicts = known.get(list);
  if (!verdicts) known.set(list, (verdicts = new Map()));
  const before = verdicts.get(address);
  if (before !== undefined) return before;
  const version = isIP(address);
  const verdict = version !== 0 && list.check(address, version === 4 ? 'ipv4' : 'ipv6');
  if (verdicts.size < MOST_KNOWN) verdicts.set(address, verdict);
  return verdict;
}

/** A check costs as much as a hash, and addresses come again with every request. A list is never changed once it is used. */
const known = new WeakMap<BlockList, Map<string, boolean>>();
const MOST_KNOWN = 1_000;

/**
 * @param ranges addresses and ranges as they are written; a hole was reported already
 * @param path where the list stands
 * @param everybody what is wrong with a range that holds every address
 * @param report gets what is wrong
 * @returns the ranges as one list
 */
export function buildRanges(
  ranges: readonly (string | undefined)[],
  path: Path,
  everybody: string,
  report: Report,
): BlockList {
  const list = new BlockList();
  for (const [index, range] of ranges.entries()) {
    if (range === undefined) continue;
    const at: Path = [...path, index];
    const [, address = '', prefix] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(range) ?? [];
    const version = isIP(address);
    const family = version === 4 ? 'ipv4' : 'ipv6';
    if (version === 0 || address.includes('%') || Number(prefix ?? 0) > (version === 4 ? 32 : 128)) {
      report.error(at, 'expected an address or a range such as 10.0.0.0/8');
    } else if (/^::ffff:/i.test(address)) {
      report.error(at, 'write an IPv4 range as IPv4: it covers the IPv4-mapped form as well');
    } else if (prefix !== undefined && Number(prefix) === 0) {
      report.error(at, `this range is everybody: ${everybody}`);
    } else if (prefix === undefined) {
      list.addAddress(address, family);
    } else {
      list.addSubnet(address, Number(prefix), family);
    }
  }
  return list;
}

/**
 * Plaintext does not leave the machine, whatever a name resolves to by now.
 *
 * @param lookup resolves names
 * @param beyond the error for a name that has an address elsewhere, or none
 * @returns the same, for loopback alone
 */
export function resolveLoopback(lookup: typeof dnsLookup, beyond: (name: string) => Error): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, '', 0);
      const [first] = addresses;
      if (!first || !addresses.every(({ address }) => isLoopback(address))) return callback(beyond(hostname), '', 0);
      if (options.all === true) return callback(null, addresses);
      callback(null, first.address, first.family);
    });
  };
}
