/** Section 2.3 of the corpus as data: request targets, hosts and methods. */
import { authorized, get } from '../helpers/request-bytes.ts';
import { TOKENS } from '../helpers/stack.ts';

interface RefusedCase {
  readonly name: string;
  readonly bytes: string;
  readonly status: number;
  readonly code: string;
  readonly closes: boolean;
}

const target = (row: string, value: string): RefusedCase => ({
  name: `${row} ${value}`,
  bytes: get(value, '', TOKENS.admin),
  status: 400,
  code: 'bad_request',
  closes: true,
});
const notExposed = (row: string, value: string): RefusedCase => ({
  ...target(row, value),
  status: 404,
  code: 'route_not_exposed',
  closes: false,
});
const host = (row: string, value: string, status: number, code: string): RefusedCase => ({
  name: `${row} Host: ${value}`,
  bytes: `GET /v1/models HTTP/1.1\r\nHost: ${value}\r\nAuthorization: Bearer ${TOKENS.admin}\r\n\r\n`,
  status,
  code,
  closes: true,
});
const method = (name: string, value = '/v1/models'): RefusedCase => ({
  name: `P17 ${name}`,
  bytes: `${name} ${value} HTTP/1.1\r\n${authorized(TOKENS.admin)}\r\n`,
  status: 405,
  code: 'method_not_allowed',
  closes: false,
});

export const REFUSED: readonly RefusedCase[] = [
  ...[
    '/public/../v1/models',
    '/v1/chat/../models',
    '/v1/./models',
    '/v1/models/..',
    '/v1/models/.',
    '/..',
    '/v1/%2e%2e/v1/models',
    '/v1/%2E./v1/models',
    '/v1/.%2e/v1/models',
    '/v1/%2e/models',
    '/v1/models/openclaw%2F..',
    '/sessions/../history',
    '/sessions/%2e%2e/history',
  ].map((value) => target('P1', value)),
  ...['//v1/models', '/v1//models', '/v1/models//', '//evil.example/v1/models', '//'].map((value) =>
    target('P2', value),
  ),
  ...[
    '/v1%2fmodels',
    '/v1%2Fmodels',
    '/v1%5cmodels',
    '/v1%5Cmodels',
    '/v1\\models',
    '/\\evil.example/v1/models',
    '/v1/models/openclaw%2Fa%2Fb',
    '/v1/models/openclaw%5Cdefault',
    '/v1/models/other%2Fdefault',
    '/sessions/agent%2Fmain/history',
  ].map((value) => target('P3', value)),
  ...['/v1/models#', '/pub#/../v1/models', '/v1/models?a=b#c', '#'].map((value) => target('P5', value)),
  ...[
    '/v1/models%00',
    '/v1/models%0d%0aX-A:b',
    '/v1/models%7f',
    '/v1/%c0%ae%c0%ae/models',
    '/v1/models%c0%af',
    '/v1/models%e0%80%af',
    '/v1/models%ff',
    '/v1/%252e%252e/models',
    '/v1/models%2500',
    '/v1/models%',
    '/v1/models%2',
    '/v1/models%zz',
    '/v1/models%u002f',
    '/v1/models\xc3\xa4',
    '/v1/models?q=\xc3\xa4',
    '/v1/models%3b',
    '/v1/models%3fa=b',
    '/v1/models;a=b',
    '/v1;/models',
  ].map((value) => target('P7', value)),
  ...[
    'http://evil.example/v1/models',
    'http://127.0.0.1/v1/models',
    'https://127.0.0.1/v1/models',
    'v1/models',
    '?',
    'evil.example:443',
  ].map((value) => target('P10', value)),
  target('P11', '*'),
  { ...target('P11', '*'), name: 'P11 OPTIONS *', bytes: `OPTIONS * HTTP/1.1\r\n${authorized()}\r\n` },
  {
    ...target('O1', '/v1/models?token=x'),
    name: 'O1 a credential in the query, asked anonymously',
    bytes: 'GET /v1/models?token=x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n',
  },
  ...[
    '/v1/models?access_token=x',
    '/v1/models?a=b&password=x',
    '/v1/models?%74oken=x',
    '/v1/models?a;TOKEN=x',
    '/v1/models?token',
  ].map((value) => target('O1', value)),

  ...['/V1/MODELS', '/v1/Models', '/v1/chat/Completions'].map((value) => notExposed('P8', value)),
  ...[
    '/v1/models/',
    '/v1/models.',
    '/v1/models%20',
    '/v1/models,',
    '/v1',
    '/v1/',
    '/',
    '/v1/models/openclaw/default',
  ].map((value) => notExposed('P9', value)),
  ...[
    '/v1/models%2Djson',
    '/v1/%6dodels',
    '/v1/modelsx',
    '/xv1/models',
    '/api/v1/models',
    '/healthz',
    '/__openclaw__/a',
    '/hooks/wake',
  ].map((value) => notExposed('P9', value)),
  ...['/v1/admin?x=/v1/models', '/admin?/v1/models', '/admin?path=/v1/models&method=GET'].map((value) =>
    notExposed('P6', value),
  ),

  ...[
    'a#@b',
    'a:80@b',
    '127.0.0.1,evil',
    '127.0.0.1 evil',
    '',
    '[::1',
    '127.0.0.1:',
    '127.0.0.1:x',
    'user@127.0.0.1',
    'http://127.0.0.1',
    '127.0.0.1/',
    '127.0.0.1:123456',
  ].map((value) => host('P13', value, 400, 'bad_request')),
  {
    ...host('P13', '127.0.0.1\r\nHost: 127.0.0.1', 400, 'bad_request'),
    name: 'P13 Host twice',
  },
  {
    ...target('P13', '/v1/models'),
    name: 'P13 no Host',
    bytes: `GET /v1/models HTTP/1.1\r\nAuthorization: Bearer ${TOKENS.admin}\r\n\r\n`,
  },
  ...[
    'evil.example',
    'evil.example:80',
    '0.0.0.0',
    '127.0.0.2',
    'localhost.evil.example',
    '127.0.0.1.',
    '2130706433',
    '[::ffff:127.0.0.1]',
  ].map((value) => host('P14', value, 421, 'host_not_allowed')),

  ...['TRACE', 'PATCH', 'PUT', 'DELETE', 'PROPFIND', 'POST', 'HEAD', 'OPTIONS'].map((name) => method(name)),
  // What Node's parser itself does not know, or gives a bare socket for, has no connection to go on with.
  ...['FOO', 'get', 'GETX'].map((name) => ({ ...method(name), closes: true })),
  { ...method('CONNECT', '127.0.0.1:443'), closes: true },
  { ...method('CONNECT', '/v1/models'), closes: true },
  {
    ...method('CONNECT', 'gateway:80'),
    name: 'P17 CONNECT, anonymous',
    bytes: 'CONNECT gateway:80 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n',
    status: 401,
    code: 'missing_token',
    closes: true,
  },
];

interface PassedCase {
  readonly name: string;
  readonly target: string;
  readonly more?: string;
}

export const PASSED: readonly PassedCase[] = [
  { name: 'the path as it came', target: '/v1/models/openclaw%2Fdefault' },
  { name: 'the path as it came, lower-case digits', target: '/v1/models/openclaw%2fmain' },
  { name: 'an encoded colon of a session key', target: '/sessions/agent%3Amain:a@b.c/history' },
  { name: 'P6 a query is never read for the route', target: '/v1/models?x=/public&y=../..&z=//' },
  { name: 'P19 2,000 parameters', target: `/v1/models?${Array.from({ length: 2000 }, (_, i) => `p${i}`).join('&')}` },
  { name: 'P19 a query that no parser reads', target: '/v1/models?&&=&%&%zz&%00&a=b=c&[]=\\"|^`{}<>' },
  { name: 'P19 a name that only begins like a credential', target: '/v1/models?tokens=1&my_token=2' },
  { name: 'P16 an empty query', target: '/v1/models?' },
];
