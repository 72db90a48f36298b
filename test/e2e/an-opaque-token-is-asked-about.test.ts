/** Opaque tokens of a certified provider (`oidc-provider`), over real sockets: provider, shim and gateway. */
import t, { type Test } from 'tap';
import { audited } from '../helpers/audit.ts';
import { CLIENT, makeKey, startProvider, type TestProvider } from '../helpers/provider.ts';
import { bearer, callers, startStack, TOKENS, type Stack } from '../helpers/stack.ts';

const PATH = '/token/introspection';
const key = await makeKey('k1');

interface Setup {
  readonly stack: Stack;
  readonly provider: TestProvider;
  readonly token: string;
  /** Stands still until a test moves it: a second is what answers are kept for. */
  readonly clock: { now: number };
  /** Reloads with other sections after `introspection`, or without it. */
  readonly reloadWith: (more: string) => Promise<void>;
}

const introspection = (provider: TestProvider): string => `
introspection:
  name: corp
  endpoint: ${provider.url}${PATH}
  clientId: ${CLIENT.id}
  clientSecret: { env: CLIENT_SECRET }
  audience: urn:opaque
  cache: 1s
  caller: { claim: client_id }
  scopes: { claim: scope, map: { runs:write: [operator.write] }, ceiling: [operator.read, operator.write] }
`;
const issuers = (provider: TestProvider): string => `
issuers:
  - { name: jwt, issuer: "${provider.url}", audience: urn:shim, discovery: true, scopes: { claim: scope, ceiling: [] } }
`;

async function start(t: Test, more: (provider: TestProvider) => string = () => ''): Promise<Setup> {
  const provider = await startProvider(t, [key]);
  const clock = { now: Date.now() };
  const options = {
    limits: { now: () => clock.now },
    more: introspection(provider) + more(provider),
    env: { CLIENT_SECRET: CLIENT.secret },
    gateway: { chunks: 10_000, chunkDelay: 20 },
  };
  const stack = await startStack(t, options);
  return {
    stack,
    provider,
    clock,
    token: await provider.token('urn:opaque'),
    async reloadWith(next) {
      options.more = next;
      await stack.reload();
    },
  };
}

async function ask({ url }: Stack, token: string): Promise<string> {
  const answer = await fetch(`${url}/v1/models`, { headers: bearer(token) });
  const { error } = (await answer.json()) as { readonly error?: { readonly code: string } };
  return error?.code ?? String(answer.status);
}

/** A run that streams until somebody ends it: settles with what came, when it is over. */
async function openRun({ url }: Stack, token: string): Promise<{ readonly whole: Promise<string> }> {
  const run = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { ...bearer(token), 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'openclaw', stream: true, messages: [{ role: 'user', content: 'hi' }] }),
  });
  return { whole: readAll(run) };
}

async function readAll({ body }: Response): Promise<string> {
  let text = '';
  try {
    for await (const piece of body as ReadableStream<Uint8Array>) text += Buffer.from(piece).toString();
  } catch {
    return text;
  }
  return `${text}(a clean end)`;
}

void t.test('it names a caller, who is asked about once, until it is revoked', async (t) => {
  const { stack, provider, token, clock } = await start(t);
  const line = stack.nextLine();
  const answers = await Promise.all(Array.from({ length: 50 }, () => ask(stack, token)));
  t.strictSame(answers, Array<string>(50).fill('200'));
  t.equal(provider.hits(PATH), 1);
  t.match(await line, { caller: 'corp:agent', status: 200 });
  t.equal(JSON.stringify(stack.lines).includes(token), false);

  const { whole } = await openRun(stack, token);
  await provider.ask('/token/revocation', token);
  clock.now += 1_000;
  t.match(await whole, /event: error\ndata: \{[^\n]*"invalid_token"[^]*(?<!a clean end\))$/);
  t.match(stack.lines.at(-1), { end: 'revoked', reason: 'a token of corp: it is not active' });
  t.equal(await ask(stack, token), 'invalid_token');
});

void t.test('only what is nobody else’s is asked about', async (t) => {
  const { stack, provider, token } = await start(t, issuers);
  t.equal(await ask(stack, TOKENS.reader), '200');
  t.equal(await ask(stack, `shim_${'a'.repeat(49)}`), 'invalid_token');
  t.equal(await ask(stack, await provider.token('urn:shim')), 'insufficient_scope', 'a JWT of an issuer');
  t.equal(await ask(stack, 'a.b.c'), 'invalid_token', 'too short for any table');
  t.equal(provider.hits(PATH), 0);
  const foreign = `${btoa('{"alg":"RS256"}')}.${btoa('{"iss":"https://o.example"}')}.c2ln`.replaceAll('=', '');
  t.equal(await ask(stack, foreign), 'invalid_token', 'a JWT that is no issuer’s');
  t.match(stack.lines.at(-1), { reason: 'a token of corp: the endpoint takes none of its kind (400)' });
  t.equal(provider.hits(PATH), 1);
  t.equal(await ask(stack, token), '200');
  t.equal(provider.hits(PATH), 2);
});

void t.test('nobody is asked for a peer whose logins fail too often', async (t) => {
  const { stack, provider, token, clock } = await start(t);
  t.equal(await ask(stack, token), '200');
  const codes: string[] = [];
  for (let i = 0; i < 30; i++) codes.push(await ask(stack, `a-token-that-nobody-has-${i}`));
  t.strictSame(codes, [...Array<string>(10).fill('invalid_token'), ...Array<string>(20).fill('rate_limited')]);
  t.equal(provider.hits(PATH), 1 + 10);
  clock.now += 1_000;
  t.equal(await ask(stack, token), '200', 'one that was good is, also when its answer is too old');
  t.equal(provider.hits(PATH), 1 + 10 + 1);
  t.equal(await ask(stack, TOKENS.reader), '200', 'tokens of the table pass all the same');
});

void t.test('an outage is no login that failed', async (t) => {
  const { stack, provider, token, clock } = await start(t);
  t.equal(await ask(stack, token), '200');
  const { whole } = await openRun(stack, token);
  await provider.stop();
  for (let i = 0; i < 9; i++) t.equal(await ask(stack, `a-token-that-nobody-knows-${i}`), 'identity_unavailable');
  t.equal(stack.lines.filter(({ from }) => from === 'introspection corp').length, 1, 'the log has it once');
  await provider.start();
  t.equal(await ask(stack, 'a-token-that-nobody-has-at-all'), 'invalid_token');
  t.equal(await ask(stack, token), '200');
  t.equal(stack.lines.filter(({ end }) => end === 'revoked').length, 0, 'what ran went on');
  await provider.ask('/token/revocation', token);
  clock.now += 1_000;
  await whole;
});

void t.test('nor is anybody asked for a peer about whose tokens there is no answer', async (t) => {
  const { stack, provider, token } = await start(t);
  t.equal(await ask(stack, token), '200');
  const { answer } = provider;
  provider.answer = (_, response) => void response.writeHead(500).end();
  for (let i = 0; i < 30; i++) t.equal(await ask(stack, `a-token-that-nobody-knows-${i}`), 'identity_unavailable');
  t.equal(provider.hits(PATH), 1 + 10);
  t.match(stack.lines.at(-1), { reason: 'not asked about: too many questions for this peer had no answer' });
  provider.answer = answer;
  t.equal(await ask(stack, TOKENS.reader), '200');
  await stack.reload();
  t.equal(await ask(stack, token), 'identity_unavailable', 'nothing is remembered after a reload');
});

void t.test('without the section its tokens are nobody’s any more', async (t) => {
  const { stack, token, provider, reloadWith } = await start(t);
  const { whole } = await openRun(stack, token);
  await stack.reload(callers());
  t.equal(await ask(stack, token), '200');
  t.equal(provider.hits(PATH) >= 2, true, 'each configuration asks for itself');
  await reloadWith('');
  t.match(await whole, /"invalid_token"/);
  t.equal(await ask(stack, token), 'invalid_token');
});

void t.test(
  'whose caller a reload takes away while the endpoint is asked is refused, and the audit says so',
  async (t) => {
    const audit = audited(t);
    const { stack, token, provider, reloadWith } = await start(t, () => audit.yaml);
    const { answer } = provider;
    const { promise: asked, resolve: isAsked } = Promise.withResolvers<() => void>();
    provider.answer = (request, response) => isAsked(() => answer(request, response));
    const waiting = ask(stack, token);
    const release = await asked;
    await reloadWith(audit.yaml);
    release();
    t.equal(await waiting, 'invalid_token');
    t.equal(stack.gateway.requests.length, 0);
    t.match(await audit.records(1), [{ decision: 'refuse', code: 'invalid_token' }]);
  },
);
