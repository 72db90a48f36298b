/** What passes between the caller and the gateway of the benchmark, beside the gateway's own handshake. */
import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { setImmediate as turn } from 'node:timers/promises';
import type { WebSocket } from 'ws';

/** A request of 64 bytes, so that a shim with a method policy reads and passes it. Nothing else is as long. */
export const FRAME = '{"type":"req","id":"0123456789abcdef","method":"ping"}'.padEnd(64);
export const FRAME_BYTES = FRAME.length;

/** The caller's first request behind the handshake: what the gateway is to do with this connection. */
export interface Task {
  readonly task: 'count' | 'send' | 'echo' | 'end';
  /** How long the gateway sends. */
  readonly seconds?: number;
  readonly packed?: boolean;
}

/**
 * @param task what to do
 * @returns the frame that asks for it
 */
export function taskFrame(task: Task): string {
  return JSON.stringify({ type: 'req', id: 'task', method: 'bench', params: task });
}

const TURN = 100;
const MOST_BUFFERED = 256 * 1024;

/**
 * Sends frames as fast as they are taken.
 *
 * @param ws open
 * @param socket under it
 * @param seconds how long
 * @param packed writes 100 at a time; else each is a write of its own, as `ws` makes it
 * @returns how many were sent
 */
export async function sendFrames(ws: WebSocket, socket: Socket, seconds: number, packed: boolean): Promise<number> {
  const until = performance.now() + seconds * 1_000;
  let sent = 0;
  while (performance.now() < until && ws.readyState === ws.OPEN) {
    if (packed) socket.cork();
    for (let i = 1; i < TURN; i++) ws.send(FRAME);
    const { promise: written, resolve } = Promise.withResolvers<void>();
    ws.send(FRAME, () => resolve());
    if (packed) socket.uncork();
    sent += TURN;
    await (ws.bufferedAmount > MOST_BUFFERED ? written : turn());
  }
  return sent;
}
