/** The main job, with curl. */
import type { Test } from 'tap';
import { curl, json } from '../curl.ts';
import { ask, CALLERS, MODEL, REPLY, type Hop } from '../hop.ts';
import { since } from '../version.ts';

const DEFECT = ask('Say hello', { stream: true });

export async function curlCases(t: Test, { mode, gateway, shim }: Hop): Promise<void> {
  const chat = '/v1/chat/completions';

  if (mode === 'token') {
    await t.test('the curl of the defect, straight to the gateway', async (t) => {
      const { status, body } = await curl(gateway.url + chat, ...json(gateway.token, DEFECT));
      if (since('2026.3.31')) {
        t.equal(status, 200, 'fixed in this release');
        return;
      }
      t.equal(status, 403);
      t.equal(body, '{"ok":false,"error":{"type":"forbidden","message":"missing scope: operator.write"}}');
    });
  }

  await t.test('the curl of the defect, through the shim', async (t) => {
    const { status, body, exit } = await curl(shim.url + chat, ...json(CALLERS.writer, DEFECT));
    t.equal(status, 200);
    t.equal(exit, 0);
    t.equal(contentOf(body), REPLY);
    t.ok(body.endsWith('data: [DONE]\n\n'), 'the stream is whole');
  });

  await t.test('a chat that is not streamed', async (t) => {
    const { status, body } = await curl(shim.url + chat, ...json(CALLERS.writer, ask('hi')));
    t.equal(status, 200);
    t.match(JSON.parse(body), { choices: [{ message: { content: REPLY } }] });
  });

  await t.test('a response, not streamed and streamed', async (t) => {
    const url = `${shim.url}/v1/responses`;
    const request = { model: MODEL, input: 'hi' };
    const whole = await curl(url, ...json(CALLERS.writer, request));
    t.equal(whole.status, 200);
    t.match(JSON.parse(whole.body), { status: 'completed', output: [{ content: [{ text: REPLY }] }] });
    const streamed = await curl(url, ...json(CALLERS.writer, { ...request, stream: true }));
    t.equal(streamed.status, 200);
    t.match(streamed.body, /^event: response\.completed$/m);
    t.ok(streamed.body.endsWith('data: [DONE]\n\n'), 'the stream is whole');
  });

  await t.test('models, and one model by the id that SDKs encode', async (t) => {
    const bearer = ['-H', `Authorization: Bearer ${CALLERS.reader}`];
    const list = await curl(`${shim.url}/v1/models`, ...bearer);
    t.equal(list.status, 200);
    t.match(JSON.parse(list.body), { data: [{ id: 'openclaw' }, { id: 'openclaw/default' }] });
    const one = await curl(`${shim.url}/v1/models/openclaw%2Fdefault`, ...bearer);
    t.equal(one.status, 200);
    t.match(JSON.parse(one.body), { id: 'openclaw/default' });
  });

  await t.test('without a token, with the gateway token, and with too little scope', async (t) => {
    const refused = async (token: string | undefined): Promise<unknown> => {
      const { status, body } = await curl(shim.url + chat, ...json(token, DEFECT));
      return [status, (JSON.parse(body) as { error: { code: string } }).error.code];
    };
    t.strictSame(await refused(undefined), [401, 'missing_token']);
    t.strictSame(await refused(gateway.token), [401, 'invalid_token']);
    t.strictSame(await refused(CALLERS.reader), [403, 'insufficient_scope']);
  });
}

/** The words of a chat stream, put together. */
export function contentOf(stream: string): string {
  return [...stream.matchAll(/^data: (\{.*)$/gm)]
    .map(([, data]) => JSON.parse(data!) as { choices: [{ delta: { content?: string } }] })
    .map(({ choices: [choice] }) => choice?.delta.content ?? '')
    .join('');
}
