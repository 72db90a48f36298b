/** Whether the shim beside the gateway takes this one, and what it lets through. */
import { findingOf } from '../gateway/blame.ts';
import { hasScope } from '../scopes.ts';
import type { Scope } from '../types.ts';
import { shimError } from './answers.ts';
import type { Gateway } from './ask.ts';
import { command, found, yaml, type Found } from './finding.ts';
import { NO_SESSION } from './login.ts';

const QUESTIONS = [
  { scope: 'operator.read', method: 'GET', path: NO_SESSION, template: '/sessions/{key}/history' },
  {
    scope: 'operator.write',
    method: 'POST',
    path: '/v1/chat/completions',
    template: '/v1/chat/completions',
    body: '{',
  },
] as const satisfies readonly { readonly scope: Scope; readonly [key: string]: string }[];

/**
 * @param gateway where another shim was reached
 * @returns what it makes of requests; no run begins
 * @throws the error of a connection
 */
export async function examineNextShim(gateway: Gateway): Promise<Found[]> {
  for (const { scope, template, ...question } of QUESTIONS) {
    const { callers, issuers, introspection } = gateway.config;
    const asks = callers.some(({ scopes }) => hasScope(scopes, scope)) || issuers.length > 0 || introspection;
    if (!asks && scope !== 'operator.read') continue;
    const { status, body } = await gateway.ask({ ...question, headers: gateway.identity([scope]) });
    const why = findingOf({ mode: 'shim' }, { status, body, template, sent: [scope] });
    const told = `${status} ${shimError(body)}`;
    if (why === 'shim_ceiling') {
      const words = `the shim beside the gateway does not let this one have ${scope}; callers that have it here get 502.`;
      return [found(why, words, [beside('    onBehalf: true', `    scopes: [${scope}]`)])];
    }
    if (why !== undefined) {
      const words = `the shim beside the gateway does not take this one for a caller (${told}).`;
      return [
        found('shim_refused', words, [
          beside('    certificates: [{ uri: "spiffe://…" }] # of gateway.tls.cert here', '    onBehalf: true'),
          yaml('listen:', '  hosts: [shim.example.org] # there: the name that this shim calls it by'),
        ]),
      ];
    }
    if (status >= 500) {
      const words = `the shim beside the gateway is not well itself (${told}).`;
      return [found('next_shim_gateway', words, [command('auth-shim doctor # on the machine of that shim')])];
    }
  }
  return [found('next_shim_accepts', 'the shim beside the gateway takes this one.')];
}

/** In the configuration of the other one. */
function beside(...lines: readonly string[]) {
  return yaml('callers: # in the configuration beside the gateway', '  - name: this-shim', ...lines);
}
