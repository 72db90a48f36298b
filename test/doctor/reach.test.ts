import { createServer } from 'node:https';
import { createServer as createTcpServer, type AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { startGateway } from '../../src/demo/gateway.ts';
import { makeAuthority, makeSelfSigned, type Pair } from '../helpers/certificates.ts';
import { assertFound, diagnose, LIVE, serve, standIn } from '../helpers/doctor.ts';
import { GATEWAY_SECRET } from '../helpers/stack.ts';

const GATEWAY_URL = ['shim.config.yaml', 'gateway:', '  url: http://127.0.0.1:18789 # the port is gateway.port of openclaw.json'] as const; // prettier-ignore
const COMPARE = 'once you have compared it on the machine of the gateway';

/** A gateway in health behind TLS; `ca` asks for client certificates. */
async function secure(t: Test, { cert, key }: Pair, ca?: string): Promise<URL> {
  const server = createServer({ cert, key, ...(ca && { ca, requestCert: true }) }, (_req, res) => res.end(LIVE));
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  });
  return new URL(`https://127.0.0.1:${(server.address() as AddressInfo).port}`);
}

void t.test('a gateway that is well', async (t) => {
  const gateway = await standIn(t);
  const seen = await diagnose({ url: gateway.url });
  t.same(seen.ids, []);
  for (const id of ['gateway_reachable', 'clock_agrees', 'release_known', 'login_accepted'] as const) {
    assertFound(t, seen, id, 'ok');
  }
  t.match(seen, { release: '2026.3.28', mode: 'token' });
});

void t.test('nothing listens', async (t) => {
  const gateway = await startGateway({ auth: { mode: 'token', token: GATEWAY_SECRET } });
  await gateway.close();
  const seen = await diagnose({ url: gateway.url });
  t.same(seen.ids, ['gateway_not_listening']);
  assertFound(t, seen, 'gateway_not_listening', 'fault', [
    ['command', 'openclaw gateway status'],
    ['openclaw.json', `{ gateway: { port: ${gateway.port} } } // or its own port in gateway.url of the shim`],
  ]);
});

void t.test('a name that does not resolve, and one that leaves the machine', async (t) => {
  const lookup = (answer: (callback: (error: Error | null, all: unknown) => void) => void) =>
    ((_name: string, _options: object, callback: (error: Error | null, all: unknown) => void) =>
      answer(callback)) as never;
  const lines = ['shim.config.yaml', 'gateway:', '  url: http://127.0.0.1:18789'] as const;
  for (const [found, resolves] of [
    ['does not resolve (ENOTFOUND)', lookup((back) => back(Object.assign(new Error('no'), { code: 'ENOTFOUND' }), []))],
    ['does not resolve to a loopback address', lookup((back) => back(null, [{ address: '192.0.2.7', family: 4 }]))],
  ] as const) {
    const seen = await diagnose({ url: 'http://gateway.test:18789', lookup: resolves });
    assertFound(t, seen, 'gateway_name_unresolved', 'fault', [lines]);
    t.match(seen.one('gateway_name_unresolved').message, found);
  }
});

void t.test('silence, also in the middle of an answer', { timeout: 10_000 }, async (t) => {
  for (const url of [await serve(t, () => undefined), await serve(t, (_req, res) => void res.write(LIVE))]) {
    const began = performance.now();
    const seen = await diagnose({ url, limit: 300 });
    assertFound(t, seen, 'gateway_timeout', 'fault', [['command', 'openclaw gateway restart']]);
    t.ok(performance.now() - began < 3_000);
  }
});

void t.test('what is cut off, and what is no HTTP', async (t) => {
  const server = createTcpServer((socket) => socket.on('error', () => undefined).end('220 mail.example.org ESMTP\r\n'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const seen = await diagnose({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
  assertFound(t, seen, 'gateway_unreachable', 'fault', [GATEWAY_URL]);
});

void t.test('something else, and a shim', async (t) => {
  const seen = await diagnose({ url: await serve(t, (_req, res) => res.writeHead(404).end('Not Found')) });
  assertFound(t, seen, 'not_a_gateway', 'fault', [GATEWAY_URL]);
  t.match(seen.one('not_a_gateway').message, '404 on /health) is no OpenClaw gateway');
  const url = await serve(t, (_req, res) => res.setHeader('x-request-id', 'a').writeHead(401).end('{}'));
  t.match((await diagnose({ url })).one('not_a_gateway').message, 'is a shim, and not the gateway');
});

void t.test('a gateway that goes away while it is looked at', async (t) => {
  let asked = 0;
  const url = await serve(t, (_req, res) => (++asked > 2 ? void res.destroy() : void res.end(LIVE)));
  const seen = await diagnose({ url });
  assertFound(t, seen, 'gateway_reachable', 'ok');
  t.match(seen.one('gateway_unreachable'), { severity: 'fault', message: /^the gateway stopped answering: / });
});

void t.test('a gateway that is not ready', { timeout: 20_000 }, async (t) => {
  const url = await serve(t, (req, res) => {
    if (req.url === '/health') return void res.end(LIVE);
    res.writeHead(503).end('{"ready":false,"failing":["startup-sidecars"]}');
  });
  const seen = await diagnose({ url });
  assertFound(t, seen, 'gateway_starting', 'warning', [['command', 'openclaw gateway status --deep']]);
  t.match(seen.one('gateway_starting').message, '503 on /readyz for startup-sidecars');
  assertFound(t, seen, 'gateway_answer_unknown', 'fault');
});

void t.test('what it is not ready for may be anything', { timeout: 30_000 }, async (t) => {
  for (const failing of ['[{"toString":1,"valueOf":1},"a\\u009bb"]', `${'['.repeat(5_000)}${']'.repeat(5_000)}`, '1']) {
    const url = await serve(t, (req, res) => {
      if (req.url === '/health') return void res.end(LIVE);
      res.writeHead(503).end(`{"failing":${failing}}`);
    });
    const change = ['command', 'openclaw gateway status --deep'] as const;
    assertFound(t, await diagnose({ url }), 'gateway_starting', 'warning', [[...change]]);
  }
});

void t.test('clocks', async (t) => {
  const gateway = await standIn(t);
  const seen = await diagnose({ url: gateway.url, now: () => Date.now() - 120_000 });
  assertFound(t, seen, 'clock_differs', 'warning', [['command', 'timedatectl set-ntp true # on both machines']]);
  t.match(seen.one('clock_differs').message, /clock of the gateway is 1[12]\d s ahead of the one here/);
  const dateless = await serve(t, (_req, res) => {
    res.sendDate = false;
    res.end(LIVE);
  });
  t.match((await diagnose({ url: dateless })).findings, [{}, { id: 'not_examined', message: /the clock/ }]);
});

void t.test('TLS where none is asked for, and none where it is', async (t) => {
  const pair = await makeSelfSigned({ dns: ['localhost'] });
  const { host } = await secure(t, pair);
  assertFound(t, await diagnose({ url: `http://${host}` }), 'gateway_speaks_tls', 'fault', [
    [
      'shim.config.yaml',
      'gateway:',
      `  url: https://${host}`,
      `  tls: { fingerprint: "sha256:${pair.fingerprint}" } # ${COMPARE}`,
    ],
    ['openclaw.json', '{ gateway: { tls: { enabled: false } } } // or this instead, on loopback alone'],
  ]);
  const plain = new URL((await standIn(t)).url).host;
  assertFound(t, await diagnose({ url: `https://${plain}` }), 'gateway_speaks_no_tls', 'fault', [
    ['shim.config.yaml', 'gateway:', `  url: http://${plain} # on loopback alone`],
    ['openclaw.json', '{ gateway: { tls: { enabled: true } } } // or this instead'],
  ]);
});

void t.test('certificates', async (t) => {
  const ca = await makeAuthority();
  const pair = await ca.issue({
    ips: ['127.0.0.1'],
    usage: ['serverAuth'],
    notAfter: new Date(Date.now() + 86_400_000),
  });
  const { origin: url } = await secure(t, pair);
  const openssl = 'openssl x509 -in ~/.openclaw/gateway/tls/gateway-cert.pem -noout -fingerprint -sha256';

  const pinned = await diagnose({ url, gateway: `tls: { fingerprint: "sha256:${'a'.repeat(64)}" }` });
  assertFound(t, pinned, 'gateway_certificate_wrong', 'fault', [
    ['command', openssl],
    ['shim.config.yaml', 'gateway:', `  tls: { fingerprint: "sha256:${pair.fingerprint}" } # ${COMPARE}`],
  ]);
  assertFound(t, await diagnose({ url }), 'gateway_certificate_wrong', 'fault', [
    ['command', openssl],
    ['shim.config.yaml', 'gateway:', '  tls: { ca: gateway-ca.crt } # or fingerprint: sha256:…'],
  ]);
  const files = { 'ca.crt': ca.cert };
  const soon = await diagnose({ url, gateway: 'tls: { ca: ca.crt }', files });
  assertFound(t, soon, 'gateway_reachable', 'ok');
  assertFound(t, soon, 'certificate_expiry', 'warning');

  const other = await makeAuthority('another CA');
  const shows = await other.issue({ usage: ['clientAuth'] });
  const strict = await secure(t, pair, ca.cert);
  const shown = await diagnose({
    url: strict.origin,
    gateway: 'tls: { ca: ca.crt, cert: own.crt, key: own.key }',
    files: { ...files, 'own.crt': shows.cert, 'own.key': shows.key },
  });
  assertFound(t, shown, 'certificate_refused', 'fault', [
    [
      'shim.config.yaml',
      'gateway:',
      '  tls: { cert: client.crt, key: client.key } # of an authority that is trusted there',
    ],
  ]);
});
