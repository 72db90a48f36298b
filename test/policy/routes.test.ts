import t from 'tap';
import { DEFAULT_ROUTES } from '../../src/config/routes.ts';
import { compileRoutes } from '../../src/policy/routes.ts';
import type { Route } from '../../src/types.ts';

const added: readonly Route[] = [
  { method: 'PUT', template: '/v1/models', scope: 'operator.admin' },
  { method: 'GET', template: '/v1/files/{id}', scope: 'operator.read' },
  { method: 'GET', template: '/a.b/{x}/c/{y}', scope: 'operator.read' },
];
const find = compileRoutes([], [...DEFAULT_ROUTES, ...added]);

void t.test('paths that are exposed', async (t) => {
  const cases: readonly (readonly [path: string, template: string, methods: readonly string[]])[] = [
    ['/v1/models', '/v1/models', ['GET', 'PUT']],
    ['/v1/chat/completions', '/v1/chat/completions', ['POST']],
    ['/v1/models/openclaw', '/v1/models/{id}', ['GET']],
    ['/v1/models/openclaw%2Fdefault', '/v1/models/{id}', ['GET']],
    ['/v1/models/openclaw%2fmy.agent-1_x', '/v1/models/{id}', ['GET']],
    ['/v1/models/openclaw:main', '/v1/models/{id}', ['GET']],
    [`/v1/models/openclaw:${'a'.repeat(64)}`, '/v1/models/{id}', ['GET']],
    ['/sessions/agent:main:x@y.z_-/history', '/sessions/{key}/history', ['GET']],
    ['/sessions/agent%3Amain%3ax/history', '/sessions/{key}/history', ['GET']],
    ['/sessions/main/kill', '/sessions/{key}/kill', ['POST']],
    ["/v1/files/a~b!c$d&e'(f)*g+h,i=j@k:l.m-n_o", '/v1/files/{id}', ['GET']],
    ['/a.b/1/c/2', '/a.b/{x}/c/{y}', ['GET']],
  ];
  for (const [path, template, methods] of cases) {
    const byMethod = find(path);
    t.strictSame([...(byMethod?.keys() ?? [])], methods, path);
    for (const route of byMethod?.values() ?? []) t.equal(route.template, template, path);
  }
});

void t.test('everything else is not', async (t) => {
  const paths = [
    '',
    '/',
    '/v1',
    '/v1/model',
    '/v1/models/',
    '/v1/models.',
    '/V1/models',
    '/v1/MODELS',
    '/v1/modelsx',
    '/x/v1/models',
    '/x/v1/models/openclaw',
    '/x/sessions/main/kill',
    '/v1/chat/completions/',
    '/v1/chat/completions/x',
    '/v1/models/other',
    '/v1/models/openclawx',
    '/v1/models/OPENCLAW',
    '/v1/models/openclaw:',
    '/v1/models/openclaw%2F',
    '/v1/models/openclaw%2F..',
    '/v1/models/openclaw%2F.',
    '/v1/models/openclaw:..',
    '/v1/models/openclaw%2F%2e%2e',
    '/v1/models/openclaw%2Fa%2Fb',
    '/v1/models/openclaw/default',
    `/v1/models/openclaw:${'a'.repeat(65)}`,
    '/v1/models/openclaw\n',
    '/sessions//history',
    '/sessions/../history',
    '/sessions/./history',
    '/sessions/a/b/history',
    '/sessions/a%2Fb/history',
    '/sessions/a%20b/history',
    '/sessions/a!/history',
    '/sessions/main/history/',
    '/sessions/main/historyx',
    '/sessions/main/History',
    '/sessions/main',
    '/v1/files/',
    '/v1/files/..',
    '/v1/files/.',
    '/v1/files/a%41',
    '/v1/files/a;b',
    '/a.b/../c/2',
    '/a.b/1/c/..',
    '/axb/1/c/2',
    '/tools/invoke/',
    '/hooks/wake',
    '/health',
    '/healthz',
    '/api/x',
    '/__openclaw__/x',
    '__proto__',
    'constructor',
  ];
  for (const path of paths) t.equal(find(path), undefined, JSON.stringify(path));
});

void t.test('an added template opens nothing that the parameter of a default route shuts out', async (t) => {
  const match = compileRoutes(
    [],
    [...DEFAULT_ROUTES, { method: 'POST', template: '/sessions/{key}/{what}', scope: 'operator.write' }],
  );
  t.equal(match('/sessions/ab/kill')?.get('POST')?.scope, 'operator.admin');
  for (const path of ['/sessions/a!b/kill', '/sessions/a+b/kill', '/sessions/a!b/history', '/v1/models/nope']) {
    t.equal(match(path), undefined, path);
  }
  t.equal(match('/sessions/a!b/preview')?.get('POST')?.scope, 'operator.write');
});

void t.test('an added template opens nothing of a default route that is closed', async (t) => {
  const match = compileRoutes(
    ['/tools/invoke', '/sessions/{key}/kill', '/v1/embeddings'],
    [
      { method: 'POST', template: '/tools/{name}', scope: 'operator.write' },
      { method: 'POST', template: '/sessions/{key}/{verb}', scope: 'operator.write' },
      { method: 'POST', template: '/v1/{x}', scope: 'operator.read' },
    ],
  );
  for (const path of ['/tools/invoke', '/sessions/ab/kill', '/sessions/a!b/kill', '/v1/embeddings']) {
    t.equal(match(path), undefined, path);
  }
  t.equal(match('/tools/other')?.get('POST')?.scope, 'operator.write');
  t.equal(match('/v1/moderations')?.get('POST')?.scope, 'operator.read');
  const again = compileRoutes(
    ['/tools/invoke'],
    [{ method: 'POST', template: '/tools/invoke', scope: 'operator.read' }],
  );
  t.equal(again('/tools/invoke')?.get('POST')?.scope, 'operator.read', 'closed, and added anew');
});

void t.test('a path that is written out comes before every parameter', async (t) => {
  const routes: readonly Route[] = [
    { method: 'GET', template: '/files/{id}', scope: 'operator.read' },
    { method: 'GET', template: '/files/secret', scope: 'operator.admin' },
  ];
  for (const table of [routes, routes.toReversed()]) {
    const found = compileRoutes([], table);
    t.equal(found('/files/secret')?.get('GET')?.scope, 'operator.admin');
    t.equal(found('/files/other')?.get('GET')?.scope, 'operator.read');
  }
});
