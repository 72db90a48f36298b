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
import type { Devices } from './devices.ts';
import type { RecordedSocket } from './record-socket.ts';
import { attachWebSockets } from './websocket.ts';

export type { StandInAuth } from './admission.ts';
export type { Device, Devices } from './devices.ts';
export type { Recorded } from './record.ts';
export type { RecordedSocket } from './record-socket.ts';
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
  /** Whether devices of this machine pair without an operator; they do unless told otherwise. */
  readonly autoApproveLocal?: boolean;
  /** Milliseconds until a WebSocket without a connect is closed; the release's own unless told otherwise. */
  readonly handshakeLimit?: number;
  /** Milliseconds between the ticks that WebSocket clients get; 30,000 unless told otherwise. */
  readonly tickInterval?: number;
  /** Called when the head of a request is in. */
  readonly onRequest?: (request: Recorded) => void;
}

export interface StandInGateway {
  readonly url: string;
  readonly port: number;
  /** Every request, in the order in which their heads came. */
  readonly requests: readonly Recorded[];
  /** Every WebSocket upgrade, in the order in which they came. */
  readonly sockets: readonly RecordedSocket[];
  /** How many WebSockets are open. */
  readonly openSockets: number;
  readonly devices: Devices;
  /** Ends every connection; WebSockets with 1012, as a restart does. */
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
  const { autoApproveLocal = true, handshakeLimit, tickInterval = 30_000 } = options;
  const gateway: StandIn = {
    release,
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
  const webSockets = attachWebSockets(server, gateway, { release, autoApproveLocal, handshakeLimit, tickInterval });
  const { port: bound } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}`,
    port: bound,
    requests,
    sockets: webSockets.all,
    get openSockets() {
      return webSockets.open;
    },
    devices: webSockets.devices,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await webSockets.stop();
      await closed;
    },
  };
}
