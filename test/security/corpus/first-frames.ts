/** First frames that are no connect of an operator, and what becomes of them: the gateway is not even dialled. */
import { get } from '../../helpers/request-bytes.ts';
import { closing, connectText, frame, upgradeHead } from '../../helpers/socket-bytes.ts';
import { TOKENS } from '../../helpers/stack.ts';
import type { Case } from './case.ts';

/** @returns a socket that is opened, its first frame, and how that ends it: with a close code, and an error before it */
const ended = (title: string, bytes: Buffer, close: number, logged: string, code?: string): Case => ({
  row: 'U9',
  title: `first frame: ${title}`,
  send: upgradeHead(),
  next: { bytes, after: 'challenge' },
  answers: [],
  socket: { close, ...(code !== undefined && { code }) },
  logged,
  closed: true,
  gateway: [],
  admitted: 1,
});
const bad = (title: string, text: string, code = 'bad_request'): Case => ended(title, frame(text), 1008, code, code);
/** There is no request that could be answered. */
const mute = (title: string, payload: string | Buffer, close = 1008, opcode = 1): Case =>
  ended(title, frame(payload, { opcode }), close, 'bad_request');
const broken = (title: string, bytes: Buffer, close = 1002): Case => ended(title, bytes, close, 'protocol_error');

export const nested = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels);
export const GOOD = connectText();
export const large = (bytes: number): string =>
  GOOD.replace('"caps":[]', `"caps":["${'x'.repeat(bytes - GOOD.length - 2)}"]`);

export const FIRST_FRAMES: readonly Case[] = [
  mute('nothing', ''),
  mute('garbage', 'garbage'),
  mute('a number', '1'),
  mute('null', 'null'),
  mute('a list', '[]'),
  mute('a text', '"connect"'),
  mute('half a connect', GOOD.slice(0, 60)),
  mute('a connect and something behind it', `${GOOD}x`),
  mute('a connect behind a byte order mark', `\ufeff${GOOD}`),
  mute('an HTTP request', get('/v1/models')),
  mute('a binary frame', GOOD, 1003, 2),
  mute('no id', connectText({}, { id: undefined })),
  mute('an id that is a number', connectText({}, { id: 1 })),
  mute('an empty id', connectText({}, { id: '' })),
  mute('an id of 257 characters', connectText({}, { id: 'x'.repeat(257) })),
  bad('no type', connectText({}, { type: undefined })),
  bad('an answer', connectText({}, { type: 'res' })),
  bad('an event', connectText({}, { type: 'event' })),
  bad('another method', connectText({}, { method: 'chat.send' })),
  bad('a method in capitals', connectText({}, { method: 'Connect' })),
  bad('a method that is a list', connectText({}, { method: ['connect'] })),
  bad('no params', connectText({}, { params: undefined })),
  bad('params that are a list', connectText({}, { params: [] })),
  bad('no protocol', connectText({ minProtocol: undefined, maxProtocol: undefined })),
  bad('a protocol that is a text', connectText({ minProtocol: '3' })),
  bad('a protocol of 0', connectText({ minProtocol: 0 })),
  bad('a protocol that is no whole number', connectText({ maxProtocol: 3.5 })),
  bad('a protocol beyond all numbers', connectText({ maxProtocol: 1e300 })),
  bad('the role of a node', connectText({ role: 'node' })),
  bad('a role that is null', connectText({ role: null })),
  bad('a role that is a list', connectText({ role: ['operator'] })),
  bad('scopes that are a text', connectText({ scopes: 'operator.admin' })),
  bad('scopes that are null', connectText({ scopes: null })),
  bad('scopes that are an object', connectText({ scopes: { length: 1, 0: 'operator.admin' } })),
  bad('a token that is a number', connectText({ auth: { token: 1 } })),
  bad('another token', connectText({ auth: { token: TOKENS.writer } }), 'invalid_token'),
  bad('an empty token', connectText({ auth: { token: '' } }), 'invalid_token'),
  bad(
    'no scope of the caller',
    connectText({ scopes: ['operator.admin.x', 'operator.approvals'] }),
    'insufficient_scope',
  ),
  bad('no scope at all', connectText({ scopes: [] }), 'insufficient_scope'),
  mute('a duplicate key', GOOD.replace('"role":', '"role":"operator","role":')),
  mute('a duplicate key, escaped', GOOD.replace('"role":', '"r\\u006fle":"node","role":')),
  mute('a duplicate key, at the top', GOOD.replace('"method":', '"m\\u0065thod":"chat.send","method":')),
  mute('a duplicate key, in an object that nobody reads', connectText({ x: 1 }).replace('"x":1', '"x":{"a":1,"a":1}')),
  mute('65 levels', connectText({ x: 1 }).replace('"x":1', `"x":${nested(63)}`)),
  mute('60,000 brackets', '['.repeat(60_000)),
  broken('invalid UTF-8', frame(Buffer.from(GOOD.replace('"operator"', '"operator\xff"'), 'latin1')), 1007),
  broken('UTF-8 that is overlong', frame(Buffer.concat([Buffer.from('{"'), Buffer.from([0xc0, 0xaf])])), 1007),
  broken('a surrogate in UTF-8', frame(Buffer.concat([Buffer.from('{"'), Buffer.from([0xed, 0xa0, 0x80])])), 1007),
  broken('a frame without a mask', frame(GOOD, { masked: false })),
  broken('the first reserved bit, of compression', frame(GOOD, { reserved: 4 })),
  broken('the second reserved bit', frame(GOOD, { reserved: 2 })),
  broken('the third reserved bit', frame(GOOD, { reserved: 1 })),
  broken('a reserved kind of frame', frame(GOOD, { opcode: 3 })),
  broken('a reserved kind of control frame', frame(GOOD, { opcode: 11 })),
  broken('a continuation of nothing', frame(GOOD, { opcode: 0 })),
  broken('a text within a text', Buffer.concat([frame('{', { fin: false }), frame(GOOD)])),
  broken('a ping of 126 bytes', frame('x'.repeat(126), { opcode: 9 })),
  broken('a ping in two frames', frame('x', { opcode: 9, fin: false })),
  broken('a close frame of one byte', frame('x', { opcode: 8 })),
  broken('a close code that nobody may send', frame(closing(1005), { opcode: 8 })),
  broken('a close reason that is no UTF-8', frame(Buffer.from([3, 232, 0xff]), { opcode: 8 }), 1007),
  broken('a length with its first bit set', Buffer.from([0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4]), 1009),
];
