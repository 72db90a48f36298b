import t, { type Test } from 'tap';
import type { FindingId } from '../../src/doctor/finding.ts';
import { makeAuthority, type Pair } from '../helpers/certificates.ts';
import { assertFound, diagnose, ONE_CALLER } from '../helpers/doctor.ts';
import { caller, startStack, TOKENS, type StackOptions } from '../helpers/stack.ts';

const URI = 'spiffe://cluster/laptop';
const ca = await makeAuthority();
const server = await ca.issue({ dns: ['localhost'], ips: ['127.0.0.1'], usage: ['serverAuth'] });
const client = await ca.issue({ uris: [URI], usage: ['clientAuth'] });
const BESIDE = [
  'shim.config.yaml',
  'callers: # in the configuration beside the gateway',
  '  - name: this-shim',
] as const;
const REFUSED = [
  [...BESIDE, '    certificates: [{ uri: "spiffe://…" }] # of gateway.tls.cert here', '    onBehalf: true'],
  ['shim.config.yaml', 'listen:', '  hosts: [shim.example.org] # there: the name that this shim calls it by'],
] as const;

async function diagnoseChain(
  t: Test,
  { entry, shown = client, more = ONE_CALLER, ...stack }: { entry: string; shown?: Pair; more?: string } & StackOptions,
) {
  const far = await startStack(t, {
    listen: '{ port: 0, tls: { cert: server.crt, key: server.key, clientCa: ca.crt } }',
    files: { 'server.crt': server.cert, 'server.key': server.key, 'ca.crt': ca.cert },
    callers: `callers:\n  - ${entry}`,
    ...stack,
  });
  const files = { 'client.crt': shown.cert, 'client.key': shown.key, 'ca.crt': ca.cert };
  const gateway = 'tls: { ca: ca.crt, cert: client.crt, key: client.key }';
  return { far, seen: await diagnose({ url: far.url, auth: '{ mode: shim }', gateway, more, files }) };
}

/** Certificates of tests are valid for an hour. */
const lasting = (id: FindingId): boolean => id !== 'certificate_expiry';

const entry = (scopes: string, more = 'onBehalf: true'): string =>
  `{ name: laptop, certificates: [{ uri: "${URI}" }], scopes: [${scopes}], ${more} }`;

void t.test('the next one takes this one', async (t) => {
  const { far, seen } = await diagnoseChain(t, { entry: entry('operator.write') });
  t.same(seen.ids.filter(lasting), []);
  assertFound(t, seen, 'next_shim_accepts', 'ok');
  t.match(seen.one('gateway_reachable').message, /^another shim answers/);
  t.notOk(
    far.gateway.requests.some(({ body }) => body.includes('messages')),
    'no run begins',
  );
});

void t.test('it does not call for others there', async (t) => {
  const { seen } = await diagnoseChain(t, { entry: entry('operator.write', 'allowHeaders: []') });
  assertFound(t, seen, 'shim_refused', 'fault', REFUSED);
});

void t.test('its certificate names nobody there', async (t) => {
  const shown = await ca.issue({ uris: ['spiffe://cluster/stranger'], usage: ['clientAuth'] });
  const { seen } = await diagnoseChain(t, { entry: entry('operator.write'), shown });
  assertFound(t, seen, 'shim_refused', 'fault', REFUSED);
});

void t.test('it may do less than its callers', async (t) => {
  const { seen } = await diagnoseChain(t, { entry: entry('operator.read') });
  assertFound(t, seen, 'shim_ceiling', 'fault', [[...BESIDE, '    onBehalf: true', '    scopes: [operator.write]']]);
  const more = `callers:\n${caller('reader', TOKENS.reader, ['operator.read'])}`;
  const { ids } = (await diagnoseChain(t, { entry: entry('operator.read'), more })).seen;
  t.same(ids.filter(lasting), [], 'nobody writes');
});

void t.test('its own gateway is not there', async (t) => {
  const { seen } = await diagnoseChain(t, { entry: entry('operator.write'), gatewayUrl: 'http://127.0.0.1:9' });
  assertFound(t, seen, 'next_shim_gateway', 'fault', [['command', 'auth-shim doctor # on the machine of that shim']]);
  t.match(seen.one('next_shim_gateway').message, '502 gateway_unreachable: ');
});

void t.test('what answers is no shim', async (t) => {
  const { createServer } = await import('node:https');
  const own = createServer({ cert: server.cert, key: server.key }, (_req, res) => res.writeHead(404).end());
  await new Promise<void>((resolve) => own.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    own.closeAllConnections();
    return new Promise<void>((resolve) => own.close(() => resolve()));
  });
  const { port } = own.address() as { port: number };
  const seen = await diagnose({
    url: `https://127.0.0.1:${port}`,
    auth: '{ mode: shim }',
    gateway: 'tls: { ca: ca.crt, cert: client.crt, key: client.key }',
    files: { 'client.crt': client.cert, 'client.key': client.key, 'ca.crt': ca.cert },
  });
  assertFound(t, seen, 'not_a_gateway', 'fault', [
    [
      'shim.config.yaml',
      'gateway:',
      '  url: https://shim.example.org:18780 # listen of the other shim',
      '  auth: { mode: shim }',
    ],
  ]);
});
