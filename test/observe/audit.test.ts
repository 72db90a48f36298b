/** The lines themselves, the page that describes them, and the audit as a whole. */
import { readFileSync, statSync } from 'node:fs';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { ERRORS, type ErrorCode } from '../../src/errors.ts';
import { AuditError, createAudit } from '../../src/observe/audit.ts';
import {
  formatRecord,
  sessionId,
  type AuditRecord,
  type ConnectRecord,
  type DecisionRecord,
  type EndRecord,
  type GapRecord,
} from '../../src/observe/audit-record.ts';

const NOW = Date.UTC(2026, 11, 1, 12, 0, 0, 123);
const TIME = '2026-12-01T12:00:00.123Z';
const SRC = fileURLToPath(new URL('../../src/observe/audit.ts', import.meta.url));

/** Every field that there is, with a value. */
type Full<T> = { readonly [Key in keyof T]-?: NonNullable<T[Key]> };

const DECISION: Full<DecisionRecord> = {
  trace_id: '0af7651916cd43dd8448eb211c80319c',
  event: 'decision',
  id: '0b8f6a52-1111-4222-8333-000000000001',
  caller: 'agentpage',
  credential: '71c480df93d6',
  method: 'POST',
  route: '/v1/chat/completions',
  path: '/v1/nothing',
  agent: 'main',
  session: 'ef9d3fab22d20e27',
  scopes: ['operator.read'],
  needs: 'operator.write',
  decision: 'refuse',
  code: 'insufficient_scope',
  peer: '127.0.0.1',
};

const END: Full<EndRecord> = {
  trace_id: '0af7651916cd43dd8448eb211c80319c',
  event: 'end',
  id: '0b8f6a52-1111-4222-8333-000000000001',
  caller: 'agentpage',
  credential: '71c480df93d6',
  method: 'POST',
  route: '/v1/chat/completions',
  status: 502,
  code: 'gateway_unreachable',
  reason: 'ECONNREFUSED',
  ms: 12.3,
  ttfb: 4.5,
  in: 123,
  out: 4567,
  usage: { input: 12, output: 34, total: 46 },
  socket: { close: 1008, closeReason: 'why', framesIn: 1, framesOut: 2 },
  end: 'gateway_gone',
};

const CONNECT: Full<ConnectRecord> = {
  trace_id: '0af7651916cd43dd8448eb211c80319c',
  event: 'connect',
  id: '0b8f6a52-1111-4222-8333-000000000001',
  caller: 'agentpage',
  credential: '71c480df93d6',
  asked: ['operator.admin'],
  scopes: ['operator.write'],
  device: 'ab'.repeat(32),
  decision: 'refuse',
  code: 'PAIRING_REQUIRED',
  peer: '127.0.0.1',
};

const GAP: Full<GapRecord> = { event: 'gap', dropped: 3 };

const parse = (record: AuditRecord): Record<string, unknown> =>
  JSON.parse(formatRecord(record, NOW)) as Record<string, unknown>;

void t.test('a whole line, in its order', async (t) => {
  t.equal(
    formatRecord(DECISION, NOW),
    `{"event":"decision","time":"${TIME}","id":"${DECISION.id}","caller":"agentpage","credential":"71c480df93d6",` +
      '"method":"POST","route":"/v1/chat/completions","path":"/v1/nothing","agent":"main","session":"ef9d3fab22d20e27",' +
      '"scopes":["operator.read"],"needs":"operator.write","decision":"refuse","status":403,"code":"insufficient_scope",' +
      '"rule":"scope","peer":"127.0.0.1","trace_id":"0af7651916cd43dd8448eb211c80319c"}\n',
  );
  t.equal(
    formatRecord(END, NOW),
    `{"event":"end","time":"${TIME}","id":"${END.id}","caller":"agentpage","credential":"71c480df93d6",` +
      '"method":"POST","route":"/v1/chat/completions","status":502,"code":"gateway_unreachable","reason":"ECONNREFUSED",' +
      '"ms":12.3,"ttfb":4.5,"in":123,"out":4567,"usage":{"input":12,"output":34,"total":46},' +
      '"socket":{"close":1008,"closeReason":"why","framesIn":1,"framesOut":2},"end":"gateway_gone",' +
      '"trace_id":"0af7651916cd43dd8448eb211c80319c"}\n',
  );
  t.equal(
    formatRecord(CONNECT, NOW),
    `{"event":"connect","time":"${TIME}","id":"${CONNECT.id}","caller":"agentpage","credential":"71c480df93d6",` +
      `"asked":["operator.admin"],"scopes":["operator.write"],"device":"${'ab'.repeat(32)}","decision":"refuse",` +
      '"code":"PAIRING_REQUIRED","peer":"127.0.0.1","trace_id":"0af7651916cd43dd8448eb211c80319c"}\n',
  );
  t.equal(formatRecord(GAP, NOW), `{"event":"gap","time":"${TIME}","dropped":3}\n`);
});

void t.test('what is not known is not there', async (t) => {
  t.equal(
    formatRecord({ event: 'decision', id: 'i', method: 'GET', decision: 'forward', peer: undefined }, NOW),
    `{"event":"decision","time":"${TIME}","id":"i","method":"GET","decision":"forward"}\n`,
  );
});

void t.test('every code comes with its rule, and with its status where it was the answer', async (t) => {
  for (const code of Object.keys(ERRORS) as ErrorCode[]) {
    const { status, rule } = parse({ ...DECISION, code });
    t.equal(status, ERRORS[code].status, code);
    t.match(rule, /^[a-z]+$/, code);
  }
  t.strictSame(
    [parse({ ...DECISION, decision: 'would_refuse' })].map(({ status, rule }) => [status, rule]),
    [[undefined, 'scope']],
  );
});

void t.test('no text can break a line', async (t) => {
  const evil = 'a"\\\n\r\u0000\u001b[2J\u2028\ud800"}\n{"event":"end"';
  const line = formatRecord({ ...DECISION, agent: evil, path: evil }, NOW);
  t.equal(line.indexOf('\n'), line.length - 1);
  // oxlint-disable-next-line no-control-regex
  t.notMatch(line.slice(0, -1), /[\u0000-\u001f\ud800-\udfff]/);
  t.equal(parse({ ...DECISION, agent: evil }).agent, evil);
});

void t.test('what callers choose is cut', async (t) => {
  const long = 'x'.repeat(5_000);
  const decision = parse({ ...DECISION, path: long, agent: long });
  t.strictSame([decision.path, decision.agent], [long.slice(0, 200), long.slice(0, 200)]);
  t.equal(parse({ ...END, reason: long }).reason, long.slice(0, 200));
});

void t.test('the id of a session is that of sha256sum', async (t) => {
  // printf %s agent:main:agentpage:42 | sha256sum | cut -c1-16
  t.equal(sessionId('agent:main:agentpage:42'), '97831f2df6380004');
});

void t.test('docs/audit.md names exactly the fields that there are', async (t) => {
  const page = readFileSync(new URL('../../docs/audit.md', import.meta.url), 'utf8');
  for (const record of [DECISION, CONNECT, END, GAP]) {
    const section = page.split(`### \`${record.event}\``)[1]?.split(/^##/m)[0] ?? '';
    const named = [...section.matchAll(/^\| `(\w+)` /gm)].map(([, name]) => name);
    t.strictSame(named, Object.keys(parse(record)), record.event);
    const example = JSON.parse(/```json\n([^`]*)```/.exec(section)?.[1] ?? '{}') as Record<string, unknown>;
    t.strictSame(
      Object.keys(example),
      named.filter((name) => name !== undefined && name in example),
      `the example of ${record.event} has these fields, in their order`,
    );
    t.equal(example.event, record.event);
  }
  for (const code of Object.keys(ERRORS) as ErrorCode[]) {
    const { rule } = parse({ ...DECISION, code });
    t.ok(page.includes(`\`${String(rule)}\``), `${String(rule)} is explained`);
  }
});

void t.test('an audit in a file, for its owner alone', async (t) => {
  const path = join(t.testdir(), 'audit.jsonl');
  const trouble: string[] = [];
  const target = { kind: 'file', path, maxSize: 1024 * 1024, keep: 5 } as const;
  const audit = await createAudit({ target, required: false }, (words) => trouble.push(words), () => NOW); // prettier-ignore
  t.equal(statSync(path).mode & 0o777, 0o600);
  audit.write(DECISION);
  t.equal(readFileSync(path, 'utf8'), '', 'nothing is written on the way of a request');
  audit.flush();
  t.equal(readFileSync(path, 'utf8'), formatRecord(DECISION, NOW));
  audit.write(END);
  await audit.close();
  t.equal(readFileSync(path, 'utf8'), formatRecord(DECISION, NOW) + formatRecord(END, NOW));
  t.strictSame([audit.healthy, audit.dropped, trouble], [true, 0, []]);
  audit.write(END);
  t.equal(audit.dropped, 1, 'after its end nothing is kept');
});

void t.test('what cannot be opened', async (t) => {
  const folder = t.testdir({ folder: {}, link: t.fixture('symlink', 'file'), file: '' });
  await new Promise((resolve) => execFile('mkfifo', [join(folder, 'fifo')], resolve));
  const BAD = [
    ['folder', /folder is a directory/],
    ['fifo', /fifo is no regular file/],
    ['link', /link is a symbolic link/],
    ['none/audit', /none\/audit is in a folder that does not exist/],
  ] as const;
  for (const [name, says] of BAD) {
    const target = { kind: 'file', path: join(folder, name), maxSize: 0, keep: 1 } as const;
    const failed = await createAudit({ target, required: false }, () => undefined).catch((error: unknown) => error);
    t.ok(failed instanceof AuditError, name);
    t.match((failed as Error).message, says);
  }
});

/** A program of its own, whose stdout is the audit. */
const PROGRAM = `
  const { createAudit } = await import(${JSON.stringify(SRC)});
  const { promise, resolve } = Promise.withResolvers();
  const audit = await createAudit({ target: { kind: 'stdout' }, required: false }, resolve);
  process.stdin.resume();
  process.stdin.once('end', async () => {
    for (let i = 0; i < 1000; i++) audit.write({ event: 'decision', id: String(i), method: 'GET', decision: 'forward' });
    if (process.argv[1] === 'broken') {
      process.stderr.write((await promise) + ' ' + audit.healthy + ' ');
    }
    await audit.close();
    process.stderr.write('dropped ' + audit.dropped);
  });
`;

void t.test('an audit on stdout', async (t) => {
  const run = (word: string, broken: boolean): Promise<{ error: unknown; stdout: string; stderr: string }> =>
    new Promise((resolve) => {
      const args = ['--input-type=module', '-e', PROGRAM, word];
      const child = execFile(process.execPath, args, (error, stdout, stderr) => resolve({ error, stdout, stderr }));
      if (!broken) return void child.stdin?.end();
      child.stdout?.once('close', () => child.stdin?.end());
      child.stdout?.destroy();
    });
  const whole = await run('whole', false);
  t.equal(whole.error, null);
  t.equal(whole.stderr, 'dropped 0');
  t.strictSame(
    whole.stdout.trimEnd().split('\n').map((line) => (JSON.parse(line) as { id: string }).id), // prettier-ignore
    Array.from({ length: 1000 }, (_, i) => String(i)),
  );
  const broken = await run('broken', true);
  t.equal(broken.error, null, 'a reader that is gone does not end the process');
  t.match(broken.stderr, /cannot be written.*EPIPE.* false dropped 1000$/);
});
