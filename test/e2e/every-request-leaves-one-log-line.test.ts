import t from 'tap';
import { JSON_ANSWER, startRawGateway } from '../helpers/raw-gateway.ts';
import { openRaw, rawExchange } from '../helpers/raw.ts';
import { get, post } from '../helpers/request-bytes.ts';
import { startStack, TOKENS } from '../helpers/stack.ts';

interface Case {
  readonly name: string;
  readonly bytes: string;
  readonly line: Readonly<Record<string, unknown>>;
}

const TOKEN_ID = /^[0-9a-f]{12}$/;
const KNOWN = { caller: 'writer', token: TOKEN_ID, peer: '127.0.0.1' };
const BODY = '{"a":1}';

const CASES: readonly Case[] = [
  {
    name: 'done',
    bytes: post('Content-Length: 7\r\n', BODY),
    line: {
      ...KNOWN,
      method: 'POST',
      route: '/v1/chat/completions',
      status: 200,
      in: 7,
      out: 2,
      end: 'done',
      level: 30,
    },
  },
  {
    name: 'done, a body as it comes',
    bytes: post('Transfer-Encoding: chunked\r\n', `7\r\n${BODY}\r\n0\r\n\r\n`),
    line: { ...KNOWN, status: 200, in: 7, out: 2, end: 'done' },
  },
  {
    name: 'the template, never the path of a parameter',
    bytes: get('/sessions/secret-session/history?x=secret-query'),
    line: { ...KNOWN, method: 'GET', route: '/sessions/{key}/history', status: 200, in: 0, end: 'done' },
  },
  {
    name: 'no route: the path, without its query',
    bytes: get('/nothing?secret-query'),
    line: { ...KNOWN, path: /^\/nothing$/, status: 404, code: 'route_not_exposed', end: 'refused' },
  },
  {
    name: 'no route: the path, cut, without its query',
    bytes: get(`/nothing/${'x!'.repeat(300)}?secret-query`),
    line: { ...KNOWN, path: `/nothing/${'x!'.repeat(95)}x`, status: 404, code: 'route_not_exposed', end: 'refused' },
  },
  {
    name: 'no token: neither caller nor path',
    bytes: 'GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n',
    line: { method: 'GET', peer: '127.0.0.1', status: 401, code: 'missing_token', end: 'refused' },
  },
  {
    name: 'an unknown token: its reason',
    bytes: get('/v1/models', '', 'secret-token-secret-token-secret'),
    line: { status: 401, code: 'invalid_token', reason: 'unknown token', end: 'refused' },
  },
  {
    name: 'no HTTP',
    bytes: '\x16\x03\x01\r\n\r\n',
    line: { peer: '127.0.0.1', status: 400, code: 'bad_request', reason: /^HPE_/, end: 'refused' },
  },
  {
    name: 'CONNECT',
    bytes: `CONNECT a:1 HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${TOKENS.writer}\r\n\r\n`,
    line: { caller: 'writer', method: 'CONNECT', status: 405, code: 'method_not_allowed', end: 'refused' },
  },
  {
    name: 'a dropped header',
    bytes: get('/v1/models', 'x-openclaw-agent-id: secret-agent\r\n'),
    line: { ...KNOWN, status: 200, dropped: ['x-openclaw-agent-id'] },
  },
];

void t.test('with why it ended, and nothing secret', async (t) => {
  const gateway = await startRawGateway(t);
  const { port, nextLine, lines } = await startStack(t, { gatewayUrl: gateway.url });
  for (const { name, bytes, line } of CASES) {
    await t.test(name, async (t) => {
      const next = nextLine();
      const answer = await rawExchange(port, bytes);
      const logged = await next;
      t.match(logged, line);
      t.equal(logged.id, answer.headers['x-request-id']);
      if (logged.ms !== undefined) t.ok((logged.ttfb as number) <= (logged.ms as number) + 0.1);
    });
  }
  t.equal(lines.length, CASES.length);
  t.notMatch(JSON.stringify(lines), /secret|-token-0123|\{"a":1\}/i);
});

void t.test('each answer has its own id, never the caller’s or the gateway’s', async (t) => {
  const answer = JSON_ANSWER.replace('\r\n\r\n', '\r\nX-Request-Id: theirs\r\n\r\n');
  const gateway = await startRawGateway(t, { onRequest: ({ socket }) => void socket.write(answer) });
  const { port } = await startStack(t, { gatewayUrl: gateway.url });
  const ids = new Set<string | undefined>();
  for (const path of ['/v1/models', '/v1/models', '/nothing']) {
    const { headers } = await rawExchange(port, get(path, 'X-Request-Id: mine\r\n'));
    t.match(headers['x-request-id'], /^[0-9a-f-]{36}$/);
    ids.add(headers['x-request-id']);
  }
  t.equal(ids.size, 3);
  t.notMatch(gateway.text, /x-request-id/i);
});

void t.test('a refusal whose caller does not stay to read it is still a refusal', async (t) => {
  const { port, nextLine } = await startStack(t);
  const line = nextLine();
  const raw = await openRaw(t, port);
  raw.send(post('Content-Length: 100000\r\n', 'x', TOKENS.reader));
  await raw.until((text) => text.includes('insufficient_scope'));
  raw.socket.resetAndDestroy();
  t.match(await line, { status: 403, code: 'insufficient_scope', end: 'refused' });
});
