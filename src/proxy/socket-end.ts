/** Why a WebSocket ends. */
import type { EndReason } from '../observe/log.ts';

/** What a close frame says (RFC 6455 section 5.5.1); 1006 is an end without one. */
export interface Close {
  readonly code: number;
  /** At most 123 bytes of UTF-8. */
  readonly reason: string;
}

/** What goes beyond the close frame. */
export interface SocketEndMore {
  /** A frame that tells the caller before. */
  readonly frame?: string;
  /** Error code, of the shim's table or the gateway's own. */
  readonly code?: string;
  /** Words for the log alone. */
  readonly detail?: string;
}

/** Thrown where a handshake cannot go on, and given where the shim itself ends a socket. */
export class SocketEnd extends Error {
  readonly end: EndReason;
  readonly close: Close;
  readonly more: SocketEndMore;

  constructor(end: EndReason, close: Close, more: SocketEndMore = {}) {
    super(close.reason);
    this.name = 'SocketEnd';
    this.end = end;
    this.close = close;
    this.more = more;
  }
}
