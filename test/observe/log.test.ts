import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createLog, type Log, type RequestRecord } from '../../src/observe/log.ts';

const RECORD: RequestRecord = {
  id: '3622770e-b751-4856-8d49-097a59b35cdc',
  caller: 'writer',
  token: '84ceb9311c08',
  method: 'POST',
  route: undefined,
  path: '/a"b\\\u2028',
  peer: '127.0.0.1',
  status: 404,
  code: 'route_not_exposed',
  reason: 'line\nbreak',
  wouldRefuse: undefined,
  dropped: ['x-openclaw-model'],
  ttfb: 0.1,
  ms: 12,
  in: 0,
  out: 3,
  end: 'refused',
  trace: 'a'.repeat(32),
};

async function logOf(t: Test): Promise<{ log: Log; lines: () => string[] }> {
  const path = join(t.testdir({}), 'log');
  const fd = openSync(path, 'a');
  t.teardown(() => closeSync(fd));
  const log = await createLog(fd, false);
  return { log, lines: () => readFileSync(path, 'utf8').split('\n').slice(0, -1) };
}

void t.test('a request is the same line as any other, and in its place', async (t) => {
  const { log, lines } = await logOf(t);
  const { logger } = log;
  logger.info('before');
  log.request('info', RECORD);
  logger.info(RECORD, 'request');
  log.request('warn', RECORD);
  logger.warn(RECORD, 'request');
  await log.flush();
  const [first, own, pinos, ownWarning, pinosWarning, ...rest] = lines().map((line) =>
    line.replace(/"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"/, '"time":""'),
  );
  t.equal(first, '{"level":"info","time":"","msg":"before"}');
  t.equal(own, pinos);
  t.match(own, '"path":"/a\\"b\\\\\u2028","peer"');
  t.equal(ownWarning, pinosWarning);
  t.match(ownWarning, /^\{"level":"warn"/);
  t.strictSame(rest, []);
});

void t.test('requests are not told where lines of their level are not', async (t) => {
  const { log, lines } = await logOf(t);
  log.logger.level = 'warn';
  log.request('info', RECORD);
  log.request('warn', RECORD);
  await log.flush();
  t.equal(lines().length, 1);
});

void t.test('many lines are all there, in their order', async (t) => {
  const { log, lines } = await logOf(t);
  for (let i = 0; i < 1_000; i++) log.request('info', { ...RECORD, out: i });
  await log.flush();
  const numbers = lines().map((line) => (JSON.parse(line) as { out: number }).out);
  t.strictSame(
    numbers,
    Array.from({ length: 1_000 }, (_, i) => i),
  );
});
