import t from 'tap';
import { checkSessionKey } from '../../src/policy/session.ts';
import type { Caller } from '../../src/types.ts';

const plain: Caller = { name: 'c', tokens: [], scopes: [], allowHeaders: [], onForbiddenHeader: 'drop' };
const prefixed: Caller = { ...plain, sessionPrefix: 'alice-' };
const pinned: Caller = { ...plain, agent: 'main' };
const both: Caller = { ...plain, agent: 'main', sessionPrefix: 'agent:main:alice-' };

interface Case {
  readonly caller: Caller;
  readonly mine: readonly string[];
  readonly others: readonly string[];
}

const CASES: Readonly<Record<string, Case>> = {
  'without a pin every key passes': { caller: plain, mine: ['', 'x', 'agent:other:x', '\xff', 'cron:x'], others: [] },
  'a prefix must stand first, as written': {
    caller: prefixed,
    mine: ['alice-', 'alice-x', 'alice-:agent:other:x', `alice-${'x'.repeat(250)}`],
    others: [
      '',
      'alice',
      'Alice-x',
      'ALICE-x',
      ' alice-x',
      'xalice-x',
      'agent:main:alice-x',
      'bob-alice-',
      'alice-x y',
      'alice-x/y',
      'alice-x\n',
      'alice-\xff',
      'alice-%2e',
      'alice-x,bob-y',
      `alice-${'x'.repeat(251)}`,
    ],
  },
  'a pinned agent must be named, as the gateway reads it': {
    caller: pinned,
    mine: ['agent:main:x', 'AGENT:MAIN:x', ':agent:main:x', 'agent::main::x', 'agent:main:agent:other:x'],
    others: [
      'x',
      'main',
      'agent:main',
      'agent:main:',
      'agent:main::',
      'agent:other:x',
      'AGENT:other:x',
      ':agent:other:x',
      'agent::other:main:x',
      'agent:mainx:x',
      'agent:xmain:x',
      'xagent:main:x',
      'agent:main x:y',
      'main:agent:x',
      '',
    ],
  },
  'prefix and agent': {
    caller: both,
    mine: ['agent:main:alice-1'],
    others: ['agent:main:bob-1', 'AGENT:main:alice-1', ':agent:main:alice-1', 'alice-1'],
  },
};

for (const [name, { caller, mine, others }] of Object.entries(CASES)) {
  void t.test(name, async (t) => {
    for (const key of mine) t.equal(checkSessionKey(caller, key), undefined, JSON.stringify(key));
    for (const key of others)
      t.match(checkSessionKey(caller, key), { code: 'session_not_allowed' }, JSON.stringify(key));
  });
}

void t.test('what a key must look like is told', async (t) => {
  const cases: readonly (readonly [caller: Caller, key: string, message: string])[] = [
    [prefixed, 'alice-x/y', 'The session key may have only letters, digits and . _ : @ -'],
    [prefixed, 'bob-1', 'The session key must begin with "alice-".'],
    [pinned, 'agent:other:x', 'The session key must begin with "agent:main:".'],
    [both, 'agent:main:bob-1', 'The session key must begin with "agent:main:alice-".'],
  ];
  for (const [caller, key, message] of cases)
    t.strictSame(checkSessionKey(caller, key), { kind: 'refuse', code: 'session_not_allowed', message }, key);
});
