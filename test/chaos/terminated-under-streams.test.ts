/** SIGTERM while 500 event streams are open. */
import type { ServerResponse } from 'node:http';
import t from 'tap';
import { commandGateway, runShim } from '../helpers/chaos.ts';
import { openRaw, refusesConnections } from '../helpers/raw.ts';
import { get } from '../helpers/request-bytes.ts';

const STREAMS = 500;
const DRAIN_MS = 2_000;
const TOLD = /\n\n\r\n[0-9a-f]+\r\nevent: error\ndata: (\{.*\})\n\n\r\n$/;

void t.test('half of them end by themselves, the others are told; exit code 0 and nothing left', async (t) => {
  const open: ServerResponse[] = [];
  const gateway = await commandGateway(t, (req, res) => {
    if (req.url === '/healthz') return void res.end('{}');
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    res.write('data: 0\n\n');
    open.push(res);
  });
  let events = 0;
  const speak = setInterval(() => {
    events++;
    for (const res of open) if (res.writable) res.write(`data: ${events}\n\n`);
  }, 100);
  t.teardown(() => clearInterval(speak));
  const shim = await runShim(t, { gateway, more: `drain: { timeout: ${DRAIN_MS}ms }` });
  const raws = await Promise.all(
    Array.from({ length: STREAMS }, async () => {
      const raw = await openRaw(t, shim.port);
      raw.send(get('/v1/models/openclaw'));
      await raw.until((text) => text.includes('data: 0\n\n'));
      return raw;
    }),
  );
  t.equal(await shim.metric('open_streams'), STREAMS);

  const began = performance.now();
  shim.child.kill('SIGTERM');
  await shim.logged(({ msg }) => msg === 'shutting down');
  t.equal((await fetch(`${shim.admin}/readyz`)).status, 503);
  t.equal(await refusesConnections(shim.port), true, 'nothing new is taken');
  for (const res of open.slice(0, STREAMS / 2)) res.end('data: [DONE]\n\n');
  const texts = await Promise.all(raws.map((raw) => raw.closed()));
  const toldAfter = performance.now() - began;
  t.equal(await shim.ended, 0);
  const took = performance.now() - began;

  const finished = texts.filter((text) => text.endsWith('data: [DONE]\n\n\r\n0\r\n\r\n'));
  const told = texts.flatMap((text) => TOLD.exec(text)?.[1] ?? []);
  t.strictSame([finished.length, told.length], [STREAMS / 2, STREAMS / 2]);
  t.ok(told.every((body) => (JSON.parse(body) as { error: { code: string } }).error.code === 'shutting_down'));
  t.ok(took >= DRAIN_MS && took < DRAIN_MS + 10_000, `it took ${Math.round(took)} ms`);
  const ends = shim.lines().filter(({ msg }) => msg === 'request');
  t.equal(ends.filter(({ end }) => end === 'done').length, STREAMS / 2);
  t.equal(ends.filter(({ end }) => end === 'shutdown').length, STREAMS / 2);
  t.equal(shim.lines().at(-1)?.msg, 'stopped');
  t.equal(await refusesConnections(shim.port), true);
  t.equal(await refusesConnections(Number(new URL(shim.admin).port)), true);
  t.comment(`all were told after ${Math.round(toldAfter)} ms, it ended after ${Math.round(took)} ms`);
});
