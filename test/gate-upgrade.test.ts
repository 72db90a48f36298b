/** The gate, asked for a WebSocket: the same gate, in the same order. */
import { BlockList } from 'node:net';
import t from 'tap';
import { createCallerTable } from '../src/callers/table.ts';
import { hashToken } from '../src/callers/token.ts';
import type { About, Decision, Upgrade } from '../src/decision.ts';
import { refuse } from '../src/errors.ts';
import { createGate, type Gate, type GateParts } from '../src/gate.ts';
import { createPresenter } from '../src/gateway/present.ts';
import type { Admitted } from '../src/limits/limiter.ts';
import { createAuthorize } from '../src/policy/authorize.ts';
import type { Caller, RawToken, RequestFacts, Scope } from '../src/types.ts';
import { OPEN, testConfig, type ConfigParts } from './helpers/config.ts';

const NOW = Date.UTC(2026, 5, 1);
const token = (name: string): string => `${name}-token-0123456789-abcdef`;
const idOf = (name: string): string => hashToken(token(name) as RawToken).slice(0, 12);

function caller(name: string, scopes: readonly Scope[], more: Partial<Caller> = {}): Caller {
  const hash = hashToken(token(name) as RawToken);
  const tokens = [{ hash, id: hash.slice(0, 12) }];
  return { name, tokens, scopes, allowHeaders: [], onForbiddenHeader: 'refuse', ...more };
}

const METHODS = { allow: ['chat.*'], deny: [] };
const RELAY = caller('relay', ['operator.read', 'operator.write'], { websocket: 'relay', methods: METHODS });
const TUNNEL = caller('tunnel', ['operator.admin'], { websocket: 'tunnel' });
const callers = [RELAY, TUNNEL, caller('plain', ['operator.admin'])];

interface Parts extends ConfigParts {
  readonly gate?: Partial<GateParts>;
  readonly endAtExpiry?: boolean;
}

function gateOf({ gate, endAtExpiry = true, ...parts }: Parts = {}): Gate {
  const listen = { origins: new Set(['https://app.example']), ...parts.listen };
  const made = testConfig({ callers, ...parts, listen });
  const config = { ...made, stream: { ...made.stream, endAtExpiry } };
  return createGate({
    config,
    callers: createCallerTable(config.callers),
    authorize: createAuthorize(config, () => 'RANDOM'),
    presenter: createPresenter(config.gateway.auth),
    ...OPEN,
    now: () => NOW,
    ...gate,
  });
}

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const WS = ['Connection', 'Upgrade', 'Upgrade', 'websocket', 'Sec-WebSocket-Version', '13', 'Sec-WebSocket-Key', KEY];
const HOST = ['Host', 'localhost'];
const as = (name: string): string[] => ['Authorization', `Bearer ${token(name)}`];
const FACTS = { method: 'GET', target: '/', httpVersion: '1.1', peer: '192.0.2.9', upgrade: { early: false } };

const ask = (rawHeaders: readonly string[], parts?: Parts, facts: Partial<RequestFacts> = {}) =>
  gateOf(parts).decide({ ...FACTS, rawHeaders, ...facts });

const decide = (...args: Parameters<typeof ask>): Decision => ask(...args) as Decision;

function opens(...args: Parameters<typeof ask>): Upgrade {
  const decision = decide(...args);
  if (decision.kind !== 'upgrade') throw new Error(`no upgrade: ${JSON.stringify(decision)}`);
  return decision;
}

void t.test('a relay: nothing of the caller’s goes on, but its trace', async (t) => {
  const released: string[] = [];
  const admitted: Admitted = { kind: 'admitted', headers: ['ratelimit-limit', '9'], release: () => released.push('x') };
  const limiter = { ...OPEN.limiter, admit: () => admitted };
  const theirs = ['x-openclaw-scopes', 'operator.admin', 'X-Forwarded-For', '127.0.0.1', 'User-Agent', 'u', 'Cookie', 'c']; // prettier-ignore
  const rawHeaders = [...HOST, ...theirs, ...WS, ...as('relay'), 'Origin', 'https://app.example'];
  const { kind, mode, caller: who, protocol, answerHeaders, about, headersWith, release } = opens(rawHeaders, { gate: { limiter } }); // prettier-ignore
  t.strictSame([kind, mode, protocol, answerHeaders], ['upgrade', 'relay', undefined, ['ratelimit-limit', '9']]);
  t.equal(who, RELAY);
  const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-03`;
  t.strictSame(headersWith(['operator.read']), ['x-openclaw-scopes', 'operator.read', 'traceparent', traceparent]);
  t.strictSame(headersWith([]), ['x-openclaw-scopes', '', 'traceparent', traceparent]);
  t.match(about, {
    peer: '192.0.2.9',
    origin: 'https://app.example',
    caller: 'relay',
    token: { id: idOf('relay') },
    scopes: ['operator.read', 'operator.write'],
    route: { method: 'GET', template: '/', websocket: 'relay' },
    socket: { mode: 'relay', scopes: [], methods: METHODS },
  });
  t.strictSame(released, []);
  release();
  t.strictSame(released, ['x'], 'the room is that of the limiter');
});

void t.test('a tunnel: the caller’s own headers go on, but for what is ours', async (t) => {
  const theirs = ['X-OpenClaw-Scopes', 'operator.pairing', 'x_forwarded_user', 'a', 'User-Agent', 'u', 'X-Named', 'n', 'Cookie', 'c']; // prettier-ignore
  const nominating = ['Connection', 'x-named, x-openclaw-scopes, traceparent'];
  const { mode, about, headersWith } = opens([...HOST, ...theirs, ...nominating, ...WS, ...as('tunnel')]);
  t.equal(mode, 'tunnel');
  t.strictSame(about.socket, { mode: 'tunnel', scopes: ['operator.admin'], methods: undefined });
  t.strictSame(headersWith(['operator.admin']), [
    'User-Agent',
    'u',
    'x-openclaw-scopes',
    'operator.admin',
    'traceparent',
    `00-${'a'.repeat(32)}-${'b'.repeat(16)}-03`,
  ]);
});

void t.test('in the trusted-proxy hop a relay with the local password is told of by no proxy’s header', async (t) => {
  const auth = {
    mode: 'trusted-proxy',
    userHeader: 'x-user',
    requiredHeaders: [],
    clientAddress: '192.0.2.1',
  } as const;
  const names = (name: string, password?: string): string[] =>
    opens([...HOST, ...WS, ...as(name)], { auth: { ...auth, ...(password !== undefined && { password }) } })
      .headersWith(['operator.read'])
      .filter((_, i) => i % 2 === 0);
  const identity = ['x-user', 'x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host'];
  t.strictSame(names('relay', 'password'), ['x-openclaw-scopes', 'traceparent']);
  t.strictSame(names('relay'), [...identity, 'x-openclaw-scopes', 'traceparent']);
  t.strictSame(names('tunnel', 'password'), [...identity, 'x-openclaw-scopes', 'traceparent']);
});

/** One fault a stage, in the order of the stages. */
interface Fault {
  readonly says: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly facts?: Partial<RequestFacts>;
  readonly gate?: Partial<GateParts>;
}

const FULL: GateParts['limiter'] = {
  admit: () => refuse('too_many_sockets'),
  failedLogin: () => undefined,
  failsTooOften: () => undefined,
  unanswered: () => undefined,
};
const FAULTS: readonly Fault[] = [
  { says: '400 HTTP/1.1 is required (nginx: proxy_http_version 1.1)', facts: { httpVersion: '1.0' } },
  { says: '400 the path has a dot segment', facts: { target: '/..' } },
  { says: 'host_not_allowed', headers: { Host: 'evil.example' } },
  { says: 'origin_not_allowed', headers: { Origin: 'https://evil.example' } },
  { says: '400 bytes came before the answer to a request for a WebSocket', facts: { upgrade: { early: true } } },
  { says: 'upgrade_required', headers: { 'Sec-WebSocket-Version': '8' } },
  { says: '400 the Sec-WebSocket-Key is malformed', headers: { 'Sec-WebSocket-Key': 'x' } },
  { says: 'invalid_token', headers: { Authorization: 'Bearer x' } },
  { says: 'route_not_exposed', facts: { target: '/?' } },
  { says: 'route_not_exposed', headers: { Authorization: `Bearer ${token('plain')}` } },
  { says: 'audit_unavailable', gate: { unaudited: () => true } },
  { says: 'too_many_sockets', gate: { limiter: FULL } },
];

function withFaults(...faults: readonly Fault[]): string {
  const facts: Partial<RequestFacts> = {};
  const gate: Partial<GateParts> = {};
  const headers = Object.fromEntries([...HOST, ...as('relay'), ...WS].flatMap((name, i, all) => (i % 2 === 0 ? [[name, all[i + 1] ?? '']] : []))); // prettier-ignore
  // The first fault counts where two want the same part of the request.
  for (const fault of faults.toReversed()) {
    Object.assign(headers, fault.headers);
    Object.assign(facts, fault.facts);
    Object.assign(gate, fault.gate);
  }
  const decision = decide(Object.entries(headers).flat(), { gate }, facts);
  if (decision.kind !== 'refuse') return decision.kind;
  return decision.code === 'bad_request' ? `400 ${decision.reason}` : decision.code;
}

void t.test('each stage is heard by itself, and before every later one', async (t) => {
  t.equal(withFaults(), 'upgrade');
  for (const [index, first] of FAULTS.entries()) {
    t.equal(withFaults(first), first.says);
    for (const later of FAULTS.slice(index + 1)) t.equal(withFaults(first, later), first.says, `before ${later.says}`);
    t.equal(withFaults(...FAULTS.slice(index)), first.says, 'before all of them');
  }
});

void t.test(
  'without a valid credential every target answers alike, and nobody learns who has a WebSocket',
  async (t) => {
    for (const target of ['/', '/?', '/v1/models', '/nowhere', '/ws']) {
      const { about: _, ...refusal } = decide([...HOST, ...WS], {}, { target }) as Extract<
        Decision,
        { kind: 'refuse' }
      >;
      t.strictSame(refusal, { kind: 'refuse', code: 'missing_token' }, target);
      t.match(decide([...HOST, ...WS, 'Authorization', 'Bearer x'], {}, { target }), { code: 'invalid_token' }, target);
    }
  },
);

void t.test('a failed login is counted, and a caller from elsewhere is none', async (t) => {
  const logins: unknown[] = [];
  const limiter: GateParts['limiter'] = {
    ...OPEN.limiter,
    failedLogin: (...about) => {
      logins.push(about);
      return 7;
    },
  };
  const from = new BlockList();
  from.addSubnet('10.0.0.0', 8, 'ipv4');
  const parts = { callers: [{ ...RELAY, from }], gate: { limiter } };
  t.match(decide([...HOST, ...WS, ...as('relay')], parts), { code: 'rate_limited', retryAfter: 7 });
  t.strictSame(logins, [['192.0.2.9', idOf('relay')]]);
  t.equal(opens([...HOST, ...WS, ...as('relay')], parts, { peer: '10.0.0.1' }).kind, 'upgrade');
});

void t.test('the limiter is asked for a socket, with the limits of its caller, and may take its time', async (t) => {
  const asked: unknown[] = [];
  const limits = { sockets: 2 };
  const answers = [refuse('too_many_sockets'), { kind: 'admitted', headers: [], release: () => undefined } as const];
  const admit: GateParts['limiter']['admit'] = async (...args) => {
    asked.push(args);
    return answers.shift() ?? refuse('internal_error');
  };
  const parts = { callers: [{ ...RELAY, limits }, TUNNEL], gate: { limiter: { ...OPEN.limiter, admit } } };
  t.match(await ask([...HOST, ...WS, ...as('relay')], parts), { kind: 'refuse', code: 'too_many_sockets', about: { caller: 'relay', route: { template: '/' } } }); // prettier-ignore
  t.match(await ask([...HOST, ...WS, ...as('tunnel')], parts), { kind: 'upgrade', mode: 'tunnel' });
  t.strictSame(asked, [
    ['relay', limits, 'socket'],
    ['tunnel', {}, 'socket'],
  ]);
});

void t.test('a token in the first frame: asked once more with it, and only where that is open', async (t) => {
  const open = { listen: { websocket: { firstFrameToken: true, subprotocolToken: false } } };
  const first = decide([...HOST, ...WS, 'Origin', 'https://app.example'], open);
  t.equal(first.kind, 'first-frame');
  t.match(first.about, { peer: '192.0.2.9', origin: 'https://app.example' });
  t.strictSame(Object.keys(first.about).toSorted(), ['origin', 'peer', 'trace'], 'nobody is known yet');
  t.equal(decide([...HOST, ...WS, ...as('relay')], open).kind, 'upgrade');
  t.match(decide([...HOST, ...WS, ...as('plain')], open), { code: 'route_not_exposed' });
  t.match(decide([...HOST, ...WS, 'Authorization', 'Bearer x'], open), { code: 'invalid_token' }, 'a bad header is not given another try'); // prettier-ignore
  t.match(decide([...HOST, ...WS, 'Authorization', ''], open), { kind: 'refuse' });
  const wrong = { ...createCallerTable([]), authenticate: () => refuse('invalid_certificate') };
  t.match(decide([...HOST, ...WS], { ...open, gate: { callers: wrong } }), { code: 'invalid_certificate' }, 'a token is not what is missing'); // prettier-ignore
  for (const target of ['/?', '/ws', '/v1/models']) {
    t.match(decide([...HOST, ...WS], open, { target }), { code: 'missing_token' }, target);
  }
  t.match(decide(['Host', 'evil.example', ...WS], open), { code: 'host_not_allowed' });
  t.match(decide([...HOST, ...WS, 'Origin', 'null'], open), { code: 'origin_not_allowed' });
  t.match(decide([...HOST, ...WS], open, { upgrade: { early: true } }), { code: 'bad_request' });
  const { upgrade: _, ...plain } = FACTS;
  t.match(gateOf(open).decide({ ...plain, rawHeaders: HOST }), { code: 'missing_token' }, 'a request has no frames');
});

void t.test('a token as a subprotocol: where that is open, and beside no other', async (t) => {
  const offered = ['Sec-WebSocket-Protocol', `openclaw.v1, bearer.${token('relay')}`];
  const open = { listen: { websocket: { firstFrameToken: true, subprotocolToken: true } } };
  t.match(opens([...HOST, ...WS, ...offered], open), { caller: { name: 'relay' }, protocol: 'openclaw.v1' });
  t.equal(opens([...HOST, ...WS, ...as('relay'), 'Sec-WebSocket-Protocol', 'openclaw.v1'], open).protocol, 'openclaw.v1'); // prettier-ignore
  t.equal(opens([...HOST, ...WS, ...as('relay'), ...offered]).protocol, undefined, 'closed: as if it were not there');
  t.match(decide([...HOST, ...WS, ...offered]), { code: 'missing_token' });
  t.match(decide([...HOST, ...WS, ...offered, ...as('relay')], open), { code: 'bad_request' });
  t.match(decide([...HOST, ...WS, 'Sec-WebSocket-Protocol', 'openclaw.v1, bearer.x'], open), { code: 'invalid_token' });
  t.match(decide([...HOST, ...WS, 'Sec-WebSocket-Protocol', 'openclaw.v1, bearer.'], open), { kind: 'refuse' }, 'no second try in a frame'); // prettier-ignore
});

void t.test('a plain GET of / is told to upgrade, by whom it is open for', async (t) => {
  const { upgrade: _, ...facts } = FACTS;
  const plain = (name: string, more: object = {}) =>
    gateOf().decide({ ...facts, rawHeaders: [...HOST, ...as(name)], ...more });
  t.match(plain('relay'), { code: 'upgrade_required', headers: ['upgrade', 'websocket'], about: { caller: 'relay' } });
  t.match(plain('tunnel'), { code: 'upgrade_required' });
  t.match(plain('plain'), { code: 'route_not_exposed' });
  t.match(plain('relay', { target: '/x' }), { code: 'route_not_exposed' });
  t.match(plain('relay', { method: 'POST' }), { code: 'route_not_exposed' });
});

void t.test('an upgrade is never forwarded as a request, also not to the open health routes', async (t) => {
  const open = { listen: { health: true } };
  t.match(decide([...HOST, ...WS], open, { target: '/health' }), { code: 'missing_token' });
  for (const target of ['/v1/models', '/health', '/v1/chat/completions']) {
    t.match(decide([...HOST, ...WS, ...as('relay')], open, { target }), { code: 'route_not_exposed' }, target);
  }
});

void t.test('what was let through is looked at again: token, caller, scopes, mode, methods', async (t) => {
  const about = (name: string, scopes?: readonly Scope[]): About => {
    const { about: known } = opens([...HOST, ...WS, ...as(name)]);
    if (scopes && known.socket) known.socket = { ...known.socket, scopes };
    return known;
  };
  const recheck = (known: About, now: readonly Caller[], starting = false, endAtExpiry = true) =>
    gateOf({ callers: now, endAtExpiry }).recheck(known, starting);
  const relay = about('relay', ['operator.read']);
  const expired = { ...RELAY, tokens: RELAY.tokens.map((one) => ({ ...one, expires: NOW })) };
  const lost = { code: 'insufficient_scope', reason: 'relay may not use this route any more' };

  t.equal(recheck(relay, [RELAY]), undefined);
  t.equal(recheck(relay, [{ ...RELAY, scopes: ['operator.read'] }]), undefined, 'what it has is still given');
  t.match(recheck(relay, []), { code: 'invalid_token' });
  t.match(recheck(relay, [{ ...RELAY, tokens: [] }]), { code: 'invalid_token' });
  t.match(recheck(relay, [{ ...RELAY, name: 'other' }]), { code: 'invalid_token' });
  t.match(recheck(relay, [expired]), { code: 'expired_token' });
  t.equal(recheck(relay, [expired], false, false), undefined, 'endAtExpiry: false');
  t.match(recheck(relay, [expired], true, false), { code: 'expired_token' }, 'but nothing is begun');
  t.match(recheck(relay, [{ ...RELAY, scopes: ['operator.approvals'] }]), lost);
  const { websocket: _, ...off } = RELAY;
  t.match(recheck(relay, [off]), lost);
  t.match(recheck(relay, [{ ...RELAY, websocket: 'tunnel' }]), lost);
  t.match(recheck(relay, [{ ...RELAY, methods: { allow: [], deny: [] } }]), lost);
  const { methods: __, ...free } = RELAY;
  t.match(recheck(relay, [free]), lost);

  t.equal(recheck(about('relay'), [{ ...RELAY, scopes: [] }]), undefined, 'nothing is given before the first frame');
  t.equal(recheck(about('tunnel'), [TUNNEL]), undefined);
  t.match(recheck(about('tunnel'), [{ ...TUNNEL, scopes: ['operator.write'] }]), { code: 'insufficient_scope' });
  const { socket: ___, ...unknown } = relay;
  t.match(recheck(unknown, [RELAY]), lost, 'what was given has to be known');
});
