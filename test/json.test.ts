import t from 'tap';
import { hasDuplicateKey } from '../src/json.ts';

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
