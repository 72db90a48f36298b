/** The reader that the recorder has in place of Node's: what it takes, and what it must never take. */
import t from 'tap';
import { chunked } from '../helpers/request-bytes.ts';
import { readRequests } from '../helpers/requests.ts';

const HEAD = 'POST /a HTTP/1.1\r\nHost: b\r\n';
const CL = 'Content-Length: 2\r\n';
const TE = 'Transfer-Encoding: chunked\r\n';

const REFUSED: Readonly<Record<string, string>> = {
  'a bare LF behind the request line': 'GET /a HTTP/1.1\nHost: b\r\n\r\n',
  'a bare LF in a header': `${HEAD}X: a\nY: b\r\n\r\n`,
  'a bare CR in a header': `${HEAD}X: a\rY: b\r\n\r\n`,
  'a folded line': `${HEAD}X: a\r\n b\r\n\r\n`,
  'a line folded with a tab': `${HEAD}X: a\r\n\tb\r\n\r\n`,
  'NUL in a header': `${HEAD}X: a\0b\r\n\r\n`,
  'a space before a colon': `${HEAD}X : a\r\n\r\n`,
  'a space in a name': `${HEAD}X Y: a\r\n\r\n`,
  'no name': `${HEAD}: a\r\n\r\n`,
  'no colon': `${HEAD}X\r\n\r\n`,
  'two spaces in the request line': 'GET  /a HTTP/1.1\r\nHost: b\r\n\r\n',
  'absolute form': 'GET http://b/a HTTP/1.1\r\nHost: b\r\n\r\n',
  'another version': 'GET /a HTTP/1.0\r\nHost: b\r\n\r\n',
  'a method in small letters': 'get /a HTTP/1.1\r\nHost: b\r\n\r\n',
  'a line before the request line': `\r\n${HEAD}\r\n`,
  'no Host': 'GET /a HTTP/1.1\r\nX: b\r\n\r\n',
  'two of Host': `${HEAD}Host: b\r\n\r\n`,
  'two lengths': `${HEAD}${CL}${CL}\r\n{}`,
  'a length and a coding': `${HEAD}${CL}${TE}\r\n${chunked('{}')}`,
  'two codings': `${HEAD}${TE}${TE}\r\n${chunked('{}')}`,
  'another coding': `${HEAD}Transfer-Encoding: gzip, chunked\r\n\r\n`,
  'length +2': `${HEAD}Content-Length: +2\r\n\r\n{}`,
  'length 2,2': `${HEAD}Content-Length: 2,2\r\n\r\n{}`,
  'an empty length': `${HEAD}Content-Length:\r\n\r\n{}`,
  'chunk size 0x2': `${HEAD}${TE}\r\n0x2\r\n{}\r\n0\r\n\r\n`,
  'a chunk extension': `${HEAD}${TE}\r\n2;a=b\r\n{}\r\n0\r\n\r\n`,
  'a chunk that is longer than it says': `${HEAD}${TE}\r\n1\r\n{}\r\n0\r\n\r\n`,
  'a chunk that is shorter than it says': `${HEAD}${TE}\r\n3\r\n{}\r\n0\r\n\r\n`,
  'a bare LF behind a chunk size': `${HEAD}${TE}\r\n2\n{}\r\n0\r\n\r\n`,
  'a trailer': `${HEAD}${TE}\r\n2\r\n{}\r\n0\r\nX: a\r\n\r\n`,
  'bytes behind the body': `${HEAD}${CL}\r\n{}garbage\r\n\r\n`,
};

void t.test('refused', async (t) => {
  for (const [name, bytes] of Object.entries(REFUSED)) t.throws(() => readRequests(bytes), name);
});

void t.test('taken, with every byte', async (t) => {
  const requests = [
    'GET /a?b=%41 HTTP/1.1\r\nHost: b\r\nX-Empty:\r\nX: \t a\xe9 \r\n\r\n',
    `${HEAD}${CL}\r\n{}`,
    `${HEAD}${TE}\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n`,
  ];
  const read = readRequests(requests.join(''));
  t.strictSame(
    read.map(({ bytes }) => bytes),
    requests,
  );
  t.match(read, [
    { line: 'GET /a?b=%41 HTTP/1.1', rawHeaders: ['Host', 'b', 'X-Empty', '', 'X', 'a\xe9'], complete: true },
    { body: '{}', complete: true },
    { body: '{}', complete: true },
  ]);
});

void t.test('what is not whole is not', async (t) => {
  t.strictSame(readRequests('POST /a HTTP/1.1\r\nHos'), []);
  for (const rest of ['{', '']) t.match(readRequests(`${HEAD}${CL}\r\n${rest}`), [{ complete: false }]);
  for (const rest of ['', '2\r\n{', '2\r\n{}\r\n', '2\r\n{}\r\n0\r\n']) {
    t.match(readRequests(`${HEAD}${TE}\r\n${rest}`), [{ complete: false }], JSON.stringify(rest));
  }
});
