/** A gateway that is known by its certificate, and another in its place. */
import type { Test } from 'tap';
import { shimBefore, type Hop } from '../hop.ts';
import { RELAYED, relayBefore } from '../relay.ts';
import { connect } from '../socket.ts';
import { told } from './faults.ts';

export async function pinCases(t: Test, { mode, gateway }: Hop): Promise<void> {
  /** To a shim with this pin, the gateway that answers is another one. */
  const expected = { ...gateway, fingerprint: '0'.repeat(64) };

  await t.test('a gateway with another certificate is asked nothing', async (t) => {
    const before = gateway.model.runs.length;
    await told(t, await shimBefore(t, expected, mode), 'gateway_unreachable');
    t.equal(gateway.model.runs.length, before);
  });

  await t.test('WebSocket: a gateway with another certificate is told nothing', async (t) => {
    const shim = await relayBefore(t, expected, mode);
    const { answer, closed } = await connect(shim.url, { bearer: RELAYED.writer });
    t.match(answer, { ok: false, error: { code: 'UNAVAILABLE', details: { code: 'gateway_unreachable' } } });
    t.equal((await closed).code, 1014);
  });
}
