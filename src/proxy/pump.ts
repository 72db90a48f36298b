/** One direction of a relayed WebSocket. */
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import type { Message } from './inbox.ts';

/**
 * Messages from one side to the other. Those that come together go out together, in one write; where the other side
 * does not take them, no more are read.
 *
 * @param from who sends
 * @param to who gets
 * @param out the connection of `to`
 * @param passes is asked of each message, with its size in bytes
 * @returns takes a message of `from`
 */
export function pump(
  from: WebSocket,
  to: WebSocket,
  out: Socket,
  passes: (bytes: number, message: Message) => boolean,
): (data: Buffer, binary: boolean) => void {
  let corked = false;
  const uncork = (): void => {
    corked = false;
    out.uncork();
    if (out.writableNeedDrain) from.pause();
  };
  out.on('drain', () => from.resume());
  return (data, binary) => {
    if (!passes(data.length, { data, binary })) return;
    if (!corked) {
      corked = true;
      out.cork();
      queueMicrotask(uncork);
    }
    to.send(data, { binary });
  };
}
