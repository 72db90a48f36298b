import t from 'tap';
import { readBearer } from '../../src/headers/bearer.ts';

const TOKEN = 'abcdefghijklmnopqrstuvwx';

void t.test('a bearer token', async (t) => {
  const cases: readonly (readonly [string, string])[] = [
    [`Bearer ${TOKEN}`, TOKEN],
    [`bearer ${TOKEN}`, TOKEN],
    [`BEARER ${TOKEN}`, TOKEN],
    [`bEaReR ${TOKEN}=`, `${TOKEN}=`],
    [`Bearer AZaz09-._~+/${TOKEN}==`, `AZaz09-._~+/${TOKEN}==`],
    [`Bearer ${'a'.repeat(512)}`, 'a'.repeat(512)],
  ];
  for (const [value, token] of cases) t.strictSame(readBearer(value), { token }, value);
});

void t.test('no bearer credential', async (t) => {
  const values = [
    undefined,
    '',
    'Basic dXNlcjpwYXNz',
    'Digest x',
    `Bearerx ${TOKEN}`,
    `Bearer_${TOKEN}`,
    TOKEN,
    'b earer x',
  ];
  for (const value of values) t.equal(readBearer(value), 'missing', String(value));
  t.equal(readBearer(` Bearer ${TOKEN}`), 'missing', 'nothing is trimmed: the parser has');
});

void t.test('a bearer credential that is no token', async (t) => {
  const values = [
    'Bearer',
    'Bearer ',
    'bearer  x',
    `Bearer  ${TOKEN}`,
    `Bearer\t${TOKEN}`,
    `Bearer ${TOKEN} ${TOKEN}`,
    `Bearer ${TOKEN}, Bearer ${TOKEN}`,
    `Bearer ${TOKEN},`,
    `Bearer,${TOKEN}`,
    `Bearer "${TOKEN}"`,
    `Bearer ${TOKEN} `,
    `Bearer ${TOKEN}\n`,
    `Bearer =${TOKEN}`,
    `Bearer ${TOKEN}=a`,
    `Bearer ${TOKEN}\xff`,
    `Bearer ${TOKEN}\u212A`,
    `Bearer ${'a'.repeat(23)}`,
    `Bearer ${'a'.repeat(513)}`,
    `Bearer token=${TOKEN}:`,
  ];
  for (const value of values) t.equal(readBearer(value), 'malformed', JSON.stringify(value));
});
