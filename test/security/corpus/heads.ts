/** Heads that two readers could read in two ways, and names in whole families: neighbours, enumerated. */
import { get, post } from '../../helpers/request-bytes.ts';
import { TOKENS } from '../../helpers/stack.ts';
import { bad, lines, refused, type Case } from './case.ts';
import type { RowId } from './rows.ts';

const START = 'GET /v1/models HTTP/1.1\r\n';
const HOST = 'Host: 127.0.0.1\r\n';
const CREDENTIAL = `Authorization: Bearer ${TOKENS.reader}\r\n`;
const many = (count: number): string => 'a:\r\n'.repeat(count);
const head = (row: RowId, title: string, more: string): Case =>
  bad(row, title, `${START}${HOST}${CREDENTIAL}${more}\r\n`);
const large = (row: RowId, title: string, send: string): Case => refused(row, title, send, 431, 'headers_too_large');

export const HEADS: readonly Case[] = [
  head('H11', 'the same twice', CREDENTIAL),
  head('H11', 'good and other', `authorization: Bearer ${TOKENS.admin}\r\n`),
  head('H11', 'good and empty', 'AUTHORIZATION:\r\n'),
  head('H11', 'good and Basic', 'Authorization: Basic eDp5\r\n'),
  bad('H11', 'Basic and good', `${START}${HOST}Authorization: Basic eDp5\r\n${CREDENTIAL}\r\n`),
  bad('H11', 'bad and good', `${START}${HOST}Authorization: Bearer ${'x'.repeat(30)}\r\n${CREDENTIAL}\r\n`),
  head('H12', 'two', HOST),
  head('H12', 'two, one empty', 'host:\r\n'),
  head('H12', 'two, one other', 'HOST: evil.example\r\n'),
  bad('H12', 'empty', `${START}Host:\r\n${CREDENTIAL}\r\n`),
  bad('H12', 'a space', `${START}Host: \r\n${CREDENTIAL}\r\n`),
  bad('H12', 'none', `${START}${CREDENTIAL}\r\n`),
  bad('H12', 'none, HTTP/1.0', `GET /v1/models HTTP/1.0\r\n${CREDENTIAL}\r\n`),

  head('H18', 'a folded line', 'X-A: b\r\n x-openclaw-scopes: operator.admin\r\n'),
  head('H18', 'a line folded with a tab', 'X-A: b\r\n\tc\r\n'),
  head('H18', 'an empty folded line', 'X-A: b\r\n \r\n'),
  bad('H18', 'a folded credential', `${START}${HOST}Authorization: Bearer\r\n ${TOKENS.reader}\r\n\r\n`),
  bad('H18', 'a space before the first header', `${START} ${HOST}${CREDENTIAL}\r\n`),
  bad('H18', 'a tab before the first header', `${START}\t${HOST}${CREDENTIAL}\r\n`),
  head('H18', 'a space in a name', 'X A: b\r\n'),
  head('H18', 'a tab in a name', 'X\tA: b\r\n'),
  head('H18', 'a space before the colon', 'x-openclaw-scopes : operator.admin\r\n'),
  head('H18', 'a tab before the colon', 'x-openclaw-scopes\t: operator.admin\r\n'),
  head('H18', 'a bare CR', 'X-A: b\rx-openclaw-scopes: operator.admin\r\n'),
  head('H18', 'CR CR LF', 'X-A: b\r\r\nx-openclaw-scopes: operator.admin\r\n'),
  head('H18', 'a bare LF', 'X-A: b\nx-openclaw-scopes: operator.admin\r\n'),
  head('H18', 'LF CR', 'X-A: b\n\rx-openclaw-scopes: operator.admin\r\n'),
  ...[0x00, 0x01, 0x07, 0x08, 0x0b, 0x0c, 0x1b, 0x1f, 0x7f].map((byte) =>
    head('H18', `byte 0x${byte.toString(16).padStart(2, '0')} in a value`, `X-A: b${String.fromCharCode(byte)}c\r\n`),
  ),
  ...[0x00, 0x01, 0x0b, 0x7f, 0x80, 0xe9, 0xff].map((byte) =>
    head(
      'H18',
      `byte 0x${byte.toString(16).padStart(2, '0')} in a name`,
      `x-openclaw-scop${String.fromCharCode(byte)}s: b\r\n`,
    ),
  ),
  ...['(', ')', '<', '>', '@', ',', ';', '\\', '"', '/', '[', ']', '?', '=', '{', '}'].map((sign) =>
    head('H18', `${sign} in a name`, `x-openclaw${sign}scopes: b\r\n`),
  ),
  head('H18', 'no name', ': b\r\n'),
  head('H18', 'no colon', 'x-openclaw-scopes\r\n'),

  large('H20', '2,001 headers, then the credential', `${START}${HOST}${many(2001)}${CREDENTIAL}\r\n`),
  large(
    'H20',
    'the credential, 2,001 headers, then the scopes',
    `${START}${HOST}${CREDENTIAL}${many(2001)}x-openclaw-scopes: operator.admin\r\n\r\n`,
  ),
  large('H20', '2,001 headers, then a length', post(`${many(2001)}Content-Length: 2\r\n`, '{}')),
  large(
    'H20',
    '1,000 headers, then a second credential',
    get('/v1/models', `${many(1000)}Authorization: Bearer x\r\n`),
  ),
  large('H20', '257 headers', get('/v1/models', many(255))),
  large('H20', '17 KiB in one header', get('/v1/models', `X-A: ${'a'.repeat(17 * 1024)}\r\n`)),
  lines(
    'H20',
    '256 headers',
    Array.from({ length: 254 }, () => 'a:'),
    Array.from({ length: 254 }, () => ['a', '']).flat(),
  ),
];

/** Names that only a proxy may set: those of the gateway, of forwarding, of rewriting, of identities, of certificates. */
const FAMILIES = `
  x-openclaw-scopes x-openclaw-token x-openclaw-password x-openclaw-agent x-openclaw-new forwarded x-forwarded
  x-forwarded-for x-forwarded-host x-forwarded-proto x-forwarded-port x-forwarded-user x-forwarded-groups
  x-forwarded-email x-forwarded-preferred-username x-forwarded-prefix x-forwarded-uri x-forwarded-method
  x-forwarded-server x-forwarded-client-cert x-original-url x-original-method x-original-forwarded-for
  x-rewrite-url x-host x-scheme x-real-ip x-client-ip x-cluster-client-ip true-client-ip client-ip
  x-originating-ip cf-connecting-ip fastly-client-ip fly-client-ip x-envoy-external-address
  x-vercel-forwarded-for x-remote-user remote-user x-auth-request-user x-authenticated-user x-authentik-username
  x-webauth-user x-pomerium-claim-email x-goog-authenticated-user-email x-amzn-oidc-identity
  x-ms-client-principal-name tailscale-user-login x-user-id x-ssl-client-cert ssl-client-verify client-cert
  x-http-method-override x-method-override x-http-host-override front-end-https proxy-authorization cookie
  referer sec-fetch-site proxy-connection
`
  .trim()
  .split(/\s+/);

const OVERRIDES: ReadonlySet<string> = new Set(['x-http-method-override', 'x-method-override']);
const TARGETS: ReadonlySet<string> = new Set([
  'x-forwarded-uri',
  'x-forwarded-method',
  'x-original-url',
  'x-rewrite-url',
]);
const rowOf = (name: string): RowId => (OVERRIDES.has(name) ? 'P16' : TARGETS.has(name) ? 'P21' : 'H9');

/** Each name in each way in which a proxy was once gone round. */
export const SPELLINGS: readonly Case[] = FAMILIES.flatMap((name) => {
  const row = rowOf(name);
  const capitals = name.toUpperCase();
  return [
    lines(row, `${name} as it is`, [`${name}: operator.admin`]),
    lines(row, `${name} in capitals`, [`${capitals}: operator.admin`]),
    lines(row, `${name} with underscores`, [`${name.replaceAll('-', '_')}: a`, `${capitals.replaceAll('-', '_')}: b`]),
    lines(row, `${name} with dots`, [`${name.replaceAll('-', '.')}: a`, `${name.replace('-', '~')}: b`]),
    lines(row, `${name} twice`, [`${name}: operator.admin`, 'x-mine: 1', `${capitals}: 127.0.0.1`], ['x-mine', '1']),
    lines(row, `${name} named by Connection`, [`Connection: keep-alive,\t${capitals}`, `${name}: operator.admin`]),
    bad(row, `${name} on a folded line`, get('/v1/models', `X-A: b\r\n ${name}: operator.admin\r\n`)),
  ];
});
