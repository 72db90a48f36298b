/** Leaks, and what is too large. */
import { get, post } from '../../helpers/request-bytes.ts';
import { TOKENS } from '../../helpers/stack.ts';
import { BODY_LIMIT } from './callers.ts';
import { bad, passed, refused, type Case } from './case.ts';

const many = (count: number): string => Array.from({ length: count }, (_, i) => `a${i}:\r\n`).join('');
const large = (title: string, send: string): Case => refused('O5', title, send, 431, 'headers_too_large');
const TE = 'Transfer-Encoding: chunked\r\n';
const BODY = 'x'.repeat(BODY_LIMIT);

export const OPERATION: readonly Case[] = [
  ...[
    'token',
    'access_token',
    'password',
    'Token',
    '%74oken',
    '%50assword',
    'a=b&token',
    'a;token',
    '&&access_token',
    'a=b;PASSWORD',
  ].flatMap((name) =>
    ['/v1/models', '/nothing'].map((path) => bad('O1', `${path}?${name}=`, get(`${path}?${name}=${TOKENS.admin}`))),
  ),
  bad('O1', 'a name without a value', get('/v1/models?token')),
  bad('O1', 'of nobody', `GET /v1/models?token=${TOKENS.admin} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`),
  passed('O1', 'in Referer', get('/v1/models?q=words', `Referer: http://a/?token=${TOKENS.admin}\r\n`), {
    caller: 'writer',
    line: 'GET /v1/models?q=words',
  }),
  refused('O1', 'in the path', get(`/v1/chat/completions/${TOKENS.admin}`), 404, 'route_not_exposed'),
  refused('O1', 'in the path of a session', get(`/sessions/${TOKENS.admin}/x`), 404, 'route_not_exposed'),

  ...['/a"},{"level":60,"msg":"x', "/a'b", `/${'x!'.repeat(5_000)}`, '/a%22%7B', '/%1b[2J', '/a{"b":1}'].map((path) =>
    path.includes('%1b')
      ? bad('O2', JSON.stringify(path), get(path))
      : refused('O2', path.slice(0, 40), get(path, 'User-Agent: "},{\\n\x85\r\n'), 404, 'route_not_exposed'),
  ),
  bad('O2', 'escapes that are no HTTP', '\x1b[2J\n{"level":60}\r\n\r\n'),
  bad('O2', 'a Host with an escape', 'GET / HTTP/1.1\r\nHost: a_\x1b"b\r\n\r\n'),
  refused('O2', 'a method with quotes', 'G"ET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n', 400, 'bad_request'),

  large('a header of 17 KiB', get('/v1/models', `X-A: ${'x'.repeat(17 * 1024)}\r\n`)),
  large('a target of 17 KiB', get(`/v1/models?${'x'.repeat(17 * 1024)}`)),
  large('a name of 17 KiB', get('/v1/models', `${'x'.repeat(17 * 1024)}: a\r\n`)),
  large('10,000 headers', get('/v1/models', many(10_000))),
  large('5,000 headers', get('/v1/models', many(5_000))),
  large('a megabyte of one header', get('/v1/models', `X-A: ${'x'.repeat(1_000_000)}\r\n`)),
  large('headers without end', `GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n${many(5_000)}`),
  refused(
    'O5',
    'a length of 15 digits',
    post('Expect: 100-continue\r\nContent-Length: 999999999999999\r\n', ''),
    413,
    'body_too_large',
  ),
  refused(
    'O5',
    'a length above the limit, and the body',
    post(`Content-Length: ${BODY_LIMIT + 1}\r\n`, `${BODY}x`),
    413,
    'body_too_large',
  ),
  passed('O5', 'a body at the limit', post(`Content-Length: ${BODY_LIMIT}\r\n`, BODY), {
    line: 'POST /v1/chat/completions',
    caller: 'writer',
    framing: `content-length: ${BODY_LIMIT}`,
    body: BODY,
  }),
  refused(
    'O5',
    'chunks above the limit, after a part is at the gateway',
    post(TE, '2\r\n[]\r\n'),
    413,
    'body_too_large',
    {
      next: { bytes: `${(BODY_LIMIT - 1).toString(16)}\r\n${BODY.slice(1)}\r\n0\r\n\r\n`, after: { gateway: '[]' } },
      gateway: [
        {
          line: 'POST /v1/chat/completions',
          caller: 'writer',
          framing: 'transfer-encoding: chunked',
          body: '2\r\n[]',
          cut: 'more',
        },
      ],
    },
  ),
];
