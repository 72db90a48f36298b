/** The listener of the probes: for the kubelet, which comes from outside the pod, so it tells a status and no more. */
import type { Server } from 'node:http';
import { createServer } from '../proxy/node-http.ts';
import { isHealthPath } from './admin.ts';
import type { Health } from './health.ts';
import { createRoom } from './room.ts';

/** A kubelet and a load balancer need a few; anybody can reach it, and shall not take the descriptors of callers. */
const CONNECTIONS = 64;
const HEADERS_MS = 5_000;

/**
 * @param health what it asks
 * @returns Node's HTTP server, not listening yet: 200 or 503 on a path of health, else 404, without a body
 */
export function createProbesListener(health: Health): Server {
  const server = createServer(
    {
      headersTimeout: HEADERS_MS,
      requestTimeout: HEADERS_MS,
      // Node looks every 30 s otherwise, and so long could silent peers keep a kubelet out.
      connectionsCheckingInterval: 1_000,
      maxHeaderSize: 4_096,
      requireHostHeader: false,
    },
    (req, res) => {
      const answer = (status: number): void => {
        res.writeHead(status, { 'content-length': 0, 'cache-control': 'no-store', connection: 'close' });
        res.end();
      };
      const path = req.url ?? '';
      if (req.method !== 'GET' && req.method !== 'HEAD') answer(405);
      else if (!isHealthPath(path)) answer(404);
      else void health(path).then((checks) => answer(checks.every(({ ok }) => ok) ? 200 : 503));
    },
  );
  // The newest is the kubelet's as likely as not; the oldest had its time.
  createRoom(server, CONNECTIONS);
  return server;
}
