/** Rows H14, H23 and H24 of the security cases: what a configuration lets a caller say of themselves. */
import t from 'tap';
import { ConfigError } from '../../src/config/config.ts';
import { attack, callersAnd, framing, HOPS, ours, refused, startHop, STAND_IN, USER_HEADER } from '../helpers/hops.ts';
import { startStack, TOKENS } from '../helpers/stack.ts';

const CHOOSER = 'chooser-token-0123456789-abcdef';
const STRICT = 'strict-token-0123456789-abcdefg';
const PREFIXED = 'prefixed-token-0123456789-abcde';
const PINNED = 'pinned-token-0123456789-abcdefg';
const CALLERS = callersAnd(
  ['chooser', CHOOSER, ['operator.read'], 'allowHeaders: [agent-id, session-key, model, message-channel]'],
  ['strict', STRICT, ['operator.read'], 'onForbiddenHeader: refuse, allowHeaders: [model]'],
  ['prefixed', PREFIXED, ['operator.admin'], 'sessionPrefix: alice-'],
  ['pinned', PINNED, ['operator.admin'], 'agent: main'],
);

function request(token: string, lines: readonly string[], target = '/v1/models'): string {
  const all = ['Host: localhost', `Authorization: Bearer ${token}`, ...lines];
  return `GET ${target} HTTP/1.1\r\n${all.map((line) => `${line}\r\n`).join('')}\r\n`;
}

void t.test('H14 a comma in a scope does not start', async (t) => {
  for (const scope of ['"operator.read,operator.admin"', '"operator.read, operator.admin"', '"operator.read,"']) {
    const callers = callersAnd(['joined', CHOOSER, [scope]]);
    await t.rejects(startStack(t, { callers }), ConfigError);
    await t.rejects(startStack(t, { callers }), { message: /callers\[3\]\.scopes\[0\]: a comma in a scope/ });
  }
});

void t.test('H14 a name that a header cannot carry does not start', async (t) => {
  for (const name of ['"a, b"', '"a\\r\\nx: y"', '"\\u00e9"', '"a b"', '""']) {
    await t.rejects(startStack(t, { callers: callersAnd([name, CHOOSER, ['operator.read']]) }), ConfigError, name);
  }
});

for (const hop of HOPS) {
  void t.test(`H23 what a caller chooses, ${hop} hop`, async (t) => {
    const stack = await startHop(t, hop, { callers: CALLERS });
    const sees = async (
      name: string,
      token: string,
      lines: readonly string[],
      chosen: readonly string[],
    ): Promise<void> => {
      const { seen, line } = await attack(t, stack, request(token, lines));
      const scopes = name === 'chooser' || name === 'strict' ? 'operator.read' : 'operator.admin';
      t.strictSame(seen[0]?.rawHeaders, [...framing(stack), ...chosen, ...ours(hop, name, scopes)]);
      t.match(line, { caller: name, status: 200 });
    };
    const agent = 'X-OpenClaw-Agent-Id: beta';
    const key = 'x-openclaw-session-key: agent:other:1';
    await sees(
      'chooser',
      CHOOSER,
      [agent, key, 'X-OPENCLAW-MODEL: a/b', 'x-openclaw-message-channel: sms', 'x-openclaw-agent: z'],
      [
        'x-openclaw-agent-id',
        'beta',
        'x-openclaw-session-key',
        'agent:other:1',
        'x-openclaw-model',
        'a/b',
        'x-openclaw-message-channel',
        'sms',
      ],
    );
    await sees('chooser', CHOOSER, ['Connection: x-openclaw-model', 'x-openclaw-model: a'], ['x-openclaw-model', 'a']);
    await sees('strict', STRICT, ['x-openclaw-model: a', 'x_openclaw_agent_id: b'], ['x-openclaw-model', 'a']);
    await refused(t, stack, request(STRICT, [agent]), { status: 400, code: 'header_not_allowed' });
    await sees('pinned', PINNED, [agent, key], ['x-openclaw-agent-id', 'main']);
    await sees('prefixed', PREFIXED, ['x-openclaw-session-key: alice-1'], ['x-openclaw-session-key', 'alice-1']);

    const { seen, line } = await attack(t, stack, request(TOKENS.reader, [agent, key]));
    t.equal(seen.length, 1);
    t.strictSame(line.dropped, ['x-openclaw-agent-id', 'x-openclaw-session-key'], 'what is dropped is counted');

    const own = await attack(t, stack, request(PREFIXED, []));
    const [name, value] = own.seen[0]?.rawHeaders.slice(4) ?? [];
    t.equal(name, 'x-openclaw-session-key');
    t.match(value, /^alice-[0-9a-f-]{36}$/);

    const notMine = { status: 403, code: 'session_not_allowed' };
    for (const other of ['bob-1', 'Alice-1', '', ':alice-1', 'agent:main:alice-1', 'alice-1,bob-1', 'alice-\xff']) {
      await refused(t, stack, request(PREFIXED, [`x-openclaw-session-key: ${other}`]), notMine);
    }
    const paths = [
      'main',
      'bob-1',
      'agent:other:x',
      ':agent:other:x',
      'AGENT:other:x',
      'agent%3Aother%3ax',
      'agent:main',
    ];
    for (const path of paths) {
      await refused(t, stack, request(PINNED, [], `/sessions/${path}/history`), notMine);
      await refused(t, stack, request(PREFIXED, [], `/sessions/${path}/history`), notMine);
    }
    const mine = await attack(t, stack, request(PINNED, [], '/sessions/agent%3Amain%3ax/history'));
    t.equal(mine.seen[0]?.url, '/sessions/agent%3Amain%3ax/history', 'byte for byte');

    const body = '{"tool":"session_status","agentId":"other","sessionKey":"agent:other:x"}';
    for (const token of [PINNED, PREFIXED]) {
      const invoke = request(token, [`Content-Length: ${body.length}`]).replace('GET /v1/models', 'POST /tools/invoke');
      // The body is not read, so the connection cannot be used again.
      await refused(t, stack, invoke + body, { ...notMine, keeps: false });
    }
  });
}

void t.test('H24 the address of a caller behind trusted proxies', async (t) => {
  const listen = '{ host: 127.0.0.1, port: 0, trustedProxies: [127.0.0.1, 10.0.0.0/8] }';
  const stack = await startHop(t, 'trusted-proxy', { listen });
  const cases: readonly (readonly [lines: readonly string[], client: string])[] = [
    [[], STAND_IN],
    [['X-Forwarded-For: 203.0.113.9'], '203.0.113.9'],
    [['X-Forwarded-For: 127.0.0.1, 203.0.113.9'], '203.0.113.9'],
    [['X-Forwarded-For: 8.8.8.8', 'x-forwarded-for: 203.0.113.9, 10.1.1.1'], '203.0.113.9'],
    [['X-Forwarded-For: 203.0.113.9', 'X_Forwarded_For: 8.8.8.8', 'X-Real-IP: 8.8.8.8'], '203.0.113.9'],
    [['X-Forwarded-For: 203.0.113.9', 'Connection: x-forwarded-for'], '203.0.113.9'],
    [['X-Forwarded-For: 203.0.113.9, ::1'], STAND_IN],
    [['X-Forwarded-For: 203.0.113.9, ::ffff:127.0.0.2'], STAND_IN],
    [['X-Forwarded-For: 10.0.0.1'], STAND_IN],
  ];
  for (const [lines, client] of cases) {
    const { answer, seen } = await attack(t, stack, request(TOKENS.reader, lines));
    t.equal(answer.status, 200, lines.join());
    t.strictSame(seen[0]?.rawHeaders, [...framing(stack), ...ours('trusted-proxy', 'reader', 'operator.read', client)]);
  }
  for (const value of ['unknown', '', '8.8.8.8,', 'evil.example', '127.1', '"203.0.113.9"']) {
    await refused(t, stack, request(TOKENS.reader, [`X-Forwarded-For: ${value}`]), {
      status: 400,
      code: 'bad_request',
    });
  }
});

void t.test('H24 without trusted proxies the header is not read', async (t) => {
  const stack = await startHop(t, 'trusted-proxy');
  const { seen } = await attack(
    t,
    stack,
    request(TOKENS.reader, ['X-Forwarded-For: rubbish', `${USER_HEADER}: admin`]),
  );
  t.strictSame(seen[0]?.rawHeaders, [...framing(stack), ...ours('trusted-proxy', 'reader', 'operator.read')]);
});
