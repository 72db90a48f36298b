import t from 'tap';
import { createConnect } from '../../src/gateway/connection.ts';
import { createGatewayPool } from '../../src/gateway/pool.ts';
import { createHealth } from '../../src/server/health.ts';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { rawExchange } from '../helpers/raw.ts';
import { startStack } from '../helpers/stack.ts';

function ask(port: number, line: string, host = '127.0.0.1'): ReturnType<typeof rawExchange> {
  return rawExchange(port, `${line} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
}

void t.test('/livez tells of the process, /readyz of listener and gateway', async (t) => {
  let answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}';
  const gateway = await startRawGateway(t, { onRequest: ({ socket }) => void socket.end(answer) });
  const { adminUrl, port } = await startStack(t, { gatewayUrl: gateway.url });
  const admin = Number(new URL(adminUrl).port);
  t.match(await ask(admin, 'GET /livez'), { status: 200, body: 'ok\n' });
  t.equal(gateway.text, '');
  t.match(await ask(admin, 'GET /readyz'), { status: 200, body: 'ok\n' });
  t.match(gateway.text, /^GET \/healthz HTTP\/1\.1\r\n[^]*\r\nx-openclaw-scopes: \r\n\r\n$/);
  t.notMatch(gateway.text, /authorization/i);
  t.match(await ask(admin, 'HEAD /readyz'), { status: 200, body: '' });
  answer = 'HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n';
  t.match(await ask(admin, 'GET /readyz'), { status: 503 });
  answer = '';
  t.match(await ask(admin, 'GET /readyz'), { status: 503 });
  t.match(await ask(admin, 'GET /livez'), { status: 200 });
  t.match(await ask(admin, 'GET /readyz?verbose'), {
    status: 503,
    body: '[+]configuration ok\n[+]listener ok\n[+]drain ok\n[-]gateway failed: it does not answer its health route\nreadyz check failed\n',
  });
  t.match(await ask(admin, 'GET /startupz'), { status: 200, body: 'ok\n' });
  for (const path of ['/livez', '/readyz', '/startupz'])
    t.equal((await ask(port, `GET ${path}`)).status, 401, 'not on the public one');
});

void t.test('nothing else is there, and no other name reaches it', async (t) => {
  const { adminUrl } = await startStack(t);
  const admin = Number(new URL(adminUrl).port);
  t.equal((await ask(admin, 'GET /status')).status, 404);
  for (const path of ['/livez?x', '/livez/', '/livezz', '/LIVEZ', '//livez', '/readyz/..']) {
    t.equal((await ask(admin, `GET ${path}`)).status, 404, path);
  }
  t.equal((await ask(admin, 'GET /v1/models')).status, 404);
  t.equal((await ask(admin, 'POST /livez')).status, 405);
  for (const host of ['evil.example', '127.0.0.1.evil.example', '10.0.0.1', 'localhost@evil']) {
    t.equal((await ask(admin, 'GET /livez', host)).status, 421, host);
  }
  for (const host of ['localhost', '127.0.0.1:1', '[::1]:2', 'LocalHost:3'])
    t.equal((await ask(admin, 'GET /livez', host)).status, 200, host);
});

void t.test('the gateway is asked once for all who ask at the same time', async (t) => {
  const { promise: release, resolve } = Promise.withResolvers<void>();
  const gateway = await startRawGateway(t, {
    onRequest: ({ socket }) => void release.then(() => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')),
  });
  const pool = createGatewayPool(gateway.url, createConnect({ origin: gateway.url, beyondLoopback: false }));
  t.teardown(() => pool.destroy());
  const health = createHealth({
    pool: () => pool,
    nextIsShim: () => false,
    listening: () => true,
    draining: () => false,
    detail: () => undefined,
  });
  const all = Array.from({ length: 50 }, () => health('/readyz'));
  await (await gateway.connection(1)).until(({ text }) => text.endsWith('\r\n\r\n'));
  resolve();
  t.ok((await Promise.all(all)).every((checks) => checks.every(({ ok }) => ok)));
  t.equal(gateway.text.split('GET /healthz').length, 2);
});

void t.test('another loopback address is a name of its own', async (t) => {
  const { adminUrl } = await startStack(t, { admin: '{ host: 127.0.0.2, port: 0 }' });
  t.match(adminUrl, /^http:\/\/127\.0\.0\.2:/);
  t.equal((await fetch(`${adminUrl}/livez`)).status, 200);
});
