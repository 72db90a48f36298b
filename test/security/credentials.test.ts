/** Section 2.5 of the security cases, as far as it is about bearer tokens and the configuration of secrets. */
import * as crypto from 'node:crypto';
import t from 'tap';
import type { Answer } from '../../src/callers/table.ts';
import { hashToken, mintToken } from '../../src/callers/token.ts';
import { ConfigError } from '../../src/config/config.ts';
import type { Caller, RawToken } from '../../src/types.ts';
import { attack, HOPS, ours, refused, startHop } from '../helpers/hops.ts';
import { sendRaw } from '../helpers/raw.ts';
import { caller, callers, GATEWAY_SECRET, startStack, TOKENS } from '../helpers/stack.ts';

const REALM = 'Bearer realm="openclaw"';
const INVALID = `${REALM}, error="invalid_token", error_description="The bearer token is not valid."`;

void t.test('C1 a known and an unknown token cost the same work', async (t) => {
  const calls: string[] = [];
  let equal = crypto.timingSafeEqual;
  const counted = {
    ...crypto,
    hash: (algorithm: string, data: string): string => (calls.push('hash'), crypto.hash(algorithm, data)),
    timingSafeEqual: (a: Uint8Array, b: Uint8Array): boolean => (
      calls.push(`compare ${a.length} ${b.length}`),
      equal(a, b)
    ),
  };
  type Table = typeof import('../../src/callers/table.ts');
  const { createCallerTable } = await t.mockImport<Table>('../../src/callers/table.ts', { 'node:crypto': counted });
  const hash = hashToken(TOKENS.reader);
  const one: Caller = {
    name: 'one',
    tokens: [{ hash, id: hash.slice(0, 12) }],
    scopes: [],
    allowHeaders: [],
    onForbiddenHeader: 'drop',
  };
  const table = createCallerTable([one]);
  const kindOf = (token: string): string =>
    (table.authenticate({ authorization: `Bearer ${token}` }, 0) as Answer).kind;
  for (const [token, kind] of [
    [TOKENS.reader, 'caller'],
    ['x'.repeat(TOKENS.reader.length), 'refuse'],
    [TOKENS.writer, 'refuse'],
  ] as const) {
    calls.length = 0;
    t.equal(kindOf(token), kind);
    t.ok(calls.includes('compare 32 32'), calls.join());
    t.equal(calls.length, 2, 'one hash, one comparison');
  }
  equal = () => false;
  t.equal(kindOf(TOKENS.reader), 'refuse', 'the comparison decides');
});

interface BadCredential {
  readonly name: string;
  /** The whole `Authorization` line, or nothing. */
  readonly line: string;
  readonly code: string;
  readonly challenge?: string;
}

const good = TOKENS.writer;
const BAD: readonly BadCredential[] = [
  { name: 'no header', line: '', code: 'missing_token', challenge: REALM },
  { name: 'an empty header', line: 'Authorization:\r\n', code: 'missing_token', challenge: REALM },
  {
    name: 'Basic',
    line: `Authorization: Basic ${Buffer.from(`x:${good}`).toString('base64')}\r\n`,
    code: 'missing_token',
    challenge: REALM,
  },
  { name: 'the token alone', line: `Authorization: ${good}\r\n`, code: 'missing_token', challenge: REALM },
  { name: 'a longer scheme', line: `Authorization: BearerX ${good}\r\n`, code: 'missing_token', challenge: REALM },
  {
    name: 'in another header',
    line: `X-Api-Key: ${good}\r\nProxy-Authorization: Bearer ${good}\r\nCookie: token=${good}\r\n`,
    code: 'missing_token',
    challenge: REALM,
  },
  {
    name: 'in a folded name',
    line: `author_ization: Bearer ${good}\r\nAuthorization_: Bearer ${good}\r\n`,
    code: 'missing_token',
    challenge: REALM,
  },
  { name: 'the scheme alone', line: 'Authorization: Bearer\r\n', code: 'invalid_token' },
  { name: 'two spaces', line: `Authorization: Bearer  ${good}\r\n`, code: 'invalid_token' },
  { name: 'a tab', line: `Authorization: Bearer\t${good}\r\n`, code: 'invalid_token' },
  { name: 'short', line: 'Authorization: bearer  x\r\n', code: 'invalid_token' },
  { name: 'two tokens', line: `Authorization: Bearer ${good} ${good}\r\n`, code: 'invalid_token' },
  { name: 'a list', line: `Authorization: Bearer ${good}, Bearer ${good}\r\n`, code: 'invalid_token' },
  { name: 'a comma behind', line: `Authorization: Bearer ${good},\r\n`, code: 'invalid_token' },
  { name: 'Bearer, then Basic', line: `Authorization: Bearer ${good}, Basic eDp5\r\n`, code: 'invalid_token' },
  { name: 'quoted', line: `Authorization: Bearer "${good}"\r\n`, code: 'invalid_token' },
  { name: 'named', line: `Authorization: Bearer token=${good}&x\r\n`, code: 'invalid_token' },
  { name: 'obs-text behind', line: `Authorization: Bearer ${good}\xff\r\n`, code: 'invalid_token' },
  { name: 'another case', line: `Authorization: Bearer ${good.toUpperCase()}\r\n`, code: 'invalid_token' },
  { name: 'its hash', line: `Authorization: Bearer ${hashToken(good)}\r\n`, code: 'invalid_token' },
  {
    name: 'its hash as it is configured',
    line: `Authorization: Bearer sha256:${hashToken(good)}\r\n`,
    code: 'invalid_token',
  },
  { name: 'unknown', line: `Authorization: Bearer ${'x'.repeat(32)}\r\n`, code: 'invalid_token' },
  {
    name: 'minted elsewhere',
    line: `Authorization: Bearer ${mintToken(() => new Uint8Array(32))}\r\n`,
    code: 'invalid_token',
  },
  { name: '513 characters', line: `Authorization: Bearer ${'x'.repeat(513)}\r\n`, code: 'invalid_token' },
];

void t.test('C2 credentials that are none', async (t) => {
  for (const { name, line, code, challenge = INVALID } of BAD) {
    for (const target of ['/v1/models', '/nowhere']) {
      await t.test(`${name}, ${target}`, async (t) => {
        // For each a shim of its own: ten failures within a minute change the answer.
        const stack = await startStack(t);
        const bytes = `GET ${target} HTTP/1.1\r\nHost: localhost\r\n${line}\r\n`;
        await refused(t, stack, bytes, { status: 401, code });
        const { answer, line: logged } = await attack(t, stack, bytes);
        t.equal(answer.headers['www-authenticate'], challenge);
        t.equal(logged.caller, undefined, 'nobody is named');
        t.equal(logged.route, undefined, 'no route is told');
        t.notOk(JSON.stringify(logged).includes('xxxx'), 'also a wrong token is not logged');
      });
    }
  }
  const stack = await startStack(t);
  for (const scheme of ['Bearer', 'bearer', 'BEARER', 'bEaReR']) {
    const { answer } = await attack(
      t,
      stack,
      `GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: \t${scheme} ${good} \r\n\r\n`,
    );
    t.equal(answer.status, 200, scheme);
  }
});

void t.test('C2 the validity of a token', async (t) => {
  const day = (offset: number): string => new Date(Date.now() + offset * 86_400_000).toISOString().slice(0, 10);
  const tokens = [
    'old-token-0123456789-abcdefghij',
    'early-token-0123456789-abcdefghi',
    'live-token-0123456789-abcdefghi',
  ] as RawToken[];
  const [old, early, live] = tokens.map((token) => `sha256:${hashToken(token)}`);
  const list = [
    'callers:',
    `  - { name: past, scopes: [operator.read], tokens: [{ hash: "${old}", expires: ${day(-1)} }, { hash: "${early}", notBefore: ${day(1)} }] }`,
    `  - { name: today, scopes: [operator.read], tokens: [{ hash: "${live}", notBefore: ${day(0)}, expires: ${day(0)} }] }`,
  ].join('\n');
  const stack = await startStack(t, { callers: list });
  const expected = [
    [401, 'expired_token', 'The bearer token has expired.'],
    [401, 'not_yet_valid_token', 'The bearer token is not valid yet.'],
    [200, undefined, undefined],
  ] as const;
  for (const [index, token] of tokens.entries()) {
    const [status, code, words] = expected[index] as (typeof expected)[number];
    const { answer, line, seen } = await attack(
      t,
      stack,
      `GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n\r\n`,
    );
    t.equal(answer.status, status);
    t.equal(line.code, code);
    t.equal(seen.length, code === undefined ? 1 : 0);
    if (code)
      t.equal(answer.headers['www-authenticate'], `${REALM}, error="invalid_token", error_description="${words}"`);
    t.notOk(JSON.stringify(stack.lines).includes(token));
  }
});

void t.test('C13 empty and unresolved secrets do not start', async (t) => {
  const hashes = [
    '""',
    '"sha256:"',
    'null',
    '"${TOKEN_HASH}"',
    `"${hashToken(good)}"`,
    `"sha256:${hashToken(good).toUpperCase()}"`,
    `"${good}"`,
  ];
  const filler = ['', '\n', 'undefined', 'changeme', 'CHANGEME', 'token\n'].map(
    (text) => `"sha256:${hashToken(text as RawToken)}"`,
  );
  for (const hash of [...hashes, ...filler]) {
    const text = `callers:\n  - { name: a, scopes: [operator.read], tokens: [{ hash: ${hash} }] }`;
    await t.rejects(startStack(t, { callers: text }), ConfigError, hash);
  }
  await t.rejects(
    startStack(t, { callers: `${callers()}\n${caller('twin', good, ['operator.read'])}` }),
    /listed already/,
  );
  for (const [name, value] of Object.entries({
    empty: '',
    blank: ' ',
    undefined: 'undefined',
    null: 'null',
    unresolved: '${X}',
    changeme: 'changeme',
    lines: 'a\nb',
  })) {
    await t.rejects(startStack(t, { env: { SECRET: value } }), ConfigError, name);
  }
  for (const auth of [
    '{ mode: token }',
    '{ mode: token, secret: { env: NOT_SET } }',
    '{ mode: token, secret: "" }',
    `{ mode: token, secret: ${GATEWAY_SECRET} }`,
    '{ mode: token, secret: {} }',
    '{ mode: trusted-proxy }',
    '{ mode: trusted-proxy, userHeader: "" }',
    '{ mode: trusted-proxy, userHeader: { env: NOT_SET } }',
  ]) {
    const failure = await startStack(t, { auth }).catch((error: unknown) => error);
    t.type(failure, ConfigError, auth);
    t.notMatch((failure as Error).message, GATEWAY_SECRET);
  }
});

for (const hop of HOPS) {
  void t.test(`C18 two callers at once on many connections, ${hop} hop`, async (t) => {
    const stack = await startHop(t, hop, { gateway: { chunkDelay: 1 } });
    const who = [
      { name: 'reader', token: TOKENS.reader, scopes: 'operator.read' },
      { name: 'writer', token: TOKENS.writer, scopes: 'operator.read,operator.write' },
      { name: 'admin', token: TOKENS.admin, scopes: 'operator.admin' },
    ] as const;
    const CONNECTIONS = 40;
    const REQUESTS = 6;
    const request = (connection: number, index: number): string => {
      const { name, token } = who[(connection + index) % who.length] as (typeof who)[number];
      return `GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-Mark: ${name} ${connection} ${index}\r\nAuthorization: Bearer ${token}\r\n\r\n`;
    };
    const answers = await Promise.all(
      Array.from({ length: CONNECTIONS }, (_, connection) =>
        sendRaw(stack.port, Array.from({ length: REQUESTS }, (_, index) => request(connection, index)).join(''), {
          responses: REQUESTS,
        }),
      ),
    );
    for (const { responses } of answers)
      t.strictSame(
        responses.map(({ status }) => status),
        Array(REQUESTS).fill(200),
      );
    t.equal(stack.gateway.requests.length, CONNECTIONS * REQUESTS);
    const marks = new Set<string>();
    for (const { rawHeaders } of stack.gateway.requests) {
      const [, mark = '', ...rest] = rawHeaders.slice(4);
      marks.add(mark);
      const expected = who.find(({ name }) => name === mark.split(' ')[0]);
      t.strictSame(rest, ours(hop, expected?.name ?? '', expected?.scopes ?? ''), mark);
    }
    t.equal(marks.size, CONNECTIONS * REQUESTS);
  });
}
