/** What requests are judged and carried by. */
import type { Gate } from '../gate.ts';
import type { Hop } from '../gateway/blame.ts';
import type { GatewayPool } from '../gateway/pool.ts';

/**
 * All of one configuration that a request meets: made whole, never changed, replaced as one reference. A request keeps
 * the one that it began with, so that no two of its steps see different rules. Times in milliseconds, 0 is off.
 */
export interface Snapshot {
  readonly gate: Gate;
  readonly pool: GatewayPool;
  readonly hop: Hop;
  /** Silence after which an event stream gets a comment. */
  readonly heartbeat: number;
  readonly gatewayIdle: number;
  /** Most bytes that are read away of a body that nobody wants. */
  readonly drainLimit: number;
}
