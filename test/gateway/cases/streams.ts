/** Lifetimes: a caller who goes, and many at once. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Test } from 'tap';
import { curl, json } from '../curl.ts';
import { ask, CALLERS, openai, REPLY, type Hop } from '../hop.ts';
import { ENDLESS, type Run } from '../model.ts';
import { CANCELS_RUNS } from '../version.ts';

const HALF = 50;

export async function streamCases(t: Test, { shim, gateway }: Hop): Promise<void> {
  const url = `${shim.url}/v1/chat/completions`;
  const told = new Set<unknown>();

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
    const { id, caller } = await shim.logged((line) => line.end === 'caller_gone' && !told.has(line.id));
    told.add(id);
    t.equal(caller, 'writer');
    if (CANCELS_RUNS) t.equal(await run.ended, 'aborted', 'the run was cancelled');
    else run.finish();
  }

  await t.test(`${2 * HALF} streams at once, half with curl, half with the SDK`, async (t) => {
    const request = json(CALLERS.writer, ask('many', { stream: true }));
    const parallel = ['-Z', '--parallel-immediate', '--parallel-max', String(HALF)];
    const client = openai(shim.url, CALLERS.writer);
    const [{ body, exit }, ...replies] = await Promise.all([
      curl(...parallel, `${url}?n=[1-${HALF}]`, ...request),
      ...Array.from({ length: HALF }, async () => {
        let text = '';
        for await (const chunk of await client.chat.completions.create({ ...ask('many'), stream: true })) {
          text += chunk.choices[0]?.delta.content ?? '';
        }
        return text;
      }),
    ]);
    t.equal(exit, 0);
    t.equal(body.match(/^data: \[DONE\]$/gm)?.length, HALF);
    t.strictSame(replies, Array(HALF).fill(REPLY));
  });
}
