/** The page says what the README says. */
import t from 'tap';
import { ERRORS } from '../../src/errors.ts';
import { ADVICE } from '../../src/status/advice.ts';
import { section, textOf } from '../helpers/pages.ts';

/** Without links, code and emphasis. */
function plain(markdown: string): string {
  return markdown
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replaceAll(/`([^`]*)`/g, '$1')
    .replaceAll(/(?<!\w)_([a-z ]+)_(?!\w)/g, '$1')
    .trim();
}

void t.test('what to do is what the README says, for each code', async (t) => {
  const told: Record<string, string> = {};
  for (const [, codes = '', words = ''] of section(textOf('README.md'), 'Errors and what to do').matchAll(
    /^\| (\d{3} .*?) \| (.*) \|$/gm,
  )) {
    for (const [, code = ''] of codes.matchAll(/`([a-z_]+)`/g)) told[code] = plain(words);
  }
  t.strictSame(Object.keys(told).sort(), Object.keys(ERRORS).sort());
  t.same(ADVICE, told);
});
