/** Framing and smuggling, on the caller's side. */
import { authorized, chunked, get, post } from '../../helpers/request-bytes.ts';
import { TOKENS } from '../../helpers/stack.ts';
import { BODY_LIMIT } from './callers.ts';
import { bad, passed, refused, type Case, type Forwarded } from './case.ts';
import type { RowId } from './rows.ts';

const BODY = '{"a":1}';
const SECOND = 'POST /tools/invoke HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n';
const CL = 'Content-Length: 7\r\n';
const TE = 'Transfer-Encoding: chunked\r\n';
const CHAT: Forwarded = { line: 'POST /v1/chat/completions', caller: 'writer' };
const LENGTH = 'content-length: 7';
const CHUNKED = 'transfer-encoding: chunked';

const coding = (row: RowId, title: string, value: string): Case =>
  bad(row, title, post(`Transfer-Encoding:${value}\r\n`, chunked(BODY)));
const length = (value: string, title = value): Case =>
  bad('F5', `length ${title}`, post(`Content-Length: ${value}\r\n`, BODY));
const whole = (row: RowId, title: string, send: string, framing: string, body: string, closed?: true): Case =>
  passed(row, title, send, { ...CHAT, framing, body }, closed && { closed });
const expecting = `Expect: 100-continue\r\n${CL}`;
const unread = (title: string, send: string, status: number, code: string): Case =>
  refused('F10', `100-continue: ${title}`, send, status, code, { closed: true });
const ok = { status: 200, body: '{}' } as const;

const HEADS: readonly Case[] = [
  bad('F1', 'length, then coding', post(CL + TE, chunked(BODY))),
  bad('F1', 'coding, then length', post(TE + CL, chunked(BODY))),
  bad('F1', 'a length of 0 and a coding', post(`Content-Length: 0\r\n${TE}`, chunked(BODY))),
  bad(
    'F1',
    'a length of all of it and a coding',
    post(`Content-Length: ${chunked(BODY).length}\r\n${TE}`, chunked(BODY)),
  ),
  bad('F1', 'a length twice and a coding', post(CL + CL + TE, chunked(BODY))),
  bad('F1', 'a coding in capitals', post(`${CL}TRANSFER-ENCODING: CHUNKED\r\n`, chunked(BODY))),
  coding('F2', 'xchunked', ' xchunked'),
  coding('F2', 'chunked, identity', ' chunked, identity'),
  coding('F2', 'chunkedx', ' chunkedx'),
  coding('F2', 'chunk', ' chunk'),
  coding('F2', 'a comma behind', ' chunked,'),
  coding('F2', 'a comma before', ' ,chunked'),
  coding('F2', 'a vertical tab before the value', '\x0bchunked'),
  coding('F2', 'a form feed behind the value', ' chunked\x0c'),
  coding('F2', 'a no-break space before the value', '\xa0chunked'),
  { ...coding('F2', 'a tab behind the value', ' chunked\t'), admitted: 1 },
  coding('F2', 'quoted', ' "chunked"'),
  coding('F2', 'folded', '\r\n chunked'),
  bad('F2', 'identity', post('Transfer-Encoding: identity\r\n', BODY)),
  bad('F2', 'two lines', post(TE + TE, chunked(BODY))),
  bad('F2', 'two lines, the second other', post(`${TE}Transfer-Encoding: x\r\n`, chunked(BODY))),
  bad('F2', 'two lines, the first other', post(`Transfer-Encoding: x\r\n${TE}`, chunked(BODY))),
  bad('F2', 'two lines, the second empty', post(`${TE}Transfer-Encoding:\r\n`, chunked(BODY))),
  bad('F2', 'a space before the colon', post('Transfer-Encoding : chunked\r\n', chunked(BODY))),
  bad('F2', 'empty beside a length', post(`Transfer-Encoding:\r\n${CL}`, BODY)),
  bad('F2', 'empty', post('Transfer-Encoding:\r\n', BODY)),
  coding('F3', 'gzip, chunked', ' gzip, chunked'),
  coding('F3', 'deflate, chunked', ' deflate, chunked'),
  coding('F3', 'trailers, chunked', ' trailers, chunked'),
  bad('F3', 'gzip and chunked on two lines', post(`Transfer-Encoding: gzip\r\n${TE}`, chunked(BODY))),
  bad('F3', 'gzip', post('Transfer-Encoding: gzip\r\n', BODY)),
  coding('F3', 'chunked, chunked', ' chunked, chunked'),
  coding('F3', 'chunked with a parameter', ' chunked;q=1'),
  bad('F5', 'the same length twice', post(CL + CL, BODY)),
  bad('F5', 'two lengths', post(`${CL}Content-Length: 6\r\n`, BODY)),
  bad('F5', 'two lengths, the second empty', post(`${CL}Content-Length:\r\n`, BODY)),
  ...['+7', '-7', '7,7', '7, 7', '0x7', '7 7', '7.0', '7e0', '7;', '"7"', '٧', '0b111', '7\x0b', 'seven'].map((value) =>
    length(value, JSON.stringify(value)),
  ),
  length('', 'empty'),
  length('99999999999999999999', 'of 20 digits'),
  length('0000000000000007', 'of 16 digits'),
  length('18446744073709551623', 'that overflows 64 bits'),
  bad('F5', 'a space before the colon', post('Content-Length : 7\r\n', BODY)),
  bad('F7', 'ends a header line', post('X-A: b\nX-C: d\r\nContent-Length: 7\r\n', BODY)),
  bad('F7', 'ends the head', `GET /v1/models HTTP/1.1\r\n${authorized()}\n`),
  bad('F7', 'ends the request line', `GET /v1/models HTTP/1.1\n${authorized()}\r\n`),
  bad('F7', 'ends every line', `GET /v1/models HTTP/1.1\r\n${authorized()}\r\n`.replaceAll('\r\n', '\n')),
  bad('F7', 'a bare CR in a header', get('/v1/models', 'X-A: b\rX-C: d\r\n')),
  ...['GET', 'HEAD', 'OPTIONS', 'DELETE', 'TRACE'].flatMap((method) => [
    bad('F8', `${method}, chunked`, `${method} /v1/models HTTP/1.1\r\n${authorized()}${TE}\r\n${chunked(SECOND)}`),
    bad('F8', `${method}, chunked and empty`, `${method} /v1/models HTTP/1.1\r\n${authorized()}${TE}\r\n0\r\n\r\n`),
    bad(
      'F8',
      `${method} with a length`,
      `${method} /v1/models HTTP/1.1\r\n${authorized()}Content-Length: ${SECOND.length}\r\n\r\n${SECOND}`,
    ),
  ]),
  refused('F10', 'another expectation', post(`Expect: 200-maybe\r\n${CL}`, BODY), 417, 'expectation_failed'),
  refused('F10', 'a list of expectations', post(`Expect: 100-continue, x\r\n${CL}`, BODY), 417, 'expectation_failed'),
  refused('F10', 'an empty expectation', post(`Expect:\r\n${CL}`, BODY), 417, 'expectation_failed'),
  bad('F10', 'two expectations', post(`Expect: 100-continue\r\nExpect: 100-continue\r\n${CL}`, BODY)),
  unread('no token', `POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n${expecting}\r\n`, 401, 'missing_token'),
  unread('no scope', post(expecting, '', TOKENS.reader), 403, 'insufficient_scope'),
  unread('no route', post(expecting, '').replace('/v1/chat', '/v1/chit'), 404, 'route_not_exposed'),
  unread('too long', post(`Expect: 100-continue\r\nContent-Length: ${BODY_LIMIT + 1}\r\n`, ''), 413, 'body_too_large'),
  unread(
    'another host',
    post(expecting, '').replace('Host: 127.0.0.1', 'Host: other.example'),
    421,
    'host_not_allowed',
  ),
  whole('F10', 'the headers of the hop are there', post(expecting, BODY), LENGTH, BODY),
  whole('F10', 'in capitals', post(`EXPECT: 100-CONTINUE\r\n${CL}`, BODY), LENGTH, BODY),
  bad('F11', 'HTTP/0.9', 'GET /v1/models\r\n\r\n'),
  ...[
    'HTTP/1.0',
    'HTTP/1.2',
    'HTTP/2.0',
    'HTTP/3.0',
    'HTTP/0.9',
    'HTTP/1.01',
    'HTTP/11',
    'http/1.1',
    'HTTPS/1.1',
    'ICE/1.0',
    'HTTP/1.1x',
  ].map((version) => bad('F11', `${version} in the request line`, `GET /v1/models ${version}\r\n${authorized()}\r\n`)),
  bad('F11', 'HTTP/1.0 with keep-alive', `GET /v1/models HTTP/1.0\r\n${authorized()}Connection: keep-alive\r\n\r\n`),
  bad('F11', 'the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  bad('F11', 'a TLS hello', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'),
  bad('F11', 'not a word of HTTP', '\x00\xff\r\n\r\n'),
  bad('F11', 'SSH', 'SSH-2.0-OpenSSH_9.9\r\n'),
  bad('F11', 'a tab in the request line', `GET\t/v1/models HTTP/1.1\r\n${authorized()}\r\n`),
  bad('F11', 'a space behind the version', `GET /v1/models HTTP/1.1 \r\n${authorized()}\r\n`),
];

/** Bodies that stop being chunks; what of them passes before that, as it is written anew. */
const BROKEN: readonly Case[] = (
  [
    ['F5', 'chunk size 0x7', `0x7\r\n${BODY}\r\n0\r\n\r\n`, ''],
    ['F5', 'chunk size that overflows', `10000000000000007\r\n${BODY}\r\n0\r\n\r\n`, ''],
    ['F5', 'chunk size -7', `-7\r\n${BODY}\r\n0\r\n\r\n`, ''],
    ['F5', 'chunk size +7', `+7\r\n${BODY}\r\n0\r\n\r\n`, ''],
    ['F5', 'a space before the chunk size', ` 7\r\n${BODY}\r\n0\r\n\r\n`, ''],
    ['F5', 'no chunk size', `\r\n${BODY}\r\n0\r\n\r\n`, ''],
    ['F5', 'a chunk longer than its size', `3\r\n${BODY}\r\n0\r\n\r\n`, '\r\n3\r\n{"a'],
    ['F6', 'extensions without end', `7;${'x'.repeat(20_000)}\r\n${BODY}\r\n0\r\n\r\n`, ''],
    ['F7', 'behind the chunk size', `7\n${BODY}\r\n0\r\n\r\n`, ''],
    ['F7', 'in a chunk extension', `7;x\n\r\n${BODY}\r\n0\r\n\r\n`, ''],
    ['F7', 'behind the chunk', `7\r\n${BODY}\n0\r\n\r\n`, `\r\n7\r\n${BODY}`],
    ['F7', 'behind the last chunk', `7\r\n${BODY}\r\n0\n\n`, `\r\n7\r\n${BODY}`],
    ['H19', 'a length in a trailer', `7\r\n${BODY}\r\n0\r\nContent-Length: 0\r\n\r\n`, `\r\n7\r\n${BODY}`],
  ] as const
).flatMap(([row, title, rest, begun]) => {
  const [status, code] = row === 'F6' ? ([413, 'body_too_large'] as const) : ([400, 'bad_request'] as const);
  const gateway = [{ ...CHAT, framing: CHUNKED, body: `2\r\n[]${begun}`, cut: true as const }];
  const next = { bytes: rest, after: { gateway: '[]' } };
  return [
    refused(row, `${title}, after a part is at the gateway`, post(TE, '2\r\n[]\r\n'), status, code, { gateway, next }),
    refused(row, `${title}, at once`, post(TE, rest), status, code, { admitted: 1 }),
  ];
});

const PASSED: readonly Case[] = [
  whole('F1', 'a length alone', post(CL, BODY), LENGTH, BODY),
  whole(
    'F9',
    'a body that passes as it comes',
    post('Content-Length: 70000\r\n', 'x'.repeat(70_000)),
    'content-length: 70000',
    'x'.repeat(70_000),
  ),
  whole('F5', 'a length with zeros before it', post('Content-Length: 007\r\n', BODY), LENGTH, BODY),
  whole(
    'F2',
    'a tab before the coding',
    post('Transfer-Encoding:\tchunked\r\n', chunked(BODY)),
    CHUNKED,
    chunked(BODY),
  ),
  whole('F1', 'a coding alone', post(TE, chunked(BODY)), CHUNKED, chunked(BODY)),
  whole(
    'F2',
    'the coding in capitals is written anew',
    post('Transfer-Encoding: CHUNKED\r\n', chunked(BODY)),
    CHUNKED,
    chunked(BODY),
  ),
  whole(
    'F6',
    'small extensions are dropped',
    post(TE, `7;a=b;c="d"\r\n${BODY}\r\n0;e\r\n\r\n`),
    CHUNKED,
    chunked(BODY),
  ),
  whole('F5', 'zeros before a chunk size', post(TE, `0007\r\n${BODY}\r\n000\r\n\r\n`), CHUNKED, chunked(BODY)),
  whole('F8', 'a body that is a request stays a body', post(TE, chunked(SECOND)), CHUNKED, chunked(SECOND)),
  whole(
    'F8',
    'the same with a length',
    post(`Content-Length: ${SECOND.length}\r\n`, SECOND),
    `content-length: ${SECOND.length}`,
    SECOND,
  ),
  whole(
    'F9',
    'what is longer than its length does not follow it',
    post('Content-Length: 3\r\n', BODY),
    'content-length: 3',
    BODY.slice(0, 3),
    true,
  ),
  whole('F14', 'behind Connection: close', post(`Connection: close\r\n${CL}`, BODY) + SECOND, LENGTH, BODY),
];

const none = 'GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n';
const missing = { status: 401, code: 'missing_token' } as const;
const one = { caller: 'writer' } as const;
const PIPELINED: readonly Case[] = [
  passed(
    'F13',
    'two callers',
    get('/v1/models', '', TOKENS.reader) + get('/v1/models'),
    { caller: 'reader' },
    { answers: [ok, ok], gateway: [{ caller: 'reader' }, one] },
  ),
  passed('F13', 'a good one, one without a credential, a good one', get('/v1/models') + none + get('/v1/models'), one, {
    answers: [ok, missing],
    closed: true,
  }),
  passed(
    'F13',
    'none goes on with the credential before it',
    get('/v1/models', '', TOKENS.admin) + none,
    { caller: 'admin' },
    { answers: [ok, missing], closed: true },
  ),
  passed('F13', 'a good one, then bytes of nobody', `${get('/v1/models')}\0garbage\r\n\r\n`, one, { closed: true }),
  passed('F13', 'refused, refused, good', get('/nothing') + get('/v1/chat/completions') + get('/v1/models'), one, {
    answers: [{ status: 404, code: 'route_not_exposed' }, { status: 405, code: 'method_not_allowed' }, ok],
  }),
  passed(
    'F13',
    'a body that is not allowed ends the connection',
    get('/v1/models') + post(CL, BODY, TOKENS.reader) + get('/v1/models'),
    one,
    {
      answers: [ok, { status: 403, code: 'insufficient_scope' }],
      closed: true,
    },
  ),
  refused('F13', 'a refused one, then a good one', none + get('/v1/models'), 401, 'missing_token'),
];

export const FRAMING: readonly Case[] = [...HEADS, ...BROKEN, ...PASSED, ...PIPELINED];
