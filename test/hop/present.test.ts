import t from 'tap';
import type { GatewayAuth } from '../../src/config/config.ts';
import { createPresenter, secretsOf, type ConnectAuth, type Presented } from '../../src/gateway/present.ts';
import type { Caller, Route } from '../../src/types.ts';
import { testConfig } from '../helpers/config.ts';

const caller: Caller = {
  name: 'writer',
  tokens: [],
  scopes: ['operator.write', 'operator.read'],
  allowHeaders: [],
  onForbiddenHeader: 'drop',
};
const route: Route = { method: 'POST', template: '/v1/chat/completions', scope: 'operator.write' };
const hook: Route = { method: 'POST', template: '/hooks/agent', scope: 'operator.write', hooksToken: 'hooks-secret' };
const who: Presented = { caller, route, peer: '203.0.113.9', host: 'shim.example:80' };
const SCOPES = ['x-openclaw-scopes', 'operator.write,operator.read'];
const NO_SCOPES = ['x-openclaw-scopes', ''];
const PROXY: GatewayAuth = {
  mode: 'trusted-proxy',
  userHeader: 'X-Id_7F3A',
  requiredHeaders: [
    ['X-Hop-Key', 'v1'],
    ['x-b', 'v2'],
  ],
  clientAddress: '192.0.2.1',
};
const identity = (address: string): string[] => [
  'X-Id_7F3A',
  'writer',
  'X-Hop-Key',
  'v1',
  'x-b',
  'v2',
  'x-forwarded-for',
  address,
  'x-forwarded-proto',
  'http',
  'x-forwarded-host',
  'shim.example:80',
];

interface Case {
  readonly name: string;
  readonly auth: GatewayAuth;
  readonly who: Presented;
  readonly headers: readonly string[];
}

const nobody = { ...caller, scopes: [] };
const CASES: readonly Case[] = [
  { name: 'token', auth: { mode: 'token', secret: 's' }, who, headers: ['authorization', 'Bearer s', ...SCOPES] },
  { name: 'password', auth: { mode: 'password', secret: 's' }, who, headers: ['authorization', 'Bearer s', ...SCOPES] },
  { name: 'none', auth: { mode: 'none' }, who, headers: SCOPES },
  { name: 'trusted-proxy', auth: PROXY, who, headers: [...identity('203.0.113.9'), ...SCOPES] },
  {
    name: 'token, no scopes',
    auth: { mode: 'token', secret: 's' },
    who: { ...who, caller: nobody },
    headers: ['authorization', 'Bearer s', ...NO_SCOPES],
  },
  { name: 'none, no scopes', auth: { mode: 'none' }, who: { ...who, caller: nobody }, headers: NO_SCOPES },
  {
    name: 'trusted-proxy, no scopes',
    auth: PROXY,
    who: { ...who, caller: nobody },
    headers: [...identity('203.0.113.9'), ...NO_SCOPES],
  },
  {
    name: 'a hook takes its own secret, token',
    auth: { mode: 'token', secret: 's' },
    who: { ...who, route: hook },
    headers: ['x-openclaw-token', 'hooks-secret', ...SCOPES],
  },
  {
    name: 'a hook takes its own secret, none',
    auth: { mode: 'none' },
    who: { ...who, route: hook },
    headers: ['x-openclaw-token', 'hooks-secret', ...SCOPES],
  },
  {
    name: 'a hook takes its own secret, trusted-proxy',
    auth: PROXY,
    who: { ...who, route: hook },
    headers: [...identity('203.0.113.9'), 'x-openclaw-token', 'hooks-secret', ...SCOPES],
  },
];

for (const { name, auth, who, headers } of CASES) {
  void t.test(name, async (t) => {
    t.strictSame(createPresenter(auth).present(who), headers);
  });
}

void t.test('callers without an address of their own get the stand-in', async (t) => {
  const presenter = createPresenter(PROXY);
  const local = [undefined, '127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1', '::ffff:7f00:1', '0:0:0:0:0:0:0:1'];
  for (const peer of local)
    t.strictSame(presenter.present({ ...who, peer }).slice(0, 12), identity('192.0.2.1'), String(peer));
  for (const peer of ['10.1.2.3', '2001:db8::7', 'fe80::1']) {
    t.strictSame(presenter.present({ ...who, peer }).slice(0, 12), identity(peer), peer);
  }
});

void t.test('to another shim', async (t) => {
  const presenter = createPresenter({ mode: 'shim' });
  t.strictSame(presenter.present(who), [
    'x-auth-shim-caller',
    caller.name,
    'x-auth-shim-scopes',
    caller.scopes.join(','),
  ]);
  const nobody = { ...caller, scopes: [] };
  t.strictSame(presenter.present({ ...who, caller: nobody }).slice(-2), ['x-auth-shim-scopes', '']);
});

void t.test('the scheme by which callers reach the shim', async (t) => {
  const list = createPresenter(PROXY, 'https').present(who);
  t.equal(list[list.indexOf('x-forwarded-proto') + 1], 'https');
});

void t.test('names that are secret', async (t) => {
  t.strictSame([...createPresenter(PROXY).secretNames], ['x-id-7f3a', 'x-hop-key', 'x-b']);
  for (const auth of [{ mode: 'token', secret: 's' }, { mode: 'password', secret: 's' }, { mode: 'none' }] as const) {
    t.equal(createPresenter(auth).secretNames.size, 0, auth.mode);
  }
});

void t.test('each request has a list of its own', async (t) => {
  for (const auth of [{ mode: 'token', secret: 's' }, { mode: 'none' }, PROXY] as const) {
    const presenter = createPresenter(auth);
    const first = presenter.present(who);
    const bytes = [...first];
    first.fill('x');
    t.strictSame(presenter.present(who), bytes, auth.mode);
  }
});

const socket = { caller, peer: '203.0.113.9', host: 'shim.example:80', scopes: ['operator.read'] } as const;
const GIVEN = ['x-openclaw-scopes', 'operator.read'];
const WITH_PASSWORD: GatewayAuth = { ...PROXY, password: 'local-password' };

interface SocketCase {
  readonly name: string;
  readonly auth: GatewayAuth;
  /** Of the request for a WebSocket, by mode. */
  readonly relay: readonly string[];
  readonly tunnel: readonly string[];
  readonly connectAuth: ConnectAuth | undefined;
}

const proxied = [...identity('203.0.113.9'), ...GIVEN];
const SOCKETS: readonly SocketCase[] = [
  { name: 'token', auth: { mode: 'token', secret: 's' }, relay: GIVEN, tunnel: GIVEN, connectAuth: { token: 's' } },
  { name: 'password', auth: { mode: 'password', secret: 's' }, relay: GIVEN, tunnel: GIVEN, connectAuth: { password: 's' } }, // prettier-ignore
  { name: 'none', auth: { mode: 'none' }, relay: GIVEN, tunnel: GIVEN, connectAuth: undefined },
  { name: 'trusted-proxy', auth: PROXY, relay: proxied, tunnel: proxied, connectAuth: undefined },
  {
    name: 'another shim: whom it is for, and nothing of the gateway',
    auth: { mode: 'shim' },
    relay: ['x-auth-shim-caller', caller.name, 'x-auth-shim-scopes', 'operator.read'],
    tunnel: ['x-auth-shim-caller', caller.name, 'x-auth-shim-scopes', 'operator.read'],
    connectAuth: undefined,
  },
  {
    name: 'trusted-proxy with the local password: a relay sends no header of a proxy',
    auth: WITH_PASSWORD,
    relay: GIVEN,
    tunnel: proxied,
    connectAuth: { password: 'local-password' },
  },
];

for (const { name, auth, relay, tunnel, connectAuth } of SOCKETS) {
  void t.test(`a WebSocket, ${name}`, async (t) => {
    const presenter = createPresenter(auth);
    t.strictSame(presenter.presentSocket({ ...socket, mode: 'relay' }), relay);
    t.strictSame(presenter.presentSocket({ ...socket, mode: 'tunnel' }), tunnel);
    t.strictSame(presenter.connectAuth, connectAuth);
    t.equal(presenter.presentSocket({ ...socket, mode: 'relay', scopes: [] }).at(-1), '');
  });
}

void t.test('requests over HTTP have no use for the local password', async (t) => {
  t.strictSame(createPresenter(WITH_PASSWORD).present(who), createPresenter(PROXY).present(who));
});

void t.test('secrets that the gateway is sent, as they are and as they stand in JSON', async (t) => {
  const of = (auth: GatewayAuth, routes: readonly Route[] = []): string[] => secretsOf(testConfig({ auth, routes }));
  t.strictSame(of({ mode: 'token', secret: 'gateway"secret' }), ['gateway"secret', 'gateway\\"secret']);
  t.strictSame(of({ mode: 'password', secret: '12345678' }), ['12345678']);
  t.strictSame(of({ mode: 'token', secret: '1234567' }), [], 'what stands everywhere is none');
  t.strictSame(of({ mode: 'none' }, [hook, route]), ['hooks-secret']);
  t.strictSame(of({ ...WITH_PASSWORD, requiredHeaders: [['x', 'proof-of-hop'], ['y', '1']] }), ['proof-of-hop', 'local-password']); // prettier-ignore
  t.strictSame(of(PROXY), []);
});
