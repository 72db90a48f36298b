/** Lifetimes: a caller who goes, and many at once. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Test } from 'tap';
import { curl, json } from '../curl.ts';
import { ask, CALLERS, openai, REPLY, type Hop } from '../hop.ts';
import { ENDLESS, type Run } from '../model.ts';
import { CANCELS_RUNS } from '../version.ts';

const MANY = 100;

export async function streamCases(t: Test, { shim, gateway }: Hop): Promise<void> {
  const url = `${shim.url}/v1/chat/completions`;

  await t.test('a curl that is ended cancels its run', async (t) => {
    const prompt = `${ENDLESS}-curl`;
    const child = spawn('curl', ['-sN', url, ...json(CALLERS.writer, ask(prompt, { stream: true }))]);
    const [run] = await Promise.all([gateway.model.run(prompt), once(child.stdout, 'data')]);
    child.kill('SIGKILL');
    await gone(t, run);
  });

  await t.test('an SDK call that is aborted cancels its run', async (t) => {
    const prompt = `${ENDLESS}-sdk`;
    const client = openai(shim.url, CALLERS.writer);
    const stream = await client.chat.completions.create({ ...ask(prompt), stream: true });
    const run = await gateway.model.run(prompt);
    stream.controller.abort();
    await gone(t, run);
  });

  /** From 4.7 on the run ends at the model server; before, only the shim's own request is gone. */
  async function gone(t: Test, run: Run): Promise<void> {
    const line = await shim.logged(({ end, route }) => end === 'caller_gone' && route === '/v1/chat/completions');
    t.equal(line.caller, 'writer');
    if (CANCELS_RUNS) t.equal(await run.ended, 'aborted', 'the run was cancelled');
    else run.finish();
  }

  await t.test(`${MANY} streams at once, with curl`, async (t) => {
    const request = json(CALLERS.writer, ask('many', { stream: true }));
    const parallel = ['-Z', '--parallel-immediate', '--parallel-max', String(MANY)];
    const { body, exit } = await curl(...parallel, `${url}?n=[1-${MANY}]`, ...request);
    t.equal(exit, 0);
    t.equal(body.match(/^data: \[DONE\]$/gm)?.length, MANY);
  });

  await t.test(`${MANY} streams at once, with the SDK`, async (t) => {
    const client = openai(shim.url, CALLERS.writer);
    const replies = await Promise.all(
      Array.from({ length: MANY }, async () => {
        let text = '';
        for await (const chunk of await client.chat.completions.create({ ...ask('many'), stream: true })) {
          text += chunk.choices[0]?.delta.content ?? '';
        }
        return text;
      }),
    );
    t.strictSame(new Set(replies), new Set([REPLY]));
  });
}
