/** What a gateway does to a WebSocket that it should not, as data, and what the caller is told. */
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import { answerWith } from '../helpers/raw-gateway.ts';
import { frame } from '../helpers/socket-bytes.ts';
import { GATEWAY_SECRET } from '../helpers/stack.ts';
import { switching } from '../helpers/tunnel.ts';

export type Json = Readonly<Record<string, unknown>>;

/** What a caller is told and what is kept of it. */
export interface Outcome {
  /** Of the shim's table, or the gateway's own. */
  readonly code: string;
  readonly close: number;
  /** Words in the error. */
  readonly message?: RegExp;
}

export const BAD: Outcome = { code: 'gateway_bad_response', close: 1014 };
const refusedFor = (finding: string): Outcome => ({
  code: 'gateway_refused',
  close: 1014,
  message: new RegExp(`finding: ${finding}`),
});
export const TIMEOUT: Outcome = { code: 'gateway_timeout', close: 1014 };

const HEAD_101 = 'HTTP/1.1 101 Switching Protocols\r\n';
const WEBSOCKET = 'Upgrade: websocket\r\nConnection: Upgrade\r\n';
const declines = (status: string, body: string): string =>
  `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
const ATTRIBUTION = JSON.stringify({ error: { type: 'forbidden', code: 'proxy_attribution_required', message: 'x' } });

/** `ACCEPT` stands for the right value. */
export const ANSWERS: Readonly<Record<string, readonly [string, Outcome]>> = {
  'U4 200': [answerWith('{"secret":true}'), BAD],
  'U4 200 with the fields of an upgrade': [
    `HTTP/1.1 200 OK\r\n${WEBSOCKET}Sec-WebSocket-Accept: ACCEPT\r\nContent-Length: 2\r\n\r\n{}`,
    BAD,
  ],
  'U4 301': ['HTTP/1.1 301 Moved\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n', BAD],
  'U4 401': [declines('401 Unauthorized', '{"error":"unauthorized"}'), refusedFor('gateway_secret_refused')],
  'U4 403 proxy_attribution_required': [
    declines('403 Forbidden', ATTRIBUTION),
    refusedFor('proxy_attribution_required'),
  ],
  'U4 403': [declines('403 Forbidden', '{}'), BAD],
  'U4 404': [declines('404 Not Found', 'Not Found'), BAD],
  'U4 426': ['HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n', BAD],
  'U4 500': [declines('500 Oops', `{"stack":"${GATEWAY_SECRET}"}`), BAD],
  'U4 503': [declines('503 Busy', 'Too many unauthenticated sockets'), BAD],
  'a 401 that quotes the secret': [declines('401 Unauthorized', GATEWAY_SECRET), refusedFor('gateway_secret_refused')],
  'a 500 of a megabyte that does not end': [
    `HTTP/1.1 500 Oops\r\nContent-Length: 2000000\r\n\r\n${'x'.repeat(1_000_000)}`,
    BAD,
  ],
  'a 500 in chunks that do not end': ['HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n', TIMEOUT],
  'a head that does not end': [HEAD_101, TIMEOUT],
  nothing: ['', TIMEOUT],
  'a wrong accept value': [`${HEAD_101}${WEBSOCKET}Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n`, BAD],
  'no accept value': [`${HEAD_101}${WEBSOCKET}\r\n`, BAD],
  'two accept values': [`${HEAD_101}${WEBSOCKET}Sec-WebSocket-Accept: ACCEPT\r\nSec-WebSocket-Accept: x\r\n\r\n`, BAD],
  '101 without Upgrade': [`${HEAD_101}Connection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n`, BAD],
  '101 without Connection': [`${HEAD_101}Upgrade: websocket\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n`, BAD],
  '101 to h2c': [`${HEAD_101}Upgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n`, BAD],
  'an extension that nobody asked for': [
    `${HEAD_101}${WEBSOCKET}Sec-WebSocket-Accept: ACCEPT\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n`,
    BAD,
  ],
  'a subprotocol that nobody asked for': [
    `${HEAD_101}${WEBSOCKET}Sec-WebSocket-Accept: ACCEPT\r\nSec-WebSocket-Protocol: openclaw.v1\r\n\r\n`,
    BAD,
  ],
  'another protocol': ['SSH-2.0-OpenSSH_9.9\r\n', BAD],
  'a bare line feed in its head': [`${HEAD_101}${WEBSOCKET}X: a\nY: b\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n`, BAD],
  'a head of 100 KiB': [`${HEAD_101}${WEBSOCKET}X: ${'x'.repeat(100_000)}\r\n\r\n`, BAD],
};

/** The gateway's end of one socket. */
export interface Peer {
  readonly ws: WebSocket;
  readonly socket: Socket;
  readonly send: (message: Json | string) => void;
  /** The id of the connect, when it has come. */
  readonly asked: Promise<string>;
}

const CHALLENGE = { type: 'event', event: 'connect.challenge', payload: { nonce: 'n', ts: 1 } };
export const hello = (id: string): Json => ({
  type: 'res',
  id,
  ok: true,
  payload: { type: 'hello-ok', protocol: 4, auth: { role: 'operator', scopes: ['operator.read'] } },
});
export const refusal = (id: string, detail: string, more: Json = {}, code = 'INVALID_REQUEST'): Json => ({
  type: 'res',
  id,
  ok: false,
  error: { code, message: `unauthorized: ${detail}`, details: { code: detail, ...more } },
});
const MIB_26 = 26 * 1024 * 1024;

/** Challenges, and answers the connect. */
export const answers =
  (answer: (id: string) => Json | string, ...close: [number?, string?]) =>
  async ({ send, asked, ws }: Peer): Promise<void> => {
    send(CHALLENGE);
    send(answer(await asked));
    if (close.length > 0) ws.close(...close);
  };

export const HANDSHAKES: Readonly<Record<string, readonly [(peer: Peer) => unknown, Outcome]>> = {
  'dies after the 101': [({ socket }) => socket.destroy(), BAD],
  'closes after the 101': [({ ws }) => ws.close(1013, 'gateway starting'), BAD],
  'dies in the middle of its challenge': [
    ({ socket }) => socket.end(frame('{"type"', { masked: false, length: 90 })),
    BAD,
  ],
  'says nothing': [() => undefined, TIMEOUT],
  'pings, and says nothing': [({ ws }) => ws.ping(), TIMEOUT],
  'sends garbage in place of a challenge': [({ send }) => send('garbage'), BAD],
  'sends a list in place of a challenge': [({ send }) => send('[]'), BAD],
  'sends another event in place of a challenge': [({ send }) => send({ ...CHALLENGE, event: 'tick' }), BAD],
  'sends a challenge without a nonce': [({ send }) => send({ ...CHALLENGE, payload: { ts: 1 } }), BAD],
  'sends a challenge without a time': [({ send }) => send({ ...CHALLENGE, payload: { nonce: 'n', ts: 'x' } }), BAD],
  'sends hello-ok in place of a challenge': [({ send }) => send(hello('c1')), BAD],
  'sends a challenge in invalid UTF-8': [
    ({ socket }) => socket.write(frame(Buffer.from([0xff]), { masked: false })),
    BAD,
  ],
  'sends a challenge with a mask': [({ socket }) => socket.write(frame(JSON.stringify(CHALLENGE))), BAD],
  'sends a challenge of 26 MiB': [({ socket }) => socket.write(frame('', { masked: false, length: MIB_26 })), BAD],
  'never answers the connect': [({ send }) => send(CHALLENGE), TIMEOUT],
  'answers another request': [answers(() => hello('c1')), TIMEOUT],
  'answers with garbage': [answers(() => 'garbage'), TIMEOUT],
  'answers with a hello that is none': [answers((id) => ({ ...hello(id), payload: { type: 'hello' } })), BAD],
  'answers with a hello without a payload': [answers((id) => ({ type: 'res', id, ok: true })), BAD],
  'answers with an error without a word': [answers((id) => ({ type: 'res', id, ok: false })), BAD],
  'answers with an error that is a text': [answers((id) => ({ type: 'res', id, ok: false, error: 'no' })), BAD],
  'dies when it is asked': [
    async ({ send, asked, socket }) => {
      send(CHALLENGE);
      await asked;
      socket.destroy();
    },
    BAD,
  ],
  'refuses the token of the shim': [
    answers(
      (id) => refusal(id, 'AUTH_TOKEN_MISMATCH', { authReason: 'token_mismatch' }),
      1008,
      'unauthorized: AUTH_TOKEN_MISMATCH',
    ),
    refusedFor('gateway_secret_refused'),
  ],
  'refuses the token of the shim, and quotes it': [
    answers((id) => refusal(id, 'AUTH_TOKEN_MISMATCH', { given: GATEWAY_SECRET }), 1008, GATEWAY_SECRET),
    refusedFor('gateway_secret_refused'),
  ],
  'refuses the token of the shim, and stays': [
    answers((id) => refusal(id, 'AUTH_TOKEN_MISMATCH')),
    refusedFor('gateway_secret_refused'),
  ],
  'misses the token of the shim': [
    answers((id) => refusal(id, 'AUTH_TOKEN_MISSING'), 1008),
    refusedFor('gateway_secret_refused'),
  ],
  'refuses the device of the shim': [
    answers((id) => refusal(id, 'DEVICE_AUTH_SIGNATURE_INVALID'), 1008),
    { code: 'gateway_refused', close: 1014 },
  ],
};

const LOST = { code: 1014, reason: 'the gateway is gone' };
const bare = (code: number): { code: number; reason: string } => ({ code, reason: '' });

export const OPEN: Readonly<
  Record<string, readonly [(peer: Peer) => unknown, { code: number; reason: string }, string]>
> = {
  dies: [({ socket }) => socket.destroy(), LOST, 'gateway_gone'],
  'is reset': [({ socket }) => socket.resetAndDestroy(), LOST, 'gateway_gone'],
  'dies in the middle of a head': [({ socket }) => socket.end(Buffer.from([0x81])), LOST, 'gateway_gone'],
  'dies in the middle of a frame': [
    ({ socket }) => socket.end(frame('half', { masked: false, length: 100 })),
    LOST,
    'gateway_gone',
  ],
  'dies between two fragments': [
    ({ socket }) => socket.end(frame('half', { masked: false, fin: false })),
    LOST,
    'gateway_gone',
  ],
  'sends a frame of 26 MiB': [
    ({ socket }) => socket.write(frame('', { masked: false, length: MIB_26 })),
    bare(1009),
    'gateway_gone',
  ],
  'sends invalid UTF-8': [
    ({ socket }) => socket.write(frame(Buffer.from([0xff]), { masked: false })),
    bare(1007),
    'gateway_gone',
  ],
  'sends a frame with a mask': [({ socket }) => socket.write(frame('{}')), bare(1002), 'gateway_gone'],
  'sends a reserved bit': [
    ({ socket }) => socket.write(frame('{}', { masked: false, reserved: 4 })),
    bare(1002),
    'gateway_gone',
  ],
  'sends no frame': [({ socket }) => socket.write('HTTP/1.1 500 Oops\r\n\r\n'), bare(1002), 'gateway_gone'],
  'closes with a code of its own': [({ ws }) => ws.close(4123, 'because'), { code: 4123, reason: 'because' }, 'done'],
  'closes as it restarts': [
    ({ ws }) => ws.close(1012, 'service restart'),
    { code: 1012, reason: 'service restart' },
    'done',
  ],
  'closes without a code': [({ ws }) => ws.close(), bare(1005), 'done'],
};

export const TUNNELLED: Readonly<Record<string, readonly [string, string]>> = {
  200: [answerWith('{"secret":true}'), 'gateway_bad_response'],
  401: [declines('401 Unauthorized', '{}'), 'gateway_refused'],
  403: [declines('403 Forbidden', ATTRIBUTION), 'gateway_refused'],
  500: [declines('500 Oops', '{}'), 'gateway_bad_response'],
  'a wrong accept value': [switching().replace('s3pP', 'xxxx'), 'gateway_bad_response'],
  'an extension': [switching('Sec-WebSocket-Extensions: permessage-deflate\r\n'), 'gateway_bad_response'],
  'a subprotocol': [switching('Sec-WebSocket-Protocol: openclaw.v1\r\n'), 'gateway_bad_response'],
  'another protocol': ['SSH-2.0-OpenSSH_9.9\r\n', 'gateway_bad_response'],
};
