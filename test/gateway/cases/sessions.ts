/** Sessions and agents that callers are bound to: what the gateway really does with the headers that we send. */
import type { Test } from 'tap';
import { curl, json } from '../curl.ts';
import { BETA_WORKSPACE } from '../gateway.ts';
import { ask, CALLERS, type Hop } from '../hop.ts';
import { HISTORY_WITH_SECRET, since } from '../version.ts';

export async function sessionCases(t: Test, hop: Hop): Promise<void> {
  const { mode, shim, gateway } = hop;
  if (mode === 'token' && !HISTORY_WITH_SECRET) {
    await t.test('sessions', { skip: 'this release shows none in the token hop' }, () => {});
    return;
  }
  const chat = (token: string, content: string, more: object, ...args: string[]) =>
    curl(`${shim.url}/v1/chat/completions`, ...json(token, ask(content, more)), ...args);
  const history = (token: string, key: string) =>
    curl(`${shim.url}/sessions/${key}/history`, '-H', `Authorization: Bearer ${token}`);
  const key = (value: string): string[] => ['-H', `x-openclaw-session-key: ${value}`];

  await t.test('a session with the caller’s prefix is theirs, another is not', async (t) => {
    t.equal((await chat(CALLERS.tenant, 'mine', {}, ...key('agent:main:tenant-a'))).status, 200);
    const mine = await history(CALLERS.tenant, 'agent:main:tenant-a');
    t.equal(mine.status, 200);
    t.match(mine.body, /mine/);
    const other = await history(CALLERS.tenant, 'agent:main:main');
    t.equal(other.status, 403);
    t.match(other.body, /"code":"session_not_allowed"/);
    t.equal((await chat(CALLERS.tenant, 'x', {}, ...key('agent:main:main'))).status, 403);
  });

  await t.test('a `user` in the body selects nobody’s session', async (t) => {
    t.equal((await chat(CALLERS.tenant, 'sneaky', { user: 'victim' })).status, 200);
    t.equal((await history(CALLERS.admin, 'agent:main:openai-user:victim')).status, 404);
  });

  await t.test('a bound agent runs, whatever the body says', async (t) => {
    t.equal((await chat(CALLERS.beta, 'pinned-body', { model: 'openclaw/main', user: 'pin' })).status, 200);
    t.equal(await agentOf('pinned-body'), 'beta');
    t.equal((await history(CALLERS.admin, 'agent:beta:openai-user:pin')).status, 200, 'its session');
  });

  await t.test('a bound agent runs, whatever header is sent', async (t) => {
    const headers = ['-H', 'x-openclaw-agent-id: main', ...key('agent:main:taken')];
    t.equal((await chat(CALLERS.beta, 'pinned-header', {}, ...headers)).status, 200);
    t.equal(await agentOf('pinned-header'), 'beta');
    t.equal((await history(CALLERS.admin, 'agent:main:taken')).status, 404, 'no session of main');
  });

  // Why the shim holds the session key against the agent: the gateway takes the agent from the key, and any key
  // without `agent:` for the default one.
  for (const taken of ['agent:main:straight', 'straight']) {
    await t.test(`straight to the gateway, the session key ${taken} beats the agent header`, async (t) => {
      const { status } = await curl(
        `${gateway.url}/v1/chat/completions`,
        ...json(undefined, ask(`prompt-${taken}.`, { model: 'openclaw/beta' })),
        ...(mode === 'token' ? ['-H', `Authorization: Bearer ${gateway.token}`] : PROXIED),
        '-H',
        'x-openclaw-scopes: operator.write',
        '-H',
        'x-openclaw-agent-id: beta',
        ...key(taken),
      );
      if (mode === 'trusted-proxy' && taken.startsWith('agent:') && since('2026.9.6')) {
        t.equal(status, 500, 'this release does not let a caller who is not the owner');
        return;
      }
      t.equal(status, 200);
      t.equal(await agentOf(`prompt-${taken}.`), 'main');
    });
  }

  /** The prompt that the model gets tells the agent's workspace. */
  async function agentOf(prompt: string): Promise<'main' | 'beta'> {
    const { body } = await gateway.model.run(prompt);
    return body.includes(BETA_WORKSPACE) ? 'beta' : 'main';
  }
}

const PROXIED = ['-H', 'x-forwarded-user: agentpage', '-H', 'x-forwarded-for: 203.0.113.9'];
