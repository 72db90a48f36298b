/** Why an address cannot be listened on: what is there, and what to do. */
import { lstatSync, type Stats } from 'node:fs';
import { dirname } from 'node:path';
import type { Address } from '../config/config.ts';

/** Bytes of a socket's path on Linux without its end, the longest of them all (unix(7), `sun_path`). */
export const LONGEST_PATH = 107;

/** Words for the operator; the system's error is its cause. */
export class ListenError extends Error {
  constructor(where: Address | { readonly socket: string }, cause: unknown) {
    const words = 'host' in where ? wordsOfPort(where, codeOf(cause)) : wordsOfSocket(where.socket, codeOf(cause));
    super(words ?? (cause as Error).message, { cause });
    this.name = 'ListenError';
  }
}

function wordsOfPort({ host, port }: Address, code: string | undefined): string | undefined {
  const at = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  switch (code) {
    case 'EADDRINUSE':
      return `another program listens on ${at}: end it, or name another port`;
    case 'EACCES':
      return `this user may not listen on ${at}: name a port from 1024 on`;
    case 'EADDRNOTAVAIL':
    case 'EAFNOSUPPORT':
      return `${host} is no address of this machine`;
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `${host} does not resolve to an address now`;
    default:
      return undefined;
  }
}

/** Node says EACCES for a folder that is not there, and EADDRINUSE for whatever has the name. */
function wordsOfSocket(path: string, code: string | undefined): string | undefined {
  if (Buffer.byteLength(path) > LONGEST_PATH)
    return `${path} is too long: the path of a socket has at most ${LONGEST_PATH} bytes`;
  const folder = dirname(path);
  const found = code === 'EADDRINUSE' ? look(path) : undefined;
  if (found?.isSocket()) return `another program has the socket ${path}: end it, or name another path`;
  if (found) {
    const kind = found.isDirectory() ? 'a folder' : found.isSymbolicLink() ? 'a symbolic link' : 'a file';
    return `${path} is ${kind}, and no socket: take it away, or name another path`;
  }
  if (code === 'ENOTDIR') return `${folder} is no folder: name a path in one`;
  if (code !== 'EACCES' && code !== 'EPERM') return undefined;
  return look(folder) ? `this user may not make a socket in ${folder}` : `${folder} does not exist: make it first`;
}

/** @returns `undefined` also for what may not be looked at */
function look(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch {
    return undefined;
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}
