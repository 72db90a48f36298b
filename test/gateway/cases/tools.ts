/** `/tools/invoke`: the gateway runs it as its owner in the token hop, so the shim alone narrows. */
import type { Test } from 'tap';
import { curl, json } from '../curl.ts';
import { CALLERS, type Hop } from '../hop.ts';

export async function toolCases(t: Test, { mode, shim }: Hop): Promise<void> {
  const invoke = async (token: string, tool: string): Promise<readonly [number, unknown]> => {
    const { status, body } = await curl(`${shim.url}/tools/invoke`, ...json(token, { tool, args: {} }));
    return [status, JSON.parse(body)];
  };
  const code = (value: string): object => ({ error: { code: value } });

  await t.test('a tool, by a writer', async (t) => {
    const [status, body] = await invoke(CALLERS.writer, 'agents_list');
    if (mode === 'token') {
      t.equal(status, 403);
      t.match(body, code('insufficient_scope'));
    } else {
      t.equal(status, 200);
      t.match(body, { ok: true, result: { content: [{ type: 'text' }] } });
    }
  });

  await t.test('a tool, by an admin', async (t) => {
    const [status, body] = await invoke(CALLERS.admin, 'agents_list');
    t.equal(status, 200);
    t.match(body, { ok: true, result: { content: [{ type: 'text' }] } });
  });

  await t.test('a tool that is opened for a caller, and another', async (t) => {
    const [status, body] = await invoke(CALLERS.tooler, 'agents_list');
    t.equal(status, 200);
    t.match(body, { ok: true });
    const [other, refusal] = await invoke(CALLERS.tooler, 'sessions_list');
    t.equal(other, 403);
    t.match(refusal, code('tool_not_allowed'));
  });
}
