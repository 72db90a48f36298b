/** `Cf-Access-Jwt-Assertion`, which Cloudflare Access adds: alone it names the caller, beside a token it must be valid. */
import t, { type Test } from 'tap';
import { jsonAt, makeKey, publicOf, signJwt, startEndpoint } from '../helpers/provider.ts';
import { valuesOf } from '../helpers/requests.ts';
import { bearer, callers, startStack, TOKENS, type Stack } from '../helpers/stack.ts';

const KEYS = '/cdn-cgi/access/certs';
const AUD = '4714c1358e65fe4b408ad6d432a5f878f08194bdb4752441fd56faefa9b2b6f2';
const key = await makeKey('access', 'RS256');

interface Setup {
  readonly stack: Stack;
  /** An assertion for somebody, with other claims or without. */
  readonly assertion: (claims?: Record<string, unknown>) => Promise<string>;
  readonly reloadWith: (listen: string) => Promise<void>;
}

async function start(
  t: Test,
  listen = '{ port: 0 }',
  header = 'Cf-Access-Jwt-Assertion',
  { clock, more: sections = '' }: { readonly clock?: { now: number }; readonly more?: string } = {},
): Promise<Setup> {
  const team = await startEndpoint(t, jsonAt({ [KEYS]: { keys: [publicOf(key)] } }));
  const more = `
issuers:
  - name: access
    issuer: ${team.url}
    audience: ${AUD}
    jwksUri: ${team.url}${KEYS}
    header: ${header}
    caller: { claim: email }
    scopes: { claim: email, map: { a@example.com: [operator.read] }, ceiling: [operator.read] }
${sections}`;
  const limits = clock ? { now: () => clock.now } : {};
  const options = { listen, more, limits, gateway: { chunks: 10_000, chunkDelay: 20 } };
  const stack = await startStack(t, options);
  const now = Math.floor(Date.now() / 1_000);
  return {
    stack,
    assertion: (claims = {}) =>
      signJwt(key, { iss: team.url, aud: [AUD], email: 'a@example.com', iat: now, exp: now + 3_600, ...claims }),
    async reloadWith(next) {
      options.listen = next;
      await stack.reload();
    },
  };
}

type Headers = Record<string, string>;

async function ask({ url, nextLine }: Stack, headers: Headers): Promise<string> {
  const line = nextLine();
  const answer = await fetch(`${url}/v1/models`, { headers });
  const body = (await answer.json()) as { readonly error?: { readonly code: string } };
  return `${(await line).caller as string | undefined}: ${body.error?.code ?? answer.status}`;
}

const asserting = (assertion: string): Headers => ({ 'cf-access-jwt-assertion': assertion });

void t.test('alone it names the caller', async (t) => {
  const { stack, assertion } = await start(t);
  const good = await assertion();
  t.equal(await ask(stack, asserting(good)), 'access:a@example.com: 200');
  const [sent] = stack.gateway.requests;
  t.strictSame(valuesOf(sent?.rawHeaders ?? [], 'x-openclaw-scopes'), ['operator.read']);
  t.strictSame(valuesOf(sent?.rawHeaders ?? [], 'cf-access-jwt-assertion'), [], 'the gateway does not get it');
  t.equal(await ask(stack, asserting(await assertion({ aud: ['another'] }))), 'undefined: invalid_token');
  t.equal(await ask(stack, asserting(await assertion({ exp: 1 }))), 'undefined: expired_token');
  t.match(stack.lines.at(-1), { reason: /^token [0-9a-f]{12} of access:a@example.com$/ });
  t.equal(await ask(stack, asserting('junk')), 'undefined: invalid_token');
  t.equal(await ask(stack, asserting('')), 'undefined: invalid_token');
  t.equal(await ask(stack, { cf_access_jwt_assertion: good }), 'undefined: missing_token');
  t.equal(await ask(stack, bearer(good)), 'undefined: invalid_token', 'as a bearer it is none');
  t.match(stack.lines.at(-1), { reason: 'a token of access: it was shown in authorization' });
  const words = async (headers: Headers): Promise<unknown> =>
    ((await (await fetch(`${stack.url}/v1/models`, { headers })).json()) as { error: { message: string } }).error
      .message;
  t.equal(await words(asserting('junk')), 'The assertion of Cloudflare Access is not valid.');
  t.equal(await words(asserting(await assertion({ exp: 1 }))), 'The assertion of Cloudflare Access has expired.');
  t.equal(await words(bearer('x'.repeat(24))), 'The bearer token is not valid.');
  const two = await fetch(`${stack.url}/v1/models`, {
    headers: [
      ['Cf-Access-Jwt-Assertion', good],
      ['cf-access-jwt-assertion', good],
    ],
  });
  t.equal(two.status, 401, 'joined by a comma it is no JWT');
  t.equal(stack.gateway.requests.length, 1);
});

void t.test('beside a token that names another, it is refused', async (t) => {
  const { stack, assertion } = await start(t);
  const good = await assertion();
  t.equal(await ask(stack, { ...bearer(TOKENS.reader), ...asserting(good) }), 'undefined: invalid_token');
  t.match(stack.lines.at(-1), { reason: 'the assertion names access:a@example.com, and the token reader' });
  t.equal(stack.gateway.requests.length, 0);
});

void t.test('credentials: bearer: the token names the caller, and the assertion must be valid', async (t) => {
  const { stack, assertion } = await start(t, '{ port: 0, credentials: bearer }');
  const good = await assertion();
  t.equal(await ask(stack, { ...bearer(TOKENS.reader), ...asserting(good) }), 'reader: 200');
  t.equal(await ask(stack, bearer(TOKENS.reader)), 'reader: 200', 'it need not be there');
  t.equal(await ask(stack, asserting(good)), 'access:a@example.com: 200');
  const expired = await assertion({ exp: 1 });
  const foreign = await assertion({ iss: 'https://other.example' });
  const before = stack.gateway.requests.length;
  for (const bad of [expired, foreign, `${good.slice(0, -8)}AAAAAAAA`, 'x.y.z', '']) {
    t.match(await ask(stack, { ...bearer(TOKENS.reader), ...asserting(bad) }), /: (?:invalid|expired)_token$/);
  }
  t.equal(
    await ask(stack, { ...bearer(TOKENS.reader.replace('r', 's')), ...asserting(good) }),
    'undefined: invalid_token',
  );
  t.equal(stack.gateway.requests.length, before);
});

void t.test('what runs ends when the two no longer go together', async (t) => {
  const { stack, assertion, reloadWith } = await start(t, '{ port: 0, credentials: bearer }');
  const line = stack.nextLine();
  const run = await fetch(`${stack.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { ...bearer(TOKENS.writer), ...asserting(await assertion()), 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'openclaw', stream: true, messages: [{ role: 'user', content: 'hi' }] }),
  });
  const reader = (run.body as ReadableStream<Uint8Array>).getReader();
  await reader.read();
  await reloadWith('{ port: 0 }');
  t.match(await line, { caller: 'writer', end: 'revoked', reason: /^the assertion names access:a@example.com/ });
  await reader.cancel().catch(() => undefined);
});

for (const [name, more, path] of [
  ['an assertion that ends leaves the run of a token open', '', 'open'],
  ['with endAtExpiry it ends it', 'stream: { endAtExpiry: true }', 'ended'],
] as const) {
  void t.test(name, async (t) => {
    const clock = { now: Date.now() };
    const { stack, assertion } = await start(t, '{ port: 0, credentials: bearer }', undefined, { clock, more });
    const line = stack.nextLine();
    const exp = Math.floor(clock.now / 1_000) + 60;
    const run = await fetch(`${stack.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { ...bearer(TOKENS.writer), ...asserting(await assertion({ exp })), 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'openclaw', stream: true, messages: [{ role: 'user', content: 'hi' }] }),
    });
    const reader = (run.body as ReadableStream<Uint8Array>).getReader();
    await reader.read();
    clock.now += 120_000;
    await stack.reload();
    if (path === 'ended') t.match(await line, { caller: 'writer', end: 'expired' });
    else t.notOk((await reader.read()).done);
    await reader.cancel().catch(() => undefined);
  });
}

void t.test('where no issuer has its tokens there, it is a header like any other', async (t) => {
  const { stack, assertion } = await start(t, '{ port: 0 }', 'Authorization');
  const good = await assertion();
  t.equal(await ask(stack, bearer(good)), 'access:a@example.com: 200');
  t.equal(await ask(stack, asserting(good)), 'undefined: missing_token');
  t.equal(await ask(stack, { ...bearer(TOKENS.reader), ...asserting('junk') }), 'reader: 200');
  await stack.reload(callers());
});
