/** What the gateway must get of a request, byte for byte, in each hop. */
import { HOP_HEADER, HOP_VALUE, STAND_IN, USER_HEADER } from '../../helpers/hops.ts';
import { GATEWAY_SECRET } from '../../helpers/stack.ts';
import { SCOPES } from './callers.ts';
import type { Forwarded, Hop } from './case.ts';

/** How callers reach the shim, and the shim the gateway. */
export interface Way {
  readonly hop: Hop;
  readonly scheme: 'http' | 'https';
  /** Host and port of the gateway. */
  readonly authority: string;
}

/** What is made at random, by what stands for it in `expectedBytes`. */
const RANDOM: readonly (readonly [RegExp, string])[] = [
  [/(?<=\r\ntraceparent: )00-[0-9a-f]{32}-[0-9a-f]{16}-03(?=\r\n)/, '{trace}'],
  [/(?<=\r\nSec-WebSocket-Key: )[A-Za-z0-9+/]{22}==(?=\r\n)/i, '{key}'],
  [/(?<=\r\nx-openclaw-session-key: alice-)[0-9a-f-]{36}(?=\r\n)/, '{uuid}'],
];

/** @returns bytes of the gateway's with what is made at random replaced by its name */
export function named(bytes: string): string {
  return RANDOM.reduce((text, [pattern, name]) => text.replace(pattern, name), bytes);
}

/** @returns names and values that only the shim sets, alternating */
export function identity(forwarded: Forwarded, { hop, scheme }: Way): string[] {
  const { caller, host = '127.0.0.1', client = STAND_IN, socket } = forwarded;
  const scopes = forwarded.scopes ?? SCOPES[caller ?? ''] ?? '';
  const scoped = ['x-openclaw-scopes', scopes];
  if (caller === null) return scoped;
  switch (hop) {
    case 'token':
    case 'password':
      // The secret of a WebSocket stands in its first frame.
      return socket ? scoped : ['authorization', `Bearer ${GATEWAY_SECRET}`, ...scoped];
    case 'none':
      return scoped;
    case 'shim':
      return ['x-auth-shim-caller', caller, 'x-auth-shim-scopes', scopes];
    case 'trusted-proxy': {
      const proxied = ['x-forwarded-for', client, 'x-forwarded-proto', scheme, 'x-forwarded-host', host];
      return [USER_HEADER, caller, HOP_HEADER, HOP_VALUE, ...proxied, ...scoped];
    }
  }
}

/**
 * @param forwarded a request as the corpus has it
 * @param way through which it goes
 * @returns every byte of it at the gateway, as `named` writes them
 */
export function expectedBytes(forwarded: Forwarded, way: Way): string {
  const { line = 'GET /v1/models', kept = [], chosen = [], framing, body = '', socket } = forwarded;
  const connection = line.startsWith('HEAD ') ? 'close' : 'keep-alive';
  const ours = [...identity(forwarded, way), 'traceparent', '{trace}'];
  const host = ['host', way.authority];
  const pairs = {
    http: [...host, 'connection', connection, ...kept, ...chosen, ...ours],
    relay: [...host, ...ours, ...RELAY],
    tunnel: [...kept, ...ours.map((part, i) => (i % 2 === 0 ? part.toLowerCase() : part)), ...host, ...TUNNEL],
  }[socket ?? 'http'];
  const head = pairs.map((part, i) => (i % 2 === 0 ? `${part}: ` : `${part}\r\n`)).join('');
  return `${line} HTTP/1.1\r\n${head}${framing === undefined ? '' : `${framing}\r\n`}\r\n${body}`;
}

/** As the two libraries write them. */
const RELAY = 'Sec-WebSocket-Version 13 Sec-WebSocket-Key {key} Connection Upgrade Upgrade websocket'.split(' ');
const TUNNEL = 'upgrade websocket connection Upgrade sec-websocket-key {key} sec-websocket-version 13'.split(' ');
