/** Request targets and routing. */
import { authorized, get } from '../../helpers/request-bytes.ts';
import { TOKENS } from '../../helpers/stack.ts';
import { bad, passed, refused, type Case } from './case.ts';
import type { RowId } from './rows.ts';

const malformed = (row: RowId, target: string): Case => bad(row, JSON.stringify(target), get(target, '', TOKENS.admin));
const notExposed = (row: RowId, target: string): Case =>
  refused(row, target, get(target, '', TOKENS.admin), 404, 'route_not_exposed');
const same = (row: RowId, title: string, target: string): Case =>
  passed(row, title, get(target, '', TOKENS.reader), { caller: 'reader', line: `GET ${target}` });
const method = (name: string, value = '/v1/models'): string =>
  `${name} ${value} HTTP/1.1\r\n${authorized(TOKENS.admin)}\r\n`;
const notAllowed = (name: string): Case =>
  refused('P17', name, method(name), 405, 'method_not_allowed', { headers: { allow: 'GET' } });
/** What Node's parser itself does not know, or gives a bare socket for, has no connection to go on with. */
const ends = { closed: true } as const;

export const TARGETS: readonly Case[] = [
  ...[
    '/public/../v1/models',
    '/v1/chat/../models',
    '/v1/./models',
    '/v1/models/..',
    '/v1/models/.',
    '/v1/models/../',
    '/..',
    '/.',
    '/v1/%2e%2e/v1/models',
    '/v1/%2E./v1/models',
    '/v1/.%2e/v1/models',
    '/v1/%2e/models',
    '/v1/models/openclaw%2F..',
    '/v1/models/openclaw%2F%2e%2e',
    '/sessions/../history',
    '/sessions/%2e%2e/history',
    '/sessions/%2E%2E/kill',
  ].map((target) => malformed('P1', target)),
  ...['//v1/models', '/v1//models', '/v1/models//', '//evil.example/v1/models', '//', '///', '/sessions//history'].map(
    (target) => malformed('P2', target),
  ),
  ...[
    '/v1%2fmodels',
    '/v1%2Fmodels',
    '/%2fv1/models',
    '/v1%5cmodels',
    '/v1%5Cmodels',
    '/v1\\models',
    '/\\evil.example/v1/models',
    '/v1/models/openclaw%2Fa%2Fb',
    '/v1/models/openclaw%5Cdefault',
    '/v1/models/other%2Fdefault',
    '/sessions/agent%2Fmain/history',
    '/v1/models/openclaw%2f',
  ].map((target) => malformed('P3', target)),
  ...['/v1/models#', '/pub#/../v1/models', '/v1/models?a=b#c', '#', '/#', '/v1/models%23a'].map((target) =>
    malformed('P5', target),
  ),
  ...[
    '/v1/models%00',
    '/v1/models%0a',
    '/v1/models%0d%0aX-A:b',
    '/v1/models%1f',
    '/v1/models%7f',
    '/v1/%c0%ae%c0%ae/models',
    '/v1/models%c0%af',
    '/v1/models%c1%9c',
    '/v1/models%e0%80%af',
    '/v1/models%ed%a0%80',
    '/v1/models%f8%80%80%80%af',
    '/v1/models%ff',
    '/v1/%252e%252e/models',
    '/v1%252fmodels',
    '/v1/models%2500',
    '/v1/models%',
    '/v1/models%2',
    '/v1/models%zz',
    '/v1/models%u002f',
    '/v1/models\xc3\xa4',
    '/v1/models\x7f',
    '/v1/models?q=\xc3\xa4',
    '/v1/models%3b',
    '/v1/models%3fa=b',
    '/v1/models;a=b',
    '/v1;/models',
    '/v1/models;jsessionid=1',
  ].map((target) => malformed('P7', target)),
  ...[
    'http://evil.example/v1/models',
    'http://127.0.0.1/v1/models',
    'https://127.0.0.1/v1/models',
    'HTTP://127.0.0.1/v1/models',
    'http:///v1/models',
    'ws://127.0.0.1/',
    'file:///etc/passwd',
    'v1/models',
    '?',
    'evil.example:443',
    '/v1/models http://x',
  ].map((target) => malformed('P10', target)),
  malformed('P11', '*'),
  bad('P11', 'OPTIONS *', method('OPTIONS', '*')),
  bad('P11', 'OPTIONS * of nobody', 'OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'),

  ...['/V1/MODELS', '/v1/Models', '/v1/chat/Completions', '/V1/chat/completions', '/TOOLS/invoke'].map((target) =>
    notExposed('P8', target),
  ),
  ...[
    '/v1/models/',
    '/v1/models.',
    '/v1/models%20',
    '/v1/models,',
    '/v1',
    '/v1/',
    '/v1/models/openclaw/default',
    '/v1/models%2Djson',
    '/v1/%6dodels',
    '/v1/modelsx',
    '/xv1/models',
    '/api/v1/models',
    '/healthz',
    '/health',
    '/readyz',
    '/metrics',
    '/__openclaw__/a',
    '/hooks/wake',
    '/v1/models/...',
    '/v1/models/gpt-4',
    '/sessions/a/b/history',
    '/sessions/history',
  ].map((target) => notExposed('P9', target)),
  ...['/livez', '/startupz', '/status'].map((target) => notExposed('O14', target)),
  ...['/v1/admin?x=/v1/models', '/admin?/v1/models', '/admin?path=/v1/models&method=GET', '/x?/v1/models'].map(
    (target) => notExposed('P6', target),
  ),

  ...[
    'TRACE',
    'PATCH',
    'PUT',
    'DELETE',
    'PROPFIND',
    'POST',
    'HEAD',
    'OPTIONS',
    'MKCOL',
    'LOCK',
    'PURGE',
    'M-SEARCH',
    'QUERY',
  ].map((name) => notAllowed(name)),
  ...['FOO', 'get', 'GETX', 'Get', 'TOKEN-!#$'].map((name) =>
    refused('P17', name, method(name), 405, 'method_not_allowed', ends),
  ),
  refused('P17', 'CONNECT to an authority', method('CONNECT', '127.0.0.1:443'), 405, 'method_not_allowed', ends),
  refused('P17', 'CONNECT to a path', method('CONNECT', '/v1/models'), 405, 'method_not_allowed', ends),
  refused('P17', 'CONNECT of nobody', 'CONNECT gateway:80 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n', 401, 'missing_token'),
  ...['TRACE /v1/models', 'DELETE /v1/models', 'OPTIONS /v1/models', 'GET /nothing', 'GET /healthz'].map((line) =>
    refused(
      'P9',
      `${line} of nobody tells nothing`,
      `${line} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`,
      401,
      'missing_token',
      { headers: { allow: null } },
    ),
  ),

  same('P3', 'the one place where a slash may be encoded', '/v1/models/openclaw%2Fdefault'),
  same('P3', 'the same in small letters', '/v1/models/openclaw%2fmain'),
  same('P3', 'an encoded colon of a session key', '/sessions/agent%3Amain:a@b.c/history'),
  same('P6', 'a query is never read for the route', '/v1/models?x=/public&y=../..&z=//'),
  same('P19', '2,000 parameters', `/v1/models?${Array.from({ length: 2000 }, (_, i) => `p${i}`).join('&')}`),
  same('P19', 'a query that no parser reads', '/v1/models?&&=&%&%zz&%00&a=b=c&[]=\\"|^`{}<>'),
  same('P19', 'a name that only begins like a credential', '/v1/models?tokens=1&my_token=2'),
  same('P16', '_method in the query', '/v1/models?_method=DELETE'),
  same('P19', 'an empty query', '/v1/models?'),
  passed(
    'P18',
    'headers that would choose method, target or gateway',
    get(
      '/v1/models',
      'X-HTTP-Method: DELETE\r\nX-Forwarded-Uri: /admin\r\nX-Forwarded-Host: evil.example\r\nX-Target: http://evil.example\r\n',
      TOKENS.reader,
    ),
    { caller: 'reader', kept: ['X-Target', 'http://evil.example'] },
  ),
];
