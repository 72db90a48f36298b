/** The gateway alone against the stand-in: what the fast tests stand on is what releases do. */
import type { Test } from 'tap';
import { startGateway as startStandIn } from '../../../src/demo/gateway.ts';
import { ask, authOf, CONTRACT, SECRET, type Mode } from '../contract.ts';
import { since, standInRelease } from '../version.ts';

/**
 * @param url a real gateway that answers as its release does
 * @param headers what it wants of a caller who may write
 */
export async function contract(
  t: Test,
  mode: Mode,
  url: string,
  headers: Readonly<Record<string, string>>,
): Promise<void> {
  // Some rows need a session that exists.
  const body = '{"model":"openclaw/main","messages":[{"role":"user","content":"hi"}]}';
  const session = { ...headers, 'content-type': 'application/json', 'x-openclaw-session-key': 'agent:main:main' };
  await ask(url, { request: ['POST', '/v1/chat/completions', session, body] });
  const release = standInRelease();
  const standIn = await startStandIn({ release, auth: authOf(mode, release) });
  t.teardown(() => standIn.close());
  for (const row of CONTRACT) {
    if (row.mode !== mode) continue;
    await t.test(row.name, async (t) => {
      t.strictSame(await ask(url, row), await ask(standIn.url, row), `as ${release} of the stand-in`);
    });
  }
}

/** The headers with which each mode lets a writer in. */
export function writerOf(mode: Mode): Record<string, string> {
  const scopes = { 'x-openclaw-scopes': 'operator.write' };
  if (mode === 'token') return { authorization: `Bearer ${SECRET}`, ...scopes };
  if (mode === 'none') return scopes;
  return {
    'x-forwarded-user': 'agentpage',
    ...scopes,
    ...(since('2026.4.27') && { 'x-forwarded-for': '203.0.113.9' }),
  };
}
