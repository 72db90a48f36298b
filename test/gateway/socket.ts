/** A client of the gateway's WebSocket protocol, as a headless caller writes it with `ws`. */
import { once } from 'node:events';
import { setTimeout as wait } from 'node:timers/promises';
import { WebSocket } from 'ws';

/** A frame of the gateway's protocol. */
export interface Frame {
  readonly type: 'res' | 'event';
  readonly id?: string;
  readonly event?: string;
  readonly ok?: boolean;
  readonly payload?: Readonly<Record<string, unknown>>;
  readonly error?: {
    readonly code: string;
    readonly message: string;
    readonly retryable?: boolean;
    readonly retryAfterMs?: number;
    readonly details?: Readonly<Record<string, unknown>>;
  };
}

export interface ConnectOptions {
  /** Sent as `Authorization: Bearer …`. */
  readonly bearer?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Offered as `Sec-WebSocket-Protocol`. */
  readonly protocols?: readonly string[];
  /** Members of `connect` beside the client's name and the range of protocols, or in their place. */
  readonly params?: object;
}

export interface Client {
  /** The answer to `connect`, as it came. */
  readonly answer: Frame;
  /** `Sec-WebSocket-Protocol` of the 101. */
  readonly protocol: string;
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  /** @returns the answer to a request */
  call(method: string, params?: object): Promise<Frame>;
  /** Waits for a frame that fits; one that is already there counts. */
  frame(fits: (frame: Frame) => boolean): Promise<Frame>;
  /** Frames so far. */
  readonly frames: readonly Frame[];
  close(): Promise<void>;
}

/** 2026.9.6 answers so for some seconds after its health is good. */
const STARTING = 'UNAVAILABLE';

/**
 * Connects, and as long as the gateway says that it starts, connects again.
 *
 * @param url of shim or gateway, `http:` or `https:`
 * @returns the client, whether its `connect` was answered with `hello-ok` or with an error
 * @throws Error for a refused upgrade, and for a socket that is closed before the answer
 */
export async function connect(url: string, options: ConnectOptions): Promise<Client> {
  for (;;) {
    const client = await connectOnce(url, options);
    const { error } = client.answer;
    if (error?.code !== STARTING || !error.retryable) return client;
    await client.closed;
    await wait(error.retryAfterMs ?? 500);
  }
}

async function connectOnce(url: string, { bearer, headers, protocols, params }: ConnectOptions): Promise<Client> {
  const ws = new WebSocket(`${url.replace(/^http/, 'ws')}/`, [...(protocols ?? [])], {
    headers: { ...headers, ...(bearer !== undefined && { authorization: `Bearer ${bearer}` }) },
    perMessageDeflate: false,
    // A gateway's own certificate names no host; this is a test's own on loopback.
    rejectUnauthorized: false,
  });
  const frames: Frame[] = [];
  const waiting = new Set<() => void>();
  const wake = (): void => {
    for (const look of waiting) look();
  };
  ws.on('message', (data: Buffer) => {
    frames.push(JSON.parse(data.toString()) as Frame);
    wake();
  });
  const closed = new Promise<{ code: number; reason: string }>((resolve) =>
    ws.once('close', (code, reason) => resolve({ code, reason: reason.toString() })),
  );
  void closed.then(wake);
  const frame = (fits: (frame: Frame) => boolean): Promise<Frame> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const found = frames.find(fits);
        if (!found && ws.readyState !== WebSocket.CLOSED) return;
        waiting.delete(look);
        if (found) resolve(found);
        else reject(new Error('closed before the frame came'));
      };
      waiting.add(look);
      look();
    });
  let calls = 0;
  const call = async (method: string, sent: object = {}): Promise<Frame> => {
    const id = `call-${++calls}`;
    ws.send(JSON.stringify({ type: 'req', id, method, params: sent }));
    return frame((answer) => answer.type === 'res' && answer.id === id);
  };

  await once(ws, 'open');
  await frame(({ event }) => event === 'connect.challenge');
  const answer = await call('connect', {
    minProtocol: 3,
    maxProtocol: 4,
    client: { id: 'gateway-client', version: '1.0.0', platform: 'linux', mode: 'backend' },
    role: 'operator',
    ...params,
  });
  return {
    answer,
    protocol: ws.protocol,
    closed,
    call,
    frame,
    frames,
    close: async () => {
      ws.close();
      await closed;
    },
  };
}

/** `state` of the last event of a run; releases have different ones before. */
const ENDS: ReadonlySet<unknown> = new Set(['final', 'error', 'aborted']);

/**
 * Sends a message and waits for the end of its run.
 *
 * @returns what the streamed events told: the text as it grew, and the whole message at the end
 * @throws Error for a message that is not taken
 */
export async function chat(
  client: Client,
  sessionKey: string,
  message: string,
): Promise<{ readonly grown: string; readonly final: unknown }> {
  const runId = `run-${sessionKey}-${message}`;
  const { ok, error } = await client.call('chat.send', { sessionKey, message, idempotencyKey: runId });
  if (!ok) throw new Error(error?.message);
  const { payload } = await client.frame(
    (frame) => frame.event === 'chat' && frame.payload?.runId === runId && ENDS.has(frame.payload.state),
  );
  const grown = client.frames
    .filter((frame) => frame.event === 'agent' && frame.payload?.runId === runId)
    .map((frame) => frame.payload as { readonly stream: string; readonly data: { readonly delta?: string } })
    .map(({ stream, data }) => (stream === 'assistant' ? (data.delta ?? '') : ''))
    .join('');
  return { grown, final: payload?.message };
}
