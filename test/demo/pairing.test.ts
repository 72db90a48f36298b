/** What devices are given, by release. */
import t from 'tap';
import type { Release } from '../../src/demo/gateway.ts';
import { connect, newKey, powers, start, type Connected, type Frame } from '../helpers/gateway-client.ts';

const RELEASES: readonly Release[] = [
  '2026.3.24',
  '2026.3.28',
  '2026.3.31',
  '2026.4.1',
  '2026.5.28',
  '2026.7.1',
  '2026.9.6',
];
const OLD: readonly Release[] = ['2026.3.24', '2026.3.28', '2026.3.31', '2026.4.1'];

const READ_WRITE = { scopes: ['operator.write'] };

function tokenOf({ hello }: Connected): unknown {
  return (hello.payload as { auth: Frame }).auth.deviceToken;
}

for (const release of RELEASES) {
  const old = OLD.includes(release);
  const last = release === '2026.9.6';

  void t.test(`${release}: a device of this machine pairs, and is held to the scopes of its connect`, async (t) => {
    const gateway = await start(t, { release });
    const key = newKey();
    const reader = await connect(t, gateway, { key });
    t.match(reader.hello, {
      type: 'res',
      id: 'c',
      ok: true,
      payload: {
        type: 'hello-ok',
        protocol: old ? 3 : 4,
        server: { version: release },
        features: { methods: ['health', 'sessions.list', 'config.get', 'chat.send'] },
        snapshot: { presence: Array, sessionDefaults: { mainSessionKey: 'agent:main:main' } },
        ...(old
          ? { canvasHostUrl: gateway.url }
          : { pluginSurfaceUrls: { canvas: new RegExp(`^${gateway.url}/__openclaw__/cap/[\\w-]{24}$`) } }),
        auth: { role: 'operator', scopes: ['operator.read'], deviceToken: /^[\w-]{43}$/, issuedAtMs: Number },
        policy: { maxPayload: 26_214_400, maxBufferedBytes: 52_428_800, tickIntervalMs: 30_000 },
      },
    });
    const { snapshot } = reader.hello.payload as { snapshot: Frame };
    t.equal('configPath' in snapshot, old, 'the paths are told');
    t.equal((await reader.next()).event, 'health', 'an event follows at once');
    const missing = last
      ? {
          code: 'FORBIDDEN',
          message: 'missing scope: operator.write',
          details: {
            code: 'MISSING_SCOPE',
            missingScope: 'operator.write',
            requiredScopes: ['operator.write'],
          },
        }
      : { code: 'INVALID_REQUEST', message: 'missing scope: operator.write' };
    t.strictSame(await reader.call('chat.send'), { type: 'res', id: 'r1', ok: false, error: missing });
    t.match(await reader.call('sessions.list'), { id: 'r2', ok: true, payload: { count: 0, sessions: [] } });
    t.match(gateway.devices.paired(), [
      { id: key.id, clientId: 'cli', displayName: 'shim:a', scopes: ['operator.read'], silent: true },
    ]);
    t.match(gateway.sockets, [
      {
        url: '/',
        connect: { scopes: ['operator.read'], client: { id: 'cli' }, device: { id: key.id } },
        scopes: ['operator.read'],
        methods: ['chat.send', 'sessions.list'],
      },
    ]);
  });

  void t.test(`${release}: scopes that grow, shrink and are told`, async (t) => {
    const gateway = await start(t, { release });
    const key = newKey();
    await connect(t, gateway, { key });
    const grown = await connect(t, gateway, { key, ...READ_WRITE });
    if (last) {
      t.equal(await powers(grown), 'read yes, write yes');
    } else {
      const requestId = gateway.devices.waiting()[0]?.requestId;
      const reason = 'pairing required: device is asking for more scopes than currently approved';
      t.strictSame(
        grown.hello.error,
        old
          ? {
              code: 'NOT_PAIRED',
              message: 'pairing required',
              details: { code: 'PAIRING_REQUIRED', requestId, reason: 'scope-upgrade' },
            }
          : {
              code: 'NOT_PAIRED',
              message: reason,
              details: {
                code: 'PAIRING_REQUIRED',
                reason: 'scope-upgrade',
                requestId,
                remediationHint: 'Review the requested scopes, then approve the pending upgrade.',
                deviceId: key.id,
                requestedRole: 'operator',
                requestedScopes: ['operator.write'],
                approvedRoles: ['operator'],
                approvedScopes: ['operator.read'],
              },
            },
      );
      t.strictSame(await grown.closed, {
        code: 1008,
        reason: old ? 'pairing required' : `${reason} (requestId: ${requestId}`.slice(0, 120),
      });
      t.equal(await powers(await connect(t, gateway, { key })), 'read yes, write no', 'the old scopes still hold');
      gateway.devices.approve(key.id);
      t.equal(await powers(await connect(t, gateway, { key, ...READ_WRITE })), 'read yes, write yes', 'approved');
    }
    const shrunk = await connect(t, gateway, { key });
    t.equal(await powers(shrunk), 'read yes, write no', 'paired for more, held to what it asked');
    t.strictSame(
      (shrunk.hello.payload as { auth: Frame }).auth.scopes,
      last ? ['operator.read'] : ['operator.read', 'operator.write'],
      'the hello of older releases tells the scopes of the token',
    );
    gateway.devices.forget(key.id);
    const first = await connect(t, gateway, { key, ...READ_WRITE });
    t.equal(await powers(first), 'read yes, write yes', 'as at first');
    t.not(tokenOf(first), tokenOf(shrunk));
  });

  void t.test(`${release}: the version of the protocol`, async (t) => {
    const gateway = await start(t, { release });
    const of = (minProtocol: number, maxProtocol: number): Promise<Connected> =>
      connect(t, gateway, { key: newKey(), params: { minProtocol, maxProtocol } });
    t.equal((await of(1, 9)).hello.ok, true);
    t.equal((await of(3, 3)).hello.ok, old);
    t.equal((await of(4, 4)).hello.ok, !old);
    const refused = await of(99, 99);
    const details = old
      ? { expectedProtocol: 3 }
      : {
          code: 'PROTOCOL_MISMATCH',
          clientMinProtocol: 99,
          clientMaxProtocol: 99,
          expectedProtocol: 4,
          minimumProbeProtocol: last ? 3 : 4,
        };
    t.strictSame(refused.hello.error, { code: 'INVALID_REQUEST', message: 'protocol mismatch', details });
    t.strictSame(await refused.closed, { code: 1002, reason: 'protocol mismatch' });
  });
}
