/** Callers that do not read, do not send, or say nothing at all, beside 500 that behave. */
import type { ServerResponse } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { commandGateway, runShim } from '../helpers/chaos.ts';
import { ask, keepAlive, outcomes, percentile, startLoad, type Answer } from '../helpers/load.ts';
import { openRaw, rawExchange } from '../helpers/raw.ts';
import { authorized, get } from '../helpers/request-bytes.ts';
import { TOKENS } from '../helpers/stack.ts';

const HEALTHY = 500;
const EVENTS = 10;
const PIECE = Buffer.alloc(64 * 1024, 'x');
/** What the kernel keeps for two connections whose reader does not read, and some more. */
const MOST_BYTES = 32 * 1024 * 1024;

void t.test('those that behave notice nothing, and memory is bounded', async (t) => {
  const flooded: { bytes: number }[] = [];
  const gateway = await commandGateway(t, (req, res) => {
    if (req.url === '/sessions/flood/history') {
      const count = { bytes: 0 };
      flooded.push(count);
      flood(res, count);
    } else if (req.url === '/v1/models/openclaw') stream(res);
    else req.resume().once('end', () => res.end('{}'));
  });
  const shim = await runShim(t, { gateway });
  const agent = keepAlive();
  t.teardown(() => agent.destroy());
  /** Each worker has a stream and two short requests, so that 500 streams are open at once. */
  const wave = async (): Promise<{ readonly answers: readonly Answer[]; readonly memory: number }> => {
    const load = startLoad(HEALTHY, (_, nth) =>
      ask(shim.port, { token: TOKENS.writer, agent, path: nth % 3 === 0 ? '/v1/models/openclaw' : '/v1/models' }),
    );
    await load.until((all) => all.length >= HEALTHY * 3);
    const memory = shim.memory();
    return { answers: await load.stop(), memory };
  };
  const p99 = (answers: readonly Answer[], path: string): number =>
    percentile(
      answers.filter((answer) => answer.path === path),
      0.99,
    );

  await wave();
  const alone = await wave();
  t.strictSame(Object.keys(outcomes(alone.answers)), ['200']);

  const bad = await Promise.all([
    ...Array.from({ length: 20 }, async () => {
      const raw = await openRaw(t, shim.port);
      raw.socket.pause();
      raw.send(get('/sessions/flood/history'));
      return raw;
    }),
    ...[
      '',
      'GET /v1/models HT',
      `POST /v1/responses HTTP/1.1\r\n${authorized()}Content-Length: 90000\r\n\r\n{`,
    ].flatMap((bytes) =>
      Array.from({ length: 40 }, async () => {
        const raw = await openRaw(t, shim.port);
        if (bytes !== '') raw.send(bytes);
        return raw;
      }),
    ),
  ]);
  // Until every buffer on the way to those that do not read is full.
  const taken = (): number => flooded.reduce((sum, { bytes }) => sum + bytes, 0);
  for (let before = -1; before !== taken() || flooded.length < 20;) {
    before = taken();
    await pause(200);
  }
  const full = taken();
  const beside = await wave();
  t.equal(taken(), full, 'nothing more is taken for them');
  t.strictSame(Object.keys(outcomes(beside.answers)), ['200']);
  t.ok(
    beside.answers
      .filter(({ path }) => path.endsWith('openclaw'))
      .every(({ body }) => body.endsWith(`: ${EVENTS}\n\n`)),
  );
  t.ok(
    flooded.every(({ bytes }) => bytes < MOST_BYTES),
    'what waits for a slow reader is bounded',
  );
  t.ok(
    bad.every(({ socket }) => !socket.closed),
    'they are still there',
  );
  for (const path of ['/v1/models', '/v1/models/openclaw']) {
    const [before, after] = [p99(alone.answers, path), p99(beside.answers, path)];
    t.ok(after < 3 * before + 250, `${path}: p99 ${after} ms, without the others ${before} ms`);
    t.comment(`${path}: p99 ${before} ms alone, ${after} ms beside the others`);
  }
  // The gateway would send 1.3 GB to those that do not read.
  t.ok(beside.memory < alone.memory + 200, `${beside.memory} MB, without the others ${alone.memory} MB`);
  const each = Math.round(full / 20 / 1e6);
  t.comment(`${each} MB wait for a slow reader; ${alone.memory} MB alone, ${beside.memory} MB beside the others`);
});

function flood(res: ServerResponse, count: { bytes: number }): void {
  res.writeHead(200, { 'content-type': 'text/plain' });
  const write = (): void => {
    while (!res.destroyed && count.bytes < 2 * MOST_BYTES) {
      count.bytes += PIECE.length;
      if (!res.write(PIECE)) return;
    }
  };
  res.on('drain', write);
  write();
}

function stream(res: ServerResponse): void {
  res.writeHead(200, { 'content-type': 'text/event-stream' });
  let nth = 0;
  const timer = setInterval(() => {
    res.write(`data: ${++nth}\n\n`);
    if (nth < EVENTS) return;
    clearInterval(timer);
    res.end();
  }, 50);
  res.once('close', () => clearInterval(timer));
}

void t.test('silent peers that take every connection of the probes do not keep the kubelet out', async (t) => {
  const gateway = await commandGateway(t, (_req, res) => void res.end('{}'));
  const shim = await runShim(t, { gateway, more: 'probes: { host: 127.0.0.1, port: 0 }' });
  const port = Number(new URL(String(shim.listening.probes)).port);
  const probe = async (): Promise<number> => (await rawExchange(port, 'GET /livez HTTP/1.1\r\nHost: x\r\n\r\n')).status;
  t.equal(await probe(), 200);
  const began = performance.now();
  const silent = await Promise.all(Array.from({ length: 64 }, () => openRaw(t, port)));
  t.equal(await probe(), 200, 'the oldest makes room');
  await Promise.all(silent.map((raw) => raw.closed()));
  t.equal(await probe(), 200);
  t.ok(performance.now() - began < 8_000, `after ${Math.round(performance.now() - began)} ms`);
});
