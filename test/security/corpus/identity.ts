/** Header lines beside a good request: what of them the gateway gets, and what it is told instead. */
import { HOP_HEADER, USER_HEADER } from '../../helpers/hops.ts';
import { chunked, get, post } from '../../helpers/request-bytes.ts';
import { GATEWAY_SECRET, TOKENS } from '../../helpers/stack.ts';
import { bad, lines, passed, refused, type Case } from './case.ts';

const PROXY = { hops: ['trusted-proxy'] } as const;
const SHIM = { hops: ['shim'] } as const;
const KNOWN = [USER_HEADER, HOP_HEADER];
const CHAT = '{"model":"openclaw","messages":[]}';

export const IDENTITY: readonly Case[] = [
  lines('H1', 'a user and scopes of the caller’s own', [
    'X-Forwarded-User: admin',
    'x-openclaw-scopes: operator.admin',
  ]),
  lines('H1', 'empty ones', ['x-openclaw-scopes:', 'x-forwarded-for:']),
  lines('H1', 'the secret headers', [`${USER_HEADER}: admin`, `${HOP_HEADER}: forged`], [], PROXY),
  passed('H1', 'of another caller', get('/v1/models', 'x-openclaw-scopes: operator.admin\r\n'), { caller: 'writer' }),

  lines('H2', 'the scopes', ['Connection: x-openclaw-scopes', 'x-openclaw-scopes: operator.admin']),
  lines('H2', 'the user', ['Connection: x-forwarded-user', `Connection: ${USER_HEADER}`]),
  lines('H2', 'all of ours', [`Connection: authorization, ${HOP_HEADER}, x-forwarded-for, x-forwarded-proto`]),
  lines('H2', 'those of a shim', ['Connection: x-auth-shim-caller, x-auth-shim-scopes'], [], SHIM),
  lines('H2', 'the trace', ['Connection: traceparent, x-forwarded-host']),
  lines('H3', 'another case, after close', ['connection: close, X-OPENCLAW-SCOPES']),
  lines('H3', 'after keep-alive', ['Connection: keep-alive, x-openclaw-scopes']),
  lines('H3', 'two lines', ['Connection: close', 'Connection: x-openclaw-scopes']),
  lines('H3', 'tabs and empty members', ['Connection: \t,,\tx-openclaw-scopes\t, ,']),
  lines('H3', 'an empty list', ['Connection:', 'Connection: ,']),
  lines('H3', 'a folded name', ['Connection: x_openclaw_scopes', 'x_openclaw_scopes: operator.admin']),
  lines('H3', 'twice in one line', ['Connection: x-openclaw-scopes,x-openclaw-scopes,X-Openclaw-Scopes']),
  lines('H3', 'itself', ['Connection: connection, x-openclaw-scopes']),
  lines('H3', 'a name in capitals before its header', ['CONNECTION: X-OPENCLAW-SCOPES', 'X-OPENCLAW-SCOPES: a']),
  lines(
    'H3',
    'what else it names goes, the rest stays',
    ['Connection: X-Hop', 'x-hop: 1', 'x-stay: 2'],
    ['x-stay', '2'],
  ),

  lines('H5', 'authorization', ['Connection: authorization']),
  ...['Host', 'content-length', 'Transfer-Encoding', 'close, HOST', '\tcontent-length\t', 'transfer-encoding,'].map(
    (named) => bad('H5', JSON.stringify(named), get('/v1/models', `Connection: ${named}\r\n`)),
  ),
  bad('H5', 'a length that is there', post('Connection: content-length\r\nContent-Length: 2\r\n', '{}')),
  bad(
    'H5',
    'a coding that is there',
    post('Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n', chunked('{}')),
  ),
  bad('H5', 'no list of names', get('/v1/models', 'Connection: close; x-openclaw-scopes\r\n')),
  bad('H5', 'a quoted name', get('/v1/models', 'Connection: "x-openclaw-scopes"\r\n')),
  bad('H5', 'two names without a comma', get('/v1/models', 'Connection: close x-openclaw-scopes\r\n')),
  refused(
    'H5',
    'authorization, which was not sent',
    'GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: authorization\r\n\r\n',
    401,
    'missing_token',
  ),

  lines('H6', 'underscores', [
    'X_Forwarded_User: admin',
    'x_openclaw_scopes: operator.admin',
    'X_FORWARDED_FOR: 9.9.9.9',
  ]),
  lines('H6', 'other characters of a token', [
    'x.openclaw.scopes: a',
    'x!openclaw~scopes: a',
    'X|Forwarded`User: a',
    "x'real^ip: a",
    'x%openclaw*scopes: a',
    'x+openclaw&scopes: a',
    'x#openclaw$scopes: a',
  ]),
  lines('H6', 'mixed', [
    'X-OpenClaw_Scopes: operator.admin',
    'x_openclaw-Agent-Id: other',
    'proxy_authorization: a',
    'content_length: 5',
    'transfer_encoding: chunked',
    'tailscale_user.login: b',
  ]),
  lines('H6', 'a name in pieces is no credential, and harmless', ['author_ization: x'], ['author_ization', 'x']),
  ...['x_auth_shim_caller', 'X.AUTH.SHIM.SCOPES', 'x-auth_shim-caller'].map((name) =>
    refused('H6', `${name} of who is no shim`, get('/v1/models', `${name}: admin\r\n`), 400, 'header_not_allowed'),
  ),
  ...['x-auth-shim-caller', 'X-AUTH-SHIM-SCOPES'].map((name) =>
    refused('H1', `${name} of who is no shim`, get('/v1/models', `${name}: admin\r\n`), 400, 'header_not_allowed'),
  ),

  lines(
    'H8',
    'in capitals and small letters',
    KNOWN.flatMap((name) => [`${name.toUpperCase()}: a`, `${name.toLowerCase()}: b`]),
    [],
    PROXY,
  ),
  lines(
    'H8',
    'folded',
    [`${USER_HEADER.replaceAll('-', '_')}: a`, `${HOP_HEADER.replaceAll(/[-_]/g, '.')}: b`],
    [],
    PROXY,
  ),
  lines(
    'H8',
    'twice each',
    KNOWN.flatMap((name) => [`${name}: a`, `${name}: b`]),
    [],
    PROXY,
  ),
  lines('H8', 'named by Connection', [`Connection: ${KNOWN.join(', ').toUpperCase()}`, `${USER_HEADER}: a`], [], PROXY),

  lines('H10', 'three times', [
    'x-openclaw-scopes: operator.admin',
    'X-OpenClaw-Scopes: operator.write',
    'x-openclaw-scopes: operator.read',
  ]),
  lines('H10', 'a list', ['x-openclaw-scopes: operator.read, operator.admin']),
  lines('H10', 'two addresses', ['X-Forwarded-For: 1.1.1.1', 'X-Forwarded-For: 2.2.2.2']),

  lines('H19', 'Trailer names the scopes', ['Trailer: x-openclaw-scopes', 'TE: trailers']),
  ...Object.entries({
    'protected names': 'x-openclaw-scopes: operator.admin\r\nX-Forwarded-User: admin\r\n',
    'a credential': `authorization: Bearer ${TOKENS.admin}\r\n`,
    'folded names': 'x_openclaw_scopes: operator.admin\r\n',
    'one of its own': 'x-mine: 1\r\n',
  }).map(([title, trailer]) =>
    passed(
      'H19',
      `${title} in a trailer`,
      post('Trailer: x-openclaw-scopes\r\nTransfer-Encoding: chunked\r\n', `22\r\n${CHAT}\r\n0\r\n${trailer}\r\n`),
      {
        line: 'POST /v1/chat/completions',
        caller: 'writer',
        framing: 'transfer-encoding: chunked',
        body: chunked(CHAT),
      },
    ),
  ),

  lines('H22', 'other credentials', [
    'Cookie: token=x',
    'x-openclaw-token: x',
    'x-openclaw-password: x',
    'Proxy-Authorization: Basic eDp5',
    `x-openclaw-password: ${'y'.repeat(30)}`,
  ]),
  lines('H22', 'the gateway’s own secret beside a good token', [
    `x-openclaw-token: ${GATEWAY_SECRET}`,
    `Cookie: ${GATEWAY_SECRET}`,
  ]),
  ...['token', '%74oken', 'a=b&access_token', 'PASSWORD'].map((name) =>
    bad('H22', `?${name}=`, get(`/v1/models?${name}=${GATEWAY_SECRET}`)),
  ),
  refused('H22', 'the gateway’s own secret as a token', get('/v1/models', '', GATEWAY_SECRET), 401, 'invalid_token'),

  lines('H24', 'what a caller claims', [
    'X-Forwarded-For: 127.0.0.1',
    'X-Forwarded-For: 10.0.0.1, 203.0.113.5',
    'X-Client-IP: 10.0.0.1',
    'X-Cluster-Client-IP: 1.1.1.1',
  ]),
  lines('H24', 'rubbish', ['X-Forwarded-For: rubbish', 'X-Real-IP: \xff']),
  lines('H25', 'Forwarded and Tailscale', [
    'Forwarded: for=127.0.0.1;host=evil;proto=https',
    'Tailscale-User-Login: admin',
    'Tailscale-User-Name: a',
    'tailscale_user_login: b',
  ]),
  lines('H25', 'Cloudflare, Google, Amazon, Microsoft', [
    'Cf-Connecting-Ip: 1.1.1.1',
    'X-Goog-Iap-Jwt-Assertion: a',
    'X-Amzn-Oidc-Identity: admin',
    'X-Ms-Client-Principal-Name: admin',
  ]),
  lines('H25', 'what a browser or a proxy adds', [
    'Referer: http://x/',
    'Sec-Fetch-Site: same-origin',
    'Keep-Alive: timeout=5',
    'Proxy-Connection: keep-alive',
    'X-Request-Id: mine',
    'TE: trailers',
  ]),
  lines(
    'H16',
    'what is the caller’s own passes byte for byte',
    ['X-Odd: a\tb \xe9\xff', 'accept: a', 'ACCEPT: b', 'X-Empty:', 'X-Id: \u00e0dmin'],
    ['X-Odd', 'a\tb \xe9\xff', 'accept', 'a', 'ACCEPT', 'b', 'X-Empty', '', 'X-Id', '\u00e0dmin'],
  ),
];
