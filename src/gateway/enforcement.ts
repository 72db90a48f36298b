/** Which layer holds a rule: the shim always does; what the gateway adds depends on its mode and release. Pure. */
import type { GatewayAuth } from '../config/config.ts';
import type { Route } from '../types.ts';

/** What the gateway does with the scopes header on one route, by release. */
export interface Enforcement {
  /** From this release on (`YYYY.M.D`), until the next row. */
  readonly from: string;
  readonly enforces: boolean;
  readonly why: string;
}

/** Routes on which 2026.3.28 asks no scope in any mode. */
const UNASKED: ReadonlySet<string> = new Set(['/tools/invoke', '/v1/embeddings', '/sessions/{key}/kill']);

type Mode = Exclude<GatewayAuth['mode'], 'shim'>;

/**
 * Measured on the releases that each row names or stands between; the oldest release looked at is 2026.3.24.
 *
 * @param mode how the gateway authenticates
 * @param route the route that is asked for
 * @returns one row for each change of behaviour, oldest first
 */
export function enforcementOf(mode: Mode, route: Route): readonly Enforcement[] {
  if (route.hooksToken !== undefined) return [{ from: '2026.3.24', enforces: false, why: 'webhooks know no scopes' }];
  const before: Enforcement = { from: '2026.3.24', enforces: false, why: 'no scope is asked of HTTP callers yet' };
  const unasked = UNASKED.has(route.template);
  const header: Enforcement = unasked
    ? { from: '2026.3.28', enforces: false, why: 'this route asks no scope yet' }
    : { from: '2026.3.28', enforces: true, why: 'the scopes header decides' };
  if (mode === 'token' || mode === 'password') {
    const owner: Enforcement = { from: '2026.3.31', enforces: false, why: 'every bearer is full owner' };
    const refuses: Enforcement = { from: '2026.3.31', enforces: true, why: 'it refuses this route, whatever is sent' };
    if (route.template === '/sessions/{key}/history') return [before, header, refuses, { ...owner, from: '2026.5.22' }];
    if (route.template === '/sessions/{key}/kill') return [before, header, { ...refuses, from: '2026.4.2' }];
    return [before, header, owner];
  }
  const all: Enforcement = { from: '2026.3.31', enforces: true, why: 'the scopes header decides' };
  if (mode === 'trusted-proxy') {
    const refused: Enforcement = {
      from: '2026.3.31',
      enforces: true,
      why: 'the scopes header decides; a proxy on loopback is refused until 2026.4.26',
    };
    return [before, header, refused];
  }
  return unasked ? [before, header, all] : [before, header];
}
