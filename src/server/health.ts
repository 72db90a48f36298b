/** Whether the shim has started, lives, is ready. */
import type { GatewayPool } from '../gateway/pool.ts';
import { ON_BEHALF } from '../types.ts';

/** The gateway has this long to answer its health route. */
const HEALTH_MS = 5_000;
/** By which the next shim's log knows these questions. */
const OWN_NAME = 'auth-shim';

export const HEALTH_PATHS = ['/livez', '/readyz', '/startupz'] as const;

export type HealthPath = (typeof HEALTH_PATHS)[number];

/** One thing that was looked at. */
export interface Check {
  readonly name: 'configuration' | 'listener' | 'drain' | 'gateway';
  readonly ok: boolean;
  /** What is wrong, or deserves a word. */
  readonly detail?: string;
}

/** What health is made of. */
export interface HealthParts {
  readonly pool: () => GatewayPool;
  /** Whether another shim is there, and not the gateway. */
  readonly nextIsShim: () => boolean;
  /** Whether the public listener accepts connections. */
  readonly listening: () => boolean;
  readonly draining: () => boolean;
  /** What the last reload left to say: a configuration runs, so that this is no fault. */
  readonly reloadDetail: () => string | undefined;
}

/** Answers what the kubelet and its like ask. */
export type Health = (path: HealthPath) => Promise<readonly Check[]>;

/**
 * `/livez`: the process answers. `/startupz`: it has listened. `/readyz`: a configuration is loaded, the listener is
 * up and not draining, and the gateway answered its health route within 5 s.
 *
 * @param parts what it looks at
 * @returns the function that looks; everything is fine when each check is
 */
export function createHealth(parts: HealthParts): Health {
  let started = false;
  let asked: Promise<boolean> | undefined;

  return async (path) => {
    if (path === '/livez') return [];
    const listening = parts.listening();
    started ||= listening;
    const listener: Check = { name: 'listener', ok: path === '/startupz' ? started : listening };
    if (path === '/startupz') return [listener];
    const draining = parts.draining();
    const detail = parts.reloadDetail();
    return [
      { name: 'configuration', ok: true, ...(detail !== undefined && { detail }) },
      listening ? listener : { ...listener, detail: 'it does not accept connections' },
      draining ? { name: 'drain', ok: false, detail: 'shutting down' } : { name: 'drain', ok: true },
      (await gatewayAnswers())
        ? { name: 'gateway', ok: true }
        : { name: 'gateway', ok: false, detail: 'it does not answer its health route' },
    ];
  };

  /** One question at a time for all who ask: nobody can make the shim flood the gateway. */
  function gatewayAnswers(): Promise<boolean> {
    asked ??= gatewayHealthy(parts.pool(), parts.nextIsShim()).finally(() => (asked = undefined));
    return asked;
  }
}

/** Another shim that takes this one for a caller and does not open the route (`listen.health`) says 404. */
function gatewayHealthy(pool: GatewayPool, nextIsShim: boolean): Promise<boolean> {
  const headers = nextIsShim ? [ON_BEHALF.caller, OWN_NAME, ON_BEHALF.scopes, ''] : ['x-openclaw-scopes', ''];
  return new Promise((resolve) => {
    let healthy = false;
    let abort: (() => void) | undefined;
    const deadline = setTimeout(() => {
      abort?.();
      resolve(false);
    }, HEALTH_MS);
    const settle = (answer: boolean): void => {
      clearTimeout(deadline);
      resolve(answer);
    };
    pool.dispatch(
      { path: '/healthz', method: 'GET', headers },
      {
        onRequestStart: (controller) => {
          abort = () => controller.abort(new Error('the health answer took too long'));
        },
        onResponseStart: (_controller, status) => {
          healthy = status === 200 || (nextIsShim && status === 404);
        },
        onResponseData: () => undefined,
        onResponseEnd: () => settle(healthy),
        onResponseError: () => settle(false),
      },
    );
  });
}
