import { once } from 'node:events';
import { connect as connectTcp, type AddressInfo } from 'node:net';
import { createServer } from 'node:tls';
import t from 'tap';
import { startGateway } from '../../src/demo/gateway.ts';
import { makeAuthority } from '../helpers/certificates.ts';
import { connect, newKey, open, powers } from '../helpers/gateway-client.ts';
import { openAs, socketCallers, startSockets } from '../helpers/sockets.ts';
import { bearer, GATEWAY_SECRET, TOKENS, TRACEPARENT, type StackOptions } from '../helpers/stack.ts';

const TUNNEL = { scopes: ['operator.admin'], more: 'websocket: tunnel, unsafeTunnel: true' };
const OPTIONS: StackOptions = { callers: socketCallers({ admin: TUNNEL }) };

void t.test("a client's own device, signature and secret reach the gateway as they are", async (t) => {
  const stack = await startSockets(t, OPTIONS);
  const key = newKey();
  const asking = { key, auth: { token: GATEWAY_SECRET }, headers: bearer(TOKENS.admin), scopes: ['operator.read'] };
  const client = await connect(t, stack, asking);
  t.equal(await powers(client), 'read yes, write no', 'as it signed, not as the caller may');
  const [socket] = stack.gateway.sockets;
  t.equal(socket?.connect?.device?.id, key.id);
  const names = (socket?.rawHeaders ?? []).filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
  t.strictSame(names.sort(), [
    'connection',
    'host',
    'sec-websocket-key',
    'sec-websocket-version',
    'traceparent',
    'upgrade',
    'x-openclaw-scopes',
  ]);
  t.ok(socket?.rawHeaders.includes(TRACEPARENT));
  t.notOk(JSON.stringify(socket?.rawHeaders).includes(TOKENS.admin), 'the token ends here');
  t.notOk(JSON.stringify(socket?.rawHeaders).includes(GATEWAY_SECRET), 'and ours stays');
});

void t.test('its end, and what is kept of it', async (t) => {
  const stack = await startSockets(t, OPTIONS);
  const { ws, next } = openAs(t, stack, 'admin');
  await next();
  const line = stack.nextLine();
  ws.close(1000);
  t.match(await line, { caller: 'admin', status: 101, end: /gone$/, in: Number, out: Number, socket: { close: 1006 } });

  const other = openAs(t, stack, 'admin');
  await other.next();
  const revoked = stack.nextLine();
  await stack.reload('callers:\n  - { name: nobody, tokens: [], scopes: [] }');
  t.match(await other.closed, { code: 1006 }, 'it cannot be told why');
  t.match(await revoked, { end: 'revoked' });
});

void t.test('a gateway that is not there is a plain answer', async (t) => {
  const stack = await startSockets(t, { ...OPTIONS, gatewayUrl: 'http://127.0.0.1:1' });
  const { ws } = openAs(t, stack, 'admin');
  const line = stack.nextLine();
  const [, response] = (await once(ws, 'unexpected-response')) as [unknown, { statusCode: number }];
  t.equal(response.statusCode, 502);
  t.match(await line, { status: 502, code: 'gateway_unreachable' });
  const again = openAs(t, stack, 'admin');
  const [, second] = (await once(again.ws, 'unexpected-response')) as [unknown, { statusCode: number }];
  t.equal(second.statusCode, 502, 'and its room is given back');
});

void t.test('drained like any other', async (t) => {
  const stack = await startSockets(t, { ...OPTIONS, more: 'drain: { timeout: 50ms }' });
  const { closed, next } = openAs(t, stack, 'admin');
  await next();
  await stack.drain();
  t.match(await closed, { code: 1006 });
  t.match(
    stack.lines.findLast(({ msg }) => msg === 'request'),
    { end: 'shutdown' },
  );
});

void t.test('over TLS on both sides', async (t) => {
  const ca = await makeAuthority();
  const pair = await ca.issue({ ips: ['127.0.0.1'], usage: ['serverAuth'] });
  const behind = await startGateway({ auth: { mode: 'token', token: GATEWAY_SECRET } });
  t.teardown(() => behind.close());
  const bridge = createServer({ cert: pair.cert, key: pair.key }, (socket) => {
    const plain = connectTcp(behind.port, '127.0.0.1');
    socket.pipe(plain).pipe(socket);
    socket.on('error', () => plain.destroy());
    plain.on('error', () => socket.destroy());
  });
  await new Promise<void>((resolve) => bridge.listen(0, '127.0.0.1', resolve));
  t.teardown(() => bridge.close());
  const stack = await startSockets(t, {
    ...OPTIONS,
    listen: '{ port: 0, tls: { cert: s.crt, key: s.key } }',
    gatewayUrl: `https://127.0.0.1:${(bridge.address() as AddressInfo).port}`,
    gatewayTls: '{ ca: ca.crt }',
    files: { 's.crt': pair.cert, 's.key': pair.key, 'ca.crt': ca.cert },
  });
  const client = open(t, stack, { headers: bearer(TOKENS.admin), ca: ca.cert });
  t.match(await client.next(), { event: 'connect.challenge' });
  t.equal(behind.sockets.length, 1);
  const line = stack.nextLine();
  client.ws.close(1000);
  t.match(await line, { caller: 'admin', status: 101 });
});
