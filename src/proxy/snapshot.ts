/** What requests are judged and carried by. */
import type { Gate } from '../gate.ts';
import type { Hop } from '../gateway/blame.ts';
import type { Device } from '../gateway/device.ts';
import type { DeviceStore } from '../gateway/device-store.ts';
import type { DialTarget } from '../gateway/dial.ts';
import type { GatewayPool } from '../gateway/pool.ts';
import type { ConnectAuth } from '../gateway/present.ts';

/** How WebSockets reach the gateway. */
export interface RelayHop {
  readonly target: DialTarget;
  readonly blame: Hop;
  readonly connectAuth: ConnectAuth | undefined;
  /** Whether the gateway pairs a new device of this machine without an operator. */
  readonly pairsSilently: boolean;
  /** `undefined` where another shim is called, which has devices of its own. */
  readonly devices: DeviceStore | undefined;
  /** Keys that were tried in place of others and not accepted yet, by caller. */
  readonly candidates: Map<string, Device>;
  /** Version of the shim. */
  readonly version: string;
}

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
  readonly relay: RelayHop;
}
