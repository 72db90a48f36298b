/** `callers`: who may call. */
import {
  CALLER_HEADERS,
  type Caller,
  type CallerHeader,
  type CallerLimits,
  type MethodPolicy,
  type Token,
} from '../types.ts';
import { buildRanges } from './address.ts';
import { buildCertificates, checkOnBehalf, refuseSharedCertificates } from './caller-certificates.ts';
import type { GatewayAuth } from './config.ts';
import { buildCallerLimits } from './limits.ts';
import { isPlaceholderHash } from './placeholder.ts';
import type { Path, Report } from './report.ts';
import type { RawConfig } from './schema.ts';
import type { Sound } from './shape.ts';
import { parseInstant } from './units.ts';

type RawCaller = NonNullable<NonNullable<Sound<RawConfig>['callers']>[number]>;
type RawToken = NonNullable<NonNullable<RawCaller['tokens']>[number]>;

const PREFIX = 'sha256:';
const DATE_WORDS = 'expected a date that exists, such as 2027-01-31, or 2027-01-31T12:00:00Z';
/** 30 days, the last one whole. */
const LONGEST_REPORT_ONLY = 31 * 86_400_000;

/** What the gateway keeps for runs of its own; after `agent:<id>:` it sees them as well. */
const RESERVED_SESSION = /^(?:agent:[^:]*:)?(?:subagent|cron|acp):/;

/**
 * @param digest SHA-256 of a token, 64 hex digits
 * @returns the name by which logs and commands call the token
 */
export function tokenId(digest: string): string {
  return digest.slice(0, 12);
}

/** What a caller is judged by beside its own keys. */
export interface CallerContext {
  /** The limits of a caller without its own. */
  readonly limits: CallerLimits;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** How the gateway authenticates the shim, where that is known. */
  readonly mode?: GatewayAuth['mode'] | undefined;
}

/**
 * @param raw `callers:`
 * @param context standard limits and the time
 * @param report gets what is wrong
 * @returns the callers, in their order
 */
export function buildCallers(
  raw: NonNullable<Sound<RawConfig>['callers']>,
  context: CallerContext,
  report: Report,
): Caller[] {
  const callers = raw.flatMap((caller, index) =>
    caller ? [buildCaller(caller, context, ['callers', index], report)] : [],
  );
  refuseTwins(raw, report);
  refuseSharedHashes(raw, report);
  refuseSharedCertificates(raw, report);
  refuseNestedPrefixes(raw, report);
  return callers;
}

/**
 * @param raw one of `callers`, or what callers have in common
 * @param context standard limits, the time, and the mode of the gateway
 * @param path where it stands
 * @param report gets what is wrong
 * @returns the caller; without a name where there is none
 */
export function buildCaller(raw: RawCaller, context: CallerContext, path: Path, report: Report): Caller {
  const { agent, sessionPrefix } = raw;
  const allowHeaders = [...new Set((raw.allowHeaders ?? []).flatMap((name) => (name ? [fullHeader(name)] : [])))];
  if (sessionPrefix !== undefined && RESERVED_SESSION.test(sessionPrefix)) {
    report.error([...path, 'sessionPrefix'], 'subagent:, cron: and acp: are reserved by the gateway for its own runs');
  }
  // The gateway takes the agent of a run from the session key first, and from the agent header only then.
  if (agent !== undefined && sessionPrefix !== undefined && !sessionPrefix.startsWith(`agent:${agent}:`)) {
    report.error(
      [...path, 'sessionPrefix'],
      `with agent "${agent}" it must begin with "agent:${agent}:": the gateway takes the agent from the session key first`,
    );
  }
  if (agent !== undefined && sessionPrefix === undefined && allowHeaders.includes('x-openclaw-session-key')) {
    report.error(
      [...path, 'allowHeaders'],
      `a session key can name any agent: with agent "${agent}" it needs a sessionPrefix that begins with "agent:${agent}:"`,
    );
  }
  if (raw.tools !== undefined && (agent !== undefined || sessionPrefix !== undefined)) {
    report.error(
      [...path, 'tools'],
      `a caller with ${agent === undefined ? 'sessionPrefix' : 'agent'} cannot have tools: a tool call names its own agent and session`,
      'key',
    );
  }
  const methods = buildMethods(raw);
  checkSocket(raw, context, path, report);
  if (raw.onBehalf) checkOnBehalf(raw, path, report);
  const certificates = raw.certificates && buildCertificates(raw.certificates, [...path, 'certificates'], report);
  const limits = buildCallerLimits(raw.limits, context.limits, [...path, 'limits'], report);
  const reportOnlyUntil = buildReportOnly(raw.unsafeReportOnly, context.now, path, report);
  return {
    name: raw.name ?? '',
    tokens: (raw.tokens ?? []).flatMap((token, index) =>
      token ? [buildToken(token, [...path, 'tokens', index], report)] : [],
    ),
    ...(certificates && { certificates }),
    ...(raw.onBehalf && { onBehalf: true }),
    scopes: [...new Set((raw.scopes ?? []).flatMap((scope) => (scope ? [scope] : [])))],
    allowHeaders,
    onForbiddenHeader: raw.onForbiddenHeader ?? (raw.onBehalf ? 'refuse' : 'drop'),
    ...(agent !== undefined && { agent }),
    ...(sessionPrefix !== undefined && { sessionPrefix }),
    ...(raw.tools && { tools: [...new Set(raw.tools.flatMap((tool) => (tool ? [tool] : [])))] }),
    ...(raw.from && { from: buildRanges(raw.from, [...path, 'from'], 'it narrows nothing', report) }),
    ...(reportOnlyUntil !== undefined && { reportOnlyUntil }),
    ...(raw.websocket !== undefined && raw.websocket !== 'off' && { websocket: raw.websocket }),
    ...(methods && { methods }),
    ...(Object.keys(limits).length > 0 && { limits }),
  };
}

function buildMethods({ allowMethods, denyMethods }: RawCaller): MethodPolicy | undefined {
  if (allowMethods === undefined && denyMethods === undefined) return undefined;
  const sound = (names: typeof allowMethods): string[] => (names ?? []).flatMap((name) => name ?? []);
  return { ...(allowMethods && { allow: sound(allowMethods) }), deny: sound(denyMethods) };
}

/** Frames name agents, sessions and tools themselves, so that no pin of HTTP holds there. */
function checkSocket(raw: RawCaller, context: CallerContext, path: Path, report: Report): void {
  const mode = raw.websocket ?? 'off';
  const policies = (['allowMethods', 'denyMethods'] as const).filter((key) => raw[key] !== undefined);
  const pins = (['agent', 'sessionPrefix', 'tools'] as const).filter((key) => raw[key] !== undefined);
  if (mode === 'off') {
    for (const key of policies)
      report.error([...path, key], 'only a caller with "websocket: relay" sends methods', 'key');
  } else {
    for (const key of pins)
      report.error([...path, key], `a caller with a WebSocket cannot have ${key}: its frames name their own`, 'key');
  }
  if (mode !== 'tunnel') {
    if (raw.unsafeTunnel) report.error([...path, 'unsafeTunnel'], 'this caller has no "websocket: tunnel"', 'key');
    return;
  }
  if (context.mode === 'shim') {
    report.error(
      [...path, 'websocket'],
      'gateway.auth.mode is "shim": what a client signs in a tunnel is for the gateway itself, so use relay',
    );
  }
  for (const key of policies)
    report.error([...path, key], 'the frames of a tunnel are not read: use "websocket: relay"', 'key');
  if (!raw.unsafeTunnel) {
    report.error([...path, 'websocket'], 'in a tunnel the shim enforces nothing: set unsafeTunnel: true, or use relay');
  }
  // A name that is none is told where it stands.
  if (!raw.scopes?.some((scope) => scope === undefined || scope === 'operator.admin')) {
    report.error([...path, 'scopes'], 'a tunnel can ask the gateway for every scope: it needs operator.admin');
  }
}

/** It has an end that is near, so that nobody forgets it. */
function buildReportOnly(
  raw: RawCaller['unsafeReportOnly'],
  now: number,
  path: Path,
  report: Report,
): number | undefined {
  if (raw?.until === undefined) return undefined;
  const at = [...path, 'unsafeReportOnly', 'until'];
  const until = parseInstant(raw.until, 'end');
  if (until === undefined) report.error(at, DATE_WORDS);
  else if (until > now + LONGEST_REPORT_ONLY) report.error(at, 'expected a day within the next 30');
  return until;
}

function fullHeader(name: string): CallerHeader {
  // The shape lets only these and their short forms pass.
  return CALLER_HEADERS.find((header) => header === name || header === `x-openclaw-${name}`) as CallerHeader;
}

function buildToken(raw: RawToken, path: Path, report: Report): Token {
  const hash = raw.hash?.slice(PREFIX.length) ?? '';
  if (isPlaceholderHash(hash)) {
    report.error([...path, 'hash'], 'this is the hash of a placeholder that everybody can guess: mint a token');
  }
  const notBefore = instant(raw, 'notBefore', path, report);
  const expires = instant(raw, 'expires', path, report);
  if (notBefore !== undefined && expires !== undefined && notBefore >= expires) {
    report.error([...path, 'expires'], 'the token expires before notBefore lets it begin');
  }
  return {
    hash,
    id: tokenId(hash),
    ...(notBefore !== undefined && { notBefore }),
    ...(expires !== undefined && { expires }),
  };
}

function instant(raw: RawToken, key: 'expires' | 'notBefore', path: Path, report: Report): number | undefined {
  const text = raw[key];
  if (text === undefined) return undefined;
  const at = parseInstant(text, key === 'expires' ? 'end' : 'start');
  if (at === undefined) {
    report.error([...path, key], DATE_WORDS);
  }
  return at;
}

/** Names are compared without case: logs, files and people do not all keep it. */
function refuseTwins(raw: readonly (RawCaller | undefined)[], report: Report): void {
  const seen = new Map<string, string>();
  for (const [index, caller] of raw.entries()) {
    if (caller?.name === undefined) continue;
    const folded = caller.name.toLowerCase();
    const twin = seen.get(folded);
    if (twin !== undefined) {
      const words = twin === caller.name ? 'is listed twice' : `differs from "${twin}" only in case`;
      report.error(['callers', index, 'name'], `the caller "${caller.name}" ${words}`);
    }
    seen.set(folded, twin ?? caller.name);
  }
}

function refuseSharedHashes(raw: readonly (RawCaller | undefined)[], report: Report): void {
  const owners = new Map<string, string>();
  for (const [index, caller] of raw.entries()) {
    for (const [position, token] of (caller?.tokens ?? []).entries()) {
      if (token?.hash === undefined) continue;
      const owner = owners.get(token.hash);
      if (owner !== undefined) {
        report.error(['callers', index, 'tokens', position, 'hash'], `this token is listed already, by ${owner}`);
      }
      owners.set(token.hash, owner ?? `"${caller?.name ?? `callers[${index}]`}"`);
    }
  }
}

/** A caller whose prefix begins with another's could be reached by the other. */
function refuseNestedPrefixes(raw: readonly (RawCaller | undefined)[], report: Report): void {
  for (const [index, inner] of raw.entries()) {
    const prefix = inner?.sessionPrefix;
    if (prefix === undefined) continue;
    for (const [other, outer] of raw.entries()) {
      if (outer?.sessionPrefix === undefined || other === index || !reaches(outer.sessionPrefix, prefix)) continue;
      // Two prefixes for the same sessions are one fault, told at the later.
      if (other > index && reaches(prefix, outer.sessionPrefix)) continue;
      report.error(
        ['callers', index, 'sessionPrefix'],
        `"${inner?.name ?? ''}" begins with the prefix of "${outer.name ?? ''}", who could use its sessions`,
      );
    }
  }
}

/**
 * Whether a session of one prefix can be a session of the other. The gateway keeps a key without an agent under its
 * default agent: `web:1` is `agent:main:web:1`, where `main` may have any name.
 */
export function reaches(outer: string, inner: string): boolean {
  if (inner.startsWith(outer)) return true;
  const withoutAgent = (prefix: string): string => prefix.replace(/^agent:[^:]*:/, '');
  const oneNamesAgent = (outer === withoutAgent(outer)) !== (inner === withoutAgent(inner));
  return oneNamesAgent && withoutAgent(inner).startsWith(withoutAgent(outer));
}
