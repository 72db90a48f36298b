import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { serve, type Served } from '../helpers/process.ts';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { openRaw, rawExchange, refusesConnections, sendRaw } from '../helpers/raw.ts';
import { get } from '../helpers/request-bytes.ts';
import { callers, GATEWAY_SECRET, TOKENS } from '../helpers/stack.ts';

/** More bytes of lines than a pipe or a socket takes unread. */
const REQUESTS = 3_000;
const STREAM =
  'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n';

async function run(t: Test, more = ''): Promise<Served> {
  const gateway = await startRawGateway(t, { onRequest: ({ socket }) => void socket.write(STREAM) });
  const file = join(t.testdir({}), 'shim.config.yaml');
  const url = `gateway: { url: "${gateway.url}", auth: { mode: token, secret: { env: SECRET } } }`;
  writeFileSync(file, ['listen: { port: 0 }', url, 'drain: { timeout: 60s }', more, callers()].join('\n'));
  return serve(t, ['-c', file], { env: { SECRET: GATEWAY_SECRET } });
}

const CASES: readonly (readonly [string, string])[] = [
  ['the log', ''],
  ['the log, and the audit on stdout', 'audit: { stdout: true }'],
];

const portOf = ({ url }: Served): number => Number(new URL(url).port);

/** Nobody reads its log any more, and it has more to tell than the system keeps. */
async function clog(shim: Served): Promise<void> {
  shim.child.stderr?.pause();
  const request = get(`/${'a/'.repeat(99)}`, '', TOKENS.reader);
  for (let sent = 0; sent < REQUESTS; sent += 8) await sendRaw(portOf(shim), request.repeat(8), { responses: 8 });
}

void t.test('a signal ends it, with 0', async (t) => {
  for (const [what, more] of CASES) {
    await t.test(what, async (t) => {
      const shim = await run(t, more);
      await clog(shim);
      t.equal((await rawExchange(portOf(shim), get('/nowhere'))).status, 404);
      shim.child.kill('SIGTERM');
      const begun = performance.now();
      t.strictSame(await once(shim.child, 'exit'), [0, null]);
      t.ok(performance.now() - begun < 25_000, `${Math.round(performance.now() - begun)} ms`);
    });
  }
});

void t.test('a second signal ends it at once, with 1', async (t) => {
  const shim = await run(t);
  const stream = await openRaw(t, portOf(shim));
  stream.send(get('/v1/models'));
  await stream.until((text) => text.includes('data: 1\n\n'));
  await clog(shim);
  shim.child.kill('SIGTERM');
  while (!(await refusesConnections(portOf(shim))));
  shim.child.kill('SIGTERM');
  const begun = performance.now();
  t.strictSame(await once(shim.child, 'exit'), [1, null]);
  t.ok(performance.now() - begun < 25_000, `${Math.round(performance.now() - begun)} ms`);
});
