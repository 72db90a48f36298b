/** A WebSocket to the gateway. */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { WebSocket, type ClientOptions } from 'ws';
import type { Connect } from './connection.ts';

/** As the gateway's own limit: a message that it takes, or sends, is not larger. */
export const MOST_BYTES = 25 * 1024 * 1024;
/** What a peer may take to answer a close frame before its connection is destroyed, in milliseconds. */
export const CLOSE_MS = 1_000;
/** Of an answer that is no 101, as much as a refusal has. */
const MOST_BODY = 4 * 1024;

/** Both sides: what is relayed is neither packed nor unpacked, and limited as at the gateway. */
export const SOCKET_OPTIONS = {
  perMessageDeflate: false,
  maxPayload: MOST_BYTES,
  closeTimeout: CLOSE_MS,
} as const satisfies ClientOptions & { closeTimeout: number };

/** An open WebSocket. No message of it is lost that comes before somebody listens: it is paused. */
export interface Dialled {
  readonly ws: WebSocket;
  readonly socket: Socket;
}

/** The gateway answered with something else than 101. */
export interface Declined {
  readonly status: number;
  /** As far as it was read. */
  readonly body: string;
}

/** How the gateway is reached. */
export interface DialTarget {
  readonly connect: Connect;
  /** `Host` of the request. */
  readonly host: string;
}

/**
 * Nothing is retried and no redirect followed; proxies in the environment are not asked.
 *
 * @param target where the gateway is
 * @param headers names and values, alternating: all that it gets, but for what makes it a WebSocket
 * @param signal ends the attempt
 * @returns the open socket, or the gateway's answer where that is not 101
 * @throws the error of the connect, or of a 101 that is none (wrong accept value, a subprotocol that nobody asked for);
 *   the signal's reason where that came first
 */
export async function dial(
  target: DialTarget,
  headers: readonly string[],
  signal: AbortSignal,
): Promise<Dialled | Declined> {
  signal.throwIfAborted();
  const fields: Record<string, string> = { host: target.host };
  for (let i = 0; i < headers.length; i += 2) fields[headers[i] as string] = headers[i + 1] as string;
  // Its scheme and host are nobody's: the connection is made below, with TLS where that is due.
  let opening: Socket | undefined;
  const ws = new WebSocket('ws://gateway/', {
    ...SOCKET_OPTIONS,
    headers: fields,
    followRedirects: false,
    createConnection: (_options: unknown, opened: Parameters<Connect>[0]) => {
      opening = target.connect(opened);
    },
  } as unknown as ClientOptions);
  return new Promise((resolve, reject) => {
    let socket: Socket;
    const abort = (): void => {
      opening?.destroy();
      ws.terminate();
    };
    const settle = (act: () => void): void => {
      signal.removeEventListener('abort', abort);
      act();
    };
    signal.addEventListener('abort', abort, { once: true });
    // For its whole life: an error without a listener would end the process. A close follows each.
    // Of a connection that ended before its answer the connection itself knows more.
    ws.on('error', (error) =>
      settle(() => reject(signal.aborted ? (signal.reason as Error) : (opening?.errored ?? error))),
    );
    ws.once('upgrade', (response: IncomingMessage) => (socket = response.socket));
    ws.once('open', () => {
      ws.pause();
      settle(() => resolve({ ws, socket }));
    });
    ws.once('unexpected-response', (_request, response: IncomingMessage) => {
      void readSome(response).then((body) =>
        settle(() => {
          ws.terminate();
          resolve({ status: response.statusCode ?? 0, body });
        }),
      );
    });
  });
}

async function readSome(response: IncomingMessage): Promise<string> {
  let body = '';
  try {
    for await (const chunk of response.setEncoding('utf8') as AsyncIterable<string>) {
      body += chunk;
      if (body.length >= MOST_BODY) break;
    }
  } catch {
    // As far as it came.
  }
  return body.slice(0, MOST_BODY);
}
