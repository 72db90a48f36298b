/** Callers: what is taken from the file, and what is refused. */
import t from 'tap';
import { hash } from 'node:crypto';
import { digest, faultsOf, loadText, SECRET, textOf, warningsOf } from '../helpers/configuration.ts';

const HASH = `sha256:${digest('a')}`;
const one = (rest: string): string => textOf({ callers: `[{ name: a, ${rest} }]` });
const token = (rest: string): string => one(`tokens: [{ hash: "${HASH}", ${rest} }]`);

void t.test('a caller in full', async (t) => {
  const { config } = await loadText(
    textOf({
      callers: `
  - name: agentpage
    tokens:
      - { hash: "${HASH}", notBefore: 2027-01-01, expires: 2027-01-31 }
      - { hash: "sha256:${digest('b')}", expires: "2027-01-31T12:00:00+01:00" }
    scopes: [operator.write, operator.write]
    allowHeaders: [session-key, x-openclaw-session-key, model]
    onForbiddenHeader: refuse
    agent: main
    sessionPrefix: "agent:main:page:"
  - { name: tools, tokens: [], scopes: [], tools: [web_fetch] }`,
    }),
  );
  t.same(config.callers, [
    {
      name: 'agentpage',
      tokens: [
        { hash: digest('a'), id: 'aaaaaaaaaaaa', notBefore: Date.UTC(2027, 0, 1), expires: Date.UTC(2027, 1, 1) },
        { hash: digest('b'), id: 'bbbbbbbbbbbb', expires: Date.UTC(2027, 0, 31, 11) },
      ],
      scopes: ['operator.write'],
      allowHeaders: ['x-openclaw-session-key', 'x-openclaw-model'],
      onForbiddenHeader: 'refuse',
      agent: 'main',
      sessionPrefix: 'agent:main:page:',
    },
    { name: 'tools', tokens: [], scopes: [], allowHeaders: [], onForbiddenHeader: 'drop', tools: ['web_fetch'] },
  ]);
});

const REFUSED: readonly { name: string; text: string; says: RegExp }[] = [
  {
    name: 'no name',
    text: textOf({ callers: '[{ scopes: [] }]' }),
    says: /^2:11 callers\[0\].name: this key is required/,
  },
  ...['', '-a', 'a b', 'ä', 'a/b', 'a'.repeat(129)].map((name) => ({
    name: `name "${name.slice(0, 8)}"`,
    text: textOf({ callers: `[{ name: "${name}" }]` }),
    says: /callers\[0\].name: expected a name/,
  })),
  {
    name: 'unknown key',
    text: one('scope: [operator.read]'),
    says: /callers\[0\].scope: unknown key \(did you mean "scopes"\?\)/,
  },
  {
    name: 'scopes as text',
    text: one('scopes: operator.read'),
    says: /callers\[0\].scopes: expected a list, found a text/,
  },
  {
    name: 'scope with comma',
    text: one('scopes: ["operator.read,operator.admin"]'),
    says: /scopes\[0\]: a comma in a scope/,
  },
  {
    name: 'scope without prefix',
    text: one('scopes: [read]'),
    says: /scopes\[0\]: unknown scope "read" \(did you mean "operator.read"\?\)/,
  },
  {
    name: 'scope in capitals',
    text: one('scopes: [Operator.Read]'),
    says: /scopes\[0\]: unknown scope .* "operator.read"/,
  },
  {
    name: 'scope of another world',
    text: one('scopes: [repo]'),
    says: /scopes\[0\]: unknown scope "repo"; known: operator.read/,
  },
  { name: 'unknown header', text: one('allowHeaders: [x-openclaw-scopes]'), says: /allowHeaders\[0\]: unknown header/ },
  { name: 'unknown answer', text: one('onForbiddenHeader: block'), says: /onForbiddenHeader: unknown answer "block"/ },
  {
    name: 'three tokens',
    text: one(
      `tokens: [${'abc'
        .split('')
        .map((c) => `{ hash: "sha256:${digest(c)}" }`)
        .join(', ')}]`,
    ),
    says: /tokens: at most two tokens/,
  },
  {
    name: 'one token twice',
    text: one(`tokens: [{ hash: "${HASH}" }, { hash: "${HASH}" }]`),
    says: /tokens\[1\].hash: this token is listed already, by "a"/,
  },
  {
    name: 'a token of another',
    text: textOf({
      callers: `[{ name: a, tokens: [{ hash: "${HASH}" }] }, { name: b, tokens: [{ hash: "${HASH}" }] }]`,
    }),
    says: /callers\[1\].tokens\[0\].hash: .* by "a"/,
  },
  {
    name: 'the same name',
    text: textOf({ callers: '[{ name: a }, { name: a }]' }),
    says: /callers\[1\].name: the caller "a" is listed twice/,
  },
  {
    name: 'a case twin',
    text: textOf({ callers: '[{ name: a }, { name: A }]' }),
    says: /callers\[1\].name: .* differs from "a" only in case/,
  },
  {
    name: 'a raw token',
    text: one(`tokens: [{ hash: ${SECRET} }]`),
    says: /hash: expected "sha256:".*auth-shim token hash/,
  },
  {
    name: 'a hash in capitals',
    text: one(`tokens: [{ hash: "${HASH.toUpperCase()}" }]`),
    says: /hash: expected "sha256:"/,
  },
  {
    name: 'a hash without its kind',
    text: one(`tokens: [{ hash: ${digest('a')} }]`),
    says: /hash: expected "sha256:"/,
  },
  ...['', 'undefined', 'null', 'changeme', 'password', 'token', 'changeme\n'].map((word) => ({
    name: `the hash of ${JSON.stringify(word)}`,
    text: one(`tokens: [{ hash: "sha256:${hash('sha256', word)}" }]`),
    says: /tokens\[0\].hash: this is the hash of a placeholder/,
  })),
  ...[
    '2027-02-30',
    '2027-13-01',
    '2027-1-1',
    '31.01.2027',
    'tomorrow',
    '2027-01-31T12:00:00',
    '2027-01-31T25:00:00Z',
    '2027-02-30T00:00:00Z',
    '99999-01-01',
  ].map((date) => ({
    name: `expires ${date}`,
    text: token(`expires: "${date}"`),
    says: /tokens\[0\].expires: expected a date that exists/,
  })),
  { name: 'a date that is a number', text: token('expires: 2027'), says: /expires: expected a date/ },
  {
    name: 'ends before it begins',
    text: token('notBefore: 2027-02-01, expires: 2027-01-31'),
    says: /expires: the token expires before notBefore/,
  },
  { name: 'agent in capitals', text: one('agent: Main'), says: /agent: expected an agent id/ },
  ...['page', 'Page:', ':page:', 'page/', ':', `${'a'.repeat(127)}:`].map((prefix) => ({
    name: `sessionPrefix ${prefix.slice(0, 8)}`,
    text: one(`sessionPrefix: "${prefix}"`),
    says: /sessionPrefix: expected 2 to 127/,
  })),
  ...['subagent:', 'cron:a:', 'acp:x-', 'agent:main:subagent:', 'agent:x:cron:'].map((prefix) => ({
    name: `sessionPrefix ${prefix}`,
    text: one(`sessionPrefix: "${prefix}"`),
    says: /sessionPrefix: .* reserved/,
  })),
  {
    name: 'agent and another prefix',
    text: one('agent: main, sessionPrefix: "page:"'),
    says: /sessionPrefix: with agent "main" it must begin with "agent:main:"/,
  },
  {
    name: 'agent, and the prefix of a longer one',
    text: one('agent: main, sessionPrefix: "agent:main2:"'),
    says: /sessionPrefix: with agent "main"/,
  },
  {
    name: 'agent and a free session key',
    text: one('agent: main, allowHeaders: [session-key]'),
    says: /allowHeaders: a session key can name any agent/,
  },
  {
    name: 'agent and tools',
    text: one('agent: main, tools: [a]'),
    says: /tools: a caller with agent cannot have tools/,
  },
  {
    name: 'sessionPrefix and tools',
    text: one('sessionPrefix: "a:", tools: [a]'),
    says: /tools: a caller with sessionPrefix cannot have tools/,
  },
  { name: 'a tool with a space', text: one('tools: ["a b"]'), says: /tools\[0\]: expected the name of a tool/ },
  {
    name: 'equal prefixes',
    text: textOf({ callers: '[{ name: a, sessionPrefix: "p:" }, { name: b, sessionPrefix: "p:" }]' }),
    says: /callers\[1\].sessionPrefix: "b" begins with the prefix of "a"/,
  },
  {
    name: 'a prefix inside another, listed first',
    text: textOf({ callers: '[{ name: a, sessionPrefix: "p:q:" }, { name: b, sessionPrefix: "p:" }]' }),
    says: /callers\[0\].sessionPrefix: "a" begins with the prefix of "b"/,
  },
  {
    name: 'the same sessions, once with the agent that may be the default',
    text: textOf({ callers: '[{ name: a, sessionPrefix: "p:" }, { name: b, sessionPrefix: "agent:main:p:" }]' }),
    says: /callers\[1\].sessionPrefix: "b" begins with the prefix of "a"/,
  },
  {
    name: 'a prefix inside another that names the agent',
    text: textOf({ callers: '[{ name: a, sessionPrefix: "p:q:" }, { name: b, sessionPrefix: "agent:main:p:" }]' }),
    says: /callers\[0\].sessionPrefix: "a" begins with the prefix of "b"/,
  },
];

void t.test('refused', async (t) => {
  for (const { name, text, says } of REFUSED) {
    await t.test(name, async (t) => {
      const faults = await faultsOf(text);
      t.equal(faults.length, 1, faults.join('\n'));
      t.match(faults[0], says);
      t.notMatch(faults[0], /Zk3mQ8vT1xYw/);
    });
  }
});

void t.test('WebSockets and their methods', async (t) => {
  const store = `{ url: "http://127.0.0.1:1", auth: { mode: token, secret: { env: GATEWAY } }, deviceStore: devices }`;
  const { config } = await loadText(
    textOf({
      gateway: store,
      callers: `
  - { name: off, websocket: off }
  - { name: relay, websocket: relay, limits: { sockets: 3 } }
  - { name: allowed, websocket: relay, allowMethods: [chat.send, sessions.*] }
  - { name: denied, websocket: relay, denyMethods: [config.*, exec.approval.resolve] }
  - { name: both, websocket: relay, allowMethods: [], denyMethods: [] }
  - { name: tunnel, websocket: tunnel, unsafeTunnel: true, scopes: [operator.read, operator.admin] }`,
    }),
  );
  t.strictSame(
    config.callers.map(({ name, websocket, methods, limits }) => ({ name, websocket, methods, limits })),
    [
      { name: 'off', websocket: undefined, methods: undefined, limits: undefined },
      { name: 'relay', websocket: 'relay', methods: undefined, limits: { sockets: 3 } },
      { name: 'allowed', websocket: 'relay', methods: { allow: ['chat.send', 'sessions.*'], deny: [] }, limits: undefined }, // prettier-ignore
      { name: 'denied', websocket: 'relay', methods: { deny: ['config.*', 'exec.approval.resolve'] }, limits: undefined }, // prettier-ignore
      { name: 'both', websocket: 'relay', methods: { allow: [], deny: [] }, limits: undefined },
      { name: 'tunnel', websocket: 'tunnel', methods: undefined, limits: undefined },
    ],
  );
});

const TUNNEL = 'websocket: tunnel, unsafeTunnel: true, scopes: [operator.admin]';
const NEEDS_ADMIN = /callers\[0\].scopes: a tunnel can ask the gateway for every scope: it needs operator.admin$/;
const METHOD = /callers\[0\].(?:allow|deny)Methods\[0\]: expected the name of a gateway method such as chat.send/;

const SOCKETS: readonly { name: string; rest: string; says: readonly RegExp[] }[] = [
  {
    name: 'another mode',
    rest: 'websocket: rely',
    says: [/callers\[0\].websocket: unknown mode "rely" \(did you mean "relay"\?\)/],
  },
  { name: 'true', rest: 'websocket: true', says: [/callers\[0\].websocket: expected one of off, relay, tunnel/] },
  {
    name: 'methods without a relay',
    rest: 'allowMethods: [a], denyMethods: [b]',
    says: [
      /callers\[0\].allowMethods: only a caller with "websocket: relay" sends methods$/,
      /callers\[0\].denyMethods: only a caller with "websocket: relay" sends methods$/,
    ],
  },
  {
    name: 'methods of a caller whose WebSocket is off',
    rest: 'websocket: off, denyMethods: [b]',
    says: [/denyMethods: only a caller with "websocket: relay" sends methods$/],
  },
  {
    name: 'a relay with pins',
    rest: 'websocket: relay, agent: main, sessionPrefix: "agent:main:x:"',
    says: [
      /callers\[0\].agent: a caller with a WebSocket cannot have agent: its frames name their own$/,
      /callers\[0\].sessionPrefix: a caller with a WebSocket cannot have sessionPrefix: its frames name their own$/,
    ],
  },
  {
    name: 'a relay with tools',
    rest: 'websocket: relay, tools: [web_fetch]',
    says: [/callers\[0\].tools: a caller with a WebSocket cannot have tools: its frames name their own$/],
  },
  {
    name: 'a tunnel with a pin',
    rest: `${TUNNEL}, sessionPrefix: "x:"`,
    says: [/callers\[0\].sessionPrefix: a caller with a WebSocket cannot have sessionPrefix/],
  },
  {
    name: 'a tunnel that is not said to be one',
    rest: 'websocket: tunnel, scopes: [operator.admin]',
    says: [/callers\[0\].websocket: in a tunnel the shim enforces nothing: set unsafeTunnel: true, or use relay$/],
  },
  {
    name: 'a tunnel that is said to be none',
    rest: 'websocket: tunnel, unsafeTunnel: false, scopes: [operator.admin]',
    says: [/callers\[0\].websocket: in a tunnel the shim enforces nothing/],
  },
  {
    name: 'unsafeTunnel without a tunnel',
    rest: 'websocket: relay, unsafeTunnel: true',
    says: [/callers\[0\].unsafeTunnel: this caller has no "websocket: tunnel"$/],
  },
  {
    name: 'unsafeTunnel alone',
    rest: 'unsafeTunnel: true',
    says: [/callers\[0\].unsafeTunnel: this caller has no "websocket: tunnel"$/],
  },
  { name: 'unsafeTunnel as text', rest: 'unsafeTunnel: "yes"', says: [/unsafeTunnel: expected true or false/] },
  {
    name: 'a tunnel with a lesser scope',
    rest: 'websocket: tunnel, unsafeTunnel: true, scopes: [operator.write]',
    says: [NEEDS_ADMIN],
  },
  { name: 'a tunnel with no scopes', rest: 'websocket: tunnel, unsafeTunnel: true, scopes: []', says: [NEEDS_ADMIN] },
  { name: 'a tunnel without scopes', rest: 'websocket: tunnel, unsafeTunnel: true', says: [NEEDS_ADMIN] },
  {
    name: 'a tunnel with a scope that is none',
    rest: 'websocket: tunnel, unsafeTunnel: true, scopes: [operator.amdin]',
    says: [/callers\[0\].scopes\[0\]: unknown scope "operator.amdin" \(did you mean "operator.admin"\?\)/],
  },
  {
    name: 'a tunnel with methods',
    rest: `${TUNNEL}, allowMethods: [a], denyMethods: [b]`,
    says: [
      /callers\[0\].allowMethods: the frames of a tunnel are not read: use "websocket: relay"$/,
      /callers\[0\].denyMethods: the frames of a tunnel are not read: use "websocket: relay"$/,
    ],
  },
  ...['"*"', '""', 'a..b', '.a', 'a.', '"chat.*.send"', 'chat*', '"a b"', '"*.send"', 'ä', '7'].map((name) => ({
    name: `method ${name}`,
    rest: `websocket: relay, allowMethods: [${name}]`,
    says: [METHOD],
  })),
  { name: 'a method that is denied', rest: 'websocket: relay, denyMethods: ["*"]', says: [METHOD] },
  { name: 'methods as text', rest: 'websocket: relay, allowMethods: a', says: [/allowMethods: expected a list/] },
  {
    name: 'no sockets at all',
    rest: 'limits: { sockets: 0 }',
    says: [/callers\[0\].limits.sockets: expected at least 1/],
  },
];

void t.test('WebSockets that are refused', async (t) => {
  const gateway = `{ url: "http://127.0.0.1:1", auth: { mode: token, secret: { env: GATEWAY } }, deviceStore: memory }`;
  for (const { name, rest, says } of SOCKETS) {
    await t.test(name, async (t) => {
      const faults = await faultsOf(textOf({ gateway, callers: `[{ name: a, ${rest} }]` }));
      t.match(faults, says);
      t.equal(faults.length, says.length, faults.join('\n'));
    });
  }
});

void t.test('a tunnel deserves a word', async (t) => {
  const token = `tokens: [{ hash: "${HASH}" }]`;
  t.same(await warningsOf(one(`${token}, ${TUNNEL}`)), [
    'callers[0].unsafeTunnel: "a" signs for itself: the shim enforces nothing within its WebSockets',
  ]);
});

void t.test('too many tokens, and what is wrong with each of them', async (t) => {
  const text = one('tokens: [{ hash: x }, { hash: y, foo: 1 }, { hash: z }], scopes: [nonsense]');
  t.match(
    (await faultsOf(text)).map((line) => line.replace(/^\S+ /, '').slice(0, 60)),
    [
      /^callers\[0\].tokens: at most two tokens/,
      /^callers\[0\].tokens\[0\].hash: expected "sha256:"/,
      /^callers\[0\].tokens\[1\].hash: expected "sha256:"/,
      /^callers\[0\].tokens\[1\].foo: unknown key/,
      /^callers\[0\].tokens\[2\].hash: expected "sha256:"/,
      /^callers\[0\].scopes\[0\]: unknown scope/,
    ],
  );
});

void t.test('a prefix that names an agent needs no pin', async (t) => {
  t.same(await faultsOf(one('sessionPrefix: "agent:main:page:"')), []);
  t.same(
    await faultsOf(textOf({ callers: '[{ name: a, sessionPrefix: "p:" }, { name: b, sessionPrefix: "p-" }]' })),
    [],
  );
  const agents = '[{ name: a, sessionPrefix: "agent:a:p:" }, { name: b, sessionPrefix: "agent:b:p:" }]';
  t.same(await faultsOf(textOf({ callers: agents })), [], 'the same prefix under two agents');
});

void t.test('warnings', async (t) => {
  const callers = (rest: string, hex = digest('a')): string =>
    textOf({ callers: `[{ name: a, scopes: [operator.read], tokens: [{ hash: "sha256:${hex}", ${rest} }] }]` });
  t.same(await warningsOf(callers('')), []);
  t.same(await warningsOf(callers('expires: 2026-12-15')), []);
  t.match(await warningsOf(callers('expires: 2026-12-14')), [
    /tokens\[0\].expires: token a{12} of "a" expires at 2026-12-15 00:00 UTC/,
  ]);
  t.match(await warningsOf(callers('expires: 2026-11-30')), [/tokens\[0\].expires: token a{12} of "a" has expired/]);
  t.match(await warningsOf(callers('', hash('sha256', SECRET))), [
    /tokens\[0\].hash: temporary: .* give the gateway a new secret/,
  ]);
  t.match(await warningsOf(one('')), [/callers\[0\]: "a" has no token/, /callers\[0\]: "a" has no scopes/]);
});

void t.test('warnings of tools: none is no scope needed, and none is no tool', async (t) => {
  const hash = `tokens: [{ hash: "${HASH}" }]`;
  t.same(await warningsOf(one(`${hash}, scopes: [], tools: [web_fetch]`)), []);
  t.match(await warningsOf(one(`${hash}, scopes: [operator.write], tools: []`)), [
    /callers\[0\].tools: "a" has an empty list of tools: it opens none$/,
  ]);
  t.match(await warningsOf(one(`${hash}, tools: []`)), [/"a" has no scopes/, /"a" has an empty list of tools/]);
});

void t.test('warnings of sessions that another caller can name', async (t) => {
  const sessions = async (...callers: string[]): Promise<string[]> => {
    const items = callers.map((caller, index) => {
      const token = `tokens: [{ hash: "sha256:${digest(String(index))}" }]`;
      return `{ name: c${index}, ${token}, scopes: [operator.write], ${caller} }`;
    });
    return warningsOf(textOf({ callers: `[${items.join(', ')}]` }));
  };
  t.same(await sessions('agent: main', 'sessionPrefix: "agent:main:x:"', 'sessionPrefix: "y:"'), [
    'callers[0].agent: "c0" can name the sessions of "c1", "c2"; give it a sessionPrefix of its own',
  ]);
  t.same(await sessions('agent: main', 'sessionPrefix: "agent:main2:x:"', 'agent: main'), []);
  t.same(await sessions('agent: main, sessionPrefix: "agent:main:a:"', 'sessionPrefix: "agent:main:b:"'), []);
});
