import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { connect as connectTcp, type AddressInfo, type Socket } from 'node:net';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import type { Config, ListenTls } from '../../src/config/config.ts';
import { hashToken } from '../../src/callers/token.ts';
import { startGateway } from '../../src/demo/gateway.ts';
import type { Refusal } from '../../src/errors.ts';
import { requestLog } from '../../src/observe/log.ts';
import { createHandshakeCosts } from '../../src/limits/handshakes.ts';
import type { HttpProxy } from '../../src/proxy/http.ts';
import type { SocketProxy } from '../../src/proxy/websocket.ts';
import { createExpiryWatch } from '../../src/server/certificate-expiry.ts';
import { createListener } from '../../src/server/listener.ts';
import { startShim, type ShimOptions } from '../../src/server/shim.ts';
import { createTlsServer, type FailedHandshake, type TlsParts, type TlsServer } from '../../src/server/tls.ts';
import type { ClientCertificate, RawToken } from '../../src/types.ts';
import { makeAuthority, makeSelfSigned, type Pair } from '../helpers/certificates.ts';
import { testConfig } from '../helpers/config.ts';
import { parseExposition } from '../helpers/exposition.ts';
import { openRaw, sendRaw } from '../helpers/raw.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const NOW = Date.now();
const SPIFFE = 'spiffe://cluster/ns/app/sa/web';
const ca = await makeAuthority('one');
const intermediate = await ca.intermediate('between');
const other = await makeAuthority('two');
const own = await ca.issue({ name: 'localhost', dns: ['localhost'], usage: ['serverAuth'] });
const web = await ca.issue({ uris: [SPIFFE], usage: ['clientAuth'] });
const below = await intermediate.issue({ uris: [SPIFFE], usage: ['clientAuth'] });
const require: ListenTls['client'] = { ca: ca.cert, auth: 'require' };
const accept: ListenTls['client'] = { ca: ca.cert, auth: 'accept' };

function settings(client?: ListenTls['client'], more: Partial<ListenTls> = {}): ListenTls {
  return { cert: own.cert, key: own.key, minVersion: 'TLSv1.2', recheck: 60_000, ...(client && { client }), ...more };
}

interface Listening extends TlsServer {
  readonly port: number;
  /** The certificates of the connections that brought a request. */
  readonly requests: (string | undefined)[];
  readonly failures: FailedHandshake[];
  readonly resumed: boolean[];
  /** Errors that got to HTTP. */
  readonly broken: (string | undefined)[];
  nextFailure(): Promise<FailedHandshake>;
}

/** A TLS server that answers every request. */
async function listen(t: Test, tls: ListenTls, more: Partial<TlsParts> = {}): Promise<Listening> {
  const failures: FailedHandshake[] = [];
  const resumed: boolean[] = [];
  const requests: (string | undefined)[] = [];
  const broken: (string | undefined)[] = [];
  const waiting: ((failure: FailedHandshake) => void)[] = [];
  const listening = createTlsServer(
    { keepAliveTimeout: 0 },
    {
      tls,
      done: (again) => resumed.push(again),
      failed(failure) {
        failures.push(failure);
        waiting.shift()?.(failure);
      },
      shutOut: () => undefined,
      randomId: () => 'the-id',
      now: Date.now,
      ...more,
    },
  );
  const { server } = listening;
  server.on('request', (req, res) => {
    requests.push(listening.certificateOf(req.socket)?.id);
    res.end('fine');
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    broken.push(error.code);
    socket.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  const nextFailure = (): Promise<FailedHandshake> => new Promise((resolve) => waiting.push(resolve));
  return { ...listening, port, requests, failures, resumed, broken, nextFailure };
}

function showing({ cert, key }: Pair, ...rest: Pair[]): ConnectionOptions {
  return { cert: [cert, ...rest.map((one) => one.cert)].join(''), key };
}

interface Client {
  readonly socket: TLSSocket;
  /** The newest session that it was given. */
  readonly session: () => Buffer | undefined;
  /** Settles with the code of its error, if there was one, when it is over. */
  readonly closed: Promise<string | undefined>;
  /** Sends a request, and waits for its answer or the end: whether it was answered. */
  ask(headers?: Readonly<Record<string, string>>): Promise<boolean>;
}

/** Speaks TLS; its first request is on its way before it can know how the handshake ends. */
function open(t: Test, port: number, options: ConnectionOptions = {}): Client {
  const socket = connect({ port, host: '127.0.0.1', ca: ca.cert, servername: 'localhost', ...options });
  t.teardown(() => socket.destroy());
  let text = '';
  let session: Buffer | undefined;
  let error: string | undefined;
  let over = false;
  let changed = Promise.withResolvers<void>();
  const tell = (): void => {
    changed.resolve();
    changed = Promise.withResolvers();
  };
  const { promise: closed, resolve } = Promise.withResolvers<string | undefined>();
  socket.on('session', (now: Buffer) => (session = now));
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
    tell();
  });
  socket.on('error', (fault: NodeJS.ErrnoException & { reason?: string }) => (error ??= fault.reason ?? fault.message));
  socket.once('close', () => {
    over = true;
    resolve(error);
    tell();
  });
  return {
    socket,
    session: () => session,
    closed,
    async ask(headers = {}) {
      const before = text.length;
      const lines = Object.entries({ host: 'localhost', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
      socket.write(`GET / HTTP/1.1\r\n${lines.join('')}\r\n`);
      while (!over && (!/(?:fine|})$/.test(text) || text.length === before)) await changed.promise;
      return !over;
    },
  };
}

/** Whether a request of a fresh connection is answered. */
async function answers(t: Test, port: number, options: ConnectionOptions = {}): Promise<boolean> {
  const client = open(t, port, options);
  const answered = await client.ask();
  client.socket.destroy();
  return answered;
}

const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const;

void t.test('certificates that are refused, before any request', async (t) => {
  const past = { notBefore: new Date(NOW - 2 * HOUR), notAfter: new Date(NOW - HOUR) };
  const future = { notBefore: new Date(NOW + HOUR), notAfter: new Date(NOW + 2 * HOUR) };
  const names = { uris: [SPIFFE] };
  const cases: readonly [string, ConnectionOptions, string][] = [
    ['expired', showing(await ca.issue({ ...names, ...past })), 'expired_certificate'],
    ['not yet valid', showing(await ca.issue({ ...names, ...future })), 'not_yet_valid_certificate'],
    ['the usage of a server', showing(await ca.issue({ ...names, usage: ['serverAuth'] })), 'wrong_usage_certificate'],
    ['another authority', showing(await other.issue(names)), 'untrusted_certificate'],
    [
      'another authority of the same name',
      showing(await (await makeAuthority('one')).issue()),
      'untrusted_certificate',
    ],
    ['self-signed', showing(await makeSelfSigned(names)), 'untrusted_certificate'],
    ['the intermediate is missing', showing(below), 'untrusted_certificate'],
    ['an authority in place of a leaf', showing(other), 'wrong_usage_certificate'],
  ];
  for (const client of [require, accept]) {
    for (const maxVersion of VERSIONS) {
      const server = await listen(t, settings(client));
      for (const [name, options, reason] of cases) {
        const failure = server.nextFailure();
        t.equal(
          await answers(t, server.port, { ...options, maxVersion }),
          false,
          `${client.auth} ${maxVersion}: ${name}`,
        );
        t.match(await failure, { reason, peer: '127.0.0.1', detail: /^[A-Z_]+$/ });
      }
      t.strictSame([server.requests, server.broken, server.resumed], [[], [], []], 'HTTP saw none of them');
      t.equal(server.failures.length, cases.length);
      t.ok(await answers(t, server.port, { ...showing(web), maxVersion }));
      t.ok(await answers(t, server.port, { ...showing(below, intermediate), maxVersion }));
      t.strictSame(server.requests, [`cert:${web.fingerprint.slice(0, 12)}`, `cert:${below.fingerprint.slice(0, 12)}`]);
    }
  }
});

void t.test('without a certificate', async (t) => {
  for (const maxVersion of VERSIONS) {
    const server = await listen(t, settings(require));
    const failure = server.nextFailure();
    const client = open(t, server.port, { maxVersion });
    t.equal(await client.ask(), false);
    t.match(await client.closed, maxVersion === 'TLSv1.3' ? 'tlsv13 alert certificate required' : /handshake failure/);
    t.match(await failure, { reason: 'no_certificate', peer: '127.0.0.1' });
    t.strictSame(server.requests, [], 'required');

    const open2 = await listen(t, settings(accept));
    t.ok(await answers(t, open2.port, { maxVersion }));
    t.strictSame([open2.requests, open2.failures], [[undefined], []], 'accepted: it goes on without');
    const none = await listen(t, settings());
    t.ok(await answers(t, none.port, { ...showing(web), maxVersion }));
    t.strictSame(none.requests, [undefined], 'not asked for');
  }
});

void t.test('what a certificate says is known of its connection, with what came with it', async (t) => {
  const server = await listen(t, settings(accept));
  const accepted = once(server.server, 'secureConnection') as Promise<[TLSSocket]>;
  const client = open(t, server.port, showing(below, intermediate, ca));
  await client.ask();
  const [socket] = await accepted;
  const { chain, ...certificate } = server.certificateOf(socket) as ClientCertificate;
  t.match(certificate, { uris: [SPIFFE], dnsNames: [], clientAuth: true, verifiedBy: ca.cert });
  const came = [below, intermediate, ca].map((one) => one.fingerprint);
  // Some releases of Node have the first alone (nodejs/node#65579).
  t.ok([1, came.length].includes(chain.length));
  t.strictSame(
    chain.map(({ fingerprint256 }) => fingerprint256.replaceAll(':', '').toLowerCase()),
    came.slice(0, chain.length),
  );
  const closed = once(socket, 'close');
  client.socket.destroy();
  await closed;
  t.equal(server.certificateOf(socket), undefined, 'and forgotten with it');
});

void t.test('an authority that is none trusts nobody, and not the public ones', async (t) => {
  for (const text of ['', 'no certificate', '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n']) {
    const server = await listen(t, settings({ ca: text, auth: 'require' }));
    const accepted: unknown[] | undefined = (server.server as unknown as { ca?: unknown[] }).ca;
    t.strictSame(accepted, [text], 'Node takes a missing text for its own authorities');
    t.equal(await answers(t, server.port, showing(web)), false);
    t.strictSame(server.requests, []);
  }
});

void t.test('versions and protocols', async (t) => {
  const old = { ciphers: 'DEFAULT@SECLEVEL=0' };
  const cases: readonly [string, ListenTls['minVersion'], ConnectionOptions, string | undefined][] = [
    ['TLS 1.0', 'TLSv1.2', { ...old, minVersion: 'TLSv1', maxVersion: 'TLSv1' }, 'protocol_version'],
    ['TLS 1.1', 'TLSv1.2', { ...old, minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1' }, 'protocol_version'],
    ['TLS 1.2 where 1.3 is the least', 'TLSv1.3', { maxVersion: 'TLSv1.2' }, 'protocol_version'],
    ['TLS 1.2', 'TLSv1.2', { maxVersion: 'TLSv1.2' }, undefined],
    ['TLS 1.3', 'TLSv1.3', {}, undefined],
    ['no cipher in common', 'TLSv1.2', { maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA' }, 'cipher'],
    ['h2 alone', 'TLSv1.2', { ALPNProtocols: ['h2'] }, 'alpn'],
    ['an unknown protocol', 'TLSv1.2', { ALPNProtocols: ['x'.repeat(255)] }, 'alpn'],
    ['h2 and http/1.1', 'TLSv1.2', { ALPNProtocols: ['h2', 'http/1.1'] }, undefined],
    ['http/1.1', 'TLSv1.2', { ALPNProtocols: ['http/1.1'] }, undefined],
  ];
  for (const [name, minVersion, options, reason] of cases) {
    const server = await listen(t, settings(undefined, { minVersion }));
    t.equal(await answers(t, server.port, options), reason === undefined, name);
    t.strictSame(
      server.failures.map((one) => [one.reason, one.peer]),
      reason === undefined ? [] : [[reason, '127.0.0.1']],
      name,
    );
    t.equal(server.requests.length, reason === undefined ? 1 : 0, name);
  }
});

// Node CVE-2026-21637: faults in what looks at the names ended the process.
void t.test('the server name changes nothing', async (t) => {
  const server = await listen(t, settings(require));
  const checkServerIdentity = (): undefined => undefined;
  for (const servername of ['', 'LOCALHOST', 'localhost.', 'a'.repeat(255), '\u00ff../\\\u0001', '*', '127.0.0.1x']) {
    t.equal(await answers(t, server.port, { servername, checkServerIdentity }), false, `${servername}: none shown`);
    t.ok(await answers(t, server.port, { servername, checkServerIdentity, ...showing(web) }), servername);
  }
  t.equal(server.requests.length, 7);
});

void t.test('what is no TLS', async (t) => {
  const handshakeTimeout = 100;
  const server = await listen(t, settings(), { handshakeTimeout });
  const hello = '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03';
  const cases: readonly [string, string, string][] = [
    ['zeros', '\0'.repeat(64), 'not_tls'],
    ['a line of another proxy', 'PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n', 'not_tls'],
    ['SSH', 'SSH-2.0-x\r\n', 'not_tls'],
    ['half a hello', hello, 'timeout'],
    ['nothing', '', 'timeout'],
    ['a hello of garbage', `\x16\x03\x01\x00\x20${'\xff'.repeat(32)}`, 'other'],
  ];
  for (const [name, bytes, reason] of cases) {
    const failure = server.nextFailure();
    const { text, closed } = await sendRaw(server.port, bytes);
    t.notMatch(text, /HTTP|html|{/, name);
    t.ok(closed, name);
    t.match(await failure, { reason, peer: '127.0.0.1' }, name);
  }
  const failure = server.nextFailure();
  const raw = await openRaw(t, server.port);
  raw.socket.end();
  t.match(await failure, { reason: 'closed', peer: '127.0.0.1' });

  const dripping = server.nextFailure();
  const slow = await openRaw(t, server.port);
  const started = performance.now();
  const drip = setInterval(() => slow.send('a'), 20);
  slow.send(hello);
  t.match(await dripping, { reason: 'timeout' }, 'the limit is for the whole, not for a silence');
  clearInterval(drip);
  t.ok(performance.now() - started < 10 * handshakeTimeout);
  await slow.closed();
  t.strictSame([server.requests, server.broken], [[], []]);
});

void t.test('plain HTTP is told so, in clear', async (t) => {
  const server = await listen(t, settings(require));
  for (const bytes of [
    'GET / HTTP/1.1\r\nhost: localhost\r\n\r\n',
    'POST /v1/responses HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n' + 'x'.repeat(100_000),
    'OPTIONS * HTTP/1.1\r\n\r\n',
    'CONNECT a:1 HTTP/1.1\r\n\r\n',
  ]) {
    const { responses, closed, text } = await sendRaw(server.port, bytes);
    t.equal(responses.length, 1, JSON.stringify(text));
    t.match(responses[0], { status: 400, complete: true, headers: { 'x-request-id': 'the-id', connection: 'close' } });
    t.match(JSON.parse(responses[0]?.body ?? ''), {
      error: { code: 'bad_request', message: 'This port speaks TLS: use https.', param: null },
    });
    t.ok(closed);
  }
  t.equal(server.failures.length, 4);
  for (const failure of server.failures) t.match(failure, { reason: 'plain_http', peer: '127.0.0.1', id: 'the-id' });
  t.strictSame([server.requests, server.broken], [[], []]);
  t.ok(await answers(t, server.port, showing(web)), 'and the next one is served');
});

void t.test('many handshakes that never end keep nobody out, and end', async (t) => {
  const server = await listen(t, settings(), { handshakeTimeout: 1_000 });
  const sockets = await Promise.all(Array.from({ length: 200 }, () => openRaw(t, server.port)));
  for (const one of sockets) one.send('\x16\x03\x01\x02\x00\x01');
  t.ok(await answers(t, server.port));
  t.equal(server.failures.length, 0, 'while they were all waiting');
  await Promise.all(sockets.map((one) => one.closed()));
  t.equal(server.failures.length, 200);
  t.ok(server.failures.every(({ reason }) => reason === 'timeout'));
  t.equal(server.requests.length, 1);
});

void t.test('a client cannot have the handshake again', async (t) => {
  const server = await listen(t, settings(accept));
  const client = open(t, server.port, { maxVersion: 'TLSv1.2' });
  t.ok(await client.ask());
  const fault = new Promise((resolve) => client.socket.once('error', resolve));
  client.socket.renegotiate({}, () => t.fail('it was had'));
  t.match(await fault, { code: 'ERR_SSL_NO_RENEGOTIATION' });
  t.strictSame([server.requests.length, server.resumed], [1, [false]]);
});

void t.test('sessions', async (t) => {
  for (const maxVersion of VERSIONS) {
    let now = Date.now();
    const server = await listen(t, settings(accept), { now: () => now });
    const first = async (options: ConnectionOptions): Promise<Buffer> => {
      const client = open(t, server.port, { ...options, maxVersion });
      t.ok(await client.ask());
      client.socket.destroy();
      return client.session() as Buffer;
    };
    const resume = (session: Buffer, options: ConnectionOptions = {}): Promise<boolean> =>
      answers(t, server.port, { session, maxVersion, ...options });
    const id = `cert:${below.fingerprint.slice(0, 12)}`;
    const session = await first(showing(below, intermediate));
    const nobody = await first({});
    t.ok(await resume(session), 'resumed');
    t.ok(await resume(nobody));
    t.strictSame(server.resumed, [false, false, true, true], maxVersion);
    t.strictSame(server.requests, [id, undefined, id, undefined], 'a session keeps its certificate');

    server.apply({ ...settings(accept), recheck: 1 });
    server.apply(settings({ ca: other.cert, auth: 'accept' }));
    t.equal(await resume(session, showing(below, intermediate)), false, 'another authority: verified anew');
    t.match(server.failures, [{ reason: 'untrusted_certificate' }]);
    t.ok(await resume(nobody));
    t.equal(server.resumed.at(-1), false, 'in a whole handshake');
    server.apply(settings({ ca: other.cert, auth: 'require' }));
    t.equal(await resume(session), false, 'and to show nothing is no way around it');
    t.equal(await resume(nobody), false);
    t.match(server.failures.slice(1), [{ reason: 'no_certificate' }, { reason: 'no_certificate' }]);

    server.apply(settings(require));
    const again = await first(showing(below, intermediate));
    t.ok(await resume(again));
    now = new X509Certificate(below.cert).validToDate.getTime();
    t.equal(await resume(again), false, 'it ended since');
    t.match(server.failures.at(-1), { reason: 'expired_certificate', detail: id });
    now -= 1;
    t.ok(await resume(again), 'a millisecond before');
    now = new X509Certificate(below.cert).validFromDate.getTime() - 1;
    t.equal(await resume(again), false, 'the clock was set back');
    t.match(server.failures.at(-1), { reason: 'not_yet_valid_certificate', detail: id });
  }
});

void t.test('the same settings again leave sessions as they are', async (t) => {
  const server = await listen(t, settings(accept));
  const client = open(t, server.port);
  await client.ask();
  server.apply(settings(accept));
  t.ok(await answers(t, server.port, { session: client.session() }));
  t.strictSame(server.resumed, [false, true]);
  t.throws(() => server.apply(settings(accept, { key: 'none' })));
  t.ok(await answers(t, server.port, { session: client.session() }), 'nor do such as OpenSSL refuses');
});

void t.test('a session is resumed for an hour at most after its authority was last looked at', async (t) => {
  let now = NOW;
  const server = await listen(t, settings(accept), { now: () => now });
  const client = open(t, server.port, showing(web));
  await client.ask();
  now += HOUR - 1;
  server.recheck(() => false);
  const again = open(t, server.port, { ...showing(web), session: client.session() });
  t.ok(await again.ask());
  now += 1;
  server.recheck(() => false);
  t.ok(await answers(t, server.port, { ...showing(web), session: again.session() }));
  t.strictSame(server.resumed, [false, true, false]);
});

void t.test('another pair, for the connections to come', async (t) => {
  const server = await listen(t, settings());
  const client = open(t, server.port);
  t.ok(await client.ask());
  const fresh = await other.issue({ dns: ['localhost'] });
  server.apply(settings(undefined, { ...fresh, minVersion: 'TLSv1.3' }));
  t.ok(await client.ask(), 'the old one goes on');
  t.equal(await answers(t, server.port), false);
  t.ok(await answers(t, server.port, { ca: other.cert }));
  t.equal(await answers(t, server.port, { ca: other.cert, maxVersion: 'TLSv1.2' }), false);
  t.equal(server.failures.at(-1)?.reason, 'protocol_version');
});

void t.test('certificates asked for from now on, and no more', async (t) => {
  const server = await listen(t, settings());
  server.apply(settings(accept));
  t.ok(await answers(t, server.port, showing(web)));
  t.equal(await answers(t, server.port, showing(await other.issue())), false);
  server.apply(settings(require));
  const alerted = open(t, server.port);
  await alerted.ask();
  t.equal(await alerted.closed, 'tlsv13 alert certificate required', 'the client is told');
  server.apply(settings());
  t.ok(await answers(t, server.port, showing(web)));
  t.strictSame(server.requests, [`cert:${web.fingerprint.slice(0, 12)}`, undefined]);
});

void t.test('a handshake that began under another authority', async (t) => {
  const server = await listen(t, settings({ ca: `${other.cert}${ca.cert}`, auth: 'accept' }));
  /** A connection that is there, and has not begun to speak. */
  const early = async (options: ConnectionOptions): Promise<() => Client> => {
    const taken = once(server.server, 'connection');
    const socket = connectTcp(server.port, '127.0.0.1');
    await Promise.all([taken, once(socket, 'connect')]);
    return () => open(t, server.port, { ...options, socket });
  };
  const [good, bad, nobody] = [await early(showing(web)), await early(showing(await other.issue())), await early({})];
  const verifiedBy: (string | undefined)[] = [];
  server.server.on('secureConnection', (socket) => verifiedBy.push(server.certificateOf(socket)?.verifiedBy));
  server.apply(settings(require));
  t.ok(await good().ask(), 'trusted by this one as well');
  t.ok(await answers(t, server.port, showing(below, intermediate)), 'one that began later');
  t.strictSame(verifiedBy, [`${other.cert}${ca.cert}`, ca.cert]);
  t.equal(await bad().ask(), false, 'OpenSSL has taken it');
  t.equal(await nobody().ask(), false);
  t.match(server.failures, [{ reason: 'untrusted_certificate' }, { reason: 'no_certificate' }]);
  t.equal(server.requests.length, 2);
});

// OpenSSL verifies all of a chain before Node can refuse it: two handshakes of 100 KB a second stopped the shim.
void t.test('a network whose failed handshakes cost too much is shut out for a while', async (t) => {
  let now = 0;
  let shut = 0;
  const costs = createHandshakeCosts(() => now);
  for (const client of [require, accept]) {
    const server = await listen(t, settings(client), { costs, shutOut: () => shut++ });
    const stranger = await other.issue();
    const long = showing(stranger, ...Array<Pair>(90).fill(intermediate));
    const good = open(t, server.port, showing(web));
    t.ok(await good.ask());
    for (let i = 0; i < 40; i++) await answers(t, server.port, showing(stranger));
    t.ok(await answers(t, server.port, showing(web)), 'what is refused at little cost shuts nobody out');
    server.failures.length = 0;
    const early = await openRaw(t, server.port);
    for (let i = 0; i < 10 && server.failures.at(-1)?.shutsOut === undefined; i++) await answers(t, server.port, long);
    t.match(server.failures.at(-1), { reason: 'untrusted_certificate', peer: '127.0.0.1', shutsOut: 60 });
    const told = server.failures.length;
    t.ok(told >= 3 && told <= 6, `after ${told}`);
    await early.closed(2_000);
    t.equal(shut, 1, 'a handshake under way ends as well');
    t.notOk(await answers(t, server.port, showing(web)), 'no new connection');
    t.notOk(await answers(t, server.port, long));
    t.equal(shut, 3);
    t.equal(server.failures.length, told, 'told once');
    t.ok(await good.ask(), 'open ones go on');
    const elsewhere = connectTcp({ port: server.port, host: '127.0.0.1', localAddress: '127.0.0.2' });
    t.ok(await answers(t, server.port, { ...showing(web), socket: elsewhere }), 'and other networks are let in');
    now += 60_000;
    t.ok(await answers(t, server.port, showing(web)), 'after a minute');
    shut = 0;
  }
});

void t.test('a request behind a handshake without a certificate costs nothing', async (t) => {
  const sent: number[] = [];
  const costs = { failed: (_peer: string | undefined, bytes: number) => void sent.push(bytes), shut: () => false };
  const server = await listen(t, settings(require), { costs });
  const socket = connect({ port: server.port, host: '127.0.0.1', ca: ca.cert, servername: 'localhost' });
  socket.on('error', () => undefined);
  socket.write(`POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9000\r\n\r\n${'x'.repeat(9_000)}`);
  await new Promise((resolve) => socket.once('close', resolve));
  t.strictSame(sent, [0]);
});

void t.test('open connections are looked at again', async (t) => {
  let now = NOW;
  const server = await listen(t, settings(accept), { now: () => now });
  const busy = new Set<number | undefined>();
  const look = (): void => server.recheck((socket) => busy.has((socket as Socket).remotePort));
  const open3 = async (options: ConnectionOptions): Promise<Client> => {
    const client = open(t, server.port, options);
    t.ok(await client.ask());
    return client;
  };
  const nobody = await open3({});
  const idle = await open3(showing(web));
  const asking = await open3(showing(web));
  const second = await ca.issue({ notAfter: new Date(NOW + 2 * HOUR) });
  look();
  server.apply(settings({ ca: `${other.cert}${ca.cert}`, auth: 'accept' }));
  look();
  t.ok((await idle.ask()) && (await asking.ask()) && (await nobody.ask()), 'one more authority ends nothing');
  const short = await open3(showing(second));

  now = NOW + 3 * HOUR;
  look();
  await short.closed;
  t.ok(await idle.ask(), 'a certificate that ended takes its own connection');

  busy.add(asking.socket.localPort);
  server.apply(settings({ ca: other.cert, auth: 'accept' }));
  look();
  await idle.closed;
  t.ok(await asking.ask(), 'one with an open request stays for once');
  server.apply(settings(accept));
  look();
  server.apply(settings({ ca: other.cert, auth: 'accept' }));
  look();
  t.ok(await asking.ask(), 'also where it was trusted in between');
  look();
  await asking.closed;

  t.ok(await nobody.ask());
  server.apply(settings({ ca: other.cert, auth: 'require' }));
  look();
  await nobody.closed;
});

void t.test('of the listener', async (t) => {
  const socketsSeen: Duplex[] = [];
  const ends: [Duplex, Refusal | undefined][] = [];
  const { promise: broke, resolve: tellBroken } = Promise.withResolvers<void>();
  const listener = createListener({
    proxy: {
      handle: (_req: unknown, res: ServerResponse) => res.end('fine'),
      busy: () => false,
      broken(socket: Duplex, refusal: Refusal | undefined) {
        ends.push([socket, refusal]);
        socket.destroy();
        tellBroken();
      },
    } as Partial<HttpProxy> as HttpProxy,
    sockets: {
      upgrade(_req: unknown, socket: Socket) {
        socketsSeen.push(socket);
        socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\nfine');
      },
    } as Partial<SocketProxy> as SocketProxy,
    headerBytes: 16_384,
    connections: 10,
    tls: {
      tls: settings(accept),
      done: () => undefined,
      failed: () => undefined,
      shutOut: () => undefined,
      randomId: () => 'the-id',
      now: Date.now,
    },
  });
  listener.server.listen(0, '127.0.0.1');
  await once(listener.server, 'listening');
  t.teardown(() => {
    listener.server.close();
    listener.server.closeAllConnections();
  });
  const { port } = listener.server.address() as AddressInfo;

  await t.test('a WebSocket is busy', async (t) => {
    const client = open(t, port, showing(web));
    t.ok(await client.ask({ connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' }));
    t.equal(socketsSeen.length, 1);
    listener.apply(settings({ ca: other.cert, auth: 'accept' }));
    listener.recheck();
    t.notOk(socketsSeen[0]?.destroyed, 'its end is told first');
    listener.recheck();
    t.ok(socketsSeen[0]?.destroyed);
    await client.closed;
    listener.apply(undefined);
  });

  await t.test('a fault of TLS behind the handshake is not answered in HTTP', async (t) => {
    const socket = connectTcp(port, '127.0.0.1');
    const client = open(t, port, { socket });
    t.ok(await client.ask());
    socket.write('GET / HTTP/1.1\r\n\r\n');
    await broke;
    t.match(
      ends.map(([, refusal]) => refusal),
      [undefined],
    );
    await client.closed;
  });
});

const TOKEN = 'caller-token-0123456789-abcdef' as RawToken;

/** The answer to it keeps the connection, also on a route that is not there. */
const BEARER = { authorization: `Bearer ${TOKEN}` };

/** A shim with TLS before a stand-in gateway. */
async function startWithTls(t: Test, listenMore: Partial<Config['listen']>, options: ShimOptions = {}) {
  const gateway = await startGateway({ auth: { mode: 'token', token: 'gateway-secret' } });
  t.teardown(() => gateway.close());
  const hash = hashToken(TOKEN);
  const caller = { name: 'web', tokens: [{ hash, id: hash.slice(0, 12) }], allowHeaders: [] };
  const base = testConfig({
    callers: [{ ...caller, scopes: ['operator.read'], onForbiddenHeader: 'drop' }],
    listen: { tls: settings(accept), ...listenMore },
  });
  const config: Config = {
    ...base,
    gateway: { ...base.gateway, origin: gateway.url },
    admin: {
      address: { host: '127.0.0.1', port: 0 },
      hosts: new Set(['127.0.0.1']),
      unsafeListenPlaintext: false,
    },
    certificates: [{ key: 'listen.tls.cert', notAfter: NOW + 20 * DAY }],
  };
  const lines: Record<string, unknown>[] = [];
  const logger = pino({ base: undefined }, { write: (text: string) => void lines.push(JSON.parse(text) as never) });
  const usage = () => ({
    cpu: { user: 0, system: 0 },
    memory: { rss: 0, heapTotal: 0, heapUsed: 0, external: 0, arrayBuffers: 0 },
  });
  const umask = (mask: number): number => process.umask(mask);
  const program = { version: '1.2.3', node: '24.21.0', env: {}, usage, umask, now: Date.now };
  const shim = await startShim(config, requestLog(logger), { program, ...options });
  t.teardown(() => shim.stop());
  return { shim, config, lines };
}

async function askShim(t: Test, to: ConnectionOptions & { readonly path?: string }): Promise<string> {
  const socket = connect({ host: '127.0.0.1', ca: ca.cert, servername: 'localhost', ...to });
  t.teardown(() => socket.destroy());
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  socket.on('error', () => undefined);
  socket.write(
    `GET /v1/models HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${TOKEN}\r\nconnection: close\r\n\r\n`,
  );
  await once(socket, 'close');
  return text;
}

void t.test('a shim that speaks TLS', async (t) => {
  const { shim, config, lines } = await startWithTls(t, {}, { handshakeTimeout: 100 });
  t.match(shim.url, /^https:\/\/127\.0\.0\.1:\d+$/);
  const port = Number(new URL(shim.url).port);
  t.match(await askShim(t, { port }), /^HTTP\/1\.1 200 /);
  t.match(await askShim(t, { port, ...showing(web) }), /^HTTP\/1\.1 200 /);
  t.equal(await askShim(t, { port, ...showing(await other.issue()) }), '');
  const { responses } = await sendRaw(port, 'GET / HTTP/1.1\r\n\r\n');
  await sendRaw(port, '\x16');
  const failed = lines.filter(({ msg }) => msg === 'tls handshake failed');
  t.match(failed, [
    { level: 30, reason: 'untrusted_certificate', detail: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', peer: '127.0.0.1' },
    { level: 30, reason: 'plain_http', peer: '127.0.0.1', id: responses[0]?.headers['x-request-id'] },
    { level: 30, reason: 'timeout', peer: '127.0.0.1' },
  ]);
  t.equal(lines.filter(({ msg }) => msg === 'request').length, 2, 'and no request of theirs');

  const metrics = parseExposition(await (await fetch(`${shim.adminUrl}/metrics`)).text());
  const read = (name: string): unknown =>
    Object.fromEntries(
      (metrics.get(`auth_shim_${name}`)?.samples ?? [])
        .filter(({ value }) => value !== 0)
        .map(({ labels, value }) => [Object.values(labels).join(), value]),
    );
  t.strictSame(read('tls_handshakes_total'), { false: 2 });
  t.strictSame(read('tls_handshake_failures_total'), { untrusted_certificate: 1, plain_http: 1, timeout: 1 });
  t.strictSame(read('certificate_expiration_timestamp_seconds'), { 'listen.tls.cert': (NOW + 20 * DAY) / 1000 });

  const refused = { ...config, listen: { ...config.listen, tls: settings(accept, { key: 'none' }) } };
  await t.rejects(shim.apply(refused));
  t.equal(shim.config(), config, 'what OpenSSL refuses does not run: a later reload must not keep it');

  const held = open(t, port, showing(web));
  t.ok(await held.ask(BEARER));
  const next = { ...config, listen: { ...config.listen, tls: settings({ ca: other.cert, auth: 'require' }) } };
  await shim.apply(next);
  await held.closed;
  t.equal(await askShim(t, { port, ...showing(web) }), '', 'the new authority counts');
  t.match(await askShim(t, { port, ...showing(await other.issue()) }), /^HTTP\/1\.1 \d/);

  const { tls: _tls, ...plain } = config.listen;
  t.strictSame(await shim.apply({ ...config, listen: plain }), ['listen.tls']);
  t.match(await askShim(t, { port, ...showing(await other.issue()) }), /^HTTP\/1\.1 200 /, 'until the next start');
});

void t.test('without another word, connections are looked at as often as configured', async (t) => {
  let now = NOW;
  const { shim } = await startWithTls(t, { tls: settings(accept, { recheck: 1 }) }, { now: () => now });
  const client = open(t, Number(new URL(shim.url).port), showing(web));
  t.ok(await client.ask(BEARER));
  now += 2 * DAY;
  await client.closed;
});

void t.test('its end does not wait for handshakes', async (t) => {
  const { shim } = await startWithTls(t, {});
  const port = Number(new URL(shim.url).port);
  const answered = open(t, port, showing(web));
  t.ok(await answered.ask(BEARER));
  const raw = await openRaw(t, port);
  await answers(t, port);
  const stopped = shim.stop();
  await Promise.all([raw.closed(2_000), answered.closed, stopped]);
});

void t.test('on a unix socket, with the mode that is configured', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'auth-shim-'));
  t.teardown(() => rm(folder, { recursive: true }));
  for (const mode of [0o600, 0o666]) {
    const path = join(folder, `${mode}.sock`);
    await startWithTls(t, { address: { socket: path, mode } });
    t.equal((await stat(path)).mode & 0o777, mode);
    t.match(await askShim(t, { path }), /^HTTP\/1\.1 200 /);
  }
});

void t.test('certificates that end soon are told once a day', async (t) => {
  const told: unknown[] = [];
  let now = 0;
  const watch = createExpiryWatch({ warn: (...words: unknown[]) => void told.push(words) }, () => now);
  const notAfter = Date.UTC(2026, 11, 31, 12);
  const certificates = [
    { key: 'listen.tls.cert', notAfter },
    { key: 'gateway.tls.cert', notAfter: notAfter + 100 * DAY },
  ];
  const start = notAfter - 14 * DAY - 1;
  now = start;
  watch.loaded(certificates);
  watch.look(certificates);
  t.strictSame(told, []);
  const words = [{ path: 'listen.tls.cert' }, 'the certificate expires at 2026-12-31 12:00 UTC'];
  for (let hour = 0; hour < 48; hour++) {
    now = start + 1 + hour * HOUR;
    watch.look(certificates);
  }
  t.strictSame(told, [words, words]);
  now = notAfter - HOUR;
  watch.loaded(certificates);
  now = notAfter - 1;
  watch.look(certificates);
  t.equal(told.length, 2, 'the warnings of the configuration have told it');
  t.equal(watch.detail(certificates), undefined);
  now = notAfter;
  watch.look(certificates);
  watch.look(certificates);
  t.equal(watch.detail(certificates), 'expired: listen.tls.cert');
  t.equal(told.length, 3, 'the end is told when it comes');
  t.strictSame(told[2], [{ path: 'listen.tls.cert' }, 'the certificate has expired at 2026-12-31 12:00 UTC']);
});
