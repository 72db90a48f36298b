/** The page by error message has what the gateway and the shim say, in their words, and nothing else. */
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ERRORS } from '../../src/errors.ts';
import { refuseFor, type Finding } from '../../src/gateway/blame.ts';
import { AuditError, createAudit } from '../../src/observe/audit.ts';
import { loadConfig } from '../../src/config/load.ts';
import { ListenError } from '../../src/server/listen-fault.ts';
import { CONTRACT } from '../gateway/contract.ts';
import { codeOf, ROOT, section, textOf } from '../helpers/pages.ts';
import { faultsOf, textOf as configOf, worldOf } from '../helpers/configuration.ts';

const PAGE = textOf('docs/faq.md');

interface Entry {
  /** As Markdown. */
  readonly heading: string;
  /** The quoted words, if there are any. */
  readonly words: string | undefined;
  readonly text: string;
}

/** The entries below a heading of the second level. */
function entries(heading: string): Entry[] {
  const parts = section(PAGE, heading).split(/^### /m).slice(1);
  return parts.map((text) => ({
    heading: text.slice(0, text.indexOf('\n')),
    words: /^> (.*)$/m.exec(text)?.[1],
    text,
  }));
}

void t.test('every code of the shim, in the order of the table, with its status and words, and no other', (t) => {
  const told = entries('The shim').map(({ heading, words }) => [heading, words]);
  const own = Object.entries(ERRORS).map(([code, { status, message }]) => [`${status} \`${code}\``, message]);
  t.same(new Map(told as [string, string][]), new Map(own as [string, string][]));
  t.equal(told.length, own.length);
  t.end();
});

void t.test('every finding about the shim at its gateway, with its words, and no other', (t) => {
  const [, union = ''] = /^export type Finding =(.*?);$/ms.exec(textOf('src/gateway/blame.ts')) ?? [];
  const findings = [...union.matchAll(/'(\w+)'/g)].map(([, name]) => name as Finding);
  t.ok(findings.length >= 9, `${findings.length}`);
  const own = findings.map((finding) => [
    `\`${finding}\``,
    refuseFor(finding, '').message?.replace(` (finding: ${finding})`, ''),
  ]);
  t.same(
    entries('`gateway_refused`, by finding').map(({ heading, words }) => [heading, words]),
    own,
  );
  t.end();
});

/** What of an answer tells its cause: without the names that the request gave. */
function messageOf(body: string): string {
  try {
    const { error } = JSON.parse(body) as { error?: { message?: string } };
    return (error?.message ?? '').replace(/(missing scope: ).*/, '$1').replace(/: nope$/, '');
  } catch {
    return body;
  }
}

void t.test('every refusal that was measured of the gateway', (t) => {
  const part = section(PAGE, 'The gateway');
  const answers = CONTRACT.flatMap(({ answers }) => Object.values(answers)).filter(([status]) => status >= 400);
  const messages = new Set(answers.map(([, body]) => messageOf(body)).filter((message) => message !== ''));
  t.ok(messages.size >= 10, `${messages.size}`);
  for (const message of messages) t.ok(part.includes(message), message);
  t.end();
});

void t.test('what the gateway refuses a WebSocket for', (t) => {
  const codes = ['connect', 'device-proof', 'pairing'].flatMap((name) =>
    [...textOf(`src/demo/${name}.ts`).matchAll(/code(?:: | = )'([A-Z_]+)'/g)].map(([, code = '']) => code),
  );
  t.ok(codes.length >= 3, codes.join());
  const told = codeOf(section(PAGE, 'WebSockets')).map((code) => code.replace('…', ''));
  for (const code of codes) t.ok(told.some((one) => one !== '' && code.startsWith(one)), code); // prettier-ignore
  t.end();
});

/** The first cells of the tables of an entry, as patterns: an ellipsis is anything. */
function rowsOf(heading: string): RegExp[] {
  const { text = '' } = entries('The start').find((one) => one.heading === heading) ?? {};
  const cells = [...text.matchAll(/^\| `(.*?)` +\|/gm)].map(([, cell = '']) => cell);
  return cells.map((cell) => new RegExp(`^${cell.split('…').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.+')}`)); // prettier-ignore
}

/** Each message fits a row, and each row a message. */
function fitAll(t: Test, rows: readonly RegExp[], messages: readonly string[]): void {
  for (const message of messages) t.ok(rows.some((row) => row.test(message)), message); // prettier-ignore
  for (const row of rows) t.ok(messages.some((message) => row.test(message)), row.source); // prettier-ignore
}

void t.test('the faults of a configuration', async (t) => {
  const token = (secret: string): string =>
    `{ url: "http://127.0.0.1:18789", auth: { mode: token, secret: ${secret} } }`;
  const relay = `[{ name: a, scopes: [operator.read], websocket: relay }]`;
  const texts = [
    configOf({ listne: '{}' }),
    configOf({ gateway: token('{ env: NOBODY }') }),
    configOf({ gateway: token('{ file: /nowhere }') }),
    configOf({ gateway: token('{ env: OPEN }') }),
    configOf({ listen: '{ host: 0.0.0.0 }' }),
    configOf({ listen: '{ port: 18789 }' }),
    configOf({ callers: relay }),
  ];
  const missing: unknown = await loadConfig('f', worldOf()).catch((error: unknown) => error);
  const messages = [(missing as Error).message.replace(/^f: /, '')];
  for (const text of texts) {
    const faults = await faultsOf(text, worldOf({}, { OPEN: 'changeme' }));
    t.equal(faults.length, 1, faults.join('\n'));
    messages.push(...faults.map((fault) => fault.replace(/^[\d:]+ [\w.[\]]+: /, '')));
  }
  fitAll(t, rowsOf('A fault of the configuration'), messages);
});

/** What stands in the sources as text: what is put into it is left out. */
function warningsOf(source: string): string[] {
  const calls = source.split(/\b(?:report|callersReport|source\.report)\.warning\(/).slice(1);
  return calls.flatMap((call) => {
    // The place comes first: it has no words.
    const words = call.slice(0, call.indexOf(');')).replace(/^\s*(?:\[[^\]]*\]|[^[(,]*(?:\([^)]*\))?),/, '');
    const texts = words.match(/`[^`]*`|'[^'\n]*'|"[^"\n]*"/g) ?? [];
    return texts.map((text) => text.slice(1, -1).replaceAll(/\$\{[^}]*\}/g, 'X'));
  });
}

void t.test('the warnings of a configuration, every one', async (t) => {
  const files = readdirSync(join(ROOT, 'src/config')).filter((name) => name !== 'report.ts');
  const warnings = files.flatMap((name) => warningsOf(textOf(`src/config/${name}`)));
  const calls = files.map((name) => textOf(`src/config/${name}`).split('.warning(').length - 1);
  const called = calls.reduce((sum, count) => sum + count, 0); // prettier-ignore
  t.ok(warnings.length >= called && called >= 37, `${warnings.length} of ${called}`);
  fitAll(t, rowsOf('`warning:`'), warnings);
});

void t.test('what wait says when it gives up', async (t) => {
  const [heading] = entries('The start').flatMap(({ heading }) => (heading.includes('after') ? [heading] : []));
  t.equal(heading, '`not ready after …`');
  t.match(textOf('src/commands/wait.ts'), "`not ${options.live ? 'live' : 'ready'} after ${options.timeout}: ${last}");
});

void t.test('an address that cannot be listened on', async (t) => {
  // Paths of sockets are short.
  const folder = await mkdtemp(join(tmpdir(), 'auth-shim-'));
  t.teardown(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'file'), '');
  const other = createServer().listen(join(folder, 'used'));
  t.teardown(() => other.close());
  await once(other, 'listening');
  const here = { host: '127.0.0.1', port: 80 };
  const failed = (where: ConstructorParameters<typeof ListenError>[0], code: string): string =>
    new ListenError(where, Object.assign(new Error(code), { code })).message;
  const socket = (name: string, code: string): string => failed({ socket: join(folder, name) }, code);
  fitAll(t, rowsOf('`cannot listen`'), [
    failed(here, 'EADDRINUSE'),
    failed(here, 'EACCES'),
    failed(here, 'EADDRNOTAVAIL'),
    failed(here, 'ENOTFOUND'),
    socket('s'.repeat(120), 'EINVAL'),
    socket('used', 'EADDRINUSE'),
    socket('file', 'EADDRINUSE'),
    socket('file/s', 'ENOTDIR'),
    socket('s', 'EACCES'),
    socket('none/s', 'EACCES'),
  ]);
});

void t.test('an audit that cannot be begun, and a Node that is too old', async (t) => {
  const [audit, node] = entries('The start').slice(-2);
  const path = join(t.testdir({ 'audit.jsonl': {} }), 'audit.jsonl');
  const error: unknown = await createAudit(
    { target: { kind: 'file', path, maxSize: 0, keep: 0 }, required: false },
    () => undefined,
  ).catch((reason: unknown) => reason);
  t.ok(error instanceof AuditError);
  t.match((error as Error).message, /^the audit file /);
  t.equal(audit?.heading, '`the audit file …`');
  t.ok(textOf('src/main.ts').includes(node?.words ?? '-'), 'the words of the program');
});
