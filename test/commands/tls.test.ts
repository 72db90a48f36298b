/** `auth-shim tls init`, on real files; what they hold is read by OpenSSL, and used for real handshakes. */
import t, { type Test } from 'tap';
import { createPrivateKey, KeyObject, X509Certificate, type webcrypto } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { connect, createServer, type TLSSocket } from 'node:tls';
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { parseAllDocuments } from 'yaml';
import { runTlsInit, type TlsInitOptions } from '../../src/commands/tls.ts';
import type { TlsInitResult } from '../../src/commands/tls-result.ts';
import { makeAuthority } from '../helpers/certificates.ts';
import { run } from '../helpers/command-line.ts';
import { testWorld, type TestWorld } from '../helpers/world.ts';

const DAY = 86_400_000;
const NOW = Date.UTC(2026, 11, 1);
const EKU = { serverAuth: '1.3.6.1.5.5.7.3.1', clientAuth: '1.3.6.1.5.5.7.3.2' } as const;
const ALL = ['ca.crt', 'ca.key', 'server.crt', 'server.key', 'shim-a.crt', 'shim-a.key'];

type Options = Partial<TlsInitOptions>;

const init = (world: TestWorld, options: Options = {}): Promise<number> =>
  runTlsInit(world, { folder: 'tls', hosts: [], clients: [], days: '90', ...options });

async function made(t: Test, options: Options = {}, world = testWorld(t.testdir())): Promise<TestWorld> {
  t.equal(await init(world, options), 0, world.err());
  return world;
}

const textOf = (world: TestWorld, name: string): string => readFileSync(join(world.cwd, 'tls', name), 'utf8');
const certificateOf = (world: TestWorld, name: string): X509Certificate =>
  new X509Certificate(textOf(world, `${name}.crt`));
const filesOf = (world: TestWorld): Record<string, string> =>
  Object.fromEntries(readdirSync(join(world.cwd, 'tls')).map((name) => [name, textOf(world, name)]));

void t.test('an authority, a server and a client, and nothing beside them', async (t) => {
  const world = await made(t);
  t.same(readdirSync(join(world.cwd, 'tls')).sort(), ALL);
  const mode = (...names: string[]): number => statSync(join(world.cwd, 'tls', ...names)).mode & 0o7777;
  t.equal(mode(), 0o700);
  for (const name of ALL) t.equal(mode(name), name.endsWith('.key') ? 0o600 : 0o644, name);
  const [table] = world.out().split('\n\n');
  t.same(table?.split('\n'), [
    'CERTIFICATE     KEY             ENDS        FOR',
    'tls/ca.crt      tls/ca.key      2029-03-05',
    'tls/server.crt  tls/server.key  2027-03-01  localhost 127.0.0.1 ::1',
    'tls/shim-a.crt  tls/shim-a.key  2027-03-01  spiffe://auth-shim/shim-a',
  ]);
  t.equal(
    world.err(),
    'For development: whoever has tls/ca.key can be any server and any client to all who trust tls/ca.crt.\n',
  );
});

void t.test('what certificates say', async (t) => {
  const world = await made(t, { hosts: ['Gateway.Internal', '192.0.2.7', '2001:DB8::0:1', '::ffff:192.0.2.8'] });
  const ca = certificateOf(world, 'ca');
  const names = {
    ca: undefined,
    server:
      'DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, DNS:gateway.internal, IP Address:192.0.2.7, ' +
      'IP Address:2001:DB8:0:0:0:0:0:1, IP Address:0:0:0:0:0:FFFF:C000:208',
    'shim-a': 'URI:spiffe://auth-shim/shim-a',
  };
  const usages = { ca: undefined, server: [EKU.serverAuth], 'shim-a': [EKU.clientAuth] };
  const serials = new Set<string>();
  for (const name of ['ca', 'server', 'shim-a'] as const) {
    const one = certificateOf(world, name);
    t.ok(one.verify(ca.publicKey) && one.checkIssued(ca), `${name} is signed by the authority`);
    t.ok(one.checkPrivateKey(createPrivateKey(textOf(world, `${name}.key`))), `the key of ${name}`);
    t.equal(one.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1', name);
    t.equal(one.ca, name === 'ca', name);
    t.equal(one.subjectAltName, names[name], name);
    t.same(one.keyUsage, usages[name], name);
    t.equal(one.validFromDate.getTime(), NOW - 5 * 60_000, name);
    t.equal(one.validToDate.getTime(), NOW + (name === 'ca' ? 825 : 90) * DAY, name);
    serials.add(one.serialNumber);

    const { extensions } = new x509.X509Certificate(one.raw);
    const flags = x509.KeyUsageFlags;
    const expected = name === 'ca' ? flags.keyCertSign | flags.cRLSign : flags.digitalSignature;
    t.match(
      extensions.find((each) => each instanceof x509.KeyUsagesExtension),
      { critical: true, usages: expected },
    );
    t.match(
      extensions.find((each) => each instanceof x509.BasicConstraintsExtension),
      { critical: true, ca: name === 'ca', pathLength: name === 'ca' ? 0 : undefined },
    );
    const own = extensions.find((each) => each instanceof x509.SubjectKeyIdentifierExtension)?.keyId;
    const issuer = extensions.find((each) => each instanceof x509.AuthorityKeyIdentifierExtension)?.keyId;
    t.match(own, /^[0-9a-f]{40}$/);
    t.match(issuer, /^[0-9a-f]{40}$/);
    t.equal(own === issuer, name === 'ca', name);
  }
  t.equal(serials.size, 3);
  t.ok([...serials].every((serial) => serial.length > 16));
  const server = certificateOf(world, 'server');
  for (const name of ['localhost', 'gateway.internal']) t.ok(server.checkHost(name), name);
  for (const ip of ['127.0.0.1', '::1', '192.0.2.7', '2001:db8::1']) t.ok(server.checkIP(ip), ip);
  t.notOk(server.checkHost('other.internal'));
  const other = await made(t);
  t.not(certificateOf(other, 'ca').subject, ca.subject, 'two authorities have two names');
});

interface Handshake {
  /** Why the server does not take the client's certificate; `null`: it does. */
  readonly server: unknown;
  /** The code with which the client ended it; `undefined`: it did not. */
  readonly client: string | undefined;
  readonly names: string | undefined;
}

/** One handshake; `as` are the pairs that both show. */
async function handshake(t: Test, world: TestWorld, as: { server: string; client: string }): Promise<Handshake> {
  const pair = (name: string): { cert: string; key: string } => ({
    cert: textOf(world, `${name}.crt`),
    key: textOf(world, `${name}.key`),
  });
  const ca = textOf(world, 'ca.crt');
  const server = createServer({ ...pair(as.server), ca, requestCert: true, rejectUnauthorized: false });
  t.teardown(() => server.close());
  server.on('tlsClientError', () => undefined);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const accepted = once(server, 'secureConnection') as Promise<[TLSSocket]>;
  const { port } = server.address() as AddressInfo;
  const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca, ...pair(as.client) });
  t.teardown(() => socket.destroy());
  try {
    await once(socket, 'secureConnect');
  } catch (error) {
    return { server: undefined, client: (error as NodeJS.ErrnoException).code, names: undefined };
  }
  const [theirs] = await accepted;
  t.teardown(() => theirs.destroy());
  const names = theirs.getPeerX509Certificate()?.subjectAltName;
  return { server: theirs.authorizationError, client: undefined, names };
}

void t.test('both sides verify the other', async (t) => {
  const world = await made(t, {}, testWorld(t.testdir(), { now: Date.now }));
  t.same(await handshake(t, world, { server: 'server', client: 'shim-a' }), {
    server: null,
    client: undefined,
    names: 'URI:spiffe://auth-shim/shim-a',
  });
});

void t.test('no pair can do the work of the other', async (t) => {
  const world = await made(t, {}, testWorld(t.testdir(), { now: Date.now }));
  t.match(await handshake(t, world, { server: 'shim-a', client: 'shim-a' }), { client: 'INVALID_PURPOSE' });
  t.match(await handshake(t, world, { server: 'server', client: 'server' }), { server: 'INVALID_PURPOSE' });
});

void t.test('a folder with an authority gets what is named, signed by it', async (t) => {
  const world = await made(t, { hosts: ['gateway.internal'] });
  const before = filesOf(world);
  t.equal(await init(world, { clients: ['other', 'laptop.7', 'other'] }), 0);
  t.match(filesOf(world), before, 'what was there is the same, byte for byte');
  t.same(
    readdirSync(join(world.cwd, 'tls')).sort(),
    [...ALL, 'laptop.7.crt', 'laptop.7.key', 'other.crt', 'other.key'].sort(),
  );
  const ca = certificateOf(world, 'ca');
  t.ok(certificateOf(world, 'other').verify(ca.publicKey));
  t.equal(certificateOf(world, 'laptop.7').subjectAltName, 'URI:spiffe://auth-shim/laptop.7');
  const told = world.out().slice(world.out().lastIndexOf('CERTIFICATE'));
  t.notMatch(told, 'ca.key');
  t.notMatch(told, 'listen:');
  t.match(told, 'url: https://gateway.internal:18443', 'the server is where it was');

  const later = await made(t, { clients: ['only'] });
  t.notOk(existsSync(join(later.cwd, 'tls', 'shim-a.crt')), 'a named client takes the place of the standard one');
});

void t.test('nothing is written over without --force, and then nothing else is written either', async (t) => {
  const world = await made(t);
  const before = filesOf(world);
  for (const [options, file] of [
    [{}, 'server.key'],
    [{ clients: ['shim-a'] }, 'shim-a.key'],
    [{ hosts: ['gateway.internal'] }, 'server.key'],
    [{ clients: ['new', 'shim-a'] }, 'shim-a.key'],
  ] as const) {
    t.equal(await init(world, options), 1);
    t.match(world.err(), new RegExp(`tls/${file} exists; --force writes over it\\n$`));
    t.same(filesOf(world), before);
  }
});

void t.test('two at once: one of them makes the folder', async (t) => {
  const world = testWorld(t.testdir());
  const codes = await Promise.all([init(world), init(world)]);
  t.same(codes.sort(), [0, 1]);
  t.same(readdirSync(join(world.cwd, 'tls')).sort(), ALL);
  t.ok(certificateOf(world, 'shim-a').verify(certificateOf(world, 'ca').publicKey));
});

void t.test('two at once with --force: one authority, and its pairs', async (t) => {
  const world = testWorld(t.testdir());
  const codes = await Promise.all([init(world, { force: true }), init(world, { force: true })]);
  t.strictSame(codes.sort(), [0, 1]);
  t.match(world.err(), /^tls\/ca\.key is there by now: take it away, or run this once more$/m);
  t.same(readdirSync(join(world.cwd, 'tls')).sort(), ALL);
  const ca = certificateOf(world, 'ca');
  t.ok(ca.checkPrivateKey(createPrivateKey(textOf(world, 'ca.key'))));
  for (const name of ['server', 'shim-a']) t.ok(certificateOf(world, name).verify(ca.publicKey), name);
});

void t.test('--force makes pairs anew, for the same names; the authority stays', async (t) => {
  const world = await made(t, { hosts: ['gateway.internal', '2001:db8::1'] });
  const before = filesOf(world);
  chmodSync(join(world.cwd, 'tls', 'server.key'), 0o644);
  t.equal(await init(world, { force: true }), 0);
  const after = filesOf(world);
  for (const name of ALL) t.equal(after[name] === before[name], name.startsWith('ca.'), name);
  t.same(Object.keys(after).sort(), ALL);
  t.equal(statSync(join(world.cwd, 'tls', 'server.key')).mode & 0o7777, 0o600);
  const names = new X509Certificate(before['server.crt'] ?? '').subjectAltName;
  t.equal(certificateOf(world, 'server').subjectAltName, names);
  t.equal(await init(world, { force: true, hosts: ['new.internal'] }), 0);
  t.equal(
    certificateOf(world, 'server').subjectAltName,
    'DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, DNS:new.internal',
  );
  t.equal(textOf(world, 'shim-a.crt'), after['shim-a.crt'], 'no client was named');
});

void t.test('no pair outlives its authority', async (t) => {
  const world = await made(t, { days: '825' });
  const end = certificateOf(world, 'ca').validToDate.getTime();
  t.equal(certificateOf(world, 'server').validToDate.getTime(), end);
  const later = testWorld(world.cwd, { now: () => NOW + 800 * DAY });
  t.equal(await init(later, { clients: ['other'] }), 0);
  t.equal(certificateOf(world, 'other').validToDate.getTime(), end);
  const late = testWorld(world.cwd, { now: () => NOW + 825 * DAY });
  t.equal(await init(late, { clients: ['late'] }), 1);
  t.match(late.err(), /^tls\/ca\.crt has ended on 2029-03-05T00:00:00\.000Z: name another folder, or take ca\.crt/);
});

/** An authority whose key is on another curve. */
async function makeForeign(): Promise<{ readonly cert: string; readonly key: string }> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' } as const;
  const keys = (await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=foreign',
    notAfter: new Date(NOW + DAY),
    keys,
    signingAlgorithm: algorithm,
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  });
  const key = KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' });
  return { cert: certificate.toString('pem'), key: String(key) };
}

void t.test('an authority that cannot sign', async (t) => {
  const other = await makeAuthority();
  const leaf = await other.issue();
  const foreign = await makeForeign();
  const encrypted = createPrivateKey(other.key).export({
    type: 'pkcs8',
    format: 'pem',
    cipher: 'aes-256-cbc',
    passphrase: 'x',
  });
  for (const { name, files, says } of [
    { name: 'no key', files: { 'ca.crt': other.cert }, says: 'tls has ca.crt without ca.key: bring it back' },
    { name: 'no certificate', files: { 'ca.key': other.key }, says: 'tls has ca.key without ca.crt: bring it back' },
    { name: 'another key', files: { 'ca.crt': other.cert, 'ca.key': leaf.key }, says: 'has the key of another' },
    { name: 'none', files: { 'ca.crt': leaf.cert, 'ca.key': leaf.key }, says: 'tls/ca.crt is no authority' },
    { name: 'encrypted', files: { 'ca.crt': other.cert, 'ca.key': encrypted }, says: 'its unencrypted key' },
    { name: 'P-384', files: { 'ca.crt': foreign.cert, 'ca.key': foreign.key }, says: 'tls/ca.crt has no P-256 key' },
    { name: 'empty', files: { 'ca.crt': '', 'ca.key': '' }, says: 'tls/ca.crt cannot be read as a certificate' },
    { name: 'a folder', files: { 'ca.crt': {}, 'ca.key': other.key }, says: 'tls/ca.crt is a directory' },
  ] as const) {
    const world = testWorld(t.testdir({ tls: files }));
    const before = readdirSync(join(world.cwd, 'tls'));
    for (const force of [false, true]) {
      t.equal(await init(world, { force }), 1, name);
      t.match(world.err(), says, name);
      t.same(readdirSync(join(world.cwd, 'tls')), before, name);
    }
    t.equal(world.out(), '');
  }
});

void t.test('a folder that cannot be one', async (t) => {
  const world = testWorld(t.testdir({ tls: 'a file' }));
  t.equal(await init(world), 1);
  t.equal(world.err(), 'tls is no folder: name another\n');
  t.equal(await init(world, { folder: 'tls/below' }), 1);
  t.match(world.err(), /tls\/below cannot be written \(ENOTDIR\)\n$/);
  t.equal(readFileSync(join(world.cwd, 'tls'), 'utf8'), 'a file');
});

void t.test('names and times that no certificate is made for', async (t) => {
  const cases: readonly [Options, RegExp][] = [
    ...[
      '',
      '*.internal',
      'a b',
      'https://a',
      'a:443',
      '[::1]',
      'a.',
      '0.0.0.0',
      '::',
      '1.2.3',
      'fe80::1%eth0',
      'a,b',
    ].map((host): [Options, RegExp] => [
      { hosts: ['ok.internal', host] },
      /^--host ".*": expected a name or an address/,
    ]),
    ...['', '-a', 'a/b', '../a', 'a@b', 'ca', 'CA', 'server', 'Server', 'é', 'a'.repeat(129)].map(
      (client): [Options, RegExp] => [{ clients: ['ok', client] }, /^--client ".*": expected 1 to 128 of/],
    ),
    ...['', '0', '826', '1.5', '-1', '1e2', '90d', ' 9'].map((days): [Options, RegExp] => [
      { days },
      /^--days ".*": expected a count from 1 to 825\n$/,
    ]),
  ];
  for (const [options, says] of cases) {
    const world = testWorld(t.testdir());
    t.equal(await init(world, options), 2, JSON.stringify(options));
    t.match(world.err(), says);
    t.notOk(existsSync(join(world.cwd, 'tls')));
  }
  const world = await made(t, { clients: ['a'.repeat(128), 'caller', 'server-2'], days: '1' });
  t.match(certificateOf(world, 'a'.repeat(128)).subject, /^CN=a{64}$/);
});

void t.test('what to paste for both shims', async (t) => {
  const parts = (world: TestWorld): unknown[] => {
    const [, ...blocks] = world.out().split(/\n# shim .*\n/);
    return blocks.flatMap((block) => parseAllDocuments(block).map((one) => one.toJS() as unknown));
  };
  const tls = { cert: 'a b/server.crt', key: 'a b/server.key', clientCa: 'a b/ca.crt' };
  const scopes = ['operator.read', 'operator.write'];
  const caller = (name: string): object => ({
    name,
    certificates: [{ uri: `spiffe://auth-shim/${name}` }],
    onBehalf: true,
    scopes,
  });
  const gateway = (host: string, name: string): object => ({
    url: `https://${host}:18443`,
    auth: { mode: 'shim' },
    tls: { ca: 'a b/ca.crt', cert: `a b/${name}.crt`, key: `a b/${name}.key` },
  });
  const local = await made(t, { folder: './a b' });
  t.strictSame(parts(local), [
    { listen: { port: 18443, tls }, callers: [caller('shim-a')] },
    { gateway: gateway('127.0.0.1', 'shim-a') },
  ]);
  const far = await made(t, { folder: 'a b', hosts: ['2001:db8::1', 'gw.internal'], clients: ['one', '2'] });
  t.strictSame(parts(far), [
    {
      listen: { host: '0.0.0.0', port: 18443, tls },
      callers: [caller('one'), caller('2')],
    },
    { gateway: gateway('[2001:db8::1]', 'one') },
    { gateway: gateway('[2001:db8::1]', '2') },
  ]);
});

void t.test('a caller of one shim speaks for nobody else', async (t) => {
  const { code, stdout } = await run(['tls', 'init', 'tls', '--caller', 'cron', '--caller', 'cron'], {
    cwd: t.testdir(),
  });
  t.equal(code, 0);
  const [, block = ''] = stdout.split('\n# shim, beside the gateway\n');
  t.strictSame(
    parseAllDocuments(block).map((one) => one.toJS() as unknown),
    [
      {
        listen: { port: 18443, tls: { cert: 'tls/server.crt', key: 'tls/server.key', clientCa: 'tls/ca.crt' } },
        callers: [
          {
            name: 'cron',
            certificates: [{ uri: 'spiffe://auth-shim/cron' }],
            scopes: ['operator.read', 'operator.write'],
          },
        ],
      },
    ],
  );
  const mixed = await made(t, { clients: ['laptop'], callers: ['cron'] });
  t.equal(mixed.out().split('onBehalf: true').length, 2, 'the shim alone');
  t.equal(mixed.out().split('# shim A').length, 2);
  const world = testWorld(t.testdir());
  t.equal(await init(world, { clients: ['a'], callers: ['a'] }), 2);
  t.match(world.err(), '"a" is a --client and a --caller: name one');
});

void t.test('a folder that everybody may write to', async (t) => {
  for (const [mode, code] of [
    [0o777, 1],
    [0o1777, 1],
    [0o775, 0],
  ] as const) {
    const world = testWorld(t.testdir({ tls: {} }));
    chmodSync(join(world.cwd, 'tls'), mode);
    t.equal(await init(world), code, mode.toString(8));
    t.equal(readdirSync(join(world.cwd, 'tls')).length, code === 0 ? ALL.length : 0);
    if (code === 1) t.match(world.err(), /^every user of this machine may write to tls: chmod 700 it/);
  }
});

void t.test('as JSON, from the command line', async (t) => {
  const cwd = t.testdir();
  const words = ['tls', 'init', 'tls', '--host', 'a.internal', '--host', 'b.internal', '--client', 'x', '--days', '7'];
  const first = await run([...words, '--json'], { cwd, now: () => NOW });
  t.equal(first.code, 0, first.stderr);
  const fingerprint = (name: string): string =>
    `sha256:${new X509Certificate(readFileSync(join(cwd, 'tls', `${name}.crt`))).fingerprint256.replaceAll(':', '').toLowerCase()}`;
  const pair = (name: string, days: number, names: string[]): object => ({
    cert: `tls/${name}.crt`,
    key: `tls/${name}.key`,
    fingerprint: fingerprint(name),
    expires: new Date(NOW + days * DAY).toISOString(),
    names,
  });
  const server = pair('server', 7, ['localhost', '127.0.0.1', '::1', 'a.internal', 'b.internal']);
  t.strictSame(JSON.parse(first.stdout), {
    authority: { ...pair('ca', 825, []), made: true },
    server,
    clients: [{ name: 'x', ...pair('x', 7, ['spiffe://auth-shim/x']) }],
    callers: [],
  });
  t.equal((await run(words, { cwd })).code, 1);
  t.equal((await run([...words, '--force'], { cwd })).code, 0);
  const { code, stdout } = await run(['tls', 'init', 'tls', '--client', 'y', '--json'], { cwd, now: () => NOW });
  t.equal(code, 0);
  t.match(JSON.parse(stdout) as TlsInitResult, { authority: { made: false }, server: null, clients: [{ name: 'y' }] });
  t.equal((await run(['tls', 'init'], { cwd })).code, 2);
});
