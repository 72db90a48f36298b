/** `auth-shim explain`: what would become of a request, and why. */
import { createCallerTable, type Answer } from '../callers/table.ts';
import { NAME_PART } from '../config/claim-path.ts';
import { providersOf, type ClaimRules } from '../config/claim-rules.ts';
import type { Config } from '../config/config.ts';
import { errorBody, ERRORS, refuse } from '../errors.ts';
import type { Decision, Forward, Upgrade } from '../decision.ts';
import { createGate } from '../gate.ts';
import { enforcementOf } from '../gateway/enforcement.ts';
import { UNLIMITED } from '../limits/limiter.ts';
import { createPresenter } from '../gateway/present.ts';
import { formatInstant } from '../config/units.ts';
import { foldName } from '../headers/families.ts';
import { createAuthorize } from '../policy/authorize.ts';
import type { Caller } from '../types.ts';
import { loadOrTell } from './config-world.ts';
import { EXIT } from './exit.ts';
import { isStandardHeader } from '../headers/standard.ts';
import type { World } from './world.ts';

/** A request that nobody sends. */
export interface AskedRequest {
  readonly method: string;
  readonly path: string;
  /** Further request headers, each `Name: value`. */
  readonly headers: readonly string[];
  /** Ask for a WebSocket. */
  readonly websocket?: boolean | undefined;
}

export interface ExplainOptions extends Partial<AskedRequest> {
  readonly config: string;
  /** Name of the caller to be. */
  readonly as?: string | undefined;
  readonly json?: boolean | undefined;
}

/**
 * Asks the same gate that serves, as one caller, and prints the decision, the rule that made it, which layer
 * enforces it and the headers that the gateway would get. Secrets are masked.
 *
 * @returns 0 where the request would pass, 1 where it would be refused, also for want of a live token, 2 for a caller or header that does not
 *   exist, 78 for a configuration that cannot run
 */
export async function runExplain(world: World, options: ExplainOptions): Promise<number> {
  const { as, method, path, headers = [], websocket } = options;
  if (as === undefined || method === undefined || path === undefined) {
    world.stderr('expected --as CALLER METHOD PATH, or --token - with or without METHOD PATH\n');
    return EXIT.usage;
  }
  const loaded = await loadOrTell(world, options.config);
  if (!loaded) return EXIT.config;
  const { config } = loaded;
  const caller = config.callers.find(({ name }) => name === as) ?? ofProvider(config, as);
  if (!caller) {
    const names = config.callers.map(({ name }) => name).join(', ');
    const sections = providersOf<ClaimRules>(config).map(({ name }) => `${name}:…`);
    const issued = sections.length > 0 ? `; and of providers: ${sections.join(', ')}` : '';
    world.stderr(`no caller is named "${as}"; there are: ${names || 'none'}${issued}\n`);
    return EXIT.usage;
  }
  const request = { method, path, headers, websocket };
  if (!areHeaders(world, headers)) return EXIT.usage;
  const provided = !config.callers.includes(caller);
  if (provided)
    world.stderr(`${as} is taken to have all scopes of its ceiling; what a token grants: explain --token -\n`);
  const credential: Answer = provided
    ? { kind: 'caller', caller, token: undefined }
    : credentialOf(caller, world.now());
  const report = explainRequest(world, config, credential, request);
  world.stdout(options.json ? `${JSON.stringify(report, undefined, 2)}\n` : requestText(as, request, report));
  return report.decision === 'forward' ? EXIT.ok : EXIT.no;
}

/** As the tokens of a provider name callers: its section, a colon, and what claims say. */
function ofProvider(config: Config, name: string): Caller | undefined {
  const rules = providersOf<ClaimRules>(config).find((one) => name.startsWith(`${one.name}:`));
  if (!rules || name === `${rules.name}:` || name.length > 128 || !NAME_PART.test(name)) return undefined;
  return { ...rules.policy, name, tokens: [], scopes: rules.scopes.ceiling };
}

const HEADER = /^([^:\s]+):\s*(.*)$/;

/** @returns whether each is `Name: value`; where one is not, that was told */
export function areHeaders(world: World, headers: readonly string[]): boolean {
  if (headers.every((line) => HEADER.test(line))) return true;
  world.stderr('a header is written as "Name: value"\n');
  return false;
}

/**
 * @param world time
 * @param config that would serve
 * @param credential whom the request shows, or why that is nobody
 * @param request what is asked; its headers are headers
 * @returns what the gate decides; secrets are masked
 */
export function explainRequest(world: World, config: Config, credential: Answer, request: AskedRequest): Report {
  return describe(config, decideFor(world, config, credential, request), request);
}

const UPGRADE = ['Upgrade', 'websocket', 'Sec-WebSocket-Version', '13', 'Sec-WebSocket-Key', `${'A'.repeat(22)}==`];

function decideFor(world: World, config: Config, credential: Answer, request: AskedRequest): Decision {
  const { listen } = config;
  const extra = request.headers.flatMap((line) => HEADER.exec(line)?.slice(1) ?? []);
  // Who calls is known here, so that no first frame has to tell it.
  const websocket = { ...listen.websocket, firstFrameToken: false };
  const gate = createGate({
    config: { ...config, listen: { ...listen, websocket } },
    presenter: createPresenter(config.gateway.auth, listen.tls ? 'https' : 'http'),
    callers: { authenticate: () => credential, find: () => credential },
    authorize: createAuthorize(config, () => '<random id>'),
    limiter: UNLIMITED,
    unaudited: () => false,
    traceIds: { traceId: () => '<trace id>', spanId: () => '<span id>' },
    now: world.now,
  });
  const [host = 'localhost'] = config.listen.hosts;
  const named = extra.some((name, i) => i % 2 === 0 && name.toLowerCase() === 'host');
  // Without limits it is decided at once.
  return gate.decide({
    method: request.method.toUpperCase(),
    target: request.path,
    httpVersion: '1.1',
    rawHeaders: [...(named ? [] : ['Host', host]), ...(request.websocket ? UPGRADE : []), ...extra],
    peer: '127.0.0.1',
    ...(request.websocket && { upgrade: { early: false } }),
  }) as Decision;
}

/** A certificate or a live token of the caller, or what a request gets where there is none. */
function credentialOf(caller: Caller, now: number): Answer {
  if (caller.certificates !== undefined) return { kind: 'caller', caller, token: undefined };
  const table = createCallerTable([caller]);
  const found = caller.tokens.map((token) => table.find({ token }, now));
  const live = found.find(({ kind }) => kind === 'caller');
  if (live) return live;
  const last = found.findLast((one) => one.kind === 'refuse');
  const why = last ? ERRORS[last.code].message : 'The caller has no token.';
  return refuse(last?.code ?? 'invalid_token', { message: `Nobody can call as "${caller.name}" now. ${why}` });
}

/** What becomes of a request. */
export interface Report {
  readonly decision: 'forward' | 'refuse';
  readonly status?: number;
  readonly code?: string;
  readonly message?: string;
  readonly rule: string;
  readonly layers: readonly string[];
  readonly headers?: readonly (readonly [string, string])[];
  readonly dropped?: readonly string[];
  readonly bodyLimit?: number;
}

function describe(config: Config, decision: Decision, request: AskedRequest): Report {
  const { route, dropped, policy: caller } = decision.about;
  const { mode } = config.gateway.auth;
  if (decision.kind === 'forward' && decision.about.caller === undefined)
    return describeOpen(config, decision, request);
  if (decision.kind === 'upgrade') return describeSocket(config, decision);
  const scoped = caller && route && 'scope' in route ? { ...route, caller } : undefined;
  const rule = scoped
    ? `route ${scoped.method} ${scoped.template} needs ${scoped.scope}; ${scoped.caller.name} has: ${scoped.caller.scopes.join(', ') || 'none'}`
    : decision.kind === 'refuse' && decision.allow?.length
      ? `this path is exposed for ${decision.allow.join(', ')} alone`
      : decision.kind !== 'refuse'
        ? 'no exposed route was reached'
        : decision.code === 'identity_unavailable'
          ? 'who calls comes before every route, and nobody can tell'
          : ERRORS[decision.code].status === 401
            ? 'a live token comes before every route'
            : 'no exposed route was reached';
  const layers = scoped
    ? [
        decision.about.wouldRefuse === undefined
          ? 'shim: on every release'
          : `shim: does not, it only reports the missing scope until ${until(scoped.caller)} (unsafeReportOnly)`,
        ...(mode === 'shim'
          ? NEXT_SHIM
          : enforcementOf(mode, scoped).map(
              ({ from, enforces, why }) =>
                `gateway from ${from} (${mode}): ${enforces ? 'also enforces' : 'does not'}, ${why}`,
            )),
      ]
    : ['shim: nothing reaches the gateway'];
  if (decision.kind === 'refuse') {
    const { error } = JSON.parse(errorBody(decision)) as { error: { message: string } };
    const { code } = decision;
    return { decision: 'refuse', status: ERRORS[code].status, code, message: error.message, rule, layers };
  }
  if (decision.kind === 'metadata') {
    return { decision: 'refuse', status: 200, rule: 'listen.resourceMetadata: the shim answers by itself', layers };
  }
  if (decision.kind !== 'forward') return { decision: 'refuse', status: 204, rule: 'CORS preflight', layers };
  const tools = decision.tools ? `; its body may name only the tools ${decision.tools.join(', ')}` : '';
  return {
    decision: 'forward',
    rule: tools ? `tools of ${scoped?.caller.name} open ${route?.method} ${route?.template}${tools}` : rule,
    layers,
    headers: mask(config, ['host', new URL(config.gateway.origin).host, ...decision.headers]),
    ...(dropped && dropped.length > 0 ? { dropped } : {}),
    bodyLimit: decision.bodyLimit,
  };
}

function until({ reportOnlyUntil = 0 }: Caller): string {
  return formatInstant(reportOnlyUntil);
}

const NEXT_SHIM = ['next shim: its own routes, and the scopes of its entry for this one'] as const;

const SOCKET_LAYERS = {
  relay: ['shim: the scopes in the first frame', 'gateway: every method, by these scopes, on every release'],
  tunnel: ['shim: who may open it, nothing within', 'gateway: what the client signs for itself'],
} as const;

function describeSocket(config: Config, { mode, caller, headersWith }: Upgrade): Report {
  const { methods } = caller;
  const lists = methods
    ? [
        `shim: methods${methods.allow ? ` of ${methods.allow.join(', ') || 'none'}` : ''}${methods.deny.length > 0 ? ` but ${methods.deny.join(', ')}` : ''}`,
      ]
    : [];
  const rule = `websocket: ${mode} of ${caller.name}, who has: ${caller.scopes.join(', ') || 'none'}`;
  if (mode === 'relay' && caller.scopes.length === 0) {
    const message = 'Its first frame is refused: it has no scope to connect with.';
    return { decision: 'refuse', status: 101, code: 'insufficient_scope', message, rule, layers: SOCKET_LAYERS.relay };
  }
  return {
    decision: 'forward',
    rule,
    layers: [...SOCKET_LAYERS[mode], ...lists],
    headers: mask(config, ['host', new URL(config.gateway.origin).host, ...headersWith(caller.scopes)]),
  };
}

/** The health routes of `listen.health`, which know no caller. */
function describeOpen(config: Config, { headers, bodyLimit }: Forward, { method, path }: AskedRequest): Report {
  return {
    decision: 'forward',
    rule: `listen.health opens ${method.toUpperCase()} ${path} without a token, for everybody`,
    layers: ['nobody: the gateway asks nothing of its health routes, and no secret goes with the request'],
    headers: mask(config, ['host', new URL(config.gateway.origin).host, ...headers]),
    bodyLimit,
  };
}

/** Tokens and configured identity headers are secret; a configured name that is no standard one is itself. */
function mask(config: Config, flat: readonly string[]): [string, string][] {
  const { auth } = config.gateway;
  const configured = auth.mode === 'trusted-proxy' ? createPresenter(auth).secretNames : new Set<string>();
  const pairs: [string, string][] = [];
  for (let i = 0; i < flat.length; i += 2) {
    const name = flat[i] as string;
    const value = flat[i + 1] as string;
    const folded = foldName(name);
    if (folded === 'authorization') pairs.push([name, 'Bearer ****']);
    else if (folded === 'x-openclaw-token') pairs.push([name, '****']);
    else if (!configured.has(folded)) pairs.push([name, value]);
    else
      pairs.push([
        isStandardHeader(folded) ? name : '****',
        auth.mode === 'trusted-proxy' && foldName(auth.userHeader) === folded ? value : '****',
      ]);
  }
  return pairs;
}

/**
 * @param who asks
 * @param request what was asked
 * @param report what becomes of it
 * @returns the same in words, lines that end
 */
export function requestText(who: string, request: AskedRequest, report: Report): string {
  const verdict =
    report.decision === 'forward' ? 'forward' : `refuse: ${report.status}${report.code ? ` ${report.code}` : ''}`;
  const lines = [`${who} ${request.method.toUpperCase()} ${request.path}`, `decision  ${verdict}`];
  if (report.message) lines.push(`          ${report.message}`);
  lines.push(`rule      ${report.rule}`);
  report.layers.forEach((layer, i) => lines.push(`${i === 0 ? 'enforced  ' : '          '}${layer}`));
  report.headers?.forEach(([name, value], i) =>
    lines.push(`${i === 0 ? 'headers   ' : '          '}${name}: ${value}`),
  );
  if (report.dropped) lines.push(`dropped   ${report.dropped.join(', ')}`);
  if (report.bodyLimit !== undefined) lines.push(`body      at most ${report.bodyLimit} bytes`);
  return `${lines.join('\n')}\n`;
}
