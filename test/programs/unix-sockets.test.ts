import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import t from 'tap';
import { makeAuthority } from '../helpers/certificates.ts';
import { runProgram, serve } from '../helpers/process.ts';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { openOver } from '../helpers/raw.ts';
import { get } from '../helpers/request-bytes.ts';
import { callers, GATEWAY_SECRET, TOKENS } from '../helpers/stack.ts';

const env = { SECRET: GATEWAY_SECRET };
const URI = 'spiffe://cluster/ns/app/sa/web';

void t.test('a shim on a unix socket, with TLS and without', async (t) => {
  const gateway = await startRawGateway(t);
  const ca = await makeAuthority();
  const server = await ca.issue({ dns: ['localhost'], usage: ['serverAuth'] });
  const client = await ca.issue({ uris: [URI], usage: ['clientAuth'] });
  // Paths of sockets are short.
  const folder = mkdtempSync(join(tmpdir(), 'auth-shim-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const [file, path] = [join(folder, 'shim.config.yaml'), join(folder, 'shim.sock')];
  for (const [name, text] of Object.entries({ 'ca.crt': ca.cert, 'tls.crt': server.cert, 'tls.key': server.key })) {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
  }
  const configure = (listen: string): void =>
    writeFileSync(
      file,
      [
        `listen: { socket: shim.sock${listen} }`,
        `gateway: { url: "${gateway.url}", auth: { mode: token, secret: { env: SECRET } } }`,
        callers(),
        `  - { name: web, certificates: [{ uri: "${URI}" }], scopes: [operator.read] }`,
      ].join('\n'),
    );
  const tls = ', tls: { cert: tls.crt, key: tls.key, clientCa: ca.crt, clientAuth: accept }';
  const whole = (text: string): boolean => text.endsWith('{}');

  configure(tls);
  const first = await serve(t, ['-c', file], { env });
  t.equal(first.url, `unix:${path}`);
  t.equal(statSync(path).mode & 0o777, 0o600);
  const caller = { cert: client.cert, key: client.key };
  for (const [shown, request, name] of [
    [caller, 'GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n', 'web'],
    [{}, get('/v1/models', '', TOKENS.reader), 'reader'],
  ] as const) {
    const socket = connectTls({ path, ca: ca.cert, servername: 'localhost', ...shown });
    const connection = await openOver(t, socket, 'secureConnect');
    connection.send(request);
    t.match(await connection.until(whole), /^HTTP\/1\.1 200 /);
    t.match(await first.logged(({ msg, caller }) => msg === 'request' && caller === name), { status: 200 });
  }

  const second = await runProgram(['-c', file], { env });
  t.match(
    second,
    { code: 1, stderr: /"cannot listen: another program has the socket [^\n]*shim\.sock: end it/ },
    'one that answers',
  );
  t.ok(existsSync(path), 'and it stays');
  first.child.kill('SIGSTOP');
  const queue: Socket[] = [];
  t.teardown(() => queue.forEach((one) => one.destroy()));
  const fits = (): Promise<boolean> =>
    new Promise((resolve) => {
      queue.push(connectTcp(path, () => resolve(true)).on('error', () => resolve(false)));
    });
  while (await fits());
  t.match(await runProgram(['-c', file], { env }), { code: 1 }, 'also one that has no room for a connection');
  t.ok(existsSync(path));
  first.child.kill('SIGKILL');
  await first.ended;
  t.ok(existsSync(path), 'a dead process leaves it');

  configure(', mode: "0660"');
  const next = await serve(t, ['-c', file], { env });
  t.equal(statSync(path).mode & 0o777, 0o660);
  const plain = await openOver(t, connectTcp(path));
  plain.send(get('/v1/models', '', TOKENS.reader));
  t.match(await plain.until(whole), /^HTTP\/1\.1 200 /);
  configure(`, mode: "0600"${tls}`);
  const waiting = await next.logged(({ keys }) => keys !== undefined);
  t.strictSame(waiting.keys, ['listen.mode', 'listen.tls'], 'what waits for the next start');
  next.child.kill('SIGTERM');
  t.equal(await next.ended, 0);
  t.notOk(existsSync(path), 'its end takes it away');

  writeFileSync(path, 'somebody’s file');
  t.match(await runProgram(['-c', file], { env }), {
    code: 1,
    stderr: /cannot listen: [^\n]*shim\.sock is a file, and no socket/,
  });
  t.equal(readFileSync(path, 'utf8'), 'somebody’s file');
});
