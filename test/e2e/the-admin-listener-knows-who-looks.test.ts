import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTcp } from 'node:net';
import { connect as connectTls } from 'node:tls';
import t, { type Test } from 'tap';
import { makeAuthority } from '../helpers/certificates.ts';
import { openOver, openRaw, rawExchange } from '../helpers/raw.ts';
import { startStack, type Stack } from '../helpers/stack.ts';

const TOKEN = 'admin-token-of-the-page-0123456789';
const env = { ADMIN: TOKEN, OTHER: `${TOKEN}-other` };
const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;
const portOf = ({ adminUrl }: Stack): number => Number(new URL(adminUrl).port);
const get = (path: string, authorization?: string, host = 'localhost'): string =>
  `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${authorization === undefined ? '' : `Authorization: ${authorization}\r\n`}\r\n`;

void t.test('with a token, only who shows it is told more than a status', async (t) => {
  const stack = await startStack(t, { admin: '{ port: 0, token: { env: ADMIN } }', env });
  const port = portOf(stack);
  const closed = ['/', '/events', '/metrics', '/readyz?verbose', '/nowhere'];
  const wrong = [
    undefined,
    'Bearer',
    'Bearer wrong',
    `Bearer ${TOKEN}x`,
    `Bearer ${TOKEN.slice(1)}`,
    `Bearer ${TOKEN} x`,
    `Bearer ${TOKEN.toUpperCase()}`,
    `Digest ${TOKEN}`,
    basic(TOKEN),
    basic(`${TOKEN}:`),
    basic(`user:${TOKEN} `),
    basic(''),
    'Basic %%%',
  ];
  let shown = 0;
  for (const path of closed)
    for (const authorization of wrong) {
      const answer = await rawExchange(port, get(path, authorization));
      if (authorization !== undefined) shown += 1;
      if (authorization !== undefined && shown > 10) {
        t.equal(answer.status, 429, `${path} ${authorization}`);
        t.match(answer.headers['retry-after'], /^[1-9]\d?$/);
        continue;
      }
      t.equal(answer.status, 401, `${path} ${authorization}`);
      t.equal(answer.body, 'the token of admin.token is needed\n');
      t.equal(
        answer.headers['www-authenticate'],
        'Basic realm="auth-shim admin", charset="UTF-8", Bearer realm="auth-shim admin"',
      );
    }
  const told = stack.lines.filter(({ msg }) => msg === 'a wrong admin token was shown');
  t.equal(told.length, 10);
  t.match(told[0], { listener: 'admin', peer: '127.0.0.1' });
  t.notMatch(JSON.stringify(told), TOKEN.slice(1, -1));
  for (const authorization of [`Bearer ${TOKEN}`, `bearer  ${TOKEN}`, basic(`:${TOKEN}`), basic(`who:${TOKEN}`)]) {
    t.equal((await rawExchange(port, get('/', authorization))).status, 200, authorization);
    t.match((await rawExchange(port, get('/readyz?verbose', authorization))).body, '[+]gateway ok');
    t.equal((await rawExchange(port, get('/nowhere', authorization))).status, 404);
  }
  await stack.gateway.close();
  const bare = await rawExchange(port, get('/readyz'));
  t.strictSame([bare.status, bare.body], [503, 'no\n'], 'and no word of what is wrong');
  t.equal((await rawExchange(port, get('/livez'))).body, 'ok\n');
  t.match((await rawExchange(port, get('/readyz', `Bearer ${TOKEN}`))).body, 'gateway: it does not answer');
  t.equal(
    (await rawExchange(port, get('/', `Bearer ${TOKEN}`, 'evil.example'))).status,
    421,
    'the name is asked first',
  );
});

void t.test('another token counts at the reload, and ends the views of the one before', async (t) => {
  const stack = await startStack(t, { admin: '{ port: 0, token: { env: ADMIN } }', env });
  const port = portOf(stack);
  const raw = await openRaw(t, port);
  raw.send(get('/events', `Bearer ${TOKEN}`));
  await raw.until((text) => text.includes('event: hour'));
  await stack.reload(undefined, '{ port: 0, hosts: [shim.example], token: { env: OTHER } }');
  await raw.until((text) => text.endsWith('event: again\ndata: 0\n\n\r\n0\r\n\r\n'));
  t.equal((await rawExchange(port, get('/', `Bearer ${TOKEN}`))).status, 401);
  t.equal((await rawExchange(port, get('/', `Bearer ${env.OTHER}`, 'shim.example'))).status, 200);
});

void t.test('a reload never makes it ask for less than where it listens needs', async (t) => {
  const ca = await makeAuthority();
  const server = await ca.issue({ dns: ['shim.example'], usage: ['serverAuth'] });
  const files: Record<string, string> = { crt: server.cert, key: server.key, ca: ca.cert };
  const clear = '{ host: 0.0.0.0, port: 0, token: { env: ADMIN }, unsafeListenPlaintext: true }';
  for (const next of [
    '{}',
    '{ socket: a.sock }',
    '{ host: 0.0.0.0, port: 0, tls: { cert: crt, key: key, clientCa: ca } }',
  ]) {
    const stack = await startStack(t, { admin: clear, env, files });
    await stack.reload(undefined, next);
    t.equal((await rawExchange(portOf(stack), get('/'))).status, 401, next);
    t.equal((await rawExchange(portOf(stack), get('/', `Bearer ${TOKEN}`))).status, 200, next);
    await stack.reload(undefined, next.replace('{', '{ token: { env: OTHER },').replace(',}', '}'));
    t.equal((await rawExchange(portOf(stack), get('/', `Bearer ${TOKEN}`))).status, 401, 'another one counts');
    t.equal((await rawExchange(portOf(stack), get('/', `Bearer ${env.OTHER}`))).status, 200);
  }
  const mutual = await startStack(t, {
    admin: '{ host: 0.0.0.0, port: 0, tls: { cert: crt, key: key, clientCa: ca } }',
    files,
  });
  await mutual.reload(undefined, '{ tls: { cert: crt, key: key } }');
  const socket = connectTls({ host: '127.0.0.1', port: portOf(mutual), ca: ca.cert, servername: 'shim.example' });
  const bare = await openOver(t, socket, 'secureConnect').catch(() => undefined);
  bare?.send(get('/'));
  t.equal((await bare?.closed().catch(() => '')) ?? '', '', 'no certificate, no connection');
});

void t.test('strangers cannot fill it', async (t) => {
  const stack = await startStack(t, { admin: '{ port: 0, token: { env: ADMIN } }', env });
  const port = portOf(stack);
  const view = await openRaw(t, port);
  view.send(get('/events', `Bearer ${TOKEN}`));
  await view.until((text) => text.includes('event: hour'));
  const silent = await Promise.all(Array.from({ length: 70 }, () => openRaw(t, port)));
  t.equal((await rawExchange(port, get('/livez'))).status, 200, 'the newest has room');
  await Promise.all(silent.slice(0, 8).map((one) => one.closed()));
  t.equal(view.socket.readableEnded || view.socket.destroyed, false, 'who looks stays');
  const refused = await openRaw(t, port);
  refused.send(get('/'));
  t.match(await refused.closed(), /^HTTP\/1\.1 401 [^]*\r\nconnection: close\r\n/i);
});

void t.test('pipelined requests are not kept', async (t) => {
  const stack = await startStack(t);
  const raw = await openRaw(t, portOf(stack));
  raw.send(get('/').repeat(50));
  const text = await raw.closed();
  t.ok(text.split('HTTP/1.1 200 ').length <= 2, 'one answer at most');
  t.equal((await rawExchange(portOf(stack), get('/livez'))).status, 200);
});

void t.test('on a unix socket, with its bits', async (t) => {
  // Paths of sockets are short.
  const folder = mkdtempSync(join(tmpdir(), 'auth-shim-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'admin.sock');
  const stack = await startStack(t, { admin: `{ socket: ${path}, mode: "0660" }` });
  t.equal(stack.adminUrl, `unix:${path}`);
  t.equal(statSync(path).mode & 0o777, 0o660);
  for (const [host, status] of [
    ['localhost', 200],
    ['evil.example', 421],
  ] as const) {
    const raw = await openOver(t, connectTcp({ path }));
    raw.send(get('/', undefined, host));
    t.match(await raw.until((text) => text.includes('\r\n\r\n')), `HTTP/1.1 ${status} `);
  }
});

void t.test('beyond loopback it is asked by the address that it is reached at', async (t) => {
  const own = Object.values(networkInterfaces())
    .flatMap((all) => all ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
  if (own === undefined) {
    t.pass('this machine has no other address', { skip: true });
    return;
  }
  const admin = '{ host: 0.0.0.0, port: 0, token: { env: ADMIN }, unsafeListenPlaintext: true }';
  const stack = await startStack(t, { admin, env });
  const port = portOf(stack);
  const ask = async (host: string): Promise<string> => {
    const raw = await openOver(t, connectTcp({ host: own, port }));
    raw.send(get('/livez', undefined, host));
    return (await raw.until((text) => text.includes('\r\n\r\n'))).slice(9, 12);
  };
  t.equal(await ask(`${own}:${port}`), '200');
  t.equal(await ask('10.255.255.254'), '421', 'another address');
  t.equal(await ask('0.0.0.0'), '421');
});

void t.test('over mutual TLS, whoever shows no certificate gets no connection', async (t) => {
  const ca = await makeAuthority();
  const server = await ca.issue({ dns: ['shim.example'], usage: ['serverAuth'] });
  const client = await ca.issue({ usage: ['clientAuth'] });
  const stranger = await (await makeAuthority('other')).issue({ usage: ['clientAuth'] });
  const again = await ca.issue({ dns: ['shim.example'], usage: ['serverAuth'] });
  const files: Record<string, string> = { crt: server.cert, key: server.key, ca: ca.cert };
  const admin = '{ port: 0, tls: { cert: crt, key: key, clientCa: ca } }';
  const stack = await startStack(t, { admin, files });
  t.match(stack.adminUrl, /^https:/);
  const port = portOf(stack);
  const over = (t: Test, shown: { readonly cert?: string; readonly key?: string }) =>
    openOver(
      t,
      connectTls({ host: '127.0.0.1', port, ca: ca.cert, servername: 'shim.example', ...shown }),
      'secureConnect',
    );
  const raw = await over(t, client);
  raw.send(get('/', undefined, 'shim.example'));
  t.match(await raw.until((text) => text.includes('</html>')), /^HTTP\/1\.1 200 /);
  for (const shown of [{}, stranger]) {
    const none = await over(t, shown).catch(() => undefined);
    none?.send(get('/'));
    t.equal((await none?.closed().catch(() => '')) ?? '', '');
  }
  t.match(
    stack.lines.filter(({ msg }) => msg === 'tls handshake failed').map(({ listener, reason }) => [listener, reason]),
    [
      ['admin', 'no_certificate'],
      ['admin', 'untrusted_certificate'],
    ],
  );
  Object.assign(files, { crt: again.cert, key: again.key });
  await stack.reload();
  const fingerprint = await new Promise<string>((resolve) => {
    const socket = connectTls({ host: '127.0.0.1', port, ca: ca.cert, servername: 'shim.example', ...client });
    socket.once('secureConnect', () => {
      resolve(socket.getPeerX509Certificate()?.fingerprint256.replaceAll(':', '').toLowerCase() ?? '');
      socket.destroy();
    });
  });
  t.equal(fingerprint, again.fingerprint, 'another certificate is taken at the reload');
});
