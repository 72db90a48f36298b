import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import { startFrom, type ChaosShim } from '../helpers/chaos.ts';
import { makeAuthority, type LeafOptions, type Pair } from '../helpers/certificates.ts';
import { openOver, type RawConnection } from '../helpers/raw.ts';
import { caller, TOKENS } from '../helpers/stack.ts';

const HOUR = 3_600_000;
const WEB = 'spiffe://cluster/ns/app/sa/web';
const SHIM = 'spiffe://cluster/ns/app/sa/shim';
const GATEWAY = 'spiffe://cluster/ns/app/sa/gateway';

const ca = await makeAuthority('one');
const next = await makeAuthority('two');
const gatewayPair = await ca.issue({ uris: [GATEWAY], usage: ['serverAuth'] });
const web = await ca.issue({ uris: [WEB], usage: ['clientAuth'] });
const webOfNext = await next.issue({ uris: [WEB], usage: ['clientAuth'] });
const serverPair = (more: LeafOptions = {}): Promise<Pair> =>
  ca.issue({ dns: ['localhost'], usage: ['serverAuth'], ...more });
const shimPair = (more: LeafOptions = {}): Promise<Pair> => ca.issue({ uris: [SHIM], usage: ['clientAuth'], ...more });
const server = await serverPair();
const shown = await shimPair();

interface Gateway {
  readonly url: string;
  /** Fingerprint of the certificate that each connection has shown, in order. */
  readonly connections: readonly string[];
  /** Sends one more event on every open stream. */
  readonly send: () => void;
}

/** Takes only who shows a certificate of the first authority. */
async function startGateway(t: Test): Promise<Gateway> {
  const connections: string[] = [];
  const open = new Set<ServerResponse>();
  const { cert, key } = gatewayPair;
  const options = { cert, key, ca: ca.cert, requestCert: true, rejectUnauthorized: true };
  const gateway: Server = createServer(options, (req, res) => {
    if (req.url !== '/v1/models/openclaw') {
      res.end('{}');
      return;
    }
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    res.write('data: 0\n\n');
    open.add(res);
    res.once('close', () => open.delete(res));
  });
  gateway.on('secureConnection', (socket: TLSSocket) => connections.push(fingerprintOf(socket)));
  gateway.listen(0, '127.0.0.1');
  await once(gateway, 'listening');
  t.teardown(async () => {
    gateway.closeAllConnections();
    await new Promise((resolve) => gateway.close(resolve));
  });
  const url = `https://127.0.0.1:${(gateway.address() as AddressInfo).port}`;
  return { url, connections, send: () => open.forEach((res) => res.write('data: more\n\n')) };
}

function fingerprintOf(socket: TLSSocket): string {
  return socket.getPeerX509Certificate()?.fingerprint256.replaceAll(':', '').toLowerCase() ?? 'none';
}

interface Running {
  readonly shim: ChaosShim;
  readonly gateway: Gateway;
  readonly folder: string;
  /** Writes a file of the folder in place, as `fs.writeFile` and `os.WriteFile` do. */
  readonly write: (name: string, text: string) => void;
  /** Does something, then waits for the next log line that begins so; with the faults that were told before it. */
  readonly until: (message: string, change: () => void) => Promise<readonly Record<string, unknown>[]>;
  /** A new connection, and the fingerprint of the certificate that it was shown. */
  readonly enter: (pair?: Pair) => Promise<RawConnection & { readonly seen: string }>;
  readonly readyz: () => Promise<string>;
  /** The end of a certificate as the metrics have it, in milliseconds. */
  readonly endOf: (certificate: string) => Promise<number>;
}

const FILES = {
  'tls.crt': server.cert,
  'tls.key': server.key,
  'ca.crt': ca.cert,
  'svid.pem': shown.cert,
  'svid_key.pem': shown.key,
  'bundle.pem': ca.cert,
};

/** @param mounted the folder that `tls.crt`, `tls.key` and `ca.crt` are in */
async function run(t: Test, mounted = '.', prepare: (folder: string) => void = () => undefined): Promise<Running> {
  const gateway = await startGateway(t);
  const folder = t.testdir({});
  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text, { mode: 0o600 });
  for (const [name, text] of Object.entries(FILES)) write(name, text);
  prepare(folder);
  const file = join(folder, 'shim.config.yaml');
  writeFileSync(
    file,
    `
listen:
  port: 0
  tls: { cert: ${mounted}/tls.crt, key: ${mounted}/tls.key, clientCa: ${mounted}/ca.crt, clientAuth: accept }
gateway:
  url: ${gateway.url}
  auth: { mode: token, secret: { env: SECRET } }
  tls: { ca: bundle.pem, cert: svid.pem, key: svid_key.pem, serverName: "${GATEWAY}" }
admin: { port: 0 }
callers:
${caller('reader', TOKENS.reader, ['operator.read'])}
  - { name: web, certificates: [{ uri: "${WEB}" }], scopes: [operator.read] }
`,
  );
  const shim = await startFrom(t, file, {});
  return {
    shim,
    gateway,
    folder,
    write,
    async until(message, change) {
      const from = shim.lines().length;
      change();
      const last = await shim.logged(({ msg }) => String(msg).startsWith(message), from);
      const lines = shim.lines();
      return lines.slice(from, lines.indexOf(last)).filter(({ level }) => level === 'error');
    },
    async enter(pair) {
      const options = { port: shim.port, host: '127.0.0.1', servername: 'localhost', ca: [ca.cert, next.cert] };
      const socket = connectTls({ ...options, ...(pair && { cert: pair.cert, key: pair.key }) });
      const connection = await openOver(t, socket, 'secureConnect');
      return Object.assign(connection, { seen: fingerprintOf(socket) });
    },
    readyz: async () => (await fetch(`${shim.admin}/readyz?verbose`)).text(),
    endOf: async (certificate) =>
      1000 * (await shim.metric('certificate_expiration_timestamp_seconds', { certificate })),
  };
}

const request = (path: string, token?: string): string =>
  `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${token === undefined ? '' : `Authorization: Bearer ${token}\r\n`}\r\n`;

/** Status of one more request. */
async function ask(connection: RawConnection, token?: string): Promise<number> {
  const before = connection.text.length;
  connection.send(request('/v1/models', token));
  const text = await connection.until((all) => all.length > before && all.endsWith('}'));
  return Number(text.slice(before + 9, before + 12));
}

async function openStream(connection: RawConnection): Promise<RawConnection> {
  connection.send(request('/v1/models/openclaw'));
  await connection.until((text) => text.includes('data: 0\n\n'));
  return connection;
}

/** Whether what the gateway sends now comes through. */
async function flows(stream: RawConnection, { send }: Gateway): Promise<boolean> {
  const before = stream.text.length;
  send();
  return (await stream.until((text) => text.slice(before).includes('data: more\n\n'))).length > before;
}

void t.test('as cert-manager and the kubelet do it: another folder behind one link', async (t) => {
  const version = (folder: string, name: string, { cert, key }: Pair, authorities: string): void => {
    mkdirSync(join(folder, 'mount', name), { recursive: true });
    const files = { 'tls.crt': cert, 'tls.key': key, 'ca.crt': authorities };
    for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, 'mount', name, file), text);
    symlinkSync(name, join(folder, 'mount/..data_tmp'));
    renameSync(join(folder, 'mount/..data_tmp'), join(folder, 'mount/..data'));
  };
  const running = await run(t, 'mount', (folder) => {
    version(folder, '..v1', server, ca.cert);
    for (const file of ['tls.crt', 'tls.key', 'ca.crt']) symlinkSync(`..data/${file}`, join(folder, 'mount', file));
  });
  const { gateway, folder, until, enter, endOf } = running;
  const stream = await openStream(await enter(web));
  const kept = await enter(web);
  t.strictSame([kept.seen, await ask(kept)], [server.fingerprint, 200]);

  const both = ca.cert + next.cert;
  const pairs = [server];
  const statuses = new Set<number>();
  const strange = new Set<string>();
  let over = false;
  const meanwhile = (async () => {
    while (!over) {
      const connection = await enter(web);
      statuses.add(await ask(connection));
      if (!pairs.some(({ fingerprint }) => fingerprint === connection.seen)) strange.add(connection.seen);
      connection.socket.destroy();
    }
  })();
  for (const nth of [2, 3, 4]) {
    const notAfter = new Date(Math.floor(Date.now() / 1000) * 1000 + nth * HOUR);
    const fresh = await serverPair({ notAfter });
    pairs.push(fresh);
    t.strictSame(await until('reloaded', () => version(folder, `..v${nth}`, fresh, both)), []);
    rmSync(join(folder, 'mount', `..v${nth - 1}`), { recursive: true });
    t.equal((await enter()).seen, fresh.fingerprint);
    t.equal(await endOf('listen.tls.cert'), notAfter.getTime());
  }
  over = true;
  await meanwhile;
  t.strictSame([...statuses, ...strange], [200], 'nobody was turned away meanwhile, or saw what was not there');
  t.ok(await flows(stream, gateway), 'an open stream goes on');
  t.equal(await ask(kept), 200, 'and so does a connection');

  const renewed = await openStream(await enter(webOfNext));
  const last = pairs.at(-1) as Pair;
  await until('reloaded', () => version(folder, '..v5', last, next.cert));
  t.match(await stream.closed(), /event: error\ndata: \{[^\n]*"invalid_certificate"[^\n]*\n\n\r\n$/);
  await kept.closed();
  t.ok(await flows(renewed, gateway), 'who was renewed before the authority was taken out goes on');
});

void t.test('as spiffe-helper does it: three files, one after the other', async (t) => {
  const { shim, gateway, write, until, enter, readyz, endOf } = await run(t);
  const stream = await openStream(await enter(web));
  t.strictSame(gateway.connections, [shown.fingerprint]);
  const before = await endOf('gateway.tls.cert');
  const notAfter = new Date(Math.floor(Date.now() / 1000) * 1000 + 2 * HOUR);
  const fresh = await shimPair({ notAfter });

  const faults = await until('reload failed', () => write('svid.pem', fresh.cert));
  t.match(faults, [
    { path: 'gateway.tls.key', msg: /svid_key\.pem is not the key of the first certificate in svid\.pem$/ },
  ]);
  t.match(
    await readyz(),
    /configuration ok: the last reload failed, the one before runs: of the certificates alone, 1 fault, see the log\n/,
  );
  t.equal(await shim.metric('config_last_reload_successful'), 0);
  t.equal(await endOf('gateway.tls.cert'), before);
  await openStream(await enter(web));
  t.strictSame(gateway.connections, [shown.fingerprint, shown.fingerprint], 'the old pair is whole, and is shown');

  await until('reload failed', () => write('bundle.pem', ca.cert + next.cert));
  t.strictSame(await until('reloaded', () => write('svid_key.pem', fresh.key)), []);
  t.equal(await ask(await enter(), TOKENS.reader), 200);
  t.equal(gateway.connections.at(-1), fresh.fingerprint);
  t.notOk(gateway.connections.slice(0, -1).includes(fresh.fingerprint));
  t.ok(await flows(stream, gateway), 'what was begun as another ends as that');
  t.equal(await shim.metric('config_last_reload_successful'), 1);
  t.equal(await endOf('gateway.tls.cert'), notAfter.getTime());
  t.match(await readyz(), /^\[\+\]configuration ok\n[^]*readyz check passed\n$/);

  await until('reloaded', () => write('bundle.pem', next.cert));
  t.equal(await ask(await enter(), TOKENS.reader), 502, 'a gateway of an authority that is gone is not asked');
  await shim.logged(({ code, reason }) => code === 'gateway_unreachable' && /certificate/.test(String(reason)));
  t.ok(await flows(stream, gateway));
  await until('reloaded', () => write('bundle.pem', ca.cert));
  t.equal(await ask(await enter(), TOKENS.reader), 200);
});

void t.test('a set that is bad keeps back nothing else, a revoked token least of all', async (t) => {
  const { shim, folder, write, until, enter, readyz } = await run(t);
  const file = join(folder, 'shim.config.yaml');
  const text = readFileSync(file, 'utf8');
  const line = caller('reader', TOKENS.reader, ['operator.read']);
  t.equal(await ask(await enter(), TOKENS.reader), 200);
  const stream = await openStream(await enter(web));
  await until('reload failed for certificates', () => write('tls.crt', server.cert.slice(0, 300)));
  const faults = await until('reload failed for certificates', () => writeFileSync(file, text.replace(line, '')));
  t.match(faults, [{ path: 'listen.tls.cert', msg: /tls\.crt holds a PEM block that is cut off/ }]);
  t.equal(await ask(await enter(), TOKENS.reader), 401, 'revoked');
  const connection = await enter(web);
  t.strictSame([connection.seen, await ask(connection)], [server.fingerprint, 200], 'the certificate is as it was');
  t.match(await readyz(), /of the certificates alone, 1 fault, see the log\n/);
  t.equal(await shim.metric('config_last_reload_successful'), 0);
  t.notMatch(stream.text, 'event: error');

  await until('reload failed: ', () => writeFileSync(file, text.replace(line, '').replace('scopes:', 'scpes:')));
  t.equal(await ask(await enter(), TOKENS.reader), 401, 'a fault of the text keeps all of it');
  await until('reloaded', () => {
    write('tls.crt', server.cert);
    writeFileSync(file, text);
  });
  t.equal(await ask(await enter(), TOKENS.reader), 200);
  t.equal(await shim.metric('config_last_reload_successful'), 1);
});

void t.test('a set that expires while it runs keeps a revocation back no more than that', async (t) => {
  const soon = { notAfter: new Date(Date.now() + 5_000) };
  const brief = await makeAuthority('brief', soon);
  const [own, shown] = [await serverPair(soon), await shimPair(soon)];
  const { shim, folder, until, enter, readyz } = await run(t, '.', (at) => {
    for (const [name, text] of [
      ['tls.crt', own.cert],
      ['tls.key', own.key],
      ['ca.crt', brief.cert],
      ['svid.pem', shown.cert],
      ['svid_key.pem', shown.key],
    ] as const)
      writeFileSync(join(at, name), text, { mode: 0o600 });
  });
  const connection = await enter();
  t.equal(await ask(connection, TOKENS.reader), 200);
  for (const path of ['listen.tls.cert', 'listen.tls.clientCa', 'gateway.tls.cert'])
    await shim.logged((line) => line['path'] === path && String(line['msg']).startsWith('the certificate has expired'));
  t.match(await readyz(), /configuration ok: expired: listen\.tls\.cert, listen\.tls\.clientCa, gateway\.tls\.cert\n/);
  const file = join(folder, 'shim.config.yaml');
  const text = readFileSync(file, 'utf8');
  const faults = await until('reload failed for certificates', () =>
    writeFileSync(file, text.replace(caller('reader', TOKENS.reader, ['operator.read']), '')),
  );
  t.strictSame(
    faults.map(({ path }) => path),
    ['listen.tls.cert', 'listen.tls.clientCa', 'gateway.tls.cert'],
  );
  t.equal(await ask(connection, TOKENS.reader), 401, 'revoked');
  t.match(await readyz(), /of the certificates alone, 3 faults, see the log; expired: /);
});

void t.test('a set that is bad leaves the one before, and each fault is told', async (t) => {
  const { shim, folder, gateway, write, until, enter, readyz, endOf } = await run(t);
  const past = { notBefore: new Date(Date.now() - 2 * HOUR), notAfter: new Date(Date.now() - HOUR) };
  const another = await serverPair();
  const half = another.cert.slice(0, 300);
  type Name = keyof typeof FILES;
  const sets: readonly [string, Partial<Record<Name, string>>, Record<string, RegExp>][] = [
    ['half written', { 'tls.crt': half }, { 'listen.tls.cert': /tls\.crt holds a PEM block that is cut off/ }],
    ['empty', { 'tls.crt': '' }, { 'listen.tls.cert': /tls\.crt is empty$/ }],
    ['an empty key', { 'tls.key': '' }, { 'listen.tls.key': /tls\.key is empty$/ }],
    ['a key of another pair', { 'tls.key': another.key }, { 'listen.tls.key': /tls\.key is not the key of the first/ }],
    ['expired', { 'tls.crt': (await serverPair(past)).cert }, { 'listen.tls.cert': /tls\.crt .* expired at / }],
    ['half an authority', { 'ca.crt': next.cert + half }, { 'listen.tls.clientCa': /ca\.crt .* cut off/ }],
    [
      'an authority that is over',
      { 'ca.crt': (await makeAuthority('old', past)).cert },
      { 'listen.tls.clientCa': /valid now$/ },
    ],
    [
      'faults of both sides',
      { 'tls.crt': 'none', 'svid_key.pem': server.key, 'bundle.pem': '' },
      {
        'listen.tls.cert': /is not PEM/,
        'gateway.tls.key': /is not the key/,
        'gateway.tls.ca': /bundle\.pem is empty$/,
      },
    ],
  ];
  const stream = await openStream(await enter(web));
  const end = await endOf('listen.tls.cert');
  for (const [name, files, expected] of sets) {
    const faults = await until('reload failed', () => {
      for (const [file, text] of Object.entries(files)) write(file, text);
    });
    const told = Object.fromEntries(faults.map(({ path, msg }) => [path, msg]));
    t.match(told, expected, name);
    t.equal(faults.length, Object.keys(expected).length, name);
    const count = faults.length === 1 ? '1 fault' : `${faults.length} faults`;
    const ready = await readyz();
    t.ok(
      ready.includes(`the last reload failed, the one before runs: of the certificates alone, ${count}, see the log\n`),
      name,
    );
    t.match(ready, /readyz check passed\n$/, name);
    t.equal(await shim.metric('config_last_reload_successful'), 0, name);
    t.equal(await endOf('listen.tls.cert'), end, name);
    const connection = await enter(web);
    t.strictSame([connection.seen, await ask(connection)], [server.fingerprint, 200], name);
    await until('reloaded', () => {
      for (const file of Object.keys(files)) write(file, FILES[file as Name]);
    });
    t.match(await readyz(), /^\[\+\]configuration ok\n/, name);
    t.equal(await shim.metric('config_last_reload_successful'), 1, name);
  }
  await until('reload failed', () => rmSync(join(folder, 'tls.key')));
  await until('reloaded', () => {
    write('tls.crt', another.cert);
    write('tls.key', another.key);
  });
  t.equal((await enter()).seen, another.fingerprint);
  t.ok(await flows(stream, gateway), 'through all of it');
  const texts = JSON.stringify(shim.lines());
  t.notOk(
    [server, another, shown].some(({ key }) => texts.includes(key.split('\n')[1] as string)),
    'no key is told',
  );
});
