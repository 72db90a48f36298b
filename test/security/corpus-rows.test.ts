/** Every row is proved: by cases of the corpus, or by a test that is there and says so. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { CASES } from './corpus/all.ts';
import { idOf } from './corpus/case.ts';
import { ELSEWHERE, ROWS, type RowId } from './corpus/rows.ts';

const ROOT = join(import.meta.dirname, '../..');
const rows = Object.keys(ROWS) as RowId[];

void t.test('every row has cases, or a test elsewhere', async (t) => {
  const cases = new Set(CASES.map(({ row }) => row));
  t.strictSame(
    rows.filter((row) => !cases.has(row) && !ELSEWHERE[row]),
    [],
  );
  for (const [row, [file, words]] of Object.entries(ELSEWHERE)) {
    t.ok(readFileSync(join(ROOT, file), 'utf8').includes(words), `${row}: ${file}`);
  }
});

void t.test('there are many, each with an id of its own', async (t) => {
  t.ok(CASES.length >= 400, String(CASES.length));
  t.equal(new Set(CASES.map(idOf)).size, CASES.length);
});

void t.test('what a case expects is one thing', async (t) => {
  const vague = CASES.filter(
    ({ answers, socket }) =>
      (answers.length === 0 && !socket) ||
      answers.some(({ code, body, whole }) => code === undefined && body === undefined && whole === undefined),
  );
  t.strictSame(vague.map(idOf), []);
});
