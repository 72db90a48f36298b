/** The official SDK, unchanged: two settings, its own typed errors. */
import OpenAI from 'openai';
import t from 'tap';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { startStack, TOKENS } from '../helpers/stack.ts';

const messages = [{ role: 'user' as const, content: 'hi' }];

void t.test('models, chat and responses', async (t) => {
  const { url, gateway } = await startStack(t);
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: TOKENS.writer, maxRetries: 0 });
  t.equal((await client.models.list()).data[0]?.id, 'openclaw');
  t.equal((await client.models.retrieve('openclaw/default')).id, 'openclaw/default');
  t.equal(gateway.requests.at(-1)?.url, '/v1/models/openclaw%2Fdefault');

  const whole = await client.chat.completions.create({ model: 'openclaw', messages });
  t.equal(whole.choices[0]?.message.content, 'Hello from OpenClaw.');
  let text = '';
  for await (const chunk of await client.chat.completions.create({ model: 'openclaw', messages, stream: true })) {
    text += chunk.choices[0]?.delta.content ?? '';
  }
  t.equal(text, 'Hello from OpenClaw.');
  t.equal((await client.responses.create({ model: 'openclaw', input: 'hi' })).output_text, 'Hello from OpenClaw.');
});

void t.test('a run whose answer is lost is not asked for again', async (t) => {
  const gateway = await startRawGateway(t, { onRequest: ({ socket }) => void socket.end() });
  const { url } = await startStack(t, { gatewayUrl: gateway.url });
  // With the retries that it has by itself.
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: TOKENS.writer });
  const chat = client.chat.completions.create({ model: 'openclaw', messages });
  await t.rejects(chat, { status: 502, code: 'gateway_bad_response' });
  t.equal(gateway.connections.length, 1);
});

void t.test('typed errors', async (t) => {
  const { url, gateway } = await startStack(t);
  const ask = (apiKey: string): Promise<unknown> =>
    new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 }).chat.completions.create({
      model: 'openclaw',
      messages,
    });
  const failure = async (apiKey: string): Promise<InstanceType<typeof OpenAI.APIError>> => {
    const error: unknown = await ask(apiKey).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    if (!(error instanceof OpenAI.APIError)) throw new Error('no APIError', { cause: error });
    return error;
  };
  const unknown = await failure('nobody-token-0123456789-abcdef');
  t.ok(unknown instanceof OpenAI.AuthenticationError);
  t.match(unknown, { status: 401, code: 'invalid_token', type: 'authentication_error', param: null });
  t.match(unknown.requestID, /^[0-9a-f-]{36}$/);
  const reader = await failure(TOKENS.reader);
  t.ok(reader instanceof OpenAI.PermissionDeniedError);
  t.match(reader, { status: 403, code: 'insufficient_scope' });
  t.match(reader.message, 'This route needs the scope operator.write; this caller has: operator.read.');
  t.equal(gateway.requests.length, 0);
  await gateway.close();
  const down = await failure(TOKENS.writer);
  t.ok(down instanceof OpenAI.InternalServerError);
  t.match(down, { status: 502, code: 'gateway_unreachable' });
});
