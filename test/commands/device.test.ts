/** `auth-shim device …`, on real files. */
import t, { type Test } from 'tap';
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runDeviceForget, runDeviceList } from '../../src/commands/device.ts';
import { openDeviceStore, type DeviceStore } from '../../src/gateway/device-store.ts';
import { testWorld, type TestWorld } from '../helpers/world.ts';

const config = 'shim.config.yaml';

/** @returns the world of a command, whose configuration keeps identities in `devices` unless told otherwise */
function folder(t: Test, more = ', deviceStore: devices'): { world: TestWorld; store: DeviceStore } {
  const auth = '{ mode: token, secret: { env: OPENCLAW_GATEWAY_TOKEN } }';
  const world = testWorld(
    t.testdir({
      [config]: `gateway: { url: "http://127.0.0.1:18789", auth: ${auth}${more} }\ncallers: [{ name: page }, { name: cron }]\n`,
    }),
  );
  return { world, store: openDeviceStore({ folder: join(world.cwd, 'devices') }, { now: world.now }) };
}

const CREATED = '2026-12-01T00:00:00.000Z';

void t.test('list: who has which, and how to find it at the gateway', async (t) => {
  const { world, store } = folder(t);
  const [page, gone] = [await store.get('page'), await store.get('gone')];
  t.equal(await runDeviceList(world, { config }), 0);
  t.same(world.out().split('\n'), [
    `CALLER  DEVICE${' '.repeat(60)}CREATED`,
    `gone    ${gone.id}  ${CREATED}`,
    `page    ${page.id}  ${CREATED}`,
    '',
  ]);
  t.same(world.err().split('\n'), [
    '"gone" is no longer in shim.config.yaml: auth-shim device forget gone',
    "The gateway's own records: openclaw devices list. To remove one of them there:",
    `  openclaw devices remove ${gone.id}  # gone`,
    `  openclaw devices remove ${page.id}  # page`,
    '',
  ]);
});

void t.test('list: as JSON', async (t) => {
  const { world, store } = folder(t);
  const [page, gone] = [await store.get('page'), await store.get('gone')];
  t.equal(await runDeviceList(world, { config, json: true }), 0);
  const createdAt = CREATED;
  const remove = 'openclaw devices remove';
  t.strictSame(JSON.parse(world.out()), [
    { caller: 'gone', deviceId: gone.id, createdAt, configured: false, remove: `${remove} ${gone.id}` },
    { caller: 'page', deviceId: page.id, createdAt, configured: true, remove: `${remove} ${page.id}` },
  ]);
  t.equal(world.err(), '"gone" is no longer in shim.config.yaml: auth-shim device forget gone\n');
});

void t.test('list: nothing yet', async (t) => {
  const { world } = folder(t);
  t.equal(await runDeviceList(world, { config }), 0);
  t.equal(world.out(), 'CALLER  DEVICE  CREATED\n');
  t.equal(world.err(), '');
  t.notOk(existsSync(join(world.cwd, 'devices')));
});

void t.test('list: where the secret of the gateway is not', async (t) => {
  const { world, store } = folder(t);
  const { id } = await store.get('page');
  const bare = testWorld(world.cwd, { env: {} });
  t.equal(await runDeviceList(bare, { config }), 0);
  t.match(bare.out(), id);
});

void t.test('list: what cannot be used is told beside the others', async (t) => {
  const { world, store } = folder(t);
  const cron = await store.get('cron');
  await store.get('page');
  chmodSync(join(world.cwd, 'devices', 'page.json'), 0o644);
  t.equal(await runDeviceList(world, { config }), 1);
  t.match(world.out(), cron.id);
  t.match(world.err(), /page\.json has mode 0644: others may know its key/);
});

void t.test('no folder to look into', async (t) => {
  for (const [more, says] of [
    ['', /^shim.config.yaml has no gateway.deviceStore/],
    [', deviceStore: memory', /a command cannot see what a running shim has there/],
  ] as const) {
    const { world } = folder(t, more);
    t.equal(await runDeviceList(world, { config }), 1);
    t.equal(await runDeviceForget(world, { config, name: 'page' }), 1);
    t.equal(world.out(), '');
    t.match(world.err(), says);
  }
});

void t.test('a configuration with faults', async (t) => {
  const { world } = folder(t, ', deviceStore: []');
  t.equal(await runDeviceList(world, { config }), 78);
  t.equal(await runDeviceForget(world, { config, name: 'page' }), 78);
  t.match(world.err(), /gateway.deviceStore: expected memory, or the path of a folder/);
  const missing = testWorld(world.cwd);
  t.equal(await runDeviceList(missing, { config: 'missing.yaml' }), 78);
  t.match(missing.err(), /missing.yaml: the configuration does not exist/);
});

void t.test('the folder is where the configuration is, not where the command runs', async (t) => {
  const { world, store } = folder(t);
  const { id } = await store.get('page');
  mkdirSync(join(world.cwd, 'below'));
  const below = testWorld(join(world.cwd, 'below'));
  t.equal(await runDeviceList(below, { config: `../${config}` }), 0);
  t.match(below.out(), id);
});

void t.test('forget: the identity goes, and the command for its record is alone on stdout', async (t) => {
  const { world, store } = folder(t);
  const [page] = [await store.get('page'), await store.get('cron')];
  t.equal(await runDeviceForget(world, { config, name: 'page' }), 0);
  t.equal(world.out(), `openclaw devices remove ${page.id}\n`);
  t.match(world.err(), /^the device identity of "page" is removed; its next connect makes a new one\n/);
  t.same(readdirSync(join(world.cwd, 'devices')), ['cron.json']);
  t.not((await store.get('page')).id, page.id);
});

void t.test('forget: a caller that is configured no more', async (t) => {
  const { world, store } = folder(t);
  const { id } = await store.get('gone');
  t.equal(await runDeviceForget(world, { config, name: 'gone' }), 0);
  t.equal(world.out(), `openclaw devices remove ${id}\n`);
});

void t.test('forget: one that cannot be read', async (t) => {
  const { world, store } = folder(t);
  await store.get('page');
  writeFileSync(join(world.cwd, 'devices', 'page.json'), 'torn');
  t.equal(await runDeviceForget(world, { config, name: 'page' }), 0);
  t.equal(world.out(), '');
  t.match(world.err(), /It could not be read.*"openclaw devices list" shows it as shim:page/);
  t.same(readdirSync(join(world.cwd, 'devices')), []);
});

void t.test('forget: there is none', async (t) => {
  const { world, store } = folder(t);
  await store.get('page');
  t.equal(await runDeviceForget(world, { config, name: 'pgae' }), 1);
  t.match(world.err(), /there is no device identity of "pgae" \(did you mean "page"\?\)/);
  t.equal(await runDeviceForget(world, { config, name: '../page' }), 2);
  t.match(world.err(), /expected a name of 1 to 128/);
  t.equal(world.out(), '');
  t.same(readdirSync(join(world.cwd, 'devices')), ['page.json']);
});
