/** Whether the gateway takes the shim, which auth mode it really has, and which release it is. */
import type { GatewayAuth } from '../config/config.ts';
import { findingOf } from '../gateway/blame.ts';
import { isMap, missingScope, parseMap } from './answers.ts';
import type { Answer, Gateway } from './ask.ts';
import { found, yaml, type Change, type Found } from './finding.ts';
import { isRelease, NEWEST, OLDEST, since } from './release.ts';
import { tryConnect, type Connected } from './socket.ts';
import { trustedProxyFinding } from './trusted-proxy.ts';

/**
 * A session that nobody has: the route is there on every release, whatever endpoints are enabled. Without an agent in
 * the key, releases from 2026.8.1 on with several agents answer 500.
 */
export const NO_SESSION = '/sessions/agent:main:auth-shim-doctor/history';
const HISTORY = '/sessions/{key}/history';
/** No secret of anybody: a refused connect says in which mode, and for what. */
const NO_SECRET = 'auth-shim-doctor';

/** How the gateway itself authenticates. */
export type Mode = Exclude<GatewayAuth['mode'], 'shim'>;

/** What the gateway said of itself. */
export interface LoggedIn {
  readonly findings: readonly Found[];
  /** Whether it takes what the shim sends: only then more is asked. */
  readonly accepted: boolean;
  readonly mode: Mode | undefined;
  readonly release: string | undefined;
  /** `gateway` of its configuration, where it may be read. */
  readonly settings: Readonly<Record<string, unknown>> | undefined;
}

/**
 * @param gateway that was reached, and is no shim
 * @returns what it takes
 * @throws the error of a connection
 */
export async function examineLogin(gateway: Gateway): Promise<LoggedIn> {
  const { auth } = gateway.config.gateway;
  // Without any header of a proxy: a release that wants attribution answers that before anything else.
  const bare = await tryConnect(gateway, [], { token: 'secret' in auth ? auth.secret : NO_SECRET });
  const open = await gateway.ask({ method: 'GET', path: NO_SESSION, headers: ['x-openclaw-scopes', ''] });
  const mode = isAnswered(open) ? 'none' : modeOf(bare);
  const answer = await gateway.ask({
    method: 'GET',
    path: NO_SESSION,
    headers: gateway.identity(['operator.read']),
  });
  // A password tells in its own place alone.
  const password = auth.mode === 'password' ? auth.secret : 'password' in auth ? auth.password : undefined;
  const again = bare.kind !== 'ok' && password !== undefined && mode === auth.mode;
  const told = again ? await tryConnect(gateway, [], { password }) : bare;
  const release = await releaseOf(gateway, told);
  const findings = [...(await judge(gateway, answer, mode, release)), releaseFinding(release)];
  const accepted = isAnswered(answer);
  return { findings, accepted, mode, release, settings: told.kind === 'ok' ? told.settings : undefined };
}

/** Whoever is told that there is no such session, or which scope is missing, was let in. */
function isAnswered(answer: Answer): boolean {
  const { status, body } = answer;
  return status === 200 || (status === 404 && parseMap(body) !== undefined) || missingScope(answer) !== undefined;
}

function modeOf(bare: Connected): Mode | undefined {
  if (bare.kind === 'failed') return undefined;
  if (bare.kind === 'refused') {
    const [, kind] = /^(token|password|trusted_proxy)_/.exec(bare.reason) ?? [];
    return kind === 'trusted_proxy' ? 'trusted-proxy' : (kind as 'token' | 'password' | undefined);
  }
  const { mode } = bare;
  // Releases that do not tell it have compared the token with nothing but a token.
  return mode === undefined ? 'token' : MODES.find((one) => one === mode);
}

const MODES: readonly Mode[] = ['token', 'password', 'none', 'trusted-proxy'];

async function judge(
  gateway: Gateway,
  answer: Answer,
  mode: Mode | undefined,
  release: string | undefined,
): Promise<Found[]> {
  const { auth } = gateway.config.gateway;
  const { status, body } = answer;
  if (isAnswered(answer)) {
    const restricted = missingScope(answer) === undefined ? [] : historyRefused(gateway);
    if (mode !== undefined && mode !== auth.mode) return [differs(gateway, mode, true), ...restricted];
    return [found('login_accepted', `the gateway is in mode "${auth.mode}" and takes the shim.`), ...restricted];
  }
  if (mode !== undefined && mode !== auth.mode) return [differs(gateway, mode, false)];
  const why = findingOf({ mode: auth.mode }, { status, body, template: HISTORY, sent: ['operator.read'] });
  if (why === 'proxy_attribution_required') {
    return [
      auth.mode === 'trusted-proxy'
        ? await trustedProxyFinding(gateway, why, release)
        : found(why, 'the gateway sees forwarded headers, and the shim sends none: something between them adds them.', [
            yaml('gateway:', '  url: http://127.0.0.1:18789 # the gateway itself, and no other proxy'),
          ]),
    ];
  }
  if (why === 'trusted_proxy_refused') return [await trustedProxyFinding(gateway, why, release)];
  if (why === 'gateway_secret_refused') return [secretRefused(auth.mode)];
  return [found('gateway_answer_unknown', `the gateway answered ${status} to GET ${NO_SESSION}; its log has more.`)];
}

function secretRefused(mode: GatewayAuth['mode']): Found {
  const key = mode === 'password' ? 'password' : 'token';
  const words =
    `the gateway is in mode "${mode}" and refuses the secret of the shim. ` +
    'One that was started with OPENCLAW_GATEWAY_TOKEN or OPENCLAW_GATEWAY_PASSWORD may have another than its file.';
  return found('gateway_secret_refused', words, [
    yaml(
      'gateway:',
      `  auth: { mode: ${mode}, secret: { openclaw: ~/.openclaw/openclaw.json } } # gateway.auth.${key}`,
    ),
  ]);
}

/** `gateway.auth` of the shim, by the gateway's own mode. */
const AUTH_LINES: Readonly<Record<Mode, string>> = {
  token: '  auth: { mode: token, secret: { openclaw: ~/.openclaw/openclaw.json } }',
  password: '  auth: { mode: password, secret: { openclaw: ~/.openclaw/openclaw.json } }',
  none: '  auth: { mode: none }',
  'trusted-proxy': '  auth: { mode: trusted-proxy, userHeader: { env: OPENCLAW_USER_HEADER } }',
};

function differs({ config }: Gateway, mode: Mode, answered: boolean): Found {
  const words = `the gateway is in mode "${mode}", and the shim is configured for "${config.gateway.auth.mode}"`;
  const changes: Change[] = [yaml('gateway:', AUTH_LINES[mode])];
  if (!answered) return found('mode_differs', `${words}: it refuses every request.`, changes);
  const but = {
    none: 'any local process can use it',
    'trusted-proxy': 'by its local password, and it heeds no scopes then',
    token: 'WebSockets may be refused',
    password: 'WebSockets may be refused',
  }[mode];
  return found('mode_differs', `${words}: requests pass, but ${but}.`, changes, 'warning');
}

/** 2026.3.31 to 2026.5.20, with the gateway's secret. */
function historyRefused({ config }: Gateway): Found[] {
  if (config.closedRoutes.has(`GET ${HISTORY}`)) return [];
  const words = `this release lets no HTTP caller read ${HISTORY} in mode "${config.gateway.auth.mode}", whatever is sent.`;
  const close = yaml('routes:', `  - { method: GET, path: "${HISTORY}", expose: false }`);
  return [found('scope_not_honoured', words, [close], 'warning')];
}

/** Told in a connect; by the startup probe from 2026.8.1 on; and by the control UI, where it is on. */
async function releaseOf(gateway: Gateway, told: Connected): Promise<string | undefined> {
  if (told.kind === 'ok' && isRelease(told.release)) return told.release;
  const headers = gateway.identity(['operator.read']);
  for (const path of ['/startupz', '/__openclaw/control-ui-config.json']) {
    const { body } = await gateway.ask({ method: 'GET', path, headers }).catch(() => ({ body: '' }));
    const { version, serverVersion } = parseMap(body) ?? {};
    const named = version ?? serverVersion;
    if (isRelease(named)) return named;
  }
  return undefined;
}

function releaseFinding(release: string | undefined): Found {
  if (release === undefined) return found('release_unknown', 'the gateway does not tell its release.');
  if (since(release, OLDEST) && since(NEWEST, release)) {
    return found('release_known', `the gateway is OpenClaw ${release}.`);
  }
  return found(
    'release_untested',
    `the gateway is OpenClaw ${release}; the shim was tested with ${OLDEST} to ${NEWEST}.`,
  );
}

/**
 * @param settings of the gateway
 * @param path keys, from the outside in
 * @returns what stands there
 */
export function settingAt(settings: Readonly<Record<string, unknown>> | undefined, ...path: string[]): unknown {
  return path.reduce<unknown>((at, key) => (isMap(at) ? at[key] : undefined), settings);
}
