/**
 * A stand-in for the OpenClaw gateway: its authentication, scopes, routes and lifetimes by release, without
 * agents. `auth-shim demo` runs it, and the tests do; `test/gateway/` holds it against real ones.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { StandInAuth } from './admission.ts';
import { record, type Recorded, type Recording } from './record.ts';
import type { Pace } from './replies.ts';
import { answer, type StandIn } from './routes.ts';
import { RELEASES, type Release } from './rules.ts';

export type { StandInAuth } from './admission.ts';
export type { Recorded } from './record.ts';
export type { Release } from './rules.ts';

export interface StandInOptions extends Partial<Pace> {
  /** Whose rules to follow; 2026.3.28 unless told otherwise. */
  readonly release?: Release;
  readonly auth: StandInAuth;
  readonly host?: string;
  readonly port?: number;
  /** Whether the `/v1` routes are switched on, as in `gateway.http.endpoints`; on unless told otherwise. */
  readonly endpoints?: boolean;
  /** The secret of `/hooks/*`; the routes are off without it. */
  readonly hooksToken?: string;
  /** Called when the head of a request is in. */
  readonly onRequest?: (request: Recorded) => void;
}

export interface StandInGateway {
  readonly url: string;
  readonly port: number;
  /** Every request, in the order in which their heads came. */
  readonly requests: readonly Recorded[];
  /** Ends every connection. */
  close(): Promise<void>;
}

/**
 * @param options release, mode and pace; by default four pieces without delay
 * @returns the gateway, listening
 * @throws Error when the address cannot be listened on
 */
export async function startGateway(options: StandInOptions): Promise<StandInGateway> {
  const { host = '127.0.0.1', port = 0, release = '2026.3.28', auth, endpoints = true, hooksToken } = options;
  const { words = ['Hello', ' from', ' OpenClaw', '.'], chunks = words.length, chunkDelay = 0 } = options;
  const gateway: StandIn = {
    rules: RELEASES[release],
    auth,
    endpoints,
    hooksToken,
    pace: { words, chunks, chunkDelay },
  };
  const requests: Recorded[] = [];
  // 5 s is Node's default, and what real gateways have: a proxy's pooled socket must live with it.
  const server = createServer({ keepAliveTimeout: 5000 }, (req: IncomingMessage, res: ServerResponse) => {
    const recording: Recording = record(req, res);
    requests.push(recording.request);
    options.onRequest?.(recording.request);
    void answer(gateway, req, res, recording);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const { port: bound } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}`,
    port: bound,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
