/** The records of the audit, and how each is written as a line. */
import { hash } from 'node:crypto';
import { ERRORS, type ErrorCode } from '../errors.ts';
import type { Scope } from '../types.ts';
import type { EndReason, SocketRecord } from './log.ts';
import type { Usage } from './usage.ts';

/** The part of the gate that a refusal comes from. */
export type Rule =
  | 'framing'
  | 'host'
  | 'origin'
  | 'credential'
  | 'route'
  | 'scope'
  | 'header'
  | 'session'
  | 'tools'
  | 'body'
  | 'limits'
  | 'audit'
  | 'drain'
  | 'gateway'
  | 'shim';

const RULES: Readonly<Record<ErrorCode, Rule>> = {
  bad_request: 'framing',
  header_not_allowed: 'header',
  missing_token: 'credential',
  invalid_token: 'credential',
  expired_token: 'credential',
  not_yet_valid_token: 'credential',
  invalid_certificate: 'credential',
  expired_certificate: 'credential',
  insufficient_scope: 'scope',
  origin_not_allowed: 'origin',
  session_not_allowed: 'session',
  tool_not_allowed: 'tools',
  route_not_exposed: 'route',
  method_not_allowed: 'route',
  request_timeout: 'framing',
  body_too_large: 'body',
  expectation_failed: 'framing',
  host_not_allowed: 'host',
  upgrade_required: 'route',
  rate_limited: 'limits',
  quota_exceeded: 'limits',
  too_many_streams: 'limits',
  too_many_sockets: 'limits',
  headers_too_large: 'framing',
  internal_error: 'shim',
  gateway_unreachable: 'gateway',
  gateway_bad_response: 'gateway',
  gateway_refused: 'gateway',
  identity_unavailable: 'credential',
  limits_unavailable: 'limits',
  audit_unavailable: 'audit',
  shutting_down: 'drain',
  gateway_timeout: 'gateway',
};

/** What every record of a request has. */
interface OfRequest {
  /** The request id: `x-request-id` of the answer. */
  readonly id: string;
  readonly caller?: string | undefined;
  /** Id of the token, never the token; that of the certificate where no token was shown. */
  readonly credential?: string | undefined;
  /** Named as OpenTelemetry names it in logs of other formats. */
  readonly trace_id?: string | undefined;
}

/** What was decided of a request. Time, status and rule are added: the one by the clock, the others by the code. */
export interface DecisionRecord extends OfRequest {
  readonly event: 'decision';
  readonly method: string;
  /** Template of the route. */
  readonly route?: string | undefined;
  /** Only without a route; without its query. */
  readonly path?: string | undefined;
  /** The agent that the run goes to, where a header or the caller's pin names it. */
  readonly agent?: string | undefined;
  /** What `sessionId` makes of the session key. */
  readonly session?: string | undefined;
  /** What the caller was granted. */
  readonly scopes?: readonly Scope[] | undefined;
  /** What the route asks for. */
  readonly needs?: Scope | undefined;
  /** `would_refuse`: forwarded all the same, since the policy only reports. */
  readonly decision: 'forward' | 'refuse' | 'would_refuse' | 'preflight' | 'metadata';
  readonly code?: ErrorCode | undefined;
  readonly peer?: string | undefined;
}

/** What became of the first frame of a WebSocket. */
export interface ConnectRecord extends OfRequest {
  readonly event: 'connect';
  /** The scopes that the frame names; `undefined` where it names none and so asks for all. */
  readonly asked?: readonly Scope[] | undefined;
  /** The scopes that the gateway was asked for. */
  readonly scopes?: readonly Scope[] | undefined;
  /** Id of the device that the gateway knows the caller by. */
  readonly device?: string | undefined;
  readonly decision: 'forward' | 'refuse';
  /** Of the shim's table, or the gateway's own. */
  readonly code?: string | undefined;
  readonly peer?: string | undefined;
}

/** How it ended. Times in milliseconds, sizes in bytes. */
export interface EndRecord extends OfRequest {
  readonly event: 'end';
  readonly method: string;
  readonly route?: string | undefined;
  /** What the caller got; 0 where nothing was answered. */
  readonly status: number;
  /** Error code of the shim's own answer. */
  readonly code?: ErrorCode | undefined;
  readonly reason?: string | undefined;
  readonly ms: number;
  readonly ttfb?: number | undefined;
  readonly in: number;
  readonly out: number;
  readonly usage?: Usage | undefined;
  readonly socket?: SocketRecord | undefined;
  readonly end: EndReason;
}

/** Lines that were dropped just before this one. */
export interface GapRecord {
  readonly event: 'gap';
  readonly dropped: number;
}

export type AuditRecord = DecisionRecord | ConnectRecord | EndRecord | GapRecord;

/** What callers choose is cut to this many characters. */
const MOST_TEXT = 200;
/** 64 bits: enough to tell the sessions of one shim apart. */
const SESSION_DIGITS = 16;

/**
 * The same key has the same id on every machine and after every start, so that an operator can look for a session
 * whose key they know. It is a name, no secret: a key that can be guessed can be confirmed.
 *
 * @param key the session key as the gateway gets it
 * @returns the first 16 hex digits of its SHA-256
 */
export function sessionId(key: string): string {
  return hash('sha256', key, 'hex').slice(0, SESSION_DIGITS);
}

/**
 * @param record what happened
 * @param time milliseconds since the epoch
 * @returns one line of JSON with its newline. Control characters are escaped; the order of the keys is fixed; what is
 *   undefined is left out
 */
export function formatRecord(record: AuditRecord, time: number): string {
  return `${JSON.stringify(lineOf(record, isoTime(time)))}\n`;
}

function lineOf(record: AuditRecord, time: string): object {
  const { event } = record;
  switch (event) {
    case 'decision': {
      const { code, decision } = record;
      return {
        event,
        time,
        id: record.id,
        caller: record.caller,
        credential: record.credential,
        method: record.method,
        route: record.route,
        path: record.path?.slice(0, MOST_TEXT),
        agent: record.agent?.slice(0, MOST_TEXT),
        session: record.session,
        scopes: record.scopes,
        needs: record.needs,
        decision,
        status: code && decision === 'refuse' ? ERRORS[code].status : undefined,
        code,
        rule: code && RULES[code],
        peer: record.peer,
        trace_id: record.trace_id,
      };
    }
    case 'connect':
      return {
        event,
        time,
        id: record.id,
        caller: record.caller,
        credential: record.credential,
        asked: record.asked,
        scopes: record.scopes,
        device: record.device,
        decision: record.decision,
        code: record.code?.slice(0, MOST_TEXT),
        peer: record.peer,
        trace_id: record.trace_id,
      };
    case 'end':
      return {
        event,
        time,
        id: record.id,
        caller: record.caller,
        credential: record.credential,
        method: record.method,
        route: record.route,
        status: record.status,
        code: record.code,
        reason: record.reason?.slice(0, MOST_TEXT),
        ms: record.ms,
        ttfb: record.ttfb,
        in: record.in,
        out: record.out,
        usage: record.usage,
        socket: record.socket,
        end: record.end,
        trace_id: record.trace_id,
      };
    case 'gap':
      return { event, time, dropped: record.dropped };
  }
}

let millisecond = 0;
let written = '';

/** Writing a date costs as much as the rest of a line; many lines share a millisecond. */
function isoTime(now: number): string {
  if (now !== millisecond) {
    millisecond = now;
    written = new Date(now).toISOString();
  }
  return written;
}
