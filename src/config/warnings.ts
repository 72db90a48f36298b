/** What is allowed in a configuration and still deserves a word. Shown by `check` and at start. */
import { hash } from 'node:crypto';
import { hasScope } from '../scopes.ts';
import type { Caller } from '../types.ts';
import { isWildcard } from './address.ts';
import { authorizationServers } from './authorization-servers.ts';
import { providersOf, type ClaimRules } from './claim-rules.ts';
import type { Config, GatewayAuth } from './config.ts';
import type { Report } from './report.ts';
import { formatInstant } from './units.ts';

const DAY = 86_400_000;
/** What ends within so many milliseconds deserves a word. */
export const SOON = 14 * DAY;
const SHORTEST_SECRET = 16;
/** Those whose trusted-proxy mode takes a password of a client on its own machine that no proxy speaks for. */
export const LOCAL_PASSWORD_RELEASES = 'releases 2026.4.27 to 2026.5.7, and from 2026.5.19';
/** `localhost`, `127.0.0.1`, `::1`: what `Host` may be without `listen.hosts`. */
const LOOPBACK_NAMES = 3;

/** The sections that name callers. */
export type WhoCalls = Pick<Config, 'callers' | 'issuers' | 'introspection'>;

/**
 * @param config a configuration that can run
 * @param now milliseconds since the epoch
 * @param report gets the warnings
 * @param callersReport gets those about callers, which may stand in another file
 */
export function warn(config: Config, now: number, report: Report, callersReport: Report): void {
  const { auth } = config.gateway;
  if (config.listen.unsafeListenPlaintext) {
    report.warning(['listen', 'unsafeListenPlaintext'], 'tokens cross the network in the clear');
  }
  if (config.admin?.unsafeListenPlaintext) {
    report.warning(['admin', 'unsafeListenPlaintext'], 'its token crosses the network in the clear');
  }
  const { address, hosts } = config.listen;
  if ('host' in address && isWildcard(address.host) && hosts.size <= LOOPBACK_NAMES) {
    report.warning(
      ['listen', 'host'],
      'callers of other machines get 421 until listen.hosts has the names that they use',
    );
  }
  warnOfTls(config, now, report);
  if (config.listen.resourceMetadata && authorizationServers(config).length === 0) {
    report.warning(
      ['listen', 'resourceMetadata'],
      'it names no authorization server: that takes one of issuers with a public key, or introspection.issuer, that is a URL',
    );
  }
  if (auth.mode === 'none') {
    report.warning(
      ['gateway', 'auth', 'mode'],
      'the gateway asks for no secret: any local process can use it directly',
    );
  }
  const own = 'secret' in auth ? auth.secret : 'password' in auth ? auth.password : undefined;
  if (own !== undefined && own.length < SHORTEST_SECRET) {
    const key = 'secret' in auth ? 'secret' : 'password';
    report.warning(['gateway', 'auth', key], `the gateway's ${key} is shorter than ${SHORTEST_SECRET} characters`);
  }
  if (config.callers.length === 0 && config.issuers.length === 0 && !config.introspection) {
    callersReport.warning(
      ['callers'],
      'nobody may call: create a caller with "auth-shim token new NAME --scope operator.write"',
    );
  }
  warnOfRelays(config, report);
  const secretHash = secretOf(auth) === undefined ? undefined : hash('sha256', secretOf(auth) ?? '');
  for (const [index, caller] of config.callers.entries()) {
    warnOfCaller(caller, index, auth, now, callersReport);
    if (caller.certificates?.length && !config.listen.tls?.client) {
      callersReport.warning(
        ['callers', index, 'certificates'],
        `listen.tls.clientCa is not set: nobody can show a certificate of "${caller.name}"`,
      );
    }
    warnOfSessions(caller, index, config.callers, callersReport);
    for (const [position, token] of caller.tokens.entries()) {
      const path = ['callers', index, 'tokens', position];
      if (token.hash === secretHash) {
        callersReport.warning(
          [...path, 'hash'],
          "temporary: this caller still uses the gateway's own token; give the gateway a new secret",
        );
      }
      if (token.expires !== undefined && token.expires <= now) {
        callersReport.warning([...path, 'expires'], `token ${token.id} of "${caller.name}" has expired`);
      } else if (token.expires !== undefined && token.expires <= now + SOON) {
        const end = formatInstant(token.expires);
        callersReport.warning([...path, 'expires'], `token ${token.id} of "${caller.name}" expires at ${end}`);
      }
    }
  }
}

function warnOfTls({ listen, certificates, issuers }: Config, now: number, report: Report): void {
  const asserted = issuers.some(({ header }) => header !== 'authorization');
  if (listen.credentials === 'bearer' && !listen.tls?.client && !asserted) {
    report.warning(
      ['listen', 'credentials'],
      'it says nothing without listen.tls.clientCa: nobody shows a certificate',
    );
  }
  for (const { key, notAfter } of certificates) {
    if (notAfter <= now + SOON)
      report.warning(key.split('.'), `a certificate in it ends at ${formatInstant(notAfter)}`);
  }
}

function warnOfCaller(caller: Caller, index: number, auth: GatewayAuth, now: number, report: Report): void {
  const ownerHop = auth.mode === 'token' || auth.mode === 'password';
  if (caller.tokens.length === 0 && !caller.certificates?.length) {
    const lacks = caller.certificates ? 'neither token nor certificate' : 'no token';
    report.warning(['callers', index], `"${caller.name}" has ${lacks}: nobody can call by this name`);
  }
  const opened = caller.tools?.length ?? 0;
  if (caller.scopes.length === 0 && opened === 0) {
    report.warning(['callers', index], `"${caller.name}" has no scopes: every route refuses it`);
  }
  if (caller.reportOnlyUntil !== undefined) {
    const end = formatInstant(caller.reportOnlyUntil);
    report.warning(
      ['callers', index, 'unsafeReportOnly'],
      caller.reportOnlyUntil > now
        ? `until ${end} a scope that "${caller.name}" lacks is reported, not refused`
        : `over since ${end}: it has no effect any more`,
    );
  }
  if (caller.methods?.allow?.length === 0) {
    report.warning(['callers', index, 'allowMethods'], `"${caller.name}" has an empty list of methods: it allows none`);
  }
  if (caller.websocket === 'tunnel') {
    report.warning(
      ['callers', index, 'unsafeTunnel'],
      `"${caller.name}" signs for itself: the shim enforces nothing within its WebSockets`,
    );
  }
  if (caller.tools !== undefined && opened === 0) {
    report.warning(['callers', index, 'tools'], `"${caller.name}" has an empty list of tools: it opens none`);
  }
  if (ownerHop) return;
  if (caller.allowHeaders.includes('x-openclaw-model') && !hasScope(caller.scopes, 'operator.admin')) {
    report.warning(
      ['callers', index, 'allowHeaders'],
      `"${caller.name}" may send x-openclaw-model, which the gateway takes from operator.admin alone`,
    );
  }
  if (opened > 0 && !hasScope(caller.scopes, 'operator.write')) {
    report.warning(
      ['callers', index, 'tools'],
      `"${caller.name}" has tools without operator.write, which the gateway asks for`,
    );
  }
}

/**
 * @param config who can call
 * @returns whether the shim connects to the gateway for any, with a device of theirs
 */
export function hasRelays({ callers, issuers, introspection }: WhoCalls): boolean {
  const policies = providersOf<ClaimRules>({ issuers, introspection }).map(({ policy }) => policy);
  return [...callers, ...policies].some(({ websocket }) => websocket === 'relay');
}

function warnOfRelays(config: Config, report: Report): void {
  const {
    listen,
    gateway: { auth, deviceStore },
  } = config;
  if (!hasRelays(config)) {
    if (listen.websocket.firstFrameToken) {
      report.warning(['listen', 'websocket', 'firstFrameToken'], 'no caller has "websocket: relay": it lets nobody in');
    }
    return;
  }
  if (deviceStore === 'memory') {
    report.warning(
      ['gateway', 'deviceStore'],
      'device identities are made anew at every start, and each leaves a pairing record at the gateway; name a folder to keep them',
    );
  }
  if (auth.mode === 'trusted-proxy' && auth.password === undefined) {
    report.warning(
      ['gateway', 'auth'],
      `the device of each caller with "websocket: relay" waits for one approval by an operator, "openclaw devices approve"; gateway.auth.password spares it where the gateway takes it (${LOCAL_PASSWORD_RELEASES})`,
    );
  }
}

/** A pinned agent alone lets a caller name every session of that agent, those of others as well. */
function warnOfSessions({ name, agent, sessionPrefix }: Caller, index: number, all: readonly Caller[], report: Report) {
  if (agent === undefined || sessionPrefix !== undefined) return;
  // A prefix without an agent is one of the default agent, which may be this one.
  const within = (prefix: string): boolean => prefix.startsWith(`agent:${agent}:`) || !prefix.startsWith('agent:');
  const others = all.filter((other) => other.sessionPrefix !== undefined && within(other.sessionPrefix));
  if (others.length === 0) return;
  const names = others.map((other) => `"${other.name}"`).join(', ');
  report.warning(
    ['callers', index, 'agent'],
    `"${name}" can name the sessions of ${names}; give it a sessionPrefix of its own`,
  );
}

function secretOf(auth: GatewayAuth): string | undefined {
  return auth.mode === 'token' || auth.mode === 'password' ? auth.secret : undefined;
}
