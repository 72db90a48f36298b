/** A client of a gateway's WebSocket: with or without a device, well behaved or not. */
import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import type { Test } from 'tap';
import { WebSocket, type ClientOptions } from 'ws';
import { startGateway, type StandInGateway, type StandInOptions } from '../../src/demo/gateway.ts';

export type Frame = Record<string, unknown>;

export interface Client {
  readonly ws: WebSocket;
  readonly upgrade: () => Frame;
  /** The next frame that is no event of the given kinds. */
  readonly next: (...ignore: string[]) => Promise<Frame>;
  readonly closed: Promise<{ code: number; reason: string }>;
}

export function open(
  t: Test,
  { url }: { readonly url: string },
  options: ClientOptions & { path?: string } = {},
): Client {
  const { path = '/', ...rest } = options;
  const ws = new WebSocket(url.replace('http', 'ws') + path, rest);
  const frames: Frame[] = [];
  const waiting: ((frame: Frame) => void)[] = [];
  let upgrade: Frame = {};
  ws.on('upgrade', (res) => (upgrade = { ...res.headers }));
  ws.on('error', () => {});
  ws.on('message', (data: Buffer, binary: boolean) => {
    if (binary) return;
    const frame = JSON.parse(data.toString()) as Frame;
    const waiter = waiting.shift();
    if (waiter) waiter(frame);
    else frames.push(frame);
  });
  t.teardown(() => ws.terminate());
  const next = (): Promise<Frame> => {
    const frame = frames.shift();
    return frame ? Promise.resolve(frame) : new Promise((resolve) => waiting.push(resolve));
  };
  return {
    ws,
    upgrade: () => upgrade,
    next: async (...ignore) => {
      for (;;) {
        const frame = await next();
        if (!ignore.includes(String(frame.event))) return frame;
      }
    },
    closed: new Promise((resolve) => ws.on('close', (code, reason) => resolve({ code, reason: reason.toString() }))),
  };
}

export interface Key {
  readonly id: string;
  readonly publicKey: string;
  readonly privateKey: KeyObject;
}

export function newKey(): Key {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const raw = publicKey.export({ type: 'spki', format: 'der' }).subarray(12);
  return { id: createHash('sha256').update(raw).digest('hex'), publicKey: raw.toString('base64url'), privateKey };
}

export interface Asking {
  readonly key?: Key;
  readonly scopes?: readonly string[];
  readonly auth?: { readonly token?: string; readonly password?: string; readonly foo?: number } | null;
  readonly client?: Frame;
  readonly params?: Frame;
  /** Changes the device after it is signed. */
  readonly spoil?: Frame;
  readonly signedAt?: number;
  readonly version?: 'v2' | 'v3';
  readonly headers?: Record<string, string>;
}

const CLIENT = { id: 'cli', version: '1', platform: 'linux', mode: 'cli', displayName: 'shim:a' };

/** What a connect asks in answer to a challenge. */
export function params(challenge: Frame, asking: Asking): Frame {
  const { key, scopes = ['operator.read'], auth = { token: 'secret' }, version = 'v2' } = asking;
  const { nonce, ts } = challenge.payload as { nonce: string; ts: number };
  const client = { ...CLIENT, ...asking.client };
  const { signedAt = ts } = asking;
  const asked: Frame = { minProtocol: 3, maxProtocol: 4, client, role: 'operator', scopes, caps: [], ...asking.params };
  if (auth) asked.auth = auth;
  if (key) {
    const facts = [key.id, client.id, client.mode, 'operator', scopes.join(','), signedAt, auth?.token ?? '', nonce];
    const text = [version, ...facts, ...(version === 'v3' ? [client.platform, ''] : [])].join('|');
    const signature = sign(null, Buffer.from(text), key.privateKey).toString('base64url');
    asked.device = { id: key.id, publicKey: key.publicKey, signature, signedAt, nonce, ...asking.spoil };
  }
  return asked;
}

export type Connected = Client & {
  readonly hello: Frame;
  readonly call: (method: string, params?: unknown) => Promise<Frame>;
};

/** Connects as asked; `hello` is the answer, whatever it says. */
export async function connect(t: Test, gateway: { readonly url: string }, asking: Asking = {}): Promise<Connected> {
  const client = open(t, gateway, { headers: asking.headers ?? {} });
  const challenge = await client.next();
  const send = (id: string, method: string, given: unknown): void =>
    client.ws.send(JSON.stringify({ type: 'req', id, method, params: given }));
  send('c', 'connect', params(challenge, asking));
  let calls = 0;
  return {
    ...client,
    hello: await client.next(),
    call: (method, given = {}) => {
      send(`r${++calls}`, method, given);
      return client.next('health', 'agent', 'chat', 'tick');
    },
  };
}

/** What the socket may do: the scopes that `sessions.list` and `chat.send` ask, as the gateway enforces them. */
export async function powers({ hello, call }: Connected): Promise<string> {
  if (hello.ok !== true) return codeOf(hello);
  const of = async (method: string): Promise<string> => {
    const { ok, error } = (await call(method)) as { ok: boolean; error?: Frame };
    return ok || String(error?.message).startsWith('invalid') ? 'yes' : 'no';
  };
  return `read ${await of('sessions.list')}, write ${await of('chat.send')}`;
}

export function codeOf({ error }: Frame): string {
  const { code, details } = error as { code: string; details?: { code?: string } };
  return details?.code ?? code;
}

/** A stand-in gateway in token mode, with the token that clients send; it ends with the test. */
export async function start(t: Test, options: Partial<StandInOptions> = {}): Promise<StandInGateway> {
  const gateway = await startGateway({ auth: { mode: 'token', token: 'secret' }, ...options });
  t.teardown(() => gateway.close());
  return gateway;
}
