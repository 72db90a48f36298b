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
 * @param closed templates of the gateway's own that are not exposed: no wider template may open them
 * @param routes every exposed route, the gateway's own first; method and template together are unique
 * @returns a function from a path to the routes there, by method, or `undefined` where nothing is exposed. Case,
 *   trailing slashes and dots count: what is not exactly a template does not match.
 */
export function compileRoutes(
  closed: readonly string[],
  routes: readonly Route[],
): (path: string) => ReadonlyMap<string, Route> | undefined {
  const byTemplate = new Map<string, Map<string, Route>>(closed.map((template) => [template, new Map()]));
  for (const route of routes) {
    const byMethod = byTemplate.get(route.template) ?? new Map<string, Route>();
    byTemplate.set(route.template, byMethod.set(route.method, route));
  }
  const exact = new Map<string, ReadonlyMap<string, Route>>();
  const patterns: {
    readonly reach: RegExp;
    readonly pattern: RegExp;
    readonly byMethod: ReadonlyMap<string, Route>;
  }[] = [];
  for (const [template, byMethod] of byTemplate) {
    if (!template.includes('{')) exact.set(template, byMethod);
    else {
      const pattern = templatePattern(template, PARAMETERS[template] ?? SEGMENT);
      patterns.push({ reach: templatePattern(template, SEGMENT), pattern, byMethod });
    }
  }
  return (path) => {
    const found = byPath(path);
    return found?.size === 0 ? undefined : found;
  };

  function byPath(path: string): ReadonlyMap<string, Route> | undefined {
    const found = exact.get(path);
    if (found) return found;
    // The first template that reaches a path decides. A wider one behind it, with a lesser scope, must not open what
    // the parameter of a default route shuts out: the gateway may read it all the same.
    const first = patterns.find(({ reach, pattern }) => reach.test(path) || pattern.test(path));
    return first?.pattern.test(path) ? first.byMethod : undefined;
  }
}

function templatePattern(template: string, parameter: string): RegExp {
  const source = template
    .split('/')
    .map((segment) => (segment.startsWith('{') ? `(?:${parameter})` : segment.replaceAll('.', '\\.')))
    .join('/');
  return new RegExp(`^${source}$`);
}
