import t from 'tap';
import { hasDuplicateKey, parseUnambiguous } from '../src/json.ts';

void t.test('hasDuplicateKey', async (t) => {
  const cases: readonly (readonly [text: string, twice: boolean])[] = [
    ['{}', false],
    ['[]', false],
    ['{"a":1,"b":{"a":1},"c":[{"a":1},{"a":1}]}', false],
    ['["a","a",{"a":"a"},"a"]', false],
    ['{"a":"b\\",\\"a\\":","b":1}', false],
    ['{"a\\\\":1,"a":2}', false],
    ['{"a" :1,"a"\t\n:2}', true],
    ['{"a":{},"a":{}}', true],
    ['{"a":{"b":{}},"c":{"d":1,"e":"}","d":2}}', true],
    ['{"é":1,"\\u00e9":2}', true],
    ['{"\\"":1,"\\u0022":2}', true],
    ['{"__proto__":1,"__proto__":2}', true],
    ['{"":1,"":2}', true],
    ['[[{"x":[]}],{"a":[{"y":1}],"a":0}]', true],
  ];
  for (const [text, twice] of cases) t.equal(hasDuplicateKey(text), twice, text);
});

void t.test('parseUnambiguous: what every reader reads alike', async (t) => {
  const cases: readonly (readonly [text: string, value: object])[] = [
    ['{}', {}],
    [' \r\n\t{"a":[1,null,"\\u00e9"]}\n', { a: [1, null, 'é'] }],
    [`{"note":"\\"${'[{'.repeat(99)}"}`, { note: `"${'[{'.repeat(99)}` }],
  ];
  for (const [text, value] of cases) t.strictSame(parseUnambiguous(Buffer.from(text)), value, text);
  t.type(parseUnambiguous(Buffer.from(nested(64))), Object, 'as deep as may be');
});

void t.test('parseUnambiguous: what is refused, and why', async (t) => {
  const none = 'must be JSON in UTF-8, without a content coding';
  const noObject = 'must be a JSON object';
  const cases: readonly (readonly [data: string | Buffer, why: string])[] = [
    ['', none],
    ['{"a":1,}', none],
    ["{'a':1}", none],
    ['{"a":1} {"a":1}', none],
    ['{"a":NaN}', none],
    ['{"a":"\u0001"}', none],
    ['\ufeff{}', none],
    [Buffer.from('{"a":"\xff"}', 'latin1'), none],
    [Buffer.from('{"a":"\ud800"}', 'utf16le'), none],
    [Buffer.from([0x7b, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x3a, 0x31, 0x7d]), none],
    [Buffer.from([0x7b, 0x22, 0xc0, 0xaf, 0x22, 0x3a, 0x31, 0x7d]), none],
    ['null', noObject],
    ['[]', noObject],
    ['7', noObject],
    ['"{}"', noObject],
    ['{"a":1,"a":1}', 'has a duplicate key'],
    ['{"method":"a","m\\u0065thod":"b"}', 'has a duplicate key'],
    ['{"a":[{"b":{"c":1,"c":2}}]}', 'has a duplicate key'],
    [nested(65), 'is nested deeper than 64 levels'],
    [`${'['.repeat(2e6)}`, 'is nested deeper than 64 levels'],
  ];
  for (const [data, why] of cases) {
    t.equal(parseUnambiguous(Buffer.from(data as string)), why, JSON.stringify(data.toString('latin1').slice(0, 40)));
  }
});

/** An object with so many levels of brackets. */
function nested(levels: number): string {
  return `{"a":${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}}`;
}
