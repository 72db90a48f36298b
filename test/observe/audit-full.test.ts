/** A disk without room, and readers that do not read. */
import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync, readSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { mountDisk } from '../helpers/disk.ts';
import { AuditFile } from '../../src/observe/audit-file.ts';
import { AuditQueue, type AuditTarget } from '../../src/observe/audit-queue.ts';
import { AuditStream } from '../../src/observe/audit-stream.ts';

const LINE_BYTES = 408;
const line = (number: number): string => `${String(number).padStart(6, '0')} ${'x'.repeat(400)}\n`;
const linesIn = (text: string): string[] => text.split('\n').slice(0, -1);
const isWhole = (one: string): boolean => /^(\d{6} x{400}|gap \d+)$/.test(one);

interface Opened {
  readonly queue: AuditQueue;
  /** The next words of trouble. */
  readonly nextTrouble: () => Promise<string>;
  readonly trouble: string[];
}

function openQueue(t: Test, target: AuditTarget): Opened {
  const trouble: string[] = [];
  let told = Promise.withResolvers<string>();
  const onTrouble = (words: string): void => {
    trouble.push(words);
    told.resolve(words);
    told = Promise.withResolvers();
  };
  const queue = new AuditQueue({ target, onTrouble, gapLine: (dropped) => `gap ${dropped}\n` });
  // The queue keeps no process alive by itself.
  const alive = setInterval(() => undefined, 1_000);
  t.teardown(() => clearInterval(alive));
  t.teardown(() => queue.close());
  return { queue, trouble, nextTrouble: () => told.promise };
}

const { folder: disk, skip, resize } = mountDisk(t, '64k');

void t.test('a full disk', { skip }, async (t) => {
  const begin = (t: Test): Opened & { path: string } => {
    const path = join(disk, 'audit.jsonl');
    const onTrouble = (words: string): void => void t.fail(words);
    const opened = openQueue(t, new AuditFile({ path, maxSize: 0, keep: 1, onTrouble }));
    t.teardown(() => rmSync(path, { force: true }));
    return { ...opened, path };
  };

  await t.test('lines wait, and nothing is torn once there is room', async (t) => {
    const { path, queue, nextTrouble, trouble } = begin(t);
    writeFileSync(join(disk, 'filler'), Buffer.alloc(50 * 1024));
    for (let number = 0; number < 100; number++) queue.push(line(number));
    t.match(await nextTrouble(), /cannot be written, lines wait: ENOSPC/);
    t.equal(queue.healthy, false);
    const size = readFileSync(path).length;
    t.ok(size > 0 && size % LINE_BYTES !== 0, `it ended within a line, after ${size} bytes`);
    rmSync(join(disk, 'filler'));
    t.match(await nextTrouble(), /written again$/);
    t.strictSame([queue.healthy, queue.dropped, trouble.length], [true, 0, 2]);
    t.strictSame(
      linesIn(readFileSync(path, 'utf8')),
      Array.from({ length: 100 }, (_, number) => line(number).trimEnd()),
    );
  });

  await t.test('what does not fit in memory is dropped, counted, and told in its place', async (t) => {
    const { path, queue, nextTrouble, trouble } = begin(t);
    const all = 40_000;
    for (let number = 0; number < 100; number++) queue.push(line(number));
    writeFileSync(join(disk, 'filler'), Buffer.alloc(63 * 1024));
    for (let number = 100; number < all; number++) queue.push(line(number));
    t.match(trouble, [/lines are dropped/]);
    t.equal(queue.healthy, false);
    const { dropped } = queue;
    t.ok(dropped > 0 && all - dropped <= (8 * 1024 * 1024) / LINE_BYTES, `${dropped} were dropped`);
    resize('32m');
    t.match(await nextTrouble(), new RegExp(`written again; ${dropped} lines were dropped`));
    t.equal(queue.healthy, true);
    await queue.close();
    const lines = linesIn(readFileSync(path, 'utf8'));
    t.strictSame(
      lines.filter((one) => !isWhole(one)),
      [],
    );
    t.equal(lines.length, all - dropped + 1);
    t.equal(lines.at(-1), `gap ${dropped}`);
    rmSync(join(disk, 'filler'));
    rmSync(path);
    resize('64k');
  });

  await t.test('a torn line of a file that was moved away is whole in the new one', async (t) => {
    const { path, queue, nextTrouble } = begin(t);
    writeFileSync(join(disk, 'filler'), Buffer.alloc(50 * 1024));
    for (let number = 0; number < 100; number++) queue.push(line(number));
    await nextTrouble();
    renameSync(path, join(disk, 'moved'));
    queue.reopen();
    rmSync(join(disk, 'filler'));
    await nextTrouble();
    const moved = linesIn(readFileSync(join(disk, 'moved'), 'utf8'));
    t.strictSame(
      [...moved, ...linesIn(readFileSync(path, 'utf8'))],
      Array.from({ length: 100 }, (_, number) => line(number).trimEnd()),
    );
    rmSync(join(disk, 'moved'));
  });
});

void t.test('a device that is always full: told once, and the end loses what it must, counted', async (t) => {
  const fd = openSync('/dev/full', 'w');
  t.teardown(() => closeSync(fd));
  const { queue, nextTrouble, trouble } = openQueue(t, new AuditStream(fd));
  for (let number = 0; number < 100; number++) queue.push(line(number));
  t.match(await nextTrouble(), /cannot be written, lines wait: ENOSPC/);
  t.equal(queue.healthy, false);
  queue.flush();
  await queue.close();
  t.match(trouble, [/lines wait/, /the audit ends without its last 100 lines/]);
  t.equal(queue.dropped, 100);
});

void t.test('a pipe that is full for a while', async (t) => {
  const fifo = join(t.testdir(), 'fifo');
  execFileSync('mkfifo', [fifo]);
  const fd = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK);
  t.teardown(() => closeSync(fd));
  const { queue, trouble } = openQueue(t, new AuditStream(fd));
  for (let number = 0; number < 1_000; number++) queue.push(line(number));
  const closed = queue.close();
  const block = Buffer.alloc(64 * 1024);
  let text = '';
  while (text.length < 1_000 * LINE_BYTES) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    try {
      text += block.toString('latin1', 0, readSync(fd, block));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
  }
  await closed;
  t.strictSame(
    linesIn(text),
    Array.from({ length: 1_000 }, (_, number) => line(number).trimEnd()),
  );
  t.strictSame([queue.healthy, queue.dropped, trouble], [true, 0, []]);
});

void t.test('a pipe that nobody reads: bounded, and the end does not wait for it', async (t) => {
  const fifo = join(t.testdir(), 'fifo');
  execFileSync('mkfifo', [fifo]);
  const fd = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK);
  t.teardown(() => closeSync(fd));
  const { queue, trouble } = openQueue(t, new AuditStream(fd));
  const all = 30_000;
  for (let number = 0; number < all; number++) queue.push(line(number));
  t.equal(queue.healthy, false);
  t.match(trouble, [/lines are dropped/]);
  const start = performance.now();
  await queue.close();
  t.ok(performance.now() - start < 15_000);
  t.match(trouble.at(-1), /ends without its last \d+ lines/);
});

void t.test('a line that comes while others are written does not stay behind', async (t) => {
  const begun = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
  const first = Promise.withResolvers<void>();
  let writes = 0;
  const target: AuditTarget = {
    prepare: () => Promise.resolve(false),
    async write(batch) {
      begun[writes++]?.resolve();
      if (writes === 1) await first.promise;
      return batch.length;
    },
    writeSync: () => undefined,
    reopen: () => undefined,
    close: () => Promise.resolve(),
  };
  const { queue } = openQueue(t, target);
  queue.push(line(0).repeat(100));
  await begun[0].promise;
  queue.push(line(100));
  first.resolve();
  await begun[1].promise;
  await queue.close();
  t.strictSame([queue.healthy, queue.dropped], [true, 0]);
});
