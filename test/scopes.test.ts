import t from 'tap';
import { expandScopes, hasScope, intersectScopes, isScope } from '../src/scopes.ts';
import { SCOPES, type Scope } from '../src/types.ts';

void t.test('a scope is known by its exact name', (t) => {
  t.equal(isScope('operator.write'), true);
  for (const near of ['operator.Write', 'operator.write ', 'write', '', 'operator.read,operator.admin', '__proto__']) {
    t.equal(isScope(near), false, near);
  }
  t.end();
});

void t.test('implication', (t) => {
  const cases: [Scope, Scope, boolean][] = [
    ['operator.admin', 'operator.pairing', true],
    ['operator.write', 'operator.read', true],
    ['operator.write', 'operator.talk', true],
    ['operator.write', 'operator.admin', false],
    ['operator.write', 'operator.talk.secrets', false],
    ['operator.write', 'operator.approvals', false],
    ['operator.read', 'operator.write', false],
    ['operator.sessions.write', 'operator.sessions.read', true],
    ['operator.sessions.write', 'operator.write', false],
  ];
  for (const [granted, needed, expected] of cases) {
    t.equal(hasScope([granted], needed), expected, `${granted} covers ${needed}: ${expected}`);
    t.equal(expandScopes([granted]).has(needed), expected);
  }
  t.equal(hasScope([], 'operator.read'), false);
  t.end();
});

void t.test('the intersection is named by the least set', (t) => {
  const cases: [Scope[], Scope[], Scope[]][] = [
    [['operator.admin'], ['operator.write'], ['operator.write']],
    [['operator.write'], ['operator.admin'], ['operator.write']],
    [['operator.admin'], ['operator.admin'], ['operator.admin']],
    [['operator.admin'], ['operator.read', 'operator.approvals'], ['operator.read', 'operator.approvals']],
    [['operator.write'], ['operator.read'], ['operator.read']],
    [['operator.read'], ['operator.pairing'], []],
    [[], ['operator.admin'], []],
    [['operator.admin'], [], []],
  ];
  for (const [asked, allowed, expected] of cases) t.strictSame(intersectScopes(asked, allowed), expected);
  t.end();
});

void t.test('an intersection never exceeds either side', (t) => {
  for (const a of SCOPES) {
    for (const b of SCOPES) {
      for (const scope of intersectScopes([a], [b])) {
        t.ok(hasScope([a], scope) && hasScope([b], scope), `${a} and ${b} give ${scope}`);
      }
    }
  }
  t.end();
});
