/** Whether the shim has started, lives, is ready. */
import type { GatewayPool } from '../gateway/pool.ts';
import { tlsFault } from '../gateway/tls-fault.ts';
import { ON_BEHALF } from '../types.ts';

/** The gateway has this long to answer its health route. */
const HEALTH_MS = 5_000;
/** By which the next shim's log knows these questions. */
const OWN_NAME = 'auth-shim';
const SILENT = 'it does not answer its health route';

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
  /** What the last reload left to say, and certificates that have expired: a configuration runs, so that this is no fault. */
  readonly detail: () => string | undefined;
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
  let asked: Promise<string | undefined> | undefined;

  return async (path) => {
    if (path === '/livez') return [];
    const listening = parts.listening();
    started ||= listening;
    const listener: Check = { name: 'listener', ok: path === '/startupz' ? started : listening };
    if (path === '/startupz') return [listener];
    const draining = parts.draining();
    const detail = parts.detail();
    const fault = await gatewayFault();
    return [
      { name: 'configuration', ok: true, ...(detail !== undefined && { detail }) },
      listening ? listener : { ...listener, detail: 'it does not accept connections' },
      draining ? { name: 'drain', ok: false, detail: 'shutting down' } : { name: 'drain', ok: true },
      fault === undefined ? { name: 'gateway', ok: true } : { name: 'gateway', ok: false, detail: fault },
    ];
  };

  /** One question at a time for all who ask: nobody can make the shim flood the gateway. */
  function gatewayFault(): Promise<string | undefined> {
    asked ??= askGateway(parts.pool(), parts.nextIsShim()).finally(() => (asked = undefined));
    return asked;
  }
}

/**
 * Another shim that takes this one for a caller and does not open the route (`listen.health`) says 404.
 *
 * @returns what is wrong, or `undefined` where it is healthy
 */
function askGateway(pool: GatewayPool, nextIsShim: boolean): Promise<string | undefined> {
  const headers = nextIsShim ? [ON_BEHALF.caller, OWN_NAME, ON_BEHALF.scopes, ''] : ['x-openclaw-scopes', ''];
  return new Promise((resolve) => {
    let answered = 0;
    let abort: (() => void) | undefined;
    const deadline = setTimeout(() => {
      abort?.();
      resolve(SILENT);
    }, HEALTH_MS);
    const settle = (fault: string | undefined): void => {
      clearTimeout(deadline);
      resolve(fault);
    };
    pool.dispatch(
      { path: '/healthz', method: 'GET', headers },
      {
        onRequestStart: (controller) => {
          abort = () => controller.abort(new Error('the health answer took too long'));
        },
        onResponseStart: (_controller, status) => {
          answered = status;
        },
        onResponseData: () => undefined,
        onResponseEnd() {
          const healthy = answered === 200 || (nextIsShim && answered === 404);
          settle(healthy ? undefined : `its health route answers ${answered}${refused(nextIsShim, answered)}`);
        },
        onResponseError: (_controller, error) => settle(tlsFault(error)?.words ?? SILENT),
      },
    );
  });
}

/** What a caller would meet as well. */
function refused(nextIsShim: boolean, status: number): string {
  if (!nextIsShim || ![400, 401, 403, 421].includes(status)) return '';
  return ': see callers[].certificates there, with onBehalf: true, and its listen.hosts';
}
