/** The keys of an issuer at one moment. */
import { hash } from 'node:crypto';
import type { CryptoKey, JSONWebKeySet, JWK, JWTHeaderParameters } from 'jose';

/** A key that may have signed a token. */
export interface VerifyingKey {
  /** Tells it from any other key: what is published of it, or the hash of a secret. */
  readonly id: string;
  readonly key: CryptoKey | Uint8Array;
}

export interface KeySet {
  /** Of all its keys. */
  readonly ids: ReadonlySet<string>;
  /**
   * @param header of a token: `alg` and `kid` select among the keys, nothing else in it is read
   * @returns the keys that are fit for it
   */
  matching(header: JWTHeaderParameters): Promise<readonly VerifyingKey[]>;
}

/** What jose does with one key set. */
export type LocalKeySet = (jwks: JSONWebKeySet) => (header: JWTHeaderParameters) => Promise<CryptoKey>;

/** Providers have two or three, Google some. */
const MOST_KEYS = 100;

/** What makes a key another one (RFC 7517 section 4; RFC 7518 section 6). */
const IDENTITY = ['kid', 'kty', 'alg', 'use', 'crv', 'n', 'e', 'x', 'y', 'pub'] as const;

/**
 * jose binds each key to its algorithm, and leaves out those whose `use` or `key_ops` is another. Symmetric and private
 * keys are not for publishing: who could read them could sign.
 *
 * @param keys members of a JWK Set (RFC 7517 section 5)
 * @param local makes keys usable (jose's `createLocalJWKSet`)
 * @returns those with which signatures can be verified
 * @throws Error for more than 100 of them: each token is tried with those that fit
 */
export function publishedKeys(keys: readonly unknown[], local: LocalKeySet): KeySet {
  if (keys.length > MOST_KEYS) throw new Error(`the key set has more than ${MOST_KEYS} keys`);
  const members = keys.filter(isPublic).map((jwk) => ({
    id: JSON.stringify(IDENTITY.map((name) => jwk[name])),
    load: local({ keys: [jwk] }),
  }));
  return {
    ids: new Set(members.map(({ id }) => id)),
    async matching(header) {
      const found = await Promise.allSettled(members.map(async ({ id, load }) => ({ id, key: await load(header) })));
      return found.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    },
  };
}

/**
 * @param secret for HS256
 * @returns the one key, whatever `kid` says
 */
export function secretKey(secret: string): KeySet {
  const one: VerifyingKey = { id: hash('sha256', secret), key: Buffer.from(secret) };
  return { ids: new Set([one.id]), matching: async () => [one] };
}

function isOne(exponent: unknown): boolean {
  const bytes = Buffer.from(String(exponent), 'base64url');
  return bytes.at(-1) === 1 && bytes.subarray(0, -1).every((byte) => byte === 0);
}

function isPublic(key: unknown): key is JWK {
  if (typeof key !== 'object' || key === null || Array.isArray(key)) return false;
  // With the exponent 1 a signature is the message itself: everybody can make it. Zeros may stand before it.
  const open = 'kty' in key && key.kty === 'RSA' && 'e' in key && isOne(key.e);
  return !open && !['k', 'd', 'priv'].some((member) => member in key);
}
