/** The store of device identities, on real files and in several processes. */
import { execFileSync, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import {
  chownSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { inspect } from 'node:util';
import t, { type Test } from 'tap';
import { createDevice } from '../../src/gateway/device.ts';
import { openDeviceStore, ownUser, type DeviceStore, type DeviceStoreError } from '../../src/gateway/device-store.ts';

const NOW = Date.UTC(2026, 11, 1);

interface Opened {
  readonly folder: string;
  readonly store: DeviceStore;
  readonly path: (caller: string) => string;
}

/** @returns a store whose folder is not there yet */
function open(t: Test): Opened {
  const folder = join(t.testdir(), 'var', 'devices');
  return {
    folder,
    store: openDeviceStore({ folder }, { now: () => NOW }),
    path: (caller) => join(folder, `${caller}.json`),
  };
}

const modeOf = (path: string): number => statSync(path).mode & 0o7777;

void t.test('an identity is made when it is first asked for, for this user alone', async (t) => {
  const { folder, store, path } = open(t);
  t.same(await store.list(), { devices: [], faults: [] });
  t.notOk(existsSync(folder), 'looking makes nothing');
  const before = process.umask(0);
  t.teardown(() => process.umask(before));
  const device = await store.get('page@host-1.x_y');
  t.same([modeOf(folder), modeOf(join(folder, '..')), modeOf(path('page@host-1.x_y'))], [0o700, 0o700, 0o600]);
  t.strictSame(JSON.parse(readFileSync(path('page@host-1.x_y'), 'utf8')), {
    caller: 'page@host-1.x_y',
    deviceId: device.id,
    privateKey: device.toPem(),
    createdAt: '2026-12-01T00:00:00.000Z',
  });
  t.same(readdirSync(folder), ['page@host-1.x_y.json'], 'no temporary file is left');
  t.equal((await store.get('page@host-1.x_y')).id, device.id);
  t.equal(store.instance, undefined);
});

void t.test('another start has the same identities, each caller its own', async (t) => {
  const { folder, store } = open(t);
  const [page, cron] = [await store.get('page'), await store.get('cron')];
  t.not(page.id, cron.id);
  const again = openDeviceStore({ folder });
  t.equal((await again.get('page')).sign('x'), page.sign('x'));
  t.same(await again.list(), {
    devices: [
      { caller: 'cron', id: cron.id, createdAt: NOW },
      { caller: 'page', id: page.id, createdAt: NOW },
    ],
    faults: [],
  });
});

void t.test('many at once get one identity, and one key is written', async (t) => {
  const { folder, store } = open(t);
  const others = openDeviceStore({ folder });
  const all = await Promise.all(Array.from({ length: 64 }, (_, n) => (n % 2 ? store : others).get('page')));
  t.equal(new Set(all.map(({ id }) => id)).size, 1);
  t.same(readdirSync(folder), ['page.json']);
  const alone = await Promise.all(Array.from({ length: 64 }, () => store.get('cron')));
  t.equal(new Set(alone).size, 1, 'within one store they wait for the same one');
});

void t.test('replaced and forgotten elsewhere', async (t) => {
  const { folder, store } = open(t);
  const elsewhere = openDeviceStore({ folder }, { now: () => NOW + 1000 });
  const first = await store.get('page');
  const accepted = createDevice();
  await elsewhere.replace('page', accepted);
  t.equal((await store.get('page')).id, accepted.id);
  t.same((await store.list()).devices, [{ caller: 'page', id: accepted.id, createdAt: NOW + 1000 }]);
  t.equal(modeOf(join(folder, 'page.json')), 0o600);
  t.equal(await elsewhere.forget('page'), true);
  t.equal(await elsewhere.forget('page'), false);
  t.same(await store.list(), { devices: [], faults: [] });
  t.notOk([first.id, accepted.id].includes((await store.get('page')).id));
  await elsewhere.replace('never-asked', accepted);
  t.equal((await store.get('never-asked')).id, accepted.id);
  t.same(readdirSync(folder).sort(), ['never-asked.json', 'page.json']);
});

const NAMES = [
  '',
  '.',
  '..',
  '../page',
  'a/',
  '/a',
  'a/ b',
  'a/ä',
  `a/${'b'.repeat(129)}`,
  `a/${'/'.repeat(90)}`,
  '.page',
  '-page',
  'a\0b',
  'a\n',
  'a b',
  'ä',
  'a'.repeat(129),
];

void t.test('a name that would lead elsewhere', async (t) => {
  const { folder, store } = open(t);
  for (const caller of NAMES) {
    const is = { name: 'DeviceStoreError', fault: 'name', caller: undefined };
    await t.rejects(store.get(caller), is, JSON.stringify(caller));
    await t.rejects(store.replace(caller, createDevice()), is);
    await t.rejects(store.forget(caller), is);
  }
  t.notOk(existsSync(folder));
  t.ok((await store.get('a'.repeat(128))).id);
});

void t.test('callers of another shim have file names that lead nowhere else', async (t) => {
  const { folder, store } = open(t);
  const elsewhere = openDeviceStore({ folder });
  const callers = ['laptop/web', 'laptop/../../web', 'laptop/a/b', 'laptop/%2f', 'laptop/.json', 'laptop/Web'];
  const ids = new Map<string, string>();
  for (const caller of callers) ids.set(caller, (await store.get(caller)).id);
  t.equal(new Set(ids.values()).size, callers.length);
  for (const caller of callers) t.equal((await elsewhere.get(caller)).id, ids.get(caller), caller);
  const files = ['..%2f..%2fweb', 'a%2fb', '%252f', '.json', 'Web', 'web'].map((file) => `laptop%2f${file}.json`);
  t.same(readdirSync(folder).sort(), files.sort());
  writeFileSync(join(folder, 'laptop%2F.json'), '{}');
  writeFileSync(join(folder, '%6captop.json'), '{}');
  const { devices, faults } = await store.list();
  t.same(devices.map(({ caller }) => caller), [...callers].sort(), 'what is spelled otherwise is not of the store'); // prettier-ignore
  t.same(faults, []);
  t.equal(await store.forget('laptop/a/b'), true);
});

void t.test('nor when many ask at once', async (t) => {
  const { folder, store } = open(t);
  await store.get('own');
  for (let i = 0; i < 990; i++) writeFileSync(join(folder, `laptop%2f${i}.json`), '');
  const asked = await Promise.allSettled(Array.from({ length: 40 }, (_, i) => store.get(`laptop/at-once-${i}`)));
  t.equal(asked.filter(({ status }) => status === 'fulfilled').length, 10);
  t.equal(readdirSync(folder).length, 1_001);
  await store.get('web');
});

void t.test('callers of other shims get no more than 1,000', async (t) => {
  const { folder, store } = open(t);
  await store.get('own');
  for (let i = 0; i < 1000; i++) writeFileSync(join(folder, `laptop%2f${i}.json`), '');
  await t.rejects(store.get('laptop/one-more'), { name: 'DeviceStoreError', fault: 'full', caller: 'laptop/one-more' });
  t.ok((await store.get('another')).id, 'a caller of this shim is not one of them');
  t.ok((await store.get('other/one')).id, 'nor one of another shim');
  await store.forget('laptop/7');
  t.ok((await store.get('laptop/one-more')).id);

  const memory = openDeviceStore('memory');
  for (let i = 0; i < 1000; i++) await memory.get(`laptop/${i}`);
  await t.rejects(memory.get('laptop/one-more'), { name: 'DeviceStoreError', fault: 'full' });
  t.ok((await memory.get('laptop/7')).id);
  t.ok((await memory.get('own')).id);
});

const text = (change: (written: Record<string, unknown>) => object) => (path: string) =>
  writeFileSync(path, JSON.stringify(change(JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>)));
const ed448 = (): string => generateKeyPairSync('ed448').privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;

const UNFIT: readonly { name: string; fault: string; says: RegExp; make: (path: string) => void }[] = [
  { name: 'empty', fault: 'damaged', says: /is damaged: it holds no/, make: (path) => writeFileSync(path, '') },
  {
    name: 'cut',
    fault: 'damaged',
    says: /is damaged: it holds no/,
    make: (path) => writeFileSync(path, readFileSync(path, 'utf8').slice(0, 250)),
  },
  {
    // The parser's own words would quote what it stands before.
    name: 'from the middle of the key on',
    fault: 'damaged',
    says: /is damaged: it holds no/,
    make: (path) => writeFileSync(path, readFileSync(path, 'utf8').replace(/^.*BEGIN PRIVATE KEY-----\\n.{24}/s, '')),
  },
  { name: 'zeros', fault: 'damaged', says: /is damaged/, make: (path) => writeFileSync(path, '\0'.repeat(400)) },
  { name: 'a list', fault: 'damaged', says: /is damaged/, make: (path) => writeFileSync(path, '[]') },
  { name: 'no id', fault: 'damaged', says: /is damaged/, make: text((all) => ({ ...all, deviceId: undefined })) },
  { name: 'no key', fault: 'damaged', says: /is damaged/, make: text((all) => ({ ...all, privateKey: 'x' })) },
  { name: 'a key of Ed448', fault: 'damaged', says: /is damaged/, make: text((all) => ({ ...all, privateKey: ed448() })) }, // prettier-ignore
  { name: 'no date', fault: 'damaged', says: /is damaged/, make: text((all) => ({ ...all, createdAt: 'soon' })) },
  {
    name: 'another key',
    fault: 'damaged',
    says: /its key is not the one of its device id/,
    make: text((all) => ({ ...all, privateKey: createDevice().toPem() })),
  },
  {
    name: 'another caller',
    fault: 'damaged',
    says: /the identity of another caller/,
    make: text((all) => ({ ...all, caller: 'Page' })),
  },
  {
    name: 'too large',
    fault: 'damaged',
    says: /is too large/,
    make: text((all) => ({ ...all, more: ' '.repeat(4096) })),
  },
  { name: 'read by the group', fault: 'exposed', says: /mode 0640: others may know/, make: (path) => chmodSync(path, 0o640) }, // prettier-ignore
  { name: 'read by all', fault: 'exposed', says: /mode 0604: others/, make: (path) => chmodSync(path, 0o604) },
  { name: 'written by all', fault: 'exposed', says: /mode 0602: others/, make: (path) => chmodSync(path, 0o602) },
  {
    name: 'a link',
    fault: 'exposed',
    says: /is a symbolic link/,
    make: (path) => {
      renameSync(path, `${path}.real`);
      symlinkSync(`${path}.real`, path);
    },
  },
  {
    name: 'a link to nothing',
    fault: 'exposed',
    says: /is a symbolic link/,
    make: (path) => {
      rmSync(path);
      symlinkSync('nowhere', path);
    },
  },
  {
    name: 'a FIFO',
    fault: 'damaged',
    says: /is no plain file/,
    make: (path) => {
      rmSync(path);
      execFileSync('mkfifo', ['-m', '600', path]);
    },
  },
];

void t.test('a file that cannot be trusted is told, and never replaced by itself', async (t) => {
  for (const { name, fault, says, make } of UNFIT) {
    await t.test(name, async (t) => {
      const { folder, store, path } = open(t);
      const key = /PRIVATE KEY-----\n(.*)\n/.exec((await store.get('page')).toPem())?.[1] ?? '';
      const other = await store.get('other');
      make(path('page'));
      const before = readdirSync(folder).sort();
      const error: unknown = await store.get('page').catch((error: unknown) => error);
      t.match(error, { name: 'DeviceStoreError', fault, caller: 'page', message: says });
      t.match(error, { message: /"auth-shim device forget page" removes it/ });
      for (let from = 0; from < 64; from += 8) {
        t.notOk(inspect(error, { depth: 9 }).includes(key.slice(from, from + 8)), 'nothing of the key is in the error');
      }
      await t.rejects(store.get('page'), { fault, message: says }, 'asking again changes nothing');
      t.same(readdirSync(folder).sort(), before);
      const { devices, faults } = await store.list();
      t.match([devices, faults], [[{ caller: 'other', id: other.id }], [{ caller: 'page', fault }]]);
      t.equal(devices.length + faults.length, 2);
      t.equal(await store.forget('page'), true);
      t.match((await store.get('page')).id, /^[0-9a-f]{64}$/);
    });
  }
});

void t.test('a new key takes the place of a link, not of what it leads to', async (t) => {
  const { folder, store, path } = open(t);
  const device = createDevice();
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(join(folder, 'real'), 'precious');
  symlinkSync('real', path('page'));
  await store.replace('page', device);
  t.equal(readFileSync(join(folder, 'real'), 'utf8'), 'precious');
  t.equal((await store.get('page')).id, device.id);
});

void t.test('a folder where others could put a file', async (t) => {
  const { folder, store } = open(t);
  await store.get('page');
  for (const mode of [0o777, 0o1777, 0o720, 0o702]) {
    chmodSync(folder, mode);
    const is = { fault: 'exposed', message: /others may write to .*devices \(mode [01]7/ };
    await t.rejects(store.get('page'), is);
    await t.rejects(store.get('new'), is);
    await t.rejects(store.replace('page', createDevice()), is);
    t.match(await store.list(), { devices: [{ caller: 'page' }], faults: [is] });
  }
  chmodSync(folder, 0o755);
  t.ok((await store.get('page')).id);
  t.same(readdirSync(folder), ['page.json']);
});

void t.test('what the system refuses is told', async (t) => {
  const dir = t.testdir({ file: '' });
  const under = openDeviceStore({ folder: join(dir, 'file') });
  await t.rejects(under.get('page'), { fault: 'disk', message: /file is no folder/ });
  const below = openDeviceStore({ folder: join(dir, 'file', 'below') });
  await t.rejects(below.get('page'), { fault: 'disk', message: /below does not exist/ });
  await t.rejects(below.replace('page', createDevice()), { fault: 'disk', message: /below does not exist/ });
  t.match(await below.list(), { devices: [], faults: [{ fault: 'disk', message: /below does not exist/ }] });
  await t.rejects(below.forget('page'), { fault: 'disk', message: /page.json cannot be removed \(ENOTDIR\)/ });
  mkdirSync(join(dir, 'page.json'), { mode: 0o700 });
  const store = openDeviceStore({ folder: dir });
  await t.rejects(store.replace('page', createDevice()), { fault: 'disk', message: /page.json cannot be written \(E/ });
  await t.rejects(store.forget('page'), { fault: 'disk', message: /page.json cannot be removed \(E/ });
  t.same(readdirSync(dir).sort(), ['file', 'page.json']);
});

void t.test('what is no identity is not listed', async (t) => {
  const { folder, store } = open(t);
  const { id } = await store.get('page');
  for (const name of ['.0123456789abcdef.new', '.page.json', 'README', 'a b.json', 'page.json.bak', '.json']) {
    writeFileSync(join(folder, name), '{ "half');
  }
  t.same(await store.list(), { devices: [{ caller: 'page', id, createdAt: NOW }], faults: [] });
});

void t.test('memory: an instance of its own', async (t) => {
  const [store, other] = [openDeviceStore('memory', { now: () => NOW }), openDeviceStore('memory')];
  t.match(store.instance, /^[0-9a-f]{8}$/);
  t.not(store.instance, other.instance);
  const [page, again] = await Promise.all([store.get('page'), store.get('page')]);
  t.equal(page, again);
  t.not((await other.get('page')).id, page.id);
  const cron = createDevice();
  await store.replace('cron', cron);
  t.equal(await store.get('cron'), cron);
  t.same(await store.list(), {
    devices: [
      { caller: 'cron', id: cron.id, createdAt: NOW },
      { caller: 'page', id: page.id, createdAt: NOW },
    ],
    faults: [],
  });
  t.equal(await store.forget('page'), true);
  t.equal(await store.forget('page'), false);
  t.not((await store.get('page')).id, page.id);
});

const STORE = JSON.stringify(new URL('../../src/gateway/device-store.ts', import.meta.url).href);
const DEVICE = JSON.stringify(new URL('../../src/gateway/device.ts', import.meta.url).href);

/** Runs a module in a process of its own; `store` is in it. It begins once a line comes on its stdin. */
function spawnStore(t: Test, folder: string, body: string) {
  const code = `
    import { once } from 'node:events';
    import { openDeviceStore } from ${STORE};
    import { createDevice } from ${DEVICE};
    const store = openDeviceStore({ folder: ${JSON.stringify(folder)} });
    console.log('ready');
    await once(process.stdin, 'data');
    process.stdin.unref?.();
    ${body}
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const ended = once(child, 'close');
  t.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return {
    child,
    ended,
    next: async (): Promise<string> => String((await lines.next()).value),
    begin: (): void => void child.stdin.end('go\n'),
  };
}

void t.test('processes that share a folder agree on each identity', async (t) => {
  const { folder, store } = open(t);
  const callers = Array.from({ length: 40 }, (_, n) => `caller-${n}`);
  const body = `
    const ids = [];
    for (const caller of ${JSON.stringify(callers)}) ids.push((await store.get(caller)).id);
    console.log(JSON.stringify(ids));
    process.exit();
  `;
  const processes = Array.from({ length: 4 }, () => spawnStore(t, folder, body));
  for (const { next } of processes) t.equal(await next(), 'ready');
  for (const { begin } of processes) begin();
  const [first, ...others] = await Promise.all(processes.map(({ next }) => next()));
  for (const other of others) t.equal(other, first);
  const { devices, faults } = await store.list();
  t.same(faults, []);
  t.same(new Map(devices.map(({ caller, id }) => [caller, id])), new Map(callers.map((caller, n) => [caller, (JSON.parse(first ?? '') as string[])[n]]))); // prettier-ignore
  t.equal(readdirSync(folder).length, callers.length);
});

void t.test('a reader sees one identity or the other, also when the writer is killed', async (t) => {
  const { folder, store } = open(t);
  const body = `
    for (;;) {
      const device = createDevice();
      await store.replace('page', device);
      console.log(device.id);
    }
  `;
  await store.get('page');
  for (let round = 0; round < 3; round++) {
    const writer = spawnStore(t, folder, body);
    t.equal(await writer.next(), 'ready');
    writer.begin();
    const seen = new Set<string>();
    while (seen.size < 20) seen.add((await store.get('page')).id);
    writer.child.kill('SIGKILL');
    await writer.ended;
    t.match(await store.list(), { devices: [{ caller: 'page' }], faults: [] });
    t.match((await store.get('page')).id, /^[0-9a-f]{64}$/);
  }
});

void t.test(
  'what belongs to another user is not taken, but for root',
  { skip: ownUser() !== 0 && 'needs root' },
  async (t) => {
    const folder = t.testdir({});
    chmodSync(folder, 0o700);
    const mine = openDeviceStore({ folder });
    const { id } = await mine.get('a');
    const as = (owner: number | undefined): Promise<string> =>
      openDeviceStore({ folder }, { owner })
        .get('a')
        .then(
          (device) => device.id,
          (error: DeviceStoreError) => error.message,
        );
    t.equal(await as(1000), id, "root's");
    chownSync(join(folder, 'a.json'), 1000, 1000);
    t.match(await as(0), /a\.json belongs to another user \(1000\), who knows its key/);
    t.equal(await as(1000), id, 'its own');
    chownSync(join(folder, 'a.json'), 0, 0);
    chownSync(folder, 1000, 1000);
    t.match(await as(0), /belongs to another user \(1000\), who can put an identity there/);
    t.equal(await as(1000), id);
    t.equal(await as(undefined), id, 'a command looks at all');
  },
);
