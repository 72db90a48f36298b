/** `auth-shim audit …`, on real files. */
import {
  appendFileSync,
  closeSync,
  linkSync,
  openSync,
  renameSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { runAuditSummary, runAuditTail } from '../../src/commands/audit.ts';
import { printable } from '../../src/commands/audit-view.ts';
import type { ErrorCode } from '../../src/errors.ts';
import { formatRecord, type AuditRecord, type ConnectRecord } from '../../src/observe/audit-record.ts';
import { testWorld, type TestWorld } from '../helpers/world.ts';

const config = 'shim.config.yaml';
/** Only `audit:` counts: the secret is nowhere, and another section has a fault. */
const CONFIG = 'gateway: { auth: { secret: { env: NOWHERE } } }\naudit: { file: logs/audit.jsonl }\n';
/** It is 2026-12-01 in the world of the tests. */
const NOW = Date.UTC(2026, 11, 1);
const HOUR = 3_600_000;

function folder(
  t: Test,
  text: string | undefined,
  more: Parameters<typeof testWorld>[1] = {},
): TestWorld & { path: string } {
  const cwd = t.testdir({ [config]: CONFIG, logs: text === undefined ? {} : { 'audit.jsonl': text } });
  const path = join(cwd, 'logs/audit.jsonl');
  if (text !== undefined) touch(path);
  return { ...testWorld(cwd, more), path };
}

/** The clock of the tests is not the file system's. */
const touch = (path: string, time = NOW): void => utimesSync(path, time / 1_000, time / 1_000);

const decision = (id: number, more: Partial<AuditRecord> = {}, time = NOW - HOUR): string =>
  formatRecord(
    {
      event: 'decision',
      id: `id-${id}`,
      caller: 'page',
      method: 'POST',
      route: '/v1/responses',
      decision: 'forward',
      ...more,
    } as AuditRecord,
    time,
  );
const end = (id: number, more: Partial<AuditRecord> = {}, time = NOW - HOUR): string =>
  formatRecord(
    {
      event: 'end',
      id: `id-${id}`,
      caller: 'page',
      method: 'POST',
      route: '/v1/responses',
      status: 200,
      ms: 100,
      in: 1,
      out: 2,
      end: 'done',
      ...more,
    } as AuditRecord,
    time,
  );
const connect = (id: number, more: Partial<ConnectRecord> = {}): string =>
  formatRecord(
    { event: 'connect', id: `id-${id}`, caller: 'page', credential: 'c0ffee', decision: 'forward', ...more },
    NOW - HOUR,
  );
/** The end of a WebSocket that was open for ten hours. */
const socketEnd = (id: number, more: Partial<AuditRecord> = {}): string => {
  const socket = { close: 1000, closeReason: 'bye', framesIn: 3, framesOut: 4 };
  return end(id, { method: 'GET', route: '/', status: 101, ms: 10 * HOUR, socket, ...more });
};
const refused = (code: ErrorCode, caller?: string): Partial<AuditRecord> => ({ decision: 'refuse', code, caller });
const many = (from: number, to: number): string =>
  Array.from({ length: to - from }, (_, index) => decision(from + index)).join('');

const ids = (world: TestWorld): string[] =>
  world
    .out()
    .split('\n')
    .slice(0, -1)
    .map((line) => (JSON.parse(line) as { id: string }).id);
const idsOf = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => `id-${from + index}`);

void t.test('tail: one aligned line a record', async (t) => {
  const world = folder(
    t,
    decision(1) +
      end(1, { ms: 12.3, usage: { input: 12, output: 34, total: 46 } }) +
      decision(2, { ...refused('invalid_token'), path: '/x', route: undefined }) +
      end(3, { status: 502, code: 'gateway_unreachable', end: 'gateway_gone' }) +
      formatRecord({ event: 'gap', dropped: 7 }, NOW),
  );
  t.equal(await runAuditTail(world, { config, lines: '20' }), 0);
  const time = '2026-11-30T23:00:00.000Z';
  t.equal(
    world.out(),
    [
      `${time}  page              POST     /v1/responses                 forward`,
      `${time}  page              POST     /v1/responses                 200 done                                12.3 ms     12 + 34 tokens`,
      `${time}  -                 POST     /x                            refuse 401        invalid_token`,
      `${time}  page              POST     /v1/responses                 502 gateway_gone  gateway_unreachable   100 ms`,
      '2026-12-01T00:00:00.000Z  7 lines were dropped here',
      '',
    ].join('\n'),
  );
  t.equal(world.err(), '');
});

void t.test('tail: the last ones, also of the file before, and of a long file', async (t) => {
  const world = folder(t, many(5_000, 5_003));
  writeFileSync(`${world.path}.1`, many(0, 5_000));
  t.equal(await runAuditTail(world, { config, lines: '2000', json: true }), 0);
  t.strictSame(ids(world), idsOf(3_003, 5_003));
  const few = { ...testWorld(world.cwd) };
  t.equal(await runAuditTail(few, { config, lines: '0', json: true }), 0);
  t.equal(few.out(), '');
  const named = testWorld('/');
  t.equal(await runAuditTail(named, { config: 'none', file: `${world.path}.1`, lines: '1', json: true }), 0);
  t.strictSame(ids(named), ['id-4999']);
});

void t.test('tail: chosen records; where lines are missing is always told', async (t) => {
  const text =
    decision(1) +
    decision(2, refused('insufficient_scope', 'other')) +
    formatRecord({ event: 'gap', dropped: 7 }, NOW) +
    decision(3, refused('insufficient_scope', 'page')) +
    decision(4, { decision: 'would_refuse', code: 'rate_limited' }) +
    end(5, { code: 'gateway_unreachable' }) +
    end(6);
  const show = async (more: object): Promise<(string | undefined)[]> => {
    const world = folder(t, text);
    t.equal(await runAuditTail(world, { config, lines: '20', json: true, ...more }), 0);
    return ids(world);
  };
  t.strictSame(await show({ caller: 'page' }), [`id-1`, undefined, 'id-3', 'id-4', 'id-5', 'id-6']);
  t.strictSame(await show({ refused: true }), ['id-2', undefined, 'id-3', 'id-4', 'id-5']);
  t.strictSame(await show({ refused: true, caller: 'other' }), ['id-2', undefined]);
  t.strictSame(await show({ caller: 'page', lines: '1' }), ['id-6']);
});

void t.test('broken lines are counted, never a crash', async (t) => {
  const broken = [
    '{"event":"decision"',
    'null',
    '[]',
    '{"event":"other","time":"x"}',
    '{"event":"end"}',
    'x'.repeat(1_000_000),
  ];
  const text = `${decision(1)}${broken.join('\n')}\n\n${decision(2, {})}\ufffd\n{"event":"dec`;
  const world = folder(t, text);
  t.equal(await runAuditTail(world, { config, lines: '20', json: true }), 0);
  t.strictSame(ids(world), ['id-1', 'id-2']);
  t.equal(world.err(), '8 broken lines were skipped\n');
  const sums = folder(t, text);
  t.equal(await runAuditSummary(sums, { config, since: '24h', json: true }), 0);
  t.match(JSON.parse(sums.out()), { broken: 8, callers: [{ caller: 'page', requests: 2 }] });
  t.equal(sums.err(), '8 broken lines were skipped\n');
  const odd = folder(
    t,
    '{"event":"end","time":"2026-12-01","caller":{},"ms":"1","usage":[],"status":{},"code":1,"end":null}\n',
  );
  t.equal(await runAuditTail(odd, { config, lines: '1' }), 0);
  t.equal(await runAuditSummary(odd, { config, since: '24h' }), 0);
});

void t.test('a line without an end is not kept in memory', async (t) => {
  const world = folder(t, decision(1));
  truncateSync(world.path, 100 * 1024 * 1024);
  appendFileSync(world.path, `\n${decision(2)}`);
  t.equal(await runAuditTail(world, { config, lines: '20', json: true }), 0);
  t.strictSame(ids(world), ['id-1', 'id-2']);
  t.equal(world.err(), '1 broken line was skipped\n');
  touch(world.path);
  t.equal(await runAuditSummary(world, { config, since: '24h', json: true }), 0);
  t.ok(process.resourceUsage().maxRSS < 400 * 1024);
});

void t.test('nothing of a record reaches a terminal as a command', async (t) => {
  const evil = '\u001b[2J\u009b31m\u007f\r\n\u202e\u2028\ud800\u0000é';
  // Written by somebody else: not escaped as the shim would.
  const text = `{"event":"decision","time":"\u009b2J","id":"id-1","caller":${JSON.stringify(evil)},"path":"\u202e\u001b","decision":"\u007f"}\n`;
  const line = text.replace('\u001b', '\\u001b');
  for (const json of [true, false]) {
    const world = folder(t, line + decision(2, { ...refused('rate_limited', evil), agent: evil }));
    t.equal(await runAuditTail(world, { config, lines: '20', json }), 0);
    t.equal(await runAuditSummary(world, { config, since: '24h', json }), 0);
    const words = world.out() + world.err();
    t.match(words, json ? /\\u001b\[2J\\u009b31m/ : /\\u001b\[2J\\u009b31m\\u007f/);
    // oxlint-disable-next-line no-control-regex
    t.notMatch(words.replaceAll('\n', ''), /[\u0000-\u001f\u007f-\u009f\u2028\u202e\ud800-\udfff]/);
    t.ok(words.includes('é'));
  }
  t.equal(printable('a\u200bb\ufeff'), 'a\\u200bb\\ufeff');
});

void t.test('tail -f: across rotation and truncation, until a signal', async (t) => {
  const signal = Promise.withResolvers<string>();
  let text = '';
  let seen = Promise.withResolvers<void>();
  const stdout = (part: string): void => {
    text += part;
    seen.resolve();
    seen = Promise.withResolvers();
  };
  const world = folder(t, many(0, 30), { stdout, nextSignal: () => signal.promise });
  const { path } = world;
  const shown = async (id: string): Promise<void> => {
    while (!text.includes(`"${id}"`)) await seen.promise;
  };
  appendFileSync(path, decision(30).slice(0, 40));
  const done = runAuditTail(world, { config, lines: '5', follow: true, json: true });
  await shown('id-29');
  appendFileSync(path, decision(30).slice(40));
  await shown('id-30');
  // Twice within the time that the shim may take to notice; what comes late in the old file is shown as well.
  const old = openSync(path, 'a');
  renameSync(path, `${path}.1`);
  writeFileSync(path, decision(32));
  renameSync(`${path}.1`, `${path}.2`);
  renameSync(path, `${path}.1`);
  writeFileSync(path, decision(33));
  // A shim needs up to a second to notice that its file was moved.
  await new Promise((resolve) => setTimeout(resolve, 600));
  writeSync(old, decision(31));
  closeSync(old);
  await shown('id-33');
  writeFileSync(path, '');
  appendFileSync(path, `${decision(34, {}).replace('"POST"', '"GET"')}`);
  await shown('id-34');
  appendFileSync(path, 'broken\n');
  appendFileSync(path, decision(35));
  await shown('id-35');
  signal.resolve('SIGINT');
  t.equal(await done, 0);
  const numbers = text.split('\n').slice(0, -1).map((line) => (JSON.parse(line) as { id: string }).id); // prettier-ignore
  t.strictSame(numbers, idsOf(25, 36));
  t.equal(world.err(), '1 broken line was skipped\n');
});

void t.test('summary: by caller, of the rotated files too, as far back as asked', async (t) => {
  const world = folder(
    t,
    decision(1) +
      end(1, { ms: 100, usage: { input: 10, output: 20, total: 30 } }) +
      decision(2, refused('insufficient_scope', 'page')) +
      decision(3, { decision: 'would_refuse', code: 'rate_limited' }) +
      end(3, { ms: 1_000, code: 'gateway_timeout', status: 504 }, NOW - 1) +
      decision(4, refused('invalid_token')) +
      decision(5, refused('invalid_token')) +
      formatRecord({ event: 'gap', dropped: 7 }, NOW),
  );
  writeFileSync(`${world.path}.1`, decision(6, {}, NOW - 25 * HOUR) + decision(7, {}, NOW - 23 * HOUR) + end(7));
  touch(`${world.path}.1`);
  writeFileSync(`${world.path}.2`, decision(8));
  touch(`${world.path}.2`, NOW - 25 * HOUR);
  t.equal(await runAuditSummary(world, { config, since: '24h', json: true }), 0);
  t.strictSame(JSON.parse(world.out()), {
    since: '2026-11-30T00:00:00.000Z',
    broken: 0,
    callers: [
      {
        caller: 'page',
        requests: 4,
        refused: { insufficient_scope: 1 },
        would_refuse: 1,
        failed: { gateway_timeout: 1 },
        tokens: { input: 10, output: 20 },
        ms: { p50: 98, p95: 1021 },
        last: '2026-11-30T23:59:59.999Z',
      },
      {
        caller: null,
        requests: 2,
        refused: { invalid_token: 2 },
        would_refuse: 0,
        failed: {},
        tokens: { input: 0, output: 0 },
        ms: { p50: null, p95: null },
        last: '2026-11-30T23:00:00.000Z',
      },
    ],
    refusals: [
      { code: 'invalid_token', rule: 'credential', count: 2 },
      { code: 'insufficient_scope', rule: 'scope', count: 1 },
    ],
    dropped: 7,
  });
  const people = testWorld(world.cwd);
  t.equal(await runAuditSummary(people, { config, since: '24h' }), 0);
  t.equal(
    people.out(),
    `since 2026-11-30T00:00:00.000Z

CALLER  REQUESTS  REFUSED  WOULD  TOKENS IN  OUT  P50 MS  P95 MS  LAST SEEN
page    4         1        1      10         20   98      1021    2026-11-30T23:59:59.999Z
-       2         2        0      0          0    -       -       2026-11-30T23:00:00.000Z

COUNT  CODE                WHAT     CALLER
1      insufficient_scope  refused  page
1      gateway_timeout     failed   page
2      invalid_token       refused  -

REFUSALS  CODE                RULE
2         invalid_token       credential
1         insufficient_scope  scope

7 lines could not be written and are missing
`,
  );
});

void t.test('summary: a file that was rotated meanwhile, and has two names, counts once', async (t) => {
  const world = folder(t, decision(1));
  linkSync(world.path, `${world.path}.1`);
  t.equal(await runAuditSummary(world, { config, since: '24h', json: true }), 0);
  t.match(JSON.parse(world.out()), { callers: [{ requests: 1 }] });
});

void t.test('summary: percentiles to within 3 %', async (t) => {
  const text = Array.from({ length: 1_000 }, (_, index) => end(index, { ms: index + 1 })).join('');
  const world = folder(t, text);
  t.equal(await runAuditSummary(world, { config, since: '24h', json: true }), 0);
  const [{ ms }] = (JSON.parse(world.out()) as { callers: [{ ms: { p50: number; p95: number } }] }).callers;
  t.ok(Math.abs(ms.p50 / 500 - 1) < 0.03 && Math.abs(ms.p95 / 950 - 1) < 0.03, JSON.stringify(ms));
});

void t.test('connect: its record, key by key', async (t) => {
  const whole: ConnectRecord = {
    event: 'connect',
    trace_id: 'a'.repeat(32),
    peer: '192.0.2.9',
    code: 'x'.repeat(300),
    decision: 'refuse',
    device: 'd'.repeat(64),
    scopes: ['operator.read'],
    asked: ['operator.admin', 'operator.read'],
    credential: 'c0ffee',
    caller: 'page',
    id: 'id-1',
  };
  t.equal(
    formatRecord(whole, NOW),
    `{"event":"connect","time":"2026-12-01T00:00:00.000Z","id":"id-1","caller":"page","credential":"c0ffee","asked":["operator.admin","operator.read"],"scopes":["operator.read"],"device":"${'d'.repeat(64)}","decision":"refuse","code":"${'x'.repeat(200)}","peer":"192.0.2.9","trace_id":"${'a'.repeat(32)}"}\n`,
  );
  const least = formatRecord({ event: 'connect', id: 'id-2', decision: 'refuse' }, NOW);
  t.equal(least, '{"event":"connect","time":"2026-12-01T00:00:00.000Z","id":"id-2","decision":"refuse"}\n');
});

void t.test('tail: WebSockets', async (t) => {
  const text =
    decision(1, { method: 'GET', route: '/' }) +
    connect(1, { asked: ['operator.read'], scopes: ['operator.read'] }) +
    connect(2, { decision: 'refuse', code: 'PAIRING_REQUIRED' }) +
    connect(3, { decision: 'refuse', code: 'invalid_token', caller: undefined }) +
    socketEnd(1);
  const world = folder(t, text);
  t.equal(await runAuditTail(world, { config, lines: '20' }), 0);
  const time = '2026-11-30T23:00:00.000Z';
  t.equal(
    world.out(),
    [
      `${time}  page              GET      /                             forward`,
      `${time}  page              -        -                             connect forward`,
      `${time}  page              -        -                             connect refuse    PAIRING_REQUIRED`,
      `${time}  -                 -        -                             connect refuse    invalid_token`,
      `${time}  page              GET      /                             101 done                                36000000 ms`,
      '',
    ].join('\n'),
  );
  t.equal(world.err(), '');
  const show = async (more: object): Promise<string[]> => {
    const chosen = folder(t, text);
    t.equal(await runAuditTail(chosen, { config, lines: '20', json: true, ...more }), 0);
    return ids(chosen);
  };
  t.strictSame(await show({ refused: true }), ['id-2', 'id-3']);
  t.strictSame(await show({ caller: 'page' }), ['id-1', 'id-1', 'id-2', 'id-1']);
});

void t.test('summary: a WebSocket is one request, and how long it was open says nothing of the others', async (t) => {
  const world = folder(
    t,
    decision(1, { method: 'GET', route: '/' }) +
      connect(1) +
      socketEnd(1) +
      decision(2, { method: 'GET', route: '/' }) +
      connect(2, { decision: 'refuse', code: 'PAIRING_REQUIRED' }) +
      socketEnd(2, { end: 'refused' }) +
      decision(3, refused('too_many_sockets', 'page')) +
      connect(4, { decision: 'refuse', code: 'invalid_token', caller: undefined }) +
      decision(5) +
      end(5, { ms: 100 }),
  );
  t.equal(await runAuditSummary(world, { config, since: '24h', json: true }), 0);
  t.match(JSON.parse(world.out()), {
    broken: 0,
    callers: [
      {
        caller: 'page',
        requests: 4,
        refused: { PAIRING_REQUIRED: 1, too_many_sockets: 1 },
        failed: {},
        ms: { p50: 98, p95: 98 },
      },
      { caller: null, requests: 0, refused: { invalid_token: 1 }, ms: { p50: null, p95: null } },
    ],
    refusals: [
      { code: 'PAIRING_REQUIRED', rule: '-', count: 1 },
      { code: 'too_many_sockets', rule: 'limits', count: 1 },
      { code: 'invalid_token', rule: '-', count: 1 },
    ],
  });
  const alone = folder(t, decision(1) + socketEnd(1));
  t.equal(await runAuditSummary(alone, { config, since: '24h', json: true }), 0);
  t.match(JSON.parse(alone.out()), { callers: [{ requests: 1, ms: { p50: null, p95: null } }] });
});

void t.test('what stands in the way', async (t) => {
  const fail = async (text: string, more: object = {}): Promise<[number, string]> => {
    const world = folder(t, undefined);
    writeFileSync(join(world.cwd, config), text);
    const tail = await runAuditTail(world, { config, lines: '20', ...more });
    const told = world.err();
    t.equal(await runAuditSummary(world, { config, since: '24h', ...more }), tail);
    t.equal(world.err(), told + told);
    t.equal(world.out(), '');
    return [tail, told];
  };
  t.match(await fail(CONFIG), [1, /logs\/audit\.jsonl does not exist/]);
  t.match(await fail(CONFIG, { file: 'logs' }), [1, /logs cannot be read|logs is a directory/]);
  t.match(await fail('listen: {}'), [1, /has no audit: add "audit: { file: PATH }"/]);
  t.match(await fail('audit: { stdout: true }'), [1, /goes to stdout; --file names/]);
  t.match(await fail('audit: { file: a, stdout: true }'), [78, /"audit" has faults/]);
  t.match(await fail('audit: { path: a }'), [78, /"audit" has faults/]);
  t.match(await fail('audit: {'), [78, /shim\.config\.yaml:/]);
  const world = folder(t, '');
  rmSync(join(world.cwd, config));
  t.equal(await runAuditTail(world, { config, lines: '20' }), 78);
  t.match(world.err(), /shim\.config\.yaml does not exist; --file names an audit file itself/);
  for (const lines of ['', '-1', 'x', '1.5', '100001', '9999999']) {
    t.equal(await runAuditTail(world, { config, lines, file: world.path }), 2, lines);
  }
  for (const since of ['', '0s', 'x', '24']) {
    t.equal(await runAuditSummary(world, { config, since, file: world.path }), 2, since);
  }
  t.equal(await runAuditTail(world, { config, lines: '20', file: world.path }), 0, 'an empty file is no fault');
});
