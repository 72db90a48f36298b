/** The wall clock of the shim's machine jumps, by hours and both ways. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { commandGateway, runShim, type ChaosShim } from '../helpers/chaos.ts';
import { ask, outcomeOf } from '../helpers/load.ts';
import { openRaw, type RawConnection } from '../helpers/raw.ts';
import { get } from '../helpers/request-bytes.ts';
import { hashOf, TOKENS } from '../helpers/stack.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

interface Running extends ChaosShim {
  /** Settles when the clock of the shim is so many milliseconds off. */
  readonly jump: (shift: number) => Promise<void>;
  /** What a request of this token comes to. */
  readonly outcome: (token: string) => Promise<string>;
  /** An open event stream. */
  readonly stream: (token: string) => Promise<RawConnection>;
}

async function run(t: Test, more = ''): Promise<Running> {
  const gateway = await commandGateway(t, (req, res) => {
    req.resume();
    if (req.url !== '/v1/models/openclaw') return void res.end('{}');
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    res.write('data: 1\n\n');
  });
  const at = (shift: number): string => new Date(Date.now() + shift).toISOString().slice(0, 19) + 'Z';
  const clock = join(t.testdir({}), 'clock');
  const one = (name: string, token: string, rest: string): string =>
    `  - { name: ${name}, scopes: [operator.read], tokens: [{ hash: "${hashOf(token)}", ${rest} }] }`;
  const shim = await runShim(t, {
    gateway,
    callers: [
      'callers:',
      one('ends', TOKENS.reader, `expires: "${at(HOUR)}"`),
      one('begins', TOKENS.writer, `notBefore: "${at(HOUR)}"`),
      `${one('always', TOKENS.admin, '').slice(0, -2)}, limits: { requestsPerMinute: 3 } }`,
    ].join('\n'),
    more,
    node: ['--import', new URL('../helpers/clock.ts', import.meta.url).href],
    env: { CLOCK_FILE: clock },
  });
  return {
    ...shim,
    async jump(shift) {
      const from = shim.lines().length;
      writeFileSync(clock, String(shift));
      shim.child.kill('SIGUSR2');
      await shim.logged((line) => line.msg === 'the clock jumped' && line.shift === shift, from);
    },
    outcome: async (token) => outcomeOf(await ask(shim.port, { token })),
    async stream(token) {
      const raw = await openRaw(t, shim.port);
      raw.send(get('/v1/models/openclaw', '', token));
      await raw.until((text) => text.includes('data: 1\n\n'));
      return raw;
    },
  };
}

const TOLD = (code: string): RegExp =>
  new RegExp(`data: 1\\n\\n\\r\\n[0-9a-f]+\\r\\nevent: error\\ndata: .*"${code}".*\\n\\n\\r\\n$`);

/** No time that was measured is negative, or as long as the jump. */
async function checkDurations(t: Test, shim: Running): Promise<void> {
  // Lines are written in batches.
  await shim.logged(({ msg }) => msg === 'request');
  const requests = shim.lines().filter(({ msg }) => msg === 'request');
  t.strictSame(
    requests.filter(({ ms, ttfb }) => [ms, ttfb].some((time) => !(Number(time) >= 0 && Number(time) < 60_000))),
    [],
  );
}

void t.test('tokens expire and become valid by it; streams of expired ones end within 2 s', async (t) => {
  const shim = await run(t);
  const { jump, outcome, stream } = shim;
  const both = async (): Promise<string> => `${await outcome(TOKENS.reader)}, ${await outcome(TOKENS.writer)}`;
  t.equal(await both(), '200, 401 not_yet_valid_token');
  const ending = await stream(TOKENS.reader);
  const staying = await stream(TOKENS.admin);

  await jump(2 * HOUR);
  const began = performance.now();
  t.match(await ending.closed(), TOLD('expired_token'));
  // The rest is for a machine with much to do.
  t.ok(performance.now() - began < 6_000, `after ${Math.round(performance.now() - began)} ms`);
  t.equal(await both(), '401 expired_token, 200');
  const later = await stream(TOKENS.writer);

  await jump(-2 * HOUR);
  t.match(await later.closed(), TOLD('not_yet_valid_token'));
  t.equal(await both(), '200, 401 not_yet_valid_token');
  await jump(0);
  t.equal(await both(), '200, 401 not_yet_valid_token');
  t.equal(staying.socket.closed, false);
  t.equal(staying.text.includes('event: error'), false, 'a token without dates does not care');
  staying.socket.destroy();
  await shim.logged(({ end, caller }) => end === 'caller_gone' && caller === 'always');
  await checkDurations(t, shim);
  t.equal((await fetch(`${shim.admin}/readyz`)).status, 200);
});

void t.test('limits: no caller is told to wait for longer than the window', async (t) => {
  const shim = await run(t);
  const question = { token: TOKENS.admin };
  for (let i = 0; i < 3; i++) t.equal((await ask(shim.port, question)).status, 200);
  const wait = async (): Promise<number> => {
    const { status, headers } = await ask(shim.port, question);
    t.equal(status, 429);
    return Number(headers['retry-after']);
  };
  t.ok((await wait()) <= 60);
  await shim.jump(-DAY);
  const after = await wait();
  t.ok(after > 0 && after <= 60, `a day back: Retry-After ${after}`);
  await shim.jump(DAY);
  const codes: number[] = [];
  for (let i = 0; i < 4; i++) codes.push((await ask(shim.port, question)).status);
  t.strictSame(codes, [200, 200, 200, 429], 'a day on: one fresh window, as if the day were over');

  const bad = { token: 'x'.repeat(43) };
  for (let i = 0; i < 10; i++) t.equal((await ask(shim.port, bad)).status, 401);
  for (const shift of [-DAY, DAY, 0]) {
    await shim.jump(shift);
    const { status, headers } = await ask(shim.port, bad);
    t.equal(status, 429, 'the window of failed logins has nothing to do with it');
    t.ok(Number(headers['retry-after']) <= 60);
  }
  await checkDurations(t, shim);
});

for (const [name, shift] of [
  ['on', DAY],
  ['back', -DAY],
] as const) {
  void t.test(`a jump ${name} within the drain makes it neither shorter nor longer`, async (t) => {
    const shim = await run(t, 'drain: { delay: 300ms, timeout: 1s }');
    const stream = await shim.stream(TOKENS.admin);
    const began = performance.now();
    shim.child.kill('SIGTERM');
    await shim.logged(({ msg }) => msg === 'shutting down');
    await shim.jump(shift);
    t.match(await stream.closed(), TOLD('shutting_down'));
    t.equal(await shim.ended, 0);
    const took = performance.now() - began;
    t.ok(took > 1_250 && took < 20_000, `${Math.round(took)} ms`);
    await checkDurations(t, shim);
  });
}
