import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { linesTo } from '../../src/observe/lines.ts';

const MIB = 2 ** 20;

function openFifo(t: Test): number {
  const fifo = join(t.testdir(), 'fifo');
  execFileSync('mkfifo', [fifo]);
  const fd = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK);
  t.teardown(() => closeSync(fd));
  return fd;
}

/** @returns what is in the pipe, until nothing more comes for a while */
async function drain(fd: number, enough: (text: string) => boolean): Promise<string> {
  const block = Buffer.alloc(64 * 1024);
  let text = '';
  while (!enough(text)) {
    try {
      text += block.toString('latin1', 0, readSync(fd, block));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      // The pipe tells nobody that it has something again.
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
  return text;
}

void t.test(
  'a reader that is slow gets every line in its order; nobody waits for it longer than a second',
  async (t) => {
    const fd = openFifo(t);
    const lines = linesTo(fd);
    const all = Array.from({ length: 3_000 }, (_, number) => `${number} ${'x'.repeat(100)}\n`);
    for (const line of all) lines.write(line);
    const begun = performance.now();
    await lines.flush();
    const took = performance.now() - begun;
    t.ok(took > 900 && took < 10_000, `${Math.round(took)} ms`);
    lines.write('last\n');
    t.equal(await drain(fd, (text) => text.endsWith('last\n')), `${all.join('')}last\n`);
    await lines.flush();
  },
);

void t.test('what a stuck reader keeps waiting is bounded', async (t) => {
  const fd = openFifo(t);
  const lines = linesTo(fd);
  const line = `${'x'.repeat(MIB - 1)}\n`;
  for (let sent = 0; sent < 40; sent++) lines.write(line);
  lines.write('');
  const text = await drain(fd, (text) => text.length >= 9 * MIB);
  await lines.flush();
  t.equal(text.length, 9 * MIB, 'what was being written, and 8 MiB');
  t.equal(text.split('\n').length, 10, 'no line is torn');
});

void t.test('what cannot be written is lost, and nothing else', async (t) => {
  const fd = openSync('/dev/full', 'w');
  t.teardown(() => closeSync(fd));
  const lines = linesTo(fd);
  lines.write('one\n');
  await lines.flush();
  lines.write('another\n');
  await lines.flush();
  t.pass();
});
