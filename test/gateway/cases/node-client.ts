/** A client of the gateway's protocol that others wrote, as it is: it can set no header. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OpenClawClient } from 'openclaw-node';
import type { Test } from 'tap';
import type { Mode } from '../contract.ts';
import type { RealGateway } from '../gateway.ts';
import { REPLY } from '../hop.ts';
import { RELAYED, relayBefore } from '../relay.ts';
import { SPEAKS_4 } from '../version.ts';

export async function nodeClientCases(t: Test, mode: Mode, gateway: RealGateway): Promise<void> {
  const skip = SPEAKS_4 ? {} : { skip: 'openclaw-node 0.14.0 speaks version 4 of the protocol alone' };
  await t.test('openclaw-node: connect, a list, a chat', skip, async (t) => {
    const shim = await relayBefore(t, gateway, mode);
    const dir = await mkdtemp(join(tmpdir(), 'auth-shim-client-'));
    t.teardown(() => rm(dir, { recursive: true, force: true }));
    const client = new OpenClawClient({
      url: shim.url.replace(/^http/, 'ws'),
      token: RELAYED.writer,
      deviceIdentityPath: join(dir, 'device.json'),
      autoReconnect: false,
    });
    t.teardown(() => client.disconnect());
    const { auth } = await client.connect();
    t.strictSame(Object.keys(auth ?? {}).toSorted(), ['role', 'scopes']);
    t.match(await client.sessions.list({ limit: 1 }), { count: Number });
    const sessionKey = 'agent:main:openclaw-node';
    t.equal(await client.chatSync('hi', { sessionKey }), REPLY);
    let text = '';
    for await (const chunk of client.chat('hi again', { sessionKey })) if (chunk.type === 'text') text += chunk.text;
    t.equal(text, REPLY);
    await t.rejects(client.request('config.patch', { raw: '{}' }), { message: 'missing scope: operator.admin' });
  });
}
