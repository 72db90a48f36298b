/** The page has words of its own for each code; the README's table has a row for each. */
import t from 'tap';
import { ERRORS } from '../../src/errors.ts';
import { ADVICE } from '../../src/status/advice.ts';
import { section, textOf } from '../helpers/pages.ts';

const CODES = Object.keys(ERRORS).sort();

void t.test('each code is in the table of the README, once', async (t) => {
  const table = section(textOf('README.md'), 'Errors and what to do').matchAll(/^\| (\d{3} .*?) \|/gm);
  const told = [...table].flatMap(([, cell = '']) => [...cell.matchAll(/`([a-z_]+)`/g)].map(([, code = '']) => code));
  t.strictSame(told.sort(), CODES);
});

void t.test('each code has a sentence of its own, that names no other place to look for what was wrong', async (t) => {
  t.strictSame(Object.keys(ADVICE).sort(), CODES);
  t.equal(new Set(Object.values(ADVICE)).size, CODES.length);
  for (const [code, words] of Object.entries(ADVICE)) {
    t.match(words, /^[A-Z'a-z].{20,110}\.$/, code);
    t.notMatch(words, /message|the log says/i, `${code}: the reason is beside it`);
  }
});

void t.test('settings that are named there are there', async (t) => {
  const schema = ['schema', 'audit', 'introspection', 'issuers']
    .map((name) => textOf(`src/config/${name}.ts`))
    .join('');
  const named = Object.values(ADVICE).flatMap((words) => words.match(/\b[a-z]+(?:\[\])?\.[a-zA-Z]+\b/g) ?? []);
  t.ok(named.length >= 10, named.join());
  for (const path of named) {
    for (const key of path.split(/\[?\]?\./)) t.match(schema, new RegExp(`\\b${key}\\b`), path); // prettier-ignore
  }
  for (const key of ['requestsPerMinute', 'requestsPerDay', 'allowHeaders', 'sessionPrefix']) {
    t.ok(Object.values(ADVICE).some((words) => words.includes(key)), key); // prettier-ignore
    t.match(schema, `${key}:`);
  }
});
