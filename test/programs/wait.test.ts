/** `auth-shim wait` */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { networkInterfaces, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t from 'tap';
import { startGateway } from '../../src/demo/gateway.ts';
import { makeAuthority } from '../helpers/certificates.ts';
import { configure, env, run } from '../helpers/command-line.ts';
import { serve, type Served } from '../helpers/process.ts';
import { GATEWAY_SECRET } from '../helpers/stack.ts';

const ADMIN = 'k3Zq8vT1xYwQmLp0RsTuVwXy';

void t.test('wait', async (t) => {
  const gateway = await startGateway({ auth: { mode: 'token', token: GATEWAY_SECRET } });
  t.teardown(() => gateway.close());
  const file = await configure(t, gateway.url);
  const shim = await serve(t, ['-c', file], { env });
  await writeFile(
    file,
    (await readFile(file, 'utf8')).replace(
      'admin: { port: 0 }',
      `admin: { port: ${new URL(shim.listening.admin as string).port} }`,
    ),
  );
  t.equal((await run(['wait', '-c', file], { env })).code, 0, 'ready');
  await gateway.close();
  const late = await run(['wait', '-c', file, '--timeout', '300ms'], { env });
  t.equal(late.code, 1, 'the gateway is gone');
  t.match(late.stderr, /not ready after 300ms: gateway: it does not answer its health route/);
  t.equal((await run(['wait', '-c', file, '--live'], { env })).code, 0, 'it lives all the same');
});

void t.test('wait asks the admin listener wherever it is, and however it is guarded', async (t) => {
  const gateway = await startGateway({ auth: { mode: 'token', token: GATEWAY_SECRET } });
  t.teardown(() => gateway.close());
  const file = await configure(t, gateway.url);
  const text = await readFile(file, 'utf8');
  const ca = await makeAuthority();
  const { cert, key } = await ca.issue({ dns: ['shim.test'], usage: ['serverAuth'] });
  for (const [name, content] of Object.entries({ 'ca.crt': ca.cert, 'tls.crt': cert, 'tls.key': key })) {
    await writeFile(join(dirname(file), name), content, { mode: 0o600 });
  }
  const folder = await mkdtemp(join(tmpdir(), 'shim-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const wait = () => run(['wait', '-c', file, '--timeout', '3s'], { env: { ...env, ADMIN } });
  const configured = (admin: string): Promise<void> => writeFile(file, text.replace('admin: { port: 0 }', admin));
  const tls = 'tls: { cert: tls.crt, key: tls.key';
  for (const settings of [`{ socket: ${folder}/a`, '{ port: 0, token: { env: ADMIN }', `{ port: 0, ${tls} }`]) {
    await configured(`admin: ${settings} }`);
    const shim = await serve(t, ['-c', file], { env: { ...env, ADMIN } });
    const at = String(shim.listening.admin);
    if (at.startsWith('http')) await configured(`admin: ${settings.replace('port: 0', `port: ${new URL(at).port}`)} }`);
    t.equal((await wait()).code, 0, settings);
    shim.child.kill('SIGTERM');
    await shim.ended;
  }
  await configured(`admin: { port: 1, ${tls}, clientCa: ca.crt } }`);
  const guarded = await wait();
  t.equal(guarded.code, 2);
  t.match(guarded.stderr, /an admin listener that wants a client certificate: add "probes: \{\}"/);
});

void t.test('wait --live without an admin listener asks the public one', async (t) => {
  const configured = await configure(t, 'http://127.0.0.1:9');
  const text = (await readFile(configured, 'utf8')).replace('admin: { port: 0 }\n', '');
  const listening = async (listen: string): Promise<void> =>
    writeFile(configured, text.replace('listen: { port: 0 }', `listen: ${listen}`));
  const live = (...more: string[]) => run(['wait', '-c', configured, '--timeout', '300ms', ...more], { env });

  const wildcards = [
    ['0.0.0.0', '127.0.0.1'],
    ['"::"', '[::1]'],
  ] as const;
  const addresses = Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address));
  for (const [host, asked] of wildcards) {
    if (asked === '[::1]' && !addresses.includes('::1')) {
      t.pass('this machine has no IPv6', { skip: true });
      continue;
    }
    await listening(`{ host: ${host}, port: 0, unsafeListenPlaintext: true }`);
    const shim = await serve(t, ['-c', configured], { env });
    const { port } = new URL(shim.url);
    t.equal((await fetch(`http://${asked}:${port}/`)).status, 401);
    await listening(`{ host: ${host}, port: ${port}, unsafeListenPlaintext: true }`);
    t.equal((await live('--live')).code, 0, host);
    const ready = await live();
    t.equal(ready.code, 2, 'readiness is told by the admin listener alone');
    t.match(ready.stderr, /no admin listener to ask: add "admin: \{\}"/);
    shim.child.kill('SIGKILL');
    await shim.ended;
    const dead = await live('--live');
    t.equal(dead.code, 1);
    t.match(dead.stderr, /not live after 300ms: .*ECONNREFUSED/);
  }
  // The path of a test's folder is too long for one.
  const folder = await mkdtemp(join(tmpdir(), 'shim-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  await listening(`{ socket: ${folder}/s }`);
  t.equal((await live('--live')).code, 1);
  await serve(t, ['-c', configured], { env });
  t.equal((await live('--live')).code, 0, 'unix socket');
});

void t.test('wait --live speaks TLS to a TLS listener, and is no failed handshake there', async (t) => {
  const configured = await configure(t, 'http://127.0.0.1:9');
  const ca = await makeAuthority();
  // Of another name, and of an authority that nobody trusts.
  const { cert, key } = await ca.issue({ dns: ['shim.test'], usage: ['serverAuth'] });
  for (const [name, content] of Object.entries({ 'ca.crt': ca.cert, 'tls.crt': cert, 'tls.key': key })) {
    await writeFile(join(dirname(configured), name), content, { mode: 0o600 });
  }
  const text = (await readFile(configured, 'utf8')).replace('admin: { port: 0 }\n', '');
  const listening = async (port: string | number, client = ''): Promise<void> =>
    writeFile(
      configured,
      text.replace('listen: { port: 0 }', `listen: { port: ${port}, tls: { cert: tls.crt, key: tls.key${client} } }`),
    );
  const live = () => run(['wait', '-c', configured, '--timeout', '300ms', '--live'], { env });
  const failed = (shim: Served): unknown[] => shim.lines().filter(({ msg }) => msg === 'tls handshake failed');

  for (const client of ['', ', clientCa: ca.crt, clientAuth: accept', ', clientCa: ca.crt']) {
    await listening(0, client);
    const shim = await serve(t, ['-c', configured], { env });
    await listening(new URL(shim.url).port, client);
    t.equal((await live()).code, 0, client);
    shim.child.kill('SIGTERM');
    t.equal(await shim.ended, 0);
    const required = client.endsWith('ca.crt');
    t.match(failed(shim), required ? [{ reason: 'no_certificate' }] : [], 'it has no certificate to show');
    t.equal(failed(shim).length, required ? 1 : 0);
    t.equal(shim.lines().filter(({ msg }) => msg === 'request').length, 0, 'nothing is asked');
    const dead = await live();
    t.equal(dead.code, 1);
    t.match(dead.stderr, /not live after 300ms: .*ECONNREFUSED/);
  }
});
