import t from 'tap';
import { actingFor, type Acting } from '../../src/callers/on-behalf.ts';
import type { Caller } from '../../src/types.ts';

const shim: Caller = {
  name: 'laptop',
  tokens: [],
  certificates: [{ uri: 'spiffe://cluster/laptop' }],
  onBehalf: true,
  scopes: ['operator.write'],
  allowHeaders: ['x-openclaw-model'],
  onForbiddenHeader: 'refuse',
  limits: { streams: 2 },
};
const { onBehalf: _, ...ordinary } = shim;

type Headers = readonly (readonly [string, string])[];
const both = (name: string, scopes: string): Headers => [
  ['x-auth-shim-caller', name],
  ['x-auth-shim-scopes', scopes],
];

void t.test('who is judged: what is asked, within what the shim may have', async (t) => {
  const cases: readonly (readonly [scopes: string, given: readonly string[]])[] = [
    ['operator.read', ['operator.read']],
    ['operator.admin', ['operator.write']],
    ['operator.read,operator.write', ['operator.write']],
    ['operator.approvals', []],
    ['operator.future,operator.read', ['operator.read']],
    ['', []],
  ];
  for (const [scopes, given] of cases) {
    const { caller, onBehalf } = actingFor(shim, both('web', scopes)) as Acting;
    t.equal(caller.name, 'laptop/web');
    t.strictSame(caller.scopes, given, scopes);
    t.strictSame({ ...caller, name: shim.name, scopes: shim.scopes }, shim, 'all else is as the shim has it');
    t.equal(onBehalf?.name, 'web');
  }
  t.strictSame(actingFor(ordinary, []), { caller: ordinary, onBehalf: undefined });
});

const [NAME, SCOPES] = both('web', 'operator.read') as [readonly [string, string], readonly [string, string]];
const WRONG: readonly (readonly [what: string, headers: Headers])[] = [
  ['none', []],
  ['the name alone', [NAME]],
  ['the scopes alone', [SCOPES]],
  ['the name twice', [NAME, NAME, SCOPES]],
  ['the scopes twice', [NAME, SCOPES, SCOPES]],
  ['the name in another spelling as well', [NAME, SCOPES, ['x_auth_shim_caller', 'web']]],
  ['the name in another spelling', [['x_auth_shim_caller', 'web'], SCOPES]],
  ['no name', both('', 'operator.read')],
  ['a space in the name', both('a b', 'operator.read')],
  ['a name that is no ASCII', both('ä', 'operator.read')],
  ['a name that is too long', both('a'.repeat(129), 'operator.read')],
  ['an empty scope', both('web', 'operator.read,')],
  ['a space behind the comma', both('web', 'operator.read, operator.write')],
  ['no scope at all', both('web', '*')],
];

for (const [what, headers] of WRONG) {
  void t.test(`refused: ${what}`, async (t) => {
    t.match(actingFor(shim, headers), { kind: 'refuse', code: 'bad_request' });
  });
}

void t.test('from anybody else, whatever they say', async (t) => {
  for (const headers of [both('web', 'operator.read'), [NAME], [SCOPES], [['x_auth_shim_scopes', '']] as Headers]) {
    t.match(actingFor(ordinary, headers), { kind: 'refuse', code: 'header_not_allowed' });
  }
});
