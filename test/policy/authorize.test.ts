import t from 'tap';
import type { Config, GatewayAuth } from '../../src/config/config.ts';
import type { ErrorCode } from '../../src/errors.ts';
import {
  createAuthorize,
  exposedRoutes,
  keepsPolicy,
  keepsRoute,
  reportsOnly,
  type Permission,
} from '../../src/policy/authorize.ts';
import type { Caller, Route, Scope } from '../../src/types.ts';
import { testConfig } from '../helpers/config.ts';

const base: Caller = { name: 'c', tokens: [], scopes: [], allowHeaders: [], onForbiddenHeader: 'drop' };
const writer: Caller = { ...base, scopes: ['operator.write'] };
const admin: Caller = { ...base, scopes: ['operator.admin'] };
const TOKEN: GatewayAuth = { mode: 'token', secret: 's' };

interface Ask {
  readonly method?: string;
  readonly path?: string;
  readonly openclaw?: Readonly<Record<string, string>>;
  readonly config?: Config;
  readonly now?: number;
}

const NOW = Date.UTC(2026, 5, 1);

function ask(
  caller: Caller,
  { method = 'POST', path = '/v1/chat/completions', openclaw = {}, config = testConfig(), now = NOW }: Ask = {},
) {
  const seen: Route[] = [];
  const request = { method, path, openclaw: new Map(Object.entries(openclaw)), now };
  const answer = createAuthorize(config, () => 'RANDOM')(caller, request, (route) => seen.push(route));
  return { answer, seen: seen.map(({ template }) => template) };
}

function allowed(caller: Caller, more?: Ask): Permission {
  const { answer } = ask(caller, more);
  if (answer.kind === 'refuse') throw new Error(`refused: ${answer.code}`);
  return answer;
}

void t.test('the scope that each default route asks', async (t) => {
  const cases: readonly (readonly [method: string, path: string, scope: Scope])[] = [
    ['GET', '/v1/models', 'operator.read'],
    ['GET', '/v1/models/openclaw', 'operator.read'],
    ['POST', '/v1/chat/completions', 'operator.write'],
    ['POST', '/v1/responses', 'operator.write'],
    ['POST', '/v1/embeddings', 'operator.write'],
    ['POST', '/tools/invoke', 'operator.admin'],
    ['GET', '/sessions/main/history', 'operator.read'],
    ['POST', '/sessions/main/kill', 'operator.admin'],
  ];
  for (const [method, path, scope] of cases) {
    t.equal(ask({ ...base, scopes: [scope] }, { method, path }).answer.kind, 'permission', `${path} with ${scope}`);
    t.equal(ask(admin, { method, path }).answer.kind, 'permission', `${path} with operator.admin`);
    const lesser: readonly Scope[] = [
      'operator.approvals',
      'operator.pairing',
      'operator.talk',
      'operator.sessions.write',
    ];
    const { answer, seen } = ask({ ...base, scopes: lesser }, { method, path });
    t.match(answer, {
      code: 'insufficient_scope',
      scope,
      message: `needs the scope ${scope}; this caller has: operator.approvals`,
    });
    t.equal(seen.length, 1, 'the route is told all the same');
    t.match(ask(base, { method, path }).answer, { code: 'insufficient_scope', message: /this caller has: none\.$/ });
  }
});

void t.test('the scope of /tools/invoke follows the hop', async (t) => {
  const others: readonly GatewayAuth[] = [
    { mode: 'none' },
    { mode: 'trusted-proxy', userHeader: 'x-user', requiredHeaders: [], clientAddress: '192.0.2.1' },
  ];
  const path = '/tools/invoke';
  for (const auth of [TOKEN, { mode: 'password', secret: 's' } as const]) {
    t.match(ask(writer, { path, config: testConfig({ auth }) }).answer, { code: 'insufficient_scope' }, auth.mode);
  }
  for (const auth of others) {
    const config = testConfig({ auth });
    t.equal(ask(writer, { path, config }).answer.kind, 'permission', auth.mode);
    t.match(ask(base, { path, config }).answer, { code: 'insufficient_scope', scope: 'operator.write' });
    const kill = { path: '/sessions/main/kill', config };
    t.match(ask(writer, kill).answer, { code: 'insufficient_scope', scope: 'operator.admin' }, 'no other route does');
  }
});

void t.test('a missing scope is told with what the caller has', async (t) => {
  const talker: Caller = { ...base, scopes: ['operator.approvals', 'operator.talk'] };
  t.strictSame(ask(talker).answer, {
    kind: 'refuse',
    code: 'insufficient_scope',
    message: 'This route needs the scope operator.write; this caller has: operator.approvals, operator.talk.',
    scope: 'operator.write',
  });
});

void t.test('what is not in the table', async (t) => {
  const config = testConfig({ closedRoutes: new Set(['POST /v1/embeddings', 'GET /v1/models']) });
  const cases: readonly (readonly [method: string, path: string, code: ErrorCode, allow?: readonly string[]])[] = [
    ['GET', '/', 'route_not_exposed'],
    ['GET', '/health', 'route_not_exposed'],
    ['POST', '/hooks/wake', 'route_not_exposed'],
    ['POST', '/v1/embeddings', 'route_not_exposed'],
    ['GET', '/v1/models', 'route_not_exposed'],
    ...['OPTIONS', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'].map(
      (method) => [method, '/nowhere', 'route_not_exposed'] as const,
    ),
    ['GET', '/v1/chat/completions', 'method_not_allowed', ['POST']],
    ['HEAD', '/v1/models/openclaw', 'method_not_allowed', ['GET']],
    ['get', '/v1/models/openclaw', 'method_not_allowed', ['GET']],
    ['TRACE', '/nowhere', 'method_not_allowed', []],
    ['PROPFIND', '/nowhere', 'method_not_allowed', []],
    ['CONNECT', '', 'method_not_allowed', []],
  ];
  for (const [method, path, code, allow] of cases) {
    const { answer, seen } = ask(admin, { method, path, config });
    t.strictSame(answer, { kind: 'refuse', code, ...(allow && { allow }) }, `${method} ${path}`);
    t.strictSame(seen, [], 'no route is told');
  }
  t.equal(exposedRoutes(config).length, 6);
});

void t.test('headers that a caller may choose', async (t) => {
  const openclaw = { 'x-openclaw-agent-id': 'a', 'x-openclaw-model': 'm', 'x-openclaw-session-key': 'k' };
  t.match(allowed(writer, { openclaw }), {
    headers: [],
    dropped: ['x-openclaw-agent-id', 'x-openclaw-session-key', 'x-openclaw-model'],
  });
  const chooser: Caller = { ...writer, allowHeaders: ['x-openclaw-model', 'x-openclaw-session-key'] };
  t.match(allowed(chooser, { openclaw }), {
    headers: ['x-openclaw-session-key', 'k', 'x-openclaw-model', 'm'],
    dropped: ['x-openclaw-agent-id'],
  });
  t.strictSame(ask({ ...chooser, onForbiddenHeader: 'refuse' }, { openclaw }).answer, {
    kind: 'refuse',
    code: 'header_not_allowed',
    message: 'This caller may not send the header x-openclaw-agent-id.',
  });
  t.strictSame(
    allowed({ ...writer, allowHeaders: ['x-openclaw-agent-id'] }, { openclaw }).headers,
    ['x-openclaw-agent-id', 'a'],
    'an agent may be chosen where none is pinned',
  );
  t.equal(
    ask({ ...chooser, onForbiddenHeader: 'refuse' }, { openclaw: { 'x-openclaw-model': 'm' } }).answer.kind,
    'permission',
  );
});

void t.test('a pinned agent is nobody’s choice', async (t) => {
  const pinned: Caller = { ...writer, agent: 'main', allowHeaders: ['x-openclaw-agent-id', 'x-openclaw-session-key'] };
  const headers = ['x-openclaw-agent-id', 'main'];
  t.strictSame(allowed(pinned).headers, headers);
  t.strictSame(allowed(pinned, { openclaw: { 'x-openclaw-agent-id': 'other' } }).headers, headers);
  t.strictSame(allowed({ ...writer, agent: 'main' }, { openclaw: { 'x-openclaw-agent-id': 'other' } }), {
    ...allowed({ ...writer, agent: 'main' }),
    dropped: ['x-openclaw-agent-id'],
  });
  const strict: Caller = { ...pinned, onForbiddenHeader: 'refuse' };
  t.match(ask(strict, { openclaw: { 'x-openclaw-agent-id': 'other' } }).answer, {
    code: 'header_not_allowed',
    message: 'This caller is bound to the agent "main".',
  });
  t.strictSame(allowed(strict, { openclaw: { 'x-openclaw-agent-id': 'main' } }).headers, headers);
  t.strictSame(allowed(pinned, { openclaw: { 'x-openclaw-session-key': 'agent:main:x' } }).headers, [
    'x-openclaw-session-key',
    'agent:main:x',
    ...headers,
  ]);
  const model = { 'x-openclaw-model': 'm', 'x-openclaw-agent-id': 'main' };
  t.strictSame(
    allowed({ ...strict, allowHeaders: ['x-openclaw-agent-id', 'x-openclaw-model'] }, { openclaw: model }),
    { ...allowed(strict), headers: ['x-openclaw-model', 'm', ...headers] },
    'what else it may choose goes with it',
  );
  for (const key of ['x', 'agent:other:x', ':agent:other:x', 'AGENT:other:x', '']) {
    t.match(ask(pinned, { openclaw: { 'x-openclaw-session-key': key } }).answer, { code: 'session_not_allowed' }, key);
  }
});

void t.test('a session prefix is required, and gives a session of its own without one', async (t) => {
  const prefixed: Caller = { ...writer, sessionPrefix: 'alice-' };
  t.strictSame(allowed(prefixed).headers, ['x-openclaw-session-key', 'alice-RANDOM']);
  const own = { openclaw: { 'x-openclaw-session-key': 'alice-1' } };
  t.strictSame(allowed(prefixed, own).headers, ['x-openclaw-session-key', 'alice-1']);
  t.strictSame(allowed(prefixed, own).dropped, []);
  t.match(allowed({ ...prefixed, onForbiddenHeader: 'refuse' }, own), {
    headers: ['x-openclaw-session-key', 'alice-1'],
  });
  for (const key of ['bob-1', '', 'Alice-1', 'alice-1,bob-1', 'alice-\xff']) {
    t.match(
      ask(prefixed, { openclaw: { 'x-openclaw-session-key': key } }).answer,
      { code: 'session_not_allowed' },
      key,
    );
  }
});

void t.test('whose session a path names', async (t) => {
  const prefixed: Caller = { ...admin, sessionPrefix: 'agent:main:a-' };
  const custom: readonly Route[] = [
    { method: 'GET', template: '/{area}/{key}/preview', scope: 'operator.read' },
    { method: 'GET', template: '/sessions/all', scope: 'operator.read' },
    { method: 'GET', template: '/other/sessions/{page}', scope: 'operator.read' },
  ];
  const config = testConfig({ routes: custom });
  const cases: readonly (readonly [path: string, ok: boolean, method?: string])[] = [
    ['/sessions/agent:main:a-1/history', true],
    ['/sessions/agent%3Amain%3aa-1/history', true],
    ['/sessions/agent%3Amain%3ab-1/history', false],
    ['/sessions/main/history', false],
    ['/sessions/agent:main:b-1/kill', false, 'POST'],
    ['/sessions/agent:main:a-1/kill', true, 'POST'],
    // Added routes reach the same sessions.
    ['/sessions/agent:main:b-1/preview', false],
    ['/sessions/agent:main:a-1/preview', true],
    ['/sessions/all', false],
    ['/other/agent:main:b-1/preview', true],
    ['/other/sessions/7', true],
  ];
  for (const [path, ok, method = 'GET'] of cases) {
    const { answer } = ask(prefixed, { method, path, config });
    t.match(answer, ok ? { kind: 'permission' } : { code: 'session_not_allowed' }, `${method} ${path}`);
  }
  t.match(ask(base, { method: 'GET', path: '/sessions/main/history' }).answer, { code: 'insufficient_scope' });
});

void t.test('a caller with a pin may not use the routes whose bodies name agent and session', async (t) => {
  const routes: readonly Route[] = [
    { method: 'POST', template: '/hooks/agent', scope: 'operator.write', hooksToken: 'h' },
  ];
  const config = testConfig({ routes });
  for (const pin of [{ agent: 'main' }, { sessionPrefix: 'alice-' }]) {
    const pinned: Caller = { ...admin, ...pin };
    for (const path of ['/tools/invoke', '/hooks/agent']) {
      t.match(
        ask(pinned, { path, config }).answer,
        {
          code: 'session_not_allowed',
          message: 'A caller bound to an agent or a session may not use this route.',
        },
        path,
      );
    }
    t.match(ask(pinned, { path: '/tools/invoke' }).answer, { code: 'session_not_allowed' }, 'the default route');
    t.match(
      ask({ ...pinned, tools: ['x'] }, { path: '/tools/invoke' }).answer,
      { code: 'session_not_allowed' },
      'with tools',
    );
  }
  t.equal(ask(admin, { path: '/hooks/agent', config }).answer.kind, 'permission');
});

void t.test('tools open /tools/invoke, and nothing else', async (t) => {
  const tooled: Caller = { ...base, tools: ['session_status'] };
  t.match(allowed(tooled, { path: '/tools/invoke' }), { tools: ['session_status'] });
  t.strictSame(
    allowed({ ...admin, tools: [] }, { path: '/tools/invoke' }).tools,
    [],
    'an admin with tools is held to them',
  );
  t.equal(allowed(admin, { path: '/tools/invoke' }).tools, undefined);
  t.match(ask(tooled).answer, { code: 'insufficient_scope' });
  const closedRoutes = new Set(['POST /tools/invoke']);
  const route = { method: 'POST', scope: 'operator.write' } as const;
  const again = testConfig({ closedRoutes, routes: [{ ...route, template: '/tools/invoke' }] });
  t.strictSame(allowed({ ...writer, tools: ['x'] }, { path: '/tools/invoke', config: again }).tools, ['x']);
  const config = testConfig({ closedRoutes, routes: [{ ...route, template: '/tools/{name}' }] });
  t.match(ask({ ...writer, tools: ['x'] }, { path: '/tools/invoke', config }).answer, { code: 'route_not_exposed' });
  t.equal(allowed({ ...writer, tools: ['x'] }, { path: '/tools/other', config }).tools, undefined);
});

void t.test('a missing scope is only reported, for a while', async (t) => {
  const reported: Caller = { ...base, reportOnlyUntil: NOW + 1 };
  const { answer, seen } = ask(reported);
  t.match(answer, { kind: 'permission', wouldRefuse: 'insufficient_scope', route: { scope: 'operator.write' } });
  t.strictSame(seen, ['/v1/chat/completions']);
  t.notOk('wouldRefuse' in ask({ ...reported, scopes: ['operator.write'] }).answer, 'nothing is missing');
  t.match(
    ask({ ...reported, reportOnlyUntil: NOW }).answer,
    { code: 'insufficient_scope' },
    'until then, and not then',
  );

  // Only the scope: pins and headers are refused as ever.
  const strict: Caller = { ...reported, sessionPrefix: 'a-', onForbiddenHeader: 'refuse' };
  const history = { method: 'GET', path: '/sessions/b-1/history' };
  t.match(ask(strict, history).answer, { code: 'session_not_allowed' });
  const refused = ask(strict, { openclaw: { 'x-openclaw-model': 'm' } }).answer;
  t.match(refused, { kind: 'refuse', code: 'header_not_allowed' });
  t.notOk('wouldRefuse' in refused);

  // Never what an administrator can do, nor with the secret of the webhooks, nor a tool that nobody has looked at.
  const hook: Route = { method: 'POST', template: '/hooks/wake', scope: 'operator.write', hooksToken: 'h' };
  const config = testConfig({ auth: { mode: 'none' }, routes: [hook] });
  for (const path of ['/sessions/main/kill', '/hooks/wake', '/tools/invoke'])
    t.match(ask(reported, { path, config }).answer, { kind: 'refuse', code: 'insufficient_scope' }, path);
});

const READ: Route = { method: 'GET', template: '/v1/models', scope: 'operator.read' };

void t.test('which scopes are only reported', async (t) => {
  const until = (reportOnlyUntil?: number): Caller => ({ ...base, ...(reportOnlyUntil && { reportOnlyUntil }) });
  t.equal(reportsOnly(until(NOW), READ, NOW - 1), true);
  t.equal(reportsOnly(until(NOW), READ, NOW), false);
  t.equal(reportsOnly(until(), READ, NOW), false, 'never by default');
  t.equal(reportsOnly(until(NOW), { ...READ, scope: 'operator.admin' }, NOW - 1), false);
  t.equal(reportsOnly(until(NOW), { ...READ, hooksToken: 'h' }, NOW - 1), false);
});

void t.test('whether a route is still a caller’s', async (t) => {
  const invoke: Route = { method: 'POST', template: '/tools/invoke', scope: 'operator.admin' };
  const tooled = (...tools: readonly string[]): Caller => ({ ...base, tools });
  t.equal(keepsRoute(writer, READ, undefined), true);
  t.equal(keepsRoute(base, READ, undefined), false);
  t.equal(keepsRoute({ ...writer, tools: ['a'] }, READ, undefined), true, 'tools are of one route alone');
  t.equal(keepsRoute(tooled('a', 'b', 'c'), invoke, ['a', 'b']), true);
  t.equal(keepsRoute(tooled('a'), invoke, ['a', 'b']), false, 'it may invoke either of them');
  t.equal(keepsRoute(base, invoke, ['a']), false);
  t.equal(keepsRoute(base, invoke, []), false, 'it may not invoke any more');
  t.equal(keepsRoute(admin, invoke, undefined), true);
  t.equal(keepsRoute({ ...admin, tools: ['a'] }, invoke, undefined), false, 'its body was not looked at');
});

void t.test('whether headers that were built still tell the truth', async (t) => {
  const before: Caller = {
    ...base,
    scopes: ['operator.read', 'operator.talk'],
    allowHeaders: ['x-openclaw-model', 'x-openclaw-session-key'],
    agent: 'main',
    sessionPrefix: 'a-',
  };
  const { agent: _, ...unpinned } = before;
  const { sessionPrefix: __, ...free } = before;
  const cases: readonly (readonly [name: string, now: Caller, keeps: boolean])[] = [
    ['nothing has changed', before, true],
    ['nothing has changed, read again', { ...before }, true],
    ['a greater scope', { ...before, scopes: ['operator.write'] }, true],
    ['a scope more', { ...before, scopes: [...before.scopes, 'operator.approvals'] }, true],
    ['one scope is gone', { ...before, scopes: ['operator.read'] }, false],
    ['every scope is gone', { ...before, scopes: [] }, false],
    ['a header more', { ...before, allowHeaders: [...before.allowHeaders, 'x-openclaw-agent-id'] }, true],
    ['one header is gone', { ...before, allowHeaders: ['x-openclaw-model'] }, false],
    ['another agent', { ...before, agent: 'other' }, false],
    ['no agent', unpinned, false],
    ['another prefix', { ...before, sessionPrefix: 'b-' }, false],
    ['no prefix', free, false],
    ['other limits and tokens', { ...before, limits: { streams: 1 }, tokens: [] }, true],
  ];
  for (const [name, now, keeps] of cases) t.equal(keepsPolicy(before, now), keeps, name);
  t.equal(keepsPolicy(base, { ...base, agent: 'main' }), false, 'an agent is pinned by now');
});
