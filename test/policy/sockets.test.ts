import t from 'tap';
import { refuse } from '../../src/errors.ts';
import { authorizeSocket, keepsSocket, wantsUpgrade, type SocketGrant } from '../../src/policy/sockets.ts';
import type { Caller } from '../../src/types.ts';

const off: Caller = { name: 'a', tokens: [], scopes: ['operator.write'], allowHeaders: [], onForbiddenHeader: 'drop' };
const relay: Caller = { ...off, websocket: 'relay' };
const tunnel: Caller = { ...off, websocket: 'tunnel', scopes: ['operator.admin'] };

void t.test('one target, for callers who have it', async (t) => {
  t.strictSame(authorizeSocket(relay, '/'), { method: 'GET', template: '/', websocket: 'relay' });
  t.strictSame(authorizeSocket(tunnel, '/'), { method: 'GET', template: '/', websocket: 'tunnel' });
  t.strictSame(authorizeSocket(off, '/'), {
    kind: 'refuse',
    code: 'route_not_exposed',
    message: 'WebSocket is off for this caller. The operator can set callers[].websocket.',
    reason: 'a has no websocket',
  });
});

void t.test('the gateway has other sockets: every other target is 404', async (t) => {
  const targets = ['', '/?', '/?a=b', '/x', '//', '/.', '/ws', '/__openclaw__/ws', '/v1/realtime', '*', '%2f', 'http://localhost/']; // prettier-ignore
  for (const target of targets) {
    for (const caller of [off, relay, tunnel]) {
      t.strictSame(authorizeSocket(caller, target), { kind: 'refuse', code: 'route_not_exposed' }, target);
    }
  }
});

void t.test('a request that lacks nothing but the upgrade is told so', async (t) => {
  const missing = refuse('route_not_exposed');
  const get = { method: 'GET', path: '/' };
  t.strictSame(wantsUpgrade(relay, get, missing), {
    kind: 'refuse',
    code: 'upgrade_required',
    headers: ['upgrade', 'websocket'],
  });
  t.match(wantsUpgrade(tunnel, get, missing), { code: 'upgrade_required' });
  t.equal(wantsUpgrade(off, get, missing), undefined, 'who has none learns of none');
  t.equal(wantsUpgrade(relay, { method: 'POST', path: '/' }, missing), undefined);
  t.equal(wantsUpgrade(relay, { method: 'GET', path: '/x' }, missing), undefined);
  t.equal(wantsUpgrade(relay, get, refuse('insufficient_scope')), undefined);
});

void t.test('a socket goes on while its caller would be given as much, and no less narrowly', async (t) => {
  const grant: SocketGrant = { mode: 'relay', scopes: ['operator.read'], methods: { allow: ['a.*', 'b'], deny: ['a.c'] } }; // prettier-ignore
  const caller: Caller = { ...relay, methods: { allow: ['a.*', 'b'], deny: ['a.c'] } };
  const keeps: readonly (readonly [name: string, caller: Caller, grant: SocketGrant, keeps: boolean])[] = [
    ['the same', caller, grant, true],
    ['more than it has', { ...caller, scopes: ['operator.admin'] }, grant, true],
    ['nothing is given yet', { ...caller, scopes: [] }, { ...grant, scopes: [] }, true],
    ['a scope by implication', { ...caller, scopes: ['operator.write'] }, grant, true],
    ['a scope is gone', { ...caller, scopes: ['operator.approvals'] }, grant, false],
    ['one of two scopes is gone', { ...caller, scopes: ['operator.read'] }, { ...grant, scopes: ['operator.read', 'operator.write'] }, false], // prettier-ignore
    ['WebSocket is off', { ...off, methods: caller.methods as NonNullable<Caller['methods']> }, grant, false],
    ['another mode', { ...caller, websocket: 'tunnel' }, grant, false],
    ['a method more is denied', { ...caller, methods: { allow: ['a.*', 'b'], deny: ['a.c', 'b'] } }, grant, false],
    ['a method less is allowed', { ...caller, methods: { allow: ['a.*'], deny: ['a.c'] } }, grant, false],
    ['methods are listed now', caller, { ...grant, methods: undefined }, false],
    ['methods are listed no more', relay, grant, false],
  ];
  for (const [name, now, then, expected] of keeps) t.equal(keepsSocket(now, then), expected, name);
});
