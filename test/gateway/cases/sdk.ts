/** The main job, with the official OpenAI SDK. */
import { AuthenticationError, PermissionDeniedError } from 'openai';
import type { Test } from 'tap';
import { ask, CALLERS, MODEL, openai, REPLY, type Hop } from '../hop.ts';

export async function sdkCases(t: Test, { shim }: Hop): Promise<void> {
  const writer = openai(shim.url, CALLERS.writer);

  await t.test('SDK: models', async (t) => {
    const ids: string[] = [];
    for await (const model of openai(shim.url, CALLERS.reader).models.list()) ids.push(model.id);
    t.ok(ids.includes('openclaw/default'));
    const model = await writer.models.retrieve('openclaw/default');
    t.equal(model.id, 'openclaw/default');
  });

  await t.test('SDK: a chat, not streamed and streamed', async (t) => {
    const reply = await writer.chat.completions.create(ask('hi'));
    t.equal(reply.choices[0]?.message.content, REPLY);
    let text = '';
    for await (const chunk of await writer.chat.completions.create({ ...ask('hi'), stream: true })) {
      text += chunk.choices[0]?.delta.content ?? '';
    }
    t.equal(text, REPLY);
  });

  await t.test('SDK: a response, not streamed and streamed', async (t) => {
    const request = { model: MODEL, input: 'hi' };
    const reply = await writer.responses.create(request);
    t.equal(reply.output_text, REPLY);
    let text = '';
    for await (const event of await writer.responses.create({ ...request, stream: true })) {
      if (event.type === 'response.output_text.delta') text += event.delta;
    }
    t.equal(text, REPLY);
  });

  await t.test('SDK: its typed errors', async (t) => {
    const unknown = openai(shim.url, 'unknown-token-0123456789-abcdef');
    const bad = await fault(unknown.chat.completions.create(ask('hi')));
    t.ok(bad instanceof AuthenticationError);
    t.match(bad, { status: 401, code: 'invalid_token', requestID: /./ });
    const reader = openai(shim.url, CALLERS.reader);
    const denied = await fault(reader.chat.completions.create({ ...ask('hi'), stream: true }));
    t.ok(denied instanceof PermissionDeniedError);
    t.match(denied, { status: 403, code: 'insufficient_scope', message: /operator\.write/ });
  });
}

/** @returns what a call threw */
export async function fault(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => undefined,
    (error: unknown) => error,
  );
}
