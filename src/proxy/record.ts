/** What is kept of a request: its line in the log, its records in the audit, its counts, its span. */
import type { ErrorCode } from '../errors.ts';
import type { About } from '../decision.ts';
import type { Audit } from '../observe/audit.ts';
import { sessionId, type DecisionRecord } from '../observe/audit-record.ts';
import type { RequestLog, RequestRecord, SocketRecord } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { Recent } from '../observe/recent.ts';
import type { Tracing } from '../observe/tracing.ts';
import type { Usage } from '../observe/usage.ts';
import type { Scope } from '../types.ts';

/** Who is told. */
export interface Observers extends RequestLog {
  readonly audit?: Audit | undefined;
  readonly metrics?: Metrics | undefined;
  readonly tracing?: Tracing | undefined;
  /** What is kept for the status page. */
  readonly recent?: Recent | undefined;
}

/** One request, as far as it is known before anything is decided. */
export interface Asked {
  readonly id: string;
  readonly method: string;
  readonly target: string;
}

/**
 * @param observers the audit gets the record
 * @param asked the request
 * @param about what the gate learnt of it
 * @param decision what became of it
 * @param code of the refusal
 */
export function recordDecision(
  { audit }: Observers,
  { id, method, target }: Asked,
  about: About,
  decision: DecisionRecord['decision'],
  code?: ErrorCode,
): void {
  if (!audit) return;
  const { route, sessionKey } = about;
  audit.write({
    event: 'decision',
    id,
    caller: about.caller,
    credential: credentialOf(about),
    method,
    route: route?.template,
    path: route ? undefined : pathOf(target),
    agent: about.agent === undefined ? undefined : printable(about.agent),
    session: sessionKey === undefined ? undefined : sessionId(sessionKey),
    scopes: about.scopes,
    needs: route && 'scope' in route ? route.scope : undefined,
    decision,
    code,
    peer: about.peer,
    trace_id: about.trace?.traceId,
  });
}

/** What became of the first frame of a WebSocket. */
export interface Connect {
  readonly asked?: readonly Scope[] | undefined;
  readonly scopes?: readonly Scope[] | undefined;
  readonly device?: string | undefined;
  /** Why not; `undefined` where it got through. */
  readonly code: string | undefined;
  /** What the gateway calls its release. */
  readonly release?: unknown;
}

/**
 * @param observers log, audit and metrics get what is theirs
 * @param id of the upgrade
 * @param about what the gate learnt of it
 * @param connect what became of its first frame
 */
export function recordConnect(
  { logger, audit, metrics, recent }: Observers,
  id: string,
  about: About,
  connect: Connect,
): void {
  const { asked, scopes, device } = connect;
  const code = connect.code === undefined ? undefined : printable(connect.code);
  const caller = about.caller;
  logger.info({ id, caller, asked, scopes, device, code }, code === undefined ? 'socket connected' : 'socket refused');
  metrics?.connected(code === undefined);
  recent?.gatewayTold(connect.release);
  audit?.write({
    event: 'connect',
    id,
    caller,
    credential: credentialOf(about),
    asked,
    scopes,
    device,
    decision: code === undefined ? 'forward' : 'refuse',
    code,
    peer: about.peer,
    trace_id: about.trace?.traceId,
  });
}

/** How a request ended, beyond what the gate learnt of it. */
export type End = Pick<RequestRecord, 'status' | 'ttfb' | 'ms' | 'in' | 'out' | 'end'> & {
  readonly code?: ErrorCode | undefined;
  readonly reason?: string | undefined;
  /** Whether the gateway was asked. */
  readonly forwarded: boolean;
  readonly usage?: Usage | undefined;
  readonly socket?: SocketRecord | undefined;
};

/**
 * @param observers all of them get what is theirs
 * @param asked the request
 * @param about what the gate learnt of it
 * @param end how it ended
 */
export function recordEnd(
  { request, audit, metrics, tracing, recent }: Observers,
  asked: Asked,
  about: About,
  end: End,
): void {
  const { id, method, target } = asked;
  const { forwarded, usage, code, status } = end;
  const [ms, ttfb] = [tenths(end.ms), tenths(end.ttfb)];
  const reason = end.reason === undefined ? undefined : printable(end.reason);
  // Whoever closes a socket chooses the words.
  const closeReason = end.socket?.closeReason && maskTokens(printable(end.socket.closeReason));
  const socket = end.socket && { ...end.socket, closeReason: closeReason || undefined };
  const { route, trace } = about;
  // The log leaves out what is undefined.
  const record: RequestRecord = {
    id,
    caller: about.caller,
    token: about.token?.id,
    certificate: about.certificate?.id,
    method,
    route: route?.template,
    path: route ? undefined : pathOf(target),
    peer: about.peer,
    status,
    code,
    reason,
    wouldRefuse: about.wouldRefuse,
    dropped: about.dropped?.length ? about.dropped : undefined,
    ttfb,
    ms,
    in: end.in,
    out: end.out,
    end: end.end,
    socket,
    trace: trace?.traceId,
  };
  request(code !== undefined && status >= 500 ? 'warn' : 'info', record);
  metrics?.finished(record, forwarded);
  recent?.finished(record, forwarded);
  if (trace) tracing?.finished({ trace, path: pathOf(target), record });
  if (!audit || !forwarded) return;
  audit.write({
    event: 'end',
    id,
    caller: record.caller,
    credential: credentialOf(about),
    method,
    route: record.route,
    status,
    code,
    reason,
    ms,
    ttfb,
    in: record.in,
    out: record.out,
    usage,
    socket,
    end: record.end,
    trace_id: record.trace,
  });
}

/**
 * @param target of a request
 * @returns its path, cut, with what may be a token masked; nothing of a target in another form, which can hold a
 *   credential
 */
export function pathOf(target: string): string | undefined {
  if (!target.startsWith('/')) return undefined;
  return printable(maskTokens(target.replace(/[?#].*/s, '')).slice(0, 200));
}

function credentialOf({ token, certificate }: About): string | undefined {
  return token?.id ?? certificate?.id;
}

/** @returns the text with what may be a token masked */
function maskTokens(text: string): string {
  return text.replace(/[\w.~+=-]{24,}/g, '****');
}

/** JSON escapes C0 controls alone; C1 controls and changes of direction also deceive on a terminal. */
function printable(text: string): string {
  return text.replace(UNPRINTABLE, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

const UNPRINTABLE = /[\p{Cc}\p{Cf}\u2028\u2029]/gu;

/** Milliseconds to a tenth. */
function tenths(ms: number): number {
  return Math.round(ms * 10) / 10;
}
