/** `routes:`: what is added and what is closed. */
import t from 'tap';
import { DEFAULT_ROUTES } from '../../src/config/routes.ts';
import { faultsOf, loadText, textOf, worldOf } from '../helpers/configuration.ts';

const of = (...routes: string[]): string => textOf({ routes: `[${routes.join(', ')}]` });
const READ = 'scope: operator.read';

void t.test('added, closed, and closed to be added anew', async (t) => {
  const { config } = await loadText(
    of(
      `{ method: PUT, path: "/v1/files/{id}", ${READ}, body: 1MiB }`,
      '{ method: POST, path: /hooks/wake, scope: operator.write, hooksToken: { env: HOOKS } }',
      '{ method: POST, path: /v1/embeddings, expose: false }',
      '{ method: GET, path: /v1/models, expose: false }',
      '{ method: GET, path: /v1/models, scope: operator.admin }',
    ),
    worldOf({}, { HOOKS: 'hooks-7sKd02kslA' }),
  );
  t.same(config.routes, [
    { method: 'PUT', template: '/v1/files/{id}', scope: 'operator.read', bodyLimit: 1024 * 1024 },
    { method: 'POST', template: '/hooks/wake', scope: 'operator.write', hooksToken: 'hooks-7sKd02kslA' },
    { method: 'GET', template: '/v1/models', scope: 'operator.admin' },
  ]);
  t.same([...config.closedRoutes], ['POST /v1/embeddings', 'GET /v1/models']);
});

void t.test('the name of a parameter makes no other default route', async (t) => {
  const { config } = await loadText(of('{ method: GET, path: "/sessions/{id}/history", expose: false }'));
  t.same([...config.closedRoutes], ['GET /sessions/{key}/history']);
});

void t.test('the default table has no route twice', (t) => {
  t.equal(new Set(DEFAULT_ROUTES.map(({ method, template }) => `${method} ${template}`)).size, DEFAULT_ROUTES.length);
  t.end();
});

const REFUSED: readonly { name: string; text: string; says: readonly RegExp[] }[] = [
  ...[
    'v1',
    '/',
    '/a/',
    '//a',
    '/a//b',
    '/a/../b',
    '/./a',
    '/a b',
    '/a%2fb',
    '/a?b',
    '/{}',
    '/{a}b',
    '/{a}/{a}',
    '/ä',
  ].map((path) => ({
    name: `path ${path}`,
    text: of(`{ method: GET, path: "${path}", ${READ} }`),
    says: [/routes\[0\].path: expected a path/],
  })),
  {
    name: 'TRACE',
    text: of(`{ method: TRACE, path: /a, ${READ} }`),
    says: [/routes\[0\].method: unknown method "TRACE"/],
  },
  {
    name: 'get',
    text: of(`{ method: get, path: /a, ${READ} }`),
    says: [/unknown method "get" \(did you mean "GET"\?\)/],
  },
  { name: 'no scope', text: of('{ method: GET, path: /a }'), says: [/routes\[0\].scope: a route needs the scope/] },
  {
    name: 'a scope that is none',
    text: of('{ method: GET, path: /a, scope: all }'),
    says: [/routes\[0\].scope: unknown scope/],
  },
  {
    name: 'expose: true',
    text: of(`{ method: GET, path: /a, ${READ}, expose: true }`),
    says: [/routes\[0\].expose: only "expose: false"/],
  },
  {
    name: 'a default route',
    text: of(`{ method: GET, path: /v1/models, ${READ} }`),
    says: [/routes\[0\]: this is a default route/],
  },
  {
    name: 'a default route by another parameter',
    text: of(`{ method: GET, path: "/v1/models/{x}", ${READ} }`),
    says: [/routes\[0\]: this is a default route/],
  },
  {
    name: 'a closed default route by another parameter',
    text: of(
      '{ method: GET, path: "/sessions/{key}/history", expose: false }',
      `{ method: GET, path: "/sessions/{id}/history", ${READ} }`,
    ),
    says: [/routes\[1\].path: write it as the default route has it: \/sessions\/\{key\}\/history/],
  },
  {
    name: 'twice',
    text: of(`{ method: GET, path: "/a/{x}", ${READ} }`, `{ method: GET, path: "/a/{y}", ${READ} }`),
    says: [/routes\[1\]: this route is listed twice/],
  },
  {
    name: 'closed and unknown',
    text: of('{ method: GET, path: /v1/embeddings, expose: false }'),
    says: [/routes\[0\]: there is no default route/],
  },
  {
    name: 'closed twice',
    text: of(...Array<string>(2).fill('{ method: GET, path: /v1/models, expose: false }')),
    says: [/routes\[1\]: this route is closed twice/],
  },
  {
    name: 'closed with a scope',
    text: of(`{ method: GET, path: /v1/models, expose: false, ${READ} }`),
    says: [/routes\[0\].scope: a closed route has no scope/],
  },
  {
    name: 'a literal hooks token',
    text: of(`{ method: GET, path: /a, ${READ}, hooksToken: abcdef }`),
    says: [/hooksToken: expected a reference/],
  },
];

void t.test('refused', async (t) => {
  for (const { name, text, says } of REFUSED) {
    await t.test(name, async (t) => {
      const faults = await faultsOf(text);
      t.match(faults, says);
      t.equal(faults.length, says.length, faults.join('\n'));
    });
  }
});
