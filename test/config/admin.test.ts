import { hash } from 'node:crypto';
import t from 'tap';
import { makeAuthority } from '../helpers/certificates.ts';
import { faultsOf, loadText, NOW, textOf, warningsOf, worldOf } from '../helpers/configuration.ts';

const TOKEN = 'k3Zq8vT1xYwQmLp0RsTuVwXy';
const dates = { notBefore: new Date(NOW - 1000), notAfter: new Date(NOW + 60 * 86_400_000) };
const ca = await makeAuthority('CA', dates);
const server = await ca.issue({ ...dates, dns: ['shim.example'], usage: ['serverAuth'] });
const world = worldOf({ crt: server.cert, key: server.key, ca: ca.cert, short: 'k3Zq8vT1xYwQmLp0RsTuVwX' }, { TOKEN });
const PAIR = 'cert: crt, key: key';

const adminOf = async (value: string) => (await loadText(textOf({ admin: value }), world)).config.admin;

void t.test('where it listens, and by which names', async (t) => {
  t.equal((await loadText(textOf(), world)).config.admin, undefined, 'nowhere, without a word');
  t.strictSame(await adminOf('{}'), {
    address: { host: '127.0.0.1', port: 18781 },
    hosts: new Set(['localhost', '127.0.0.1', '::1']),
    unsafeListenPlaintext: false,
  });
  t.strictSame((await adminOf('{ socket: /run/a.sock }'))?.address, { socket: '/run/a.sock', mode: 0o600 });
  t.strictSame((await adminOf('{ socket: /run/a.sock, mode: "0660" }'))?.address, {
    socket: '/run/a.sock',
    mode: 0o660,
  });
  const open = await adminOf(`{ host: 0.0.0.0, hosts: [A.example], tls: { ${PAIR} }, token: { env: TOKEN } }`);
  t.strictSame(open?.hosts, new Set(['localhost', '127.0.0.1', '::1', 'shim.example', 'a.example']));
  t.equal(open?.tokenHash, hash('sha256', TOKEN));
  t.notMatch(JSON.stringify(open), TOKEN);
});

void t.test('its certificates are looked after like the others', async (t) => {
  const { config } = await loadText(textOf({ admin: `{ host: 192.0.2.1, tls: { ${PAIR}, clientCa: ca } }` }), world);
  t.same(
    config.certificates.map(({ key }) => key),
    ['admin.tls.cert', 'admin.tls.clientCa'],
  );
  t.equal(config.admin?.tls?.client?.auth, 'require');
});

void t.test('an authority for callers is none for operators', async (t) => {
  const other = await makeAuthority('Operators', dates);
  const both = `${other.cert}${ca.cert}`;
  const files = worldOf({ crt: server.cert, key: server.key, ca: ca.cert, both, other: other.cert }, { TOKEN });
  const of = (own: string, callers: string, more = '') =>
    faultsOf(
      textOf({
        listen: `{ tls: { ${PAIR}, clientCa: ${callers} } }`,
        admin: `{ tls: { ${PAIR}, clientCa: ${own} }${more} }`,
      }),
      files,
    );
  for (const [own, callers] of [
    ['ca', 'ca'],
    ['both', 'ca'],
    ['ca', 'both'],
  ] as const) {
    t.match(await of(own, callers), [/admin.tls.clientCa: listen.tls.clientCa has this authority too/]);
    t.same(await of(own, callers, ', token: { env: TOKEN }'), []);
  }
  t.same(await of('other', 'ca'), []);
});

const refused: Readonly<Record<string, readonly [value: string, says: RegExp]>> = {
  'beyond loopback without anything': ['{ host: 0.0.0.0 }', /^2:16 admin.host: .* anybody could look/],
  'beyond loopback, TLS alone': [`{ host: 0.0.0.0, tls: { ${PAIR} } }`, /admin.host: .* anybody could look/],
  'a name beyond loopback': ['{ host: shim.example }', /admin.host: .* anybody could look/],
  'a token in the clear': ['{ host: 0.0.0.0, token: { env: TOKEN } }', /admin.host: .* in the clear/],
  'in the clear, said so, without a token': ['{ host: 0.0.0.0, unsafeListenPlaintext: true }', /anybody could look/],
  'both TLS and none': [
    `{ tls: { ${PAIR} }, unsafeListenPlaintext: true }`,
    /admin.unsafeListenPlaintext: there is TLS/,
  ],
  'a short token': ['{ token: { file: short } }', /admin.token: it must have at least 24 characters/],
  'a token that is not there': ['{ token: { env: NOBODY } }', /admin.token.env: the variable NOBODY is not set/],
  'a token as it is': [`{ token: ${TOKEN} }`, /admin.token: expected a reference/],
  'a socket and a port': ['{ socket: s, port: 1 }', /admin.socket: .* either a socket, or a host and a port/],
  'bits without a socket': ['{ mode: "0660" }', /admin.mode: only a socket has permission bits/],
  'a certificate without its key': ['{ tls: { cert: crt } }', /admin.tls/],
  'an authority that is none': [`{ tls: { ${PAIR}, clientCa: key } }`, /admin.tls.clientCa/],
  'a wildcard as a name': ['{ hosts: ["*"] }', /admin.hosts\[0\]: a wildcard/],
  'an address with a port': ['{ host: "127.0.0.1:1" }', /admin.host: expected an address/],
};

for (const [name, [value, says]] of Object.entries(refused)) {
  void t.test(name, async (t) => {
    const faults = await faultsOf(textOf({ admin: value }), world);
    t.ok(
      faults.some((fault) => says.test(fault)),
      faults.join('\n'),
    );
    t.notMatch(faults.join('\n'), TOKEN);
  });
}

void t.test('a token in the clear can be allowed, and is told', async (t) => {
  const value = '{ host: 0.0.0.0, token: { env: TOKEN }, unsafeListenPlaintext: true }';
  t.match(await adminOf(value), { unsafeListenPlaintext: true });
  t.match(
    (await warningsOf(textOf({ admin: value }), world)).join('\n'),
    /^admin.unsafeListenPlaintext: its token crosses the network in the clear$/m,
  );
});
