/** The routes of the gateway that are exposed unless closed, and `routes:`, which adds and closes. */
import type { Route } from '../types.ts';
import type { GatewayAuth } from './config.ts';
import type { Path } from './report.ts';
import type { RawConfig } from './schema.ts';
import { resolveSecret, type SecretSource } from './secret.ts';
import type { Sound } from './shape.ts';
import { parseSize } from './units.ts';

const MIB = 1024 * 1024;

/**
 * What a headless caller uses, with the scope that the gateway's releases ask or should have asked.
 * `/tools/invoke` is the owner's in the token and password hops; policy lowers it in the others.
 */
export const DEFAULT_ROUTES: readonly Route[] = [
  { method: 'GET', template: '/v1/models', scope: 'operator.read' },
  { method: 'GET', template: '/v1/models/{id}', scope: 'operator.read' },
  { method: 'POST', template: '/v1/chat/completions', scope: 'operator.write' },
  { method: 'POST', template: '/v1/responses', scope: 'operator.write' },
  { method: 'POST', template: '/v1/embeddings', scope: 'operator.write', bodyLimit: 5 * MIB },
  { method: 'POST', template: '/tools/invoke', scope: 'operator.admin', bodyLimit: 2 * MIB },
  { method: 'GET', template: '/sessions/{key}/history', scope: 'operator.read' },
  { method: 'POST', template: '/sessions/{key}/kill', scope: 'operator.admin' },
];

const SEGMENT = /^(?:[A-Za-z0-9._~-]+|\{[A-Za-z][A-Za-z0-9_]*\})$/;

/** The same paths whatever their parameters are called. */
function routeKey(method: string, template: string): string {
  return `${method} ${template.replace(/\{[^}]*\}/g, '{}')}`;
}

/**
 * @param raw `routes:`
 * @param source where hooks tokens are looked for
 * @param mode how the gateway authenticates the shim
 * @returns the added routes, and the closed ones as `METHOD template`
 */
export function buildRoutes(
  raw: NonNullable<Sound<RawConfig>['routes']>,
  source: SecretSource,
  mode: GatewayAuth['mode'] | undefined,
): { readonly routes: readonly Route[]; readonly closedRoutes: ReadonlySet<string> } {
  const { report } = source;
  const routes: Route[] = [];
  const closed = new Set<string>();
  const open = new Set<string>();
  for (const [index, route] of raw.entries()) {
    const path: Path = ['routes', index];
    if (route?.path !== undefined && !isTemplate(route.path)) {
      report.error(
        [...path, 'path'],
        'expected a path such as /v1/files/{id}: segments of A-Z a-z 0-9 . _ ~ - or {name}, no slash at its end',
      );
    } else if (route?.method !== undefined && route.path !== undefined) {
      const key = routeKey(route.method, route.path);
      if (route.expose === false) closeRoute(key, route, path);
      else addRoute(key, { ...route, method: route.method, path: route.path }, path);
    }
  }
  return { routes, closedRoutes: closed };

  function closeRoute(key: string, route: RawRoute, path: Path): void {
    for (const extra of ['scope', 'body', 'hooksToken'] as const) {
      if (route[extra] !== undefined) report.error([...path, extra], `a closed route has no ${extra}`, 'key');
    }
    const known = DEFAULT_ROUTES.find(({ method, template }) => routeKey(method, template) === key);
    if (known === undefined) report.error(path, 'there is no default route with this method and path to close');
    else if (closed.has(`${known.method} ${known.template}`)) report.error(path, 'this route is closed twice');
    else closed.add(`${known.method} ${known.template}`);
  }

  function addRoute(
    key: string,
    route: RawRoute & { readonly method: string; readonly path: string },
    path: Path,
  ): void {
    if (open.has(key)) report.error(path, 'this route is listed twice');
    open.add(key);
    const known = DEFAULT_ROUTES.find(({ method, template }) => routeKey(method, template) === key);
    if (known !== undefined && !raw.some((other) => other?.expose === false && closes(other, key))) {
      report.error(path, 'this is a default route; to change it, close it as well with "expose: false"');
    } else if (known !== undefined && known.template !== route.path) {
      // Rules of default routes (which characters an id has, whose session it is) go by the template.
      report.error([...path, 'path'], `write it as the default route has it: ${known.template}`);
    }
    if (mode === 'shim' && route.hooksToken !== undefined) {
      report.error([...path, 'hooksToken'], 'with mode "shim" the shim beside the gateway has it', 'key');
    }
    const hooksToken = route.hooksToken && resolveSecret(route.hooksToken, [...path, 'hooksToken'], source);
    if (route.scope === undefined) {
      report.error([...path, 'scope'], 'a route needs the scope that its callers must have');
      return;
    }
    const bodyLimit = typeof route.body === 'string' ? parseSize(route.body) : route.body;
    routes.push({
      method: route.method,
      template: route.path,
      scope: route.scope,
      ...(bodyLimit !== undefined && { bodyLimit }),
      ...(hooksToken !== undefined && { hooksToken }),
    });
  }
}

type RawRoute = NonNullable<NonNullable<Sound<RawConfig>['routes']>[number]>;

function closes(route: RawRoute, key: string): boolean {
  return route.method !== undefined && route.path !== undefined && routeKey(route.method, route.path) === key;
}

function isTemplate(path: string): boolean {
  const segments = path.split('/').slice(1);
  const names = segments.filter((segment) => segment.startsWith('{'));
  return (
    path.startsWith('/') &&
    path.length <= 1024 &&
    segments.every((segment) => SEGMENT.test(segment) && segment !== '.' && segment !== '..') &&
    new Set(names).size === names.length
  );
}
