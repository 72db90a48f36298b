/** What becomes of a device that is not paired for what it asks, and how a refusal is told. */
import { isScope } from '../scopes.ts';
import { covers, type Device, type DeviceRecords } from './devices.ts';
import type { ConnectParams, DeviceProof } from './frames.ts';
import type { Rules } from './rules.ts';

export interface Refusal {
  readonly error: { readonly code: string; readonly message: string; readonly details?: object };
  readonly closeCode: number;
  readonly closeReason: string;
}

const PAIRING = {
  'not-paired': ['device is not approved yet', 'Approve this device from the pending pairing requests.'],
  'scope-upgrade': [
    'device is asking for more scopes than currently approved',
    'Review the requested scopes, then approve the pending upgrade.',
  ],
  'metadata-upgrade': [
    'device identity changed and must be re-approved',
    'Review the refreshed device details, then approve the pending request.',
  ],
} as const;

/**
 * Pairs a device that needs no operator.
 *
 * @param silent whether this client could come without one
 * @returns the refusal of one that does need it
 */
export function pair(
  rules: Rules,
  devices: DeviceRecords,
  { client, scopes = [] }: ConnectParams,
  { id, publicKey }: DeviceProof,
  silent: boolean,
): Refusal | undefined {
  const known = devices.get(id);
  const reason =
    known === undefined
      ? 'not-paired'
      : known.platform !== client.platform
        ? 'metadata-upgrade'
        : covers(known.scopes, scopes)
          ? undefined
          : 'scope-upgrade';
  if (reason === undefined) return undefined;
  const { id: clientId, mode: clientMode, displayName, platform } = client;
  const device: Device = { id, publicKey, clientId, clientMode, displayName, platform, scopes, silent: true };
  const maySilently = reason === 'not-paired' || (reason === 'scope-upgrade' && rules.socket.growsSilently);
  const ordinary = rules.socket.protocol === 3 || scopes.every(isScope);
  if (silent && maySilently && ordinary) {
    devices.pair(device);
    return undefined;
  }
  const requestId = devices.wait(device);
  const code = 'PAIRING_REQUIRED';
  if (rules.socket.protocol === 3) return refuse('NOT_PAIRED', 'pairing required', { code, requestId, reason });
  const [requirement, remediationHint] = PAIRING[reason];
  const message = `pairing required: ${requirement}`;
  const approved = known && { approvedRoles: ['operator'], approvedScopes: known.scopes };
  const asks = { deviceId: id, requestedRole: 'operator', requestedScopes: scopes, ...approved };
  const details = { code, reason, requestId, remediationHint, ...asks };
  return refuse('NOT_PAIRED', message, details, 1008, `${message} (requestId: ${requestId})`);
}

export function refuse(
  code: string,
  message: string,
  details?: object,
  closeCode = 1008,
  closeReason = message,
): Refusal {
  // A close frame has room for 123 bytes (RFC 6455, section 5.5); the gateway keeps to 120.
  return { error: { code, message, ...(details && { details }) }, closeCode, closeReason: closeReason.slice(0, 120) };
}
