import { hash } from 'node:crypto';
import type { Test } from 'tap';
import t from 'tap';
import type { StatusParts } from '../../src/status/state.ts';
import { MOST_VIEWS } from '../../src/server/status-page.ts';
import { openRaw, rawExchange, type RawConnection } from '../helpers/raw.ts';
import { get, post } from '../helpers/request-bytes.ts';
import { caller, startStack, TOKENS, type Stack } from '../helpers/stack.ts';
import { connectAs, socketCallers } from '../helpers/sockets.ts';

const portOf = ({ adminUrl }: Stack): number => Number(new URL(adminUrl).port);
const ask = (stack: Stack, path: string, lines = '', method = 'GET'): ReturnType<typeof rawExchange> =>
  rawExchange(portOf(stack), `${method} ${path} HTTP/1.1\r\nHost: localhost\r\n${lines}\r\n`);

/** Somebody who looks. */
async function view(t: Test, stack: Stack): Promise<RawConnection> {
  const raw = await openRaw(t, portOf(stack));
  raw.send('GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await raw.until((text) => text.includes('event: hour'));
  return raw;
}

/** The last that was told of a part. */
function lastOf<Name extends keyof StatusParts>(text: string, name: Name): StatusParts[Name] | undefined {
  const [, json] = [...text.matchAll(new RegExp(`^event: ${name}\\ndata: (.*)$`, 'gm'))].at(-1) ?? [];
  return json === undefined ? undefined : (JSON.parse(json) as StatusParts[Name]);
}

async function told<Name extends keyof StatusParts>(
  raw: RawConnection,
  name: Name,
  fits: (part: StatusParts[Name]) => boolean,
): Promise<StatusParts[Name]> {
  const found = (text: string): StatusParts[Name] | undefined => {
    // The last line may still be coming.
    const part = lastOf(text.slice(0, text.lastIndexOf('\n\n') + 1), name);
    return part && fits(part) ? part : undefined;
  };
  return found(await raw.until((text) => found(text) !== undefined)) as StatusParts[Name];
}

void t.test('one document, whose policy lets in nothing but itself', async (t) => {
  const stack = await startStack(t);
  const { status, headers, body } = await rawPage(stack);
  t.equal(status, 200);
  const [, script = ''] = /<script>([^]*)<\/script>/.exec(body) ?? [];
  const [, style = ''] = /<style>([^]*)<\/style>/.exec(body) ?? [];
  t.ok(script.length > 10_000 && style.length > 1_000);
  t.equal(body.split('<script').length, 2);
  t.equal(body.split('</script').length, 2);
  const sha = (text: string): string => `'sha256-${hash('sha256', text, 'base64')}'`;
  t.equal(
    headers.get('content-security-policy'),
    `default-src 'none'; script-src ${sha(script)}; style-src ${sha(style)}; connect-src 'self'; img-src data:; ` +
      "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  );
  t.equal(headers.get('content-type'), 'text/html; charset=utf-8');
  t.equal(headers.get('x-frame-options'), 'DENY');
  t.equal(headers.get('x-content-type-options'), 'nosniff');
  t.equal(headers.get('cache-control'), 'no-store');
  t.notMatch(body, /https?:\/\/|\bsrc=|url\(|@import|innerHTML|insertAdjacentHTML|document\.write|\beval\(/);
  t.equal(body.match(/\bhref="([^"]*)"/g)?.join(), 'href="data:,"');
  t.notMatch(body, /\son[a-z]+=/i, 'no handlers in the markup');
  t.ok(Buffer.byteLength(body) < 100_000, `${Buffer.byteLength(body)} bytes`);
  const head = await ask(stack, '/', '', 'HEAD');
  t.strictSame([head.status, head.body], [200, '']);
});

async function rawPage({ adminUrl }: Stack) {
  const answer = await fetch(`${adminUrl}/`);
  return { status: answer.status, headers: answer.headers, body: await answer.text() };
}

void t.test('what happens is told as it does', async (t) => {
  const stack = await startStack(t, { callers: `${callersWith()}` });
  const raw = await view(t, stack);
  t.same(
    (await told(raw, 'health', ({ checks }) => checks !== undefined)).checks?.map(({ name, ok }) => [name, ok]),
    [
      ['configuration', true],
      ['listener', true],
      ['drain', true],
      ['gateway', true],
    ],
  );
  t.strictSame(lastOf(raw.text, 'refusals'), []);
  await rawExchange(stack.port, get('/nowhere', '', TOKENS.reader));
  const [row] = await told(raw, 'refusals', ({ length }) => length === 1);
  t.match(row, {
    status: 404,
    code: 'route_not_exposed',
    caller: 'reader',
    method: 'GET',
    route: '/nowhere',
    words: 'This route is not exposed.',
    advice: /^Add the route to routes, /,
  });
  t.equal(row?.id, stack.lines.at(-1)?.id);
  await rawExchange(stack.port, get('/v1/models', '', 'x'.repeat(40)));
  const [bad] = await told(raw, 'refusals', ({ length }) => length === 2);
  t.match(bad, { code: 'invalid_token', caller: undefined, words: stack.lines.at(-1)?.reason });
  t.match(
    (await told(raw, 'callers', ({ rows }) => rows[0]?.requests === 1)).rows.map(({ name }) => name),
    ['reader', 'old'],
  );
  t.match(await told(raw, 'hour', ({ refusals }) => refusals.slice(-2).includes(2) || refusals.at(-1) === 1), {});
  t.match(
    lastOf(raw.text, 'tokens')?.map(({ caller }) => caller),
    ['old', 'reader'],
    'those that have ended, and those that soon will',
  );
  t.match(lastOf(raw.text, 'about'), { gateway: { mode: 'token', release: undefined } });
  for (const secret of [TOKENS.reader, 'x'.repeat(40), 'gateway-secret', 'sha256'])
    t.notMatch(raw.text, secret, 'no secret, and no hash');
});

void t.test('the reason is what the caller was told, where there is no other, and the log has it', async (t) => {
  const stack = await startStack(t);
  const raw = await view(t, stack);
  const told403 = await rawExchange(stack.port, post('Content-Length: 2\r\n', '{}', TOKENS.reader));
  const message = 'This route needs the scope operator.write; this caller has: operator.read.';
  t.match(told403.body, message);
  const [row] = await told(raw, 'refusals', ({ length }) => length === 1);
  t.match(row, { code: 'insufficient_scope', words: message });
  t.match(stack.lines.at(-1), { code: 'insufficient_scope', reason: message });
  const secret = `Tok3n${'x'.repeat(30)}`;
  await rawExchange(stack.port, `GET /v1/models HTTP/1.1\r\nHost: ${secret}\r\n\r\n`);
  const [host] = await told(raw, 'refusals', ({ length }) => length === 2);
  t.match(host, { code: 'host_not_allowed', words: /^The host name "\*\*\*\*" is not served here\./i });
  await rawExchange(stack.port, 'GET /v1/models HTTP/1.1\r\nHost: a-long-name-of-a-service.example.internal\r\n\r\n');
  const [named] = await told(raw, 'refusals', ({ length }) => length === 3);
  t.match(named?.words, '"a-long-name-of-a-service.example.internal"');
});

/** One whose token has ended, one whose token will. */
function callersWith(): string {
  const soon = new Date(Date.now() + 3 * 86_400_000).toISOString().slice(0, 10);
  const withDate = (line: string, date: string): string => line.replace(' }]', `, expires: ${date} }]`);
  return [
    'callers:',
    withDate(caller('reader', TOKENS.reader, ['operator.read']), soon),
    withDate(caller('old', TOKENS.writer, ['operator.read']), '2026-01-01'),
  ].join('\n');
}

void t.test('fifty refusals and no more', async (t) => {
  const stack = await startStack(t);
  for (let i = 0; i < 60; i++) await rawExchange(stack.port, get(`/nowhere/${i}`, '', TOKENS.reader));
  const raw = await view(t, stack);
  const rows = lastOf(raw.text, 'refusals');
  t.equal(rows?.length, 50);
  t.equal(rows?.[0]?.route, '/nowhere/59');
  t.equal(rows?.at(-1)?.route, '/nowhere/10');
});

void t.test('sockets are counted while they are open, and tell the release', async (t) => {
  const stack = await startStack(t, {
    deviceStore: 'memory',
    callers: socketCallers({ writer: { scopes: ['operator.write'] } }),
  });
  const raw = await view(t, stack);
  await connectAs(t, stack, 'writer', { scopes: ['operator.read'] });
  const { rows } = await told(raw, 'callers', (part) => part.rows[0]?.sockets === 1);
  t.equal(rows[0]?.name, 'writer');
  t.equal((await told(raw, 'health', ({ open }) => open.sockets === 1)).open.requests, 0);
  const { gateway } = await told(raw, 'about', (part) => part.gateway.release !== undefined);
  t.match(gateway.release?.version, /^2026\./);
});

void t.test('views are few, end with who looks, and at the drain', async (t) => {
  const stack = await startStack(t);
  const views: RawConnection[] = [];
  for (let i = 0; i < MOST_VIEWS; i++) views.push(await view(t, stack));
  t.match(await ask(stack, '/events'), { status: 503, body: 'too many look at it already\n' });
  const head = await ask(stack, '/events', '', 'HEAD');
  t.strictSame([head.status, head.body], [200, '']);
  const [first, ...others] = views as [RawConnection, ...RawConnection[]];
  const gone = new Promise((resolve) => first.socket.once('close', resolve));
  first.socket.destroy();
  await gone;
  // The shim hears of it a moment later.
  for (;;) {
    const again = await openRaw(t, portOf(stack));
    again.send('GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n');
    if ((await again.until((text) => text.includes('\r\n\r\n'))).includes(' 200 ')) break;
  }
  const drained = stack.drain();
  for (const one of others) t.match(await one.closed(), /event: end\ndata: 0\n\n\r\n0\r\n\r\n$/);
  await drained;
});

void t.test('it only shows', async (t) => {
  const stack = await startStack(t);
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE'])
    for (const path of ['/', '/events', '/nowhere']) {
      const answer = await ask(stack, path, 'Content-Length: 0\r\n', method);
      t.equal(answer.status, 405, `${method} ${path}`);
      t.match(answer.text, '\r\nallow: GET, HEAD\r\n');
    }
  for (const path of ['/?', '/?a', '/events?', '/events/', '//', '/index.html', '/favicon.ico'])
    t.equal((await ask(stack, path)).status, 404, path);
});

void t.test('other sites cannot look through a browser', async (t) => {
  const stack = await startStack(t);
  const port = portOf(stack);
  const foreign = [
    'Sec-Fetch-Site: cross-site\r\n',
    'Sec-Fetch-Site: same-site\r\n',
    'Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n',
    'Origin: https://evil.example\r\n',
    'Origin: null\r\n',
    `Origin: http://localhost:${port + 1}\r\n`,
    `Origin: https://localhost\r\n`,
  ];
  for (const path of ['/', '/events', '/metrics', '/readyz'])
    for (const lines of foreign) t.equal((await ask(stack, path, lines)).status, 403, `${path} ${lines}`);
  for (const lines of ['Sec-Fetch-Site: same-origin\r\n', 'Sec-Fetch-Site: none\r\n', 'Origin: http://localhost\r\n'])
    t.equal((await ask(stack, '/', lines)).status, 200, lines);
  const named = (host: string) => rawExchange(port, `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  for (const host of ['evil.example', 'localhost.evil.example', '10.0.0.1', '0.0.0.0', 'localhost@evil', ''])
    t.equal((await named(host)).status, 421, host);
});
