/** The control socket: a unix socket of mode 0600, on which the shim's own user can shut it down. */
import type { Server } from 'node:http';
import { createServer } from '../proxy/node-http.ts';

/**
 * @param shutdown begins the drain; settles when it is over
 * @returns Node's HTTP server, not listening yet. `POST /shutdown` is answered when the drain is over.
 */
export function createControlListener(shutdown: () => Promise<void>): Server {
  // Its own drain must not wait for the answer that tells of it.
  return createServer({ requestTimeout: 0 }, (req, res) => {
    if (req.url !== '/shutdown') {
      res.writeHead(404).end();
    } else if (req.method !== 'POST') {
      res.writeHead(405, { allow: 'POST' }).end();
    } else {
      void shutdown().then(() => res.writeHead(204, { connection: 'close' }).end());
    }
  });
}
