/** Bearer tokens, and addresses behind trusted proxies. */
import { hashToken } from '../../../src/callers/token.ts';
import { STAND_IN } from '../../helpers/hops.ts';
import { get } from '../../helpers/request-bytes.ts';
import { TOKENS } from '../../helpers/stack.ts';
import { POLICY_TOKENS } from './callers.ts';
import { bad, passed, refused, type Case } from './case.ts';

const good = TOKENS.writer;
const REALM = 'Bearer realm="openclaw"';
const challenge = (words: string): string => `${REALM}, error="invalid_token", error_description="${words}"`;

/** Ten failures of one address within a minute change the answer: here each comes from its own. */
let nth = 0;
function failing(title: string, line: string, code = 'invalid_token', words = 'The bearer token is not valid.'): Case {
  const head = `GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-For: 198.51.100.${++nth}\r\n`;
  const expected = code === 'missing_token' ? REALM : challenge(words);
  return refused('C2', title, `${head}${line}\r\n`, 401, code, {
    variant: 'open',
    headers: { 'www-authenticate': expected },
  });
}
const missing = (title: string, line: string): Case => failing(title, line, 'missing_token');
const bearer = (title: string, value: string): Case => failing(title, `Authorization: Bearer ${value}\r\n`);

const MALFORMED: readonly Case[] = [
  missing('no header', ''),
  missing('an empty header', 'Authorization:\r\n'),
  missing('Basic', `Authorization: Basic ${Buffer.from(`x:${good}`).toString('base64')}\r\n`),
  missing('Digest', `Authorization: Digest token="${good}"\r\n`),
  missing('the token alone', `Authorization: ${good}\r\n`),
  missing('a longer scheme', `Authorization: BearerX ${good}\r\n`),
  missing('another scheme of tokens', `Authorization: Token ${good}\r\n`),
  missing('in other headers', `X-Api-Key: ${good}\r\nProxy-Authorization: Bearer ${good}\r\nCookie: token=${good}\r\n`),
  missing('in a folded name', `author_ization: Bearer ${good}\r\nAuthorization_: Bearer ${good}\r\n`),
  failing('the scheme alone', 'Authorization: Bearer\r\n'),
  failing('the scheme and a space', 'Authorization: Bearer \r\n'),
  failing('a tab', `Authorization: Bearer\t${good}\r\n`),
  failing('short', 'Authorization: bearer  x\r\n'),
  bearer('two spaces', ` ${good}`),
  bearer('two tokens', `${good} ${good}`),
  bearer('a list', `${good}, Bearer ${good}`),
  bearer('a comma behind', `${good},`),
  bearer('Bearer, then Basic', `${good}, Basic eDp5`),
  bearer('quoted', `"${good}"`),
  bearer('named', `token=${good}&x`),
  bearer('obs-text behind', `${good}\xff`),
  bearer('an equals sign behind', `${good}=`),
  bearer('another case', good.toUpperCase()),
  bearer('less its last character', good.slice(0, -1)),
  bearer('with one character more', `${good}x`),
  bearer('its hash', hashToken(good)),
  bearer('its hash as it is configured', `sha256:${hashToken(good)}`),
  bearer('unknown', 'u'.repeat(32)),
  bearer('513 characters', 'v'.repeat(513)),
  bearer('8 KB', 'w'.repeat(8_000)),
  bearer(
    'a JWT without an issuer',
    `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from('{"sub":"admin"}').toString('base64url')}.`,
  ),
  bearer('a path', '../../etc/passwd-and-more-of-it'),
  bearer('a format', '%s%s%s%n{{7*7}}${7*7}-0123456789'),
  failing(
    'expired',
    `Authorization: Bearer ${POLICY_TOKENS.late}\r\n`,
    'expired_token',
    'The bearer token has expired.',
  ),
  failing(
    'not valid yet',
    `Authorization: Bearer ${POLICY_TOKENS.early}\r\n`,
    'not_yet_valid_token',
    'The bearer token is not valid yet.',
  ),
  failing('good, but from elsewhere', `Authorization: Bearer ${POLICY_TOKENS.away}\r\n`),
  ...['Bearer', 'bearer', 'BEARER', 'bEaReR'].map((scheme) =>
    passed(
      'C2',
      `${scheme} is the scheme`,
      `GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: \t${scheme} ${good} \r\n\r\n`,
      { caller: 'writer' },
    ),
  ),
];

/** Where callers have an address. */
const ADDRESSED = ['tcp', 'tls'] as const;
const from = (title: string, lines: readonly string[], client: string): Case =>
  passed(
    'H24',
    `behind a trusted proxy: ${title}`,
    get('/v1/models', lines.map((line) => `${line}\r\n`).join(''), TOKENS.reader),
    { caller: 'reader', client },
    { variant: 'open', over: ADDRESSED },
  );
const FORWARDED_FOR: readonly Case[] = [
  ...['203.0.113.9', 'rubbish'].map((value) =>
    passed(
      'H24',
      `on a unix socket, where nobody has an address: ${value}`,
      get('/v1/models', `X-Forwarded-For: ${value}\r\n`),
      { caller: 'writer', client: STAND_IN },
      { variant: 'open', over: ['unix'] },
    ),
  ),
  from('nothing said', [], STAND_IN),
  from('one address', ['X-Forwarded-For: 203.0.113.9'], '203.0.113.9'),
  from('the last that is no proxy', ['X-Forwarded-For: 127.0.0.1, 203.0.113.9'], '203.0.113.9'),
  from(
    'two lines, the last a proxy',
    ['X-Forwarded-For: 8.8.8.8', 'x-forwarded-for: 203.0.113.9, 10.1.1.1'],
    '203.0.113.9',
  ),
  from(
    'folded names do not count',
    ['X-Forwarded-For: 203.0.113.9', 'X_Forwarded_For: 8.8.8.8', 'X-Real-IP: 8.8.8.8', 'Forwarded: for=8.8.8.8'],
    '203.0.113.9',
  ),
  from('named by Connection', ['X-Forwarded-For: 203.0.113.9', 'Connection: x-forwarded-for'], '203.0.113.9'),
  from('loopback', ['X-Forwarded-For: 203.0.113.9, ::1'], STAND_IN),
  from('loopback as IPv6', ['X-Forwarded-For: 203.0.113.9, ::ffff:127.0.0.2'], STAND_IN),
  from('a proxy alone', ['X-Forwarded-For: 10.0.0.1'], STAND_IN),
  from('with a port', ['X-Forwarded-For: 203.0.113.9:1234'], '203.0.113.9'),
  ...[
    'unknown',
    '',
    '8.8.8.8,',
    'evil.example',
    '127.1',
    '"203.0.113.9"',
    '0.0.0.0',
    '203.0.113.9;',
    '203.0.113.256',
    '[203.0.113.9]x',
  ].map((value) =>
    bad('H24', `behind a trusted proxy: ${JSON.stringify(value)}`, get('/v1/models', `X-Forwarded-For: ${value}\r\n`), {
      variant: 'open',
      over: ADDRESSED,
    }),
  ),
];

export const CREDENTIALS: readonly Case[] = [...MALFORMED, ...FORWARDED_FOR];
