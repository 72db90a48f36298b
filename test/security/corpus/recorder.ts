/** A gateway that keeps every byte that comes, reads it with a strict reader of its own, and speaks no HTTP library. */
import { createHash } from 'node:crypto';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { JSON_ANSWER } from '../../helpers/raw-gateway.ts';
import { readRequests, valuesOf, type RawRequest } from '../../helpers/requests.ts';
import type { Reply } from './case.ts';

/** What came since it was last asked. */
export interface Seen {
  readonly whole: readonly RawRequest[];
  /** Bytes of requests whose connection ended before they were whole. */
  readonly cut: readonly string[];
  /** Bytes that are neither. */
  readonly rest: string;
  /** What the reader could not read. */
  readonly faults: readonly string[];
  /** How many of the connections on which a request was answered are open. */
  readonly answered: number;
}

export interface Recorder {
  readonly url: string;
  /** Host and port. */
  readonly authority: string;
  /** Forgets what came so far; requests to come are answered so, by default with `{}`. */
  begin(reply?: Reply): void;
  seen(): Seen;
  /** Settles when it holds of what came since `begin`, or after five seconds. */
  until(condition: (seen: Seen) => boolean): Promise<void>;
  /** Settles when no WebSocket is open, or after five seconds. */
  socketsClosed(): Promise<void>;
  /** How many connections are open. */
  open(): number;
  /** How many requests came in all, whole or begun. */
  total(): number;
  close(): Promise<void>;
}

const PATIENCE_MS = 5_000;
const ACCEPT_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** @returns the recorder on 127.0.0.1, over TLS where it has a certificate */
export async function startRecorder(tls?: TlsOptions): Promise<Recorder> {
  const sockets = new Set<Socket>();
  const rests = new Map<Socket, string>();
  const upgraded = new Set<Socket>();
  const answered = new Set<Socket>();
  const waiting = new Set<() => void>();
  let reply: Reply = { bytes: JSON_ANSWER };
  let whole: RawRequest[] = [];
  let cut: string[] = [];
  let faults: string[] = [];
  let total = 0;
  const tell = (): void => [...waiting].forEach((look) => look());

  const read = (socket: Socket, text: string): void => {
    const bytes = (rests.get(socket) ?? '') + text;
    rests.set(socket, bytes);
    if (upgraded.has(socket)) return;
    let requests: RawRequest[];
    try {
      requests = readRequests(bytes).filter(({ complete }) => complete);
    } catch (error) {
      faults.push(`${(error as Error).message}: ${JSON.stringify(bytes.slice(0, 500))}`);
      socket.destroy();
      return;
    }
    let used = 0;
    for (const request of requests) {
      used += request.bytes.length;
      whole.push(request);
      total++;
      answer(socket, request);
    }
    rests.set(socket, bytes.slice(used));
  };

  const answer = (socket: Socket, { line, rawHeaders }: RawRequest): void => {
    const [key] = valuesOf(rawHeaders, 'sec-websocket-key');
    if (key === undefined) {
      const { bytes, ends } = reply;
      answered.add(socket);
      socket.write(Buffer.from(line.startsWith('HEAD ') ? bytes.replace(/(?<=\r\n\r\n)[^]*/, '') : bytes, 'latin1'));
      if (ends) socket.end();
      return;
    }
    upgraded.add(socket);
    const accept = createHash('sha1').update(`${key}${ACCEPT_GUID}`).digest('base64');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
  };

  const take = (socket: Socket): void => {
    sockets.add(socket);
    socket.on('data', (chunk: Buffer) => {
      read(socket, chunk.toString('latin1'));
      tell();
    });
    socket.on('error', () => undefined);
    socket.once('close', () => {
      const rest = rests.get(socket) ?? '';
      if (rest !== '' && !upgraded.has(socket)) {
        cut.push(rest);
        total++;
      }
      sockets.delete(socket);
      rests.delete(socket);
      upgraded.delete(socket);
      answered.delete(socket);
      tell();
    });
  };
  const server: Server = tls ? createTlsServer(tls, take) : createServer({ noDelay: true }, take);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const authority = `127.0.0.1:${(server.address() as AddressInfo).port}`;

  const seen = (): Seen => ({ whole, cut, faults, answered: answered.size, rest: [...rests.values()].join('') });
  const wait = (holds: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const look = (): void => {
        if (!holds()) return;
        waiting.delete(look);
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        waiting.delete(look);
        resolve();
      }, PATIENCE_MS);
      waiting.add(look);
      look();
    });
  return {
    url: `${tls ? 'https' : 'http'}://${authority}`,
    authority,
    begin(next = { bytes: JSON_ANSWER }) {
      reply = next;
      [whole, cut, faults] = [[], [], []];
      answered.clear();
    },
    seen,
    until: (condition) => wait(() => condition(seen())),
    socketsClosed: () => wait(() => upgraded.size === 0),
    open: () => sockets.size,
    total: () => total,
    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
