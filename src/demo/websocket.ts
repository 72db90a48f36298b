/** The WebSocket side of the stand-in gateway: upgrade, challenge, connect, methods and events of one socket. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { WebSocket, WebSocketServer } from 'ws';
import { attributed } from './admission.ts';
import { decide, type Door } from './connect.ts';
import { covers, createDevices, type Devices } from './devices.ts';
import { CONNECT, isObject, problemsOf, REQUEST, type ConnectParams, type RequestFrame } from './frames.ts';
import { healthOf, helloOk, MAX_BUFFERED, MAX_PAYLOAD } from './hello.ts';
import { call, METHOD_NAMES, type Stage } from './methods.ts';
import { ATTRIBUTION_REQUIRED } from './replies.ts';
import { recordSocket, type RecordedSocket, type SocketRecording } from './record-socket.ts';
import type { StandIn } from './routes.ts';

export interface WebSockets {
  readonly all: readonly RecordedSocket[];
  readonly open: number;
  readonly devices: Devices;
  /** Tells every client and closes every socket, as a real gateway does when it stops. @returns when all are gone */
  stop(): Promise<void>;
}

export interface WebSocketOptions {
  readonly release: string;
  readonly autoApproveLocal: boolean;
  readonly handshakeLimit?: number;
  readonly tickInterval: number;
}

interface Client {
  readonly ws: WebSocket;
  readonly scopes: readonly string[];
  /** The number of its last event. */
  seq: number;
}

const MAX_CONNECT = 64 * 2 ** 10;
/** How many sockets of one address may wait for their connect; here all are of one address. */
const MAX_WAITING = 32;

/** `closeTimeout` (ms, for a peer that does not answer a close) is not among its types yet. */
const SERVER_OPTIONS = { noServer: true, maxPayload: MAX_PAYLOAD, closeTimeout: 1000 };

/** @param server whose upgrades are taken, on every path as a real gateway does */
export function attachWebSockets(server: Server, gateway: StandIn, options: WebSocketOptions): WebSockets {
  const { rules, auth, pace } = gateway;
  const devices = createDevices();
  const door: Door = { rules, auth, autoApproveLocal: options.autoApproveLocal, devices };
  const all: SocketRecording[] = [];
  const clients = new Set<Client>();
  const stopping = new AbortController();
  let waiting = 0;
  let library: Promise<WebSocketServer> | undefined;

  const sendEvent = (client: Client, event: string, payload: object): void =>
    client.ws.send(JSON.stringify({ type: 'event', event, payload, seq: ++client.seq }));
  const broadcast: Stage['broadcast'] = (event, payload, dropIfSlow = false) => {
    for (const client of clients) {
      const ofRun = event === 'agent' || event === 'chat';
      if (ofRun && rules.socket.eventsForReaders && !covers(client.scopes, ['operator.read'])) continue;
      if (client.ws.bufferedAmount <= MAX_BUFFERED) sendEvent(client, event, payload);
      else if (!dropIfSlow) client.ws.close(1008, 'slow consumer');
    }
  };
  const { autoApproveLocal } = options;
  const stage: Stage = { rules, pace, autoApproveLocal, stopped: stopping.signal, broadcast };
  const ticking = setInterval(() => {
    broadcast('tick', { ts: Date.now() }, true);
    // A real one pings every 25 s; the newest drops who never answers, this one does not.
    if (rules.socket.protocol > 3) for (const { ws } of clients) ws.ping();
  }, options.tickInterval).unref();

  server.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.once('error', () => socket.destroy());
    const recording = recordSocket(req, socket);
    all.push(recording);
    if (rules.attribution && !attributed(req.headers, auth)) {
      return refuse(socket, '403 Forbidden', 'application/json', JSON.stringify(ATTRIBUTION_REQUIRED));
    }
    if (waiting >= MAX_WAITING) {
      return refuse(socket, '503 Service Unavailable', 'text/plain', 'Too many unauthenticated sockets');
    }
    waiting++;
    let waits = true;
    const admitted = (): void => {
      if (waits) waiting--;
      waits = false;
    };
    socket.once('close', admitted);
    library ??= import('ws').then((ws) => new ws.WebSocketServer(SERVER_OPTIONS));
    void library.then((sockets) => {
      sockets.handleUpgrade(req, socket, head, (ws) => talk(ws, req, recording, admitted));
    });
  });

  function talk(ws: WebSocket, req: IncomingMessage, recording: SocketRecording, admitted: () => void): void {
    recording.opened(ws);
    const nonce = randomUUID();
    let client: Client | undefined;
    const send = (frame: object): void => ws.send(JSON.stringify(frame));
    const answer = (id: unknown, result: object): void => send({ type: 'res', id, ...result });
    const limit = setTimeout(() => ws.close(1000), options.handshakeLimit ?? rules.socket.handshakeLimit);
    // What breaks the protocol is closed by the library, with its code.
    ws.on('error', () => {});
    ws.on('close', () => {
      clearTimeout(limit);
      if (client) clients.delete(client);
    });
    ws.on('message', (data: Buffer) => {
      if (ws.readyState !== ws.OPEN) return;
      if (!client && data.length > MAX_CONNECT) return ws.close(1009);
      let frame: unknown;
      try {
        frame = JSON.parse(data.toString());
      } catch {
        // Only before the connect does it matter.
        return client ? undefined : ws.close(1000);
      }
      const problems = problemsOf(frame, REQUEST, rules.socket.allProblems);
      if (!client) return connect(problems ? undefined : (frame as RequestFrame));
      recording.frames.push(data.toString());
      if (problems) {
        const id = isObject(frame) ? (frame.id ?? 'invalid') : 'invalid';
        const error = { code: 'INVALID_REQUEST', message: `invalid request frame: ${problems}` };
        return answer(id, { ok: false, error });
      }
      const request = frame as RequestFrame;
      recording.methods.push(request.method);
      answer(request.id, call(stage, client, request));
    });
    const more = rules.socket.tellsMore ? { capabilities: ['model-catalog-snapshot'] } : {};
    send({ type: 'event', event: 'connect.challenge', payload: { nonce, ts: Date.now(), ...more } });

    function connect(frame: RequestFrame | undefined): void {
      if (!frame) return ws.close(1008, 'invalid request frame');
      const refused = (error: object, code: number, reason: string): void => {
        answer(frame.id, { ok: false, error });
        ws.close(code, reason);
      };
      const problems = problemsOf(frame.params, CONNECT, rules.socket.allProblems);
      if (frame.method !== 'connect' || problems) {
        const first = 'invalid handshake: first request must be connect';
        const message = frame.method === 'connect' ? `invalid connect params: ${problems}` : first;
        return refused({ code: 'INVALID_REQUEST', message }, 1008, message.slice(0, 120));
      }
      const params = frame.params as ConnectParams;
      recording.connect = params;
      const verdict = decide(door, req.headers, nonce, params);
      if ('error' in verdict) return refused(verdict.error, verdict.closeCode, verdict.closeReason);
      clearTimeout(limit);
      admitted();
      recording.scopes = verdict.scopes;
      client = { ws, scopes: verdict.scopes, seq: 0 };
      clients.add(client);
      const { release, tickInterval } = options;
      const facts = {
        release,
        host: req.headers.host ?? '',
        authMode: auth.mode,
        connId: randomUUID(),
        methods: METHOD_NAMES,
        tickInterval,
      };
      answer(frame.id, { ok: true, payload: helloOk(rules.socket, verdict, facts) });
      sendEvent(client, 'health', healthOf());
    }
  }

  return {
    all,
    get open() {
      return all.filter(({ ws }) => ws && ws.readyState !== ws.CLOSED).length;
    },
    devices,
    async stop() {
      clearInterval(ticking);
      broadcast('shutdown', { reason: 'gateway stopping', restartExpectedMs: null });
      stopping.abort();
      // An upgrade that still waits for the library is a socket after it.
      await library;
      for (const { ws } of all) ws?.close(1012, 'service restart');
      await Promise.all(all.map(({ closed }) => closed));
    },
  };
}

/** Answers an upgrade that does not happen. */
function refuse(socket: Duplex, status: string, type: string, body: string): void {
  const head = [`HTTP/1.1 ${status}`, 'Connection: close', `Content-Type: ${type}; charset=utf-8`];
  socket.end([...head, `Content-Length: ${Buffer.byteLength(body)}`, '', body].join('\r\n'), () => socket.destroy());
}
