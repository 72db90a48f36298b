import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { serve } from '../helpers/process.ts';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { rawExchange } from '../helpers/raw.ts';
import { get } from '../helpers/request-bytes.ts';
import { callers, GATEWAY_SECRET } from '../helpers/stack.ts';

/** Nobody is there. */
const PROVIDERS = `
issuers:
  - { name: corp, issuer: https://id.example, audience: shim, jwksUri: http://127.0.0.1:1/jwks, scopes: { claim: scope, ceiling: [operator.read] } }
introspection:
  name: opaque
  endpoint: http://127.0.0.1:1/introspect
  clientId: shim
  clientSecret: { env: SECRET }
  audience: shim
  scopes: { claim: scope, ceiling: [operator.read] }
`;

void t.test('counts of what happened are on the admin listener, spans at the collector', async (t) => {
  const { promise: spans, resolve } = Promise.withResolvers<string>();
  const collector = createServer((req, res) => {
    let body = '';
    req.setEncoding('latin1').on('data', (part: string) => (body += part));
    req.on('end', () => {
      res.end('{}');
      resolve(`${req.url} ${body}`);
    });
  });
  await new Promise<void>((done) => collector.listen(0, '127.0.0.1', done));
  t.teardown(() => {
    collector.closeAllConnections();
    collector.close();
  });
  const gateway = await startRawGateway(t);
  const file = join(t.testdir({}), 'shim.config.yaml');
  const auth = 'auth: { mode: token, secret: { env: SECRET } }';
  writeFileSync(
    file,
    [
      'listen: { port: 0 }',
      `gateway: { url: "${gateway.url}", ${auth} }`,
      'admin: { port: 0 }',
      callers(),
      PROVIDERS,
    ].join('\n'),
  );
  const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
  const shim = await serve(t, ['-c', file], {
    env: { SECRET: GATEWAY_SECRET, OTEL_EXPORTER_OTLP_ENDPOINT: endpoint },
  });
  const port = Number(new URL(shim.url).port);
  const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
  const parent = `traceparent: 00-${trace}-00f067aa0ba902b7-01\r\n`;
  t.equal((await rawExchange(port, get('/v1/models', `${parent}tracestate: a=1\r\n`))).status, 200);
  const sent = new RegExp(`\\r\\ntracestate: a=1\\r\\n[^]*\\r\\ntraceparent: 00-${trace}-([0-9a-f]{16})-01\\r\\n`);
  t.match(gateway.text, sent);
  t.not(sent.exec(gateway.text)?.[1], '00f067aa0ba902b7', 'our own span');
  t.equal((await rawExchange(port, get('/nowhere'))).status, 404);
  const unknown = get('/v1/models').replace(/^authorization: .*$/im, `authorization: Bearer ${'x'.repeat(30)}`);
  t.equal((await rawExchange(port, unknown)).status, 503);
  t.match(await shim.logged(({ msg }) => msg === 'request'), { trace });

  const scrape = async (): Promise<string> => (await fetch(`${String(shim.listening.admin)}/metrics`)).text();
  const text = await scrape();
  t.match(text, 'auth_shim_requests_total{caller="writer",route="/v1/models",code="200"} 1\n');
  t.strictSame(text.match(/^auth_shim_identity_provider_up.*$/gm), [
    'auth_shim_identity_provider_up{provider="corp"} 0',
    'auth_shim_identity_provider_up{provider="opaque"} 0',
  ]);
  t.match(text, 'auth_shim_requests_total{caller="writer",route="",code="404"} 1\n');
  t.match(text, 'auth_shim_refusals_total{code="route_not_exposed"} 1\n');
  t.match(text, /\nauth_shim_gateway_connections\{state="(free|busy)"\} 1\n/);
  t.match(text, '\nauth_shim_open_requests 0\n');
  shim.child.kill('SIGHUP');
  await shim.logged(({ msg }) => msg === 'reloaded');
  t.match(await scrape(), 'auth_shim_config_reloads_total{result="ok"} 1\n');
  t.equal((await rawExchange(port, 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n')).status, 401);
  shim.child.kill('SIGTERM');
  t.equal(await shim.ended, 0);
  t.match(await spans, new RegExp(`^/v1/traces .*GET /v1/models[^]*${trace}|^/v1/traces .*${trace}[^]*GET /v1/models`));
});
