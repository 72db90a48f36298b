/** A caller at the level of bytes: what no HTTP client would send, and every byte of what comes back. */
import { connect, type Socket } from 'node:net';
import type { Test } from 'tap';
import { readResponses, type RawResponse } from './responses.ts';

/** What one connection brought. */
export interface RawAnswers {
  /** Every byte, one character each. */
  readonly text: string;
  /** Final responses in order; interim ones (100) are in `text` alone. */
  readonly responses: readonly RawResponse[];
  /** Whether the other side ended the connection before we did. */
  readonly closed: boolean;
}

export interface RawExchange extends Omit<RawResponse, 'complete'> {
  readonly text: string;
  readonly closed: boolean;
}

export interface RawOptions {
  /** How many complete responses to wait for before hanging up; 0 (the default) waits for the other side's end. */
  readonly responses?: number;
  /** Hang up as soon as the bytes so far fulfil this. */
  readonly until?: (text: string) => boolean;
  /** Methods of the requests in order, since the answer to HEAD has no body; unnamed ones are taken as GET. */
  readonly methods?: readonly string[];
  /** Milliseconds after which it fails with what came so far; 30 s. */
  readonly timeout?: number;
}

/** A connection that stays in the hand of the test. */
export interface RawConnection {
  readonly socket: Socket;
  /** Every byte so far, one character each. */
  readonly text: string;
  /** Sends bytes; a string is one byte a character. */
  send(bytes: string | Buffer): void;
  /** Settles when the bytes so far fulfil the condition; rejects when the connection ends before. */
  until(condition: (text: string) => boolean, timeout?: number): Promise<string>;
  /** Settles with every byte when the other side has ended the connection. */
  closed(timeout?: number): Promise<string>;
}

/** A test that fails for it hangs; on a machine with much to do, others take their time. */
const TIMEOUT_MS = 30_000;

/**
 * @param t the connection is destroyed with this test
 * @param port on 127.0.0.1
 * @returns an open connection
 */
export function openRaw(t: Test, port: number): Promise<RawConnection> {
  return openOver(t, connect(port, '127.0.0.1'));
}

/**
 * @param t the connection is destroyed with this test
 * @param socket that connects
 * @param opened its event that says so
 * @returns the connection, open
 */
export async function openOver(
  t: Pick<Test, 'teardown'>,
  socket: Socket,
  opened: 'connect' | 'secureConnect' = 'connect',
): Promise<RawConnection> {
  t.teardown(() => socket.destroy());
  const collected = collect(socket);
  await new Promise<void>((resolve, reject) => socket.once(opened, resolve).once('error', reject));
  return {
    socket,
    get text() {
      return collected.text();
    },
    send: (bytes) => void socket.write(toBuffer(bytes)),
    until: (condition, timeout) => collected.wait((text) => condition(text), 'until', timeout),
    closed: (timeout) => collected.wait((_, closed) => closed, 'closed', timeout),
  };
}

/**
 * Sends bytes on a fresh connection to 127.0.0.1 and collects all that comes back, until as many responses as asked
 * for are complete, `until` says so, or the other side ends the connection.
 *
 * @param port where to
 * @param bytes a string is one byte a character
 * @param options when to hang up
 * @returns every byte, and the responses in them
 */
export async function sendRaw(port: number, bytes: string | Buffer, options: RawOptions = {}): Promise<RawAnswers> {
  const { responses = 0, until, methods = [] } = options;
  const socket = connect(port, '127.0.0.1');
  const collected = collect(socket);
  try {
    socket.write(toBuffer(bytes));
    const enough = (text: string): boolean =>
      until?.(text) === true ||
      (responses > 0 && readResponses(text, methods, false).filter(({ complete }) => complete).length >= responses);
    const text = await collected.wait((now, ended) => ended || enough(now), 'sendRaw', options.timeout);
    const closed = collected.closed();
    return { text, responses: readResponses(text, methods, closed), closed };
  } finally {
    socket.destroy();
  }
}

/**
 * One request, one response: as `sendRaw`, hanging up after the first complete response, or by `until`. A response
 * that announces the end of the connection is followed to that end.
 *
 * @param port on 127.0.0.1
 * @param bytes the request; a string is one byte a character
 * @param options when to hang up instead
 * @returns the first response; status 0 where none came
 */
export async function rawExchange(
  port: number,
  bytes: string | Buffer,
  options: Pick<RawOptions, 'until' | 'timeout'> = {},
): Promise<RawExchange> {
  const method = /^[A-Z]+/.exec(bytes.toString('latin1'))?.[0] ?? 'GET';
  const whole = (text: string): boolean => {
    const [first] = readResponses(text, [method], false);
    return first?.complete === true && first.headers.connection !== 'close';
  };
  const { text, responses, closed } = await sendRaw(port, bytes, { until: whole, ...options, methods: [method] });
  const { status = 0, rawHeaders = [], headers = {}, body = '' } = responses[0] ?? {};
  return { text, status, rawHeaders, headers, body, closed };
}

function toBuffer(bytes: string | Buffer): Buffer {
  return typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes;
}

interface Collected {
  text(): string;
  closed(): boolean;
  wait(enough: (text: string, closed: boolean) => boolean, what: string, timeout?: number): Promise<string>;
}

/** A reset counts as an end: what came before it was collected. */
function collect(socket: Socket): Collected {
  let text = '';
  let closed = false;
  const changed = new Set<() => void>();
  const tell = (): void => changed.forEach((one) => one());
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
    tell();
  });
  const end = (): void => {
    closed = true;
    tell();
  };
  socket.on('end', end).on('close', end).on('error', end);
  return {
    text: () => text,
    closed: () => closed,
    wait: (enough, what, timeout = TIMEOUT_MS) =>
      new Promise((resolve, reject) => {
        const finish = (settle: () => void): void => {
          clearTimeout(timer);
          changed.delete(check);
          settle();
        };
        const check = (): void => {
          if (enough(text, closed)) finish(() => resolve(text));
          else if (closed) finish(() => reject(new Error(`${what}: the connection ended after ${shown(text)}`)));
        };
        const timer = setTimeout(
          () => finish(() => reject(new Error(`${what}: nothing more came after ${shown(text)}`))),
          timeout,
        );
        changed.add(check);
        check();
      }),
  };
}

/** What came, for an error: its beginning and its end where it is long. */
function shown(text: string): string {
  const parts = text.length > 2_000 ? [text.slice(0, 1_000), text.slice(-1_000)] : [text];
  return parts.map((part) => JSON.stringify(part)).join(` … ${text.length} bytes … `);
}

/**
 * @param port on 127.0.0.1
 * @returns whether nothing takes connections there
 */
export function refusesConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('error', () => resolve(true));
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
  });
}
