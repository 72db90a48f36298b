/**
 * A body that is collected for a check of its tools went on being collected after its request was refused: what came
 * beyond the limit asked for a second answer, which threw in a callback of the parser and took the process with it.
 * Anybody with `tools` could do that, with a token that was about to expire.
 */
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { serve, type Served } from '../helpers/process.ts';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { openRaw, rawExchange } from '../helpers/raw.ts';
import { authorized, get } from '../helpers/request-bytes.ts';
import { caller, GATEWAY_SECRET, hashOf, TOKENS } from '../helpers/stack.ts';

const TOOLER = 'tools-token-0123456789-abcdefg';
const BEYOND = 'x'.repeat(2 * 2 ** 20 + 64 * 1024);
const writer = caller('writer', TOKENS.writer, ['operator.read']);
const tooler = caller('tooler', TOOLER, [], 'tools: [a]');

interface Case {
  readonly why: string;
  readonly code: string;
  readonly more?: string;
  readonly callers?: string;
  readonly end: (shim: Served, configure: (callers: string) => void) => void;
}

const CASES: readonly Case[] = [
  {
    why: 'revoked',
    code: 'invalid_token',
    end: (_, configure) => configure(writer),
  },
  {
    why: 'expired',
    code: 'expired_token',
    end: (_, configure) =>
      configure(
        `${writer}\n  - { name: tooler, scopes: [], tools: [a], tokens: [{ hash: "${hashOf(TOOLER)}", expires: 2026-01-01 }] }`,
      ),
  },
  {
    why: 'narrowed',
    code: 'insufficient_scope',
    end: (_, configure) => configure(`${writer}\n${caller('tooler', TOOLER, [], 'tools: [b]')}`),
  },
  {
    why: 'drained',
    code: 'shutting_down',
    more: 'drain: { timeout: 1ms }',
    end: (shim) => void shim.child.kill('SIGTERM'),
  },
];

interface Running {
  readonly shim: Served;
  readonly configure: (callers: string) => void;
  readonly port: number;
}

async function run(t: Test, more = '', node: readonly string[] = []): Promise<Running> {
  const gateway = await startRawGateway(t);
  const file = join(t.testdir({}), 'shim.config.yaml');
  const configure = (callers: string): void =>
    writeFileSync(
      file,
      [
        'listen: { port: 0 }',
        `gateway: { url: "${gateway.url}", auth: { mode: token, secret: { env: SECRET } } }`,
        more,
        'callers:',
        callers,
      ].join('\n'),
    );
  configure(`${writer}\n${tooler}`);
  const shim = await serve(t, ['-c', file], { env: { SECRET: GATEWAY_SECRET }, node });
  return { shim, configure, port: Number(new URL(shim.url).port) };
}

for (const { why, code, more, end } of CASES) {
  void t.test(`${why}, and then more than the limit`, async (t) => {
    const { shim, configure, port } = await run(t, more);
    const raw = await openRaw(t, port);
    raw.send(`POST /tools/invoke HTTP/1.1\r\n${authorized(TOOLER)}Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n`);
    // Its head was seen by now: what comes on a later connection is taken later.
    t.equal((await rawExchange(port, get('/v1/models'))).status, 200);
    end(shim, configure);
    await raw.until((text) => text.includes(`"code":"${code}"`));
    raw.send(`${BEYOND.length.toString(16)}\r\n${BEYOND}\r\n0\r\n\r\n`);
    const text = await raw.closed();
    t.equal(text.split('HTTP/1.1 ').length, 2, 'one answer');
    if (why === 'drained') t.equal(await shim.ended, 0);
    else t.equal((await rawExchange(port, get('/v1/models'))).status, 200, 'everybody else is served');
    t.strictSame(
      shim.lines().filter(({ level }) => level === 'error' || level === 'fatal'),
      [],
    );
    const line = await shim.logged((one) => one.code === code);
    t.match(line, { route: '/tools/invoke' });
  });
}

void t.test('bytes that are no HTTP, and then a revocation: one refusal', async (t) => {
  const { shim, configure, port } = await run(t);
  // Half open, so that the connection is there when its token is revoked.
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  t.teardown(() => socket.destroy());
  const answered = new Promise((resolve) => socket.once('data', resolve));
  socket.write(
    `POST /tools/invoke HTTP/1.1\r\n${authorized(TOOLER)}Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\nzz\r\n`,
  );
  t.match(String(await answered), /^HTTP\/1\.1 400 /);
  configure(writer);
  await shim.logged(({ msg }) => msg === 'reloaded');
  socket.destroy();
  t.match(await shim.logged(({ route }) => route === '/tools/invoke'), { status: 400, code: 'bad_request' });
});

void t.test('a fault outside every request is told, and ends nobody', async (t) => {
  const { shim, port } = await run(t, '', ['--import', join(import.meta.dirname, '../helpers/fault.ts')]);
  const before = await openRaw(t, port);
  before.send(get('/v1/models'));
  await before.until((text) => text.endsWith('{}'));
  for (const [nth, from] of [0, shim.lines().length].entries()) {
    shim.child.kill('SIGUSR2');
    const line = await shim.logged(({ level, err }) => level === 'fatal' && err !== undefined, from);
    t.match(line, { err: { message: 'a planted fault', stack: /fault\.ts/ } }, `fault ${nth + 1}`);
  }
  before.send(get('/v1/models'));
  await before.until((text) => text.split('HTTP/1.1 200').length === 3);
  shim.child.kill('SIGTERM');
  t.equal(await shim.ended, 0);
});
