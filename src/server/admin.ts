/** The admin listener: whether the shim lives and is ready. Never on the public listener. */
import type { Server } from 'node:http';
import type { GatewayPool } from '../gateway/pool.ts';
import { createServer } from '../proxy/node-http.ts';

/** The gateway's health answer is asked again after this long at most. */
const HEALTH_MS = 5_000;

/** What the admin listener can ask. */
export interface AdminParts {
  readonly pool: GatewayPool;
  /** Whether the public listener accepts requests. */
  readonly listening: () => boolean;
}

/**
 * `/livez`: the process answers. `/readyz`: the listener is up, and the gateway answered its health route.
 *
 * @param parts what readiness is made of
 * @returns Node's HTTP server, not listening yet
 */
export function createAdminListener(parts: AdminParts): Server {
  return createServer((req, res) => {
    const answer = (status: number, text: string): void => {
      res.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' });
      res.end(req.method === 'HEAD' ? undefined : `${text}\n`);
    };
    if (!isLocalHost(req.headers.host)) answer(421, 'this host name is not served here');
    else if (req.method !== 'GET' && req.method !== 'HEAD') answer(405, 'only GET and HEAD');
    else if (req.url === '/livez') answer(200, 'ok');
    else if (req.url !== '/readyz') answer(404, 'not found');
    else if (!parts.listening()) answer(503, 'the listener is not up');
    else
      void gatewayHealthy(parts.pool).then((healthy) =>
        answer(healthy ? 200 : 503, healthy ? 'ok' : 'the gateway does not answer its health route'),
      );
  });
}

/** Against DNS rebinding: a web page cannot name a loopback host in `Host`. */
function isLocalHost(host: string | undefined): boolean {
  return host !== undefined && /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?$/i.test(host);
}

function gatewayHealthy(pool: GatewayPool): Promise<boolean> {
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
      { path: '/healthz', method: 'GET', headers: ['x-openclaw-scopes', ''] },
      {
        onRequestStart: (controller) => {
          abort = () => controller.abort(new Error('the health answer took too long'));
        },
        onResponseStart: (_controller, status) => {
          healthy = status === 200;
        },
        onResponseData: () => undefined,
        onResponseEnd: () => settle(healthy),
        onResponseError: () => settle(false),
      },
    );
  });
}
