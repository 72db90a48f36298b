/** A server that opens a tunnel for every upgrade, without a gate. */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Test } from 'tap';
import type { Refusal } from '../../src/errors.ts';
import { createConnect, type GatewayTarget } from '../../src/gateway/connection.ts';
import { writeRawRefusal } from '../../src/proxy/refuse.ts';
import { openTunnel, type Tunnel, type TunnelRequest } from '../../src/proxy/tunnel.ts';

/** Key and accept value of RFC 6455 section 1.3. */
export const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
export const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';

/** What the callers of these tests get for a gateway's right answer. */
export const ANSWER_101 = `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${ACCEPT}\r\nx-request-id: id-1\r\n\r\n`;

/** @returns the head of an upgrade; `more` are whole header lines */
export function upgrade(more = '', line = 'GET / HTTP/1.1', connection = 'Connection: Upgrade'): string {
  return `${line}\r\nHost: shim.example\r\n${connection}\r\nUpgrade: websocket\r\nSec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Version: 13\r\n${more}\r\n`;
}

/** @returns a gateway's 101; `more` are whole header lines */
export function switching(more = ''): string {
  return `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${ACCEPT}\r\n${more}\r\n`;
}

/** One upgrade that came. */
export interface Opened {
  readonly tunnel: Tunnel;
  /** The server's end of the caller's connection. */
  readonly caller: Socket;
  /** What was told, in order: `open`, `refused <code>`, `closed <side>`. */
  readonly told: readonly string[];
  readonly refusal: Refusal | undefined;
  /** Settles when so many things have been told. */
  readonly until: (count: number) => Promise<readonly string[]>;
}

export interface Front {
  readonly port: number;
  /** Settles with the next upgrade. */
  readonly next: () => Promise<Opened>;
}

type FrontOptions = Partial<Omit<TunnelRequest, 'req' | 'headers'>> & {
  readonly origin: string;
  readonly lookup?: GatewayTarget['lookup'] | undefined;
  readonly headers?: (req: IncomingMessage) => readonly string[];
  /** Waits before it opens the tunnel. */
  readonly hold?: (req: IncomingMessage) => Promise<unknown>;
};

/** @returns a server on 127.0.0.1; it ends with the test */
export async function startFront(t: Test, options: FrontOptions): Promise<Front> {
  const { headers = () => ['x-openclaw-scopes', 'operator.admin'], hold, origin, lookup, ...rest } = options;
  const waiting: ((opened: Opened) => void)[] = [];
  const server = createServer();

  const open = (req: IncomingMessage): void => {
    const told: string[] = [];
    const changed = new Set<() => void>();
    let refusal: Refusal | undefined;
    const tell = (what: string): void => {
      told.push(what);
      changed.forEach((one) => one());
    };
    const tunnel = openTunnel(
      {
        connect: createConnect({ origin, lookup }),
        host: new URL(origin).host,
        answerHeaders: ['x-request-id', 'id-1'],
        ...rest,
        req,
        headers: headers(req),
      },
      {
        open: () => tell('open'),
        refused: (why) => {
          refusal = why;
          writeRawRefusal(req.socket, why, 'id-1');
          tell(`refused ${why.code}`);
        },
        closed: (side) => tell(`closed ${side}`),
      },
    );
    const until = (count: number): Promise<readonly string[]> =>
      new Promise((resolve) => {
        const check = (): void => {
          if (told.length >= count) resolve(told);
        };
        changed.add(check);
        check();
      });
    const opened: Opened = {
      tunnel,
      caller: req.socket,
      told,
      get refusal() {
        return refusal;
      },
      until,
    };
    waiting.splice(0).forEach((one) => one(opened));
  };

  server.on('upgrade', (req) => {
    if (hold) void hold(req).then(() => open(req));
    else open(req);
  });
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return {
    port: (server.address() as AddressInfo).port,
    next: () => new Promise((resolve) => waiting.push(resolve)),
  };
}
