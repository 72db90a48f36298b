import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import t from 'tap';

/** The floors of the house, from the ground up. Imports go down, or stay within a folder. */
const FLOORS: readonly (readonly string[])[] = [
  ['types.ts', 'errors.ts'],
  ['config', 'headers', 'observe', 'json.ts', 'scopes.ts'],
  ['callers', 'policy', 'limits', 'gateway'],
  ['decision.ts'],
  ['recheck.ts'],
  ['gate.ts'],
  ['proxy'],
  ['status'],
  ['server', 'demo'],
  ['doctor'],
  ['commands', 'main.ts'],
];
/** On these floors the parts know one another: plain data and pure functions, and what runs them. */
const SHARED_FLOORS: ReadonlySet<number> = new Set([0, 1, 8, 10]);

const ROOT = join(import.meta.dirname, '..', 'src');
const names = (await readdir(ROOT, { recursive: true })).filter((name) => name.endsWith('.ts')).sort();
const files = await Promise.all(names.map(async (name) => ({ name, text: await readFile(join(ROOT, name), 'utf8') })));

function part(name: string): string {
  return name.split('/')[0] as string;
}

function floor(name: string): number {
  return FLOORS.findIndex((parts) => parts.includes(part(name)));
}

/** Code without its comments and texts, so that words about a thing are not taken for its use. */
function bare(text: string): string {
  return text.replace(/\/\*[^]*?\*\/|(?<![:'"])\/\/.*|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/g, '');
}

/** What a file imports of the project, also by type and by `import()`. */
function imports({ name, text }: { readonly name: string; readonly text: string }): string[] {
  const paths = [...text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']*)'/g)].map((match) => match[1] as string);
  return paths.map((path) => relative(ROOT, join(ROOT, dirname(name), path)));
}

t.ok(files.length > 40, 'there is something to look at');

void t.test('every file stands on a floor', async (t) => {
  t.strictSame(
    names.filter((name) => floor(name) < 0),
    [],
  );
});

void t.test('imports go down', async (t) => {
  const wrong = files.flatMap((file) =>
    imports(file)
      .filter((target) => {
        if (part(target) === part(file.name)) return false;
        const here = floor(file.name);
        const there = floor(target);
        return there < 0 || there > here || (there === here && !SHARED_FLOORS.has(here));
      })
      .map((target) => `${file.name} -> ${target}`),
  );
  t.strictSame(wrong, []);
});

void t.test('only main.ts touches the process', async (t) => {
  const wrong = files.filter(
    ({ name, text }) =>
      name !== 'main.ts' &&
      (/(?<![.\w#])process\b(?!\.nextTick\b)/.test(bare(text)) || /'(?:node:)?process'|globalThis/.test(text)),
  );
  t.strictSame(
    wrong.map(({ name }) => name),
    [],
  );
});

void t.test('files are short, and named for the one thing they hold', async (t) => {
  const long = files.filter(({ text }) => text.split('\n').length > 301).map(({ name }) => name);
  t.strictSame(long, []);
  const vague = names.filter(
    (name) =>
      /util|helper|common|manager|misc|shared/i.test(basename(name)) || /util|helper|common/i.test(dirname(name)),
  );
  t.strictSame(vague, []);
});

void t.test('no test branches, no any, no excuses for coverage', async (t) => {
  const wrong = files.filter(({ text }) =>
    /NODE_ENV|\bany\b(?=[>\])};,]|\s*=)|@ts-(?:ignore|nocheck)|c8 ignore|istanbul/.test(bare(text)),
  );
  t.strictSame(
    wrong.map(({ name }) => name),
    [],
  );
});
