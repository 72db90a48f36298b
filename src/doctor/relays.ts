/** Whether WebSockets with `websocket: relay` will get past the gateway. No device is shown: a new one would leave a record. */
import { resolve } from 'node:path';
import { hasRelays } from '../config/warnings.ts';
import { openDeviceStore, ownUser } from '../gateway/device-store.ts';
import type { DoctorWorld, Gateway } from './ask.ts';
import { command, found, openclaw, yaml, type Found } from './finding.ts';
import { settingAt, type LoggedIn } from './login.ts';
import { tryConnect } from './socket.ts';

/**
 * @param gateway that takes the shim
 * @param settings what it tells of its configuration
 * @param world folder of relative paths
 * @returns nothing where no caller has a relay
 */
export async function examineRelays(
  gateway: Gateway,
  settings: LoggedIn['settings'],
  world: Pick<DoctorWorld, 'cwd'>,
): Promise<Found[]> {
  const { config } = gateway;
  const { auth, deviceStore } = config.gateway;
  if (!hasRelays(config)) return [];
  const findings: Found[] = [];
  if (deviceStore !== undefined && deviceStore !== 'memory') {
    const { faults } = await openDeviceStore(
      { folder: resolve(world.cwd, deviceStore.folder) },
      { owner: ownUser() },
    ).list();
    findings.push(...faults.map(({ message }) => found('device_store_faulty', `${message}.`)));
  }
  if (auth.mode !== 'trusted-proxy') return [...findings, examinePairing(settings)];
  // Without one each device waits for an approval, which is said of the configuration.
  if (auth.password === undefined) return findings;
  const { kind } = await tryConnect(gateway, [], { password: auth.password });
  if (kind === 'ok') return [...findings, found('local_password_accepted', 'WebSockets pass with the local password.')];
  const words =
    'the gateway does not take the local password, so that WebSockets are refused. ' +
    'Releases 2026.4.27 to 2026.5.7, and from 2026.5.19, have one; on others each device is approved once.';
  return [
    ...findings,
    found('local_password_refused', words, [
      openclaw("{ gateway: { auth: { password: '${OPENCLAW_GATEWAY_PASSWORD}' } } }"),
      yaml('gateway:', '  auth: { password: { env: OPENCLAW_GATEWAY_PASSWORD } } # beside the other keys'),
      command('openclaw devices approve --latest # where the release has no such password'),
    ]),
  ];
}

function examinePairing(settings: LoggedIn['settings']): Found {
  if (settings === undefined) {
    const words = 'whether the gateway pairs devices by itself: this release does not tell, and a try would leave one.';
    return found('not_examined', words);
  }
  if (settingAt(settings, 'nodes', 'pairing', 'autoApproveLocal') !== false) {
    return found('devices_pair', 'devices of callers with "websocket: relay" pair without an operator.');
  }
  const words =
    'the gateway pairs no device by itself (autoApproveLocal): each caller with a relay waits for an operator.';
  return found('device_approval_needed', words, [
    openclaw('{ gateway: { nodes: { pairing: { autoApproveLocal: true } } } }'),
    command('openclaw devices approve --latest # or this, once for each caller'),
  ]);
}
