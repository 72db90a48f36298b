import t from 'tap';
import type { ErrorCode } from '../../src/errors.ts';
import { checkToolBody } from '../../src/policy/tools.ts';

const TOOLS = ['session_status', 'agents_list'];

void t.test('bodies that pass', async (t) => {
  const bodies = [
    '{"tool":"session_status"}',
    '{"name":"agents_list","args":{"a":{"a":1},"b":[{"a":1},{"a":2}]}}',
    ' \r\n{"args":{"tool":"cron","name":"cron"},"tool":"session_status"}\n',
    '{"\\u0074ool":"session\\u005fstatus"}',
    '{"tool":"session_status","__proto__":{"name":"cron"}}',
    '{"tool":"session_status","note":"{\\"tool\\":1,\\"tool\\":2}"}',
    '{"tool":"session_status","Tool":"cron"}',
    `{"tool":"session_status","args":${'['.repeat(63)}${']'.repeat(63)},"brackets":"${'['.repeat(99)}"}`,
  ];
  for (const body of bodies) t.equal(checkToolBody(TOOLS, Buffer.from(body)), undefined, body);
});

void t.test('bodies that do not', async (t) => {
  const cases: readonly (readonly [body: string | Buffer, code: ErrorCode])[] = [
    ['{"tool":"cron"}', 'tool_not_allowed'],
    ['{"tool":"SESSION_STATUS"}', 'tool_not_allowed'],
    ['{"tool":" session_status"}', 'tool_not_allowed'],
    ['{"tool":"session_status\\u0000"}', 'tool_not_allowed'],
    ['{"tool":"session_status,cron"}', 'tool_not_allowed'],
    ['{"tool":""}', 'tool_not_allowed'],
    ['{"name":"cron"}', 'tool_not_allowed'],
    ['{"tool":"__proto__"}', 'tool_not_allowed'],
    [`{"tool":"agents_list","args":${'['.repeat(64)}${']'.repeat(64)}}`, 'bad_request'],
    ['', 'bad_request'],
    ['{', 'bad_request'],
    ['{}', 'bad_request'],
    ['null', 'bad_request'],
    ['"session_status"', 'bad_request'],
    ['[{"tool":"session_status"}]', 'bad_request'],
    ['{"tool":["session_status"]}', 'bad_request'],
    ['{"tool":null}', 'bad_request'],
    ['{"tool":1}', 'bad_request'],
    ['{"tool":"session_status"} {"tool":"cron"}', 'bad_request'],
    ['{"tool":"session_status",}', 'bad_request'],
    ["{tool:'session_status'}", 'bad_request'],
    ['{"tool":"session_status"/* */}', 'bad_request'],
    ['{"__proto__":{"tool":"session_status"}}', 'bad_request'],
    ['{"tool":"session_status","name":"session_status"}', 'bad_request'],
    ['{"tool":"session_status","name":null}', 'bad_request'],
    ['{"tool":null,"name":"session_status"}', 'bad_request'],
    ['{"tool":"cron","tool":"session_status"}', 'bad_request'],
    ['{"tool":"session_status","tool":"session_status"}', 'bad_request'],
    ['{"tool":"cron","to\\u006fl":"session_status"}', 'bad_request'],
    ['{"tool":"session_status","args":{"a":1,"a":2}}', 'bad_request'],
    ['{"tool":"session_status","args":[{"a":{"b":1,"b":1}}]}', 'bad_request'],
    ['\ufeff{"tool":"session_status"}', 'bad_request'],
    [Buffer.from('{"tool":"session_status","a":"\xff"}', 'latin1'), 'bad_request'],
    [Buffer.from('{"tool":"session_status"}', 'utf16le'), 'bad_request'],
    [Buffer.from([0x1f, 0x8b, 0x08, 0x00]), 'bad_request'],
  ];
  for (const [body, code] of cases) {
    t.match(
      checkToolBody(TOOLS, Buffer.from(body as string)),
      { kind: 'refuse', code },
      JSON.stringify(body.toString('latin1')),
    );
  }
  const words: readonly (readonly [body: string, message: string])[] = [
    ['{', 'The body must be JSON in UTF-8, without a content coding.'],
    ['[]', 'The body must be a JSON object.'],
    ['{"tool":"cron","tool":"x"}', 'The body has a duplicate key.'],
    ['{"tool":"x","name":"x"}', 'The body has both "tool" and "name".'],
    ['{"tool":1}', 'The body must name the tool as a string in "tool".'],
  ];
  for (const [body, message] of words) {
    const refusal = { kind: 'refuse', code: 'bad_request', message, reason: message };
    t.strictSame(checkToolBody(TOOLS, Buffer.from(body)), refusal, 'what is wrong is told, and logged');
  }
  t.strictSame(checkToolBody(TOOLS, Buffer.from('{"tool":"cron"}')), {
    kind: 'refuse',
    code: 'tool_not_allowed',
    message: 'This caller may invoke only: session_status, agents_list.',
  });
  t.match(checkToolBody([], Buffer.from('{"tool":"x"}')), { code: 'tool_not_allowed' }, 'an empty list opens nothing');
});

void t.test('a string that is never closed costs no more than its length', async (t) => {
  const started = performance.now();
  for (const body of [`"${'\\"'.repeat(1e6)}`, `"${'\\\n'.repeat(1e6)}`, '"'.repeat(2e6)]) {
    t.equal(checkToolBody(TOOLS, Buffer.from(body))?.code, 'bad_request');
  }
  t.ok(performance.now() - started < 5_000, 'it took hours where every quote was tried again');
});
