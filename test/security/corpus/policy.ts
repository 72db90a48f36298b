/** Callers with a policy of their own: which of the gateway's own headers they may choose, and what they have none of. */
import { get } from '../../helpers/request-bytes.ts';
import { POLICY_TOKENS } from './callers.ts';
import { bad, lines, passed, refused, type Case } from './case.ts';

const STATUS = '{"tool":"session_status"}';

/** @returns one request in which another caller chooses */
const chooses = (
  title: string,
  token: string,
  sent: readonly string[],
  name: string,
  chosen: readonly string[],
): Case =>
  passed('H23', title, get('/v1/models', sent.map((line) => `${line}\r\n`).join(''), token), { caller: name, chosen });
const notMine = (title: string, send: string): Case => refused('H23', title, send, 403, 'session_not_allowed');

export const POLICIES: readonly Case[] = [
  refused('H21', 'a route that needs one', get('/v1/models', '', POLICY_TOKENS.nobody), 403, 'insufficient_scope'),
  passed(
    'H21',
    'a route that needs none: the header is there, and empty',
    get(
      '/tools/invoke',
      `Content-Length: ${STATUS.length}\r\nx-openclaw-scopes: operator.admin\r\n`,
      POLICY_TOKENS.nobody,
    ).replace('GET', 'POST') + STATUS,
    { line: 'POST /tools/invoke', caller: 'nobody', framing: `content-length: ${STATUS.length}`, body: STATUS },
  ),
  refused(
    'H21',
    'another tool than its own',
    get('/tools/invoke', 'Content-Length: 15\r\n', POLICY_TOKENS.nobody).replace('GET', 'POST') +
      '{"tool":"shell"}'.slice(0, 15),
    400,
    'bad_request',
    { closed: true },
  ),

  lines('H23', 'what nobody allowed', [
    'x-openclaw-agent-id: other',
    'x-openclaw-agent: other',
    'x-openclaw-session-key: main',
    'x-openclaw-model: a/b',
    'x-openclaw-account-id: 1',
    'x-openclaw-message-channel: sms',
    'x-openclaw-message-to: 1',
    'x-openclaw-thread-id: 1',
    'x-openclaw-requester-session-key: main',
  ]),
  ...['agent-id', 'session-key', 'model', 'message-channel'].map((name) =>
    bad('H23', `x-openclaw-${name} twice`, get('/v1/models', `x-openclaw-${name}: a\r\nX-OPENCLAW-${name}: b\r\n`)),
  ),
  chooses(
    'what its policy allows',
    POLICY_TOKENS.chooser,
    [
      'X-OpenClaw-Agent-Id: beta',
      'x-openclaw-session-key: agent:other:1',
      'X-OPENCLAW-MODEL: a/b',
      'x-openclaw-message-channel: sms',
      'x-openclaw-agent: z',
    ],
    'chooser',
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
  ),
  chooses(
    'what is allowed, and named by Connection',
    POLICY_TOKENS.chooser,
    ['Connection: x-openclaw-model', 'x-openclaw-model: a'],
    'chooser',
    ['x-openclaw-model', 'a'],
  ),
  chooses(
    'one that is allowed, of two',
    POLICY_TOKENS.strict,
    ['x-openclaw-model: a', 'x_openclaw_agent_id: b'],
    'strict',
    ['x-openclaw-model', 'a'],
  ),
  refused(
    'H23',
    'one that its policy refuses',
    get('/v1/models', 'X-OpenClaw-Agent-Id: beta\r\n', POLICY_TOKENS.strict),
    400,
    'header_not_allowed',
  ),
  chooses(
    'an agent that is pinned',
    POLICY_TOKENS.pinned,
    ['X-OpenClaw-Agent-Id: beta', 'x-openclaw-session-key: agent:other:1'],
    'pinned',
    ['x-openclaw-agent-id', 'main'],
  ),
  chooses('a session of its own', POLICY_TOKENS.prefixed, ['x-openclaw-session-key: alice-1'], 'prefixed', [
    'x-openclaw-session-key',
    'alice-1',
  ]),
  chooses('no session, so that it is given one', POLICY_TOKENS.prefixed, [], 'prefixed', [
    'x-openclaw-session-key',
    'alice-{uuid}',
  ]),
  ...['bob-1', 'Alice-1', '', ':alice-1', 'agent:main:alice-1', 'alice-1,bob-1', 'alice-\xff'].map((key) =>
    notMine(
      `session ${JSON.stringify(key)} of another`,
      get('/v1/models', `x-openclaw-session-key: ${key}\r\n`, POLICY_TOKENS.prefixed),
    ),
  ),
  ...['main', 'bob-1', ':agent:other:x', 'AGENT:other:x', 'agent%3Aother%3ax', 'agent:main'].flatMap((key) => [
    notMine(`history of ${key}, agent pinned`, get(`/sessions/${key}/history`, '', POLICY_TOKENS.pinned)),
    notMine(`history of ${key}, sessions by prefix`, get(`/sessions/${key}/history`, '', POLICY_TOKENS.prefixed)),
  ]),
  passed('H23', 'history of its own agent', get('/sessions/agent%3Amain%3ax/history', '', POLICY_TOKENS.pinned), {
    line: 'GET /sessions/agent%3Amain%3ax/history',
    caller: 'pinned',
    chosen: ['x-openclaw-agent-id', 'main'],
  }),
];
