/** What the gateway does with a request that it lets in: endpoints, scopes, forwarded headers, its calls to itself. */
import { exposedRoutes } from '../policy/authorize.ts';
import type { Scope } from '../types.ts';
import { missingScope, parseMap } from './answers.ts';
import type { Answer, Gateway } from './ask.ts';
import { found, openclaw, yaml, type Found } from './finding.ts';
import { NO_SESSION } from './login.ts';
import { since } from './release.ts';
import { callerNames, notAllowed } from './trusted-proxy.ts';

/** No JSON: it is refused after credential, endpoint and scope, and before a run, on every release. */
const NO_BODY = '{';
const ENDPOINTS = { '/v1/chat/completions': 'chatCompletions', '/v1/responses': 'responses' } as const;
type Endpoint = keyof typeof ENDPOINTS;

/**
 * @param gateway that takes the shim
 * @param release of it, where it told
 * @returns what it makes of requests; no run begins
 * @throws the error of a connection
 */
export async function examineRoutes(gateway: Gateway, release: string | undefined): Promise<Found[]> {
  const proxied = gateway.config.gateway.auth.mode === 'trusted-proxy';
  return [
    ...(await examineEndpoints(gateway)),
    ...(await examineScopes(gateway)),
    ...(proxied ? await examineUsers(gateway) : await examineForwarded(gateway)),
    ...(proxied ? await examineSelfCalls(gateway, release) : []),
  ];
}

async function examineEndpoints(gateway: Gateway): Promise<Found[]> {
  const exposed = new Set(exposedRoutes(gateway.config).map(({ method, template }) => `${method} ${template}`));
  const asked = (Object.keys(ENDPOINTS) as Endpoint[]).filter((path) => exposed.has(`POST ${path}`));
  const off: Endpoint[] = [];
  const on: Endpoint[] = [];
  const findings: Found[] = [];
  for (const path of asked) {
    const headers = gateway.identity(['operator.write']);
    const answer = await gateway.ask({ method: 'POST', path, headers, body: NO_BODY });
    if (answer.status === 404 || answer.status === 405) off.push(path);
    else if (answer.status === 400) on.push(path);
    else findings.push(refused(path, answer));
  }
  if (on.length > 0) findings.push(found('endpoints_enabled', `enabled: ${on.join(', ')}.`));
  if (off.length > 0) {
    const keys = off.map((path) => `${ENDPOINTS[path]}: { enabled: true }`).join(', ');
    const close = off.map((path) => `  - { method: POST, path: ${path}, expose: false }`);
    findings.push(
      found(
        'endpoint_not_enabled',
        `the gateway does not serve ${off.join(' and ')}: callers get 502. Enable what they use, and close the rest here.`,
        [openclaw(`{ gateway: { http: { endpoints: { ${keys} } } } }`), yaml('routes:', ...close)],
        on.length > 0 ? 'warning' : 'fault',
      ),
    );
  }
  return findings;
}

function refused(path: string, answer: Answer): Found {
  const missing = missingScope(answer);
  if (missing !== undefined) {
    return found('scope_not_honoured', `the gateway wants ${missing} on ${path}, though it was sent operator.write.`, [
      openclaw("{ gateway: { auth: { mode: 'token' } } } // or another release: this one takes no scopes here"),
    ]);
  }
  if (answer.status === 503) return found('not_examined', `${path}: the gateway is not ready for it (503).`);
  return found('gateway_answer_unknown', `the gateway answered ${answer.status} to POST ${path}; its log has more.`);
}

/** The same question with the scope, with none, and without the header: what its answers say of the header. */
async function examineScopes(gateway: Gateway): Promise<Found[]> {
  const ask = (path: string, scopes: readonly Scope[] | undefined): Promise<Answer> =>
    gateway.ask({ method: 'GET', path, headers: gateway.identity(scopes) });
  const models = await ask('/v1/models', ['operator.read']);
  // The control UI answers with a page where the endpoint is off.
  const path = models.status === 200 && parseMap(models.body) !== undefined ? '/v1/models' : NO_SESSION;
  const given = await ask(path, ['operator.read']);
  if (missingScope(given) !== undefined) {
    return [found('not_examined', 'what the gateway makes of scopes: no endpoint is enabled that would tell.')];
  }
  const empty = missingScope(await ask(path, [])) !== undefined;
  const absent = missingScope(await ask(path, undefined)) !== undefined;
  if (empty && absent) {
    const words =
      'the gateway reads scopes from x-openclaw-scopes alone, and takes a missing header for no scope: ' +
      'who calls it without the shim gets 403 "missing scope". The shim sends it always.';
    return [found('scopes_enforced', words)];
  }
  if (empty) {
    const words = 'the gateway enforces the scopes that it is sent, and takes a missing header for every scope.';
    return [found('scopes_missing_is_all', `${words} The shim sends it always, also when it is empty.`)];
  }
  const words = 'the gateway ignores the scopes that it is sent: every request is its owner to it.';
  return [found('scopes_ignored', `${words} What a caller may do is enforced by the shim alone.`)];
}

async function examineForwarded(gateway: Gateway): Promise<Found[]> {
  const headers = [...gateway.identity(['operator.read']), 'x-forwarded-for', '192.0.2.1'];
  const { body } = await gateway.ask({ method: 'GET', path: NO_SESSION, headers });
  if (!body.includes('proxy_attribution_required')) return [];
  const words =
    'the gateway refuses any forwarded header (proxy_attribution_required). ' +
    'The shim sends none; a proxy belongs before the shim, and not between.';
  return [found('forwarded_headers_refused', words)];
}

/** The first caller was let in; the gateway may have a list of users in which others are not. */
async function examineUsers(gateway: Gateway): Promise<Found[]> {
  const [, ...others] = callerNames(gateway);
  const headers = (name: string): string[] => gateway.identity(['operator.read'], name);
  const answers = await Promise.all(
    others.map((name) => gateway.ask({ method: 'GET', path: NO_SESSION, headers: headers(name) })),
  );
  const refusedNames = others.filter((_, index) => answers[index]?.status === 401);
  return refusedNames.length > 0 ? [notAllowed(refusedNames)] : [];
}

/** A tool that only lists sessions, by a call of the gateway to itself. */
async function examineSelfCalls(gateway: Gateway, release: string | undefined): Promise<Found[]> {
  if (!exposedRoutes(gateway.config).some(({ template }) => template === '/tools/invoke')) return [];
  const { status } = await gateway.ask({
    method: 'POST',
    path: '/tools/invoke',
    headers: gateway.identity(['operator.write']),
    body: '{"tool":"sessions_list","args":{}}',
  });
  if (status === 200) return [found('self_calls_work', 'tools that call back into the gateway work.')];
  if (status !== 500)
    return [found('not_examined', `calls of the gateway to itself: /tools/invoke answers ${status}.`)];
  const words =
    'tools that call back into the gateway answer 500 on /tools/invoke: in this mode its own calls have no identity. ' +
    'Runs of agents are not concerned.';
  const close = yaml('routes:', '  - { method: POST, path: /tools/invoke, expose: false }');
  const password = openclaw(
    "{ gateway: { auth: { password: '${OPENCLAW_GATEWAY_PASSWORD}' } } } // for its own calls; or close the route here",
  );
  const takes = release === undefined || since(release, '2026.4.27');
  return [found('self_calls_refused', words, takes ? [password, close] : [close])];
}
