/** Which connections of a listener that strangers can reach stay where there are too many. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Who has room. */
export interface Room {
  /** Its sender may look: others go first. */
  welcome(req: IncomingMessage): void;
  /** It stays as long as its answer does. */
  hold(req: IncomingMessage, res: ServerResponse): void;
}

/**
 * Whoever can reach the listener can open connections, and must not keep an operator or a probe out with them: the
 * newest has room, and the one goes that has waited longest since it was of use.
 *
 * @param server whose connections
 * @param most how many there are at most
 * @returns what is told of requests
 */
export function createRoom(server: Server, most: number): Room {
  const open = new Set<Socket>();
  const held = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.once('close', () => {
      open.delete(socket);
      held.delete(socket);
    });
    if (open.size > most) [...open].find((one) => !held.has(one))?.destroy();
  });
  return {
    welcome(req) {
      const socket = carrierOf(req);
      if (open.delete(socket)) open.add(socket);
    },
    hold(req, res) {
      const socket = carrierOf(req);
      held.add(socket);
      res.once('close', () => held.delete(socket));
    },
  };
}

/** The connection under TLS, which Node tells in no other way. */
function carrierOf({ socket }: IncomingMessage): Socket {
  return (socket as Socket & { readonly _parent?: Socket })._parent ?? socket;
}
