import t from 'tap';
import { assertFound, diagnose, standIn, LIVE } from '../helpers/doctor.ts';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { GATEWAY_SECRET } from '../helpers/stack.ts';
import { makeSelfSigned } from '../helpers/certificates.ts';

/** Stands for an address of the machine beyond loopback: what listens on 127.0.0.1 alone is not there. */
const OTHER = '127.0.0.2';
const addresses = (): readonly string[] => [OTHER];
const BIND = ['openclaw.json', "{ gateway: { bind: 'loopback' } }"] as const;

void t.test('loopback alone', async (t) => {
  const gateway = await standIn(t);
  assertFound(t, await diagnose({ url: gateway.url, addresses }), 'no_way_round', 'ok');
});

void t.test('every address: with a secret, and without', async (t) => {
  const gateway = await standIn(t, { host: '0.0.0.0' });
  const url = `http://127.0.0.1:${gateway.port}`;
  const seen = await diagnose({ url, addresses });
  assertFound(t, seen, 'gateway_beyond_loopback', 'warning', [BIND]);
  t.match(seen.one('gateway_beyond_loopback').message, `also answers at ${OTHER}`);
  const secrets = gateway.requests.filter(({ rawHeaders }) => {
    const text = rawHeaders.join();
    return text.includes(OTHER) && text.includes(GATEWAY_SECRET);
  });
  t.same(secrets, [], 'no secret goes that way');

  const open = await standIn(t, { host: '0.0.0.0', auth: { mode: 'none' } });
  const faulty = await diagnose({ url: `http://127.0.0.1:${open.port}`, auth: '{ mode: none }', addresses });
  assertFound(t, faulty, 'gateway_beyond_loopback', 'fault', [BIND]);
});

void t.test('over TLS', async (t) => {
  const { cert, key, fingerprint } = await makeSelfSigned({ dns: ['localhost'] });
  const server = createServer({ cert, key }, (_req, res) => res.end(LIVE));
  await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  });
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const seen = await diagnose({ url, gateway: `tls: { fingerprint: "sha256:${fingerprint}" }`, addresses });
  assertFound(t, seen, 'gateway_beyond_loopback', 'fault', [BIND]);
});

void t.test('something else on that port is no gateway', async (t) => {
  const gateway = await standIn(t);
  const { createServer: plain } = await import('node:http');
  const other = plain((_req, res) => res.writeHead(404).end());
  await new Promise<void>((resolve) => other.listen(gateway.port, OTHER, resolve));
  t.teardown(() => new Promise<void>((resolve) => other.close(() => resolve())));
  assertFound(t, await diagnose({ url: gateway.url, addresses }), 'no_way_round', 'ok');
});

void t.test('a chat, where it is asked for, and what it is answered', async (t) => {
  const gateway = await standIn(t);
  t.notOk((await diagnose({ url: gateway.url })).has('chat_answered'));
  t.equal(gateway.requests.filter(({ body }) => body.includes('messages')).length, 0);
  const seen = await diagnose({ url: gateway.url, chat: true });
  assertFound(t, seen, 'chat_answered', 'ok');
  const [asked, ...more] = gateway.requests.filter(({ body }) => body.includes('messages'));
  t.same(more, []);
  const sent = asked?.rawHeaders.join();
  t.match(sent, `authorization,Bearer ${GATEWAY_SECRET}`);
  t.match(sent, 'x-openclaw-scopes,operator.read,operator.write');
  t.match(JSON.parse(asked?.body.toString() ?? ''), { model: 'openclaw/main' });

  const off = await standIn(t, { endpoints: false });
  const failed = await diagnose({ url: off.url, chat: true });
  assertFound(t, failed, 'chat_failed', 'fault');
  t.match(failed.one('chat_failed').message, 'a chat with openclaw is answered 404');
});
