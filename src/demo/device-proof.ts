/** Whether a device is the one it says it is: an Ed25519 signature over what it asks and this socket's nonce. */
import { createHash, createPublicKey, verify } from 'node:crypto';
import type { ConnectParams, DeviceProof } from './frames.ts';

const SKEW = 120_000;
/** The DER of an Ed25519 public key up to its 32 bytes (RFC 8410, section 4). */
const SPKI = Buffer.from('302a300506032b6570032100', 'hex');

/** @returns what is wrong with a device's proof: its id, its age, its nonce, its signature, in this order */
export function flawOf(
  device: DeviceProof,
  { client, role = 'operator', scopes = [], auth = {} }: ConnectParams,
  nonce: string,
): { readonly code: string; readonly reason: string; readonly message: string } | undefined {
  const flaw = (code: string, reason: string, message: string) => ({ code: `DEVICE_AUTH_${code}`, reason, message });
  const key = Buffer.from(device.publicKey, 'base64url');
  if (createHash('sha256').update(key).digest('hex') !== device.id) {
    return flaw('DEVICE_ID_MISMATCH', 'device-id-mismatch', 'device identity mismatch');
  }
  if (Math.abs(Date.now() - device.signedAt) > SKEW) {
    return flaw('SIGNATURE_EXPIRED', 'device-signature-stale', 'device signature expired');
  }
  if (device.nonce !== nonce) return flaw('NONCE_MISMATCH', 'device-nonce-mismatch', 'device nonce mismatch');
  const token = auth.token ?? auth.deviceToken ?? '';
  const facts = [device.id, client.id, client.mode, role, scopes.join(','), device.signedAt, token, nonce];
  const texts = [
    ['v2', ...facts],
    ['v3', ...facts, client.platform.toLowerCase(), client.deviceFamily?.toLowerCase() ?? ''],
  ];
  const signed = texts.some((text) => signs(key, text.join('|'), device.signature));
  return signed ? undefined : flaw('SIGNATURE_INVALID', 'device-signature', 'device signature invalid');
}

function signs(key: Buffer, text: string, signature: string): boolean {
  if (key.length !== 32) return false;
  const publicKey = createPublicKey({ key: Buffer.concat([SPKI, key]), format: 'der', type: 'spki' });
  return verify(null, Buffer.from(text), publicKey, Buffer.from(signature, 'base64url'));
}
