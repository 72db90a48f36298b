import { once } from 'node:events';
import t, { type Test } from 'tap';
import { makeAuthority, type Pair } from '../helpers/certificates.ts';
import { codeOf } from '../helpers/gateway-client.ts';
import { connectAs, openAs, READER, socketCallers } from '../helpers/sockets.ts';
import { bearer, startStack, TOKENS, type Stack, type StackOptions } from '../helpers/stack.ts';

const HOUR = 3_600_000;
const URI = 'spiffe://cluster/laptop';
const ca = await makeAuthority();
const other = await makeAuthority('another CA');
const server = await ca.issue({ ips: ['127.0.0.1'], usage: ['serverAuth'] });
const client = await ca.issue({ uris: [URI], usage: ['clientAuth'] });

interface Far {
  readonly pair?: Pair;
  readonly now?: () => number;
}

/** A shim that wants client certificates. */
function startFar(t: Test, { pair = server, now }: Far = {}): Promise<Stack> {
  return startStack(t, {
    listen: '{ port: 0, tls: { cert: server.crt, key: server.key, clientCa: ca.crt } }',
    files: { 'server.crt': pair.cert, 'server.key': pair.key, 'ca.crt': ca.cert },
    callers: `callers:\n  - { name: laptop, certificates: [{ uri: "${URI}" }], onBehalf: true, scopes: [operator.read] }`,
    ...(now && { limits: { now } }),
  });
}

/** The shim beside the callers, by how it makes itself known. */
function startNear(
  t: Test,
  far: Stack,
  gatewayTls: string,
  more: Partial<StackOptions> & { shown?: Pair },
): Promise<Stack> {
  const { shown = client } = more;
  return startStack(t, {
    gatewayUrl: far.url,
    auth: '{ mode: shim }',
    gatewayTls,
    files: { 'client.crt': shown.cert, 'client.key': shown.key, 'ca.crt': ca.cert, 'other.crt': other.cert },
    callers: socketCallers({ reader: READER }),
    ...more,
  });
}

/** What a caller is told, what the log has of it, and what `/readyz` says of the gateway. */
async function toldBy(near: Stack): Promise<Record<'code' | 'message' | 'reason' | 'ready', unknown>> {
  const line = near.nextLine();
  const answer = await fetch(`${near.url}/v1/models`, { headers: bearer(TOKENS.reader) });
  const { error } = (await answer.json()) as { error: { code: string; message: string } };
  const { reason } = await line;
  const ready = await fetch(`${near.adminUrl}/readyz?verbose`);
  return { ...error, reason, ready: /\[-\]gateway failed: (.*)/.exec(await ready.text())?.[1] };
}

const MUTUAL = '{ ca: ca.crt, cert: client.crt, key: client.key }';
const BROKEN_OFF = /^(?:certificate_refused: )?it broke off the TLS handshake: .*gateway\.tls\.cert/;
const ASKS = /^(?:certificate_refused: )?it asks for a client certificate: .*\(TLS alert: certificate required\)$/;

void t.test('the other shim does not take the certificate', async (t) => {
  for (const { name, far = {}, gatewayTls = MUTUAL, more = {}, says = BROKEN_OFF } of [
    { name: 'another authority', more: { shown: await other.issue({ uris: [URI], usage: ['clientAuth'] }) } },
    { name: 'expired by its clock', far: { now: () => Date.now() + 48 * HOUR } },
    {
      name: 'none is shown',
      gatewayTls: '{ ca: ca.crt }',
      more: { auth: '{ mode: token, secret: { env: SECRET } }', deviceStore: 'memory' },
      says: ASKS,
    },
  ] satisfies readonly { name: string; far?: Far; gatewayTls?: string; more?: object; says?: RegExp }[]) {
    await t.test(name, async (t) => {
      const there = await startFar(t, far);
      const near = await startNear(t, there, gatewayTls, more);
      for (let i = 0; i < 3; i++) {
        t.match(await toldBy(near), {
          code: 'gateway_refused',
          message: /gateway\.tls\.cert .*\(finding: certificate_refused\)$/,
          reason: says,
          ready: says,
        });
      }
      t.equal(codeOf((await connectAs(t, near, 'reader')).hello), 'gateway_refused');
      t.equal(there.gateway.requests.length, 0);
    });
  }
});

void t.test('nor for a tunnel', async (t) => {
  const near = await startNear(t, await startFar(t), MUTUAL, {
    shown: await other.issue({ uris: [URI], usage: ['clientAuth'] }),
    auth: '{ mode: token, secret: { env: SECRET } }',
    callers: socketCallers({ admin: { scopes: ['operator.admin'], more: 'websocket: tunnel, unsafeTunnel: true' } }),
  });
  const line = near.nextLine();
  const [, { statusCode }] = (await once(openAs(t, near, 'admin').ws, 'unexpected-response')) as [
    unknown,
    { statusCode: number },
  ];
  t.equal(statusCode, 502);
  t.match(await line, { code: 'gateway_refused', reason: BROKEN_OFF });
});

void t.test('this shim does not take the certificate of the other', async (t) => {
  const away = await ca.issue({ ips: ['192.0.2.7'], usage: ['serverAuth'] });
  const cases: readonly { name: string; far?: Far; tls?: string; says: RegExp }[] = [
    { name: 'another authority', tls: MUTUAL.replace('ca: ca', 'ca: other'), says: /its certificate comes from no trusted authority/ }, // prettier-ignore
    { name: 'another host', far: { pair: away }, says: /is not for 127\.0\.0\.1, but IP Address:192\.0\.2\.7$/ },
    { name: 'another pin', tls: MUTUAL.replace('}', `, fingerprint: "sha256:${client.fingerprint}" }`), says: /is not the one of the pin/ }, // prettier-ignore
  ];
  for (const { name, far, tls = MUTUAL, says } of cases) {
    await t.test(name, async (t) => {
      const near = await startNear(t, await startFar(t, far), tls, {});
      t.match(await toldBy(near), { code: 'gateway_unreachable', reason: says, ready: says });
    });
  }
});
