import t from 'tap';
import type { ErrorCode } from '../../src/errors.ts';
import { readHead, type Head } from '../../src/headers/head.ts';
import type { RequestFacts } from '../../src/types.ts';

function facts(rawHeaders: readonly string[], more: Partial<RequestFacts> = {}): RequestFacts {
  return { method: 'POST', target: '/', httpVersion: '1.1', peer: '127.0.0.1', ...more, rawHeaders };
}

function passes(rawHeaders: readonly string[], more: Partial<RequestFacts> = {}): Head {
  const head = readHead(facts(rawHeaders, more));
  if ('kind' in head) throw new Error(`refused: ${head.reason ?? head.code}`);
  return head;
}

const HOST = ['Host', 'localhost'] as const;

void t.test('what the head says', async (t) => {
  t.strictSame(passes(['hOST', 'LocalHost:80']), {
    host: 'localhost',
    hostField: 'LocalHost:80',
    authorization: undefined,
    assertion: undefined,
    origin: undefined,
    requestMethod: undefined,
    traceparent: undefined,
    forwardedFor: undefined,
    contentLength: 0,
    hasBody: false,
    expectContinue: false,
    nominated: [],
    openclaw: new Map(),
    onBehalf: [],
  });
  const full = passes([
    ...HOST,
    'AUTHORIZATION',
    'Bearer x',
    'Origin',
    'https://a.example',
    'Access-Control-Request-Method',
    'POST',
    'X-Forwarded-For',
    '1.1.1.1, 2.2.2.2',
    'x-forwarded-for',
    '3.3.3.3',
    'Content-Length',
    '12',
    'Expect',
    '100-Continue',
    'Connection',
    'keep-alive,\t, X-Foo',
    'connection',
    ' close',
    'X-OpenClaw-Model',
    'a/b',
    'x-openclaw-agent-id',
    'main',
    'x-openclaw-scopes',
    'operator.admin',
    'X-Auth-Shim-Caller',
    'a',
    'x-auth-shim-callerx',
    'b',
    'X-Forwarded-Server',
    'as long as those of another shim',
    'X_Auth.Shim-Scopes',
    '',
    'CF-Access-JWT-Assertion',
    'a.b.c',
  ]);
  t.strictSame(full, {
    host: 'localhost',
    hostField: 'localhost',
    authorization: 'Bearer x',
    assertion: 'a.b.c',
    origin: 'https://a.example',
    requestMethod: 'POST',
    traceparent: undefined,
    forwardedFor: '1.1.1.1, 2.2.2.2,3.3.3.3',
    contentLength: 12,
    hasBody: true,
    expectContinue: true,
    nominated: ['keep-alive', 'x-foo', 'close'],
    openclaw: new Map([
      ['x-openclaw-model', 'a/b'],
      ['x-openclaw-agent-id', 'main'],
    ]),
    onBehalf: [
      ['x-auth-shim-caller', 'a'],
      ['x_auth.shim-scopes', ''],
    ],
  });
  t.match(passes([...HOST, 'Transfer-Encoding', 'CHUNKED']), { contentLength: undefined, hasBody: true });
});

void t.test('hosts', async (t) => {
  const cases: readonly (readonly [field: string, host: string])[] = [
    ['localhost', 'localhost'],
    ['127.0.0.1:18780', '127.0.0.1'],
    ['[::1]', '::1'],
    ['[::1]:1', '::1'],
    ['[::FFFF:127.0.0.1]:80', '::ffff:127.0.0.1'],
    ['my_host.example', 'my_host.example'],
    ['localhost.', 'localhost.'],
  ];
  for (const [field, host] of cases) t.equal(passes(['Host', field]).host, host, field);
});

void t.test('methods without a body', async (t) => {
  for (const method of ['GET', 'HEAD', 'OPTIONS', 'DELETE', 'TRACE', 'CONNECT']) {
    t.equal(passes([...HOST, 'Content-Length', '0'], { method }).hasBody, false, `${method} with length 0`);
    t.match(
      readHead(facts([...HOST, 'Content-Length', '1'], { method })),
      {
        code: 'bad_request',
        message: `Bad request: a ${method} request has no body here.`,
        reason: `a ${method} request has no body here`,
      },
      `${method} with length`,
    );
    t.match(
      readHead(facts([...HOST, 'Transfer-Encoding', 'chunked'], { method })),
      { code: 'bad_request' },
      `${method} chunked`,
    );
  }
  for (const method of ['POST', 'PUT', 'PATCH'])
    t.equal(passes([...HOST, 'Content-Length', '1'], { method }).hasBody, true);
});

void t.test('refused', async (t) => {
  const many = Array.from({ length: 256 }, (_, i) => [`x-${i}`, '']).flat();
  const cases: readonly (readonly [name: string, raw: readonly string[], code: ErrorCode, reason?: RegExp])[] = [
    ['no Host', [], 'bad_request', /Host/],
    ['an empty Host', ['Host', ''], 'bad_request', /Host/],
    ['two Hosts', [...HOST, ...HOST], 'bad_request', /more than one host/],
    ['two Hosts in other cases', [...HOST, 'HOST', 'localhost'], 'bad_request', /more than one host/],
    ['a list of Hosts', ['Host', 'localhost, evil'], 'bad_request', /Host/],
    ['userinfo in Host', ['Host', 'a@localhost'], 'bad_request', /Host/],
    ['a fragment in Host', ['Host', 'a#@localhost'], 'bad_request', /Host/],
    ['a path in Host', ['Host', 'localhost/x'], 'bad_request', /Host/],
    ['two ports in Host', ['Host', 'localhost:80:80'], 'bad_request', /Host/],
    ['a port that is no number', ['Host', 'localhost:8a'], 'bad_request', /Host/],
    ['an empty port', ['Host', 'localhost:'], 'bad_request', /Host/],
    [
      'two Authorizations',
      [...HOST, 'Authorization', 'a', 'authorization', 'a'],
      'bad_request',
      /more than one authorization/,
    ],
    [
      'two Content-Lengths',
      [...HOST, 'Content-Length', '1', 'content-length', '1'],
      'bad_request',
      /more than one content-length/,
    ],
    [
      'two Transfer-Encodings',
      [...HOST, 'Transfer-Encoding', 'chunked', 'transfer-encoding', 'chunked'],
      'bad_request',
      /more than one/,
    ],
    [
      'two Expects',
      [...HOST, 'Expect', '100-continue', 'Expect', '100-continue'],
      'bad_request',
      /more than one expect/,
    ],
    ['two Origins', [...HOST, 'Origin', 'http://a', 'Origin', 'http://a'], 'bad_request', /more than one origin/],
    [
      'two agents',
      [...HOST, 'x-openclaw-agent-id', 'a', 'X-OpenClaw-Agent-Id', 'b'],
      'bad_request',
      /more than one x-openclaw-agent-id/,
    ],
    [
      'two session keys',
      [...HOST, 'x-openclaw-session-key', 'a', 'x-openclaw-session-key', 'b'],
      'bad_request',
      /more than one/,
    ],
    ['two models', [...HOST, 'x-openclaw-model', 'a', 'x-openclaw-model', 'a'], 'bad_request', /more than one/],
    [
      'two channels',
      [...HOST, 'x-openclaw-message-channel', 'a', 'x-openclaw-message-channel', 'a'],
      'bad_request',
      /more than one/,
    ],
    ['Connection: host', [...HOST, 'Connection', 'close, Host'], 'bad_request', /names host/],
    ['Connection: content-length', [...HOST, 'Connection', 'Content-Length'], 'bad_request', /names content-length/],
    [
      'Connection: transfer-encoding',
      [...HOST, 'Connection', '\ttransfer-encoding '],
      'bad_request',
      /names transfer-encoding/,
    ],
    ['a second Connection', [...HOST, 'Connection', 'close', 'Connection', 'host'], 'bad_request', /names host/],
    ['Connection without token', [...HOST, 'Connection', 'close; x'], 'bad_request', /Connection header is malformed/],
    ['gzip, chunked', [...HOST, 'Transfer-Encoding', 'gzip, chunked'], 'bad_request', /transfer coding/],
    ['chunked, chunked', [...HOST, 'Transfer-Encoding', 'chunked, chunked'], 'bad_request', /transfer coding/],
    ['identity', [...HOST, 'Transfer-Encoding', 'identity'], 'bad_request', /transfer coding/],
    ['an empty coding', [...HOST, 'Transfer-Encoding', ''], 'bad_request', /transfer coding/],
    ['length and coding', [...HOST, 'Content-Length', '1', 'Transfer-Encoding', 'chunked'], 'bad_request', /both/],
    ['+1', [...HOST, 'Content-Length', '+1'], 'bad_request', /Content-Length is malformed/],
    ['0x1', [...HOST, 'Content-Length', '0x1'], 'bad_request', /Content-Length is malformed/],
    ['1,1', [...HOST, 'Content-Length', '1,1'], 'bad_request', /Content-Length is malformed/],
    ['an empty length', [...HOST, 'Content-Length', ''], 'bad_request', /Content-Length is malformed/],
    ['1e3', [...HOST, 'Content-Length', '1e3'], 'bad_request', /Content-Length is malformed/],
    ['16 digits', [...HOST, 'Content-Length', '1'.repeat(16)], 'bad_request', /Content-Length is malformed/],
    ['another expectation', [...HOST, 'Expect', '200-ok'], 'expectation_failed'],
    ['two expectations', [...HOST, 'Expect', '100-continue, x'], 'expectation_failed'],
    ['an empty expectation', [...HOST, 'Expect', ''], 'expectation_failed'],
    ['257 headers', [...HOST, ...many], 'headers_too_large', /too many/],
  ];
  for (const [name, raw, code, reason] of cases) {
    t.match(readHead(facts(raw)), { kind: 'refuse', code, ...(reason && { reason }) }, name);
  }
  t.equal(passes([...HOST, ...many.slice(2)]).host, 'localhost', '256 headers');
  for (const httpVersion of ['1.0', '0.9', '1.2', '2.0']) {
    t.match(
      readHead(facts(HOST, { httpVersion })),
      { code: 'bad_request', reason: /HTTP\/1\.1 is required/ },
      httpVersion,
    );
  }
});

void t.test('a trace has one parent; two are none', async (t) => {
  t.equal(passes([...HOST, 'TraceParent', 'x']).traceparent, 'x');
  t.equal(passes([...HOST, 'traceparent', 'x', 'Traceparent', 'x']).traceparent, '');
});
