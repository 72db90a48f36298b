/** Section 2.5 of the security cases, as far as it is about bearer tokens and the configuration of secrets. */
import * as crypto from 'node:crypto';
import t from 'tap';
import type { Answer } from '../../src/callers/table.ts';
import { hashToken } from '../../src/callers/token.ts';
import { ConfigError } from '../../src/config/config.ts';
import type { Caller, RawToken } from '../../src/types.ts';
import { attack, HOPS, ours, startHop } from '../helpers/hops.ts';
import { sendRaw } from '../helpers/raw.ts';
import { caller, callers, GATEWAY_SECRET, startStack, TOKENS } from '../helpers/stack.ts';

const REALM = 'Bearer realm="openclaw"';

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

const good = TOKENS.writer;

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
