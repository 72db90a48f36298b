/** A device identity: the Ed25519 key by which the gateway knows a headless caller, and what it signs. */
import { createPrivateKey, generateKeyPairSync, hash, sign, type KeyObject } from 'node:crypto';

/** A key and its names. The key itself is no property, so that a device can be logged or compared as a whole. */
export interface Device {
  /** SHA-256 of the 32 raw bytes of the public key, 64 lower-case hex digits. */
  readonly id: string;
  /** The 32 raw bytes of the public key, base64url. */
  readonly publicKey: string;
  /**
   * @param text signed as UTF-8
   * @returns the Ed25519 signature, 64 bytes in base64url (RFC 8032)
   */
  sign(text: string): string;
  /** @returns the private key as PKCS#8 PEM, for a store of devices */
  toPem(): string;
}

/** @returns a device with a new key */
export function createDevice(): Device {
  return deviceOf(generateKeyPairSync('ed25519').privateKey);
}

/**
 * @param pem an Ed25519 private key as PKCS#8 PEM
 * @returns its device
 * @throws TypeError for anything else; its words say nothing of the text
 */
export function deviceFromPem(pem: string): Device {
  let key: KeyObject | undefined;
  try {
    key = createPrivateKey(pem);
  } catch {
    // OpenSSL's words are of no use to anybody here.
  }
  if (key?.asymmetricKeyType !== 'ed25519') throw new TypeError('this is no Ed25519 private key in PKCS#8 PEM');
  return deviceOf(key);
}

function deviceOf(key: KeyObject): Device {
  const { x: publicKey } = key.export({ format: 'jwk' }) as { readonly x: string };
  return {
    id: hash('sha256', Buffer.from(publicKey, 'base64url')),
    publicKey,
    sign: (text) => sign(null, Buffer.from(text), key).toString('base64url'),
    toPem: () => key.export({ type: 'pkcs8', format: 'pem' }) as string,
  };
}

/** What a `connect` says beside its device; the signature is over the same values. */
export interface SignedConnect {
  readonly clientId: string;
  readonly clientMode: string;
  readonly role: string;
  /** In the order in which the frame has them. */
  readonly scopes: readonly string[];
  /** The `ts` of the gateway's challenge: milliseconds since the epoch. */
  readonly signedAt: number;
  /** `auth.token` of the frame; empty where it has none. */
  readonly token: string;
  /** Of the gateway's challenge. */
  readonly nonce: string;
}

/** The member `device` of a `connect` frame. */
export interface ConnectDevice {
  readonly id: string;
  readonly publicKey: string;
  /** Base64url. */
  readonly signature: string;
  readonly signedAt: number;
  readonly nonce: string;
}

/**
 * The gateway's text of version 2, which every release from 2026.3.28 to 2026.9.6 accepts.
 *
 * @param device that signs
 * @param connect what the frame is to say
 * @returns the frame's `params.device`
 */
export function signConnect(device: Device, connect: SignedConnect): ConnectDevice {
  const { clientId, clientMode, role, scopes, signedAt, token, nonce } = connect;
  const text = ['v2', device.id, clientId, clientMode, role, scopes.join(','), signedAt, token, nonce].join('|');
  return { id: device.id, publicKey: device.publicKey, signature: device.sign(text), signedAt, nonce };
}
