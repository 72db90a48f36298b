/** How many connections the file descriptors of the process are enough for. */
import { readFileSync } from 'node:fs';
import type { Config } from '../config/config.ts';
import type { Logger } from '../observe/log.ts';

/**
 * What the shim keeps for itself: 64 connections of the probes, as many of the admin listener, and its own files,
 * stores and listeners.
 */
const RESERVE = 192;
/** Where the configuration says nothing. */
const STANDARD = 10_000;
/** A caller's connection, and one to the gateway for its request. */
const EACH = 2;

/**
 * Node raises the soft limit to the hard one when it starts.
 *
 * @returns the most descriptors that the process can have, or `undefined` where the system does not tell
 */
export function descriptorLimit(): number | undefined {
  try {
    const limit = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1];
    return limit === undefined ? undefined : Number(limit);
  } catch {
    return undefined;
  }
}

/**
 * Without a descriptor nothing is accepted by any listener, so that callers must not be able to take the last one.
 *
 * @param configured `limits.connections`
 * @param limit most descriptors of the process, if it is known
 * @returns how many connections of callers to take: what is configured, if that leaves enough for the probes and the
 *   shim itself
 */
export function connectionsFor(configured: number | undefined, limit: number | undefined): number {
  const room = limit === undefined ? Infinity : Math.max(Math.floor((limit - RESERVE) / EACH), 1);
  return Math.min(configured ?? STANDARD, room);
}

/**
 * @param taken how many connections the shim takes
 * @param config what it was to take
 * @param logger is told where that is more
 */
export function warnOfConnections(taken: number, { limits }: Config, logger: Pick<Logger, 'warn'>): void {
  if (limits.connections === undefined || taken >= limits.connections) return;
  const words = `the open files (ulimit -n) are enough for ${taken} connections of callers, not for ${limits.connections}`;
  logger.warn({ path: 'limits.connections' }, words);
}
