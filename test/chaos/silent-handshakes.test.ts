/** Five hundred who connect to the TLS port, or begin a handshake, and leave it at that. */
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import t, { type Test } from 'tap';
import { commandGateway, startFrom, type ChaosShim } from '../helpers/chaos.ts';
import { makeAuthority } from '../helpers/certificates.ts';
import { openOver, openRaw, type RawConnection } from '../helpers/raw.ts';
import { get } from '../helpers/request-bytes.ts';
import { callers, TOKENS } from '../helpers/stack.ts';

const LIMIT_MS = 10_000;
/** On a busy machine. */
const LATEST_MS = 14_000;
/** A valid request beside them. */
const SLOWEST_MS = 1_000;
/** What each of them sends; how many there are of it. */
const KINDS: readonly (readonly [count: number, bytes: string])[] = [
  [300, ''],
  [100, '\x16'],
  [100, '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
];
const ALL = 500;

const ca = await makeAuthority();
const server = await ca.issue({ dns: ['localhost'], usage: ['serverAuth'] });

const enter = (t: Test, shim: ChaosShim): Promise<RawConnection> =>
  openOver(
    t,
    connectTls({ port: shim.port, host: '127.0.0.1', servername: 'localhost', ca: ca.cert }),
    'secureConnect',
  );

async function ask(connection: RawConnection): Promise<number> {
  const before = connection.text.length;
  connection.send(get('/v1/models', '', TOKENS.reader));
  const text = await connection.until((all) => all.length > before && all.endsWith('{}'));
  return Number(text.slice(before + 9, before + 12));
}

void t.test('silent handshakes end after 10 s, counted apart, and keep nobody else', async (t) => {
  const gateway = await commandGateway(t, (req, res) => void req.resume().once('end', () => res.end('{}')));
  const folder = t.testdir({ 'tls.crt': server.cert, 'tls.key': server.key });
  const file = join(folder, 'shim.config.yaml');
  writeFileSync(
    file,
    `
listen: { port: 0, tls: { cert: tls.crt, key: tls.key } }
gateway: { url: "${gateway}", auth: { mode: token, secret: { env: SECRET } } }
admin: { port: 0 }
${callers()}
`,
  );
  const shim = await startFrom(t, file, {});
  const descriptors = (): number => readdirSync(`/proc/${shim.pid}/fd`).length;
  const timeouts = (): Promise<number> => shim.metric('tls_handshake_failures_total', { reason: 'timeout' });
  const kept = await enter(t, shim);
  t.equal(await ask(kept), 200);
  await timeouts();
  const [used, memory] = [descriptors(), shim.memory()];

  const begun = performance.now();
  const silent = await Promise.all(
    KINDS.flatMap(([count, bytes]) =>
      Array.from({ length: count }, async () => {
        const connection = await openRaw(t, shim.port);
        if (bytes !== '') connection.send(bytes);
        return connection;
      }),
    ),
  );
  t.equal(silent.length, ALL);
  let slowest = 0;
  let asked = 0;
  let over = false;
  const valid = async (once: () => Promise<number>): Promise<void> => {
    while (!over) {
      const started = performance.now();
      t.equal(await once(), 200);
      slowest = Math.max(slowest, performance.now() - started);
      asked++;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const beside = Promise.all([
    valid(() => ask(kept)),
    valid(async () => {
      const connection = await enter(t, shim);
      const status = await ask(connection);
      connection.socket.destroy();
      return status;
    }),
  ]);
  const behind = await enter(t, shim);
  t.equal(await ask(behind), 200);
  t.ok(descriptors() > used + ALL, 'all of them wait');
  behind.socket.destroy();
  t.equal(await timeouts(), 0);
  await Promise.all(
    silent.map(async (one) => {
      t.equal(await one.closed(LATEST_MS), '');
      const ms = performance.now() - begun;
      if (ms < LIMIT_MS - 100 || ms > LATEST_MS) t.fail(`${Math.round(ms)} ms`);
    }),
  );
  over = true;
  await beside;
  t.ok(slowest < SLOWEST_MS, `the slowest of ${asked} others took ${Math.round(slowest)} ms`);
  t.equal(await timeouts(), ALL);
  t.equal(await shim.metric('tls_handshake_failures_total'), ALL, 'and nothing else failed');
  t.equal(await shim.metric('requests_total', { code: '200' }), asked + 2, 'they are no requests');
  t.equal(await shim.metric('requests_total'), asked + 2);
  t.equal(shim.lines().filter(({ msg, reason }) => msg === 'tls handshake failed' && reason === 'timeout').length, ALL);
  t.ok(descriptors() <= used + 3, `${descriptors()} descriptors, ${used} before`);
  t.comment(`${shim.memory()} MB, ${memory} MB before`);
  shim.child.kill('SIGTERM');
  t.equal(await shim.ended, 0);
});
