/** Whom the stand-in gateway lets in by WebSocket, and with which scopes, in the order in which a real one asks. */
import type { IncomingHttpHeaders } from 'node:http';
import { admit, forwarded, proxyFault, type StandInAuth } from './admission.ts';
import { flawOf } from './device-proof.ts';
import type { DeviceRecords, DeviceToken } from './devices.ts';
import type { ConnectParams } from './frames.ts';
import { pair, refuse, type Refusal } from './pairing.ts';
import type { Rules } from './rules.ts';

/** What a connect is measured by. */
export interface Door {
  readonly rules: Rules;
  readonly auth: StandInAuth;
  readonly autoApproveLocal: boolean;
  readonly devices: DeviceRecords;
}

export interface Welcome {
  readonly scopes: readonly string[];
  readonly method: Method;
  readonly token: DeviceToken | undefined;
}

type Method = 'token' | 'password' | 'none' | 'trusted-proxy';
type Login = { readonly ok: true; readonly method: Method } | { readonly ok: false; readonly why: string };

const LOCAL_NAME = /^(?:localhost|127(?:\.\d+){3}|\[::1\])(?::\d+)?$/i;
const BROWSER_CLIENTS = new Set(['openclaw-control-ui', 'webchat', 'webchat-ui']);

/**
 * @param headers those of the upgrade
 * @param nonce of this socket's challenge
 * @param params a connect that is well formed
 */
export function decide(
  door: Door,
  headers: IncomingHttpHeaders,
  nonce: string,
  params: ConnectParams,
): Welcome | Refusal {
  const { rules, devices } = door;
  const { device, client, scopes: asked = [] } = params;
  const mismatch = protocolMismatch(rules, params);
  if (mismatch) return refuse('INVALID_REQUEST', 'protocol mismatch', mismatch, 1002);
  if ((params.role ?? 'operator') !== 'operator') return refuse('INVALID_REQUEST', 'invalid role');
  if (!originAllowed(headers, client.id)) {
    const message =
      'origin not allowed (open the Control UI from the gateway host or allow it in gateway.controlUi.allowedOrigins)';
    return refuse('INVALID_REQUEST', message, {
      code: 'CONTROL_UI_ORIGIN_NOT_ALLOWED',
      reason: 'origin not allowed',
    });
  }

  const ceiling = rules.socket.cappedByHeader ? headers['x-openclaw-scopes'] : undefined;
  const capped = (scopes: readonly string[]): readonly string[] => {
    if (ceiling === undefined) return scopes;
    const allowed = new Set(
      String(ceiling)
        .split(',')
        .map((scope) => scope.trim()),
    );
    return scopes.filter((scope) => allowed.has(scope));
  };
  const login = logIn(door, headers, params);
  const local = isLocal(door, headers);
  // The gateway's own programs: they need neither device nor pairing.
  const own =
    login.ok &&
    local &&
    login.method !== 'trusted-proxy' &&
    rules.socket.bareScopes !== 'nobody' &&
    `${client.id}/${client.mode}` === 'gateway-client/backend';
  if (device === undefined) {
    const secret = params.auth?.token ?? params.auth?.password;
    if (!login.ok && secret) return unauthorized(door, login.why, params);
    if (!login.ok || (login.method === 'none' && !own)) {
      return refuse('NOT_PAIRED', 'device identity required', { code: 'DEVICE_IDENTITY_REQUIRED' });
    }
    const bare =
      own ||
      (login.method === 'trusted-proxy' && rules.socket.identityScopes) ||
      (login.method !== 'trusted-proxy' &&
        local &&
        rules.socket.bareScopes === 'backend-and-cli' &&
        `${client.id}/${client.mode}` === 'cli/cli');
    return { scopes: bare ? capped(asked) : [], method: login.method, token: undefined };
  }

  const flaw = flawOf(device, params, nonce);
  if (flaw) return refuse('INVALID_REQUEST', flaw.message, { code: flaw.code, reason: flaw.reason });
  if (!login.ok) return unauthorized(door, login.why, params);
  if (!own || (devices.get(device.id) && !rules.socket.growsSilently)) {
    const silent = local && login.method !== 'trusted-proxy' && headers.origin === undefined && door.autoApproveLocal;
    const unpaired = pair(rules, devices, params, device, silent);
    if (unpaired) return unpaired;
  }
  return { scopes: capped(asked), method: login.method, token: devices.tokenFor(device.id, asked) };
}

function protocolMismatch(rules: Rules, params: ConnectParams): object | undefined {
  const { protocol, probeProtocol } = rules.socket;
  const { minProtocol, maxProtocol } = params;
  if (minProtocol <= protocol && protocol <= maxProtocol) return undefined;
  if (probeProtocol === undefined) return { expectedProtocol: protocol };
  return {
    code: 'PROTOCOL_MISMATCH',
    clientMinProtocol: minProtocol,
    clientMaxProtocol: maxProtocol,
    expectedProtocol: protocol,
    minimumProbeProtocol: probeProtocol,
  };
}

function originAllowed({ origin }: IncomingHttpHeaders, clientId: string): boolean {
  if (origin === undefined) return !BROWSER_CLIENTS.has(clientId);
  return URL.canParse(origin) && LOCAL_NAME.test(new URL(origin).host);
}

function isLocal({ rules }: Door, headers: IncomingHttpHeaders): boolean {
  if (forwarded(headers)) return false;
  return !rules.socket.localByHost || LOCAL_NAME.test(headers.host ?? '');
}

function logIn(door: Door, headers: IncomingHttpHeaders, { auth: sent = {} }: ConnectParams): Login {
  const { auth, rules } = door;
  const compare = (method: 'token' | 'password', wanted: string): Login => {
    const other = method === 'token' ? 'password' : 'token';
    const given = sent[method] || (rules.socket.tellsMore ? sent[other] : undefined);
    if (!given) return { ok: false, why: `${method}_missing` };
    return given === wanted ? { ok: true, method } : { ok: false, why: `${method}_mismatch` };
  };
  switch (auth.mode) {
    case 'none':
      return { ok: true, method: 'none' };
    case 'token':
      return compare('token', auth.token);
    case 'password':
      return compare('password', auth.password);
    case 'trusted-proxy': {
      const known = admit(headers, auth, rules);
      if (known === 'ok') return { ok: true, method: 'trusted-proxy' };
      const password = rules.socket.localPassword && isLocal(door, headers) ? auth.password : undefined;
      if (password && sent.password) return compare('password', password);
      return { ok: false, why: proxyFault(headers, auth, rules) ?? known };
    }
  }
}

function unauthorized({ auth, rules }: Door, why: string, params: ConnectParams): Refusal {
  const [, kind, what] = /^(token|password)_(.*)$/.exec(why) ?? [];
  const cliHint = rules.socket.tellsMore
    ? `use this gateway's gateway.auth.${kind}${kind === 'token' ? ' or pair the device' : ''}`
    : `set gateway.remote.${kind} to match gateway.auth.${kind}`;
  const hint = params.client.id === 'cli' ? cliHint : `provide gateway auth ${kind}`;
  const message = kind === undefined ? 'unauthorized' : `unauthorized: gateway ${kind} ${what} (${hint})`;
  const withDevice = why === 'token_mismatch' && params.device !== undefined && auth.mode === 'token';
  const next = what === 'mismatch' ? 'update_auth_credentials' : 'update_auth_configuration';
  return refuse('INVALID_REQUEST', message, {
    code: kind === undefined ? 'AUTH_UNAUTHORIZED' : `AUTH_${why.toUpperCase()}`,
    authReason: why,
    canRetryWithDeviceToken: withDevice,
    recommendedNextStep: withDevice ? 'retry_with_device_token' : kind ? next : 'review_auth_configuration',
  });
}
