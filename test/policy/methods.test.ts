/** Which methods a caller's frames may name, and what is a frame that can be judged. */
import t from 'tap';
import { allowsMethod, readRequestFrame } from '../../src/policy/methods.ts';
import type { MethodPolicy } from '../../src/types.ts';

interface Case {
  readonly policy: MethodPolicy;
  readonly may: readonly string[];
  readonly mayNot: readonly string[];
}

const CASES: Readonly<Record<string, Case>> = {
  'a list allows what it names, byte for byte': {
    policy: { allow: ['chat.send', 'health'], deny: [] },
    may: ['chat.send', 'health'],
    mayNot: ['chat', 'chat.send.now', 'chat.sen', 'Chat.Send', 'chat.send ', ' health', 'chat.send\u0000', '', 'x'],
  },
  'a family allows what begins with it, dot and all': {
    policy: { allow: ['chat.*'], deny: [] },
    may: ['chat.send', 'chat.history.all', 'chat.'],
    mayNot: ['chat', 'chats.send', 'chatXsend', 'CHAT.send', 'xchat.send', '*', 'sessions.list'],
  },
  'an empty list allows nothing': { policy: { allow: [], deny: [] }, may: [], mayNot: ['chat.send', ''] },
  'without a list everything is allowed that is not denied': {
    policy: { deny: ['config.set', 'exec.*'] },
    may: ['chat.send', 'config.get', 'exec', 'execute', 'constructor', '__proto__'],
    mayNot: ['config.set', 'exec.run', 'exec.approval.resolve'],
  },
  'denied goes before allowed': {
    policy: { allow: ['sessions.*', 'chat.send'], deny: ['sessions.delete', 'chat.*'] },
    may: ['sessions.list'],
    mayNot: ['sessions.delete', 'chat.send', 'chat.history'],
  },
  'names are texts, not patterns': {
    policy: { allow: ['a.b'], deny: [] },
    may: ['a.b'],
    mayNot: ['axb', 'a.b.*', 'a.*'],
  },
};

for (const [name, { policy, may, mayNot }] of Object.entries(CASES)) {
  void t.test(name, async (t) => {
    for (const method of may) t.equal(allowsMethod(policy, method), true, JSON.stringify(method));
    for (const method of mayNot) t.equal(allowsMethod(policy, method), false, JSON.stringify(method));
  });
}

void t.test('a request, as far as it is read', async (t) => {
  const frames = [
    '{"type":"req","id":"1","method":"chat.send"}',
    ' {"method":"chat.send","params":{"method":"x","id":2,"type":"res"},"id":"1","type":"req"}\n',
    '{"type":"req","id":"1","m\\u0065thod":"chat\\u002esend","more":[]}',
  ];
  for (const frame of frames) t.strictSame(readRequestFrame(Buffer.from(frame)), { id: '1', method: 'chat.send' });
});

void t.test('what two readers could read in two ways is none', async (t) => {
  const none = 'a frame must be a request with id and method';
  const frames: readonly (readonly [frame: string | Buffer, why: string])[] = [
    ['{"type":"req","id":"1","method":"health","method":"chat.send"}', 'a frame has a duplicate key'],
    ['{"type":"req","id":"1","method":"health","m\\u0065thod":"chat.send"}', 'a frame has a duplicate key'],
    ['{"type":"req","id":"1","id":"2","method":"health"}', 'a frame has a duplicate key'],
    ['{"type":"req","id":"1","method":"health","params":{"a":1,"a":2}}', 'a frame has a duplicate key'],
    [`{"type":"req","id":"1","method":"a","params":${'['.repeat(64)}${']'.repeat(64)}}`, 'a frame is nested deeper than 64 levels'], // prettier-ignore
    ['', 'a frame must be JSON in UTF-8, without a content coding'],
    ['chat.send', 'a frame must be JSON in UTF-8, without a content coding'],
    ['\ufeff{"type":"req","id":"1","method":"a"}', 'a frame must be JSON in UTF-8, without a content coding'],
    [Buffer.from('{"type":"req","id":"1","method":"\xff"}', 'latin1'), 'a frame must be JSON in UTF-8, without a content coding'], // prettier-ignore
    ['[{"type":"req","id":"1","method":"a"}]', 'a frame must be a JSON object'],
    ['{}', none],
    ['{"type":"event","id":"1","method":"a"}', none],
    ['{"type":"REQ","id":"1","method":"a"}', none],
    ['{"type":["req"],"id":"1","method":"a"}', none],
    ['{"id":"1","method":"a"}', none],
    ['{"type":"req","method":"a"}', none],
    ['{"type":"req","id":"","method":"a"}', none],
    ['{"type":"req","id":1,"method":"a"}', none],
    ['{"type":"req","id":"1"}', none],
    ['{"type":"req","id":"1","method":""}', none],
    ['{"type":"req","id":"1","method":["health"]}', none],
    ['{"type":"req","id":"1","method":null}', none],
    ['{"__proto__":{"type":"req","id":"1","method":"a"}}', none],
  ];
  for (const [frame, why] of frames) {
    t.equal(readRequestFrame(Buffer.from(frame as string)), why, JSON.stringify(frame.toString('latin1').slice(0, 60)));
  }
});
