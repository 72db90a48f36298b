import t from 'tap';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { openRaw, rawExchange } from '../helpers/raw.ts';
import { NO_REDIS, startRedis } from '../helpers/redis.ts';
import { authorized, get, post } from '../helpers/request-bytes.ts';
import { caller, startStack, TOKENS } from '../helpers/stack.ts';

const READ = ['operator.read', 'operator.write'];
const STREAM =
  'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n';
const limited = (limits: string): string =>
  ['callers:', caller('writer', TOKENS.writer, READ, `limits: ${limits}`), caller('reader', TOKENS.reader, READ)].join(
    '\n',
  );

void t.test('requests a minute: 429 tells when to come back, and nothing of it reaches the gateway', async (t) => {
  const gateway = await startRawGateway(t);
  const { port, nextLine } = await startStack(t, {
    gatewayUrl: gateway.url,
    callers: limited('{ requestsPerMinute: 2 }'),
  });
  for (const remaining of ['1', '0']) {
    const { status, headers } = await rawExchange(port, get('/v1/models'));
    t.equal(status, 200);
    t.match(headers, { 'ratelimit-limit': '2', 'ratelimit-remaining': remaining, 'ratelimit-reset': /^\d+$/ });
  }
  const line = nextLine();
  const refused = await rawExchange(port, get('/v1/models'));
  t.equal(refused.status, 429);
  t.match(JSON.parse(refused.body), { error: { code: 'rate_limited', type: 'rate_limit_error' } });
  t.match(refused.headers, { 'retry-after': /^[1-9]\d?$/, 'ratelimit-remaining': '0', connection: 'keep-alive' });
  t.match(await line, { status: 429, code: 'rate_limited', caller: 'writer' });
  t.equal((await rawExchange(port, get('/v1/models', '', TOKENS.reader))).status, 200, 'others are not concerned');
  t.equal(gateway.text.split('GET /v1/models').length - 1, 3);
});

void t.test('open requests: the room is given back at the end, however it came', async (t) => {
  const gateway = await startRawGateway(t, {
    onRequest: ({ socket, text }) =>
      void socket.write(text.includes('/v1/models/openclaw') ? STREAM : 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'),
  });
  const { port, nextLine } = await startStack(t, { gatewayUrl: gateway.url, callers: limited('{ streams: 2 }') });
  const open = async (): ReturnType<typeof openRaw> => {
    const raw = await openRaw(t, port);
    raw.send(get('/v1/models/openclaw'));
    await raw.until((text) => text.includes('data: 1'));
    return raw;
  };
  const [first] = [await open(), await open()];
  const refused = await rawExchange(port, get('/v1/models'));
  t.equal(refused.status, 429);
  t.match(JSON.parse(refused.body), { error: { code: 'too_many_streams' } });
  const ended = nextLine();
  first.socket.destroy();
  t.match(await ended, { end: 'caller_gone' });
  t.equal((await rawExchange(port, get('/v1/models'))).status, 200);
  t.equal((await rawExchange(port, get('/v1/models'))).status, 200, 'given back by an answer');
  t.equal((await rawExchange(port, get('/nowhere'))).status, 404);
  t.equal((await rawExchange(port, get('/v1/models'))).status, 200, 'not taken by a refusal');
});

void t.test('a body has at most the bytes of its caller', async (t) => {
  const gateway = await startRawGateway(t);
  const { port } = await startStack(t, { gatewayUrl: gateway.url, callers: limited('{ body: 4 }') });
  t.equal((await rawExchange(port, post('Content-Length: 4\r\n', '{"a"'))).status, 200);
  t.equal((await rawExchange(port, post('Content-Length: 5\r\n', '{"a":'))).status, 413);
  t.equal((await rawExchange(port, post('Transfer-Encoding: chunked\r\n', '5\r\n{"a":\r\n0\r\n\r\n'))).status, 413);
});

void t.test('too many failed logins are 429; a valid token from the same address passes', async (t) => {
  const gateway = await startRawGateway(t);
  const { port, lines } = await startStack(t, { gatewayUrl: gateway.url });
  const wrong = (n: number): string => get('/v1/models', '', `wrong-token-0123456789-abcdef-${n}`);
  for (let n = 0; n < 10; n++) t.equal((await rawExchange(port, wrong(n))).status, 401, `${n}`);
  const answer = await rawExchange(port, wrong(10));
  t.equal(answer.status, 429);
  t.match(answer.headers, { 'retry-after': /^[1-9]\d?$/, connection: 'keep-alive' });
  t.equal((await rawExchange(port, get('/v1/models'))).status, 200);
  const none = await rawExchange(port, 'GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n');
  t.equal(none.status, 401, 'none at all is no guess');
  t.equal(lines.filter(({ code }) => code === 'rate_limited').length, 1);
  t.match(
    lines.find(({ code }) => code === 'rate_limited'),
    { reason: 'unknown token', caller: undefined },
  );
});

void t.test('a credential may be used from its own addresses alone', async (t) => {
  const gateway = await startRawGateway(t);
  const { port, nextLine } = await startStack(t, {
    gatewayUrl: gateway.url,
    listen: '{ port: 0, trustedProxies: [127.0.0.0/8] }',
    callers: ['callers:', caller('writer', TOKENS.writer, READ, 'from: [192.0.2.0/24]')].join('\n'),
  });
  const from = (address: string): string =>
    `GET /v1/models HTTP/1.1\r\n${authorized()}X-Forwarded-For: ${address}\r\n\r\n`;
  t.equal((await rawExchange(port, from('192.0.2.200'))).status, 200);
  const line = nextLine();
  const refused = await rawExchange(port, from('198.51.100.1'));
  t.equal(refused.status, 401);
  t.match(JSON.parse(refused.body), { error: { code: 'invalid_token', message: 'The bearer token is not valid.' } });
  t.match(await line, { reason: 'writer may not call from 198.51.100.1', caller: undefined });
});

void t.test('who is revoked while a store is asked does not pass', { skip: NO_REDIS }, async (t) => {
  const redis = await startRedis(t);
  const gateway = await startRawGateway(t);
  const { port, reload } = await startStack(t, {
    gatewayUrl: gateway.url,
    callers: limited('{ requestsPerMinute: 5 }'),
    more: `limits: { store: { redis: "redis://127.0.0.1:${redis.port}" } }`,
    limits: { storePatience: 3_000 },
  });
  t.equal((await rawExchange(port, get('/v1/models'))).headers['ratelimit-remaining'], '4');
  redis.child.kill('SIGSTOP');
  t.teardown(() => redis.child.kill('SIGCONT'));
  const raw = await openRaw(t, port);
  raw.send(get('/v1/models/openclaw'));
  // It came later, and is answered without the store.
  t.equal((await rawExchange(port, get('/v1/models', '', TOKENS.reader))).status, 200);
  t.equal(raw.text, '');
  await reload('callers: []');
  t.match(await raw.closed(), /^HTTP\/1\.1 401 [^]*"invalid_token"/);
  t.notMatch(gateway.text, '/v1/models/openclaw');
});
