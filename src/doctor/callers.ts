/** What the configuration itself says that deserves a word: credentials, scopes, certificates. Pure. */
import { formatIssue, type Config, type ConfigIssue } from '../config/config.ts';
import { exposedRoutes } from '../policy/authorize.ts';
import { hasScope } from '../scopes.ts';
import type { Caller, Route } from '../types.ts';
import { command, found, yaml, type Change, type Found, type FindingId } from './finding.ts';

/**
 * @param file the configuration, as the user calls it
 * @param config that would serve
 * @param warnings what `check` says of it
 * @returns the same, each with its id, and callers whose scopes are too many or too few
 */
export function examineConfiguration(file: string, config: Config, warnings: readonly ConfigIssue[]): Found[] {
  const routes = exposedRoutes(config);
  return [
    ...warnings.map((issue) => ofWarning(file, issue, config)),
    ...config.callers.flatMap((caller) => examineScopes(caller, routes)),
  ];
}

function ofWarning(file: string, issue: ConfigIssue, config: Config): Found {
  const { path } = issue;
  const [, index, key] = /^callers\[(\d+)\]\.tokens\[\d+\]\.(\w+)$/.exec(path) ?? [];
  const name = config.callers[Number(index)]?.name ?? 'NAME';
  const [id, changes]: [FindingId, readonly Change[]] =
    key === 'expires'
      ? ['token_expiry', [command(`auth-shim token rotate ${name}`)]]
      : key === 'hash'
        ? [
            'gateway_token_in_use',
            [command(`auth-shim token rotate ${name}`, 'openclaw config set gateway.auth.token …')],
          ]
        : config.certificates.some((certificate) => certificate.key === path)
          ? ['certificate_expiry', []]
          : ['configuration_warning', []];
  return found(id, `${formatIssue(file, issue)}.`, changes);
}

/** WebSockets have methods for every scope. */
function examineScopes({ name, scopes, tools = [], websocket }: Caller, routes: readonly Route[]): Found[] {
  if (websocket !== undefined || scopes.length === 0) return [];
  const isUsed = (scope: Caller['scopes'][number]): boolean => routes.some((route) => hasScope([scope], route.scope));
  const unused = scopes.filter((scope) => !isUsed(scope));
  const used = scopes.filter(isUsed);
  if (used.length === 0 && tools.length === 0) {
    const words = `"${name}" has scopes (${scopes.join(', ')}) that no route needs: every route refuses it.`;
    return [found('caller_admitted_nowhere', words, [scopesLine(name, ['operator.read', 'operator.write'])])];
  }
  if (unused.length === 0) return [];
  const words = `"${name}" has scopes that no route needs: ${unused.join(', ')}.`;
  return [found('scope_unused', words, [scopesLine(name, used)])];
}

function scopesLine(name: string, scopes: readonly string[]): Change {
  return yaml('callers:', `  - name: ${name}`, `    scopes: [${scopes.join(', ')}]`);
}
