/** What gets out, and what keeps standing, beyond the cases of the corpus. */
import { createServer } from 'node:net';
import t from 'tap';
import { JSON_ANSWER, startRawGateway } from '../helpers/raw-gateway.ts';
import { rawExchange } from '../helpers/raw.ts';
import { authorized, get, post } from '../helpers/request-bytes.ts';
import { GATEWAY_SECRET, startStack, TOKENS } from '../helpers/stack.ts';
import { CASES } from './corpus/all.ts';
import { BODY_LIMIT } from './corpus/callers.ts';

void t.test('O2 what a caller sends stays inside one line of JSON', async (t) => {
  const { port, lines, nextLine } = await startStack(t);
  for (const path of [`/a"},{"level":60,"msg":"x`, "/a'b", `/${'x!'.repeat(5_000)}`, '/a%22%7B']) {
    const line = nextLine();
    await rawExchange(port, get(path, 'User-Agent: "},{\\n\x85\r\n'));
    const logged = await line;
    t.equal(logged.path, path.slice(0, 200));
    t.equal(logged.level, 30);
  }
  const garbage = nextLine();
  await rawExchange(port, '\x1b[2J\n{"level":60}\r\n\r\n');
  t.match(await garbage, { status: 400 });
  const host = nextLine();
  const answer = await rawExchange(port, 'GET / HTTP/1.1\r\nHost: a_\x1b"b\r\n\r\n');
  t.equal(answer.status, 400);
  await host;
  t.equal(lines.length, 6);
});

void t.test('a token in the path is not logged', async (t) => {
  const { port, nextLine } = await startStack(t);
  const line = nextLine();
  await rawExchange(port, get(`/v1/chat/completions/${TOKENS.admin}`));
  t.match(await line, { path: '/v1/chat/completions/****', code: 'route_not_exposed' });
});

void t.test('what the gateway says cannot write on a terminal, nor show the secret in JSON form', async (t) => {
  const secret = 'p"q\\w/Zz9-long-enough';
  const gateway = await startRawGateway(t, {
    onRequest: ({ socket }) => {
      const body = JSON.stringify({ error: `\u001b[2J\u009b2J\u202e\u007f ${secret}` });
      socket.write(`HTTP/1.1 401 No\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
    },
  });
  const { port, nextLine } = await startStack(t, { gatewayUrl: gateway.url, env: { SECRET: secret } });
  const line = nextLine();
  await rawExchange(port, get('/v1/models'));
  const { reason } = (await line) as { reason: string };
  t.match(reason, /\\u009b2J\\u202e\\u007f \*\*\*\*/);
  t.notMatch(reason, /[\u007f-\u009f\u202e]|Zz9/);
});

void t.test('O3 an error page tells nothing of the gateway, the secret, or the program', async (t) => {
  const leaks = new RegExp(
    `${GATEWAY_SECRET}|127\\.0\\.0\\.1:|ECONN|node_modules|\\.ts\\b|undici|UND_ERR|at [A-Z]\\w+ \\(`,
    'i',
  );
  const closed = await new Promise<string>((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(`http://127.0.0.1:${port}`));
    });
  });
  const down = await startStack(t, { gatewayUrl: closed });
  t.notMatch((await rawExchange(down.port, get('/v1/models'))).text, leaks);

  const echo = `HTTP/1.1 500 Oops\r\nX-Openclaw-Scopes: operator.admin\r\nAuthorization: Bearer ${GATEWAY_SECRET}\r\nServer-Timing: a\r\n`;
  const answers = [
    `HTTP/1.1 200 OK\r\nAuthorization : ${GATEWAY_SECRET}\r\n\r\n`,
    `HTTP/1.1 401 Unauthorized\r\nContent-Length: ${GATEWAY_SECRET.length}\r\n\r\n${GATEWAY_SECRET}`,
    `${echo}Content-Length: 0\r\n\r\n`,
    `${echo}Connection: close, x-other\r\nX-Other: ${GATEWAY_SECRET}\r\nKeep-Alive: ${GATEWAY_SECRET}\r\nContent-Length: 0\r\n\r\n`,
  ];
  const gateway = await startRawGateway(t, {
    onRequest: ({ socket }, nth) => void socket.write(answers[nth - 1] ?? ''),
  });
  const { port } = await startStack(t, { gatewayUrl: gateway.url });
  for (const answer of answers) {
    const { text, status } = await rawExchange(port, get('/v1/models'));
    t.notMatch(text, leaks, answer);
    t.notMatch(text, /x-openclaw|^authorization/im, answer);
    t.ok(status >= 500);
  }
});

void t.test('O5 what is too large is configured', async (t) => {
  const { port } = await startStack(t, { more: 'limits: { headerBytes: 8KiB }' });
  t.equal((await rawExchange(port, get('/v1/models', `X-A: ${'x'.repeat(7_000)}\r\n`))).status, 200);
  t.equal((await rawExchange(port, get('/v1/models', `X-A: ${'x'.repeat(9_000)}\r\n`))).status, 431);
  const trailers = Array.from({ length: 5_000 }, (_, i) => `a${i}:\r\n`).join('');
  const chunks = `2\r\n{}\r\n0\r\n${trailers}\r\n`;
  t.equal((await rawExchange(port, post('Transfer-Encoding: chunked\r\n', chunks))).status, 431);
});

/** As many cases, each with its halves and doubles. */
const AT_ONCE = 100;

void t.test('O17 the whole corpus at once, and callers that leave: the process serves on', async (t) => {
  const gateway = await startRawGateway(t, { onRequest: ({ socket }) => void socket.write(JSON_ANSWER) });
  const { port, lines } = await startStack(t, { gatewayUrl: gateway.url, more: `limits: { body: ${BODY_LIMIT} }` });
  const corpus = CASES.filter(({ next, socket }) => !next && !socket).map(({ send }) => send);
  for (let i = 0; i < corpus.length; i += AT_ONCE) {
    await Promise.all(
      corpus
        .slice(i, i + AT_ONCE)
        .flatMap((bytes) => [
          rawExchange(port, bytes),
          rawExchange(port, bytes.slice(0, bytes.length / 2), { until: () => true, timeout: 50 }).catch(
            () => undefined,
          ),
          rawExchange(port, bytes + bytes, { until: () => true }),
        ]),
    );
  }
  t.equal((await rawExchange(port, get('/v1/models'))).status, 200);
  t.notOk(
    lines.some(({ level }) => (level as number) >= 50),
    'no unexpected error',
  );
});

void t.test('an error that nobody expected is 500 with an id, its stack in the log alone', async (t) => {
  let breaks = 0;
  const now = (): number => {
    if (breaks-- > 0) throw new Error('the clock is broken');
    return Date.now();
  };
  const { port, lines, gateway } = await startStack(t, { limits: { now } });
  for (const bytes of [get('/v1/models'), `CONNECT a:1 HTTP/1.1\r\n${authorized()}\r\n`]) {
    breaks = 1;
    const answer = await rawExchange(port, bytes);
    t.equal(answer.status, 500);
    t.match(answer.body, /"code":"internal_error"/);
    t.notMatch(answer.text, /clock|stack/);
    const error = lines.find(({ level, id }) => level === 50 && id === answer.headers['x-request-id']);
    t.match(error, { msg: 'unexpected error', err: { message: 'the clock is broken', stack: /gate\.ts/ } });
  }
  t.equal(gateway.requests.length, 0);
});
