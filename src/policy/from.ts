/** `callers[].from`: where a caller's credentials may be used. Pure. */
import { contains } from '../config/address.ts';
import type { Caller } from '../types.ts';

/**
 * @param caller who was named
 * @param peer address of the client; `undefined` for a unix socket
 * @returns whether the caller may call from there
 */
export function mayComeFrom({ from }: Caller, peer: string | undefined): boolean {
  return from === undefined || (peer !== undefined && contains(from, peer));
}

/**
 * @param caller who may not call from there
 * @param peer as of `mayComeFrom`
 * @returns words for the log
 */
export function elsewhere({ name }: Caller, peer: string | undefined): string {
  return `${name} may not call from ${peer ?? 'a unix socket'}`;
}
