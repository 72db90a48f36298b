/** The gate: the one place where a request is let through or refused. The order below is the contract. */
import { actingFor } from './callers/on-behalf.ts';
import type { Authenticated, CallerTable, Shown, Unauthenticated } from './callers/table.ts';
import { scopeToAskFor } from './config/authorization-servers.ts';
import type { Config } from './config/config.ts';
import type { About, Decision, Forward } from './decision.ts';
import { refuse, refuseLargeBody, type Refusal } from './errors.ts';
import type { Presenter } from './gateway/present.ts';
import { clientPeer } from './headers/forwarded.ts';
import { readHead, type Head } from './headers/head.ts';
import { buildRequestHeaders } from './headers/request.ts';
import { asksForMetadata, createResourceMetadata } from './headers/resource-metadata.ts';
import { readTarget } from './headers/target.ts';
import { readUpgrade } from './headers/upgrade.ts';
import { continueTrace, type Trace, type TraceIds } from './headers/trace.ts';
import type { Admitted, Limiter } from './limits/limiter.ts';
import type { Authorize } from './policy/authorize.ts';
import { elsewhere, mayComeFrom } from './policy/from.ts';
import { authorizeSocket, wantsUpgrade } from './policy/sockets.ts';
import { createRecheck, type Recheck } from './recheck.ts';
import { isScope } from './scopes.ts';
import type { Caller, CallerLimits, RequestFacts, Route, Scope } from './types.ts';

export interface Gate {
  /** At once, but where somebody has to be asked: an issuer for its keys, or a store for the caller's limits. */
  decide(facts: RequestFacts): Decision | Promise<Decision>;
  readonly recheck: Recheck;
}

/** The parts that the gate asks, in its order. */
export interface GateParts {
  readonly config: Config;
  readonly callers: CallerTable;
  readonly authorize: Authorize;
  readonly limiter: Pick<Limiter, 'admit' | 'failedLogin' | 'unanswered' | 'failsTooOften'>;
  /** Whether nothing may pass, since the audit is required and cannot be written. */
  readonly unaudited: () => boolean;
  readonly presenter: Presenter;
  readonly traceIds: TraceIds;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

type Admissible = Authenticated | Refusal;

/**
 * @param parts what the gate asks
 * @returns the gate; it takes facts, never a socket, and throws only for a fault of its own
 */
export function createGate(parts: GateParts): Gate {
  const { config, callers, authorize, limiter, unaudited, presenter, traceIds, now } = parts;
  const { listen, limits } = config;
  const metadata = createResourceMetadata(config);

  return {
    decide(facts) {
      const about: About = { peer: facts.peer };
      if (facts.certificate) about.certificate = facts.certificate;

      // 0 well-formed?
      const head = readHead(facts);
      if ('kind' in head) return { ...head, about };
      about.trace = continueTrace(head.traceparent, traceIds);
      // CONNECT has no origin-form; it is refused below, after authentication, like any method without a route.
      const target = facts.method === 'CONNECT' ? { path: '', query: '' } : readTarget(facts.target);
      if ('wrong' in target) return { ...malformed(target.wrong), about };
      const peer = clientPeer(facts.peer, head.forwardedFor, listen.trustedProxies);
      if (peer === 'malformed') return { ...malformed('the X-Forwarded-For of a trusted proxy is malformed'), about };
      about.peer = peer;
      if (!listen.hosts.has(head.host)) return { ...hostNotAllowed(head.host), about };
      if (head.origin !== undefined) {
        if (!listen.origins.has(head.origin)) return { ...refuse('origin_not_allowed'), about };
        about.origin = head.origin;
        if (facts.method === 'OPTIONS' && head.requestMethod !== undefined) return { kind: 'preflight', about };
      }
      const health = (): Decision =>
        unaudited() ? { ...refuse('audit_unavailable'), about } : anonymous(about, facts);
      const asksHealth = listen.health && !facts.upgrade && isHealth(facts);
      // A shim that asks for its callers is told what they would meet.
      if (asksHealth && head.onBehalf.length === 0) return health();
      if (metadata && !facts.upgrade && asksForMetadata(facts)) {
        about.route = { method: facts.method, template: facts.target, scope: 'operator.read' };
        return { kind: 'metadata', about, body: metadata.documentFor(head.hostField) };
      }
      const upgrade = facts.upgrade && readUpgrade(facts, listen.websocket.subprotocolToken);
      if (upgrade && 'kind' in upgrade) return { ...upgrade, about };

      // 1 authenticate
      const authorization = upgrade?.authorization ?? head.authorization;
      const { certificate } = facts;
      const limited = () => limiter.failsTooOften(peer);
      const shown = { authorization, assertion: head.assertion, certificate, limited };
      const told = (refusal: Refusal): Refusal =>
        metadata ? { ...refusal, resourceMetadata: metadata.urlFor(head.hostField) } : refusal;
      const judge = (credential: Admissible): Decision | Promise<Decision> => {
        if (credential.kind === 'refuse') {
          const later = upgrade && authorization === undefined && credential.code === 'missing_token';
          if (later && listen.websocket.firstFrameToken && facts.target === '/') return { kind: 'first-frame', about };
          return { ...told(credential), about };
        }
        about.caller = credential.caller.name;
        about.token = credential.token;
        if (credential.assertion) about.assertion = credential.assertion;
        const acting = actingFor(credential.caller, head.onBehalf);
        if ('kind' in acting) return { ...acting, about };
        const { caller, onBehalf } = acting;
        about.caller = caller.name;
        if (onBehalf) about.onBehalf = onBehalf;
        about.policy = caller;
        about.scopes = caller.scopes;

        // 2 authorize
        if (asksHealth) return health();
        if (upgrade) return admitSocket(facts, head, caller, upgrade.protocol, about);
        const request = { method: facts.method, path: target.path, openclaw: head.openclaw, now: now() };
        const permission = authorize(caller, request, (route) => (about.route = route));
        if (permission.kind === 'refuse')
          return { ...(wantsUpgrade(caller, request, permission) ?? told(asked(permission, caller))), about };
        const { route, dropped, wouldRefuse } = permission;
        about.dropped = dropped;
        about.agent = headerIn(permission.headers, 'x-openclaw-agent-id');
        about.sessionKey = headerIn(permission.headers, 'x-openclaw-session-key');
        if (wouldRefuse) about.wouldRefuse = wouldRefuse;
        if (permission.tools) about.tools = permission.tools;
        const bodyLimit = Math.min(limits.body, route.bodyLimit ?? limits.body, caller.limits?.body ?? limits.body);
        if (head.contentLength !== undefined && head.contentLength > bodyLimit) {
          return { ...refuseLargeBody(bodyLimit), about };
        }

        // 3 admit
        if (unaudited()) return { ...refuse('audit_unavailable'), about };
        const admission = limiter.admit(caller.name, caller.limits ?? NO_LIMITS);

        // 4 present
        const present = (admitted: Admitted | Refusal): Decision => {
          if (admitted.kind === 'refuse') return { ...admitted, about };
          const ours = presenter.present({ caller, route, peer, host: head.hostField });
          return {
            kind: 'forward',
            about,
            route,
            headers: outgoing(facts, head, about.trace as Trace, [...permission.headers, ...ours]),
            hasBody: head.hasBody,
            contentLength: head.contentLength,
            bodyLimit,
            expectContinue: head.expectContinue && head.hasBody,
            scopes: caller.scopes,
            tools: permission.tools,
            answerHeaders: admitted.headers,
            release: admitted.release,
          };
        };
        return admission instanceof Promise ? admission.then(present) : present(admission);
      };
      const credential = authenticate(shown, peer);
      return credential instanceof Promise ? credential.then(judge) : judge(credential);
    },

    recheck: createRecheck(parts),
  };

  /** A client asks its own provider, whose scopes may have other names. */
  function asked(refusal: Refusal, { name }: Caller): Refusal {
    const { scope, ...rest } = refusal;
    if (scope === undefined || !isScope(scope)) return refusal;
    const theirs = scopeToAskFor(config, name, scope);
    return theirs === undefined ? rest : { ...rest, scope: theirs };
  }

  /** Too many failures change the answer to a failing credential alone: a valid one passes from anywhere, at any time. */
  function authenticate(shown: Shown, peer: string | undefined): Admissible | Promise<Admissible> {
    const credential = callers.authenticate(shown, now());
    if (credential instanceof Promise) return credential.then((later) => countFailure(later, peer));
    return countFailure(credential, peer);
  }

  function countFailure(credential: Authenticated | Unauthenticated, peer: string | undefined): Admissible {
    const { caller } = credential;
    // From elsewhere nobody learns that a token is one, not even that its time is wrong.
    const away = caller !== undefined && !mayComeFrom(caller, peer);
    if (credential.kind === 'caller' && !away) return credential;
    const tokenId = credential.kind === 'caller' ? credential.token?.id : credential.tokenId;
    const refusal = away ? awayFrom(credential, caller, peer) : (credential as Refusal);
    if (credential.kind === 'refuse' && credential.unanswered) limiter.unanswered(peer);
    if (UNCOUNTED.has(refusal.code)) return refusal;
    const retryAfter = limiter.failedLogin(peer, tokenId);
    if (retryAfter === undefined) return refusal;
    const { reason } = refusal;
    return refuse('rate_limited', { message: 'Too many failed logins.', retryAfter, ...(reason && { reason }) });
  }

  /** From authorization on: what it may do there is for the gateway to judge, by the scopes that it is given. */
  function admitSocket(
    facts: RequestFacts,
    head: Head,
    caller: Caller,
    protocol: string | undefined,
    about: About,
  ): Decision | Promise<Decision> {
    const route = authorizeSocket(caller, facts.target);
    if ('kind' in route) return { ...route, about };
    const mode = route.websocket;
    about.route = route;
    about.socket = { mode, scopes: mode === 'tunnel' ? caller.scopes : [], methods: caller.methods };

    // 3 admit
    if (unaudited()) return { ...refuse('audit_unavailable'), about };
    const admission = limiter.admit(caller.name, caller.limits ?? NO_LIMITS, 'socket');

    // 4 present
    const trace = about.trace as Trace;
    const headersWith = (scopes: readonly Scope[]): string[] => {
      const ours = presenter.presentSocket({ caller, peer: about.peer, host: head.hostField, mode, scopes });
      return mode === 'tunnel' ? outgoing(facts, head, trace, ours) : [...ours, 'traceparent', trace.traceparent];
    };
    const present = (admitted: Admitted | Refusal): Decision => {
      if (admitted.kind === 'refuse') return { ...admitted, about };
      const { headers: answerHeaders, release } = admitted;
      return { kind: 'upgrade', about, mode, caller, protocol, headersWith, answerHeaders, release };
    };
    return admission instanceof Promise ? admission.then(present) : present(admission);
  }

  function outgoing(facts: RequestFacts, head: Head, trace: Trace, ours: readonly string[]): string[] {
    return buildRequestHeaders(
      facts.rawHeaders,
      head.nominated,
      presenter.secretNames,
      [...ours, 'traceparent', trace.traceparent],
      trace.parentSpanId !== undefined,
    );
  }
}

const NO_LIMITS: CallerLimits = {};
/** A certificate cannot be guessed; and where nobody could be asked, nothing failed. */
const UNCOUNTED: ReadonlySet<string> = new Set([
  'missing_token',
  'invalid_certificate',
  'expired_certificate',
  'identity_unavailable',
]);

/** As whatever names nobody here is answered. */
function awayFrom(credential: Admissible, caller: Caller, peer: string | undefined): Refusal {
  const byCertificate = credential.kind === 'caller' && credential.token === undefined;
  return refuse(byCertificate ? 'invalid_certificate' : 'invalid_token', { reason: elsewhere(caller, peer) });
}

function headerIn(headers: readonly string[], name: string): string | undefined {
  const at = headers.indexOf(name);
  return at < 0 ? undefined : headers[at + 1];
}

function malformed(reason: string): Refusal {
  return refuse('bad_request', { message: `Bad request: ${reason}.`, reason });
}

function hostNotAllowed(host: string): Refusal {
  return refuse('host_not_allowed', {
    message: `The host name "${host.slice(0, 100)}" is not served here. The operator can add it to listen.hosts.`,
  });
}

/** Exact method and target: no query, no header of a caller can widen it (CVE-2026-34457). */
function isHealth({ method, target }: RequestFacts): boolean {
  return (method === 'GET' || method === 'HEAD') && (target === '/health' || target === '/healthz');
}

/** Nothing of the caller's and no secret goes with it. */
function anonymous(about: About, { method, target }: RequestFacts): Forward {
  const route: Route = { method, template: target, scope: 'operator.read' };
  // Whoever asks, it is nobody's: no policy is looked at again.
  const { caller: _, ...nobody } = about;
  return {
    kind: 'forward',
    about: { ...nobody, route },
    route,
    headers: ['x-openclaw-scopes', '', 'traceparent', (about.trace as Trace).traceparent],
    hasBody: false,
    contentLength: 0,
    bodyLimit: 0,
    expectContinue: false,
    scopes: [],
    tools: undefined,
    answerHeaders: [],
    release: () => undefined,
  };
}
