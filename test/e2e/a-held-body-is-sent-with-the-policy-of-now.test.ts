import type { lookup as lookupOfDns } from 'node:dns';
import t from 'tap';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { openRaw, rawExchange } from '../helpers/raw.ts';
import { get, post } from '../helpers/request-bytes.ts';
import { caller, startStack, TOKENS } from '../helpers/stack.ts';

const before = (more = ''): string =>
  `callers:\n${caller('writer', TOKENS.writer, ['operator.write', 'operator.read', 'operator.approvals'], `allowHeaders: [agent-id]${more}`)}`;
const after = (scopes: readonly string[], more: string): string =>
  `callers:\n${caller('writer', TOKENS.writer, scopes, more)}`;
const SCOPES = ['operator.write', 'operator.approvals'];

const CASES: Readonly<Record<string, string>> = {
  'a scope that the route does not need': after(['operator.write'], 'allowHeaders: [agent-id]'),
  'an agent': after(SCOPES, 'allowHeaders: [], agent: main'),
  'a session prefix': after(SCOPES, 'allowHeaders: [agent-id], sessionPrefix: "w:"'),
  'a header that is no longer allowed': after(SCOPES, 'allowHeaders: []'),
};

void t.test('nothing was sent to the gateway yet, so nothing is sent as it may not be any more', async (t) => {
  for (const [change, callers] of Object.entries(CASES)) {
    await t.test(change, async (t) => {
      const gateway = await startRawGateway(t);
      const { port, reload, nextLine } = await startStack(t, { gatewayUrl: gateway.url, callers: before() });
      const raw = await openRaw(t, port);
      raw.send(post('Content-Length: 6\r\nExpect: 100-continue\r\nx-openclaw-agent-id: other\r\n', ''));
      await raw.until((text) => text.startsWith('HTTP/1.1 100 '));
      raw.send('{"a"');
      await reload(callers);
      const line = nextLine();
      raw.send(':1');
      t.match(await raw.closed(), /\r\n\r\nHTTP\/1\.1 408 [^]*Send it again[^]*"code":"request_timeout"/);
      t.match(await line, { caller: 'writer', code: 'request_timeout', end: 'refused' });
      t.equal(gateway.text, '');
    });
  }
});

void t.test('a reload that leaves the caller as it was costs nothing', async (t) => {
  const gateway = await startRawGateway(t);
  const { port, reload } = await startStack(t, { gatewayUrl: gateway.url, callers: before() });
  const raw = await openRaw(t, port);
  raw.send(post('Content-Length: 6\r\nExpect: 100-continue\r\n', ''));
  await raw.until((text) => text.startsWith('HTTP/1.1 100 '));
  raw.send('{"a"');
  // Another token, another limit and another caller are none of its headers.
  await reload(`${before(', limits: { streams: 9 }, from: [127.0.0.0/8]')}\n${caller('reader', TOKENS.reader, [])}`);
  raw.send(':1');
  t.match(await raw.until((text) => text.endsWith('{}')), /\r\n\r\nHTTP\/1\.1 200 /);
  t.match(gateway.text, /\r\nx-openclaw-scopes: operator\.write,operator\.read,operator\.approvals\r\n/);
  t.equal((await rawExchange(port, get('/v1/models'))).status, 200);
});

void t.test('nor after a wait for a connection to the gateway', async (t) => {
  const gateway = await startRawGateway(t);
  const { promise: asked, resolve: ask } = Promise.withResolvers<() => void>();
  const lookup = ((_name: string, _options: object, callback: (error: null, addresses: object[]) => void) =>
    ask(() => callback(null, [{ address: '127.0.0.1', family: 4 }]))) as unknown as typeof lookupOfDns;
  const { port, reload, nextLine } = await startStack(t, {
    gatewayUrl: gateway.url.replace('127.0.0.1', 'gateway.test'),
    callers: before(),
    limits: { lookup },
  });
  const line = nextLine();
  const raw = await openRaw(t, port);
  raw.send(post('Content-Length: 2\r\n', '{}'));
  const found = await asked;
  await reload(after(['operator.write'], 'allowHeaders: [agent-id]'));
  found();
  t.match(await raw.closed(), /^HTTP\/1\.1 408 [^]*"code":"request_timeout"/);
  t.match(await line, { caller: 'writer', code: 'request_timeout', end: 'refused' });
  t.equal(gateway.text, '', 'it got a connection, and no byte');
});
