/** Where listeners listen. */
import { once } from 'node:events';
import { chmodSync, lstatSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import type { Address, SocketAddress } from '../config/config.ts';
import { ListenError } from './listen-fault.ts';

/**
 * A unix socket that a dead process left behind is replaced; one that answers, and any other file, is not.
 *
 * @param server not listening yet
 * @param where it is to listen
 * @param umask sets that of the process, and returns the one before
 * @throws ListenError with words for the operator
 */
export async function listen(
  server: Server,
  where: Address | SocketAddress,
  umask: (mask: number) => number = (mask) => mask,
): Promise<void> {
  try {
    if ('socket' in where && (await isAbandoned(where.socket))) rmSync(where.socket);
    if ('host' in where) server.listen(where);
    else listenOnSocket(server, where, umask);
    await once(server, 'listening');
  } catch (error) {
    throw new ListenError(where, error);
  }
}

function listenOnSocket(server: Server, { socket, mode }: SocketAddress, umask: (mask: number) => number): void {
  // From its first moment on nobody else can connect; a default ACL of its folder outdoes the mask.
  const before = umask(0o777 & ~mode);
  server.listen({ path: socket });
  umask(before);
  if (server.listening) chmodSync(socket, mode);
}

/**
 * @param server listens on TCP
 * @param scheme that it speaks
 * @returns `http://host:port`
 */
export function urlOf(server: Server, scheme: 'http' | 'https' = 'http'): string {
  const { address, family, port } = server.address() as AddressInfo;
  return `${scheme}://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}

/**
 * @param server listens
 * @param where the configuration of its listener
 * @returns `http://host:port`, `https://host:port`, or `unix:/path`
 */
export function addressOf(
  server: Server,
  { address, tls }: { readonly address: Address | SocketAddress; readonly tls?: object },
): string {
  return 'socket' in address ? `unix:${address.socket}` : urlOf(server, tls ? 'https' : 'http');
}

function isAbandoned(path: string): Promise<boolean> {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return Promise.resolve(false);
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'));
  });
}
