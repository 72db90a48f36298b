/** Device identities: their names, and what they sign for the gateway. */
import { createHash, createPublicKey, generateKeyPairSync, verify, type KeyObject } from 'node:crypto';
import { inspect } from 'node:util';
import t from 'tap';
import { createDevice, deviceFromPem, signConnect } from '../../src/gateway/device.ts';

/** PKCS#8 and SPKI of an Ed25519 key are these bytes and the 32 raw ones (RFC 8410). */
const PKCS8 = '302e020100300506032b657004220420';
const SPKI = '302a300506032b6570032100';

const pemOf = (der: string): string =>
  `-----BEGIN PRIVATE KEY-----\n${Buffer.from(der, 'hex').toString('base64')}\n-----END PRIVATE KEY-----\n`;

/** As the gateway does it: from the raw bytes in the frame. */
function isSigned(publicKey: string, text: string, signature: string): boolean {
  const der = Buffer.concat([Buffer.from(SPKI, 'hex'), Buffer.from(publicKey, 'base64url')]);
  const key = createPublicKey({ key: der, format: 'der', type: 'spki' });
  return verify(null, Buffer.from(text), key, Buffer.from(signature, 'base64url'));
}

/** RFC 8032 section 7.1, tests 1 and 2. */
const VECTORS = [
  {
    secret: '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
    publicKey: 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
    text: '',
    signature:
      'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
  },
  {
    secret: '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
    publicKey: '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
    text: 'r',
    signature:
      '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
  },
] as const;

void t.test('a key of RFC 8032', async (t) => {
  for (const { secret, publicKey, text, signature } of VECTORS) {
    const raw = Buffer.from(publicKey, 'hex');
    const device = deviceFromPem(pemOf(PKCS8 + secret));
    t.equal(device.publicKey, raw.toString('base64url'));
    t.equal(device.id, createHash('sha256').update(raw).digest('hex'));
    t.equal(device.sign(text), Buffer.from(signature, 'hex').toString('base64url'));
  }
});

void t.test('a new device is new, and comes back from its PEM', async (t) => {
  const [one, other] = [createDevice(), createDevice()];
  t.not(one.id, other.id);
  t.match(one, { id: /^[0-9a-f]{64}$/, publicKey: /^[\w-]{43}$/ });
  t.match(one.toPem(), /^-----BEGIN PRIVATE KEY-----\n/);
  const again = deviceFromPem(one.toPem());
  t.match(again, { id: one.id, publicKey: one.publicKey });
  t.equal(again.sign('text ✓'), one.sign('text ✓'));
  t.ok(isSigned(one.publicKey, 'text ✓', one.sign('text ✓')));
});

void t.test('the key is in nothing that is logged', async (t) => {
  const device = createDevice();
  const [, key = ''] = /\n(.*)\n/.exec(device.toPem()) ?? [];
  t.equal(key.length, 64);
  for (const text of [JSON.stringify(device), inspect(device, { depth: 9, showHidden: true })]) {
    t.notOk(text.includes(key) || text.includes('PRIVATE'), text);
  }
});

void t.test('what is no Ed25519 key', async (t) => {
  const pem = (key: KeyObject, type: 'pkcs8' | 'spki'): string => key.export({ type, format: 'pem' }) as string;
  const bad: Readonly<Record<string, string>> = {
    nothing: '',
    words: 'changeme',
    cut: createDevice().toPem().slice(0, 60),
    X25519: pem(generateKeyPairSync('x25519').privateKey, 'pkcs8'),
    Ed448: pem(generateKeyPairSync('ed448').privateKey, 'pkcs8'),
    'public key': pem(generateKeyPairSync('ed25519').publicKey, 'spki'),
  };
  for (const [name, text] of Object.entries(bad)) {
    t.throws(() => deviceFromPem(text), { name: 'TypeError', message: 'this is no Ed25519 private key in PKCS#8 PEM' }, name); // prettier-ignore
  }
});

const CONNECT = {
  clientId: 'cli',
  clientMode: 'cli',
  role: 'operator',
  scopes: ['operator.write', 'operator.read'],
  signedAt: 1_796_083_200_123,
  token: 'gateway-Zk3mQ8vT1xYw',
  nonce: 'b0a6f3d2-6c1e-4b8e-9f4e-0f6f0c9f2f11',
} as const;

void t.test('a connect is signed in the text of version 2', async (t) => {
  const device = createDevice();
  const { signature, ...said } = signConnect(device, CONNECT);
  const { id, publicKey } = device;
  t.strictSame(said, { id, publicKey, signedAt: CONNECT.signedAt, nonce: CONNECT.nonce });
  const text = `v2|${id}|cli|cli|operator|operator.write,operator.read|1796083200123|gateway-Zk3mQ8vT1xYw|${CONNECT.nonce}`;
  t.ok(isSigned(publicKey, text, signature));
  t.match(signature, /^[\w-]{86}$/);
});

void t.test('no scopes and no token are empty', async (t) => {
  const device = createDevice();
  const { signature } = signConnect(device, { ...CONNECT, scopes: [], token: '' });
  const text = `v2|${device.id}|cli|cli|operator||1796083200123||${CONNECT.nonce}`;
  t.ok(isSigned(device.publicKey, text, signature));
});

void t.test('each word of a connect is signed', async (t) => {
  const device = createDevice();
  const { signature } = signConnect(device, CONNECT);
  const others = [
    { clientId: 'gateway-client' },
    { clientMode: 'backend' },
    { role: 'node' },
    { scopes: ['operator.admin'] },
    { signedAt: 1 },
    { token: 'other' },
    { nonce: 'other' },
  ];
  t.equal(others.length, Object.keys(CONNECT).length);
  for (const other of others) {
    t.not(signConnect(device, { ...CONNECT, ...other }).signature, signature, JSON.stringify(other));
  }
});
