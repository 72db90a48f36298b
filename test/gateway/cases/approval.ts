/** The trusted-proxy hop without a local password: the device of a caller waits for an operator, once. */
import type { Test } from 'tap';
import type { RealGateway } from '../gateway.ts';
import { REPLY } from '../hop.ts';
import { RELAYED, relayBefore } from '../relay.ts';
import { chat, connect } from '../socket.ts';
import { LOCAL_PASSWORD } from '../version.ts';

const SESSION = 'agent:main:approved';

export async function approvalCases(t: Test, gateway: RealGateway): Promise<void> {
  await t.test('WebSocket: a device that waits for an operator, and works from then on', async (t) => {
    const shim = await relayBefore(t, gateway, 'trusted-proxy', false);
    const bearer = RELAYED.writer;
    const waits = await connect(shim.url, { bearer });
    t.match(waits.answer, { ok: false, error: { code: 'NOT_PAIRED', details: { code: 'PAIRING_REQUIRED' } } });
    t.equal((await waits.closed).code, 1008);
    const requestId = String(waits.answer.error?.details?.requestId);
    const { caller } = await shim.logged(({ msg }) => String(msg).endsWith(`: openclaw devices approve ${requestId}`));
    t.equal(caller, 'writer');

    await approve(gateway, requestId);
    const client = await connect(shim.url, { bearer });
    t.equal((await client.call('sessions.list')).ok, true);
    t.equal((await chat(client, SESSION, 'approved')).grown, REPLY);
    t.match(await client.call('config.patch', { raw: '{}' }), { error: { message: 'missing scope: operator.admin' } });
    await client.close();
    const less = await connect(shim.url, { bearer, params: { scopes: ['operator.read'] } });
    t.match(await less.call('chat.send', { sessionKey: SESSION, message: 'never', idempotencyKey: 'never' }), {
      error: { message: 'missing scope: operator.write' },
    });
    await less.close();
  });
}

/** The command line needs the local password; before there was one, an operator behind the proxy approves. */
async function approve(gateway: RealGateway, requestId: string): Promise<void> {
  if (LOCAL_PASSWORD) {
    await gateway.cli('devices', 'approve', requestId);
    return;
  }
  const headers = { 'x-forwarded-user': 'operator', 'x-forwarded-for': '203.0.113.9' };
  const operator = await connect(gateway.url, { headers, params: { scopes: ['operator.admin', 'operator.pairing'] } });
  const { ok, error } = await operator.call('device.pair.approve', { requestId });
  if (!ok) throw new Error(error?.message);
  await operator.close();
}
