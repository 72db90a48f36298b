import t, { type Test } from 'tap';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { StandInOptions } from '../../src/demo/gateway.ts';
import { assertFound, diagnose, standIn, type Patient } from '../helpers/doctor.ts';
import { caller, GATEWAY_SECRET, TOKENS } from '../helpers/stack.ts';

const RELAY = `callers:\n${caller('writer', TOKENS.writer, ['operator.write'], 'websocket: relay')}`;
const PROXY = { mode: 'trusted-proxy', userHeader: 'x-forwarded-user', allowLoopback: true } as const;

async function diagnoseRelay(t: Test, options: Partial<StandInOptions>, more: Omit<Patient, 'url'> = {}) {
  const gateway = await standIn(t, options);
  const seen = await diagnose({ url: gateway.url, gateway: 'deviceStore: memory', more: RELAY, ...more });
  t.equal(gateway.devices.paired().length + gateway.devices.waiting().length, 0, 'no device is left');
  return seen;
}

void t.test('devices pair by themselves', async (t) => {
  assertFound(t, await diagnoseRelay(t, { release: '2026.5.28' }), 'devices_pair', 'ok');
});

void t.test('the same in mode password, where the first connect is refused', async (t) => {
  const auth = { mode: 'password', password: GATEWAY_SECRET } as const;
  const own = '{ mode: password, secret: { env: SECRET } }';
  assertFound(t, await diagnoseRelay(t, { release: '2026.5.28', auth }, { auth: own }), 'devices_pair', 'ok');
});

void t.test('devices wait for an operator', async (t) => {
  for (const release of ['2026.5.28', '2026.9.6'] as const) {
    const seen = await diagnoseRelay(t, { release, autoApproveLocal: false });
    assertFound(t, seen, 'device_approval_needed', 'warning', [
      ['openclaw.json', '{ gateway: { nodes: { pairing: { autoApproveLocal: true } } } }'],
      ['command', 'openclaw devices approve --latest # or this, once for each caller'],
    ]);
  }
});

void t.test('a release that does not tell', async (t) => {
  const seen = await diagnoseRelay(t, { release: '2026.3.28' });
  assertFound(t, seen, 'not_examined', 'note');
  t.match(seen.one('not_examined').message, 'whether the gateway pairs devices by itself');
});

void t.test('without a relay nothing is asked', async (t) => {
  const gateway = await standIn(t, { release: '2026.5.28', autoApproveLocal: false });
  t.same((await diagnose({ url: gateway.url })).ids, ['scopes_ignored']);
});

void t.test('the local password', async (t) => {
  const auth = '{ mode: trusted-proxy, userHeader: X-Forwarded-User, password: { env: SECRET } }';
  const right = { ...PROXY, password: GATEWAY_SECRET };
  assertFound(
    t,
    await diagnoseRelay(t, { release: '2026.9.6', auth: right }, { auth }),
    'local_password_accepted',
    'ok',
  );
  const wrong = { ...PROXY, password: 'another-password-0123' };
  for (const [release, own] of [
    ['2026.9.6', wrong],
    ['2026.3.28', PROXY],
  ] as const) {
    const seen = await diagnoseRelay(t, { release, auth: own }, { auth });
    assertFound(t, seen, 'local_password_refused', 'fault', [
      ['openclaw.json', "{ gateway: { auth: { password: '${OPENCLAW_GATEWAY_PASSWORD}' } } }"],
      [
        'shim.config.yaml',
        'gateway:',
        '  auth: { password: { env: OPENCLAW_GATEWAY_PASSWORD } } # beside the other keys',
      ],
      ['command', 'openclaw devices approve --latest # where the release has no such password'],
    ]);
    t.notMatch(JSON.stringify(seen), GATEWAY_SECRET);
  }
});

void t.test('a store of devices that cannot be used', async (t) => {
  const folder = t.testdir({ devices: {} });
  await chmod(join(folder, 'devices'), 0o700);
  await writeFile(join(folder, 'devices', 'writer.json'), '{', { mode: 0o600 });
  const seen = await diagnoseRelay(t, { release: '2026.5.28' }, { gateway: `deviceStore: "${folder}/devices"` });
  assertFound(t, seen, 'device_store_faulty', 'warning');
});
