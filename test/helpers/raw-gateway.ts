/** A gateway at the level of bytes: it keeps every byte that comes, and answers what no HTTP server would. */
import { createServer, type AddressInfo, type Socket } from 'node:net';
import type { Test } from 'tap';
import { readRequests } from './requests.ts';

/** One connection that the shim opened. */
export interface GatewayConnection {
  readonly socket: Socket;
  /** Every byte so far, one character each. */
  readonly text: string;
  /** Whether the shim ended it. */
  readonly ended: boolean;
  /** Settles when the condition holds, which is asked after every change; rejects when it does not before the end. */
  readonly until: (condition: (connection: GatewayConnection) => boolean) => Promise<void>;
}

export interface RawGateway {
  readonly url: string;
  readonly connections: readonly GatewayConnection[];
  /** Every byte of every connection. */
  readonly text: string;
  /** Settles with the nth connection (from 1). */
  readonly connection: (nth: number) => Promise<GatewayConnection>;
}

/** What to do; `nth` counts the whole requests of all connections from 1. Bytes are written as they are given. */
export interface RawGatewayScript {
  /** A head is in, its body perhaps not. */
  readonly onHead?: (connection: GatewayConnection, nth: number) => void;
  /** A request is in. By default it is answered with `JSON_ANSWER`. */
  readonly onRequest?: (connection: GatewayConnection, nth: number) => void;
}

/** @returns a whole answer with a length */
export function answerWith(body: string, type = 'application/json'): string {
  return `HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

export const JSON_ANSWER = answerWith('{}');

/**
 * @param t it ends with this test
 * @param script what it answers
 * @returns the gateway, listening on 127.0.0.1
 */
export async function startRawGateway(t: Test, script: RawGatewayScript = {}): Promise<RawGateway> {
  const { onHead, onRequest = ({ socket }) => void socket.write(JSON_ANSWER) } = script;
  const connections: GatewayConnection[] = [];
  const waiting = new Set<() => void>();
  let heads = 0;
  let requests = 0;

  const server = createServer({ allowHalfOpen: false, noDelay: true }, (socket) => {
    let text = '';
    let ended = false;
    let seenHeads = 0;
    let seenRequests = 0;
    const changed = new Set<() => void>();
    const connection: GatewayConnection = {
      socket,
      get text() {
        return text;
      },
      get ended() {
        return ended;
      },
      until: (condition) =>
        new Promise((resolve, reject) => {
          const check = (): void => {
            if (condition(connection)) resolve();
            else if (ended) reject(new Error(`the connection ended after ${JSON.stringify(text)}`));
            else return;
            changed.delete(check);
          };
          changed.add(check);
          check();
        }),
    };
    const tell = (): void => [...changed].forEach((one) => one());
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      const read = readRequests(text);
      while (seenHeads < read.length) {
        seenHeads++;
        onHead?.(connection, ++heads);
      }
      while (seenRequests < read.filter(({ complete }) => complete).length) {
        seenRequests++;
        onRequest(connection, ++requests);
      }
      tell();
    });
    const end = (): void => {
      ended = true;
      tell();
    };
    socket.on('end', end).on('close', end).on('error', end);
    connections.push(connection);
    waiting.forEach((one) => one());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const { socket } of connections) socket.destroy();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections,
    get text() {
      return connections.map((one) => one.text).join('');
    },
    connection: (nth) =>
      new Promise((resolve) => {
        const check = (): void => {
          const found = connections[nth - 1];
          if (!found) return;
          waiting.delete(check);
          resolve(found);
        };
        waiting.add(check);
        check();
      }),
  };
}
