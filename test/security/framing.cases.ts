/** Section 2.2 of the corpus as data: what the caller sends, and what becomes of it. */
import { authorized, chunked, get, post } from '../helpers/request-bytes.ts';

export const BODY = '{"a":1}';
const SECOND = `POST /tools/invoke HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`;
export const CL = 'Content-Length: 7\r\n';
export const TE = 'Transfer-Encoding: chunked\r\n';

interface RefusedCase {
  readonly name: string;
  readonly bytes: string;
  readonly status: number;
  readonly code: string;
}

const bad = (name: string, bytes: string, status = 400, code = 'bad_request'): RefusedCase => ({
  name,
  bytes,
  status,
  code,
});

/** Refused by their heads. */
export const REFUSED: readonly RefusedCase[] = [
  bad('F1 Content-Length, then Transfer-Encoding', post(CL + TE, chunked(BODY))),
  bad('F1 Transfer-Encoding, then Content-Length', post(TE + CL, chunked(BODY))),
  bad('F1 Content-Length of 0 and Transfer-Encoding', post(`Content-Length: 0\r\n${TE}`, chunked(BODY))),
  bad('F2 xchunked', post('Transfer-Encoding: xchunked\r\n', chunked(BODY))),
  bad('F2 chunked, identity', post('Transfer-Encoding: chunked, identity\r\n', chunked(BODY))),
  bad('F2 identity', post('Transfer-Encoding: identity\r\n', BODY)),
  bad('F2 two lines', post(TE + TE, chunked(BODY))),
  bad('F2 two lines, the second other', post(`${TE}Transfer-Encoding: x\r\n`, chunked(BODY))),
  bad('F2 space before the colon', post('Transfer-Encoding : chunked\r\n', chunked(BODY))),
  bad('F2 vertical tab before the value', post('Transfer-Encoding:\x0bchunked\r\n', chunked(BODY))),
  bad('F2 quoted', post('Transfer-Encoding: "chunked"\r\n', chunked(BODY))),
  bad('F2 empty beside a length', post(`Transfer-Encoding:\r\n${CL}`, BODY)),
  bad('F2 empty', post('Transfer-Encoding:\r\n', BODY)),
  bad('F3 gzip, chunked', post('Transfer-Encoding: gzip, chunked\r\n', chunked(BODY))),
  bad('F3 gzip and chunked on two lines', post(`Transfer-Encoding: gzip\r\n${TE}`, chunked(BODY))),
  bad('F3 gzip', post('Transfer-Encoding: gzip\r\n', BODY)),
  bad('F3 chunked, chunked', post('Transfer-Encoding: chunked, chunked\r\n', chunked(BODY))),
  bad('F3 chunked with a parameter', post('Transfer-Encoding: chunked;q=1\r\n', chunked(BODY))),
  bad('F5 the same length twice', post(CL + CL, BODY)),
  bad('F5 two lengths', post(`${CL}Content-Length: 6\r\n`, BODY)),
  bad('F5 +7', post('Content-Length: +7\r\n', BODY)),
  bad('F5 -7', post('Content-Length: -7\r\n', BODY)),
  bad('F5 7,7', post('Content-Length: 7,7\r\n', BODY)),
  bad('F5 0x7', post('Content-Length: 0x7\r\n', BODY)),
  bad('F5 7 7', post('Content-Length: 7 7\r\n', BODY)),
  bad('F5 7.0', post('Content-Length: 7.0\r\n', BODY)),
  bad('F5 empty', post('Content-Length:\r\n', BODY)),
  bad('F5 20 digits', post('Content-Length: 99999999999999999999\r\n', BODY)),
  bad('F5 16 digits', post('Content-Length: 0000000000000007\r\n', BODY)),
  bad('F7 bare LF ends a header line', post('X-A: b\nX-C: d\r\nContent-Length: 7\r\n', BODY)),
  bad('F7 bare LF ends the head', `GET /v1/models HTTP/1.1\r\n${authorized()}\n`),
  bad('F7 bare LF ends the request line', `GET /v1/models HTTP/1.1\n${authorized()}\r\n`),
  bad('F7 bare CR in a header', get('/v1/models', 'X-A: b\rX-C: d\r\n')),
  ...['GET', 'HEAD', 'OPTIONS', 'DELETE', 'TRACE'].flatMap((method) => [
    bad(
      `F8 ${method} with a chunked body that is a request`,
      `${method} /v1/models HTTP/1.1\r\n${authorized()}${TE}\r\n${chunked(SECOND)}`,
    ),
    bad(
      `F8 ${method} with a length and a body that is a request`,
      `${method} /v1/models HTTP/1.1\r\n${authorized()}Content-Length: ${SECOND.length}\r\n\r\n${SECOND}`,
    ),
  ]),
  bad('F10 another expectation', post(`Expect: 200-maybe\r\n${CL}`, BODY), 417, 'expectation_failed'),
  bad('F10 a list of expectations', post(`Expect: 100-continue, x\r\n${CL}`, BODY), 417, 'expectation_failed'),
  bad('F10 two expectations', post(`Expect: 100-continue\r\nExpect: 100-continue\r\n${CL}`, BODY)),
  bad('F11 HTTP/0.9', 'GET /v1/models\r\n\r\n'),
  bad('F11 HTTP/1.0', `GET /v1/models HTTP/1.0\r\n${authorized()}\r\n`),
  bad('F11 HTTP/1.0 with keep-alive', `GET /v1/models HTTP/1.0\r\n${authorized()}Connection: keep-alive\r\n\r\n`),
  bad('F11 HTTP/1.2', `GET /v1/models HTTP/1.2\r\n${authorized()}\r\n`),
  bad('F11 HTTP/2.0', `GET /v1/models HTTP/2.0\r\n${authorized()}\r\n`),
  bad('F11 http/1.1', `GET /v1/models http/1.1\r\n${authorized()}\r\n`),
  bad('F11 preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  bad('F11 a TLS hello', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'),
  bad('F11 not a word of HTTP', '\x00\xff\r\n\r\n'),
];

/** Refused by their bodies, of which a part may be at the gateway already: it must never see one that is whole. */
export const BROKEN_BODIES: readonly (RefusedCase & { readonly body: string })[] = [
  ['F5 chunk size 0x7', `0x7\r\n${BODY}\r\n0\r\n\r\n`],
  ['F5 chunk size that overflows', `10000000000000007\r\n${BODY}\r\n0\r\n\r\n`],
  ['F5 chunk size -7', `-7\r\n${BODY}\r\n0\r\n\r\n`],
  ['F5 chunk size with a space before it', ` 7\r\n${BODY}\r\n0\r\n\r\n`],
  ['F5 empty chunk size', `\r\n${BODY}\r\n0\r\n\r\n`],
  ['F5 chunk longer than its size', `3\r\n${BODY}\r\n0\r\n\r\n`],
  ['F6 chunk extensions without end', `7;${'x'.repeat(20_000)}\r\n${BODY}\r\n0\r\n\r\n`],
  ['F7 bare LF after the chunk size', `7\n${BODY}\r\n0\r\n\r\n`],
  ['F7 bare LF in a chunk extension', `7;x\n\r\n${BODY}\r\n0\r\n\r\n`],
  ['F7 bare LF after the chunk', `7\r\n${BODY}\n0\r\n\r\n`],
  ['F7 bare LF after the last chunk', `7\r\n${BODY}\r\n0\n\n`],
].map(([name = '', body = '']) => {
  const large = name.startsWith('F6');
  return { ...bad(name, '', large ? 413 : 400, large ? 'body_too_large' : 'bad_request'), body };
});

interface PassedCase {
  readonly name: string;
  readonly bytes: string;
  /** Framing line and body that the gateway must get, byte for byte. */
  readonly framing: string;
  readonly body: string;
}

export const PASSED: readonly PassedCase[] = [
  { name: 'a length', bytes: post(CL, BODY), framing: 'content-length: 7', body: BODY },
  {
    name: 'a length of a body that passes as it comes',
    bytes: post('Content-Length: 70000\r\n', 'x'.repeat(70_000)),
    framing: 'content-length: 70000',
    body: 'x'.repeat(70_000),
  },
  {
    name: 'F5 a length with zeros before it',
    bytes: post('Content-Length: 007\r\n', BODY),
    framing: 'content-length: 7',
    body: BODY,
  },
  {
    name: 'a chunked body',
    bytes: post(TE, chunked(BODY)),
    framing: 'transfer-encoding: chunked',
    body: chunked(BODY),
  },
  {
    name: 'F2 the coding in capitals is written anew',
    bytes: post('Transfer-Encoding: CHUNKED\r\n', chunked(BODY)),
    framing: 'transfer-encoding: chunked',
    body: chunked(BODY),
  },
  {
    name: 'F6 small chunk extensions are dropped',
    bytes: post(TE, `7;a=b;c="d"\r\n${BODY}\r\n0;e\r\n\r\n`),
    framing: 'transfer-encoding: chunked',
    body: chunked(BODY),
  },
  {
    name: 'H19 trailers and Trailer are dropped',
    bytes: post(
      `${TE}Trailer: x-openclaw-scopes\r\n`,
      `7\r\n${BODY}\r\n0\r\nx-openclaw-scopes: operator.admin\r\n\r\n`,
    ),
    framing: 'transfer-encoding: chunked',
    body: chunked(BODY),
  },
  {
    name: 'F8 a body that is a request stays a body',
    bytes: post(TE, chunked(SECOND)),
    framing: 'transfer-encoding: chunked',
    body: chunked(SECOND),
  },
  {
    name: 'F9 what is longer than its length does not follow it',
    bytes: post('Content-Length: 3\r\n', BODY),
    framing: 'content-length: 3',
    body: BODY.slice(0, 3),
  },
  {
    name: 'F14 data after Connection: close is ignored',
    bytes: post(`Connection: close\r\n${CL}`, BODY) + SECOND,
    framing: 'content-length: 7',
    body: BODY,
  },
];
