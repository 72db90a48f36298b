import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import t, { type Test } from 'tap';
import { audited } from '../helpers/audit.ts';
import { makeAuthority, type LeafOptions, type Pair } from '../helpers/certificates.ts';
import { open, type Client } from '../helpers/gateway-client.ts';
import { openOver, type RawConnection } from '../helpers/raw.ts';
import { bearer, caller, GATEWAY_SECRET, startStack, TOKENS, type Stack, type StackOptions } from '../helpers/stack.ts';

const HOUR = 3_600_000;
const WEB = 'spiffe://cluster/ns/app/sa/web';
const BATCH = 'spiffe://cluster/ns/app/sa/batch';
const ca = await makeAuthority('one');
const other = await makeAuthority('two');
const third = await makeAuthority('three');
const server = await ca.issue({ dns: ['localhost'], ips: ['127.0.0.1'], usage: ['serverAuth'] });
const client = (by: typeof ca, uris: readonly string[], more: LeafOptions = {}): Promise<Pair> =>
  by.issue({ uris, usage: ['clientAuth'], ...more });
const web = await client(ca, [WEB]);
const batch = await client(other, [BATCH]);
const unlisted = await client(ca, ['spiffe://cluster/ns/app/sa/nobody']);

const named = (name: string, uri: string, more = ''): string =>
  `  - { name: ${name}, certificates: [{ uri: "${uri}" }], scopes: [operator.read, operator.write], websocket: relay${more} }`;
const writer = caller('writer', TOKENS.writer, ['operator.write'], 'websocket: relay');
const CALLERS = ['callers:', named('web', WEB), named('batch', BATCH), writer].join('\n');

interface Setup {
  /** Keys of `listen.tls`, then of `listen`. */
  readonly tls?: string;
  readonly listen?: string;
  readonly callers?: string;
  readonly more?: string;
  readonly limits?: StackOptions['limits'];
}

interface Shim {
  readonly stack: Stack;
  /** What the next reload finds in `clientCa`. */
  readonly trust: (...authorities: readonly Pair[]) => void;
  /** What it finds in `listen.tls`. */
  readonly set: (tls: string) => void;
}

const listenWith = (tls: string, listen: string): string =>
  `{ port: 0${listen}, tls: { cert: server.crt, key: server.key, clientCa: ca.crt${tls} } }`;

async function start(t: Test, { tls = ', clientAuth: accept', listen = '', ...more }: Setup = {}): Promise<Shim> {
  const files = { 'server.crt': server.cert, 'server.key': server.key, 'ca.crt': ca.cert + other.cert };
  const options = {
    gateway: { chunks: 10_000, chunkDelay: 20 },
    files,
    listen: listenWith(tls, listen),
    callers: CALLERS,
    deviceStore: 'memory',
    ...more,
  };
  return {
    stack: await startStack(t, options),
    trust: (...authorities) => void (files['ca.crt'] = authorities.map(({ cert }) => cert).join('')),
    set: (next) => void (options.listen = listenWith(next, listen)),
  };
}

const showing = (pair?: Pair): Pick<ConnectionOptions, 'cert' | 'key'> =>
  pair ? { cert: pair.cert, key: pair.key } : {};
const authorization = (token?: string): string => (token === undefined ? '' : `Authorization: Bearer ${token}\r\n`);
const models = (token?: string): string => `GET /v1/models HTTP/1.1\r\nHost: localhost\r\n${authorization(token)}\r\n`;

/** A connection to the shim, with a certificate or without. */
function enter(t: Test, { port }: Stack, pair?: Pair): Promise<RawConnection> {
  const socket = connectTls({ port, host: '127.0.0.1', servername: 'localhost', ca: ca.cert, ...showing(pair) });
  return openOver(t, socket, 'secureConnect');
}

/** Settles when one more answer is whole. */
async function ask(connection: RawConnection, token?: string): Promise<string> {
  const before = connection.text.length;
  connection.send(models(token));
  return (await connection.until((text) => text.endsWith('}') && text.length > before)).slice(before);
}

async function openStream(t: Test, stack: Stack, pair?: Pair, token?: string): Promise<RawConnection> {
  const connection = await enter(t, stack, pair);
  const body = JSON.stringify({ model: 'openclaw', stream: true, messages: [{ role: 'user', content: 'hi' }] });
  connection.send(
    `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n${authorization(token)}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  await connection.until((text) => text.includes('\ndata: {') || /^HTTP\/1\.1 [^2]/.test(text));
  return connection;
}

/** Whether more of it comes. */
async function flows(stream: RawConnection): Promise<boolean> {
  const before = stream.text.length;
  return (await stream.until((text) => text.length > before)).length > before;
}

async function openSocket(t: Test, { url }: Stack, pair?: Pair, token?: string): Promise<Client> {
  const headers = token === undefined ? {} : bearer(token);
  const socket = open(t, { url }, { ca: ca.cert, ...showing(pair), headers });
  await socket.next();
  const params = { minProtocol: 3, maxProtocol: 4, scopes: ['operator.write'] };
  socket.ws.send(JSON.stringify({ type: 'req', id: 'c', method: 'connect', params }));
  t.match(await socket.next(), { ok: true });
  return socket;
}

async function speaks({ ws, next }: Client): Promise<boolean> {
  ws.send(JSON.stringify({ type: 'req', id: 'r', method: 'sessions.list', params: {} }));
  return (await next('health', 'agent', 'chat', 'tick')).ok === true;
}

const told = (code: string): RegExp =>
  new RegExp(`event: error\\ndata: \\{"error":\\{[^\\n]*"code":"${code}"[^\\n]*\\n\\n\\r\\n$`);
const id = ({ fingerprint }: Pair): string => `cert:${fingerprint.slice(0, 12)}`;

void t.test('an authority that is taken out ends what its certificates opened, and nothing else', async (t) => {
  const audit = audited(t);
  const { stack, trust } = await start(t, { more: audit.yaml });
  const gone = {
    stream: await openStream(t, stack, web),
    socket: await openSocket(t, stack, web),
    idle: await enter(t, stack, web),
    byToken: await openStream(t, stack, unlisted, TOKENS.writer),
  };
  const kept = {
    stream: await openStream(t, stack, batch),
    socket: await openSocket(t, stack, batch),
    idle: await enter(t, stack, batch),
    byToken: await openStream(t, stack, undefined, TOKENS.writer),
  };
  for (const { idle } of [gone, kept]) t.match(await ask(idle), /^HTTP\/1\.1 200 /);

  trust(ca, other, third);
  await stack.reload();
  for (const { stream, socket, idle, byToken } of [gone, kept]) {
    t.ok((await flows(stream)) && (await speaks(socket)) && (await flows(byToken)), 'one more ends nobody');
    t.match(await ask(idle), /^HTTP\/1\.1 200 /);
  }

  trust(other, third);
  const begun = performance.now();
  await stack.reload();
  t.match(await gone.stream.closed(), told('invalid_certificate'));
  t.match(await gone.byToken.closed(), told('invalid_certificate'), 'the token is no way around it');
  t.strictSame(await gone.socket.closed, {
    code: 1008,
    reason: 'invalid_certificate: The client certificate is not valid for a caller.',
  });
  await gone.idle.closed();
  t.ok(performance.now() - begun < 2_000, `${Math.round(performance.now() - begun)} ms`);
  t.ok((await flows(kept.stream)) && (await speaks(kept.socket)) && (await flows(kept.byToken)));
  t.match(await ask(kept.idle), /^HTTP\/1\.1 200 /);
  const late = await enter(t, stack, web);
  late.send(models());
  t.equal(await late.closed(), '', 'a new connection ends in its handshake');
  t.equal(stack.lines.findLast(({ msg }) => msg === 'tls handshake failed')?.reason, 'untrusted_certificate');

  const ends = (await audit.records(21)).filter(({ event, end }) => event === 'end' && end !== 'done');
  const reason = (pair: Pair): string => `certificate ${id(pair)} is not trusted any more`;
  const byCredential = (one: unknown): Record<string, unknown> | undefined =>
    ends.find(({ credential, socket }) => (socket ? 'socket' : credential) === one);
  t.equal(ends.length, 3);
  t.match(byCredential(id(web)), { caller: 'web', end: 'revoked', status: 200, reason: reason(web) });
  t.match(byCredential('socket'), {
    caller: 'web',
    credential: id(web),
    end: 'revoked',
    reason: reason(web),
    socket: { close: 1008, closeReason: /^invalid_certificate/ },
  });
  t.match(
    ends.find(({ caller }) => caller === 'writer'),
    { end: 'revoked', reason: reason(unlisted) },
  );
});

void t.test('a certificate that is taken out of the configuration ends what it opened', async (t) => {
  const { stack } = await start(t);
  const [stream, socket, idle] = [
    await openStream(t, stack, web),
    await openSocket(t, stack, web),
    await enter(t, stack, web),
  ];
  t.match(await ask(idle), /^HTTP\/1\.1 200 /);
  const kept = await openStream(t, stack, batch);
  await stack.reload(['callers:', named('web', `${WEB}2`), named('batch', BATCH)].join('\n'));
  t.match(await stream.closed(), told('missing_token'));
  t.match(await socket.closed, { code: 1008, reason: /^missing_token/ });
  t.match(await ask(idle), /^HTTP\/1\.1 401 [^]*names no caller here/);
  t.ok(await flows(kept));
  const ends = stack.lines.filter(({ msg, end }) => msg === 'request' && end === 'revoked');
  const ended = { caller: 'web', certificate: id(web), reason: /names no caller/ };
  t.match(ends, [ended, ended]);
});

void t.test('one that expires ends its streams, unless these may go on to their end', async (t) => {
  const each = async (endAtExpiry: boolean): Promise<void> => {
    let now = Date.now();
    const { stack } = await start(t, {
      tls: ', clientAuth: accept, recheck: 1ms',
      more: `stream: { endAtExpiry: ${endAtExpiry} }`,
      limits: { now: () => now },
    });
    const short = await client(ca, [WEB], { notAfter: new Date(now + 2 * HOUR) });
    const stream = await openStream(t, stack, short);
    const socket = await openSocket(t, stack, short);
    const idle = await enter(t, stack, short);
    t.match(await ask(idle), /^HTTP\/1\.1 200 /);
    now += 3 * HOUR;
    await idle.closed();
    if (endAtExpiry) {
      t.match(await stream.closed(), told('expired_certificate'));
      t.match(await socket.closed, { code: 1008, reason: /^expired_certificate/ });
      const ends = stack.lines.filter(({ msg, end }) => msg === 'request' && end === 'expired');
      const reason = `certificate ${id(short)} is out of its time: web`;
      t.match(ends, [{ reason }, { reason, socket: { close: 1008 } }]);
    } else {
      // Connections are looked at again each second: another one that ends shows that it was.
      const next = await enter(t, stack, await client(ca, [WEB], { notAfter: new Date(now + 2 * HOUR) }));
      t.match(await ask(next), /^HTTP\/1\.1 200 /);
      now += 3 * HOUR;
      await next.closed();
      t.ok((await flows(stream)) && (await speaks(socket)));
    }
    const late = await enter(t, stack, short);
    late.send(models());
    t.equal(await late.closed(), '');
    t.equal(stack.lines.findLast(({ msg }) => msg === 'tls handshake failed')?.reason, 'expired_certificate');
  };
  await Promise.all([each(true), each(false)]);
});

void t.test('who had no certificate ends, told, when one is asked of everybody', async (t) => {
  const { stack, set } = await start(t);
  const stream = await openStream(t, stack, undefined, TOKENS.writer);
  const socket = await openSocket(t, stack, undefined, TOKENS.writer);
  const idle = await enter(t, stack);
  t.match(await ask(idle, TOKENS.writer), /^HTTP\/1\.1 200 /);
  const kept = await openStream(t, stack, unlisted, TOKENS.writer);
  set(', clientAuth: require');
  await stack.reload();
  t.match(await stream.closed(), told('invalid_certificate'));
  t.match(await socket.closed, { code: 1008, reason: /^invalid_certificate/ });
  await idle.closed();
  t.ok(await flows(kept));
  const ends = stack.lines.filter(({ msg, end }) => msg === 'request' && end === 'revoked');
  const ended = { caller: 'writer', reason: 'a client certificate is required by now' };
  t.match(ends, [ended, ended]);
});

void t.test('whether the listener speaks TLS waits for a restart, and so does who is believed', async (t) => {
  const files = { 'server.crt': server.cert, 'server.key': server.key, 'ca.crt': ca.cert };
  const options = {
    files,
    listen: '{ port: 0 }',
    callers: `callers:\n${caller('writer', TOKENS.writer, ['operator.read'])}`,
    auth: '{ mode: trusted-proxy, userHeader: x-user, clientAddress: 192.0.2.7 }',
    gateway: { auth: { mode: 'trusted-proxy', userHeader: 'x-user', allowLoopback: true }, release: '2026.9.6' },
  } as const;
  const plain = await startStack(t, options);
  const ask = async (): Promise<unknown> => {
    const { status } = await fetch(`${plain.url}/v1/models`, { headers: bearer(TOKENS.writer) });
    const headers = plain.gateway.requests.at(-1)?.rawHeaders.map((one) => one.toLowerCase()) ?? [];
    return [status, headers[headers.indexOf('x-forwarded-proto') + 1]];
  };
  t.strictSame(await ask(), [200, 'http']);
  Object.assign(options, { listen: listenWith('', '') });
  await plain.reload();
  t.strictSame(await ask(), [200, 'http'], 'nobody can show a certificate yet');
});

void t.test('a caller that is known by its certificate is one like any other', async (t) => {
  const audit = audited(t);
  const { stack } = await start(t, {
    more: audit.yaml,
    callers: ['callers:', named('web', WEB, ', limits: { requestsPerMinute: 1 }'), named('batch', BATCH)].join('\n'),
  });
  const line = stack.nextLine();
  const connection = await enter(t, stack, web);
  t.match(await ask(connection), /^HTTP\/1\.1 200 [^]*ratelimit-remaining: 0\r\n/i);
  t.match(await line, { caller: 'web', certificate: id(web), token: undefined, status: 200 });
  const { rawHeaders = [] } = stack.gateway.requests[0] ?? {};
  t.match(rawHeaders.join('\n'), new RegExp(`authorization\nBearer ${GATEWAY_SECRET}`, 'i'));
  const again = await enter(t, stack, await client(ca, [WEB]));
  t.match(await ask(again), /^HTTP\/1\.1 429 [^]*"rate_limited"/, 'the limit is of the caller, not of its certificate');
  t.match(await ask(await enter(t, stack, batch)), /^HTTP\/1\.1 200 /);
  const records = await audit.records(5);
  t.match(records[0], { event: 'decision', decision: 'forward', caller: 'web', credential: id(web) });
  t.match(
    records.find(({ decision }) => decision === 'refuse'),
    { caller: 'web', code: 'rate_limited' },
  );
});

void t.test('who is let in, with what', async (t) => {
  const both = await client(ca, [WEB, BATCH]);
  const plain = await client(ca, [WEB], { usage: [] });
  const cases: readonly [
    name: string,
    pair: Pair | undefined,
    token: string | undefined,
    all: string,
    bearer?: string,
  ][] = [
    ['nothing', undefined, undefined, '401 missing_token'],
    ['a bearer', undefined, TOKENS.writer, '200 writer'],
    ['a certificate', web, undefined, '200 web'],
    ['a certificate that nobody lists', unlisted, undefined, '401 missing_token'],
    ['the same with a bearer', unlisted, TOKENS.writer, '200 writer'],
    ['a certificate and the bearer of another', web, TOKENS.writer, '401 invalid_certificate', '200 writer'],
    ['a certificate and a bearer that is none', web, 'x'.repeat(30), '401 invalid_token'],
    ['a certificate and a broken bearer', web, 'x', '401 invalid_token'],
    ['the names of two callers', both, undefined, '401 invalid_certificate'],
    ['the same with a bearer', both, TOKENS.writer, '401 invalid_certificate', '200 writer'],
    ['no extended key usage', plain, undefined, '401 invalid_certificate'],
  ];
  for (const credentials of ['all', 'bearer'] as const) {
    const { stack } = await start(t, { listen: `, credentials: ${credentials}` });
    for (const [name, pair, token, all, alone] of cases) {
      const line = stack.nextLine();
      await ask(await enter(t, stack, pair), token);
      const { status, code, caller: who } = await line;
      t.equal(
        [status, code ?? who].join(' '),
        credentials === 'bearer' ? (alone ?? all) : all,
        `${credentials}: ${name}`,
      );
    }
  }
  const { stack } = await start(t, { tls: '' });
  const nobody = await enter(t, stack);
  nobody.send(models(TOKENS.writer));
  t.equal(await nobody.closed(), '', 'required: a bearer alone ends in its handshake');
  t.match(await ask(await enter(t, stack, web)), /^HTTP\/1\.1 200 /);
  t.match(stack.lines, [{ reason: 'no_certificate' }, { caller: 'web' }]);
});
