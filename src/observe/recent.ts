/** What the status page tells of requests that are over. Kept in memory, in bounded room, and only where it is asked for. */
import type { ErrorCode } from '../errors.ts';
import { LastHour, type HourView } from './last-hour.ts';
import type { EndReason, RequestRecord } from './log.ts';

export const MOST_REFUSALS = 50;
/** Issuers can name ever new ones; then the one that was away the longest is forgotten. */
export const MOST_CALLERS = 500;
const MINUTE_MS = 60_000;
/** Whoever makes the reason: a row is no page. */
const MOST_TEXT = 300;
/** What a release is called; the gateway chooses the text. */
const RELEASE = /^[\w.+-]{1,40}$/;
/** Not a caller's doing, after an answer had begun. */
const BROKEN: ReadonlySet<EndReason> = new Set(['gateway_gone', 'gateway_idle', 'error']);

/** An answer of the shim's own, as the log has it; the same one after another are one. */
export interface RecentRefusal {
  /** Of the last, milliseconds since the epoch. */
  readonly at: number;
  readonly times: number;
  /** Of the last. */
  readonly id: string;
  readonly status: number;
  readonly code: ErrorCode;
  readonly caller: string | undefined;
  readonly method: string;
  /** Template of the route, or the path of a request without one. */
  readonly route: string | undefined;
  readonly reason: string | undefined;
}

/** One caller since the start. */
export interface RecentCaller {
  /** When a request of it was last over, milliseconds since the epoch. */
  readonly seenMs: number;
  /** About: of the last sixty seconds. */
  readonly perMinute: number;
  readonly requests: number;
  /** Refused, answered with 400 or above, or broken off by the gateway or the shim. */
  readonly failed: number;
}

interface Seen {
  seenMs: number;
  minute: number;
  current: number;
  previous: number;
  requests: number;
  failed: number;
}

/** The release that the gateway told of itself, and when. */
export interface ToldRelease {
  readonly version: string;
  readonly at: number;
}

type Finished = Pick<
  RequestRecord,
  'id' | 'caller' | 'method' | 'route' | 'path' | 'status' | 'reason' | 'ttfb' | 'end' | 'socket'
> & { readonly code?: string | undefined };

/** The recent past. */
export class Recent {
  readonly #now: () => number;
  readonly #hour = new LastHour();
  readonly #callers = new Map<string, Seen>();
  readonly #refusals: RecentRefusal[] = [];
  #release: ToldRelease | undefined;

  /** @param now milliseconds since the epoch */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * @param record of a request that is over
   * @param forwarded whether the gateway was asked: how long others took says nothing
   */
  finished(record: Finished, forwarded: boolean): void {
    const { caller, code, status, socket } = record;
    const now = this.#now();
    this.#hour.add(now, code !== undefined, forwarded && !socket && status !== 0 ? record.ttfb : undefined);
    if (caller !== undefined) this.#count(caller, now, code !== undefined || status >= 400 || isBroken(record));
    if (code === undefined) return;
    const refusal = {
      at: now,
      times: 1,
      id: record.id,
      status,
      code: code as ErrorCode,
      caller,
      method: record.method,
      route: record.route ?? record.path,
      reason: record.reason?.slice(0, MOST_TEXT),
    };
    const last = this.#refusals.at(-1);
    if (last && isSame(last, refusal)) {
      this.#refusals[this.#refusals.length - 1] = { ...refusal, times: last.times + 1 };
      return;
    }
    if (this.#refusals.length === MOST_REFUSALS) this.#refusals.shift();
    this.#refusals.push(refusal);
  }

  /** @param version as the gateway's first frame has it: anything */
  gatewayTold(version: unknown): void {
    if (typeof version === 'string' && RELEASE.test(version)) this.#release = { version, at: this.#now() };
  }

  /** Another gateway: what the one before told is not its. */
  gatewayChanged(): void {
    this.#release = undefined;
  }

  get release(): ToldRelease | undefined {
    return this.#release;
  }

  /** @returns the last 50 that differ from the one before, the newest first */
  refusals(): RecentRefusal[] {
    return this.#refusals.toReversed();
  }

  /** @returns by name; those that were never seen, or not for long, are not there */
  callers(): Map<string, RecentCaller> {
    const now = this.#now();
    return new Map(
      [...this.#callers].map(([name, seen]) => {
        const { seenMs, requests, failed } = seen;
        return [name, { seenMs, requests, failed, perMinute: Math.round(perMinute(seen, now)) }];
      }),
    );
  }

  hour(): HourView {
    return this.#hour.read(this.#now());
  }

  #count(name: string, now: number, failed: boolean): void {
    const seen = this.#callers.get(name) ?? this.#add(name);
    const minute = Math.floor(now / MINUTE_MS);
    if (minute !== seen.minute) {
      seen.previous = minute === seen.minute + 1 ? seen.current : 0;
      seen.current = 0;
      seen.minute = minute;
    }
    seen.seenMs = now;
    seen.current += 1;
    seen.requests += 1;
    if (failed) seen.failed += 1;
  }

  #add(name: string): Seen {
    if (this.#callers.size >= MOST_CALLERS) {
      const [[oldest]] = [...this.#callers].sort(([, one], [, other]) => one.seenMs - other.seenMs) as [[string, Seen]];
      this.#callers.delete(oldest);
    }
    const seen = { seenMs: 0, minute: 0, current: 0, previous: 0, requests: 0, failed: 0 };
    this.#callers.set(name, seen);
    return seen;
  }
}

function isSame(one: RecentRefusal, other: RecentRefusal): boolean {
  return (['code', 'caller', 'method', 'route', 'reason'] as const).every((key) => one[key] === other[key]);
}

/** The minute before counts as far as it lies within the last sixty seconds. */
function perMinute({ minute, current, previous }: Seen, now: number): number {
  const behind = Math.floor(now / MINUTE_MS) - minute;
  const left = 1 - (now % MINUTE_MS) / MINUTE_MS;
  if (behind === 0) return current + previous * left;
  return behind === 1 ? current * left : 0;
}

/** A WebSocket ends in one way or another. */
function isBroken({ end, socket }: Finished): boolean {
  return !socket && BROKEN.has(end);
}
