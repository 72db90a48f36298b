import { randomBytes } from 'node:crypto';
import { createServer, type Server as TlsServer, type TlsOptions, type TLSSocket } from 'node:tls';
import { once } from 'node:events';
import { createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import type { GatewayTls } from '../../src/config/config.ts';
import { createConnect, type Connect, type GatewayTarget } from '../../src/gateway/connection.ts';
import { dial } from '../../src/gateway/dial.ts';
import { createGatewayPool } from '../../src/gateway/pool.ts';
import { makeAuthority, makeSelfSigned, type LeafOptions, type Pair } from '../helpers/certificates.ts';

const ca = await makeAuthority();
const other = await makeAuthority('another CA');
const client = await ca.issue({ uris: ['spiffe://cluster/shim'], usage: ['clientAuth'] });
const HERE = { dns: ['localhost'], ips: ['127.0.0.1'], usage: ['serverAuth'] } as const satisfies LeafOptions;
const ID = 'spiffe://cluster/gateway';

/** A TLS server, and what reached it behind its handshakes. */
interface Gateway {
  readonly origin: string;
  readonly port: number;
  readonly server: TlsServer;
  readonly sockets: readonly TLSSocket[];
  /** Whether each resumed a session. */
  readonly resumed: readonly boolean[];
  /** Every byte of all connections. */
  readonly text: string;
}

async function gateway(t: Test, pair: Pair, options: TlsOptions = {}, port = 0): Promise<Gateway> {
  const sockets: TLSSocket[] = [];
  const resumed: boolean[] = [];
  let text = '';
  const server = createServer({ cert: pair.cert, key: pair.key, ...options }, (socket) => {
    sockets.push(socket);
    resumed.push(socket.isSessionReused());
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      socket.write('x');
    });
  });
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port: taken } = server.address() as AddressInfo;
  return {
    origin: `https://127.0.0.1:${taken}`,
    port: taken,
    server,
    sockets,
    resumed,
    get text() {
      return text;
    },
  };
}

interface Opened {
  readonly error?: Error & { readonly code?: string };
  readonly socket?: TLSSocket;
}

/** Opens one, and sends bytes where it may. */
async function open(t: Test, connect: Connect): Promise<Opened> {
  const { error, socket } = await new Promise<{ error: Error | null; socket: Socket | null }>((resolve) =>
    connect((error, socket) => resolve({ error, socket })),
  );
  if (error) return { error };
  socket?.on('error', () => undefined);
  t.teardown(() => socket?.destroy());
  socket?.write('GET / HTTP/1.1\r\n\r\n');
  return { socket: socket as TLSSocket };
}

const to = (origin: string, tls: GatewayTls | undefined, more: Partial<GatewayTarget> = {}): Connect =>
  createConnect({ origin, tls, ...more });

/** The first bytes of the connection have arrived, and its ticket has come back. */
async function used(socket: TLSSocket): Promise<void> {
  await once(socket, 'data');
}

const pin = (pair: Pair): string => pair.fingerprint;
const past = new Date(Date.now() - 60_000);
const soon = new Date(Date.now() + 3_600_000);
const halfAnHour = new Date(Date.now() + 1_800_000);

interface Case {
  readonly name: string;
  readonly server?: () => Promise<Pair>;
  readonly tls?: (pair: Pair) => GatewayTls | undefined;
  readonly options?: TlsOptions;
  /** Nothing where it is taken. */
  readonly error?: { readonly code: string; readonly message?: RegExp };
}

const leaf = (options: LeafOptions) => (): Promise<Pair> => ca.issue({ ...HERE, ...options });
const trusting = (): GatewayTls => ({ ca: ca.cert });
const cert = (message: RegExp): NonNullable<Case['error']> => ({ code: 'HOP_CERTIFICATE', message });

const CASES: readonly Case[] = [
  { name: 'an address of the certificate' },
  {
    name: 'a server that wants a client certificate',
    tls: () => ({ ca: ca.cert, cert: client.cert, key: client.key }),
    options: { ca: ca.cert, requestCert: true, rejectUnauthorized: true },
  },
  { name: 'serverName, in place of the host', server: leaf({ ips: [], dns: ['gateway.test'] }), tls: () => ({ ca: ca.cert, serverName: 'gateway.test' }) }, // prettier-ignore
  { name: 'a SPIFFE id', server: leaf({ ips: [], dns: [], uris: [ID] }), tls: () => ({ ca: ca.cert, serverName: ID }) },
  { name: 'a pin beside an authority', tls: (pair) => ({ ca: ca.cert, fingerprint: pin(pair) }) },
  { name: 'a pin alone, of a certificate that signs itself and has another name', server: () => makeSelfSigned({ name: 'openclaw' }), tls: (pair) => ({ fingerprint: pin(pair) }) }, // prettier-ignore
  {
    name: 'an intermediate that is shown',
    server: async () => {
      const middle = await ca.intermediate('middle');
      const pair = await middle.issue(HERE);
      return { ...pair, cert: pair.cert + middle.cert };
    },
  },

  { name: 'another authority', server: () => other.issue(HERE), error: { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' } },
  { name: 'an authority of nobody: the system has none', tls: () => undefined, error: { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' } }, // prettier-ignore
  { name: 'it signs itself', server: () => makeSelfSigned(HERE), error: { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' } },
  { name: 'expired', server: leaf({ notAfter: past }), error: { code: 'CERT_HAS_EXPIRED' } },
  { name: 'not valid yet', server: leaf({ notBefore: soon }), error: { code: 'CERT_NOT_YET_VALID' } },
  { name: 'for clients alone', server: leaf({ usage: ['clientAuth'] }), error: { code: 'INVALID_PURPOSE' } },
  { name: 'for another host', server: leaf({ ips: ['127.0.0.2'] }), error: cert(/is not for 127\.0\.0\.1, but .*127\.0\.0\.2/) }, // prettier-ignore
  { name: 'a name that its subject alone has', server: leaf({ name: 'gateway.test', ips: [], dns: [] }), tls: () => ({ ca: ca.cert, serverName: 'gateway.test' }), error: cert(/is not for gateway\.test, but no name \(gateway\.tls\.fingerprint/) }, // prettier-ignore
  { name: 'the host, where another serverName is wanted', tls: () => ({ ca: ca.cert, serverName: 'gateway.test' }), error: cert(/is not for gateway\.test/) }, // prettier-ignore
  { name: 'another SPIFFE id', server: leaf({ uris: [`${ID}2`] }), tls: () => ({ ca: ca.cert, serverName: ID }), error: cert(/is not for spiffe:/) }, // prettier-ignore
  { name: 'two SPIFFE ids', server: leaf({ uris: [ID, `${ID}2`] }), tls: () => ({ ca: ca.cert, serverName: ID }), error: cert(/alone/) }, // prettier-ignore
  { name: 'a name that looks like a SPIFFE id behind another', server: leaf({ uris: [`https://x/, URI:${ID}`] }), tls: () => ({ ca: ca.cert, serverName: ID }), error: cert(/is not for spiffe:/) }, // prettier-ignore
  { name: 'the id as a DNS name', server: leaf({ dns: [ID] }), tls: () => ({ ca: ca.cert, serverName: ID }), error: cert(/is not for spiffe:/) }, // prettier-ignore
  { name: 'another pin', tls: () => ({ fingerprint: client.fingerprint }), error: cert(/is not the one of the pin, but sha256:/) }, // prettier-ignore
  { name: 'another pin beside the right authority', tls: () => ({ ca: ca.cert, fingerprint: client.fingerprint }), error: cert(/pin/) }, // prettier-ignore
  { name: 'the right pin beside another authority', tls: (pair) => ({ ca: other.cert, fingerprint: pin(pair) }), error: { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' } }, // prettier-ignore
  { name: 'the right pin, expired', server: leaf({ notAfter: past }), tls: (pair) => ({ fingerprint: pin(pair) }), error: cert(/is not valid after/) }, // prettier-ignore
  { name: 'the right pin, not valid yet', server: leaf({ notBefore: soon }), tls: (pair) => ({ fingerprint: pin(pair) }), error: cert(/is not valid before/) }, // prettier-ignore
  { name: 'the right pin, for another host than an authority has it', server: leaf({ ips: ['127.0.0.2'] }), tls: (pair) => ({ ca: ca.cert, fingerprint: pin(pair) }), error: cert(/is not for 127/) }, // prettier-ignore
  { name: 'TLS 1.1', options: { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }, error: { code: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION' } }, // prettier-ignore
];

for (const { name, server = leaf({}), tls = trusting, options = {}, error } of CASES) {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    if (options.maxVersion !== undefined && maxVersion === 'TLSv1.2') continue;
    void t.test(`${error ? 'refused' : 'taken'}: ${name} (${options.maxVersion ?? maxVersion})`, async (t) => {
      const pair = await server();
      const there = await gateway(t, pair, { maxVersion, ...options });
      const opened = await open(t, to(there.origin, tls(pair)));
      if (error) {
        t.match(opened.error, error);
        for (const socket of there.sockets) if (!socket.destroyed) await new Promise((r) => socket.once('close', r));
        t.equal(there.text, '', 'nothing was written');
      } else {
        t.equal(opened.error, undefined);
        await used(opened.socket as TLSSocket);
        t.equal(there.text, 'GET / HTTP/1.1\r\n\r\n');
        t.equal(there.sockets.length, 1);
      }
    });
  }
}

for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
  void t.test(`a session is resumed, and looked at as closely as the first (${maxVersion})`, async (t) => {
    const ticketKeys = randomBytes(48);
    const first = await gateway(t, await ca.issue(HERE), { ticketKeys, maxVersion });
    const connect = to(first.origin, { ca: ca.cert });
    for (const reused of [false, true, true]) {
      const { socket } = await open(t, connect);
      t.equal(socket?.isSessionReused(), reused);
      await used(socket as TLSSocket);
    }
    const hour = 3_600_000;
    let now = Date.now();
    const aging = to(first.origin, { ca: ca.cert }, { now: () => now });
    for (const [later, reused] of [
      [0, false],
      [hour - 1, true],
      [1, false],
    ] as const) {
      now += later;
      const { socket } = await open(t, aging);
      t.equal(socket?.isSessionReused(), reused, 'the chain is looked at every hour');
      await used(socket as TLSSocket);
    }
    const strange = to(first.origin, { ca: ca.cert });
    t.equal((await open(t, strange)).socket?.isSessionReused(), false, 'another way has sessions of its own');

    // The same tickets at the same place, and a certificate for somebody else: it is that of the session which counts.
    const byName = to(first.origin, { ca: ca.cert, serverName: 'gateway.test' });
    t.match((await open(t, byName)).error, { code: 'HOP_CERTIFICATE' });
    t.match((await open(t, byName)).error, { code: 'HOP_CERTIFICATE' }, 'nothing is kept of what was refused');
    t.equal(first.resumed.filter(Boolean).length, 3);
  });

  void t.test(`a resumed session whose certificate has expired meanwhile (${maxVersion})`, async (t) => {
    const there = await gateway(t, await ca.issue({ ...HERE, notAfter: halfAnHour }), { maxVersion });
    let now = Date.now();
    const connect = to(there.origin, { ca: ca.cert }, { now: () => now });
    const { socket } = await open(t, connect);
    await used(socket as TLSSocket);
    now += 40 * 60_000;
    const later = await open(t, connect);
    t.match(later.error, { code: 'HOP_CERTIFICATE', message: /is not valid after/ });
    now -= 40 * 60_000;
    const { socket: fresh } = await open(t, connect);
    t.equal(fresh?.isSessionReused(), false, 'not again what was refused: the server may have another by then');
  });
}

void t.test('a certificate that cannot be read ends the connection, told', async (t) => {
  const there = await gateway(t, await ca.issue(HERE));
  let asked = 0;
  const now = (): number => {
    if (asked++ > 0) throw new Error('odd');
    return Date.now();
  };
  const { error } = await open(t, to(there.origin, trusting(), { now }));
  t.match(error, { code: 'HOP_CERTIFICATE', message: 'the certificate of the gateway cannot be read: odd' });
  for (const socket of there.sockets) if (!socket.destroyed) await new Promise((r) => socket.once('close', r));
  t.equal(there.text, '');
});

void t.test('a handshake that never ends, and a server that leaves in it', async (t) => {
  const sockets: Socket[] = [];
  const silent = createTcpServer((socket) => void sockets.push(socket.on('error', () => undefined)));
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  t.teardown(() => silent.close());
  const origin = `https://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  const ended = new Promise((resolve) => silent.once('connection', (socket) => socket.once('close', resolve)));
  const { error } = await open(t, to(origin, { ca: ca.cert }, { limits: { connect: 10_000, handshake: 50 } }));
  t.match(error, { code: 'HOP_TIMEOUT', message: 'no TLS handshake within 50 ms' });
  sockets[0]?.resume();
  await ended;
  silent.once('connection', (socket) => socket.destroy());
  t.match((await open(t, to(origin, { ca: ca.cert }))).error, { code: 'ECONNRESET' });
});

void t.test('a connection that is reset says what is behind it until the server has said something', async (t) => {
  const there = await gateway(t, await ca.issue(HERE));
  const connect = to(there.origin, { ca: ca.cert });
  const reset = (code: string): NodeJS.ErrnoException => Object.assign(new Error('of the system'), { code });
  for (const code of ['ECONNRESET', 'EPIPE', 'ETIMEDOUT']) {
    const error = reset(code);
    await new Promise<void>((resolve) =>
      connect(
        (_error, socket) =>
          void socket
            ?.once('close', resolve)
            .on('error', () => undefined)
            .destroy(error),
      ),
    );
    t.match(error.cause, code === 'ETIMEDOUT' ? undefined : { code: 'HOP_REFUSED' }, code);
  }
  const { socket } = await open(t, connect);
  await used(socket as TLSSocket);
  const late = reset('ECONNRESET');
  await new Promise((resolve) => socket?.once('close', resolve).destroy(late));
  t.equal(late.cause, undefined);
});

void t.test('who gives up while it is opened leaves nothing behind', async (t) => {
  const silent = createTcpServer((socket) => void socket.on('error', () => undefined).resume());
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  t.teardown(() => silent.close());
  const origin = `https://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  const connect = to(origin, { ca: ca.cert });
  const accepted = async (): Promise<{ readonly closed: Promise<unknown> }> => {
    const [socket] = (await once(silent, 'connection')) as [Socket];
    return { closed: once(socket, 'close') };
  };

  const pool = createGatewayPool(origin, connect);
  const requested = accepted();
  const failed = new Promise((resolve) =>
    pool.dispatch(
      { path: '/', method: 'GET' },
      {
        onRequestStart: () => undefined,
        onResponseStart: () => undefined,
        onResponseData: () => undefined,
        onResponseEnd: () => undefined,
        onResponseError: (_controller, error) => resolve(error),
      },
    ),
  );
  const { closed } = await requested;
  await pool.destroy();
  await closed;
  t.ok(await failed);

  const over = new AbortController();
  const dialling = accepted();
  const dialled = dial({ connect, host: 'x' }, [], over.signal);
  const { closed: gone } = await dialling;
  over.abort(new Error('over'));
  await t.rejects(dialled, { message: 'over' });
  await gone;
});

void t.test('names that leave the machine, only where that is allowed', async (t) => {
  const there = await gateway(t, await ca.issue({ dns: ['gateway.test'], usage: ['serverAuth'] }));
  const origin = `https://gateway.test:${there.port}`;
  const resolving = (address: string): GatewayTarget['lookup'] =>
    ((_name: string, { all }: { all?: boolean }, done: (error: null, ...found: unknown[]) => void) =>
      // As a name is: a socket that fails at once has no listener yet.
      setImmediate(() => (all ? done(null, [{ address, family: 4 }]) : done(null, address, 4)))) as never;
  const at = (address: string, more: Partial<GatewayTarget> = {}): Promise<Opened> =>
    open(
      t,
      to(
        origin,
        { ca: ca.cert },
        { lookup: resolving(address), limits: { connect: 1_000, handshake: 10_000 }, ...more },
      ),
    );
  t.match((await at('192.0.2.1')).error, { code: 'HOP_NOT_LOOPBACK' });
  t.equal((await at('127.0.0.1')).error, undefined);
  t.equal((await at('127.0.0.1', { beyondLoopback: true })).error, undefined);
  // Nobody is there (RFC 5737): that it was tried is what counts.
  t.notMatch((await at('192.0.2.1', { beyondLoopback: true })).error, { code: 'HOP_NOT_LOOPBACK' });
  t.equal(there.sockets[0]?.servername, 'gateway.test');
});
