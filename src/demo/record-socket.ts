/** What the stand-in gateway keeps of a WebSocket: its upgrade, what it asked, what it was given, its frames. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { ConnectParams } from './frames.ts';

/** One WebSocket upgrade and what came of it. */
export interface RecordedSocket {
  /** The request target, byte for byte. */
  readonly url: string;
  /** Names and values alternating, as they came. */
  readonly rawHeaders: readonly string[];
  /** The gateway's end of it, to close, pause or end it; `undefined` until the 101 is out. */
  readonly ws: WebSocket | undefined;
  /** What a connect that was well formed asked, accepted or not. */
  readonly connect: ConnectParams | undefined;
  /** What an accepted connect was given. */
  readonly scopes: readonly string[] | undefined;
  /** Every frame after the accepted connect, as text. */
  readonly frames: readonly string[];
  /** The method of each of them that had one. */
  readonly methods: readonly string[];
  /** Settles when the socket is closed, with the code and the reason that the other side gave. */
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
}

/** The same as the gateway fills it. */
export interface SocketRecording extends RecordedSocket {
  ws: WebSocket | undefined;
  connect: ConnectParams | undefined;
  scopes: readonly string[] | undefined;
  readonly frames: string[];
  readonly methods: string[];
  /** Takes the end of the handshake: from here on the WebSocket tells of the end. */
  opened(ws: WebSocket): void;
}

export function recordSocket(req: IncomingMessage, socket: Duplex): SocketRecording {
  const { promise: closed, resolve } = Promise.withResolvers<{ code: number; reason: string }>();
  const recording: SocketRecording = {
    url: req.url ?? '',
    rawHeaders: req.rawHeaders,
    ws: undefined,
    connect: undefined,
    scopes: undefined,
    frames: [],
    methods: [],
    closed,
    opened(ws) {
      recording.ws = ws;
      ws.once('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    },
  };
  socket.once('close', () => {
    if (!recording.ws) resolve({ code: 1006, reason: '' });
  });
  return recording;
}
