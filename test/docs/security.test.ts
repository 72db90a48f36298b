/** SECURITY.md: each promise has its tests, and they are there. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { section, textOf } from '../helpers/pages.ts';
import { ROWS } from '../security/corpus/rows.ts';

const PAGE = textOf('SECURITY.md');
const rowsOf = (text: string): string[][] =>
  text
    .split('\n')
    .filter((line) => line.startsWith('| ') && !/^\| (?:-|Promise|Part)/.test(line))
    .map((line) => line.split('|').map((cell) => cell.trim()));

const promises = section(PAGE, 'What it promises, in every hop').match(/^- /gm) ?? [];
const parts = rowsOf(section(PAGE, 'What runs beside it')).map(([, name]) => name);
const proofs = rowsOf(section(PAGE, 'What proves it'));

void t.test('a row for each promise', (t) => {
  t.ok(promises.length > 10 && parts.length > 8);
  t.equal(proofs.length, promises.length + parts.length);
  t.same(
    proofs.slice(promises.length).map(([, name]) => name),
    parts,
    'in the order of the page',
  );
  t.end();
});

void t.test('the tests that it names are there', (t) => {
  for (const [, promise = '', tests = ''] of proofs) {
    const files = [...tests.matchAll(/`(test\/[^`]+)`/g)].map(([, file = '']) => file);
    t.ok(files.length > 0, promise);
    for (const file of files) t.ok(existsSync(join(import.meta.dirname, '../..', file)), file);
    for (const [row] of tests.replaceAll(/`[^`]+`/g, '').matchAll(/\b[HFPUCO]\d+\b/g)) t.ok(row in ROWS, row);
  }
  t.end();
});
