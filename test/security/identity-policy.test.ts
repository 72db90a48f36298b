/** What a configuration lets a caller say of themselves, beyond what the corpus has. */
import t from 'tap';
import { ConfigError } from '../../src/config/config.ts';
import { attack, callersAnd, refused } from '../helpers/hops.ts';
import { get } from '../helpers/request-bytes.ts';
import { startStack, TOKENS } from '../helpers/stack.ts';

const PREFIXED = 'prefixed-token-0123456789-abcde';
const PINNED = 'pinned-token-0123456789-abcdefg';
const CALLERS = callersAnd(
  ['prefixed', PREFIXED, ['operator.admin'], 'sessionPrefix: alice-'],
  ['pinned', PINNED, ['operator.admin'], 'agent: main'],
);

void t.test('H14 a comma in a scope does not start', async (t) => {
  for (const scope of ['"operator.read,operator.admin"', '"operator.read, operator.admin"', '"operator.read,"']) {
    const callers = callersAnd(['joined', PINNED, [scope]]);
    await t.rejects(startStack(t, { callers }), ConfigError);
    await t.rejects(startStack(t, { callers }), { message: /callers\[3\]\.scopes\[0\]: a comma in a scope/ });
  }
});

void t.test('H14 a name that a header cannot carry does not start', async (t) => {
  for (const name of ['"a, b"', '"a\\r\\nx: y"', '"\\u00e9"', '"a b"', '""']) {
    await t.rejects(startStack(t, { callers: callersAnd([name, PINNED, ['operator.read']]) }), ConfigError, name);
  }
});

void t.test('H23 what is dropped is counted', async (t) => {
  const stack = await startStack(t);
  const lines = 'X-OpenClaw-Agent-Id: beta\r\nx-openclaw-session-key: agent:other:1\r\n';
  const { seen, line } = await attack(t, stack, get('/v1/models', lines, TOKENS.reader));
  t.equal(seen.length, 1);
  t.strictSame(line.dropped, ['x-openclaw-agent-id', 'x-openclaw-session-key']);
});

void t.test('H23 a body cannot name the session of another', async (t) => {
  const body = '{"tool":"session_status","agentId":"other","sessionKey":"agent:other:x"}';
  const stack = await startStack(t, { callers: CALLERS });
  for (const token of [PINNED, PREFIXED]) {
    const invoke = get('/tools/invoke', `Content-Length: ${body.length}\r\n`, token).replace('GET', 'POST');
    // The body came with its head, and was read: the connection can be used again.
    await refused(t, stack, invoke + body, { status: 403, code: 'session_not_allowed', keeps: true });
  }
});
