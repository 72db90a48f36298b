/** Requests for a WebSocket, and why they get none: the gateway is not even dialled. */
import { SOCKET_TOKENS, upgradeHead, type HeadOptions } from '../../helpers/socket-bytes.ts';
import { TOKENS } from '../../helpers/stack.ts';
import { refused, type Case } from './case.ts';
import type { RowId } from './rows.ts';

const row = (id: RowId, title: string, options: HeadOptions, status = 400, code = 'bad_request', behind = ''): Case =>
  refused(id, `upgrade: ${title}`, upgradeHead(options) + behind, status, code, { closed: true });
const at = (id: RowId, title: string, target: string, status = 400, code = 'bad_request'): Case =>
  row(id, `target ${title}`, { line: `GET ${target} HTTP/1.1` }, status, code);
/** What the answer says of the protocol that is spoken here. */
const upgradeTo = (one: Case, headers: Readonly<Record<string, string>>, closed = true): Case => ({
  ...one,
  closed,
  answers: one.answers.map((answer) => ({ ...answer, headers })),
});
const other = (id: RowId, title: string, options: HeadOptions): Case =>
  upgradeTo(row(id, title, options, 426, 'upgrade_required'), { upgrade: 'websocket', 'sec-websocket-version': '13' });
/** Taken as a request without an upgrade: there is no route. */
const none = (id: RowId, title: string, options: HeadOptions): Case =>
  upgradeTo(row(id, title, options, 426, 'upgrade_required'), { upgrade: 'websocket' });
/** Nothing can be left over on the connection, so it stays. */
const keeps = (one: Case): Case => ({ ...one, closed: false });

const SECOND = `POST /tools/invoke HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${TOKENS.admin}\r\nContent-Length: 2\r\n\r\n{}`;
const VERSION = ['sec-websocket-version'];
const KEY = ['sec-websocket-key'];
const key = (value: string): HeadOptions => ({ without: KEY, more: `Sec-WebSocket-Key: ${value}\r\n` });
const version = (value: string): HeadOptions => ({ without: VERSION, more: `Sec-WebSocket-Version: ${value}\r\n` });
const protocol = (value: string): HeadOptions => ({ more: `Sec-WebSocket-Protocol: ${value}\r\n` });
const upgrade = (value: string): HeadOptions => ({ without: ['upgrade'], more: `Upgrade: ${value}\r\n` });
const connection = (value: string): HeadOptions => ({ without: ['connection'], more: `Connection: ${value}\r\n` });
const line = (value: string): HeadOptions => ({ line: value });

export const UPGRADES: readonly Case[] = [
  // U1
  row('U1', 'no token', { token: undefined }, 401, 'missing_token'),
  row('U1', 'an unknown token', { token: 'x'.repeat(30) }, 401, 'invalid_token'),
  row('U1', 'no token, no Connection: Upgrade', { token: undefined, without: ['connection'] }, 401, 'missing_token'),
  row(
    'U1',
    'an unknown token, no Connection: Upgrade',
    { token: 'x'.repeat(30), without: ['connection'] },
    401,
    'invalid_token',
  ),
  row('U1', 'no token on another path', { token: undefined, line: 'GET /x HTTP/1.1' }, 401, 'missing_token'),
  row('U1', 'another scheme', { token: undefined, more: 'Authorization: Basic YTpi\r\n' }, 401, 'missing_token'),
  row('U1', 'an empty credential', { token: undefined, more: 'Authorization:\r\n' }, 401, 'missing_token'),
  row('H11', 'two credentials', { more: `Authorization: Bearer ${TOKENS.writer}\r\n` }),
  row(
    'U10',
    'the token in a subprotocol, which is off',
    { token: undefined, ...protocol(`openclaw.v1, bearer.${TOKENS.reader}`) },
    401,
    'missing_token',
  ),
  row('U10', 'the token in the query', { token: undefined, line: `GET /?token=${TOKENS.reader} HTTP/1.1` }),
  row('U10', 'the token in the query beside a good one', { line: `GET /?token=${TOKENS.reader} HTTP/1.1` }),
  row('U1', 'a caller without a WebSocket', { token: SOCKET_TOKENS.plain }, 404, 'route_not_exposed'),

  // the exact target
  at('P9', 'with a query', '/?x=1', 404, 'route_not_exposed'),
  at('P9', 'with an empty query', '/?', 404, 'route_not_exposed'),
  at('P9', 'of another name', '/x', 404, 'route_not_exposed'),
  at('P9', 'of another socket of the gateway', '/ws/terminal', 404, 'route_not_exposed'),
  at('P9', 'of a route', '/v1/models', 404, 'route_not_exposed'),
  at('P9', 'of the health route', '/healthz', 404, 'route_not_exposed'),
  at('P2', 'of two slashes', '//'),
  at('P3', 'of a slash in hexadecimal', '/%2f'),
  at('P3', 'of a backslash', '/\\'),
  at('P1', 'of a dot', '/.'),
  at('P1', 'of a dot in hexadecimal', '/%2e'),
  at('P1', 'of two dots', '/x/..'),
  at('P5', 'with a fragment', '/#x'),
  at('P7', 'with a NUL in hexadecimal', '/%00'),
  at('P7', 'with a parameter', '/;x'),
  at('P10', 'in absolute form', 'http://127.0.0.1/'),
  at('P10', 'in absolute form, of a WebSocket', 'ws://127.0.0.1/'),
  at('P10', 'in absolute form, elsewhere', 'http://evil.example/'),
  at('P11', 'of an asterisk', '*'),
  at('P10', 'empty but for a query', '?'),

  // U7
  row('U7', 'POST', line('POST / HTTP/1.1')),
  row('U7', 'POST with a body', { line: 'POST / HTTP/1.1', more: 'Content-Length: 2\r\n' }, 400, 'bad_request', '{}'),
  row('U7', 'PUT', line('PUT / HTTP/1.1')),
  row('U7', 'HEAD', line('HEAD / HTTP/1.1')),
  row('U7', 'OPTIONS', line('OPTIONS / HTTP/1.1')),
  row('U7', 'get', line('get / HTTP/1.1'), 405, 'method_not_allowed'),
  row('P17', 'CONNECT', line('CONNECT 127.0.0.1:1 HTTP/1.1'), 405, 'method_not_allowed'),
  row('U7', 'HTTP/1.0', line('GET / HTTP/1.0')),
  row('U7', 'HTTP/1.2', line('GET / HTTP/1.2')),
  row('U7', 'HTTP/2.0', line('GET / HTTP/2.0')),
  other('U7', 'no version', { without: VERSION }),
  other('U7', 'version 8', version('8')),
  other('U7', 'version 12', version('12')),
  other('U7', 'version 14', version('14')),
  other('U7', 'version 0', version('0')),
  other('U7', 'version 013', version('013')),
  other('U7', 'versions in a list', version('13, 8')),
  other('U7', 'version 13 twice', { more: 'Sec-WebSocket-Version: 13\r\n' }),
  other('U7', 'versions 13 and 8', { more: 'Sec-WebSocket-Version: 8\r\n' }),
  row('U7', 'no key', { without: KEY }),
  row('U7', 'an empty key', key('')),
  row('U7', 'two keys', { more: 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n' }),
  row('U7', 'the same key twice', { more: 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n' }),
  row('U7', 'a key of 15 bytes', key('dGhlIHNhbXBsZSBub25j')),
  row('U7', 'a key of 17 bytes', key('dGhlIHNhbXBsZSBub25jZXg=')),
  row('U7', 'a key of 16 KB', key('A'.repeat(15_000))),
  row('U7', 'a key that is not base64', key('dGhlIHNhbXBsZSBub25jZ!==')),
  row('U7', 'a key of URLs', key('dGhlIHNhbXBs_SBub25jZQ==')),
  row('U7', 'a key without padding', key('dGhlIHNhbXBsZSBub25jZQ')),
  row('U7', 'a key with bits left over', key('dGhlIHNhbXBsZSBub25jZR==')),
  row('U7', 'a key and something behind it', key('dGhlIHNhbXBsZSBub25jZQ==, x')),

  // U2, U3
  row('U2', 'a body that is a request', { more: `Content-Length: ${SECOND.length}\r\n` }, 400, 'bad_request', SECOND),
  row(
    'U2',
    'a chunked body that is a request',
    { more: 'Transfer-Encoding: chunked\r\n' },
    400,
    'bad_request',
    `${SECOND.length.toString(16)}\r\n${SECOND}\r\n0\r\n\r\n`,
  ),
  row('U2', 'a length of 0', { more: 'Content-Length: 0\r\n' }),
  row('U2', 'a length of 0 and a request behind it', { more: 'Content-Length: 0\r\n' }, 400, 'bad_request', SECOND),
  row('U2', 'a length in capitals', { more: 'CONTENT-LENGTH: 0\r\n' }),
  row('U2', 'both framings', { more: 'Content-Length: 0\r\nTransfer-Encoding: chunked\r\n' }),
  row('U2', 'a coding that is none', { more: 'Transfer-Encoding: identity\r\n' }),
  row('U2', 'Connection names Content-Length', connection('Upgrade, content-length')),
  row('U2', 'Connection names Host', connection('Upgrade, host')),
  row('U2', 'Connection names Transfer-Encoding', connection('Upgrade, Transfer-Encoding')),
  row('H3', 'Connection is malformed', connection('Upgrade, x y')),
  row('U3', 'a byte behind the head', {}, 400, 'bad_request', 'x'),
  row('U3', 'a frame behind the head', {}, 400, 'bad_request', '\x81\x82\x00\x00\x00\x00{}'),
  row('U3', 'a whole request behind the head', {}, 400, 'bad_request', SECOND),
  row('U3', 'a request for a WebSocket behind the head', {}, 400, 'bad_request', upgradeHead({ token: TOKENS.admin })),
  row('U3', 'a megabyte behind the head', {}, 400, 'bad_request', 'x'.repeat(1_000_000)),
  row(
    'U2',
    'a bad token and a body that is a request',
    { token: 'x'.repeat(30), more: `Content-Length: ${SECOND.length}\r\n` },
    400,
    'bad_request',
    SECOND,
  ),

  // U6
  none('U6', 'h2c', { ...upgrade('h2c'), more: 'Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n' }),
  none('U6', 'h2c with its settings named', {
    without: ['upgrade', 'connection'],
    more: 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n',
  }),
  none('U6', 'websocket, h2c', upgrade('websocket, h2c')),
  none('U6', 'h2c, websocket', upgrade('h2c, websocket')),
  none('U6', 'websocket,', upgrade('websocket,')),
  none('U6', 'two lines', { more: 'Upgrade: h2c\r\n' }),
  none('U6', 'two lines of websocket', { more: 'Upgrade: websocket\r\n' }),
  none('U6', 'TLS/1.0', upgrade('TLS/1.0')),
  none('U6', 'websocket/13', upgrade('websocket/13')),
  none('U6', '"websocket"', upgrade('"websocket"')),
  none('U6', 'an empty Upgrade', upgrade('')),
  keeps(none('U6', 'no Upgrade', { without: ['upgrade'] })),
  none('U6', 'no Connection', { without: ['connection'] }),
  none('U6', 'Connection without upgrade', connection('keep-alive')),
  keeps(none('U6', 'neither: GET /', { without: ['upgrade', 'connection', ...KEY, ...VERSION] })),
  row(
    'U6',
    'h2c of a caller without a WebSocket',
    { token: SOCKET_TOKENS.plain, ...upgrade('h2c') },
    404,
    'route_not_exposed',
  ),
  row('U6', 'h2c without a token', { token: undefined, ...upgrade('h2c') }, 401, 'missing_token'),

  // Host, Origin
  row('H12', 'no Host', { without: ['host'] }),
  row('H12', 'two of Host', { more: 'Host: 127.0.0.1\r\n' }),
  row('H12', 'an empty Host', { without: ['host'], more: 'Host:\r\n' }),
  row('P13', 'a Host that is two', { without: ['host'], more: 'Host: 127.0.0.1, evil.example\r\n' }),
  row('P13', 'a Host with an @', { without: ['host'], more: 'Host: a:80@127.0.0.1\r\n' }),
  row('P14', 'another Host', { without: ['host'], more: 'Host: evil.example\r\n' }, 421, 'host_not_allowed'),
  row(
    'P14',
    'another Host, no token',
    { token: undefined, without: ['host'], more: 'Host: evil.example\r\n' },
    421,
    'host_not_allowed',
  ),
  row('P14', '0.0.0.0', { without: ['host'], more: 'Host: 0.0.0.0\r\n' }, 421, 'host_not_allowed'),
  row('P15', 'a web origin', { more: 'Origin: https://evil.example\r\n' }, 403, 'origin_not_allowed'),
  row('P15', 'the origin of the shim itself', { more: 'Origin: http://127.0.0.1\r\n' }, 403, 'origin_not_allowed'),
  row('P15', 'null', { more: 'Origin: null\r\n' }, 403, 'origin_not_allowed'),
  row('P15', 'two origins, one of them listed', {
    more: 'Origin: https://app.example\r\nOrigin: https://evil.example\r\n',
  }),
  row('P15', 'a preflight that asks for a WebSocket', {
    line: 'OPTIONS / HTTP/1.1',
    more: 'Origin: https://app.example\r\nAccess-Control-Request-Method: GET\r\n',
  }),
  row(
    'P15',
    'a browser without a token',
    { token: undefined, more: 'Origin: https://app.example\r\n' },
    401,
    'missing_token',
  ),

  // subprotocols
  row('U10', 'a subprotocol that is empty', protocol('')),
  row('U10', 'a subprotocol list with an empty member', protocol('a,,b')),
  row('U10', 'a subprotocol that is no token', protocol('a b')),
  row('U10', 'a subprotocol twice', protocol('a, a')),
  row('U10', 'a subprotocol twice, on two lines', {
    more: 'Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a\r\n',
  }),

  // the head of any request
  row('F10', 'another expectation', { more: 'Expect: x\r\n' }, 417, 'expectation_failed'),
  row(
    'H20',
    '257 headers',
    { more: Array.from({ length: 257 }, (_, i) => `X-${i}: a\r\n`).join('') },
    431,
    'headers_too_large',
  ),
  row('O5', '20 KiB of headers', { more: `X-A: ${'a'.repeat(20_000)}\r\n` }, 431, 'headers_too_large'),
  row('H18', 'a space before a colon', { more: 'X-A : b\r\n' }),
  row('H18', 'a bare line feed', { more: 'X-A: b\nX-C: d\r\n' }),
  row('U6', 'a space before the colon of Upgrade', { without: ['upgrade'], more: 'Upgrade : websocket\r\n' }),
];
