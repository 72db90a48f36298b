/** Hosts, web origins, and the routes that are open without a credential. */
import { authorized, get } from '../../helpers/request-bytes.ts';
import { TOKENS } from '../../helpers/stack.ts';
import { bad, passed, refused, type Case } from './case.ts';
import type { RowId } from './rows.ts';

const at = (host: string): string =>
  `GET /v1/models HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${TOKENS.reader}\r\n\r\n`;
const nobody = (line: string, more = ''): string => `${line} HTTP/1.1\r\nHost: 127.0.0.1\r\n${more}\r\n`;
const LISTED = 'https://app.example';
const CORS = {
  'access-control-allow-origin': LISTED,
  vary: 'Origin',
} as const;
const EXPOSED = { ...CORS, 'access-control-expose-headers': /x-request-id/ } as const;
const PREFLIGHT = {
  ...CORS,
  'access-control-allow-credentials': null,
  'access-control-allow-methods': /\bPOST\b/,
  'access-control-allow-headers': /\bauthorization\b.*\bx-stainless-os\b/,
} as const;
const NO_CORS = { 'access-control-allow-origin': null } as const;

const HOSTS: readonly Case[] = [
  ...[
    'a#@b',
    'a:80@b',
    '127.0.0.1,evil',
    '127.0.0.1, 127.0.0.1',
    '127.0.0.1 evil',
    '[::1',
    '::1',
    '127.0.0.1:',
    '127.0.0.1:x',
    '127.0.0.1:-1',
    '127.0.0.1:123456',
    'user@127.0.0.1',
    'http://127.0.0.1',
    '127.0.0.1/',
    '127.0.0.1?',
    '127.0.0.1\\evil',
    '127.0.0.1%00',
    '[::1%25lo]',
    '*',
    'exämple',
  ].map((host) => bad('P13', JSON.stringify(host), at(host))),
  ...[
    'evil.example',
    'evil.example:80',
    '0.0.0.0',
    '[::]',
    '127.0.0.2',
    'localhost.evil.example',
    'evil.localhost',
    '127.0.0.1.',
    '127.1',
    '2130706433',
    '0x7f000001',
    '017700000001',
    '[::ffff:127.0.0.1]',
    'shim.example.',
    'shim.example.evil',
  ].map((host) => refused('P14', host, at(host), 421, 'host_not_allowed')),
  refused('P14', 'of nobody', 'GET /v1/models HTTP/1.1\r\nHost: evil.example\r\n\r\n', 421, 'host_not_allowed'),
  ...['shim.example', 'SHIM.EXAMPLE:8443', '127.0.0.1', 'localhost:1', '[::1]:2', '127.0.0.1:00080'].map((host) =>
    passed('P14', `${host} is served`, at(host), { caller: 'reader', host }),
  ),
];

const preflight = (origin: string, path = '/v1/models'): string =>
  nobody(`OPTIONS ${path}`, `Origin: ${origin}\r\nAccess-Control-Request-Method: POST\r\n`);
const ORIGINS: readonly Case[] = [
  ...[
    'https://evil.example',
    'null',
    'https://app.example.evil',
    'https://evilapp.example',
    'http://app.example',
    'https://app.example:444',
    'https://app.example/',
    'https://app.example https://evil.example',
    'HTTPS://APP.EXAMPLE',
    'file://',
    '*',
    '',
  ].flatMap((origin) => [
    refused(
      'P15',
      `${JSON.stringify(origin)} of a caller`,
      get('/v1/models', `Origin: ${origin}\r\n`),
      403,
      'origin_not_allowed',
      { headers: NO_CORS },
    ),
    refused('P15', `a preflight of ${JSON.stringify(origin)}`, preflight(origin), 403, 'origin_not_allowed', {
      headers: NO_CORS,
    }),
  ]),
  bad('P15', 'a listed one twice', get('/v1/models', `Origin: ${LISTED}\r\nOrigin: ${LISTED}\r\n`)),
  ...['/v1/chat/completions', '/nothing'].map((path): Case => ({
    row: 'P15',
    title: `a preflight of a listed one for ${path}`,
    send: preflight(LISTED, path),
    answers: [{ status: 204, body: '', headers: PREFLIGHT }],
    closed: false,
    gateway: [],
  })),
  passed(
    'P15',
    'a listed one',
    get('/v1/models', `Origin: ${LISTED}\r\n`),
    { caller: 'writer' },
    { answers: [{ status: 200, body: '{}', headers: EXPOSED }] },
  ),
  refused('P15', 'a listed one, no route', get('/nothing', `Origin: ${LISTED}\r\n`), 404, 'route_not_exposed', {
    headers: EXPOSED,
  }),
  refused(
    'P15',
    'a listed one without a credential',
    nobody('GET /v1/models', `Origin: ${LISTED}\r\n`),
    401,
    'missing_token',
    { headers: EXPOSED },
  ),
  refused(
    'P15',
    'OPTIONS of a listed one that is no preflight',
    `OPTIONS /v1/models HTTP/1.1\r\n${authorized()}Origin: ${LISTED}\r\n\r\n`,
    405,
    'method_not_allowed',
    { headers: EXPOSED },
  ),
];

const open = { variant: 'open' } as const;
const FORGED = 'x-openclaw-scopes: operator.admin\r\nX-Forwarded-User: admin\r\nCookie: a=b\r\nX-A: b\r\n';
const shut = (row: RowId, send: string, title: string, status = 401, code = 'missing_token'): Case =>
  refused(row, title, send, status, code, open);
const HEALTH: readonly Case[] = [
  ...['GET /health', 'GET /healthz', 'HEAD /health', 'HEAD /healthz'].map((line) =>
    passed(
      'P22',
      line,
      nobody(line, FORGED),
      { line, caller: null },
      {
        ...open,
        answers: [{ status: 200, body: line.startsWith('HEAD') ? '' : '{}' }],
      },
    ),
  ),
  passed(
    'P22',
    'with a credential, which stays here',
    get('/healthz', '', TOKENS.admin),
    { line: 'GET /healthz', caller: null },
    open,
  ),
  bad('P22', 'with a body', nobody('GET /healthz', 'Content-Length: 3\r\n') + 'abc', open),
  bad('P22', 'with a chunked body', nobody('GET /healthz', 'Transfer-Encoding: chunked\r\n') + '0\r\n\r\n', open),
  ...[
    'GET /healthz/',
    'GET /healthz?x',
    'GET /healthzz',
    'GET /HEALTHZ',
    'GET /%68ealthz',
    'GET /v1/models',
    'GET /readyz',
    'GET /healthz.',
    'POST /healthz',
    'TRACE /healthz',
    'OPTIONS /healthz',
    'CONNECT /healthz',
  ].map((line) => shut('P20', nobody(line, 'User-Agent: kube-probe/1.30\r\n'), line)),
  ...[
    'GET /healthz/../v1/models',
    'GET //healthz',
    'GET /health?token=x',
    'GET /healthz%2f..',
    'GET http://127.0.0.1/healthz',
  ].map((line) => shut('P20', nobody(line), line, 400, 'bad_request')),
  shut(
    'P20',
    nobody('GET /healthz', 'Origin: https://evil.example\r\n'),
    'of another origin',
    403,
    'origin_not_allowed',
  ),
  shut('P20', 'GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n', 'of another host', 421, 'host_not_allowed'),
].map((one) => (one.answers[0]?.code === 'origin_not_allowed' ? { ...one, closed: false } : one));

export const NAMES: readonly Case[] = [...HOSTS, ...ORIGINS, ...HEALTH];
