/** JWTs of a certified OpenID provider (`oidc-provider`), over real sockets: provider, shim and gateway. */
import t, { type Test } from 'tap';
import { connect } from '../helpers/gateway-client.ts';
import { makeKey, startProvider, type TestProvider } from '../helpers/provider.ts';
import { valuesOf } from '../helpers/requests.ts';
import {
  bearer,
  callers,
  GATEWAY_SECRET,
  startStack,
  TOKENS,
  type Stack,
  type StackOptions,
} from '../helpers/stack.ts';

const HOUR = 3_600_000;
const first = await makeKey('first');
const second = await makeKey('second');
/** Nobody's scopes but those of the map: `runs:write` is unknown. */
const issuer = (provider: TestProvider, more = ''): string => `
issuers:
  - name: corp
    issuer: ${provider.url}
    audience: urn:shim
    discovery: true
    scopes: { claim: scope, map: { runs:read: [operator.read, operator.write] }, ceiling: [operator.read, operator.write] }
    policy: { websocket: relay }
    ${more}`;

interface Setup {
  readonly stack: Stack;
  readonly provider: TestProvider;
  readonly token: string;
  /** Reloads with other issuers. */
  readonly reloadWith: (issuers: string) => Promise<void>;
}

async function start(t: Test, options: StackOptions & { readonly issuer?: string } = {}): Promise<Setup> {
  const provider = await startProvider(t, [first]);
  const token = await provider.token('urn:shim');
  const more = `${issuer(provider, options.issuer)}\n${options.more ?? ''}`;
  const whole = { deviceStore: 'memory', ...options, more };
  const stack = await startStack(t, whole);
  return {
    stack,
    provider,
    token,
    async reloadWith(issuers) {
      whole.more = issuers;
      await stack.reload();
    },
  };
}

const models = (stack: Stack, token: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${stack.url}/v1/models`, { headers: { ...bearer(token), ...headers } });

/** The code of an error, or the status of what is none. */
async function outcome(answer: Response | Promise<Response>): Promise<string | number> {
  const response = await answer;
  if (response.status === 200) return response.status;
  const { error } = (await response.json()) as { readonly error: { readonly code: string } };
  return error.code;
}

const KEYS = '/jwks';

void t.test('the gateway is told of the caller, and nobody of the token', async (t) => {
  const { stack, provider, token } = await start(t);
  const line = stack.nextLine();
  t.equal((await models(stack, token)).status, 200);
  const sent = stack.gateway.requests[0]?.rawHeaders ?? [];
  t.strictSame(valuesOf(sent, 'authorization'), [`Bearer ${GATEWAY_SECRET}`]);
  t.strictSame(valuesOf(sent, 'x-openclaw-scopes'), ['operator.write'], 'which has operator.read in it');
  const told = await line;
  t.match(told, { caller: 'corp:agent', token: /^[0-9a-f]{12}$/, status: 200 });
  t.match(
    stack.lines.find(({ msg }) => msg === 'values of the scopes claim are unknown and grant nothing'),
    { caller: 'corp:agent', issuer: 'corp', count: 1, examples: ['runs:write'] },
  );
  for (const part of token.split('.')) t.notMatch(JSON.stringify(stack.lines), part);

  t.equal(await outcome(models(stack, TOKENS.reader)), 200, 'tokens of the table pass beside');
  for (let i = 0; i < 20; i++) t.equal(await outcome(models(stack, token)), 200);
  t.equal(provider.hits(KEYS), 1, 'keys are fetched once');
  t.equal(stack.lines.filter(({ msg }) => String(msg).startsWith('values of')).length, 1, 'and it is said once');
});

void t.test('what is wrong with a token is told in the log alone', async (t) => {
  const { stack, token } = await start(t);
  const [head = '', claims = '', signature = ''] = token.split('.');
  const other = Buffer.from(JSON.stringify({ iss: 'https://other.example' })).toString('base64url');
  for (const [bad, reason] of [
    [`${head}.${claims}.${signature.slice(0, -8)}AAAAAAAA`, 'a token of corp: its signature is wrong'],
    [`${head}.${other}.${signature}`, 'its iss is no issuer here'],
    [`${head}.${claims}.`, 'a token of corp: its signature is wrong'],
    [`shim_${head}.${claims}.${signature}`.slice(0, 512), 'unknown token'],
    [`${head}.${claims}.${signature}.x`, 'unknown token'],
    [`${token}${'a'.repeat(8_192)}`, 'not a b64token of 24 to 8192 characters'],
  ] as const) {
    const line = stack.nextLine();
    const answer = await models(stack, bad);
    t.equal(answer.headers.get('www-authenticate')?.includes('error="invalid_token"'), true);
    t.equal(await outcome(answer), 'invalid_token');
    t.match(await line, { reason, status: 401 });
  }
  t.equal(stack.gateway.requests.length, 0);
});

void t.test('guesses are counted, and a good token passes all the same', async (t) => {
  const { stack, token } = await start(t);
  const bad = `${token.slice(0, -8)}AAAAAAAA`;
  const codes: (string | number)[] = [];
  for (let i = 0; i < 11; i++) codes.push(await outcome(models(stack, bad)));
  t.strictSame(codes, [...Array<string>(10).fill('invalid_token'), 'rate_limited']);
  t.equal(await outcome(models(stack, token)), 200);
});

void t.test('keys rotate while requests run', async (t) => {
  const { stack, provider, token } = await start(t);
  const outcomes: (string | number)[] = [];
  let rotated = false;
  const run = async (): Promise<void> => {
    while (!rotated || outcomes.length < 200) outcomes.push(await outcome(models(stack, token)));
  };
  t.equal(await outcome(models(stack, token)), 200);
  const running = [run(), run(), run(), run()];
  // Both are published for a while, as providers do; the first that fits signs.
  provider.rotate([second, first]);
  const next = await provider.token('urn:shim');
  t.equal(headOf(next).kid, 'second');
  t.equal(await outcome(models(stack, next)), 200, 'an unknown kid has its keys fetched');
  rotated = true;
  await Promise.all(running);
  t.ok(outcomes.length >= 200);
  t.ok(outcomes.every((one) => one === 200));
  t.equal(provider.hits(KEYS), 2);

  const [, claims = '', signature = ''] = next.split('.');
  const stranger = (kid: number): string =>
    `${Buffer.from(JSON.stringify({ alg: 'RS256', kid: `k${kid}` })).toString('base64url')}.${claims}.${signature}`;
  const codes = await Promise.all(Array.from({ length: 1_000 }, (_, kid) => outcome(models(stack, stranger(kid)))));
  t.ok(codes.every((code) => code === 'invalid_token' || code === 'rate_limited'));
  t.equal(provider.hits(KEYS), 2, 'random kids see no further fetch within half a minute');
});

void t.test('a provider that is down', async (t) => {
  const clock = { now: Date.now() };
  const limits = { now: () => clock.now };
  const gateway = { chunks: 10_000, chunkDelay: 20 };
  const { stack, provider, token, reloadWith } = await start(t, { limits, gateway });
  t.equal(await outcome(models(stack, token)), 200);
  const run = await fetch(`${stack.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { ...bearer(token), 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'openclaw', stream: true, messages: [{ role: 'user', content: 'hi' }] }),
  });
  const reader = (run.body as ReadableStream<Uint8Array>).getReader();
  await reader.read();
  await provider.stop();
  t.equal(await outcome(models(stack, token)), 200, 'its last keys are used');

  clock.now += HOUR;
  for (let i = 0; i < 12; i++) {
    const answer = await models(stack, token);
    t.equal(answer.status, 503);
    t.match(answer.headers.get('retry-after'), /^\d+$/);
    t.equal(await outcome(answer), 'identity_unavailable', 'an outage is no failed login, however often');
  }
  t.equal(await outcome(models(stack, TOKENS.reader)), 200, 'others have nothing to do with it');
  await stack.reload();
  t.notOk((await reader.read()).done, 'what runs goes on');

  clock.now -= HOUR;
  t.equal(await outcome(models(stack, token)), 200, 'a reload keeps the last keys');
  clock.now += HOUR;
  const ended = stack.nextLine();
  await reloadWith(
    issuer(provider).replace('[operator.read, operator.write] }, ceiling', '[operator.read] }, ceiling'),
  );
  t.match(await ended, { end: 'revoked', caller: 'corp:agent', route: '/v1/chat/completions' }, 'in an outage as well');
  await reader.cancel().catch(() => undefined);
});

void t.test('a provider that was never there', async (t) => {
  const provider = await startProvider(t, [first]);
  const token = await provider.token('urn:shim');
  await provider.stop();
  const stack = await startStack(t, { deviceStore: 'memory', more: issuer(provider) });
  t.equal(await outcome(models(stack, token)), 'identity_unavailable');
  t.match(
    stack.lines.find(({ issuer: about }) => about === 'corp'),
    { msg: 'the keys of an issuer cannot be fetched: its callers are refused', reason: /ECONNREFUSED/ },
  );
  t.equal(stack.gateway.requests.length, 0);
});

function headOf(token: string): { readonly kid?: string } {
  return JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()) as { readonly kid?: string };
}

/** What came, though the end was not clean: a stream that is broken off is told, and has no last chunk. */
async function textOf({ body }: Response): Promise<string> {
  let text = '';
  try {
    for await (const piece of body as ReadableStream<Uint8Array>) text += Buffer.from(piece).toString();
  } catch {
    text += '(broken off)';
  }
  return text;
}

/** When the token ends, in milliseconds. */
function expiryOf(token: string): number {
  const { exp } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as {
    readonly exp: number;
  };
  return exp * 1_000;
}

for (const [name, more, stream, socket] of [
  ['by itself: WebSockets alone', '', 'goes on', 'ends'],
  ['endAtExpiry: true: all', 'stream: { endAtExpiry: true }', 'ends', 'ends'],
  ['endAtExpiry: false: nothing', 'stream: { endAtExpiry: false }', 'goes on', 'goes on'],
] as const) {
  void t.test(`what a token that ends leaves open, ${name}`, async (t) => {
    const clock = { now: Date.now() };
    const limits = { now: () => clock.now };
    const gateway = { chunks: 10_000, chunkDelay: 20 };
    const { stack, token } = await start(t, { limits, gateway, more, issuer: 'clockTolerance: 0' });
    // The token is of this moment, not of when the test began.
    clock.now = Date.now();
    const end = expiryOf(token);
    const ws = await connect(t, stack, { auth: null, headers: bearer(token) });
    const leaving = new AbortController();
    const run = await fetch(`${stack.url}/v1/chat/completions`, {
      method: 'POST',
      signal: leaving.signal,
      headers: { ...bearer(token), 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'openclaw', stream: true, messages: [{ role: 'user', content: 'hi' }] }),
    });
    const whole = textOf(run);
    clock.now = end;
    t.equal(await outcome(models(stack, token)), 'expired_token');
    await stack.reload();
    t.equal((await ws.call('sessions.list')).ok, true, 'a WebSocket has half a minute of grace');
    if (stream === 'ends') t.match(await whole, /event: error\ndata: \{[^\n]*"expired_token"[^]*\(broken off\)$/);
    clock.now = end + 29_999;
    await stack.reload();
    t.equal((await ws.call('sessions.list')).ok, true);
    clock.now = end + 30_000;
    await stack.reload();
    if (socket === 'ends') t.match(await ws.closed, { code: 1008, reason: /^expired_token/ });
    else t.equal((await ws.call('sessions.list')).ok, true);
    if (stream === 'goes on') {
      await stack.reload(callers());
      t.equal(stack.lines.filter(({ route }) => route === '/v1/chat/completions').length, 0, 'the stream is open');
      leaving.abort();
      await whole;
    }
  });
}
