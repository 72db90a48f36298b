/** Requests of a caller in windows of time, and whether one more fits. Where they are counted is not known here. */
import type { RateLimiterAbstract } from 'rate-limiter-flexible';
import { refuse, type ErrorCode, type Refusal } from '../errors.ts';
import type { CallerLimits } from '../types.ts';

/** What a limiter has to know of the limits of a caller; what is not there is not limited. */
export type LimitPolicy = Omit<CallerLimits, 'body'>;

/** A window begins with the first request in it, and has these lengths in seconds. */
const SECONDS = { minute: 60, burst: 600, day: 86_400 } as const;

/**
 * Nothing is taken back from a window that ends this soon: it may have ended when the store gets to it, and the next one
 * would begin below zero.
 */
const LAST_MS = 1_000;

/** A counter for each window. Its numbers of points mean nothing: the limits come with each request. */
export type Windows = Readonly<Record<keyof typeof SECONDS, RateLimiterAbstract>>;

/**
 * @param make makes the counter of one window
 * @returns all of them
 */
export function createWindows(
  make: (options: {
    readonly keyPrefix: string;
    readonly points: number;
    readonly duration: number;
  }) => RateLimiterAbstract,
): Windows {
  const window = (name: keyof typeof SECONDS): RateLimiterAbstract =>
    make({ keyPrefix: `auth-shim:${name}`, points: 1, duration: SECONDS[name] });
  return { minute: window('minute'), burst: window('burst'), day: window('day') };
}

/** One limit as it stands after a request. */
interface Standing {
  readonly limit: number;
  readonly remaining: number;
  /** Seconds until the window ends. */
  readonly reset: number;
}

/**
 * Counts a request in each window that the caller has a limit for. One that is refused is taken back from all of
 * them, so that a limit that is raised is not used up already.
 *
 * @param windows where to count
 * @param caller name of the caller
 * @param policy its limits
 * @returns the headers of the answer, or the refusal
 * @throws what the counters throw
 */
export async function spend(
  windows: Windows,
  caller: string,
  policy: LimitPolicy,
): Promise<readonly string[] | Refusal> {
  const { requestsPerMinute, burst, requestsPerDay } = policy;
  const taken: RateLimiterAbstract[] = [];
  const take = async (name: keyof Windows, limit: number): Promise<Standing & { readonly fits: boolean }> => {
    const { consumedPoints, msBeforeNext } = await windows[name].penalty(caller);
    if (msBeforeNext > LAST_MS) taken.push(windows[name]);
    const seconds = Math.ceil(msBeforeNext / 1000);
    return {
      limit,
      fits: consumedPoints <= limit,
      remaining: Math.min(Math.max(limit - consumedPoints, 0), limit),
      // The counters in memory end by a timer and tell the rest by the clock, which may have been set back since.
      // Nor is a store believed that says what cannot be.
      reset: seconds <= SECONDS[name] ? Math.max(seconds, 1) : SECONDS[name],
    };
  };
  const giveBack = async (code: ErrorCode, standing: Standing, message: string): Promise<Refusal> => {
    await Promise.all(taken.map((window) => window.reward(caller)));
    return refuseLimit(code, standing, message);
  };

  let standing: Standing | undefined;
  if (requestsPerMinute !== undefined) {
    const minute = await take('minute', requestsPerMinute);
    if (!minute.fits) {
      const more = burst === undefined ? undefined : await take('burst', burst);
      if (more?.fits !== true) {
        const reset = Math.min(minute.reset, more?.reset ?? minute.reset);
        const words = burst === undefined ? '' : ` and ${burst} more in ten minutes`;
        return giveBack(
          'rate_limited',
          { ...minute, reset },
          `At most ${requestsPerMinute} requests a minute${words}.`,
        );
      }
    }
    standing = minute;
  }
  if (requestsPerDay !== undefined) {
    const day = await take('day', requestsPerDay);
    if (!day.fits) return giveBack('quota_exceeded', day, `At most ${requestsPerDay} requests in 24 hours.`);
    if (standing === undefined || day.remaining < standing.remaining) standing = day;
  }
  return standing === undefined ? [] : limitHeaders(standing);
}

/**
 * @param code row of the error table
 * @param standing the limit that was reached
 * @param message the words for the caller
 * @returns the refusal, with the headers and the time to wait
 */
export function refuseLimit(code: ErrorCode, standing: Standing, message: string): Refusal {
  return refuse(code, { message, retryAfter: standing.reset, headers: limitHeaders({ ...standing, remaining: 0 }) });
}

/** The fields of draft-ietf-httpapi-ratelimit-headers-06, for the limit that is nearest. */
function limitHeaders({ limit, remaining, reset }: Standing): string[] {
  return ['ratelimit-limit', String(limit), 'ratelimit-remaining', String(remaining), 'ratelimit-reset', String(reset)];
}
