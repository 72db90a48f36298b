/** What the gateway answers: no HTTP, not whole, elsewhere, or what it was told. */
import { HOP_HEADER, HOP_VALUE, USER_HEADER } from '../../helpers/hops.ts';
import { get } from '../../helpers/request-bytes.ts';
import { GATEWAY_SECRET, TOKENS } from '../../helpers/stack.ts';
import { passed, type Answer, type Case, type Reply } from './case.ts';
import type { RowId } from './rows.ts';

const OK = 'HTTP/1.1 200 OK\r\n';
const CHUNKED = 'Transfer-Encoding: chunked\r\n';
const EVENTS = `${OK}Content-Type: text/event-stream\r\n${CHUNKED}\r\n`;
const SEND = get('/v1/models', '', TOKENS.reader);

const answered = (
  row: RowId,
  title: string,
  reply: Reply,
  answers: readonly Answer[],
  more: Partial<Case> = {},
): Case => passed(row, title, SEND, { caller: 'reader' }, { reply, answers, ...more });
const badHead = (title: string, bytes: string): Case =>
  answered('F15', title, { bytes }, [{ status: 502, code: 'gateway_bad_response' }]);
/** The head has gone to the caller already: what follows is no end. */
const badBody = (row: RowId, title: string, bytes: string, ends?: true): Case =>
  answered(row, title, { bytes, ...(ends && { ends }) }, [{ status: 200, whole: false }], { closed: true });

const ECHO = [
  `Authorization: Bearer ${GATEWAY_SECRET}`,
  'X-Openclaw-Scopes: operator.admin',
  'x_openclaw_scopes: operator.admin',
  'X-Forwarded-User: admin',
  `${USER_HEADER}: admin`,
  `${USER_HEADER.replaceAll('-', '_')}: admin`,
  `${HOP_HEADER.toUpperCase()}: ${HOP_VALUE}`,
  'X-Auth-Shim-Caller: reader',
  'Set-Cookie: session=1',
  'Access-Control-Allow-Origin: *',
  'X-Request-Id: of-the-gateway',
  'Connection: keep-alive, x-hop',
  'X-Hop: 1',
  'Keep-Alive: timeout=99',
  'X-Kept: yes',
].join('\r\n');
const GONE: Answer['headers'] = {
  ...Object.fromEntries(
    [
      'authorization',
      'x-openclaw-scopes',
      'x_openclaw_scopes',
      'x-forwarded-user',
      'x-auth-shim-caller',
      'set-cookie',
      'access-control-allow-origin',
      'x-hop',
    ].map((name) => [name, null]),
  ),
  'x-kept': 'yes',
  'x-request-id': /^[0-9a-f-]{36}$/,
};
const HIDDEN: Answer['headers'] = { ...GONE, [USER_HEADER.toLowerCase()]: null, [HOP_HEADER.toLowerCase()]: null };
const echo = (status: number): Reply => ({ bytes: `HTTP/1.1 ${status} X\r\n${ECHO}\r\nContent-Length: 4\r\n\r\nbody` });

export const ANSWERS: readonly Case[] = [
  badHead('Content-Length and Transfer-Encoding', `${OK}Content-Length: 2\r\n${CHUNKED}\r\n2\r\n{}\r\n0\r\n\r\n`),
  badHead('Transfer-Encoding and Content-Length', `${OK}${CHUNKED}Content-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n`),
  badHead('two lengths', `${OK}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`),
  badHead('the same length twice', `${OK}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}`),
  ...['+2', '-2', '2,2', '0x2', '2 2', '2.0', 'two'].map((length) =>
    badHead(`length ${length}`, `${OK}Content-Length: ${length}\r\n\r\n{}`),
  ),
  badHead('a folded header', `${OK}X-A: b\r\n c\r\nContent-Length: 2\r\n\r\n{}`),
  badHead('a bare LF in the head', `${OK}X-A: b\nX-C: d\r\nContent-Length: 2\r\n\r\n{}`),
  badHead('a bare LF ends the head', `${OK}Content-Length: 2\r\n\n{}`),
  badHead('a bare CR in a header', `${OK}X-A: b\rX-C: d\r\nContent-Length: 2\r\n\r\n{}`),
  badHead('NUL in a header', `${OK}X-A: b\0c\r\nContent-Length: 2\r\n\r\n{}`),
  badHead('a space before the colon', `${OK}X-A : b\r\nContent-Length: 2\r\n\r\n{}`),
  badHead('a name that is none', `${OK}X A: b\r\nContent-Length: 2\r\n\r\n{}`),
  badHead('no status line', 'hello\r\n\r\n'),
  badHead('another protocol', 'SSH-2.0-OpenSSH_9.9\r\n'),
  badHead('HTTP/1.2', 'HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\n{}'),
  badHead('an unasked 101', 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'),
  badHead('an unasked 100', `HTTP/1.1 100 Continue\r\n\r\n${OK}Content-Length: 2\r\n\r\n{}`),
  badHead('status 099', 'HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n'),
  badHead('a head of 100 KiB', `${OK}X-A: ${'x'.repeat(100_000)}\r\nContent-Length: 2\r\n\r\n{}`),

  badBody('F15', 'chunk size 0x2', `${OK}${CHUNKED}\r\n0x2\r\n{}\r\n0\r\n\r\n`),
  badBody('F15', 'a chunk longer than its size', `${OK}${CHUNKED}\r\n1\r\n{}\r\n0\r\n\r\n`),
  badBody('F15', 'a bare LF behind the chunk size', `${OK}${CHUNKED}\r\n2\n{}\r\n0\r\n\r\n`),
  badBody('F18', 'shorter than its length', `${OK}Content-Length: 20\r\n\r\n{}`, true),
  badBody('F18', 'no last chunk', `${OK}${CHUNKED}\r\n2\r\n{}\r\n`, true),
  badBody('F18', 'half a last chunk', `${OK}${CHUNKED}\r\n2\r\n{}\r\n0\r\n`, true),
  badBody('F18', 'half an event', `${EVENTS}6\r\ndata: \r\n`, true),
  badBody('F18', 'an event stream, between events', `${EVENTS}9\r\ndata: x\n\n\r\n`, true),
  answered('F18', 'no byte of an answer', { bytes: '', ends: true }, [{ status: 502, code: 'gateway_bad_response' }], {
    hops: ['token', 'password', 'none', 'trusted-proxy'],
  }),
  // Over TLS 1.3 it is also what a server does that does not take the certificate of its client.
  answered(
    'F18',
    'no byte of an answer of another shim',
    { bytes: '', ends: true },
    [{ status: 502, code: 'gateway_refused' }],
    {
      hops: ['shim'],
    },
  ),
  answered('F18', 'half a head', { bytes: 'HTTP/1.1 200 OK\r\nContent-Le', ends: true }, [
    { status: 502, code: 'gateway_bad_response' },
  ]),
  answered(
    'F15',
    'interim answers are not passed on',
    {
      bytes: `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n${OK}Content-Length: 2\r\n\r\n{}`,
    },
    [{ status: 200, body: '{}', headers: { link: null } }],
  ),

  ...[200, 302, 403, 404, 500].map((status) =>
    answered('H26', `with ${status}`, echo(status), [{ status, body: 'body', headers: GONE }], {
      hops: ['token', 'password', 'none', 'shim'],
    }),
  ),
  ...[200, 302, 403, 404, 500].map((status) =>
    answered('H26', `with ${status}, the secret names too`, echo(status), [{ status, body: 'body', headers: HIDDEN }], {
      hops: ['trusted-proxy'],
    }),
  ),
  ...[301, 302, 303, 307, 308].map((status) =>
    answered(
      'P18',
      `${status} is passed, never followed`,
      { bytes: `HTTP/1.1 ${status} Moved\r\nLocation: http://127.0.0.1:1/v1/models\r\nContent-Length: 0\r\n\r\n` },
      [{ status, body: '', headers: { location: 'http://127.0.0.1:1/v1/models' } }],
    ),
  ),
  ...['{}', '', GATEWAY_SECRET].map((body) =>
    answered(
      'O3',
      `a 401 of the gateway with ${body.length} bytes is about the shim`,
      { bytes: `HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer\r\nContent-Length: ${body.length}\r\n\r\n${body}` },
      [{ status: 502, code: 'gateway_refused', headers: { 'www-authenticate': null } }],
    ),
  ),
  answered(
    'P15',
    'the gateway’s own CORS is not passed on',
    {
      bytes: `${OK}Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\nContent-Length: 2\r\n\r\n{}`,
    },
    [
      {
        status: 200,
        body: '{}',
        headers: { 'access-control-allow-origin': null, 'access-control-allow-credentials': null },
      },
    ],
  ),
];
