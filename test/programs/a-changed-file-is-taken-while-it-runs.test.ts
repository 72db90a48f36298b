import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { serve, type Served } from '../helpers/process.ts';
import { startRawGateway, type RawGateway } from '../helpers/raw-gateway.ts';
import { openRaw, refusesConnections, type RawConnection } from '../helpers/raw.ts';
import { get, post } from '../helpers/request-bytes.ts';
import { bearer, caller, TOKENS } from '../helpers/stack.ts';

const JSON_ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}';
const STREAM =
  'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n';
const reader = caller('reader', TOKENS.reader, ['operator.read']);
const writer = caller('writer', TOKENS.writer, ['operator.read']);
const FIRST = 'gateway-Zk3mQ8vT1xYw-first';
const SECOND = 'gateway-Zk3mQ8vT1xYw-second';
/** Milliseconds. A revocation may take two seconds; the rest is for a machine with much to do. */
const SOON = 6_000;

interface Running {
  readonly shim: Served;
  readonly folder: string;
  readonly gateway: RawGateway;
  readonly port: number;
  /** Does something, then waits for the next log line that begins so. */
  readonly until: (message: string, change: () => void) => Promise<Record<string, unknown>>;
  /** Writes the configuration, with a wait for its reload. */
  readonly configure: (...more: string[]) => Promise<Record<string, unknown>>;
  /** The same, with another gateway. */
  readonly move: (url: string, ...more: string[]) => Promise<Record<string, unknown>>;
  /** Status of `GET /v1/models`. */
  readonly ask: (token: string) => Promise<number>;
  readonly readyz: () => Promise<string>;
}

async function run(t: Test, prepare: (folder: string) => readonly string[]): Promise<Running> {
  const gateway = await startRawGateway(t, {
    onRequest: ({ socket, text }) => void socket.write(text.includes('/v1/models/openclaw') ? STREAM : JSON_ANSWER),
  });
  const folder = t.testdir({ secret: FIRST });
  const file = join(folder, 'shim.config.yaml');
  const write = (more: readonly string[], url = gateway.url): void => {
    const lines = [
      'listen: { port: 0 }',
      `gateway: { url: "${url}", auth: { mode: token, secret: { file: secret } } }`,
      'admin: { port: 0 }',
      ...more,
    ];
    writeFileSync(file, lines.join('\n'));
  };
  write(prepare(folder));
  const shim = await serve(t, ['-c', file]);
  const until: Running['until'] = (message, change) => {
    const from = shim.lines().length;
    change();
    return shim.logged(({ msg }) => String(msg).startsWith(message), from);
  };
  return {
    shim,
    folder,
    gateway,
    port: Number(new URL(shim.url).port),
    until,
    configure: (...more) => until('reload', () => write(more)),
    move: (url, ...more) => until('reload', () => write(more, url)),
    ask: async (token) => (await fetch(`${shim.url}/v1/models`, { headers: bearer(token) })).status,
    readyz: async () => (await fetch(`${String(shim.listening.admin)}/readyz?verbose`)).text(),
  };
}

void t.test('a new caller may call; a removed one may not, and loses its open stream, told why', async (t) => {
  const { shim, port, configure, ask } = await run(t, () => ['callers:', reader]);
  t.equal(await ask(TOKENS.writer), 401);
  const stream = await openRaw(t, port);
  stream.send(get('/v1/models/openclaw', '', TOKENS.reader));
  await stream.until((text) => text.includes('data: 1\n\n'));
  const begun = performance.now();
  t.match(await configure('callers:', writer), { level: 'info', msg: 'reloaded', callers: 1 });
  const told = await stream.closed();
  t.ok(performance.now() - begun < SOON, `${Math.round(performance.now() - begun)} ms`);
  t.match(told, /data: 1\n\n\r\n[0-9a-f]+\r\nevent: error\ndata: \{"error":\{[^\n]*"invalid_token"[^\n]*\n\n\r\n$/);
  t.equal(await ask(TOKENS.reader), 401);
  t.equal(await ask(TOKENS.writer), 200);
  const line = await shim.logged(({ end }) => end === 'revoked');
  t.match(line, { caller: 'reader', status: 200, reason: 'the token was revoked' });
});

void t.test('a file that cannot run leaves the old state, tells every fault, and keeps readiness', async (t) => {
  const { shim, configure, ask, readyz } = await run(t, () => ['callers:', reader]);
  const failed = await configure('callers:', '  - { name: reader, scopes: [operator.wirte] }', 'limit: 1');
  t.match(failed, { level: 'error', msg: 'reload failed: the configuration before it runs on (2 faults)' });
  const faults = shim.lines().filter(({ level, line }) => level === 'error' && line !== undefined);
  t.match(faults, [
    { line: 5, column: 30, path: 'callers[0].scopes[0]', msg: /did you mean "operator.write"/ },
    { line: 6, column: 1, path: 'limit', msg: /unknown key/ },
  ]);
  t.equal(await ask(TOKENS.reader), 200);
  const checks = (fault: string): string =>
    `[+]configuration ok${fault}\n[+]listener ok\n[+]drain ok\n[+]gateway ok\nreadyz check passed\n`;
  t.equal(await readyz(), checks(': the last reload failed, the one before runs: 2 faults, see the log'));
  t.match(await configure('callers:', reader, writer), { msg: 'reloaded', callers: 2 });
  t.equal(await readyz(), checks(''));
  t.equal(await ask(TOKENS.writer), 200);
});

void t.test('the swap of a mounted Kubernetes secret is a change', async (t) => {
  const { folder, until, ask } = await run(t, (folder) => {
    for (const [version, line] of Object.entries({ v1: reader, v2: writer })) {
      mkdirSync(join(folder, 'mount', version), { recursive: true });
      writeFileSync(join(folder, 'mount', version, 'callers.yaml'), `callers:\n${line}\n`);
    }
    symlinkSync('v1', join(folder, 'mount/..data'));
    symlinkSync('..data/callers.yaml', join(folder, 'mount/callers.yaml'));
    return ['callersFile: mount/callers.yaml'];
  });
  t.equal(await ask(TOKENS.reader), 200);
  await until('reloaded', () => {
    symlinkSync('v2', join(folder, 'mount/..tmp'));
    renameSync(join(folder, 'mount/..tmp'), join(folder, 'mount/..data'));
  });
  t.equal(await ask(TOKENS.reader), 401);
  t.equal(await ask(TOKENS.writer), 200);
});

void t.test(
  'a secret that is rotated is sent from then on; one that is gone for a while changes nothing',
  async (t) => {
    const { folder, until, ask, gateway } = await run(t, () => ['callers:', reader]);
    const secret = join(folder, 'secret');
    const sent = (): string | undefined => /.*authorization: Bearer (\S+)/is.exec(gateway.text)?.[1];
    t.equal(await ask(TOKENS.reader), 200);
    t.equal(sent(), FIRST);
    t.match(await until('reload failed', () => rmSync(secret)), { level: 'error' });
    t.equal(await ask(TOKENS.reader), 200);
    t.match(await until('reloaded', () => writeFileSync(secret, `${SECOND}\n`)), { level: 'info' });
    t.equal(await ask(TOKENS.reader), 200);
    t.equal(sent(), SECOND);
  },
);

void t.test('SIGHUP reads anew; what cannot change while it runs is said', async (t) => {
  const { shim, until, configure, ask, folder, readyz } = await run(t, () => ['callers:', reader]);
  t.match(await until('reloaded', () => void shim.child.kill('SIGHUP')), { cause: 'SIGHUP' });
  await configure('callers:', reader, 'limits: { headerBytes: 8KiB }', 'probes: { port: 0 }');
  t.match(
    shim.lines().find(({ keys }) => keys !== undefined),
    { level: 'warn', keys: ['limits.headerBytes', 'probes'], msg: /restart/ },
  );
  t.match(await readyz(), /^\[\+\]configuration ok: a restart is due for limits\.headerBytes, probes\n/);
  t.equal(await ask(TOKENS.reader), 200);
  rmSync(join(folder, 'shim.config.yaml'));
  await shim.logged(({ msg }) => msg === 'the configuration does not exist');
  t.equal(await ask(TOKENS.reader), 200);
});

void t.test('a gateway that moves gets the requests to come; those under way end where they began', async (t) => {
  const { move, port, ask, gateway } = await run(t, () => ['callers:', reader]);
  const stream = await openRaw(t, port);
  stream.send(get('/v1/models/openclaw', '', TOKENS.reader));
  await stream.until((text) => text.includes('data: 1\n\n'));
  const other = await startRawGateway(t);
  await move(other.url, 'callers:', reader);
  t.equal(await ask(TOKENS.reader), 200);
  t.match(other.text, /^GET \/v1\/models HTTP/);
  const [connection] = gateway.connections;
  connection?.socket.write('9\r\ndata: 2\n\n\r\n0\r\n\r\n');
  await stream.until((text) => text.endsWith('data: 2\n\n\r\n0\r\n\r\n'));
});

void t.test('a request whose body comes after the gateway has moved is not lost', async (t) => {
  const writing = caller('writer', TOKENS.writer, ['operator.write']);
  const { move, port, gateway } = await run(t, () => ['callers:', writing]);
  const raw = await openRaw(t, port);
  raw.send(post('Content-Length: 2\r\nExpect: 100-continue\r\n', ''));
  await raw.until((text) => text.startsWith('HTTP/1.1 100 Continue\r\n\r\n'));
  const other = await startRawGateway(t);
  await move(other.url, 'callers:', writing);
  raw.send('{}');
  t.match(await raw.until((text) => text.endsWith('{}') || text.endsWith('}}')), /\r\n\r\nHTTP\/1.1 200 OK/);
  t.match(gateway.text, /\r\n\r\n\{\}$/, 'at the gateway of the configuration that judged it');
});

void t.test('a file that never rests does not keep a revocation in another from being read', async (t) => {
  const { shim, folder, ask } = await run(t, (folder) => {
    writeFileSync(join(folder, 'callers.yaml'), `callers:\n${reader}\n`);
    return ['callersFile: callers.yaml'];
  });
  t.equal(await ask(TOKENS.reader), 200);
  const secret = join(folder, 'secret');
  const touching = setInterval(() => utimesSync(secret, new Date(), new Date()), 50);
  t.teardown(() => clearInterval(touching));
  const begun = performance.now();
  writeFileSync(join(folder, 'callers.yaml'), 'callers: []\n');
  await shim.logged(({ msg, callers }) => msg === 'reloaded' && callers === 0);
  t.ok(performance.now() - begun < SOON, `${Math.round(performance.now() - begun)} ms`);
  t.equal(await ask(TOKENS.reader), 401);
});

void t.test('what is no plain file, or too large for one, is not waited for', async (t) => {
  const { folder, until, ask, readyz } = await run(t, (folder) => {
    writeFileSync(join(folder, 'callers.yaml'), `callers:\n${reader}\n`);
    return ['callersFile: callers.yaml'];
  });
  const path = join(folder, 'callers.yaml');
  for (const [make, words] of [
    [() => execFileSync('mkfifo', [path]), 'is no plain file'],
    [() => sparse(path, 400 * 1024 * 1024), 'is larger than 4 MiB'],
    [() => mkdirSync(path), 'is a directory'],
  ] as const) {
    const failed = until(`${path} ${words}`, () => {
      rmSync(path, { recursive: true });
      make();
    });
    t.match(await failed, { path: 'callersFile' });
    t.match(await readyz(), /readyz check passed\n$/);
    t.equal(await ask(TOKENS.reader), 200, words);
  }
});

void t.test('a scope that is lost ends what is under way, also a body that is still coming', async (t) => {
  const admin = caller('reader', TOKENS.reader, ['operator.admin']);
  const held = caller('reader', TOKENS.reader, ['operator.read'], 'tools: [web_search]');
  const { port, configure, gateway } = await run(t, () => ['callers:', admin]);
  const raw = await openRaw(t, port);
  raw.send(
    `POST /tools/invoke HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKENS.reader}\r\nContent-Length: 15\r\n\r\n{"tool`,
  );
  await configure('callers:', held);
  t.match(await raw.closed(), /^HTTP\/1\.1 403 [^]*"insufficient_scope"/);
  t.equal(gateway.text, '');
});

void t.test('also after the signal to end, in the delay and while the last requests run', async (t) => {
  const drain = 'drain: { delay: 6s, timeout: 60s }';
  const { shim, port, configure, ask } = await run(t, () => ['callers:', reader, writer, drain]);
  const open = async (token: string): Promise<RawConnection> => {
    const stream = await openRaw(t, port);
    stream.send(get('/v1/models/openclaw', '', token));
    await stream.until((text) => text.includes('data: 1\n\n'));
    return stream;
  };
  const [first, second] = [await open(TOKENS.reader), await open(TOKENS.writer)];
  shim.child.kill('SIGTERM');
  await shim.logged(({ msg }) => msg === 'shutting down');
  await configure('callers:', writer, drain);
  t.match(await first.closed(), /event: error\ndata: \{[^\n]*"invalid_token"/);
  t.equal(await ask(TOKENS.reader), 401);
  t.equal(await ask(TOKENS.writer), 200, 'the delay is not over yet');

  while (!(await refusesConnections(port))) await new Promise((resolve) => setTimeout(resolve, 50));
  await configure('callers: []', drain);
  t.match(await second.closed(), /event: error\ndata: \{[^\n]*"invalid_token"/);
  t.equal(await shim.ended, 0, 'nothing is left to wait for');
});

void t.test('a second signal ends at once, and no reload keeps it', async (t) => {
  const { shim, port } = await run(t, () => ['callers:', reader, 'drain: { timeout: 60s }']);
  const stream = await openRaw(t, port);
  stream.send(get('/v1/models/openclaw', '', TOKENS.reader));
  await stream.until((text) => text.includes('data: 1\n\n'));
  shim.child.kill('SIGTERM');
  await shim.logged(({ msg }) => msg === 'shutting down');
  shim.child.kill('SIGHUP');
  shim.child.kill('SIGTERM');
  t.equal(await shim.ended, 1);
});

void t.test('a resolver that does not answer holds up no revocation', async (t) => {
  const gateway = await startRawGateway(t);
  const folder = t.testdir({ names: '' });
  const file = join(folder, 'shim.config.yaml');
  const names = join(folder, 'names');
  const configure = (callers: string): void => {
    const url = gateway.url.replace('127.0.0.1', 'localhost');
    const auth = '{ mode: token, secret: { env: SECRET } }';
    writeFileSync(file, `listen: { port: 0 }\ngateway: { url: "${url}", auth: ${auth} }\n${callers}\n`);
  };
  configure(`callers:\n${reader}`);
  const shim = await serve(t, ['-c', file], {
    env: { SECRET: FIRST, NAMES_FILE: names },
    node: ['--import', join(import.meta.dirname, '../helpers/slow-names.ts')],
  });
  rmSync(names);
  const begun = performance.now();
  configure('callers: []');
  await shim.logged(({ msg, callers }) => msg === 'reloaded' && callers === 0);
  t.ok(performance.now() - begun < SOON, `${Math.round(performance.now() - begun)} ms`);
  t.equal((await fetch(`${shim.url}/v1/models`, { headers: bearer(TOKENS.reader) })).status, 401);
  t.notOk(
    shim.lines().some(({ msg }) => msg === 'a lookup waits'),
    'nothing is left waiting for it',
  );
});

function sparse(path: string, bytes: number): void {
  writeFileSync(path, '');
  truncateSync(path, bytes);
}
