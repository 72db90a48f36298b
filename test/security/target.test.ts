/** Section 2.3 of the corpus: request target and routing. */
import t from 'tap';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { readRequests } from '../helpers/requests.ts';
import { rawExchange } from '../helpers/raw.ts';
import { authorized, get } from '../helpers/request-bytes.ts';
import { startStack, TRACEPARENT, TOKENS } from '../helpers/stack.ts';
import { PASSED, REFUSED } from './target.cases.ts';

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
      'authorization: Bearer gateway-secret-0123456789abcdef\r\nx-openclaw-scopes: operator.read\r\n' +
      `traceparent: ${TRACEPARENT}\r\n\r\n`,
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
        `connection: ${line.startsWith('HEAD') ? 'close' : 'keep-alive'}\r\nx-openclaw-scopes: \r\ntraceparent: ${TRACEPARENT}\r\n\r\n`,
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
