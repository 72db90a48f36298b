/** WebSocket callers at the level of bytes: heads, frames, and what comes back (RFC 6455 sections 4 and 5). */
import type { Test } from 'tap';
import { openRaw, type RawConnection } from './raw.ts';
import { caller, TOKENS } from './stack.ts';
import { ACCEPT, KEY } from './tunnel.ts';

export { ACCEPT, KEY };

/** Callers of all kinds: `reader`, `writer` and `admin` are relayed, `plain` has no WebSocket, `signer` a tunnel. */
export const SOCKET_TOKENS = {
  plain: 'plain-token-0123456789-abcdefg',
  signer: 'signer-token-0123456789-abcdef',
} as const;

/** @returns the `callers` section */
export function socketCallers(more = ''): string {
  const relay = `websocket: relay${more && `, ${more}`}`;
  return [
    'callers:',
    caller('reader', TOKENS.reader, ['operator.read'], relay),
    caller('writer', TOKENS.writer, ['operator.read', 'operator.write'], relay),
    caller('admin', TOKENS.admin, ['operator.admin'], relay),
    caller('plain', SOCKET_TOKENS.plain, ['operator.read']),
    caller('signer', SOCKET_TOKENS.signer, ['operator.admin'], 'websocket: tunnel, unsafeTunnel: true'),
  ].join('\n');
}

export interface HeadOptions {
  readonly line?: string;
  /** `undefined` leaves the header out. */
  readonly token?: string | undefined;
  /** Names in lower case of lines that are left out. */
  readonly without?: readonly string[];
  /** Further whole lines, each ending in CRLF. */
  readonly more?: string;
}

/** @returns a request for a WebSocket, right but for what is named */
export function upgradeHead(options: HeadOptions = {}): string {
  const { line = 'GET / HTTP/1.1', without = [], more = '' } = options;
  const token = 'token' in options ? options.token : TOKENS.reader;
  const lines = [
    'Host: 127.0.0.1',
    ...(token === undefined ? [] : [`Authorization: Bearer ${token}`]),
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    `Sec-WebSocket-Key: ${KEY}`,
  ].filter((one) => !without.includes(one.slice(0, one.indexOf(':')).toLowerCase()));
  return `${line}\r\n${lines.map((one) => `${one}\r\n`).join('')}${more}\r\n`;
}

export interface FrameOptions {
  /** 0 continuation, 1 text, 2 binary, 8 close, 9 ping, 10 pong; text by default. */
  readonly opcode?: number;
  readonly fin?: boolean;
  readonly masked?: boolean;
  /** The three reserved bits, as 0 to 7. */
  readonly reserved?: number;
  /** What the head says, where that is not the length of the payload. */
  readonly length?: number;
}

/** @returns one frame; a string is written as UTF-8 */
export function frame(payload: string | Buffer, options: FrameOptions = {}): Buffer {
  const { opcode = 1, fin = true, masked = true, reserved = 0 } = options;
  const data = Buffer.from(payload);
  const { length = data.length } = options;
  const first = (fin ? 0x80 : 0) | (reserved << 4) | opcode;
  const mask = masked ? 0x80 : 0;
  const size = length < 126 ? Buffer.alloc(0) : Buffer.alloc(length < 65_536 ? 2 : 8);
  if (size.length === 2) size.writeUInt16BE(length);
  if (size.length === 8) size.writeBigUInt64BE(BigInt(length));
  const short = size.length === 0 ? length : size.length === 2 ? 126 : 127;
  const key = masked ? Buffer.from([1, 2, 3, 4]) : Buffer.alloc(0);
  const body = masked ? data.map((byte, i) => byte ^ (key[i % 4] as number)) : data;
  return Buffer.concat([Buffer.from([first, mask | short]), size, key, body]);
}

/** @returns the payload of a close frame */
export function closing(code: number, reason = ''): Buffer {
  return Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]);
}

export interface ReadFrame {
  readonly opcode: number;
  readonly payload: Buffer;
}

/**
 * @param bytes behind a head
 * @returns the whole frames in it; throws on one that is masked, split, or has a reserved bit: the shim sends none
 */
export function readFrames(bytes: Buffer): ReadFrame[] {
  const frames: ReadFrame[] = [];
  let at = 0;
  while (bytes.length >= at + 2) {
    const [first, second] = [bytes[at] as number, bytes[at + 1] as number];
    if ((first & 0xf0) !== 0x80 || second >= 0x80) throw new Error(`no frame of a server: ${first} ${second}`);
    let length = second;
    let start = at + 2;
    if (second === 126 && bytes.length >= at + 4) [length, start] = [bytes.readUInt16BE(at + 2), at + 4];
    if (second === 127 && bytes.length >= at + 10) [length, start] = [Number(bytes.readBigUInt64BE(at + 2)), at + 10];
    if ((second >= 126 && start === at + 2) || bytes.length < start + length) break;
    frames.push({ opcode: first & 15, payload: bytes.subarray(start, start + length) });
    at = start + length;
  }
  return frames;
}

type Json = Readonly<Record<string, unknown>>;

/** What came behind a 101, taken apart. */
export interface Told {
  /** Status line and header lines of the 101. */
  readonly head: string;
  /** Messages, parsed, the challenge not among them. */
  readonly messages: readonly Json[];
  readonly challenge: Json | undefined;
  readonly pongs: number;
  /** What the close frame says; `undefined` without one. */
  readonly close: { readonly code: number; readonly reason: string } | undefined;
}

/** @returns what a connection brought; nothing behind another answer than 101 */
export function told(text: string): Told {
  const end = text.indexOf('\r\n\r\n');
  const frames =
    end < 0 || !text.startsWith('HTTP/1.1 101 ') ? [] : readFrames(Buffer.from(text.slice(end + 4), 'latin1'));
  const messages = frames
    .filter(({ opcode }) => opcode === 1)
    .map(({ payload }) => JSON.parse(payload.toString()) as Json);
  const last = frames.find(({ opcode }) => opcode === 8)?.payload;
  return {
    head: text.slice(0, Math.max(0, end)),
    challenge: messages.find(({ event }) => event === 'connect.challenge'),
    messages: messages.filter(({ event }) => event !== 'connect.challenge'),
    pongs: frames.filter(({ opcode }) => opcode === 10).length,
    close: last && { code: last.length < 2 ? 1005 : last.readUInt16BE(), reason: last.subarray(2).toString() },
  };
}

/** @returns a connection whose upgrade is answered and whose challenge is there */
export async function openSocket(t: Test, port: number, head = upgradeHead()): Promise<RawConnection> {
  const raw = await openRaw(t, port);
  raw.send(head);
  await raw.until((text) => told(text).challenge !== undefined);
  return raw;
}

/** @returns the text of a connect, right but for what is named; a member that is `undefined` is left out */
export function connectText(params: Json = {}, more: Json = {}): string {
  const client = { id: 'cli', version: '1', platform: 'linux', mode: 'cli' };
  const own = { minProtocol: 3, maxProtocol: 4, client, role: 'operator', caps: [], ...params };
  return JSON.stringify({ type: 'req', id: 'c1', method: 'connect', params: own, ...more });
}
