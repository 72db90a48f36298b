/** WebSockets that are opened: what the gateway gets of the head, whatever its caller sent beside it. */
import { HOP_HEADER, USER_HEADER } from '../../helpers/hops.ts';
import { connectText, frame, SOCKET_TOKENS, upgradeHead, type HeadOptions } from '../../helpers/socket-bytes.ts';
import { TOKENS } from '../../helpers/stack.ts';
import { bad, refused, type Case, type Hop } from './case.ts';
import type { RowId } from './rows.ts';

const EVERYTHING = [
  'Origin: https://app.example',
  'User-Agent: evil/1',
  'Cookie: a=b',
  'X-Forwarded-For: 127.0.0.1',
  'X-Forwarded-User: admin',
  'Forwarded: for=127.0.0.1',
  'X-Real-IP: 127.0.0.1',
  'X-OpenClaw-Scopes: operator.admin',
  'x_openclaw_scopes: operator.admin',
  'x.openclaw.scopes: operator.admin',
  'X-OpenClaw-Token: stolen',
  'X-OpenClaw-Password: stolen',
  'X-OpenClaw-Agent-Id: main',
  'Proxy-Authorization: Basic YTpi',
  'Tailscale-User-Login: admin',
  'Expect: 100-continue',
  'TE: trailers',
  'Trailer: x-openclaw-scopes',
  'Keep-Alive: timeout=5',
  'HTTP2-Settings: AAMAAABkAAQAAP__',
  'Sec-WebSocket-Protocol: openclaw.v1, evil',
  'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits',
  'Sec-WebSocket-Accept: x',
  'Sec-Fetch-Mode: websocket',
];
const SECRET_NAMES = [
  `${USER_HEADER}: evil`,
  `${USER_HEADER.replaceAll('-', '_')}: evil`,
  `${HOP_HEADER.toUpperCase()}: evil`,
];
const CONNECTIONS = [
  'Upgrade',
  'Upgrade, x-openclaw-scopes',
  'close, UPGRADE,, X-OPENCLAW-SCOPES,\ttraceparent',
  'upgrade, authorization, origin, sec-websocket-key, sec-websocket-version, upgrade',
  `keep-alive\r\nConnection: Upgrade, x-forwarded-for, x-auth-shim-caller, ${USER_HEADER}, Connection`,
];

/** What a client signs in a tunnel is for the gateway itself, never for another shim. */
const TUNNELS: readonly Hop[] = ['token', 'password', 'none', 'trusted-proxy'];

/** @returns a socket whose first frame is a connect */
const relayed = (row: RowId, title: string, head: HeadOptions, params = {}, more: Partial<Case> = {}): Case => ({
  row,
  title: `relay: ${title}`,
  send: upgradeHead(head),
  next: { bytes: frame(connectText(params)), after: 'challenge' },
  answers: [],
  socket: {},
  closed: false,
  gateway: [{ line: 'GET /', caller: 'reader', socket: 'relay' }],
  ...more,
});
const tunnelled = (
  row: RowId,
  title: string,
  connection: string,
  more: readonly string[],
  rest: Partial<Case> = {},
): Case => {
  const lines = [`Connection: ${connection}`, ...more].map((line) => `${line}\r\n`).join('');
  return {
    row,
    title: `tunnel: ${title}`,
    send: upgradeHead({ token: SOCKET_TOKENS.signer, without: ['connection'], more: lines }),
    answers: [],
    hops: TUNNELS,
    socket: {},
    closed: false,
    gateway: [{ line: 'GET /', caller: 'signer', socket: 'tunnel', kept: ['user-agent', 'evil/1'] }],
    ...rest,
  };
};
/** The least set of scopes that says the same. */
const by = (caller: string, scopes: string): Partial<Case> => ({
  gateway: [{ line: 'GET /', caller, scopes, socket: 'relay' }],
});

const open = { variant: 'open' } as const;
const anonymous = { token: undefined } as const;
const offered = (value: string): HeadOptions => ({ ...anonymous, more: `Sec-WebSocket-Protocol: ${value}\r\n` });

export const SOCKETS: readonly Case[] = [
  ...CONNECTIONS.map((connection) => {
    const more = [`Connection: ${connection}`, ...EVERYTHING].map((line) => `${line}\r\n`).join('');
    return relayed('H4', JSON.stringify(connection), { without: ['connection'], more });
  }),
  ...CONNECTIONS.map((connection) => tunnelled('H4', JSON.stringify(connection), connection, EVERYTHING)),
  tunnelled('H8', 'the secret names', `Upgrade, ${USER_HEADER}`, [...SECRET_NAMES, ...EVERYTHING], {
    hops: ['trusted-proxy'],
  }),
  relayed(
    'H8',
    'the secret names',
    { more: SECRET_NAMES.map((line) => `${line}\r\n`).join('') },
    {},
    { hops: ['trusted-proxy'] },
  ),
  relayed('U9', 'more scopes than it has', {}, { scopes: ['operator.admin', 'operator.read', 'x', 7] }),
  relayed(
    'U9',
    'another identity',
    {},
    { client: { id: 'gateway-client', mode: 'backend', version: '1', platform: 'x' } },
  ),
  relayed('U9', 'its own token', {}, { auth: { token: TOKENS.reader } }),
  relayed('U9', 'of a writer', { token: TOKENS.writer }, {}, by('writer', 'operator.write')),
  relayed('U9', 'of an administrator', { token: TOKENS.admin }, {}, by('admin', 'operator.admin')),

  relayed('U10', 'a token in the first frame', anonymous, { auth: { token: TOKENS.reader } }, open),
  relayed(
    'U10',
    'a token as a subprotocol',
    offered(`openclaw.v1, bearer.${TOKENS.writer}`),
    {},
    { ...open, ...by('writer', 'operator.write') },
  ),
  ...[`bearer.${TOKENS.reader}`, `openclaw.v1, bearer.${TOKENS.reader}, bearer.${TOKENS.admin}`].map((value) =>
    bad('U10', `subprotocols ${value.replaceAll(/-token[^,]*/g, '')}`, upgradeHead(offered(value)), open),
  ),
  bad(
    'U10',
    'a subprotocol and a header',
    upgradeHead({ more: `Sec-WebSocket-Protocol: openclaw.v1, bearer.${TOKENS.reader}\r\n` }),
    open,
  ),
  refused(
    'U10',
    'an unknown token as a subprotocol',
    upgradeHead({
      ...anonymous,
      more: `X-Forwarded-For: 198.51.100.200\r\nSec-WebSocket-Protocol: openclaw.v1, bearer.${'s'.repeat(30)}\r\n`,
    }),
    401,
    'invalid_token',
    open,
  ),
  refused(
    'U10',
    'no token on a health route',
    upgradeHead({ ...anonymous, line: 'GET /healthz HTTP/1.1' }),
    401,
    'missing_token',
    open,
  ),
  ...(
    [
      ['no token', {}, 'missing_token'],
      ['an unknown token', { auth: { token: 'f'.repeat(30) } }, 'invalid_token'],
      ['a caller without a WebSocket', { auth: { token: SOCKET_TOKENS.plain } }, 'route_not_exposed'],
      ['a caller with a tunnel', { auth: { token: SOCKET_TOKENS.signer } }, 'bad_request', TUNNELS],
    ] as const
  ).map(([title, params, code, hops]): Case => ({
    row: 'U10',
    title: `first frame of nobody: ${title}`,
    send: upgradeHead(anonymous),
    next: { bytes: frame(connectText(params)), after: 'challenge' },
    variant: 'open',
    ...(hops && { hops }),
    answers: [],
    socket: { close: 1008, code },
    logged: code,
    closed: true,
    gateway: [],
  })),
];
