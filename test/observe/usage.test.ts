import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { usageTail, UsageTail, type Usage } from '../../src/observe/usage.ts';

/** Reads a reply that comes in pieces of some bytes. */
function read(text: string, piece = text.length): Usage | undefined {
  const tail = new UsageTail();
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += piece) tail.push(bytes.subarray(at, at + piece));
  return tail.read();
}

const CHAT = '{"prompt_tokens":12,"completion_tokens":34,"total_tokens":46}';
const USAGE: Usage = { input: 12, output: 34, total: 46 };
const event = (json: string): string => `data: ${json}\n\n`;

const CASES: readonly { name: string; text: string; usage: Usage | undefined }[] = [
  { name: 'chat', text: `{"id":"c","choices":[],"usage":${CHAT}}`, usage: USAGE },
  {
    name: 'responses',
    text: '{"output":[],"usage":{"input_tokens":12,"output_tokens":34,"total_tokens":46}}',
    usage: USAGE,
  },
  { name: 'with spaces and lines', text: `{\n  "usage" : ${CHAT.replaceAll(',', ',\n    ')}\n}\n`, usage: USAGE },
  { name: 'the only key', text: `{"usage":${CHAT}}`, usage: USAGE },
  {
    name: 'without a total',
    text: '{"usage":{"prompt_tokens":1,"completion_tokens":2}}',
    usage: { input: 1, output: 2, total: 3 },
  },
  {
    name: 'with details in it',
    text: '{"usage":{"prompt_tokens":12,"prompt_tokens_details":{"cached_tokens":3},"completion_tokens":34,"total_tokens":46},"service_tier":null}',
    usage: USAGE,
  },
  {
    name: 'an event stream',
    text: `${event('{"choices":[{"delta":{}}],"usage":null}')}${event(`{"choices":[],"usage":${CHAT}}`)}data: [DONE]\n\n`,
    usage: USAGE,
  },
  { name: 'null alone', text: event('{"choices":[],"usage":null}'), usage: undefined },
  {
    name: 'the last of two',
    text: event('{"a":1,"usage":{"prompt_tokens":9,"completion_tokens":9}}') + event(`{"a":1,"usage":${CHAT}}`),
    usage: USAGE,
  },
  { name: 'text about usage', text: JSON.stringify({ a: `{"a":1,"usage":${CHAT}}` }), usage: undefined },
  {
    name: 'text about usage after it',
    text: `{"usage":{"prompt_tokens":1,"completion_tokens":2},"a":${JSON.stringify(`,"usage":${CHAT}`)}}`,
    usage: { input: 1, output: 2, total: 3 },
  },
  { name: 'text that ends in the word', text: `{"a":{${JSON.stringify('x,"usage')}:${CHAT}}}`, usage: undefined },
  { name: 'the word as a value', text: `{"a":"usage","b":${CHAT}}`, usage: undefined },
  { name: 'another key', text: `{"a":1,"token_usage":${CHAT}}`, usage: undefined },
  { name: 'no start', text: `"usage":${CHAT}}`, usage: undefined },
  { name: 'cut', text: `{"a":1,"usage":${CHAT.slice(0, -1)}`, usage: undefined },
  { name: 'negative', text: '{"usage":{"prompt_tokens":-1,"completion_tokens":2}}', usage: undefined },
  { name: 'a fraction', text: '{"usage":{"prompt_tokens":1.5,"completion_tokens":2}}', usage: undefined },
  { name: 'beyond safe', text: '{"usage":{"prompt_tokens":9007199254740992,"completion_tokens":2}}', usage: undefined },
  { name: 'a text', text: '{"usage":{"prompt_tokens":"1","completion_tokens":2}}', usage: undefined },
  {
    name: 'a bad total',
    text: '{"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":-3}}',
    usage: undefined,
  },
  { name: 'half', text: '{"usage":{"prompt_tokens":1,"total_tokens":1}}', usage: undefined },
  { name: 'no JSON in it', text: '{"usage":{prompt_tokens:1}}', usage: undefined },
  {
    name: 'a long one',
    text: `{"usage":{"a":"${'x'.repeat(2_500)}","prompt_tokens":1,"completion_tokens":2}}`,
    usage: { input: 1, output: 2, total: 3 },
  },
  { name: 'nothing', text: '', usage: undefined },
];

void t.test('in one piece and byte by byte', async (t) => {
  for (const { name, text, usage } of CASES) {
    t.strictSame(read(text), usage, name);
    t.strictSame(read(text, 1), usage, `${name}, byte by byte`);
  }
});

void t.test('the end of a long reply, however it comes', async (t) => {
  const text = `{"choices":["${'ü'.repeat(100_000)}"],"usage":${CHAT}}`;
  for (const piece of [1_000, 4_096, 65_536, 1_000_000]) t.strictSame(read(text, piece), USAGE, `${piece}`);
});

void t.test('what is not near the end is not kept', async (t) => {
  t.equal(read(`{"usage":${CHAT},"a":"${'x'.repeat(10_000)}"}`, 100), undefined);
  // Chunks before the last 4 KiB are let go.
  const tail = new UsageTail();
  const chunks: WeakRef<Buffer>[] = [];
  for (let index = 0; index < 200; index++) {
    const chunk = Buffer.alloc(1_024, 'x');
    chunks.push(new WeakRef(chunk));
    tail.push(chunk);
  }
  setFlagsFromString('--expose-gc');
  // A weak reference holds until the job that made it is over.
  await new Promise((resolve) => setImmediate(resolve));
  (runInNewContext('gc') as () => void)();
  const kept = chunks.filter((chunk) => chunk.deref() !== undefined).length;
  t.ok(kept >= 4 && kept <= 8, `${kept} of 200 are kept`);
  t.equal(tail.read(), undefined);
});

void t.test('what many openings cost is bounded', async (t) => {
  const start = performance.now();
  for (const text of ['{"usage":{'.repeat(10_000), '{"usage":{{'.repeat(10_000), `{"usage":{${'{}'.repeat(10_000)}`]) {
    t.equal(read(text), undefined);
  }
  t.ok(performance.now() - start < 1_000);
});

void t.test('only replies that tell it, and that can be read', async (t) => {
  const chat = '/v1/chat/completions';
  const YES = [
    [chat, 'application/json', undefined],
    [chat, 'Application/JSON; charset=utf-8', undefined],
    [chat, 'text/event-stream', undefined],
    ['/v1/responses', 'text/event-stream;charset=utf-8', undefined],
  ] as const;
  const NO = [
    [chat, 'application/json', 'gzip'],
    [chat, 'application/jsonl', undefined],
    [chat, 'text/plain', undefined],
    [chat, undefined, undefined],
    ['/v1/models', 'application/json', undefined],
  ] as const;
  for (const [template, type, encoding] of YES) t.ok(usageTail(template, type, encoding), `${template} ${type}`);
  for (const [template, type, encoding] of NO) {
    t.equal(usageTail(template, type, encoding), undefined, `${template} ${type} ${encoding}`);
  }
});
