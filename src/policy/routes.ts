/** Which routes are exposed: exact methods and path templates, everything else denied. */
import { MODEL_ID } from '../headers/target.ts';
import type { Route } from '../types.ts';

/** What `{name}` stands for: one segment. The gateway's own parameters are narrower than those of added routes. */
const SEGMENT = "(?!\\.{1,2}(?:/|$))[A-Za-z0-9._~:@!$&'()*+,=-]+";
const PARAMETERS: Record<string, string> = {
  '/v1/models/{id}': MODEL_ID,
  '/sessions/{key}/history': '(?!\\.{1,2}/)(?:[A-Za-z0-9._:@-]|%3[Aa])+',
  '/sessions/{key}/kill': '(?!\\.{1,2}/)(?:[A-Za-z0-9._:@-]|%3[Aa])+',
};

/**
 * @param routes every exposed route; method and template together are unique
 * @returns a function from a path to the routes there, by method, or `undefined` where nothing is exposed. Case,
 *   trailing slashes and dots count: what is not exactly a template does not match.
 */
export function compileRoutes(routes: readonly Route[]): (path: string) => ReadonlyMap<string, Route> | undefined {
  const byTemplate = new Map<string, Map<string, Route>>();
  for (const route of routes) {
    const byMethod = byTemplate.get(route.template) ?? new Map<string, Route>();
    byTemplate.set(route.template, byMethod.set(route.method, route));
  }
  const exact = new Map<string, ReadonlyMap<string, Route>>();
  const patterns: { readonly pattern: RegExp; readonly byMethod: ReadonlyMap<string, Route> }[] = [];
  for (const [template, byMethod] of byTemplate) {
    if (template.includes('{')) patterns.push({ pattern: templatePattern(template), byMethod });
    else exact.set(template, byMethod);
  }
  return (path) => exact.get(path) ?? patterns.find(({ pattern }) => pattern.test(path))?.byMethod;
}

function templatePattern(template: string): RegExp {
  const source = template
    .split('/')
    .map((segment) =>
      segment.startsWith('{') ? `(?:${PARAMETERS[template] ?? SEGMENT})` : segment.replaceAll('.', '\\.'),
    )
    .join('/');
  return new RegExp(`^${source}$`);
}
