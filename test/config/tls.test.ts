/** `listen.tls` and `gateway.tls`: files that are sound, and each way in which they are not. */
import 'reflect-metadata';
import { createPrivateKey } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import t from 'tap';
import { loadConfig, loadDevices, parseCallers } from '../../src/config/load.ts';
import type { ConfigWorld } from '../../src/config/world.ts';
import { makeAuthority, makeSelfSigned } from '../helpers/certificates.ts';
import {
  digest,
  faultsOf,
  FILE,
  loadText,
  NOW,
  SECRET,
  textOf,
  warningsOf,
  worldOf,
} from '../helpers/configuration.ts';

const DAY = 86_400_000;
const day = (days: number): Date => new Date(NOW + days * DAY);
const FRESH = { notBefore: day(-1), notAfter: day(60) };
const EARLY = { notBefore: new Date(NOW + 1000), notAfter: day(60) };
/** It ends in this very millisecond. */
const OVER = { notBefore: day(-60), notAfter: day(0) };

const NAMES = {
  dns: ['Shim.example', '*.shim.example', 'a.example, DNS:evil.example'],
  ips: ['10.0.0.7', '2001:db8::7', '0.0.0.0'],
  uris: ['spiffe://a/b'],
};
const ca = await makeAuthority('test CA', FRESH);
const other = await makeAuthority('other CA', { ...FRESH, notAfter: day(30) });
const [oldCa, newCa] = [await makeAuthority('old CA', OVER), await makeAuthority('new CA', EARLY)];
const server = await ca.issue({ ...FRESH, ...NAMES });
const client = await ca.issue({ ...FRESH, uris: ['spiffe://a/shim'], usage: ['clientAuth'] });
const [expired, early] = [await ca.issue(OVER), await ca.issue(EARLY)];
/** For everything: it has no extended key usage. */
const own = await makeSelfSigned({ ...FRESH, usage: [] });
const weak = await makeWeak();
const intermediate = await ca.issue({ ...FRESH, authority: true, usage: [] });
const ofServer = await makeSelfSigned({ ...FRESH, usage: ['serverAuth'] });
const VERIFIES_NOBODY =
  'ca.crt holds no certificate that signs itself, and so verifies nobody: it needs the root of the authority';

/** Too short a key for OpenSSL's security level 1 and above. */
async function makeWeak(): Promise<{ cert: string; key: string }> {
  const algorithm = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256', publicExponent: new Uint8Array([1, 0, 1]), modulusLength: 512 }; // prettier-ignore
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const cert = await x509.X509CertificateGenerator.createSelfSigned({ ...FRESH, name: 'CN=weak', keys, signingAlgorithm: algorithm }); // prettier-ignore
  const key = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  return { cert: `${cert.toString('pem')}\n`, key: `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----\n` };
}

const key = createPrivateKey(server.key);
const ENCRYPTED = { cipher: 'aes-256-cbc', passphrase: 'Zk3mQ8vT', format: 'pem' } as const;
const PARAMETERS = '-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n';
const sec1 = String(key.export({ type: 'sec1', format: 'pem' }));

const FILES = {
  's.crt': server.cert,
  's.key': server.key,
  'c.crt': client.cert,
  'c.key': client.key,
  'ca.crt': ca.cert,
};
const LISTEN = '{ tls: { cert: s.crt, key: s.key, clientCa: ca.crt } }';
const TOKEN = 'mode: token, secret: { env: GATEWAY }';
const gateway = (tls: string, auth = TOKEN, url = 'https://gateway.example'): string =>
  `{ url: "${url}", auth: { ${auth} }${tls === '' ? '' : `, tls: ${tls}`} }`;
const HOP = '{ ca: ca.crt, cert: c.crt, key: c.key }';

/** What is said of a listener whose files are others. */
const listenFaults = (files: Readonly<Record<string, string | Error>>, listen = LISTEN): Promise<string[]> =>
  faultsOf(textOf({ listen }), worldOf({ ...FILES, ...files }));

void t.test('a listener with TLS', async (t) => {
  const at = async (listen: string, files = {}) =>
    (await loadText(textOf({ listen }), worldOf({ ...FILES, ...files }))).config;
  const { listen, certificates } = await at('{ host: 0.0.0.0, tls: { cert: s.crt, key: s.key } }');
  t.same(listen.tls, { cert: server.cert, key: server.key, minVersion: 'TLSv1.3', recheck: 60_000 });
  t.equal(listen.unsafeListenPlaintext, false, 'beyond loopback, and nothing has to be said of it');
  t.same([...listen.hosts], ['localhost', '127.0.0.1', '::1', 'shim.example', '10.0.0.7', '2001:db8::7']);
  t.same(certificates, [{ key: 'listen.tls.cert', notAfter: FRESH.notAfter.getTime() }]);

  t.same((await at(LISTEN)).listen.tls?.client, { ca: ca.cert, auth: 'require' });
  t.same((await at(LISTEN.replace('ca.crt', 'ca.crt, clientAuth: accept'))).listen.tls?.client?.auth, 'accept');
  for (const [written, minVersion] of [
    ['1.2', 'TLSv1.2'],
    ['"1.2"', 'TLSv1.2'],
    ['1.3', 'TLSv1.3'],
    ['"1.3"', 'TLSv1.3'],
  ]) {
    t.equal((await at(LISTEN.replace('ca.crt', `ca.crt, minVersion: ${written}`))).listen.tls?.minVersion, minVersion);
  }
  t.equal((await at(LISTEN.replace('ca.crt', 'ca.crt, recheck: 5m'))).listen.tls?.recheck, 300_000);
  t.ok((await at(LISTEN.replace('{', '{ socket: a.sock,'))).listen.tls, 'on a unix socket as well');
});

void t.test('a chain, a bundle, and what programs write around the blocks', async (t) => {
  const files = {
    's.crt': `Certificate:\n  Data:\n${server.cert.replaceAll('\n', '\r\n')}\n${other.cert}\n\n`,
    's.key': `${PARAMETERS}${sec1}`,
    'ca.crt': `# two authorities\n${oldCa.cert}# the second\n${ca.cert}${newCa.cert}`,
  };
  const { config, warnings } = await loadText(textOf({ listen: LISTEN }), worldOf({ ...FILES, ...files }));
  t.equal(config.listen.tls?.cert, server.cert + other.cert, 'the blocks alone');
  t.equal(config.listen.tls?.key, sec1);
  t.equal(config.listen.tls?.client?.ca, oldCa.cert + ca.cert + newCa.cert);
  t.same(config.certificates, [
    { key: 'listen.tls.cert', notAfter: day(30).getTime() },
    { key: 'listen.tls.clientCa', notAfter: day(60).getTime() },
  ]);
  t.match(warnings, [
    { path: 'callers' },
    { path: 'listen.tls.clientCa', message: /^ca\.crt: 1 of its 3 certificates are expired$/ },
  ]);
});

const CUT = 'holds a PEM block that is cut off or damaged';
const ENCRYPTED_WORDS = 'is encrypted, and nobody is there to type its passphrase: "openssl pkey -in FILE -out PLAIN" writes it plain'; // prettier-ignore
const missing = Object.assign(new Error('no'), { code: 'ENOENT' });
/** The last of its two times in a month that is none. */
function timeless(pem: string): string {
  const der = Buffer.from(pem.replace(/-----.*-----/g, ''), 'base64');
  der.write('99', der.lastIndexOf(Buffer.from([0x17, 0x0d])) + 4);
  return `-----BEGIN CERTIFICATE-----\n${der.toString('base64')}\n-----END CERTIFICATE-----\n`;
}
/** Megabytes that look like blocks, and an authority so often that its name is 64 KiB of a handshake. */
const STARTS = '-----BEGIN CERTIFICATE-----\n'.repeat(100_000);
const ENDS = `-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n`.repeat(1_000);
const half = (text: string): string => text.slice(0, text.length / 2);

const BAD_FILES: readonly (readonly [name: string, file: keyof typeof FILES, content: string | Error, says: string])[] =
  [
    ['no certificate file', 's.crt', missing, 's.crt does not exist'],
    ['empty', 's.crt', '', 's.crt is empty'],
    ['blank', 's.crt', ' \n', 's.crt is empty'],
    ['DER', 's.crt', '0\u0082\u0001', 's.crt is not PEM: it has no "-----BEGIN" line'],
    ['half a certificate', 's.crt', half(server.cert), `s.crt ${CUT}`],
    ['half an intermediate', 's.crt', server.cert + half(ca.cert), `s.crt ${CUT}`],
    ['a half before a whole one', 's.crt', half(ca.cert) + server.cert, `s.crt ${CUT}`],
    ['an end without a start', 's.crt', ca.cert.slice(200) + server.cert, `s.crt ${CUT}`],
    ['the end of an older text', 's.crt', `${server.cert}MIIB`, 's.crt holds something behind its last PEM block: it is damaged, or not yet written'], // prettier-ignore
    ['zeros to the end of the page', 's.crt', `${server.cert}\0\0`, 's.crt holds something behind its last PEM block: it is damaged, or not yet written'], // prettier-ignore
    ['one letter less', 's.crt', server.cert.replace(/\n..../, '\n'), 's.crt holds a certificate that cannot be read: its PEM block'], // prettier-ignore
    ['an intermediate that does not parse', 's.crt', server.cert + ca.cert.replace(/\n..../, '\n'), 's.crt holds a certificate that cannot be read: PEM block 2 of 2'], // prettier-ignore
    ['a time that is none', 's.crt', timeless(server.cert), 's.crt holds a certificate that cannot be read: its PEM block'], // prettier-ignore
    ['a key beside it', 's.crt', server.cert + server.key, 's.crt holds a private key: keep it in a file of its own, where nobody else reads it'], // prettier-ignore
    ['another kind of block', 's.crt', PARAMETERS, 's.crt should hold certificates alone: its PEM block is none'],
    ['expired', 's.crt', expired.cert, 's.crt holds a certificate that expired at 2026-12-01 00:00 UTC'],
    ['not yet valid', 's.crt', early.cert, 's.crt holds a certificate that is not valid before 2026-12-01 00:00 UTC'],
    ['too weak', 's.crt', weak.cert, 's.crt is refused by OpenSSL: the key is too short; RSA needs 2048 bits'],
    ['no key file', 's.key', missing, 's.key does not exist'],
    ['empty key', 's.key', '', 's.key is empty'],
    ['a large key', 's.key', `${server.key}${'#'.repeat(65_536)}`, 's.key is larger than 64 KiB: no secret is'],
    ['half a key', 's.key', half(server.key), `s.key ${CUT}`],
    ['a key with something behind', 's.key', `${server.key}x`, 's.key holds something behind its last PEM block: it is damaged, or not yet written'], // prettier-ignore
    ['a key that does not parse', 's.key', server.key.replace(/\n..../, '\n'), 's.key holds a private key that cannot be read'], // prettier-ignore
    ['two keys', 's.key', server.key + client.key, 's.key holds more than one private key'],
    ['a certificate', 's.key', server.cert, 's.key holds no private key'],
    ['the key of another', 's.key', client.key, 's.key is not the key of the first certificate in s.crt'],
    ['encrypted', 's.key', String(key.export({ type: 'pkcs8', ...ENCRYPTED })), `s.key ${ENCRYPTED_WORDS}`],
    ['encrypted as of old', 's.key', String(key.export({ type: 'sec1', ...ENCRYPTED })), `s.key ${ENCRYPTED_WORDS}`],
    ['starts alone', 'ca.crt', STARTS, `ca.crt ${CUT}`],
    [
      'many blocks that are none',
      'ca.crt',
      ENDS,
      'ca.crt holds a certificate that cannot be read: PEM block 1 of 1000',
    ],
    ['too many', 'ca.crt', ca.cert.repeat(3_000), 'ca.crt holds too many authorities: their names do not fit into a handshake (64 KiB)'], // prettier-ignore
    ['a leaf as CA', 'ca.crt', server.cert, VERIFIES_NOBODY],
    ['an intermediate alone as CA', 'ca.crt', intermediate.cert, VERIFIES_NOBODY],
    ["a server's own as CA of clients", 'ca.crt', ofServer.cert, VERIFIES_NOBODY],
    ['no CA file', 'ca.crt', missing, 'ca.crt does not exist'],
    ['empty CA file', 'ca.crt', '', 'ca.crt is empty'],
    ['comments alone', 'ca.crt', '# none yet\n', 'ca.crt is not PEM: it has no "-----BEGIN" line'],
    ['half a CA', 'ca.crt', ca.cert + half(other.cert), `ca.crt ${CUT}`],
    ['every CA expired, or not yet valid', 'ca.crt', oldCa.cert + newCa.cert, 'ca.crt holds no certificate that is valid now'], // prettier-ignore
  ];

void t.test('files of a listener that cannot be used', async (t) => {
  const place = {
    's.crt': '2:24 listen.tls.cert',
    's.key': '2:36 listen.tls.key',
    'ca.crt': '2:53 listen.tls.clientCa',
  };
  for (const [name, file, content, says] of BAD_FILES) {
    await t.test(name, async (t) => {
      const faults = await listenFaults({ [file]: content });
      t.same(faults, [`${place[file as keyof typeof place]}: ${says}`]);
      t.notOk([server.key, client.key].some((pem) => faults.join().includes(pem.slice(40, 60))));
    });
  }
});

void t.test('every file is told of at once', async (t) => {
  t.same(await listenFaults({ 's.crt': '', 's.key': '', 'ca.crt': '' }), [
    '2:24 listen.tls.cert: s.crt is empty',
    '2:36 listen.tls.key: s.key is empty',
    '2:53 listen.tls.clientCa: ca.crt is empty',
  ]);
  t.same(await listenFaults({ 's.crt': weak.cert, 's.key': weak.key }), [
    '2:24 listen.tls.cert: s.crt is refused by OpenSSL: the key is too short; RSA needs 2048 bits',
  ]);
});

void t.test('paths are of the configuration, or of the home folder', async (t) => {
  const text = textOf({ listen: '{ tls: { cert: s.crt, key: ~/s.key, clientCa: /etc/ca.crt } }' });
  const read: string[] = [];
  const found: Record<string, string> = { 'etc/s.crt': server.cert, '/home/operator/s.key': server.key, '/etc/ca.crt': ca.cert }; // prettier-ignore
  const world: ConfigWorld = {
    ...worldOf(),
    readFile: (path) => {
      read.push(path);
      return path === 'etc/f' ? text : (found[path] ?? '');
    },
  };
  t.ok((await loadConfig('etc/f', world)).config.listen.tls);
  t.same(read, ['etc/f', 'etc/s.crt', '/home/operator/s.key', '/etc/ca.crt'], 'each once, so that each is watched');
});

const BAD_LISTEN: readonly (readonly [listen: string, says: readonly string[]])[] = [
  ['{ tls: true }', ['2:16 listen.tls: expected a map, found a boolean']],
  ['{ tls: { cert: s.crt } }', ['2:16 listen.tls.key: this key is required']],
  ['{ tls: { key: s.key } }', ['2:16 listen.tls.cert: this key is required']],
  ['{ tls: { cert: s.crt, key: "" } }', ['2:36 listen.tls.key: expected the path of a file']],
  ['{ tls: { cert: s.crt, key: s.key, ca: x } }', ['2:43 listen.tls.ca: unknown key']],
  ['{ tls: { cert: s.crt, key: s.key, minVersion: 1.1 } }', ['2:55 listen.tls.minVersion: expected 1.2 or 1.3']],
  ['{ tls: { cert: s.crt, key: s.key, minVersion: TLSv1.2 } }', ['2:55 listen.tls.minVersion: expected 1.2 or 1.3']],
  [
    '{ tls: { cert: s.crt, key: s.key, clientAuth: require } }',
    ['2:43 listen.tls.clientAuth: without clientCa no client certificate is asked for'],
  ],
  [
    '{ tls: { cert: s.crt, key: s.key, clientCa: ca.crt, clientAuth: optional } }',
    ['2:73 listen.tls.clientAuth: unknown answer "optional"; known: require, accept'],
  ],
  ['{ tls: { cert: s.crt, key: s.key, recheck: 0 } }', ['2:52 listen.tls.recheck: expected a duration such as 60s']],
  [
    '{ tls: { cert: s.crt, key: s.key, recheck: 0s } }',
    ['2:52 listen.tls.recheck: expected more than 0 and at most 24d'],
  ],
  [
    '{ tls: { cert: s.crt, key: s.key, recheck: 25d } }',
    ['2:52 listen.tls.recheck: expected more than 0 and at most 24d'],
  ],
  [
    '{ host: 0.0.0.0, unsafeListenPlaintext: true, tls: { cert: s.crt, key: s.key } }',
    ['2:26 listen.unsafeListenPlaintext: there is TLS: nothing crosses the network in the clear'],
  ],
];

void t.test('keys of a listener that do not fit', async (t) => {
  for (const [listen, says] of BAD_LISTEN) t.same(await listenFaults({}, listen), says, listen);
});

void t.test('a hop over TLS', async (t) => {
  const at = async (written: string) => (await loadText(textOf({ gateway: written }), worldOf(FILES))).config;
  const whole = await at(
    gateway(HOP.replace('{', `{ serverName: Gateway.Example, fingerprint: "sha256:${digest('A')}",`)),
  );
  t.same(whole.gateway, {
    origin: 'https://gateway.example',
    beyondLoopback: true,
    auth: { mode: 'token', secret: SECRET },
    tls: {
      ca: ca.cert,
      cert: client.cert,
      key: client.key,
      serverName: 'gateway.example',
      fingerprint: digest('a'),
    },
  });
  t.same(whole.certificates, [
    { key: 'gateway.tls.cert', notAfter: FRESH.notAfter.getTime() },
    { key: 'gateway.tls.ca', notAfter: FRESH.notAfter.getTime() },
  ]);
  const trusting = async (cert: string) =>
    (await loadText(textOf({ gateway: gateway(HOP) }), worldOf({ ...FILES, 'ca.crt': cert }))).config.gateway.tls?.ca;
  t.equal(await trusting(ofServer.cert), ofServer.cert, 'the certificate of the server, which signs itself');
  await t.rejects(trusting(intermediate.cert), { message: new RegExp(VERIFIES_NOBODY) });
  const colons = Array(32).fill('Ab').join(':');
  t.equal((await at(gateway(`{ fingerprint: sha256:${colons} }`))).gateway.tls?.fingerprint, 'ab'.repeat(32));
  for (const name of ['10.0.0.7', '2001:db8::7', 'spiffe://cluster/ns/App/sa/web', 'localhost']) {
    t.equal((await at(gateway(`{ serverName: "${name}" }`))).gateway.tls?.serverName, name);
  }
});

const PROXY = 'mode: trusted-proxy, userHeader: x-user';
const HOPS: readonly (readonly [url: string, auth: string, tls: string, beyond: boolean])[] = [
  ['https://gateway.example', TOKEN, '', true],
  ['https://10.0.0.7:18789', 'mode: password, secret: { env: GATEWAY }', '{}', true],
  ['https://gateway.example', TOKEN, '{ ca: ca.crt }', true],
  ['https://gateway.example', 'mode: none', HOP, true],
  ['https://gateway.example', PROXY, HOP, true],
  ['https://gateway.example', 'mode: shim', '{ cert: c.crt, key: c.key }', true],
  ['https://127.0.0.1:1', 'mode: shim', HOP, true],
  ['https://127.0.0.1:1', 'mode: none', '', false],
  ['https://[::1]:1', PROXY, '{ ca: ca.crt }', false],
  ['https://LOCALHOST:1', 'mode: none', '', false],
  ['http://gateway.example', TOKEN, '', false],
];

void t.test('what may lead beyond loopback', async (t) => {
  for (const [url, auth, tls, beyond] of HOPS) {
    const { config } = await loadText(textOf({ gateway: gateway(tls, auth, url) }), worldOf(FILES));
    t.equal(config.gateway.beyondLoopback, beyond, `${url} ${auth} ${tls}`);
  }
});

void t.test('what a name resolves to matters only where it must be loopback', async (t) => {
  const of = (written: string, addresses: readonly string[]) => {
    const world = { ...worldOf(FILES), resolve: () => Promise.resolve(addresses) };
    return { faults: () => faultsOf(textOf({ gateway: written }), world), warnings: () => warningsOf(textOf({ gateway: written }), world) }; // prettier-ignore
  };
  t.same(await of(gateway(''), ['10.0.0.7']).faults(), []);
  t.same(await of(gateway(HOP, 'mode: none'), ['127.0.0.1', '10.0.0.7']).faults(), []);
  t.same(await of(gateway('', TOKEN, 'http://gateway.example'), ['127.0.0.1', '10.0.0.7']).faults(), [
    "1:17 gateway.url: gateway.example resolves to 10.0.0.7, which is beyond loopback: the gateway's secret would cross the network in the clear",
  ]);
  t.same(await of(gateway('', 'mode: none', 'https://localhost'), ['10.0.0.7']).faults(), [
    '1:17 gateway.url: localhost resolves to 10.0.0.7, which is beyond loopback: the gateway asks nobody for a secret',
  ]);
  t.match(await of(gateway(''), []).warnings(), [
    /callers/,
    'gateway.url: gateway.example does not resolve now: requests get 502 until it resolves',
  ]);
  t.match(await of(gateway('', TOKEN, 'http://gateway.example'), []).warnings(), [
    /callers/,
    'gateway.url: gateway.example does not resolve now: requests get 502 until it resolves to a loopback address',
  ]);
});

const NEEDS = (mode: string): string =>
  `gateway.tls.cert: mode "${mode}" beyond loopback needs cert and key: the gateway asks nobody for a secret, so that what is before it must know the shim by its certificate`;
const SHIM_NEEDS = 'gateway.tls.cert: mode "shim" needs cert and key: the other shim knows this one by its certificate';
const SERVER_NAME = 'gateway.tls.serverName: expected a name such as gateway.example, an address, or a SPIFFE id such as spiffe://cluster/ns/app/sa/gateway'; // prettier-ignore
const FINGERPRINT = 'gateway.tls.fingerprint: expected "sha256:" and the SHA-256 of the certificate: 64 hex digits, with or without colons'; // prettier-ignore

const BAD_HOPS: readonly (readonly [written: string, says: readonly string[]])[] = [
  [gateway('', 'mode: none'), [`1:10 ${NEEDS('none')}`]],
  [gateway('{ ca: ca.crt }', 'mode: none'), [`1:71 ${NEEDS('none')}`]],
  [gateway('', PROXY, 'https://10.0.0.7'), [`1:10 ${NEEDS('trusted-proxy')}`]],
  [gateway('', 'mode: shim', 'https://127.0.0.1'), [`1:10 ${SHIM_NEEDS}`]],
  [gateway('{ ca: ca.crt }', 'mode: shim'), [`1:71 ${SHIM_NEEDS}`]],
  [
    gateway('', 'mode: shim', 'http://127.0.0.1:1'),
    ['1:17 gateway.url: mode "shim" needs https: the other shim knows this one by its certificate'],
  ],
  [
    gateway('{ ca: ca.crt }', 'mode: none', 'http://127.0.0.1:1'),
    ['1:61 gateway.tls: gateway.url begins with http:, which has no TLS'],
  ],
  [
    gateway('{ cert: c.crt }', 'mode: shim'),
    ['1:71 gateway.tls.key: there is a cert without a key: the shim needs both to show a certificate'],
  ],
  [
    gateway('{ key: c.key }', 'mode: shim'),
    ['1:71 gateway.tls.cert: there is a key without a cert: the shim needs both to show a certificate'],
  ],
  [gateway('{ ca: s.key }', 'mode: none', 'https://127.0.0.1'), ['1:71 gateway.tls.ca: s.key holds a private key: keep it in a file of its own, where nobody else reads it']], // prettier-ignore
  [gateway('{ cert: c.crt, key: s.key }', 'mode: shim'), ['1:91 gateway.tls.key: s.key is not the key of the first certificate in c.crt']], // prettier-ignore
  [
    gateway('{ rejectUnauthorized: false }', 'mode: none', 'https://127.0.0.1'),
    ['1:67 gateway.tls.rejectUnauthorized: unknown key'],
  ],
  ...[
    '*.example',
    '',
    '0.0.0.0',
    'a b',
    'https://a.example',
    'spiffe://a',
    'spiffe://A/b',
    'spiffe://a/',
    'spiffe://a//b',
    'spiffe://a/../b',
    'spiffe://a/b?c',
    `spiffe://a/${'b'.repeat(2048)}`,
  ].map(
    // prettier-ignore
    (name) => [gateway(`{ serverName: "${name}" }`, 'mode: none', 'https://127.0.0.1'), [`1:79 ${SERVER_NAME}`]] as const, // prettier-ignore
  ),
  ...[digest('a'), `sha1:${digest('a')}`, `sha256:${'a'.repeat(63)}`, `sha256:${'a:'.repeat(32)}`].map(
    (pin) => [gateway(`{ fingerprint: "${pin}" }`, 'mode: none', 'https://127.0.0.1'), [`1:80 ${FINGERPRINT}`]] as const, // prettier-ignore
  ),
];

void t.test('hops that do not fit', async (t) => {
  for (const [written, says] of BAD_HOPS) {
    t.same(await faultsOf(textOf({ gateway: written }), worldOf(FILES)), says, written);
  }
  const ports = textOf({ listen: '{ port: 443 }', gateway: gateway(HOP, 'mode: shim', 'https://127.0.0.1') });
  t.match(await faultsOf(ports, worldOf(FILES)), [/gateway.url: this is the address that the shim itself listens on$/]);
});

void t.test('mode shim leaves to the other shim what is its own', async (t) => {
  const of = (more: string, callers = '[]', routes = '[]') =>
    faultsOf(textOf({ gateway: gateway(`${HOP}${more}`, 'mode: shim'), callers, routes }), worldOf(FILES));
  const relay = '[{ name: a, websocket: relay, scopes: [operator.read] }]';
  t.same(await of('', relay), [], 'no deviceStore is needed here');
  t.match(await of(', deviceStore: memory', relay), [/^1:\d+ gateway.deviceStore: with mode "shim" the shim beside the gateway keeps the device identities$/]); // prettier-ignore
  t.same(await of('', relay.replace('relay', 'tunnel, unsafeTunnel: true').replace('read', 'admin')), [
    '2:33 callers[0].websocket: gateway.auth.mode is "shim": what a client signs in a tunnel is for the gateway itself, so use relay',
  ]);
  t.same(
    await of('', '[]', '[{ method: POST, path: /hooks/wake, scope: operator.write, hooksToken: { env: GATEWAY } }]'),
    [
      // prettier-ignore
      '3:68 routes[0].hooksToken: with mode "shim" the shim beside the gateway has it',
    ],
  );
  const apart = textOf({ gateway: gateway(HOP, 'mode: shim'), callersFile: 'callers.yaml' });
  const tunnel = 'callers: [{ name: a, websocket: tunnel, unsafeTunnel: true, scopes: [operator.admin] }]';
  t.match(await faultsOf(apart, worldOf({ ...FILES, 'callers.yaml': tunnel })), [
    /^callers.yaml:1:33 callers\[0\].websocket: gateway.auth.mode is "shim": /,
  ]);
  const auth = 'mode: shim, secret: { env: GATEWAY }, userHeader: x-user';
  t.match(await faultsOf(textOf({ gateway: gateway(HOP, auth) }), worldOf(FILES)), [
    /gateway.auth.secret: mode "shim" has no secret: the other shim would not ask for it$/,
    /gateway.auth.userHeader: only mode "trusted-proxy" has userHeader$/,
  ]);
});

void t.test('loaded anew, with files that are bad', async (t) => {
  const text = textOf({ listen: LISTEN, gateway: gateway(HOP) });
  const { config: running } = await loadText(text, worldOf(FILES));
  const anew = (files: Readonly<Record<string, string>>, more: Partial<ConfigWorld> = {}, changed = text) =>
    loadText(changed, { ...worldOf({ ...FILES, ...files }), running, ...more });
  const keptOf = ({ warnings }: Awaited<ReturnType<typeof loadText>>): string[] =>
    warnings.filter(({ kept }) => kept).map(({ path }) => path);

  const fine = await anew({});
  t.same([keptOf(fine), fine.config], [[], running]);
  const half = await anew({ 's.key': client.key });
  t.same(keptOf(half), ['listen.tls.key']);
  t.same(half.config, running, 'hosts of the certificate and all');
  const over = await anew({}, { now: day(61).getTime() });
  t.same(
    keptOf(over),
    ['gateway.tls.ca', 'gateway.tls.cert', 'listen.tls.cert', 'listen.tls.clientCa'],
    'what runs expires',
  );
  t.same([over.config.listen.tls, over.config.gateway.tls], [running.listen.tls, running.gateway.tls]);

  await t.rejects(loadText(text, worldOf({ ...FILES, 's.key': client.key })), { name: 'ConfigError' }, 'not at start');
  await t.rejects(anew({ 's.key': client.key }, {}, text.replace('clientCa:', 'recheck: 0s, clientCa:')), { name: 'ConfigError' }, 'nor with a fault of the text there'); // prettier-ignore
  await t.rejects(anew({ 'c.key': server.key }, {}, text.replace('gateway.example', 'other.example')), { name: 'ConfigError' }, 'nor for another gateway'); // prettier-ignore
});

void t.test('warnings', async (t) => {
  const callers = `[{ name: a, scopes: [operator.read], tokens: [{ hash: "sha256:${digest('a')}" }] }]`;
  const of = (sections: Readonly<Record<string, string>>, more: Partial<ConfigWorld> = {}, files = {}) =>
    warningsOf(textOf({ callers, ...sections }), { ...worldOf({ ...FILES, ...files }), ...more });
  t.same(await of({ listen: LISTEN, gateway: gateway(HOP) }), []);
  t.same(await of({ listen: LISTEN, gateway: gateway(HOP) }, { now: day(46).getTime() - 1 }), []);
  const ends = (at: string): string => `${at}: a certificate in it ends at 2027-01-30 00:00 UTC`;
  t.same(
    await of({ listen: LISTEN, gateway: gateway(HOP) }, { now: day(46).getTime() }),
    ['gateway.tls.ca', 'gateway.tls.cert', 'listen.tls.cert', 'listen.tls.clientCa'].map(ends),
  );
  t.same(
    await of({ listen: LISTEN, gateway: gateway(HOP) }, { fileMode: (path) => (path === 's.key' ? 0o640 : 0o600) }),
    ['listen.tls.key: s.key can be read by other users of this machine: chmod 600 it'],
  );
  t.same(await of({ listen: '{ tls: { cert: c.crt, key: c.key } }' }), [
    'listen.tls.cert: its extended key usage has no serverAuth: the other side will refuse it',
  ]);
  const changed = (all: string, mode: number): Promise<string[]> =>
    of({ listen: LISTEN, gateway: gateway(HOP) }, { fileMode: (path) => (path.endsWith(all) ? mode : 0o600) });
  t.same(await changed('.crt', 0o664), [], 'certificates are no secrets, and a group may keep them');
  t.same(
    (await changed('.crt', 0o606)).map((line) => line.replace(/: .*\.crt can/, ' can')),
    ['gateway.tls.ca', 'gateway.tls.cert', 'listen.tls.cert', 'listen.tls.clientCa'].map(
      (key) => `${key} can be changed by every user of this machine: chmod 644 it`,
    ),
  );
  t.same(await changed('s.key', 0o602), [
    'listen.tls.key: s.key can be changed by other users of this machine: chmod 600 it',
  ]);
  t.same(await changed('s.key', 0o660), [
    'listen.tls.key: s.key can be read and changed by other users of this machine: chmod 600 it',
  ]);
  const nameless =
    'listen.tls.cert: it is for no name (SAN): callers who look at it will refuse it, unless they pin it';
  t.same(await of({ listen: '{ tls: { cert: s.crt, key: s.key } }' }, {}, { 's.crt': own.cert, 's.key': own.key }), [
    nameless,
  ]);
  t.same(
    await of({ listen: '{ host: 0.0.0.0, tls: { cert: s.crt, key: s.key } }' }),
    [],
    'the certificate names hosts',
  );
  t.match(
    await of({ listen: '{ host: 0.0.0.0, tls: { cert: s.crt, key: s.key } }' }, {}, { 's.crt': own.cert, 's.key': own.key }), // prettier-ignore
    [/^listen.host: callers of other machines get 421/, nameless],
  );
  const NOBODY = 'listen.credentials: it says nothing without listen.tls.clientCa: nobody shows a certificate';
  t.same(await of({ listen: '{ credentials: bearer }' }), [NOBODY]);
  t.same(await of({ listen: '{ credentials: bearer, tls: { cert: s.crt, key: s.key } }' }), [NOBODY]);
  t.same(await of({ listen: LISTEN.replace('{', '{ credentials: bearer,') }), []);
  const issuers = (header: string): string =>
    `[{ name: a, issuer: 'https://a.example', audience: b, discovery: true, header: ${header}, scopes: { claim: c, ceiling: [operator.read] } }]`;
  const listen = '{ credentials: bearer }';
  t.same(
    await of({ listen, issuers: issuers('Cf-Access-Jwt-Assertion') }),
    [],
    'an assertion stands beside tokens too',
  );
  t.same(await of({ listen, issuers: issuers('Authorization') }), [NOBODY]);

  const shown = '{ resourceMetadata: true }';
  const UNNAMED = /^listen.resourceMetadata: it names no authorization server/;
  t.match(await of({ listen: shown }), [UNNAMED]);
  t.match(await of({ listen: shown, issuers: issuers('Cf-Access-Jwt-Assertion') }), [UNNAMED]);
  t.same(await of({ listen: shown, issuers: issuers('Authorization') }), []);
});

void t.test('commands that edit callers run where the files are not', async (t) => {
  const text = textOf({ listen: LISTEN, gateway: gateway(`${HOP}`, 'mode: shim'), callers: '[{ name: a, certificates: [{ dns: a.example }] }]' }); // prettier-ignore
  t.match((await parseCallers(FILE, text, worldOf())).callers, [{ name: 'a', certificates: [{ dns: 'a.example' }] }]);
  t.match(await loadDevices(FILE, worldOf({ [FILE]: text, 's.key': half(server.key) })), { names: ['a'] });
  const bad = text.replace('cert: s.crt, ', '');
  await t.rejects(
    parseCallers(FILE, bad, worldOf()),
    /listen.tls.cert: this key is required/,
    'the text has to be right',
  );
});
