import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { serve } from '../helpers/process.ts';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { openRaw, rawExchange } from '../helpers/raw.ts';
import { get, post } from '../helpers/request-bytes.ts';
import { callers, GATEWAY_SECRET } from '../helpers/stack.ts';

/** stdout is a device that is always full: the first record fails, a tenth of a second after its request was let through. */
const FULL = ['sh', '-c', 'exec "$@" > /dev/full', 'sh'];

void t.test('also what was let through before and is still to be sent on, and health', async (t) => {
  const gateway = await startRawGateway(t);
  const file = join(t.testdir({}), 'shim.config.yaml');
  const lines = [
    'listen: { port: 0, health: true }',
    `gateway: { url: "${gateway.url}", auth: { mode: token, secret: { env: SECRET } } }`,
    'audit: { stdout: true, required: true }',
    callers(),
  ];
  writeFileSync(file, lines.join('\n'));
  const shim = await serve(t, ['-c', file], { env: { SECRET: GATEWAY_SECRET }, under: FULL });
  const port = Number(new URL(shim.url).port);
  const health = 'GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n';

  const held = await openRaw(t, port);
  held.send(post('Content-Length: 6\r\nExpect: 100-continue\r\n', ''));
  await held.until((text) => text.startsWith('HTTP/1.1 100 '));
  held.send('{"a"');
  t.equal((await rawExchange(port, get('/v1/models'))).status, 200, 'nothing failed yet');
  await shim.logged(({ msg }) => String(msg).startsWith('the audit cannot be written'));
  const passed = gateway.text;

  t.match((await rawExchange(port, get('/v1/models'))).body, '"audit_unavailable"');
  held.send(':1');
  t.match(await held.until((text) => text.endsWith('}}')), /\r\n\r\nHTTP\/1\.1 503 [^]*"code":"audit_unavailable"/);
  const answer = await rawExchange(port, health);
  t.equal(answer.status, 503);
  t.match(answer.body, '"audit_unavailable"');
  t.equal((await rawExchange(port, health.replace('localhost', 'evil.example'))).status, 421, 'step 0 is heard first');
  t.equal(gateway.text, passed);
});
