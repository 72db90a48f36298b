import t from 'tap';
import { startGateway } from '../../src/demo/gateway.ts';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { startShim } from '../helpers/shim.ts';
import { bearer, callers, GATEWAY_SECRET, TOKENS } from '../helpers/stack.ts';

void t.test('no request goes to HTTP_PROXY or the like, even where Node is told to use them', async (t) => {
  const gateway = await startGateway({ auth: { mode: 'token', token: GATEWAY_SECRET } });
  t.teardown(() => gateway.close());
  const proxy = await startRawGateway(t);
  const yaml = [
    'listen: { host: 127.0.0.1, port: 0 }',
    `gateway: { url: "${gateway.url}", auth: { mode: token, secret: { env: SECRET } } }`,
    callers(),
    'admin: { port: 0 }',
  ].join('\n');
  const names = ['HTTP_PROXY', 'http_proxy', 'HTTPS_PROXY', 'https_proxy', 'ALL_PROXY', 'all_proxy'];
  const shim = await startShim(yaml, {
    ...Object.fromEntries(names.map((name) => [name, proxy.url])),
    NO_PROXY: '',
    NODE_USE_ENV_PROXY: '1',
    SECRET: GATEWAY_SECRET,
  });
  t.teardown(() => shim.stop());
  const answer = await fetch(`${shim.url}/v1/models`, { headers: bearer(TOKENS.reader) });
  t.equal(answer.status, 200);
  await answer.text();
  t.equal(gateway.requests.length, 1);
  t.equal(proxy.connections.length, 0);
});
