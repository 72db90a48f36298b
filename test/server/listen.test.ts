import {
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { listen } from '../../src/server/listen.ts';

const umask = (mask: number): number => process.umask(mask);

/** Paths of sockets are short. */
function folderOf(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'auth-shim-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

function serverOf(t: Test): Server {
  const server = createServer((_, res) => res.end());
  t.teardown(() => server.listening && new Promise((resolve) => server.close(resolve)));
  return server;
}

void t.test('a socket has its mode before anybody can connect to it', async (t) => {
  const path = join(folderOf(t), 's');
  const before = process.umask(0);
  t.teardown(() => process.umask(before));
  for (const mode of [0o600, 0o660, 0o777]) {
    const server = serverOf(t);
    let first: number | undefined;
    const bind = server.listen.bind(server);
    server.listen = ((where: { path: string }) => {
      bind(where);
      // It takes connections from here on.
      first = statSync(where.path).mode & 0o777;
      return server;
    }) as typeof server.listen;
    await listen(server, { socket: path, mode }, umask);
    t.equal(first, mode, mode.toString(8));
    t.equal(statSync(path).mode & 0o777, mode);
    t.equal(process.umask(0), 0, 'the mask is what it was');
    await new Promise((resolve) => server.close(resolve));
  }
});

void t.test('the socket of another server is left', async (t) => {
  const folder = folderOf(t);
  const path = join(folder, 's');
  const [old, young, third] = [serverOf(t), serverOf(t), serverOf(t)];
  await listen(old, { socket: path, mode: 0o600 });
  rmSync(path);
  await listen(young, { socket: path, mode: 0o600 });
  await new Promise((resolve) => old.close(resolve));
  t.strictSame(readdirSync(folder), ['s'], 'the end of the one before it takes nothing away');
  await t.rejects(listen(third, { socket: path, mode: 0o600 }), { name: 'ListenError' }, 'and it answers');
  t.strictSame(readdirSync(folder), ['s']);
  await new Promise((resolve) => young.close(resolve));
  t.strictSame(readdirSync(folder), [], 'its own end does');

  linkSync(await staleSocket(folder), path);
  const both = await Promise.allSettled(
    [serverOf(t), serverOf(t)].map((server) => listen(server, { socket: path, mode: 0o600 })),
  );
  t.strictSame(both.map(({ status }) => status).sort(), ['fulfilled', 'rejected'], 'of two at once one gets it');
});

/** As a process leaves it that was killed. */
async function staleSocket(folder: string): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(join(folder, 'dying'), resolve));
  linkSync(join(folder, 'dying'), join(folder, 'left'));
  await new Promise((resolve) => server.close(resolve));
  return join(folder, 'left');
}

void t.test('the mask of the process does not narrow it', async (t) => {
  const path = join(folderOf(t), 's');
  const before = process.umask(0o77);
  t.teardown(() => process.umask(before));
  await listen(serverOf(t), { socket: path, mode: 0o666 }, umask);
  t.equal(statSync(path).mode & 0o777, 0o666);
  t.equal(process.umask(0o77), 0o77);
});

void t.test('only a socket that nobody answers on is removed', async (t) => {
  const folder = folderOf(t);
  const path = (name: string): string => join(folder, name);
  const alive = serverOf(t);
  await listen(alive, { socket: path('alive'), mode: 0o600 });
  const dying = serverOf(t);
  await listen(dying, { socket: path('dying'), mode: 0o600 });
  linkSync(path('dying'), path('left'));
  await new Promise((resolve) => dying.close(resolve));
  symlinkSync('left', path('link'));
  writeFileSync(path('file'), 'mine');
  mkdirSync(path('folder'));
  for (const [name, says] of [
    ['alive', /^another program has the socket .*\/alive: end it, or name another path$/],
    ['link', /\/link is a symbolic link, and no socket: take it away/],
    ['file', /\/file is a file, and no socket: take it away, or name another path$/],
    ['folder', /\/folder is a folder, and no socket/],
  ] as const) {
    const { ino } = lstatSync(path(name));
    const { message } = await listen(serverOf(t), { socket: path(name), mode: 0o777 }).then(
      () => ({ message: 'it listens' }),
      (error: Error) => error,
    );
    t.match(message, says);
    t.equal(lstatSync(path(name)).ino, ino, 'and is left as it was');
  }
  t.equal(statSync(path('alive')).mode & 0o777, 0o600);
  await listen(serverOf(t), { socket: path('left'), mode: 0o600 });
  for (const name of ['alive', 'left']) {
    await new Promise<void>((resolve, reject) => {
      const socket = connect(path(name), () => resolve(void socket.destroy())).once('error', reject);
    });
  }
});

void t.test('why an address cannot be listened on, and what to do', async (t) => {
  const folder = folderOf(t);
  writeFileSync(join(folder, 'file'), '');
  const busy = serverOf(t);
  await listen(busy, { host: '127.0.0.1', port: 0 });
  const { port } = busy.address() as AddressInfo;
  const long = join(folder, 'x'.repeat(108));
  for (const [where, says] of [
    [{ socket: join(folder, 'none', 's'), mode: 0o600 }, /\/none does not exist: make it first$/],
    [{ socket: join(folder, 'file', 's'), mode: 0o600 }, /\/file is no folder: name a path in one$/],
    [{ socket: long, mode: 0o600 }, /x is too long: the path of a socket has at most 107 bytes$/],
    [{ socket: '/proc/s', mode: 0o600 }, /^this user may not make a socket in \/proc$/],
    [{ host: '127.0.0.1', port }, new RegExp(`^another program listens on 127\\.0\\.0\\.1:${port}: end it`)],
    [{ host: '192.0.2.1', port: 0 }, /^192\.0\.2\.1 is no address of this machine$/],
    [{ host: 'nobody.invalid', port: 0 }, /^nobody\.invalid does not resolve to an address now$/],
  ] as const) {
    await t.rejects(listen(serverOf(t), where), { name: 'ListenError', message: says, cause: { code: /^E/ } });
  }
});
