/** Who looks at the page: what they are told when. Time is the tests' own. */
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mock } from 'node:test';
import t, { type Test } from 'tap';
import type { CertificateInUse } from '../../src/config/config.ts';
import { Recent } from '../../src/observe/recent.ts';
import type { Check } from '../../src/server/health.ts';
import { ReloadState } from '../../src/server/reload-state.ts';
import { createStatusPage, type StatusPage } from '../../src/server/status-page.ts';
import type { ProviderRow } from '../../src/status/state.ts';
import { testConfig } from '../helpers/config.ts';
import { openRaw, type RawConnection } from '../helpers/raw.ts';

const NOW = Date.UTC(2026, 11, 1, 12);

t.before(() => mock.timers.enable({ apis: ['setInterval'] }));
t.after(() => mock.timers.reset());

interface World {
  readonly page: StatusPage;
  readonly recent: Recent;
  readonly reload: ReloadState;
  readonly providers: ProviderRow[];
  certificates: CertificateInUse[];
  checks: Check[];
  /** How often health was asked for. */
  asked: number;
  /** Answers of all views, on the side of the shim. */
  readonly answers: ServerResponse[];
  look(): Promise<RawConnection>;
  /** Seconds go by. */
  pass(seconds: number): void;
}

async function start(t: Test): Promise<World> {
  let now = 0;
  const recent = new Recent(() => NOW + now);
  const reload = new ReloadState(NOW);
  const answers: ServerResponse[] = [];
  const page = createStatusPage(
    {
      program: { version: '1.2.3', node: '24.0.0', startedMs: NOW },
      config: () => ({ ...testConfig(), certificates: world.certificates }),
      recent,
      open: () => ({ requests: 0, streams: 0, sockets: 0 }),
      eachOpen: () => undefined,
      reload: () => reload.part,
      providers: () => world.providers,
      now: () => NOW + now,
    },
    async () => {
      world.asked += 1;
      return world.checks;
    },
    () => now,
  );
  const server = createServer((_, res) => {
    answers.push(res);
    page.view(res);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const world: World = {
    page,
    recent,
    reload,
    providers: [],
    certificates: [],
    checks: [{ name: 'gateway', ok: true }],
    asked: 0,
    answers,
    async look() {
      const raw = await openRaw(t, (server.address() as AddressInfo).port);
      raw.send('GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n');
      await raw.until((text) => text.includes('event: hour'));
      return raw;
    },
    pass(seconds) {
      for (let i = 0; i < seconds; i++) {
        now += 1_000;
        mock.timers.tick(1_000);
      }
    },
  };
  return world;
}

const told = (text: string, name: string): string[] =>
  [...text.matchAll(new RegExp(`^event: ${name}\\ndata: (.*)$`, 'gm'))].map(([, data = '']) => data);

void t.test('a part is told once, and again when it changes', async (t) => {
  const world = await start(t);
  const raw = await world.look();
  t.strictSame(told(raw.text, 'clock'), [String(NOW)]);
  t.strictSame(told(raw.text, 'reload'), [`{"takenMs":${NOW},"triedMs":${NOW},"faults":[],"waiting":[]}`]);
  world.reload.told(NOW + 1, '1 fault, see the log', [], ['f.yaml:2:1 admin.host: wrong']);
  world.certificates = [{ key: 'listen.tls.cert', notAfter: NOW + 5 }];
  world.providers.push({ name: 'idp', heardMs: NOW - 7, failing: true });
  world.pass(3);
  await raw.until((text) => told(text, 'providers').length === 2);
  t.equal(told(raw.text, 'reload').length, 2);
  t.match(told(raw.text, 'reload')[1], `"triedMs":${NOW + 1},"faults":["f.yaml:2:1 admin.host: wrong"]`);
  t.equal(told(raw.text, 'certificates')[1], `[{"key":"listen.tls.cert","notAfter":${NOW + 5}}]`);
  t.equal(told(raw.text, 'providers')[1], `[{"name":"idp","heardMs":${NOW - 7},"failing":true}]`);
  for (const name of ['about', 'tokens', 'refusals', 'callers']) t.equal(told(raw.text, name).length, 1, name);
});

void t.test('something is said each 15 seconds', async (t) => {
  const world = await start(t);
  const raw = await world.look();
  world.pass(46);
  await raw.until((text) => told(text, 'clock').length === 4);
  t.strictSame(
    told(raw.text, 'clock').map((at) => Number(at) - NOW),
    [0, 15_000, 30_000, 45_000],
  );
});

void t.test('the gateway is asked each five seconds, and by nobody where nobody looks', async (t) => {
  const world = await start(t);
  world.pass(30);
  t.equal(world.asked, 0);
  const views = await Promise.all([world.look(), world.look(), world.look()]);
  world.pass(20);
  t.equal(world.asked, 5);
  const closed = world.answers.map((res) => once(res, 'close'));
  for (const { socket } of views) socket.destroy();
  await Promise.all(closed);
  world.pass(60);
  t.equal(world.asked, 5);
  const later = await world.look();
  t.match(told(later.text, 'health')[0], /^\{"open"/, 'what was so a minute ago is not told');
});

void t.test('whoever does not read is not waited for', async (t) => {
  const world = await start(t);
  const raw = await world.look();
  raw.socket.pause();
  const [res] = world.answers as [ServerResponse];
  const closed = once(res, 'close');
  for (let i = 0; i < 500 && !res.destroyed; i++) {
    world.reload.told(NOW + i, 'x', [], ['y'.repeat(100_000)]);
    world.pass(1);
  }
  await closed;
  t.ok(res.destroyed);
  t.ok(res.writableLength < 3 * 1024 * 1024, `${res.writableLength}`);
});

void t.test('the state of a reload, in words and in parts', async (t) => {
  const state = new ReloadState(1);
  t.equal(state.detail, undefined);
  state.told(2, undefined, ['admin.port'], []);
  t.equal(state.detail, 'a restart is due for admin.port');
  state.told(3, '2 faults, see the log', [], []);
  t.equal(state.detail, 'the last reload failed, the one before runs: 2 faults, see the log');
  t.strictSame(state.part, { takenMs: 2, triedMs: 3, faults: ['2 faults, see the log'], waiting: ['admin.port'] });
  state.told(
    4,
    '40 faults',
    [],
    Array.from({ length: 40 }, () => 'x'),
  );
  t.equal(state.part.faults.length, 20);
  state.told(5, undefined, [], []);
  t.strictSame(state.part, { takenMs: 5, triedMs: 5, faults: [], waiting: [] });
});
