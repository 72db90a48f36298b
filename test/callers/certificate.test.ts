import { X509Certificate } from 'node:crypto';
import t from 'tap';
import { createClientTrust, readClientCertificate } from '../../src/callers/certificate.ts';
import type { ClientCertificate } from '../../src/types.ts';
import { makeAuthority, makeSelfSigned, type LeafOptions, type Pair } from '../helpers/certificates.ts';

const SPIFFE = 'spiffe://cluster/ns/app/sa/web';
const HOUR = 3_600_000;
const ca = await makeAuthority('one');
const other = await makeAuthority('two');
const intermediate = await ca.intermediate('between');

function read(leaf: Pair, rest: readonly Pair[] = [], verifiedBy?: string): ClientCertificate {
  const [first, ...more] = [leaf, ...rest].map(({ cert }) => new X509Certificate(cert));
  return readClientCertificate(first as X509Certificate, more, verifiedBy);
}

/** Of a certificate whose names Node writes so. */
function namesIn(subjectAltName: string): Pick<ClientCertificate, 'uris' | 'dnsNames'> {
  const leaf = Object.create(new X509Certificate(ca.cert), {
    subjectAltName: { value: subjectAltName },
    fingerprint256: { value: 'AB:CD' },
    keyUsage: { value: undefined },
    validFromDate: { value: new Date(0) },
    validToDate: { value: new Date(1) },
  }) as X509Certificate;
  const { uris, dnsNames } = readClientCertificate(leaf, [], undefined);
  return { uris, dnsNames };
}

void t.test('what a certificate says', async (t) => {
  const notBefore = new Date('2026-01-02T03:04:05Z');
  const notAfter = new Date('2036-01-02T03:04:05Z');
  const leaf = await intermediate.issue({ name: 'CN names nobody', uris: [SPIFFE], dns: ['Web.Example', 'b'], ips: ['192.0.2.1'], notBefore, notAfter }); // prettier-ignore
  const { chain, ...said } = read(leaf, [intermediate], ca.cert);
  t.strictSame(said, {
    fingerprint: leaf.fingerprint,
    id: `cert:${leaf.fingerprint.slice(0, 12)}`,
    uris: [SPIFFE],
    dnsNames: ['web.example', 'b'],
    clientAuth: true,
    notBefore: notBefore.getTime(),
    notAfter: notAfter.getTime(),
    verifiedBy: ca.cert,
  });
  t.strictSame(
    chain.map(({ fingerprint256 }) => fingerprint256.replaceAll(':', '').toLowerCase()),
    [leaf.fingerprint, intermediate.fingerprint],
  );
  t.match(read(await ca.issue()), { uris: [], dnsNames: [] }, 'without names');
});

void t.test('the usage must be there, and be that of a client', async (t) => {
  for (const [usage, expected] of [
    [['clientAuth'], true],
    [['serverAuth', 'clientAuth'], true],
    [['serverAuth'], false],
    [[], false],
  ] as const) {
    t.equal(read(await ca.issue({ usage })).clientAuth, expected, usage.join());
  }
});

// CVE-2021-44532: a name that holds what looks like the next one was read as two.
void t.test('a name that holds another one is one name', async (t) => {
  const names = [
    `spiffe://evil, URI:${SPIFFE}`,
    `spiffe://evil", URI:${SPIFFE}`,
    `spiffe://evil\\", URI:${SPIFFE}, URI:"`,
    `spiffe://evil\0, URI:${SPIFFE}`,
    `spiffe://evil\r\nURI:${SPIFFE}`,
    `"${SPIFFE}"`,
    ` ${SPIFFE}`,
  ];
  for (const uri of names) t.strictSame(read(await ca.issue({ uris: [uri] })).uris, [uri], uri);
  t.strictSame(read(await ca.issue({ uris: names })).uris, names);
  t.match(read(await ca.issue({ dns: [`a, URI:${SPIFFE}`] })), { uris: [], dnsNames: [`a, uri:${SPIFFE}`] });
});

void t.test('names that cannot be read exactly are not read', async (t) => {
  t.strictSame(namesIn(`othername:"UPN:a, URI:${SPIFFE}", DirName:CN = a, URI:b, DNS:C, IP Address:::1`), {
    uris: ['b'],
    dnsNames: ['c'],
  });
  t.strictSame(namesIn('X400Name:<unsupported>, URI:b'), { uris: ['b'], dnsNames: [] });
  t.strictSame(namesIn(''), { uris: [], dnsNames: [] });
  for (const text of [
    'URI',
    'URI:a,URI:b',
    'URI:a, ',
    'URI:a, b',
    'URI:"a',
    'URI:"a"b',
    'URI:"a", ',
    'URI:"\\x"',
    'URI:a\\u002c',
    'URI:a"b"',
    ', URI:a',
  ]) {
    t.throws(() => namesIn(text), text);
  }
});

const now = Date.now();

void t.test('one that this bundle has verified is trusted in its time', async (t) => {
  const trusts = createClientTrust(ca.cert);
  const leaf = read(await ca.issue(), [], ca.cert);
  t.equal(trusts(leaf, leaf.notBefore), true);
  t.equal(trusts(leaf, leaf.notBefore - 1), false);
  t.equal(trusts(leaf, leaf.notAfter - 1), true);
  t.equal(trusts(leaf, leaf.notAfter), false);
  t.equal(createClientTrust(undefined)(leaf, now), false, 'nobody is trusted without a bundle');
  t.equal(createClientTrust('')(leaf, now), false);
});

void t.test('after another bundle came', async (t) => {
  const direct = await ca.issue();
  const below = await intermediate.issue();
  const deep = await (await intermediate.intermediate('further')).issue();
  const both = `${other.cert}${ca.cert}`;
  const cases: readonly [string, ClientCertificate, string, boolean][] = [
    ['the authority stayed', read(direct, [], both), ca.cert, true],
    ['it is not known which one verified it', read(direct), ca.cert, true],
    ['another authority', read(direct, [], ca.cert), other.cert, false],
    ['another authority, not known before', read(direct), other.cert, false],
    ['one more authority', read(direct, [], ca.cert), both, true],
    ['one more, and the intermediate is not known', read(below, [], ca.cert), both, true],
    ['an intermediate that came with it', read(below, [intermediate], both), ca.cert, true],
    ['an intermediate of the bundle', read(below), `${intermediate.cert}${ca.cert}`, true],
    ['an intermediate alone is no root', read(below, [intermediate]), intermediate.cert, false],
    ['an intermediate is missing', read(below, [], both), ca.cert, false],
    ['two are missing one', read(deep, [intermediate]), ca.cert, false],
    ['what came with it is no authority of the bundle', read(below, [intermediate, ca]), other.cert, false],
    ['an empty bundle', read(direct), '', false],
    ['from an empty bundle', read(direct, [], ''), other.cert, false],
  ];
  for (const [name, certificate, bundle, expected] of cases) {
    const trusts = createClientTrust(bundle);
    t.equal(trusts(certificate, now), expected, name);
    t.equal(trusts(certificate, now), expected, `${name}, asked again`);
    t.equal(trusts(certificate, certificate.notAfter), false, `${name}, out of its time`);
  }
});

// Path length, name constraints and usages of authorities are OpenSSL's to look at: it has not looked at another path.
void t.test('another path to an authority that stayed was never verified', async (t) => {
  const between = await ca.intermediate('across');
  const across = await other.across(between);
  const leaf = await between.issue();
  const both = `${ca.cert}${other.cert}`;
  const after = createClientTrust(`${other.cert}${across.cert}`);
  t.equal(after(read(leaf, [between], both), now), false, 'its own authority is gone');
  t.equal(after(read(leaf, [across], `${both}${between.cert}`), now), false, 'it may have been the other path');
  t.equal(after(read(leaf, [across], both), now), true, 'the path that was verified');
});

void t.test('a signer counts by its signature, not by its name', async (t) => {
  const forged = await (await makeAuthority('one')).issue();
  t.equal(createClientTrust(ca.cert)(read(forged), now), false);
  const self = await makeSelfSigned();
  t.equal(createClientTrust(ca.cert)(read(self), now), false);
  t.equal(createClientTrust(self.cert)(read(self), now), true, 'in the bundle itself');
});

void t.test('a signer must be an authority, in its time', async (t) => {
  const signers: readonly [string, LeafOptions][] = [
    ['no authority', { authority: false }],
    ['expired', { notBefore: new Date(now - 2 * HOUR), notAfter: new Date(now - HOUR) }],
    ['not valid yet', { notBefore: new Date(now + HOUR), notAfter: new Date(now + 2 * HOUR) }],
  ];
  for (const [name, options] of signers) {
    const signer = await makeAuthority(name, options);
    t.equal(createClientTrust(signer.cert)(read(await signer.issue()), now), false, name);
  }
  const short = await makeAuthority('short', { notAfter: new Date(now + HOUR) });
  const trusts = createClientTrust(short.cert);
  const leaf = read(await short.issue());
  t.equal(trusts(leaf, now), true);
  t.equal(trusts(leaf, now + HOUR), false, 'it ended since');
});

void t.test('authorities that sign one another are followed once', async (t) => {
  const self = await makeAuthority('loop');
  const loop = await Promise.all(Array.from({ length: 6 }, () => self.intermediate('loop')));
  t.equal(createClientTrust(other.cert)(read(await self.issue(), loop), now), false);
});
