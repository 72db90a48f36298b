import t, { type Test } from 'tap';
import { makeAuthority, type Pair } from '../helpers/certificates.ts';
import { powers } from '../helpers/gateway-client.ts';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { openRaw } from '../helpers/raw.ts';
import { post } from '../helpers/request-bytes.ts';
import { connectAs, lineOf, READER, socketCallers, WRITER } from '../helpers/sockets.ts';
import { bearer, GATEWAY_SECRET, startStack, TOKENS, type Stack } from '../helpers/stack.ts';

const URI = 'spiffe://cluster/laptop';
const CHAT = { model: 'openclaw', stream: true, messages: [{ role: 'user', content: 'hi' }] };

const ca = await makeAuthority();
const server = await ca.issue({ dns: ['localhost'], ips: ['127.0.0.1'], usage: ['serverAuth'] });
const client = await ca.issue({ uris: [URI], usage: ['clientAuth'] });

interface Chain {
  /** Beside the callers, and beside the gateway. */
  readonly near: Stack;
  readonly far: Stack;
}

interface ChainOptions {
  readonly laptop?: string;
  readonly client?: Pair;
  readonly callers?: string;
  /** Behind the second. */
  readonly gatewayUrl?: string;
  /** Further keys of its listener. */
  readonly listen?: string;
  readonly more?: string;
}

const LAPTOP = `{ name: laptop, certificates: [{ uri: "${URI}" }], onBehalf: true, scopes: [operator.write], websocket: relay }`;
const CALLERS = socketCallers({ reader: READER, writer: WRITER, admin: { scopes: ['operator.admin'] } });

async function startChain(t: Test, options: ChainOptions = {}): Promise<Chain> {
  const far = await startStack(t, {
    listen: `{ port: 0, tls: { cert: server.crt, key: server.key, clientCa: ca.crt }${options.listen === undefined ? '' : `, ${options.listen}`} }`,
    files: { 'server.crt': server.cert, 'server.key': server.key, 'ca.crt': ca.cert },
    callers: `callers:\n  - ${options.laptop ?? LAPTOP}`,
    deviceStore: 'memory',
    more: options.more ?? '',
    ...(options.gatewayUrl !== undefined && { gatewayUrl: options.gatewayUrl }),
  });
  const shown = options.client ?? client;
  const near = await startStack(t, {
    gatewayUrl: far.url,
    auth: '{ mode: shim }',
    gatewayTls: '{ ca: ca.crt, cert: client.crt, key: client.key }',
    files: { 'client.crt': shown.cert, 'client.key': shown.key, 'ca.crt': ca.cert },
    callers: options.callers ?? CALLERS,
  });
  return { near, far };
}

function chat(stack: Stack, token: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${stack.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { ...bearer(token), 'content-type': 'application/json', ...headers },
    body: JSON.stringify(CHAT),
  });
}

/** Headers of the last request at the gateway. */
function seenBy({ gateway }: Stack): Record<string, string> {
  const { rawHeaders = [] } = gateway.requests.at(-1) ?? {};
  return Object.fromEntries(
    rawHeaders.flatMap((name, i) => (i % 2 === 0 ? [[name.toLowerCase(), rawHeaders[i + 1] as string]] : [])),
  );
}

async function errorOf(answer: Response): Promise<{ readonly code: string; readonly message: string }> {
  return ((await answer.json()) as { error: { code: string; message: string } }).error;
}

void t.test('a bearer at the first becomes a caller at the second, within its ceiling', async (t) => {
  const { near, far } = await startChain(t);
  const lines = [near.nextLine(), far.nextLine()] as const;
  const answer = await chat(near, TOKENS.admin);
  t.equal(answer.status, 200);
  t.match(await answer.text(), /data: \[DONE\]\n\n$/);
  const headers = seenBy(far);
  t.match(headers, { authorization: `Bearer ${GATEWAY_SECRET}`, 'x-openclaw-scopes': 'operator.write' });
  t.notOk(Object.keys(headers).some((name) => name.includes('auth-shim')));
  t.match(await lines[0], { caller: 'admin', status: 200 });
  t.match(await lines[1], { caller: 'laptop/admin', certificate: `cert:${client.fingerprint.slice(0, 12)}` });

  const reader = await chat(near, TOKENS.reader);
  t.match([reader.status, (await errorOf(reader)).code], [403, 'insufficient_scope'], 'refused by the first');
  t.equal(far.gateway.requests.length, 1);
});

void t.test('what the second refuses is for the caller, or for the operator of the first', async (t) => {
  const { near, far } = await startChain(t);
  const kill = await fetch(`${near.url}/sessions/main/kill`, { method: 'POST', headers: bearer(TOKENS.admin) });
  t.equal(kill.status, 502);
  t.match(await errorOf(kill), { code: 'gateway_refused', message: /finding: shim_ceiling/ });

  await far.reload('callers: []');
  const unknown = await chat(near, TOKENS.writer);
  t.equal(unknown.status, 502);
  t.match(await errorOf(unknown), { code: 'gateway_refused', message: /finding: shim_refused/ });
  await far.reload(`callers:\n  - ${LAPTOP.replace('onBehalf: true, ', '')}`);
  const headers = await chat(near, TOKENS.writer);
  t.equal(headers.status, 502, 'not as the first shim itself');
  t.match(await errorOf(headers), { code: 'gateway_refused', message: /finding: shim_refused/ });
  t.equal(far.gateway.requests.length, 0);
});

void t.test(
  'the first is ready where the second takes it, and with its health route open, where the gateway answers',
  async (t) => {
    const ready = async ({ adminUrl }: Stack): Promise<number> => (await fetch(`${adminUrl}/readyz`)).status;
    const { near, far } = await startChain(t);
    t.equal(await ready(near), 200);
    t.equal(lineOf(far, 'request')?.caller, 'laptop/auth-shim');
    await far.reload(`callers:\n  - ${LAPTOP.replace('onBehalf: true, ', '')}`);
    t.equal(await ready(near), 503);
    await far.reload('callers: []');
    t.equal(await ready(near), 503);
    const open = await startChain(t, { listen: 'health: true' });
    t.equal(await ready(open.near), 200);
    await open.far.reload('callers: []');
    t.equal(await ready(open.near), 503, 'what its callers would meet');
    const words = await (await fetch(`${open.near.adminUrl}/readyz?verbose`)).text();
    t.match(words, /gateway failed: its health route answers 401: see callers\[\]\.certificates there, with onBehalf/);
    await open.far.reload(`callers:\n  - ${LAPTOP}`);
    t.equal(await ready(open.near), 200);
    await open.far.gateway.close();
    t.equal(await ready(open.near), 503);
  },
);

void t.test('an agent that the first chose is not lost at the second', async (t) => {
  const pinned = socketCallers({ writer: WRITER }).replace('websocket: relay', 'agent: beta');
  const strict = await startChain(t, { callers: pinned });
  const answer = await chat(strict.near, TOKENS.writer);
  t.match([answer.status, (await errorOf(answer)).code], [400, 'header_not_allowed']);
  t.equal(strict.far.gateway.requests.length, 0);
  const laptop = LAPTOP.replace('onBehalf', 'allowHeaders: [agent-id], onBehalf');
  const open = await startChain(t, { callers: pinned, laptop });
  t.equal((await chat(open.near, TOKENS.writer)).status, 200);
  t.equal(seenBy(open.far)['x-openclaw-agent-id'], 'beta');
});

void t.test('a caller that leaves ends its run behind both', async (t) => {
  const gateway = await startRawGateway(t, {
    onRequest: ({ socket }) =>
      void socket.write(
        'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n',
      ),
  });
  const { near } = await startChain(t, { gatewayUrl: gateway.url });
  const leave = new AbortController();
  const answer = await fetch(`${near.url}/v1/chat/completions`, {
    method: 'POST',
    signal: leave.signal,
    headers: { ...bearer(TOKENS.writer), 'content-type': 'application/json' },
    body: JSON.stringify(CHAT),
  });
  t.equal(answer.status, 200);
  leave.abort();
  const connection = await gateway.connection(1);
  await connection.until(({ ended }) => ended);
});

void t.test('a stream that the second ends is told once, and not as if it were the fault of its caller', async (t) => {
  const start = async (laptop?: string): Promise<Chain & { ended: Promise<string>; line: Promise<object> }> => {
    const gateway = await startRawGateway(t, {
      onRequest: ({ socket }) =>
        void socket.write(
          'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n',
        ),
    });
    const chain = await startChain(t, {
      gatewayUrl: gateway.url,
      more: 'drain: { timeout: 10ms }',
      ...(laptop !== undefined && { laptop }),
    });
    const line = chain.near.nextLine();
    const raw = await openRaw(t, chain.near.port);
    const body = JSON.stringify(CHAT);
    raw.send(post(`Content-Length: ${body.length}\r\n`, body));
    await raw.until((text) => text.endsWith('data: 1\n\n\r\n'));
    return { ...chain, ended: raw.closed(), line };
  };
  const last = (text: string): unknown => {
    t.equal(text.split('event: error').length, 2, 'one event');
    const [, body = ''] = /\r\ndata: 1\n\n\r\n[0-9a-f]+\r\nevent: error\ndata: (\{.*\})\n\n\r\n$/.exec(text) ?? [];
    return (JSON.parse(body) as { error: unknown }).error;
  };
  for (const [laptop, finding] of [
    [undefined, 'shim_refused'],
    [LAPTOP.replace('operator.write', 'operator.read'), 'shim_ceiling'],
  ] as const) {
    const { far, ended, line } = await start();
    await far.reload(laptop === undefined ? 'callers: []' : `callers:\n  - ${laptop}`);
    t.match(last(await ended), { code: 'gateway_refused', message: new RegExp(`finding: ${finding}`) });
    t.match(await line, { end: 'refused', reason: new RegExp(`^${finding}: the proxy beside the gateway ended it`) });
  }
  const { far, ended } = await start();
  await far.drain();
  t.match(last(await ended), { code: 'shutting_down' }, 'what is nobody’s fault passes as it is');
});

void t.test('a WebSocket gets its scopes through both', async (t) => {
  const { near, far } = await startChain(t);
  const writer = await connectAs(t, near, 'writer', { scopes: ['operator.admin'] });
  t.equal(await powers(writer), 'read yes, write yes');
  const [socket] = far.gateway.sockets;
  t.strictSame(socket?.scopes, ['operator.write']);
  const { client: shown, auth } = (socket?.connect ?? {}) as unknown as Record<string, Record<string, string>>;
  t.match(shown?.displayName, /^shim:laptop\/writer@[0-9a-f]{8}$/);
  t.strictSame(auth, { token: GATEWAY_SECRET });
  t.match(lineOf(far, 'socket connected'), { caller: 'laptop/writer', scopes: ['operator.write'] });
  t.equal(lineOf(near, 'socket connected')?.device, undefined, 'the first has no device of its own');
  const reader = await connectAs(t, near, 'reader');
  t.equal(await powers(reader), 'read yes, write no');

  await far.reload('callers: []');
  t.match(await writer.closed, { code: 1014, reason: /^gateway_refused: / }, 'its own token is fine');
});

void t.test('another certificate of the same authority is nobody', async (t) => {
  const stranger = await ca.issue({ uris: ['spiffe://cluster/other'], usage: ['clientAuth'] });
  const { near, far } = await startChain(t, { client: stranger });
  const answer = await chat(near, TOKENS.writer);
  t.match([answer.status, (await errorOf(answer)).code], [502, 'gateway_refused']);
  t.match(lineOf(far, 'request'), { code: 'missing_token', reason: /names no caller \(spiffe:\/\/cluster\/other\)/ });
  t.equal(far.gateway.requests.length, 0);
});
