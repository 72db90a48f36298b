/** Admission: has the caller room for one more request? */
import RateLimiterMemory from 'rate-limiter-flexible/lib/RateLimiterMemory.js';
import type { LimitStore } from '../config/config.ts';
import { refuse, type Refusal } from '../errors.ts';
import type { Logger } from '../observe/log.ts';
import { createFailedLogins, type FailedLogins } from './failed-logins.ts';
import { createCountedNames } from './names.ts';
import { ANSWER_MS, connectStore } from './store.ts';
import { createWindows, refuseLimit, spend, type LimitPolicy } from './windows.ts';

export type { LimitPolicy };

/** The request may go on. */
export interface Admitted {
  readonly kind: 'admitted';
  /** `ratelimit-limit`, `ratelimit-remaining` and `ratelimit-reset`, names and values alternating; empty without one. */
  readonly headers: readonly string[];
  /** To be called at the end of the request; a second call does nothing. */
  readonly release: () => void;
}

export interface Limiter {
  /**
   * @param caller name of the caller: what was counted stays with it when the configuration changes
   * @param policy its limits at this moment
   * @param kind what it takes the place of while it is open: a request, or a WebSocket
   * @returns at once, where neither a minute nor a day is limited. It never rejects for a store that fails
   */
  admit(
    caller: string,
    policy: LimitPolicy,
    kind?: 'stream' | 'socket',
  ): Admitted | Refusal | Promise<Admitted | Refusal>;
  readonly failedLogin: FailedLogins['count'];
  readonly unanswered: FailedLogins['unanswered'];
  readonly failsTooOften: FailedLogins['tooMany'];
  /** Whether the shared store answers; also true without one. */
  readonly storeUp: boolean;
  /** Requests so far that the shared store should have counted and did not. */
  readonly withoutStore: number;
  /** Ends the connection to the store. */
  close(): Promise<void>;
}

/** For where nothing is forwarded: it counts nothing. */
export const UNLIMITED: Pick<Limiter, 'admit' | 'failedLogin' | 'unanswered' | 'failsTooOften'> = {
  admit: () => ({ kind: 'admitted', headers: [], release: () => undefined }),
  failedLogin: () => undefined,
  unanswered: () => undefined,
  failsTooOften: () => undefined,
};

/** Seconds after which it is worth trying again, when it is not known when a request ends. */
const STREAM_RETRY = 1;
const CONSEQUENCE = {
  local: 'each replica counts alone',
  refuse: 'callers with a limit by minute or day are refused',
} as const;

/**
 * @param store where all replicas count together; `undefined` for this process alone
 * @param logger is told when the store goes and when it is back
 * @param patience milliseconds that the store may take for an answer
 * @returns the limiter; it starts whether the store can be reached or not
 */
export async function createLimiter(
  store: LimitStore | undefined,
  logger: Pick<Logger, 'info' | 'warn'>,
  patience = ANSWER_MS,
): Promise<Limiter> {
  const shared = store && (await connectStore(store.redis, CONSEQUENCE[store.onFailure], logger, patience));
  const local = createWindows((options) => new RateLimiterMemory(options));
  // Counted for callers without a limit too: one that is set later sees what is open then.
  const open = { stream: new Map<string, number>(), socket: new Map<string, number>() };
  const countedName = createCountedNames();
  const failedLogins = createFailedLogins();
  let withoutStore = 0;

  const count = async (caller: string, policy: LimitPolicy): Promise<readonly string[] | Refusal> => {
    if (shared === undefined) return spend(local, caller, policy);
    const answer = await shared.ask((windows) => spend(windows, caller, policy));
    if (answer !== undefined) return answer;
    withoutStore++;
    return store?.onFailure === 'refuse' ? refuse('limits_unavailable') : spend(local, caller, policy);
  };
  const decide = async (caller: string, policy: LimitPolicy, release: () => void): Promise<Admitted | Refusal> => {
    const answer = await count(caller, policy);
    if (!('kind' in answer)) return { kind: 'admitted', headers: answer, release };
    release();
    return answer;
  };

  return {
    admit(name, policy, kind = 'stream') {
      const caller = countedName(name);
      const taken = open[kind].get(caller) ?? 0;
      const limit = policy[`${kind}s`];
      if (limit !== undefined && taken >= limit) {
        const standing = { limit, remaining: 0, reset: STREAM_RETRY };
        const what = kind === 'socket' ? 'WebSockets' : 'requests';
        return refuseLimit(`too_many_${kind}s`, standing, `At most ${limit} ${what} open at once.`);
      }
      open[kind].set(caller, taken + 1);
      const release = releaseOnce(open[kind], caller);
      if (policy.requestsPerMinute === undefined && policy.requestsPerDay === undefined) {
        return { kind: 'admitted', headers: [], release };
      }
      return decide(caller, policy, release);
    },
    failedLogin: failedLogins.count,
    unanswered: failedLogins.unanswered,
    failsTooOften: failedLogins.tooMany,
    get storeUp() {
      return shared?.up ?? true;
    },
    get withoutStore() {
      return withoutStore;
    },
    async close() {
      await shared?.close();
    },
  };
}

function releaseOnce(open: Map<string, number>, caller: string): () => void {
  let held = true;
  return () => {
    if (!held) return;
    held = false;
    const left = (open.get(caller) ?? 1) - 1;
    if (left > 0) open.set(caller, left);
    else open.delete(caller);
  };
}
