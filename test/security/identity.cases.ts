/** Section 2.1 of the security cases as data: bytes in, what the gateway gets of them. */
import { HOP_HEADER, USER_HEADER, type Hop, type Refused } from '../helpers/hops.ts';
import { GATEWAY_SECRET, TOKENS } from '../helpers/stack.ts';

const BAD: Refused = { status: 400, code: 'bad_request' };
export const START = 'GET /v1/models HTTP/1.1\r\n';
export const HOST = 'Host: localhost\r\n';
export const CREDENTIAL = `Authorization: Bearer ${TOKENS.reader}\r\n`;

/** Header lines beside a good request; what of them the gateway gets, names and values alternating. */
export interface Passed {
  readonly row: string;
  readonly lines: readonly string[];
  readonly kept?: readonly string[];
  /** The hop where it means something, if not both. */
  readonly only?: Hop;
}

export const PASSED: readonly Passed[] = [
  {
    row: 'H1 protected headers of a low caller',
    lines: ['X-Forwarded-User: admin', 'x-openclaw-scopes: operator.admin'],
  },
  { row: 'H1 an empty protected header', lines: ['x-openclaw-scopes:', 'x-forwarded-for:'] },
  {
    row: 'H1 the secret user header',
    lines: [`${USER_HEADER}: admin`, `${HOP_HEADER}: forged`],
    only: 'trusted-proxy',
  },
  {
    row: 'H2 Connection names the scopes',
    lines: ['Connection: x-openclaw-scopes', 'x-openclaw-scopes: operator.admin'],
  },
  { row: 'H2 Connection names the user', lines: ['Connection: x-forwarded-user', `Connection: ${USER_HEADER}`] },
  {
    row: 'H2 Connection names all of ours',
    lines: [`Connection: authorization, ${HOP_HEADER}, x-forwarded-for, x-forwarded-proto`],
  },
  { row: 'H3 another case, after close', lines: ['connection: close, X-OPENCLAW-SCOPES'] },
  { row: 'H3 after keep-alive', lines: ['Connection: keep-alive, x-openclaw-scopes'] },
  { row: 'H3 two lines', lines: ['Connection: close', 'Connection: x-openclaw-scopes'] },
  { row: 'H3 tabs and empty members', lines: ['Connection: \t,,\tx-openclaw-scopes\t, ,'] },
  { row: 'H3 a folded name', lines: ['Connection: x_openclaw_scopes', 'x_openclaw_scopes: operator.admin'] },
  {
    row: 'H3 what else it names goes, the rest stays',
    lines: ['Connection: X-Hop', 'x-hop: 1', 'x-stay: 2'],
    kept: ['x-stay', '2'],
  },
  { row: 'H5 Connection names authorization', lines: ['Connection: authorization'] },
  {
    row: 'H6 underscores',
    lines: ['X_Forwarded_User: admin', 'x_openclaw_scopes: operator.admin', 'X_FORWARDED_FOR: 9.9.9.9'],
  },
  {
    row: 'H6 other token characters',
    lines: ['x.openclaw.scopes: a', 'x!openclaw~scopes: a', 'X|Forwarded`User: a', "x'real^ip: a"],
  },
  {
    row: 'H6 mixed',
    lines: [
      'X-OpenClaw_Scopes: operator.admin',
      'x_openclaw-Agent-Id: other',
      'proxy_authorization: a',
      'content_length: 5',
    ],
  },
  {
    row: 'H6 Authorization in pieces is no credential, and harmless',
    lines: ['author_ization: x'],
    kept: ['author_ization', 'x'],
  },
  {
    row: 'H8 configured names in other cases',
    lines: [USER_HEADER, HOP_HEADER].flatMap((name) => [`${name.toUpperCase()}: a`, `${name.toLowerCase()}: b`]),
    only: 'trusted-proxy',
  },
  {
    row: 'H8 configured names, folded',
    lines: [`${USER_HEADER.replaceAll('-', '_')}: a`, `${HOP_HEADER.replaceAll(/[-_]/g, '.')}: b`],
    only: 'trusted-proxy',
  },
  {
    row: 'H9 the whole forwarded family',
    lines: [
      'Prefix',
      'Uri',
      'Method',
      'Host',
      'Proto',
      'Port',
      'Server',
      'Groups',
      'Email',
      'Preferred-Username',
      'Client-Cert',
      'Tls-Client-Cert-Info',
    ]
      .map((name) => `X-Forwarded-${name}: x`)
      .concat(
        'X-Original-URL: /x',
        'X-Original-Method: X',
        'X-Rewrite-URL: /x',
        'X-Real-IP: 127.0.0.1',
        'Forwarded: for=x',
        'True-Client-IP: ::1',
        'X-Envoy-Original-Path: /x',
        'Client-Cert: :x:',
      ),
  },
  {
    row: 'H9 methods are not overridden',
    lines: ['X-HTTP-Method-Override: DELETE', 'X-HTTP-Method: PUT', 'X-Method-Override: PUT'],
  },
  {
    row: 'H10 a protected header twice',
    lines: [
      'x-openclaw-scopes: operator.admin',
      'X-OpenClaw-Scopes: operator.write',
      'x-openclaw-scopes: operator.read',
    ],
  },
  { row: 'H19 Trailer names the scopes', lines: ['Trailer: x-openclaw-scopes', 'TE: trailers'] },
  {
    row: 'H22 other credentials',
    lines: [
      'Cookie: token=x',
      'x-openclaw-token: x',
      'x-openclaw-password: x',
      'Proxy-Authorization: Basic eDp5',
      `x-openclaw-password: ${'y'.repeat(30)}`,
    ],
  },
  {
    row: 'H23 what a caller may not choose',
    lines: [
      'x-openclaw-agent-id: other',
      'x-openclaw-agent: other',
      'x-openclaw-session-key: main',
      'x-openclaw-model: a/b',
      'x-openclaw-account-id: 1',
      'x-openclaw-message-channel: sms',
      'x-openclaw-message-to: 1',
      'x-openclaw-thread-id: 1',
      'x-openclaw-requester-session-key: main',
    ],
  },
  {
    row: 'H24 addresses',
    lines: [
      'X-Forwarded-For: 127.0.0.1',
      'X-Forwarded-For: 10.0.0.1, 203.0.113.5',
      'X-Client-IP: 10.0.0.1',
      'X-Cluster-Client-IP: 1.1.1.1',
    ],
  },
  {
    row: 'H25 Forwarded and Tailscale',
    lines: [
      'Forwarded: for=127.0.0.1;host=evil;proto=https',
      'Tailscale-User-Login: admin',
      'Tailscale-User-Name: a',
      'tailscale_user_login: b',
    ],
  },
  {
    row: 'what a browser or a proxy adds',
    lines: [
      'Referer: http://x/',
      'Sec-Fetch-Site: same-origin',
      'Keep-Alive: timeout=5',
      'Proxy-Connection: keep-alive',
      'X-Request-Id: mine',
      'Upgrade: h2c',
      'HTTP2-Settings: AAMAAABk',
    ],
  },
  {
    row: 'what is the caller’s own passes byte for byte',
    lines: ['X-Odd: a\tb \xe9\xff', 'accept: a', 'ACCEPT: b', 'X-Empty:'],
    kept: ['X-Odd', 'a\tb \xe9\xff', 'accept', 'a', 'ACCEPT', 'b', 'X-Empty', ''],
  },
];

/** Whole requests that must not get through. */
export const REFUSED: readonly (Refused & { readonly row: string; readonly bytes: string })[] = [
  ...['Host', 'content-length', 'Transfer-Encoding', 'close, HOST', '\tcontent-length\t'].map((named) => ({
    row: `H5 Connection: ${named.trim()}`,
    bytes: `${START}${HOST}${CREDENTIAL}Connection: ${named}\r\n\r\n`,
    ...BAD,
  })),
  {
    row: 'H5 Connection that is no list of names',
    bytes: `${START}${HOST}${CREDENTIAL}Connection: close; x-openclaw-scopes\r\n\r\n`,
    ...BAD,
  },
  {
    row: 'H5 authorization named but not sent',
    bytes: `${START}${HOST}Connection: authorization\r\n\r\n`,
    status: 401,
    code: 'missing_token',
  },
  { row: 'H11 two good Authorizations', bytes: `${START}${HOST}${CREDENTIAL}${CREDENTIAL}\r\n`, ...BAD },
  {
    row: 'H11 good and other',
    bytes: `${START}${HOST}${CREDENTIAL}authorization: Bearer ${TOKENS.admin}\r\n\r\n`,
    ...BAD,
  },
  { row: 'H11 good and empty', bytes: `${START}${HOST}${CREDENTIAL}AUTHORIZATION:\r\n\r\n`, ...BAD },
  { row: 'H11 good and Basic', bytes: `${START}${HOST}Authorization: Basic eDp5\r\n${CREDENTIAL}\r\n`, ...BAD },
  { row: 'H12 two Hosts', bytes: `${START}${HOST}${HOST}${CREDENTIAL}\r\n`, ...BAD },
  { row: 'H12 two Hosts, one empty', bytes: `${START}${HOST}host:\r\n${CREDENTIAL}\r\n`, ...BAD },
  { row: 'H12 an empty Host', bytes: `${START}Host:\r\n${CREDENTIAL}\r\n`, ...BAD },
  { row: 'H12 no Host', bytes: `${START}${CREDENTIAL}\r\n`, ...BAD },
  { row: 'H12 HTTP/1.0', bytes: `GET /v1/models HTTP/1.0\r\n${HOST}${CREDENTIAL}\r\n`, ...BAD },
  {
    row: 'H18 a folded line',
    bytes: `${START}${HOST}${CREDENTIAL}X-A: b\r\n x-openclaw-scopes: operator.admin\r\n\r\n`,
    ...BAD,
  },
  { row: 'H18 a line folded with a tab', bytes: `${START}${HOST}${CREDENTIAL}X-A: b\r\n\tc\r\n\r\n`, ...BAD },
  { row: 'H18 a space before the first header', bytes: `${START} ${HOST}${CREDENTIAL}\r\n`, ...BAD },
  { row: 'H18 a space in a name', bytes: `${START}${HOST}${CREDENTIAL}X A: b\r\n\r\n`, ...BAD },
  {
    row: 'H18 a space before the colon',
    bytes: `${START}${HOST}${CREDENTIAL}x-openclaw-scopes : operator.admin\r\n\r\n`,
    ...BAD,
  },
  {
    row: 'H18 a bare CR',
    bytes: `${START}${HOST}${CREDENTIAL}X-A: b\rx-openclaw-scopes: operator.admin\r\n\r\n`,
    ...BAD,
  },
  {
    row: 'H18 CR CR LF',
    bytes: `${START}${HOST}${CREDENTIAL}X-A: b\r\r\nx-openclaw-scopes: operator.admin\r\n\r\n`,
    ...BAD,
  },
  {
    row: 'H18 a bare LF',
    bytes: `${START}${HOST}${CREDENTIAL}X-A: b\nx-openclaw-scopes: operator.admin\r\n\r\n`,
    ...BAD,
  },
  { row: 'H18 NUL in a value', bytes: `${START}${HOST}${CREDENTIAL}X-A: b\0c\r\n\r\n`, ...BAD },
  { row: 'H18 NUL in a name', bytes: `${START}${HOST}${CREDENTIAL}x-openclaw-scopes\0: b\r\n\r\n`, ...BAD },
  { row: 'H18 beyond ASCII in a name', bytes: `${START}${HOST}${CREDENTIAL}x-openclaw-scop\xe9s: b\r\n\r\n`, ...BAD },
  { row: 'H18 no name', bytes: `${START}${HOST}${CREDENTIAL}: b\r\n\r\n`, ...BAD },
  {
    row: 'H20 2,001 headers, then the credential',
    bytes: `${START}${HOST}${'a:\r\n'.repeat(2001)}${CREDENTIAL}\r\n`,
    status: 431,
    code: 'headers_too_large',
  },
  {
    row: 'H20 the credential, 2,001 headers, then the scopes',
    bytes: `${START}${HOST}${CREDENTIAL}${'a:\r\n'.repeat(2001)}x-openclaw-scopes: operator.admin\r\n\r\n`,
    status: 431,
    code: 'headers_too_large',
  },
  {
    row: 'H20 2,001 headers, then a length',
    bytes: `POST /v1/responses HTTP/1.1\r\n${HOST}${CREDENTIAL}${'a:\r\n'.repeat(2001)}Content-Length: 2\r\n\r\n{}`,
    status: 431,
    code: 'headers_too_large',
  },
  {
    row: 'H20 257 headers',
    bytes: `${START}${HOST}${CREDENTIAL}${'a:\r\n'.repeat(255)}\r\n`,
    status: 431,
    code: 'headers_too_large',
  },
  {
    row: 'H20 17 KiB in one header',
    bytes: `${START}${HOST}${CREDENTIAL}X-A: ${'a'.repeat(17 * 1024)}\r\n\r\n`,
    status: 431,
    code: 'headers_too_large',
  },
  ...['token', '%74oken', 'a=b&access_token', 'PASSWORD'].map((name) => ({
    row: `H22 ?${name}=`,
    bytes: `GET /v1/models?${name}=${GATEWAY_SECRET} HTTP/1.1\r\n${HOST}${CREDENTIAL}\r\n`,
    ...BAD,
  })),
  {
    row: 'H22 the gateway’s own secret as a token',
    bytes: `${START}${HOST}Authorization: Bearer ${GATEWAY_SECRET}\r\n\r\n`,
    status: 401,
    code: 'invalid_token',
  },
  {
    row: 'H23 the same header twice',
    bytes: `${START}${HOST}${CREDENTIAL}x-openclaw-session-key: a\r\nx-openclaw-session-key: b\r\n\r\n`,
    ...BAD,
  },
];
