/** Section 2.2 of the corpus: framing and smuggling, on the caller's side of the shim. */
import t from 'tap';
import { readRequests } from '../helpers/requests.ts';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { openRaw, rawExchange, sendRaw } from '../helpers/raw.ts';
import { authorized, chunked, get, post } from '../helpers/request-bytes.ts';
import { startStack, TOKENS } from '../helpers/stack.ts';

const BODY = '{"a":1}';
const SECOND = `POST /tools/invoke HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`;
const CL = 'Content-Length: 7\r\n';
const TE = 'Transfer-Encoding: chunked\r\n';

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
const REFUSED: readonly RefusedCase[] = [
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
const BROKEN_BODIES: readonly (RefusedCase & { readonly body: string })[] = [
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

const POST_BYTES = (port: string, framing: string, body: string): string =>
  'POST /v1/chat/completions HTTP/1.1\r\n' +
  `host: 127.0.0.1:${port}\r\nconnection: keep-alive\r\n` +
  'authorization: Bearer gateway-secret-0123456789abcdef\r\nx-openclaw-scopes: operator.read,operator.write\r\n' +
  `${framing}\r\n\r\n${body}`;

interface PassedCase {
  readonly name: string;
  readonly bytes: string;
  /** Framing line and body that the gateway must get, byte for byte. */
  readonly framing: string;
  readonly body: string;
}

const PASSED: readonly PassedCase[] = [
  { name: 'a length', bytes: post(CL, BODY), framing: 'content-length: 7', body: BODY },
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

void t.test(
  'refused by the head: the gateway sees zero bytes, the connection closes, the process serves on',
  async (t) => {
    const gateway = await startRawGateway(t);
    const { port } = await startStack(t, { gatewayUrl: gateway.url });
    for (const { name, bytes, status, code } of REFUSED) {
      await t.test(name, async (t) => {
        const seen = gateway.text.length;
        const answer = await rawExchange(port, bytes);
        t.equal(answer.status, status);
        if (bytes.startsWith('HEAD')) t.equal(answer.body, '');
        else t.match(JSON.parse(answer.body), { error: { code } });
        t.equal(answer.headers.connection, 'close');
        t.ok(answer.closed);
        t.ok(answer.headers['x-request-id']);
        t.equal(gateway.text.slice(seen), '');
        t.equal((await rawExchange(port, get('/v1/models'))).status, 200);
      });
    }
  },
);

void t.test('refused in the body: the gateway never sees a whole request, and its part is aborted', async (t) => {
  for (const { name, body, status, code } of BROKEN_BODIES) {
    for (const part of ['', '2\r\n[]\r\n']) {
      await t.test(`${name}, ${part === '' ? 'at once' : 'after a part is at the gateway'}`, async (t) => {
        const gateway = await startRawGateway(t);
        const { port, nextLine } = await startStack(t, { gatewayUrl: gateway.url });
        const line = nextLine();
        const raw = await openRaw(t, port);
        raw.send(post(TE, part || body));
        if (part !== '') {
          const connection = await gateway.connection(1);
          await connection.until(({ text }) => text.endsWith('[]'));
          raw.send(body);
          await connection.until(({ ended }) => ended);
        }
        const text = await raw.closed();
        t.match(text, new RegExp(`^HTTP/1.1 ${status} [^]*"code":"${code}"`));
        t.match(text, /\r\nconnection: close\r\n/);
        t.notOk(readRequests(gateway.text).some(({ complete }) => complete));
        raw.socket.destroy();
        t.match(await line, { status, code, end: 'refused', caller: 'writer' });
        t.equal((await rawExchange(port, get('/v1/models'))).status, 200);
      });
    }
  }
});

void t.test('passed: exactly these bytes reach the gateway', async (t) => {
  for (const { name, bytes, framing, body } of PASSED) {
    await t.test(name, async (t) => {
      const gateway = await startRawGateway(t);
      const { port } = await startStack(t, { gatewayUrl: gateway.url });
      const { responses } = await sendRaw(port, bytes, { responses: 1 });
      t.equal(responses[0]?.status, 200);
      t.equal(gateway.text, POST_BYTES(new URL(gateway.url).port, framing, body));
    });
  }
});

void t.test('F9 a body shorter than its length is aborted at the gateway, never ended', async (t) => {
  for (const how of ['half-closed', 'reset'] as const) {
    await t.test(how, async (t) => {
      const gateway = await startRawGateway(t);
      const { port, nextLine } = await startStack(t, { gatewayUrl: gateway.url });
      const line = nextLine();
      const raw = await openRaw(t, port);
      raw.send(post('Content-Length: 100000\r\n', 'x'.repeat(70_000)));
      const connection = await gateway.connection(1);
      await connection.until(({ text }) => text.endsWith('x'));
      if (how === 'reset') raw.socket.resetAndDestroy();
      else raw.socket.end();
      await connection.until(({ ended }) => ended);
      t.equal(
        readRequests(connection.text).some(({ complete }) => complete),
        false,
      );
      t.match(await line, how === 'reset' ? { status: 0, end: 'caller_gone' } : { status: 400, end: 'refused' });
    });
  }
});

void t.test('F10 100 comes only after the gate, and the headers of the hop are there', async (t) => {
  const gateway = await startRawGateway(t);
  const { port } = await startStack(t, { gatewayUrl: gateway.url, more: 'limits: { body: 100KiB }' });
  const good = await openRaw(t, port);
  good.send(post(`Expect: 100-continue\r\n${CL}`, ''));
  t.equal(await good.until((text) => text.endsWith('\r\n\r\n')), 'HTTP/1.1 100 Continue\r\n\r\n');
  t.equal(gateway.text, '');
  good.send(BODY);
  t.match(await good.until((text) => text.endsWith('{}')), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK/);
  t.equal(gateway.text, POST_BYTES(new URL(gateway.url).port, 'content-length: 7', BODY));

  const expecting = `Expect: 100-continue\r\n${CL}`;
  const refused: readonly { name: string; bytes: string; status: number }[] = [
    {
      name: 'no token',
      bytes: `POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n${expecting}\r\n`,
      status: 401,
    },
    { name: 'wrong token', bytes: post(expecting, '', 'x'.repeat(30)), status: 401 },
    { name: 'no scope', bytes: post(expecting, '', TOKENS.reader), status: 403 },
    { name: 'no route', bytes: post(expecting, '').replace('/v1/chat', '/v1/chit'), status: 404 },
    { name: 'too long', bytes: post('Expect: 100-continue\r\nContent-Length: 200000\r\n', ''), status: 413 },
    { name: 'other host', bytes: post(expecting, '').replace('Host: 127.0.0.1', 'Host: other.example'), status: 421 },
  ];
  const seen = gateway.text;
  for (const { name, bytes, status } of refused) {
    const answer = await rawExchange(port, bytes);
    t.match(answer.text, new RegExp(`^HTTP/1.1 ${status} `), name);
    t.ok(answer.closed, name);
  }
  t.equal(gateway.text, seen);
});

void t.test('F13 each pipelined request is judged by itself, and the first bad one ends the connection', async (t) => {
  const { port, gateway } = await startStack(t);
  const none = 'GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n';
  const first = await sendRaw(port, get('/v1/models') + none + get('/v1/models'));
  t.strictSame(
    first.responses.map(({ status }) => status),
    [200, 401],
  );
  t.ok(first.closed);
  t.equal(gateway.requests.length, 1);

  const mixed =
    get('/v1/models', '', TOKENS.reader) +
    post(CL, BODY, TOKENS.writer) +
    post(CL, BODY, TOKENS.reader) +
    get('/v1/models');
  const second = await sendRaw(port, mixed);
  t.strictSame(
    second.responses.map(({ status }) => status),
    [200, 400, 403],
  );
  t.ok(second.closed, 'the body of a refused request was not read');
  t.strictSame(
    gateway.requests.slice(1).map(({ rawHeaders }) => rawHeaders[rawHeaders.indexOf('x-openclaw-scopes') + 1]),
    ['operator.read', 'operator.read,operator.write'],
  );

  const garbage = await sendRaw(port, `${get('/v1/models')}\x00garbage\r\n\r\n`);
  t.strictSame(
    garbage.responses.map(({ status }) => status),
    [200],
  );
  t.ok(garbage.closed);
  t.equal((await rawExchange(port, get('/v1/models'))).status, 200);
});

void t.test('F13 a refused request without a body keeps the connection for the next', async (t) => {
  const { port } = await startStack(t);
  const { responses } = await sendRaw(
    port,
    get('/nothing') + get('/v1/chat/completions') + get('/v1/models', '', TOKENS.reader),
    { responses: 3 },
  );
  t.strictSame(
    responses.map(({ status, headers }) => [status, headers.connection]),
    [
      [404, 'keep-alive'],
      [405, 'keep-alive'],
      [200, 'keep-alive'],
    ],
  );
});

void t.test('F20 two callers with the same request never share an answer', async (t) => {
  const gateway = await startRawGateway(t, { onRequest: () => undefined });
  const { port } = await startStack(t, { gatewayUrl: gateway.url });
  const ask = async (token: string): Promise<{ body: Promise<string> }> => {
    const raw = await openRaw(t, port);
    raw.send(get('/v1/models', '', token));
    return {
      body: raw
        .until((text) => text.includes('\r\n\r\n') && text.length > 20)
        .then((text) => text.slice(text.indexOf('\r\n\r\n') + 4)),
    };
  };
  const reader = await ask(TOKENS.reader);
  const first = await gateway.connection(1);
  const admin = await ask(TOKENS.admin);
  const second = await gateway.connection(2);
  for (const connection of [second, first]) {
    await connection.until(({ text }) => readRequests(text).length === 1);
    const scopes = /x-openclaw-scopes: (.*)\r\n/.exec(connection.text)?.[1] ?? '';
    connection.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${scopes.length}\r\n\r\n${scopes}`);
  }
  t.equal(await reader.body, 'operator.read');
  t.equal(await admin.body, 'operator.admin');
});
