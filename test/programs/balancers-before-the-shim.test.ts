/** nginx and HAProxy with the configuration of `deploy/`, before a shim: what comes through them, and what does not. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { request, type RequestOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { BALANCERS, checkOf, startBalancer, type Balancer } from '../helpers/balancers.ts';
import { makeAuthority } from '../helpers/certificates.ts';
import { open, params } from '../helpers/gateway-client.ts';
import { freePort } from '../helpers/redis.ts';
import { socketCallers, WRITER } from '../helpers/sockets.ts';
import { bearer, startStack, TOKENS, type Stack, type StackOptions } from '../helpers/stack.ts';

const HOST = 'shim.example';
/** Another one than the balancer's, which is 127.0.0.1. */
const CALLER = '127.0.0.2';
const ca = await makeAuthority();
const server = await ca.issue({ dns: [HOST], ips: ['127.0.0.1'], usage: ['serverAuth'] });

interface Front extends Stack {
  readonly ask: (options?: RequestOptions, body?: string | Buffer) => Promise<IncomingMessage>;
  /** Where callers connect. */
  readonly front: number;
}

async function startFront(t: Test, balancer: Balancer, options: StackOptions = {}): Promise<Front> {
  const probes = await freePort();
  const stack = await startStack(t, {
    listen: `{ host: 127.0.0.1, port: 0, hosts: [${HOST}], trustedProxies: [127.0.0.1] }`,
    callers: socketCallers({ writer: WRITER }),
    deviceStore: 'memory',
    more: `probes: { host: 127.0.0.1, port: ${probes} }`,
    ...options,
  });
  const front = await startBalancer(t, balancer, server, { shim: stack.port, probes });
  const ask: Front['ask'] = async ({ headers, ...more } = {}, body = '') => {
    const req = request({
      port: front,
      host: '127.0.0.1',
      localAddress: CALLER,
      servername: HOST,
      ca: ca.cert,
      agent: false,
      path: '/v1/models',
      headers: { host: HOST, ...bearer(TOKENS.writer), ...(headers as Record<string, string>) },
      ...more,
    });
    req.on('error', () => undefined);
    t.teardown(() => req.destroy());
    req.end(body);
    const [res] = (await once(req, 'response')) as [IncomingMessage];
    return res;
  };
  return { ...stack, ask, front };
}

async function textOf(res: IncomingMessage): Promise<string> {
  let text = '';
  for await (const part of res.setEncoding('utf8')) text += String(part);
  return text;
}

/** A gateway whose answers wait for the test. */
async function startSlowGateway(t: Test): Promise<{ url: string; next: () => Promise<ServerResponse> }> {
  const gateway = createServer((req, res) => {
    if (req.url === '/healthz') res.end('{}');
    else gateway.emit('run', res);
  });
  gateway.listen(0, '127.0.0.1');
  await once(gateway, 'listening');
  t.teardown(() => {
    gateway.closeAllConnections();
    gateway.close();
  });
  const { port } = gateway.address() as AddressInfo;
  const next = async (): Promise<ServerResponse> => ((await once(gateway, 'run')) as [ServerResponse])[0];
  return { url: `http://127.0.0.1:${port}`, next };
}

for (const balancer of BALANCERS) {
  const { name, skip } = balancer;

  void t.test(`${name} likes its configuration`, { skip }, async (t) => {
    const places = { port: 443, shim: 18780, probes: 18782 };
    const { check } = balancer.prepare(t.testdir(), server, places);
    const { code, text } = await checkOf(check);
    t.equal(code, 0, text);
    t.notMatch(text, /warn/i);
  });

  void t.test(`a request through ${name} has the caller's address, and not the one it claims`, { skip }, async (t) => {
    const front = await startFront(t, balancer);
    for (const headers of [{}, { 'x-forwarded-for': '203.0.113.9' }, { 'X-Forwarded-For': '203.0.113.9, 127.0.0.1' }]) {
      const line = front.nextLine();
      const res = await front.ask({ headers });
      t.equal(res.statusCode, 200);
      t.match(JSON.parse(await textOf(res)), { object: 'list' });
      t.match(await line, { caller: 'writer', peer: CALLER, status: 200, end: 'done' });
    }
    const refused = await front.ask({ headers: { authorization: 'Bearer nobody' } });
    t.equal(refused.statusCode, 401);
    t.match(JSON.parse(await textOf(refused)), { error: { code: 'invalid_token' } });
    const model = await front.ask({ path: '/v1/models/openclaw%2Fdefault' });
    t.equal(model.statusCode, 200, 'the path is not decoded on its way');
    model.resume();
    const messages = [{ role: 'user', content: 'x'.repeat(2 * 1024 ** 2) }];
    const large = await front.ask(
      { method: 'POST', path: '/v1/chat/completions', headers: { 'content-type': 'application/json' } },
      JSON.stringify({ model: 'openclaw', messages }),
    );
    t.equal(large.statusCode, 200, 'a body of 2 MiB');
    large.resume();
  });

  void t.test(`each event comes through ${name} before the next is sent`, { skip }, async (t) => {
    const gateway = await startSlowGateway(t);
    const front = await startFront(t, balancer, { gatewayUrl: gateway.url });
    const run = gateway.next();
    const answered = front.ask({ method: 'POST', path: '/v1/chat/completions' }, '{}');
    const stream = await run;
    stream.writeHead(200, { 'content-type': 'text/event-stream' });
    stream.write('data: 1\n\n');
    const res = await answered;
    const parts = res.setEncoding('utf8')[Symbol.asyncIterator]();
    t.equal((await parts.next()).value, 'data: 1\n\n');
    for (const event of ['data: 2\n\n', 'data: [DONE]\n\n']) {
      stream.write(event);
      t.equal((await parts.next()).value, event);
    }
    stream.end();
    t.equal((await parts.next()).done, true);
    t.ok(res.complete);
  });

  void t.test(`a caller that leaves ${name} ends its silent run`, { skip }, async (t) => {
    const gateway = await startSlowGateway(t);
    const front = await startFront(t, balancer, { gatewayUrl: gateway.url });
    const run = gateway.next();
    const line = front.nextLine();
    const req = request({
      port: front.front,
      host: '127.0.0.1',
      servername: HOST,
      ca: ca.cert,
      agent: false,
      method: 'POST',
      path: '/v1/chat/completions',
      headers: { host: HOST, ...bearer(TOKENS.writer) },
    });
    req.on('error', () => undefined);
    req.end('{}');
    const silent = await run;
    const ended = once(silent, 'close');
    req.destroy();
    await ended;
    t.notOk(silent.writableFinished);
    t.match(await line, { end: 'caller_gone' });
  });

  void t.test(`a WebSocket passes ${name}`, { skip }, async (t) => {
    const front = await startFront(t, balancer);
    const client = open(
      t,
      { url: `https://127.0.0.1:${front.front}` },
      {
        ca: ca.cert,
        localAddress: CALLER,
        headers: { host: HOST, ...bearer(TOKENS.writer) },
      },
    );
    const asked = params(await client.next(), { auth: null, scopes: ['operator.read'] });
    client.ws.send(JSON.stringify({ type: 'req', id: 'c', method: 'connect', params: asked }));
    t.match(await client.next(), { ok: true, payload: { type: 'hello-ok' } });
    client.ws.send(JSON.stringify({ type: 'req', id: 'l', method: 'sessions.list', params: {} }));
    t.match(await client.next('health', 'tick'), { id: 'l', ok: true });
    const line = front.nextLine();
    client.ws.close(1000);
    t.match(await line, { caller: 'writer', peer: CALLER, status: 101, socket: { close: 1000 } });
  });
}
