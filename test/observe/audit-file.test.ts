/** The audit file: rotation, moved files, torn ends. */
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { AuditFile } from '../../src/observe/audit-file.ts';
import { AuditQueue } from '../../src/observe/audit-queue.ts';

interface Opened {
  readonly path: string;
  readonly queue: AuditQueue;
  readonly trouble: string[];
}

function openQueue(t: Test, { maxSize = 0, keep = 3 } = {}): Opened {
  const path = join(t.testdir(), 'audit.jsonl');
  const trouble: string[] = [];
  const onTrouble = (words: string): void => void trouble.push(words);
  const target = new AuditFile({ path, maxSize, keep, onTrouble });
  const queue = new AuditQueue({ target, onTrouble, gapLine: (dropped) => `gap ${dropped}\n` });
  t.teardown(() => queue.close());
  return { path, queue, trouble };
}

/** Looks again and again; a test that waits in vain ends by its timeout. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

const read = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8') : '');
const line = (number: number): string => `${number} ${'x'.repeat(400)}\n`;
const numbersIn = (text: string): number[] =>
  text
    .split('\n')
    .slice(0, -1)
    .map((one) => (/^(\d+) x{400}$/.exec(one) ? Number.parseInt(one) : NaN));
const count = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, index) => from + index);

void t.test('rotated by size: whole lines, no file too large, the newest kept', async (t) => {
  const maxSize = 40_000;
  const { path, queue, trouble } = openQueue(t, { maxSize });
  for (let number = 0; number < 1_000; number++) queue.push(line(number));
  await queue.close();
  const names = ['audit.jsonl', 'audit.jsonl.1', 'audit.jsonl.2', 'audit.jsonl.3'];
  t.strictSame(readdirSync(join(path, '..')).sort(), names);
  const numbers = ['.3', '.2', '.1', ''].flatMap((end) => {
    t.ok(statSync(path + end).size <= maxSize);
    t.equal(statSync(path + end).mode & 0o777, 0o600);
    return numbersIn(read(path + end));
  });
  t.ok(numbers.length > 250);
  t.strictSame(numbers, count(1_000 - numbers.length, 1_000));
  t.strictSame(trouble, []);
});

void t.test('a file that is full at the start is rotated before the first line', async (t) => {
  const { path, queue } = openQueue(t, { maxSize: 1_000 });
  appendFileSync(path, line(0).repeat(3));
  queue.push(line(1));
  await queue.close();
  t.equal(read(`${path}.1`), line(0).repeat(3));
  t.equal(read(path), line(1));
});

void t.test('a file that cannot be rotated grows, and that is told', async (t) => {
  const { path, queue, trouble } = openQueue(t, { maxSize: 200_000, keep: 1 });
  mkdirSync(`${path}.1/in/the/way`, { recursive: true });
  for (let number = 0; number < 1_000; number++) queue.push(line(number));
  await queue.close();
  t.strictSame(numbersIn(read(path)), count(0, 1_000));
  t.match(trouble[0], /audit\.jsonl cannot be rotated \((EISDIR|ENOTEMPTY)\) and grows/);
  t.equal(trouble.length, 2, 'it is tried again after as many bytes more');
  t.equal(queue.healthy, true);
});

void t.test('not rotated at all', async (t) => {
  const { path, queue } = openQueue(t);
  for (let number = 0; number < 500; number++) queue.push(line(number));
  await queue.close();
  t.strictSame(readdirSync(join(path, '..')), ['audit.jsonl']);
});

void t.test('moved, and told so: the next line is in a new file', async (t) => {
  const { path, queue } = openQueue(t);
  queue.push(line(0));
  await until(() => read(path) !== '');
  renameSync(path, `${path}.old`);
  queue.reopen();
  await until(() => existsSync(path));
  queue.push(line(1));
  await queue.close();
  t.strictSame([read(`${path}.old`), read(path)], [line(0), line(1)]);
});

void t.test('told so, and not moved: the same file goes on', async (t) => {
  const { path, queue } = openQueue(t);
  for (let number = 0; number < 100; number++) {
    queue.push(line(number));
    queue.reopen();
  }
  await queue.close();
  t.strictSame(numbersIn(read(path)), count(0, 100));
});

void t.test('moved, and not told so: noticed in a second or so, and nothing is lost', async (t) => {
  const { path, queue, trouble } = openQueue(t);
  let number = 0;
  queue.push(line(number++));
  await until(() => read(path) !== '');
  renameSync(path, `${path}.old`);
  writeFileSync(path, '');
  const start = performance.now();
  await until(() => {
    queue.push(line(number++));
    return read(path) !== '';
  });
  t.ok(performance.now() - start < 10_000);
  await queue.close();
  t.strictSame(numbersIn(read(`${path}.old`) + read(path)), count(0, number));
  t.strictSame(trouble, []);
});

void t.test('deleted: begun anew', async (t) => {
  const { path, queue } = openQueue(t);
  queue.push(line(0));
  await until(() => read(path) !== '');
  rmSync(path);
  await until(() => {
    queue.push(line(1));
    return read(path) !== '';
  });
  t.match(read(path), line(1));
});

void t.test('a folder that went away is trouble until it is back, without any line', async (t) => {
  const { path, queue, trouble } = openQueue(t);
  const folder = join(path, '..');
  renameSync(folder, `${folder}-away`);
  t.teardown(() => rmSync(`${folder}-away`, { recursive: true, force: true }));
  queue.reopen();
  await until(() => !queue.healthy);
  t.match(trouble, [/cannot be written, lines wait: .* is in a folder that does not exist/]);
  renameSync(`${folder}-away`, folder);
  await until(() => queue.healthy);
  t.match(trouble[1], /is written again$/);
  t.equal(trouble.length, 2);
});

void t.test('a torn end of another process breaks one line, not two', async (t) => {
  const { path, queue } = openQueue(t);
  appendFileSync(path, `${line(0)}1 xxx`);
  queue.push(line(2));
  await queue.close();
  t.equal(read(path), `${line(0)}1 xxx\n${line(2)}`);
});

void t.test('flush is at once, whatever is under way', async (t) => {
  const { path, queue } = openQueue(t);
  for (let number = 0; number < 300; number++) queue.push(line(number));
  queue.flush();
  // What was handed to the system already ends by itself.
  await until(() => numbersIn(read(path)).length === 300);
  t.strictSame(
    numbersIn(read(path)).sort((a, b) => a - b),
    count(0, 300),
  );
  queue.push(line(300));
  queue.flush();
  t.ok(read(path).endsWith(line(300)));
  await queue.close();
  t.equal(numbersIn(read(path)).length, 301, 'no line is written twice');
});
