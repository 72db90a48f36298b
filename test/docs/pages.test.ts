/** The pages say what there is: keys, defaults, commands, error codes, links. */
import { existsSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import t from 'tap';
import { connectionsFor } from '../../src/server/descriptors.ts';
import { configJsonSchema } from '../../src/config/json-schema.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Address } from '../../src/config/config.ts';
import { ERRORS } from '../../src/errors.ts';
import { run } from '../helpers/command-line.ts';
import { worldOf } from '../helpers/configuration.ts';
import { codeOf, pages, ROOT, section, textOf } from '../helpers/pages.ts';

const README = textOf('README.md');

/** The cells of the body of each table. */
function rows(text: string): string[][] {
  return [...text.matchAll(/^\| (.*) \|$/gm)]
    .map(([, row = '']) => row.split(' | ').map((cell) => cell.trim()))
    .filter(([first = '']) => first.includes('`'));
}

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
}

/** `callers[].tokens[].hash` and all the others, but for what is within a reference to a secret. */
function pathsOf({ properties = {}, items, anyOf = [] }: Schema, at = ''): string[] {
  const isReference = 'env' in properties && 'openclaw' in properties;
  const own = isReference
    ? []
    : Object.entries(properties).flatMap(([key, value]) => {
        const path = at === '' ? key : `${at}.${key}`;
        return [path, ...pathsOf(value, path)];
      });
  return [...own, ...(items ? pathsOf(items, `${at}[]`) : []), ...anyOf.flatMap((one) => pathsOf(one, at))];
}

const plain = (path: string): string => path.replace(/\[\]$/, '');

/** The paths that a first cell names, where `.port` stands beside `listen.host`. */
function namedIn(cell: string): string[] {
  let parent = '';
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => {
    if (name.startsWith('.')) return `${parent}${plain(name)}`;
    parent = name.slice(0, Math.max(name.lastIndexOf('.'), 0));
    return plain(name);
  });
}

const schemaPaths = new Set(pathsOf(configJsonSchema() as Schema).map(plain));
const reference = rows(section(README, 'Configuration')).flatMap((cells) =>
  namedIn(cells[0] ?? '').map((path) => ({ path, row: cells.join(' | ') })),
);

void t.test('every key of the configuration is in the reference, or in the page that its row leads to', async (t) => {
  t.ok(schemaPaths.size > 70, `${schemaPaths.size}`);
  const isIn = (path: string, section: string): boolean =>
    path.startsWith(`${section}.`) || path.startsWith(`${section}[]`);
  for (const path of schemaPaths) {
    if (reference.some((one) => one.path === path || isIn(one.path, path))) continue;
    const texts = reference
      .filter((one) => isIn(path, one.path))
      .flatMap(({ row }) => [
        row,
        ...[...row.matchAll(/\]\((docs\/[a-z-]+\.md)/g)].map(([, name = '']) => textOf(name)),
      ]);
    const key = new RegExp(`(?<![\\w.])${path.slice(path.lastIndexOf('.') + 1)}\\b`);
    t.ok(
      texts.some((text) => codeOf(text).some((span) => key.test(span))),
      path,
    );
  }
});

void t.test('every key of the reference is one', async (t) => {
  t.ok(reference.length > 40, `${reference.length}`);
  for (const { path } of reference) {
    t.ok(schemaPaths.has(path), path);
  }
});

void t.test('the reference tells the defaults', async (t) => {
  const text = 'gateway: { url: "http://127.0.0.1:1", auth: { mode: none } }\nadmin: {}\nprobes: {}\n';
  const { config } = await loadConfig('f', worldOf({ f: `${text}audit: { file: a }\n` }));
  const ms = (text: string): number => Number.parseInt(text, 10) * (text.endsWith('s') ? 1000 : 1);
  const bytes = (text: string): number =>
    Number.parseInt(text, 10) * (text.endsWith('MiB') ? 1024 ** 2 : text.endsWith('KiB') ? 1024 : 1);
  const defaults = new Map<string, string>();
  for (const [first = '', second = ''] of rows(section(README, 'Configuration'))) {
    const values = [...second.matchAll(/`([^`]+)`/g)].map(([, value = '']) => value);
    namedIn(first).forEach((path, index) => defaults.set(path, values[index] ?? ''));
  }
  const told = (path: string): string => defaults.get(path) ?? '';
  const { limits, stream, drain, audit, admin, probes, listen } = config;
  const file = audit?.target.kind === 'file' ? audit.target : undefined;
  t.same(listen.address, { host: told('listen.host'), port: Number(told('listen.port')) });
  t.equal(listen.health, told('listen.health') === 'true');
  t.match(limits, {
    body: bytes(told('limits.body')),
    headerBytes: bytes(told('limits.headerBytes')),
    connections: undefined,
    store: undefined,
  });
  t.equal(connectionsFor(undefined, 1_000_000), Number(told('limits.connections')));
  t.equal(told('limits.store'), 'memory');
  t.same(stream, {
    heartbeat: ms(told('stream.heartbeat')),
    gatewayIdle: ms(told('stream.gatewayIdle')),
    endAtExpiry: undefined,
  });
  t.same(drain, { delay: ms(told('drain.delay')), timeout: ms(told('drain.timeout')) });
  t.match(file, { maxSize: bytes(told('audit.maxSize')), keep: Number(told('audit.keep')) });
  t.equal(audit?.required, told('audit.required') === 'true');
  for (const [name, where] of Object.entries({ admin: admin?.address as Address | undefined, probes })) {
    const row = reference.find(({ path }) => path === `${name}.host`)?.row ?? '';
    t.ok(row.includes(`\`${name}: {}\` is \`${where?.host}:${where?.port}\``), name);
  }
});

void t.test('the README names every error code with its status, and no other', async (t) => {
  const named: Record<string, number> = {};
  for (const [first = ''] of rows(section(README, 'Errors and what to do'))) {
    let status = 0;
    for (const [word] of first.matchAll(/\d{3}|`[a-z_]+`/g)) {
      if (word.startsWith('`')) named[word.slice(1, -1)] = status;
      else status = Number(word);
    }
  }
  t.same(named, Object.fromEntries(Object.entries(ERRORS).map(([name, { status }]) => [name, status])));
});

/** Names under `Commands:` of a help text. */
async function commandsOf(...words: string[]): Promise<string[]> {
  const { stdout } = await run([...words, '--help']);
  const list = stdout.split('Commands:\n')[1] ?? '';
  return [...list.matchAll(/^ {2}([a-z]+)/gm)].map(([, name = '']) => name).filter((name) => name !== 'help');
}

void t.test('the README names every command, and pages name no other', async (t) => {
  const commands = await commandsOf();
  t.ok(commands.length >= 10, commands.join(' '));
  const parents = new Map<string, string[]>();
  for (const name of commands) {
    const within = await commandsOf(name);
    if (within.length > 0) parents.set(name, within);
  }
  t.same([...parents.keys()], ['token', 'device', 'audit', 'tls']);
  const [, list = ''] = /^Commands: (.*?);/ms.exec(README) ?? [];
  const named = [...list.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name.replaceAll('\n', ' '));
  const expected = commands.map((name) => [name, (parents.get(name) ?? []).join(' | ')].join(' ').trim());
  t.same(new Set(named), new Set(expected));
  for (const [name, text] of pages) {
    for (const [use, first = '', second = ''] of codeOf(text).flatMap((span) => [
      ...span.matchAll(/(?<![\w/.-])auth-shim ([a-z]+)(?: ([a-z]+))?/g),
    ])) {
      t.ok(commands.includes(first), `${name}: ${use}`);
      const within = parents.get(first);
      if (within && second !== '') t.ok(within.includes(second), `${name}: ${use}`);
    }
  }
});

/** The anchor that GitHub makes of a heading. */
function anchor(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');
}

void t.test('links lead somewhere', async (t) => {
  let count = 0;
  for (const [name, text] of pages) {
    const bare = text.replaceAll(/^ *```\w*\n.*?^ *```$/gms, '').replaceAll(/`[^`\n]+`/g, '');
    for (const [, target = ''] of bare.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue;
      count++;
      const [path = '', mark] = target.split('#');
      const file = path === '' ? name : relative(ROOT, join(ROOT, dirname(name), path));
      t.ok(existsSync(join(ROOT, file)), `${name}: ${target}`);
      if (mark === undefined) continue;
      const headings = [...(pages.get(file) ?? '').matchAll(/^#+ (.*)$/gm)].map(([, words = '']) => anchor(words));
      t.ok(headings.includes(mark), `${name}: ${target}`);
    }
  }
  t.ok(count > 15, `${count}`);
  for (const name of [...pages.keys()].filter((one) => one.startsWith('docs/'))) {
    t.ok(README.includes(`](${name}`), `the README leads to ${name}`);
  }
});

void t.test('lists of pages are those of the code', async (t) => {
  const [, reasons = ''] = /type EndReason =([^;]*);/.exec(textOf('src/observe/log.ts')) ?? [];
  const [, told = ''] = /^\| `end` +\| text +\| why it ended: (.*)\|$/m.exec(textOf('docs/audit.md')) ?? [];
  t.ok(reasons.includes('|'));
  t.same(
    codeOf(told),
    [...reasons.matchAll(/'(\w+)'/g)].map(([, reason]) => reason),
  );

  const [, fixed = ''] = /^const FIXED = \{\n(.*?)^\}/ms.exec(textOf('src/server/serving.ts')) ?? [];
  const keys = [...fixed.matchAll(/^ {2}'?([\w., ]+)'?:/gm)].flatMap(([, name = '']) => name.split(', '));
  const [, waiting = ''] = /^These wait for the next start[^:]*:(.*?)\.\n\n/ms.exec(textOf('docs/operating.md')) ?? [];
  t.ok(keys.length > 5);
  t.same(codeOf(waiting), keys);
});
