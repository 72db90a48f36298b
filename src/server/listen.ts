/** Where listeners listen. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, lstatSync, renameSync, rmSync, type BigIntStats } from 'node:fs';
import type { Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import type { Address, SocketAddress } from '../config/config.ts';
import { ListenError, LONGEST_PATH } from './listen-fault.ts';

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
    if ('host' in where) {
      server.listen(where);
      await once(server, 'listening');
    } else {
      await removeAbandoned(where.socket);
      await listenOnSocket(server, where, umask);
    }
  } catch (error) {
    throw new ListenError(where, error);
  }
}

/**
 * The system removes by its name the socket that it made, whatever has that name by then: so it is made under another
 * one. At its end it is removed where it is still this server's.
 */
async function listenOnSocket(
  server: Server,
  { socket, mode }: SocketAddress,
  umask: (mask: number) => number,
): Promise<void> {
  if (Buffer.byteLength(socket) > LONGEST_PATH) throw fault('EINVAL', socket);
  const made = join(dirname(socket), `.${randomBytes(4).toString('hex')}`);
  // From its first moment on nobody else can connect; a default ACL of its folder outdoes the mask.
  const before = umask(0o777 & ~mode);
  server.listen({ path: made });
  umask(before);
  if (!server.listening) await once(server, 'listening');
  chmodSync(made, mode);
  const own = look(made);
  if (look(socket)) {
    server.close();
    throw fault('EADDRINUSE', socket);
  }
  renameSync(made, socket);
  server.once('close', () => {
    if (isSame(look(socket), own)) rmSync(socket, { force: true });
  });
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

/** As the system has it. */
function fault(code: string, path: string): Error {
  return Object.assign(new Error(`listen ${code}: ${path}`), { code });
}

/** What took its place while it was asked is left. */
async function removeAbandoned(path: string): Promise<void> {
  const found = look(path);
  if (found?.isSocket() === true && (await isAbandoned(path)) && isSame(look(path), found)) rmSync(path);
}

function look(path: string): BigIntStats | undefined {
  return lstatSync(path, { throwIfNoEntry: false, bigint: true });
}

/** A file system gives the number of one that was removed to the next; its time is another. */
function isSame(one: BigIntStats | undefined, other: BigIntStats | undefined): boolean {
  return one?.ino === other?.ino && one?.dev === other?.dev && one?.birthtimeNs === other?.birthtimeNs;
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
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'));
  });
}
