/** The head of a request for a WebSocket, on its own: who asks is judged elsewhere. */
import t from 'tap';
import { asksForWebSocket, readUpgrade, type UpgradeHead } from '../../src/headers/upgrade.ts';
import type { Refusal } from '../../src/errors.ts';
import type { RequestFacts } from '../../src/types.ts';

/** RFC 6455 section 1.3. */
const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const GOOD: readonly string[] = ['Host', 'localhost', 'Sec-WebSocket-Version', '13', 'Sec-WebSocket-Key', KEY];
const without = (name: string): string[] => GOOD.filter((_, i, all) => (i % 2 === 0 ? all[i] : all[i - 1]) !== name);

function read(rawHeaders: readonly string[], subprotocolToken = false, more: Partial<RequestFacts> = {}) {
  const upgrade = { early: false };
  const facts = { method: 'GET', target: '/', httpVersion: '1.1', rawHeaders, peer: undefined, upgrade, ...more };
  return readUpgrade(facts, subprotocolToken);
}

const offer = (...lines: readonly string[]): string[] => [
  ...GOOD,
  ...lines.flatMap((line) => ['Sec-WebSocket-Protocol', line]),
];
const reasonOf = (answer: UpgradeHead | Refusal): string =>
  'kind' in answer ? `${answer.code}: ${answer.reason}` : 'passes';

void t.test('a head that is whole', async (t) => {
  t.strictSame(read(GOOD), { authorization: undefined, protocol: undefined });
  t.strictSame(
    read(GOOD.map((text, i) => (i % 2 === 0 ? text.toUpperCase() : text))),
    { authorization: undefined, protocol: undefined },
    'names have no case',
  );
  const values = ['X-A', 'Content-Length', 'X-B', 'Sec-WebSocket-Version', 'X-C', 'Authorization', 'X-D', 'd'];
  t.equal(reasonOf(read([...values, ...GOOD])), 'passes', 'a value is no name');
  for (const last of 'AQgw') t.equal(reasonOf(read([...without('Sec-WebSocket-Key'), 'sec-websocket-key', `${'+/'.repeat(10)}9${last}==`])), 'passes', last); // prettier-ignore
});

interface BadHead {
  readonly name: string;
  readonly headers?: readonly string[];
  readonly more?: Partial<RequestFacts>;
  readonly reason: string;
}

const withKey = (key: string): string[] => [...without('Sec-WebSocket-Key'), 'Sec-WebSocket-Key', key];
const NO_FRAMING = 'a request for a WebSocket has no body and no framing headers';
const BAD_KEY = 'the Sec-WebSocket-Key is malformed';
const BAD_PROTOCOL = 'the Sec-WebSocket-Protocol is malformed';

const BAD: readonly BadHead[] = [
  ...['POST', 'HEAD', 'get', 'CONNECT', 'OPTIONS'].map((method) => ({
    name: method,
    more: { method },
    reason: 'a WebSocket is asked for with GET',
  })),
  { name: 'a length', headers: [...GOOD, 'Content-Length', '5'], reason: NO_FRAMING },
  { name: 'a length of nothing', headers: [...GOOD, 'CONTENT-LENGTH', '0'], reason: NO_FRAMING },
  { name: 'chunks', headers: [...GOOD, 'transfer-encoding', 'chunked'], reason: NO_FRAMING },
  {
    name: 'bytes behind it',
    more: { upgrade: { early: true } },
    reason: 'bytes came before the answer to a request for a WebSocket',
  },
  { name: 'no key', headers: without('Sec-WebSocket-Key'), reason: BAD_KEY },
  { name: 'two keys', headers: [...GOOD, 'sec-websocket-key', KEY], reason: BAD_KEY },
  { name: 'a list of keys', headers: withKey(`${KEY}, ${KEY}`), reason: BAD_KEY },
  { name: 'an empty key', headers: withKey(''), reason: BAD_KEY },
  { name: 'a key of 15 bytes', headers: withKey('AAAAAAAAAAAAAAAAAAAA'), reason: BAD_KEY },
  { name: 'a key of 17 bytes', headers: withKey(`${'A'.repeat(23)}=`), reason: BAD_KEY },
  { name: 'a key whose last bits are not zero', headers: withKey(`${'A'.repeat(21)}B==`), reason: BAD_KEY },
  { name: 'a key in base64url', headers: withKey(`-_${'A'.repeat(20)}==`), reason: BAD_KEY },
  { name: 'a key with a line break behind it', headers: withKey(`${KEY}\n`), reason: BAD_KEY },
  { name: 'an empty subprotocol', headers: offer(''), reason: BAD_PROTOCOL },
  { name: 'an empty member', headers: offer('a,,b'), reason: BAD_PROTOCOL },
  { name: 'no token', headers: offer('a b'), reason: BAD_PROTOCOL },
  { name: 'one subprotocol twice', headers: offer('a, b, a'), reason: BAD_PROTOCOL },
  { name: 'one subprotocol in two lines', headers: offer('a', 'a'), reason: BAD_PROTOCOL },
];

void t.test('400, whether or not a token may come as a subprotocol', async (t) => {
  for (const { name, headers = GOOD, more, reason } of BAD) {
    for (const open of [false, true]) {
      const message = `Bad request: ${reason}.`;
      t.strictSame(read(headers, open, more), { kind: 'refuse', code: 'bad_request', message, reason }, name);
    }
  }
});

void t.test('426, with the version that is spoken, for any other', async (t) => {
  const versions = [[], ['12'], ['8'], ['013'], ['13, 8'], ['13', '13'], ['13', '8'], ['']];
  for (const lines of versions) {
    const headers = [...without('Sec-WebSocket-Version'), ...lines.flatMap((line) => ['Sec-WebSocket-Version', line])];
    t.strictSame(
      read(headers),
      {
        kind: 'refuse',
        code: 'upgrade_required',
        message: 'Only version 13 of the WebSocket protocol is spoken here.',
        headers: ['upgrade', 'websocket', 'sec-websocket-version', '13'],
      },
      lines.join(' | '),
    );
  }
});

void t.test('subprotocols are passed over, unless a token may come as one', async (t) => {
  for (const lines of [['openclaw.v1'], ['openclaw.v1, bearer.secret'], ['bearer.a', 'bearer.b'], ['mqtt']]) {
    t.strictSame(read(offer(...lines)), { authorization: undefined, protocol: undefined }, lines.join(' | '));
  }
});

void t.test('a token that comes as a subprotocol', async (t) => {
  const token = { authorization: 'Bearer se.cr-et_0', protocol: 'openclaw.v1' };
  t.strictSame(read(offer('openclaw.v1, bearer.se.cr-et_0'), true), token);
  t.strictSame(read(offer('bearer.se.cr-et_0', 'mqtt,openclaw.v1'), true), token, 'in any order, in any line');
  t.strictSame(read(offer('openclaw.v1'), true), { authorization: undefined, protocol: 'openclaw.v1' });
  t.strictSame(read(offer('mqtt, OpenClaw.v1'), true), { authorization: undefined, protocol: undefined });
  t.strictSame(read(GOOD, true), { authorization: undefined, protocol: undefined });
  t.strictSame(read(offer('openclaw.v1, Bearer.x'), true), { authorization: undefined, protocol: 'openclaw.v1' });
  t.strictSame(
    read(offer('openclaw.v1, bearer.'), true),
    { authorization: 'Bearer ', protocol: 'openclaw.v1' },
    'an empty one is a credential that is malformed, not one that is missing',
  );
});

void t.test('a token that comes in two ways, or in half of one', async (t) => {
  const authorized = ['Authorization', 'Bearer x'];
  t.equal(reasonOf(read(offer('bearer.a'), true)), 'bad_request: a bearer subprotocol needs openclaw.v1 beside it');
  t.equal(
    reasonOf(read(offer('openclaw.v1, bearer.a, bearer.b'), true)),
    'bad_request: more than one bearer subprotocol',
  );
  t.equal(
    reasonOf(read([...offer('openclaw.v1, bearer.a'), ...authorized], true)),
    'bad_request: a bearer subprotocol beside an Authorization header',
  );
  t.equal(reasonOf(read([...offer('openclaw.v1'), ...authorized], true)), 'passes');
  for (const lines of [['bearer.secret'], ['openclaw.v1, bearer.secret, bearer.b']]) {
    t.notMatch(JSON.stringify(read(offer(...lines), true)), /secret/, 'what is said of it does not quote it');
  }
});

void t.test('what asks for a WebSocket and for nothing else', async (t) => {
  const cases: readonly (readonly [lines: readonly string[], asks: boolean])[] = [
    [['websocket'], true],
    [['WebSocket'], true],
    [[], false],
    [[''], false],
    [['h2c'], false],
    [['websocket, h2c'], false],
    [['websocket', 'h2c'], false],
    [['h2c', 'websocket'], false],
    [['websocket', 'websocket'], false],
    [['websocket/13'], false],
    [['websockets'], false],
  ];
  for (const [lines, asks] of cases) {
    t.equal(asksForWebSocket(['Host', 'websocket', ...lines.flatMap((line) => ['uPgrade', line])]), asks, lines.join(' | ')); // prettier-ignore
  }
  t.equal(asksForWebSocket(['X-A', 'upgrade', 'WebSocket', 'x']), false, 'a value is no name');
  t.equal(asksForWebSocket([]), false);
});
