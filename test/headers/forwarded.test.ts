import { BlockList } from 'node:net';
import t from 'tap';
import { clientPeer } from '../../src/headers/forwarded.ts';

const TRUSTED = new BlockList();
TRUSTED.addSubnet('10.0.0.0', 8, 'ipv4');
TRUSTED.addSubnet('2001:db8::', 32, 'ipv6');

interface Case {
  readonly name: string;
  readonly peer: string | undefined;
  readonly forwardedFor?: string;
  readonly trusted?: BlockList;
  readonly client: string | undefined;
}

const CASES: readonly Case[] = [
  { name: 'nobody is trusted', peer: '10.0.0.1', forwardedFor: '9.9.9.9', client: '10.0.0.1' },
  {
    name: 'a peer that is not trusted',
    peer: '192.0.2.7',
    forwardedFor: '9.9.9.9',
    trusted: TRUSTED,
    client: '192.0.2.7',
  },
  { name: 'a trusted peer without the header', peer: '10.0.0.1', trusted: TRUSTED, client: '10.0.0.1' },
  { name: 'a unix socket', peer: undefined, forwardedFor: '9.9.9.9', trusted: TRUSTED, client: undefined },
  { name: 'a trusted peer', peer: '10.0.0.1', forwardedFor: '9.9.9.9', trusted: TRUSTED, client: '9.9.9.9' },
  {
    name: 'what stands left is a claim',
    peer: '10.0.0.1',
    forwardedFor: '127.0.0.1, 8.8.8.8,9.9.9.9',
    trusted: TRUSTED,
    client: '9.9.9.9',
  },
  {
    name: 'trusted proxies are passed over',
    peer: '10.0.0.1',
    forwardedFor: '8.8.8.8, 9.9.9.9, 10.2.3.4, 10.0.0.2',
    trusted: TRUSTED,
    client: '9.9.9.9',
  },
  {
    name: 'all are trusted',
    peer: '10.0.0.1',
    forwardedFor: '10.0.0.3, 10.0.0.2',
    trusted: TRUSTED,
    client: '10.0.0.1',
  },
  {
    name: 'rubbish on the right',
    peer: '10.0.0.1',
    forwardedFor: '9.9.9.9, unknown',
    trusted: TRUSTED,
    client: 'malformed',
  },
  {
    name: 'an empty member on the right',
    peer: '10.0.0.1',
    forwardedFor: '9.9.9.9,',
    trusted: TRUSTED,
    client: 'malformed',
  },
  { name: 'an empty header', peer: '10.0.0.1', forwardedFor: '', trusted: TRUSTED, client: 'malformed' },
  {
    name: 'rubbish behind a trusted hop',
    peer: '10.0.0.1',
    forwardedFor: 'x, 10.0.0.2',
    trusted: TRUSTED,
    client: 'malformed',
  },
  {
    name: 'rubbish left of the answer is not read',
    peer: '10.0.0.1',
    forwardedFor: 'x, 9.9.9.9',
    trusted: TRUSTED,
    client: '9.9.9.9',
  },
  { name: 'no address', peer: '10.0.0.1', forwardedFor: '0.0.0.0', trusted: TRUSTED, client: 'malformed' },
  { name: 'no IPv6 address', peer: '10.0.0.1', forwardedFor: '::', trusted: TRUSTED, client: 'malformed' },
  { name: 'a zone with a tab', peer: '10.0.0.1', forwardedFor: 'fe80::1%a\tb', trusted: TRUSTED, client: 'malformed' },
  { name: 'a short IPv4 spelling', peer: '10.0.0.1', forwardedFor: '127.1', trusted: TRUSTED, client: 'malformed' },
  {
    name: 'an address with a port',
    peer: '10.0.0.1',
    forwardedFor: '9.9.9.9:1234',
    trusted: TRUSTED,
    client: '9.9.9.9',
  },
  {
    name: 'a bracketed address with a port',
    peer: '10.0.0.1',
    forwardedFor: '[2001:db9::1]:1',
    trusted: TRUSTED,
    client: '2001:db9::1',
  },
  {
    name: 'a bracketed address',
    peer: '10.0.0.1',
    forwardedFor: '[2001:db9::1]',
    trusted: TRUSTED,
    client: '2001:db9::1',
  },
  { name: 'a mapped peer', peer: '::ffff:10.0.0.1', forwardedFor: '9.9.9.9', trusted: TRUSTED, client: '9.9.9.9' },
  {
    name: 'a mapped hop',
    peer: '10.0.0.1',
    forwardedFor: '9.9.9.9, ::FFFF:10.0.0.2',
    trusted: TRUSTED,
    client: '9.9.9.9',
  },
  {
    name: 'a mapped hop in hex',
    peer: '10.0.0.1',
    forwardedFor: '9.9.9.9, ::ffff:a00:2',
    trusted: TRUSTED,
    client: '9.9.9.9',
  },
  {
    name: 'a trusted IPv6 peer',
    peer: '2001:db8::1',
    forwardedFor: '9.9.9.9, 2001:DB8::2',
    trusted: TRUSTED,
    client: '9.9.9.9',
  },
  { name: 'a mapped client', peer: '::ffff:192.0.2.1', client: '192.0.2.1' },
  {
    name: 'a link-local client, without its zone',
    peer: 'fe80::1%eth0',
    trusted: TRUSTED,
    forwardedFor: '9.9.9.9',
    client: 'fe80::1',
  },
  {
    name: 'a link-local hop, without its zone',
    peer: '10.0.0.1',
    trusted: TRUSTED,
    forwardedFor: 'fe80::1%eth0',
    client: 'fe80::1',
  },
  {
    name: 'a zone with a colon',
    peer: '10.0.0.1',
    trusted: TRUSTED,
    forwardedFor: 'fe80::1%eth0:1',
    client: 'fe80::1',
  },
  ...['fe80::1%a%b', 'fe80::1%a b', 'fe80::1%', '%eth0'].map((forwardedFor) => ({
    name: `no zone: ${forwardedFor}`,
    peer: '10.0.0.1',
    trusted: TRUSTED,
    forwardedFor,
    client: 'malformed',
  })),
  {
    name: 'a bracketed address with a long port',
    peer: '10.0.0.1',
    forwardedFor: '[2001:db9::1]:65535',
    trusted: TRUSTED,
    client: '2001:db9::1',
  },
  ...['[2001:db9::1]:1x', '[2001:db9::1]x', 'x[2001:db9::1]', '9.9.9.9:1x', '9.9.9.9:', 'x9.9.9.9:1'].map(
    (forwardedFor) => ({
      name: `no address with a port: ${forwardedFor}`,
      peer: '10.0.0.1',
      trusted: TRUSTED,
      forwardedFor,
      client: 'malformed',
    }),
  ),
  ...['x::ffff:9.9.9.9', '::ffff:9.9.9.9x', '1::ffff:9.9.9.9x'].map((forwardedFor) => ({
    name: `no mapped address: ${forwardedFor}`,
    peer: '10.0.0.1',
    trusted: TRUSTED,
    forwardedFor,
    client: 'malformed',
  })),
  {
    name: 'an address that only ends like a mapped one',
    peer: '10.0.0.1',
    trusted: TRUSTED,
    forwardedFor: '64:ff9b::ffff:9.9.9.9',
    client: '64:ff9b::ffff:9.9.9.9',
  },
];

for (const { name, peer, forwardedFor, trusted, client } of CASES) {
  void t.test(name, async (t) => {
    t.equal(clientPeer(peer, forwardedFor, trusted), client);
  });
}
