/** Section 2.3 of the corpus: request target and routing. */
import t from 'tap';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { readRequests } from '../helpers/requests.ts';
import { rawExchange } from '../helpers/raw.ts';
import { authorized, get } from '../helpers/request-bytes.ts';
import { startStack, TOKENS } from '../helpers/stack.ts';

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

const REFUSED: readonly RefusedCase[] = [
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

void t.test('refused: the gateway sees zero bytes, and the process serves on', async (t) => {
  const gateway = await startRawGateway(t);
  const { port } = await startStack(t, { gatewayUrl: gateway.url });
  const good = get('/v1/models');
  t.equal((await rawExchange(port, good)).status, 200);
  for (const { name, bytes, status, code, closes } of REFUSED) {
    await t.test(name, async (t) => {
      const seen = gateway.text.length;
      const answer = await rawExchange(port, bytes);
      t.equal(answer.status, status);
      if (bytes.startsWith('HEAD')) t.equal(answer.body, '');
      else t.match(JSON.parse(answer.body), { error: { code } });
      t.equal(answer.headers.connection, closes ? 'close' : 'keep-alive');
      t.equal(answer.closed, closes);
      if (status === 405) t.type(answer.headers.allow, 'string');
      t.equal(gateway.text.slice(seen), '');
      t.equal((await rawExchange(port, good)).status, 200);
    });
  }
});

void t.test('without a credential no route leaks: 401 on every one', async (t) => {
  const gateway = await startRawGateway(t);
  const { port } = await startStack(t, { gatewayUrl: gateway.url });
  for (const line of [
    'GET /v1/models',
    'GET /nothing',
    'DELETE /v1/models',
    'GET /healthz',
    'TRACE /v1/models',
    'OPTIONS /v1/models',
  ]) {
    const answer = await rawExchange(port, `${line} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
    t.equal(answer.status, 401, line);
    t.equal(answer.headers.allow, undefined, line);
    t.ok(answer.closed, line);
  }
  t.equal(gateway.text, '');
});

interface PassedCase {
  readonly name: string;
  readonly target: string;
  readonly more?: string;
}

const PASSED: readonly PassedCase[] = [
  { name: 'the path as it came', target: '/v1/models/openclaw%2Fdefault' },
  { name: 'the path as it came, lower-case digits', target: '/v1/models/openclaw%2fmain' },
  { name: 'an encoded colon of a session key', target: '/sessions/agent%3Amain:a@b.c/history' },
  { name: 'P6 a query is never read for the route', target: '/v1/models?x=/public&y=../..&z=//' },
  { name: 'P19 2,000 parameters', target: `/v1/models?${Array.from({ length: 2000 }, (_, i) => `p${i}`).join('&')}` },
  { name: 'P19 a query that no parser reads', target: '/v1/models?&&=&%&%zz&%00&a=b=c&[]=\\"|^`{}<>' },
  { name: 'P19 a name that only begins like a credential', target: '/v1/models?tokens=1&my_token=2' },
  { name: 'P16 an empty query', target: '/v1/models?' },
];

void t.test('passed: the target reaches the gateway byte for byte', async (t) => {
  for (const { name, target } of PASSED) {
    await t.test(name, async (t) => {
      const gateway = await startRawGateway(t);
      const { port } = await startStack(t, { gatewayUrl: gateway.url });
      t.equal((await rawExchange(port, get(target))).status, 200);
      t.equal(readRequests(gateway.text)[0]?.line, `GET ${target} HTTP/1.1`);
    });
  }
});

void t.test('P16, P18, P21: headers that would choose method, target or gateway are not passed on', async (t) => {
  const gateway = await startRawGateway(t);
  const other = await startRawGateway(t);
  const { port } = await startStack(t, { gatewayUrl: gateway.url });
  const more = [
    'X-HTTP-Method-Override: DELETE',
    'X-HTTP-Method: DELETE',
    'X-Method-Override: DELETE',
    'X-Forwarded-Uri: /admin',
    'X-Forwarded-Method: POST',
    `X-Forwarded-Host: ${new URL(other.url).host}`,
    'X-Original-URL: /admin',
    'X-Rewrite-URL: /admin',
    'Referer: http://evil.example/?token=x',
    'X-Kept: yes',
  ].join('\r\n');
  const answer = await rawExchange(port, get('/v1/models?_method=DELETE', `${more}\r\n`, TOKENS.reader));
  t.equal(answer.status, 200);
  t.equal(
    gateway.text,
    'GET /v1/models?_method=DELETE HTTP/1.1\r\n' +
      `host: ${new URL(gateway.url).host}\r\nconnection: keep-alive\r\nX-Kept: yes\r\n` +
      'authorization: Bearer gateway-secret-0123456789abcdef\r\nx-openclaw-scopes: operator.read\r\n\r\n',
  );
  t.equal(other.connections.length, 0);
});

void t.test('P18 a redirect is passed, never followed', async (t) => {
  const other = await startRawGateway(t);
  for (const status of [301, 302, 303, 307, 308]) {
    const gateway = await startRawGateway(t, {
      onRequest: ({ socket }) =>
        void socket.write(`HTTP/1.1 ${status} Moved\r\nLocation: ${other.url}/v1/models\r\nContent-Length: 0\r\n\r\n`),
    });
    const { port } = await startStack(t, { gatewayUrl: gateway.url });
    const answer = await rawExchange(port, get('/v1/models'));
    t.equal(answer.status, status);
    t.equal(answer.headers.location, `${other.url}/v1/models`);
    t.equal(readRequests(gateway.text).length, 1);
  }
  t.equal(other.connections.length, 0);
});

void t.test('P15 a browser: an unlisted origin is refused, a listed one has CORS on answers and errors', async (t) => {
  const gateway = await startRawGateway(t, {
    onRequest: ({ socket }) =>
      void socket.write('HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 2\r\n\r\n{}'),
  });
  const listen = '{ host: 127.0.0.1, port: 0, origins: ["https://app.example"] }';
  const { port } = await startStack(t, { gatewayUrl: gateway.url, listen });

  for (const origin of [
    'https://evil.example',
    'null',
    'https://app.example.evil',
    'http://app.example',
    'https://app.example:444',
    'HTTPS://APP.EXAMPLE',
    '',
  ]) {
    for (const bytes of [
      get('/v1/models', `Origin: ${origin}\r\n`),
      `OPTIONS /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: ${origin}\r\nAccess-Control-Request-Method: GET\r\n\r\n`,
    ]) {
      const answer = await rawExchange(port, bytes);
      t.equal(answer.status, 403, origin);
      t.match(answer.body, /"code":"origin_not_allowed"/, origin);
      t.equal(answer.headers['access-control-allow-origin'], undefined, origin);
      t.equal(answer.closed, false, origin);
    }
  }
  t.equal(
    (await rawExchange(port, get('/v1/models', 'Origin: https://app.example\r\nOrigin: https://app.example\r\n')))
      .status,
    400,
  );
  t.equal(gateway.text, '');

  const listed = 'Origin: https://app.example\r\n';
  for (const path of ['/v1/chat/completions', '/nothing']) {
    const preflight = await rawExchange(
      port,
      `OPTIONS ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${listed}Access-Control-Request-Method: POST\r\n` +
        'Access-Control-Request-Headers: authorization,x-stainless-os\r\n\r\n',
    );
    t.equal(preflight.status, 204);
    t.equal(preflight.headers['access-control-allow-origin'], 'https://app.example');
    t.match(preflight.headers['access-control-allow-methods'], /\bPOST\b/);
    t.match(preflight.headers['access-control-allow-headers'], /\bauthorization\b.*\bx-stainless-os\b/);
    t.equal(preflight.headers['access-control-allow-credentials'], undefined);
    t.equal(preflight.headers.vary, 'Origin');
    t.equal(preflight.headers.connection, 'keep-alive');
  }
  t.equal(gateway.text, '');

  for (const [bytes, status] of [
    [get('/v1/models', listed), 200],
    [get('/nothing', listed), 404],
    [get('/v1/models', listed, 'x'.repeat(30)), 401],
    [`OPTIONS /v1/models HTTP/1.1\r\n${authorized()}${listed}\r\n`, 405],
  ] as const) {
    const answer = await rawExchange(port, bytes);
    t.equal(answer.status, status);
    t.equal(answer.headers['access-control-allow-origin'], 'https://app.example', String(status));
    t.match(answer.headers['access-control-expose-headers'], /x-request-id/);
    t.equal(answer.headers.vary, 'Origin');
  }
  t.notMatch(gateway.text, /origin/i);
});

void t.test('P20, P22 health is open at its exact target alone, and takes no identity along', async (t) => {
  const gateway = await startRawGateway(t);
  const listen = '{ host: 127.0.0.1, port: 0, health: true }';
  const { port } = await startStack(t, { gatewayUrl: gateway.url, listen });
  const ask = (line: string, more = ''): Promise<{ status: number }> =>
    rawExchange(port, `${line} HTTP/1.1\r\nHost: 127.0.0.1\r\n${more}\r\n`);

  for (const line of ['GET /health', 'GET /healthz', 'HEAD /health', 'HEAD /healthz']) {
    const seen = gateway.text.length;
    const { status } = await ask(
      line,
      'x-openclaw-scopes: operator.admin\r\nX-Forwarded-User: admin\r\nCookie: a=b\r\nX-A: b\r\n',
    );
    t.equal(status, 200, line);
    t.equal(
      gateway.text.slice(seen),
      `${line} HTTP/1.1\r\nhost: ${new URL(gateway.url).host}\r\n` +
        `connection: ${line.startsWith('HEAD') ? 'close' : 'keep-alive'}\r\nx-openclaw-scopes: \r\n\r\n`,
    );
  }
  const withToken = gateway.text.length;
  await ask('GET /healthz', `Authorization: Bearer ${TOKENS.admin}\r\n`);
  t.notMatch(gateway.text.slice(withToken), /authorization|operator/i);

  const seen = gateway.text.length;
  for (const [line, status] of [
    ['GET /healthz/', 401],
    ['GET /healthz/../v1/models', 400],
    ['GET /healthz?x', 401],
    ['GET /health?token=x', 400],
    ['GET /healthzz', 401],
    ['GET /HEALTHZ', 401],
    ['GET /%68ealthz', 401],
    ['GET //healthz', 400],
    ['GET /v1/models', 401],
    ['GET /readyz', 401],
    ['POST /healthz', 401],
    ['TRACE /healthz', 401],
    ['OPTIONS /healthz', 401],
  ] as const) {
    t.equal((await ask(line, 'User-Agent: kube-probe/1.30\r\n')).status, status, line);
  }
  t.equal(
    (await rawExchange(port, 'GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n\r\nabc')).status,
    400,
  );
  t.equal((await ask('GET /healthz', 'Origin: https://evil.example\r\n')).status, 403);
  t.equal((await rawExchange(port, 'GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n')).status, 421);
  t.equal(gateway.text.slice(seen), '');
});

void t.test('P14 a name that is listed is served, with any port', async (t) => {
  const { port } = await startStack(t, { listen: '{ host: 127.0.0.1, port: 0, hosts: [Shim.Example] }' });
  for (const name of ['shim.example', 'SHIM.EXAMPLE:8443', '127.0.0.1', 'localhost:1', '[::1]:2']) {
    const bytes = `GET /v1/models HTTP/1.1\r\nHost: ${name}\r\nAuthorization: Bearer ${TOKENS.reader}\r\n\r\n`;
    t.equal((await rawExchange(port, bytes)).status, 200, name);
  }
});
