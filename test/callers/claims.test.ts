/** From claims to a caller. The tokens of providers are in presets.test.ts. */
import t from 'tap';
import { callerFrom, type Named, type Nameless } from '../../src/callers/claims.ts';
import type { IssuerConfig } from '../../src/config/issuers.ts';
import { parseTemplate, type NameTemplate } from '../../src/config/claim-path.ts';
import type { Scope } from '../../src/types.ts';

type Claims = Readonly<Record<string, unknown>>;

/** An issuer whose callers are `corp:<sub>`, with what is named instead. */
function issuer(more: Partial<IssuerConfig> = {}): IssuerConfig {
  return {
    name: 'corp',
    issuer: 'https://id.example',
    audience: ['shim'],
    header: 'authorization',
    keys: { kind: 'jwksUri', url: 'https://id.example/keys' },
    algorithms: ['RS256'],
    clockTolerance: 0,
    maxStale: 0,
    scopes: { claim: ['roles'], ceiling: ['operator.write'] },
    template: ['', ['sub'], ''],
    match: [],
    policy: { allowHeaders: [], onForbiddenHeader: 'drop' },
    ...more,
  };
}

function scopesFor(roles: unknown, scopes: Partial<IssuerConfig['scopes']> = {}): readonly [unknown, unknown] {
  const { claim = ['roles'], ...more } = scopes;
  const config = issuer({ scopes: { claim, ceiling: ['operator.write'], ...more } });
  const { caller, dropped } = callerFrom(config, { sub: 'a', [claim[0] ?? '']: roles }) as Named;
  return [caller.scopes, dropped];
}

void t.test('scopes: known values, within the ceiling, and nothing else', async (t) => {
  const none = (...examples: readonly string[]) => [[], { count: examples.length, examples }] as const;
  t.strictSame(scopesFor(undefined), [[], undefined], 'no claim');
  t.strictSame(scopesFor([]), [[], undefined]);
  t.strictSame(scopesFor(['operator.read', 'operator.read']), [['operator.read'], undefined]);
  t.strictSame(scopesFor(['operator.admin']), [['operator.write'], undefined], 'cut to the ceiling');
  t.strictSame(scopesFor(['operator.approvals']), [[], undefined], 'beyond the ceiling');
  t.strictSame(scopesFor(['operator.admin'], { ceiling: [] }), [[], undefined], 'an empty ceiling');
  t.strictSame(scopesFor('operator.read'), [['operator.read'], undefined], 'a text');
  t.strictSame(scopesFor('operator.read operator.write'), none('operator.read operator.write'), 'is one value');
  for (const name of ['scope', 'scp']) {
    const spaced = scopesFor('operator.read  operator.write openid ', { claim: [name] });
    t.strictSame(spaced, [['operator.write'], { count: 1, examples: ['openid'] }], `${name} is a list`);
    t.strictSame(scopesFor('', { claim: [name] }), [[], undefined], `${name} can be empty`);
    t.strictSame(scopesFor(['operator.read operator.write'], { claim: [name] }), none('operator.read operator.write'));
  }
  for (const value of ['operator.read,operator.admin', 'Operator.Read', ' operator.read', 'operator.read\n', '*', '']) {
    t.strictSame(scopesFor([value]), none(value.replace('\n', '?')), JSON.stringify(value));
  }
  t.strictSame(scopesFor(['operator.rea\u0501', '\u202eope\u0000\u001b[2J']), none('operator.rea?', '?ope??[2J'));
  for (const [value, words] of [
    [7, '(number)'],
    [true, '(boolean)'],
    [null, '(null)'],
    [{ 'operator.read': true }, '(object)'],
  ] as const) {
    t.strictSame(scopesFor(value), none(words), words);
    t.strictSame(scopesFor([value]), none(words), `[${words}]`);
  }
  t.strictSame(scopesFor([['operator.read']]), none('(a list)'));
});

void t.test('scopes: a map', async (t) => {
  const map = new Map<string, readonly Scope[]>([
    ['writers', ['operator.write']],
    ['approvers', ['operator.approvals']],
    ['nobody', []],
    ['a b', ['operator.read']],
  ]);
  const ceiling: readonly Scope[] = ['operator.write', 'operator.approvals'];
  const of = (roles: unknown) => scopesFor(roles, { map, ceiling });
  t.strictSame(of(['writers', 'approvers']), [['operator.write', 'operator.approvals'], undefined]);
  t.strictSame(of(['nobody']), [[], undefined]);
  t.strictSame(of('a b'), [['operator.read'], undefined]);
  t.strictSame(of(['operator.write']), [[], { count: 1, examples: ['operator.write'] }], 'the map alone counts');
  for (const value of ['Writers', 'writers ', 'writers,approvers', '__proto__', 'constructor', 'toString']) {
    t.strictSame(of([value]), [[], { count: 1, examples: [value] }], value);
  }
});

void t.test('a subject with spaces grants nothing that a part of it would', async (t) => {
  const good = 'repo:octo-org/octo-repo:ref:refs/heads/main';
  const config = issuer({
    template: ['', ['repository_id'], ''],
    scopes: { claim: ['sub'], map: new Map([[good, ['operator.write']]]), ceiling: ['operator.write'] },
  });
  const claims = { repository_id: '7', sub: `repo:evil/evil:environment:a ${good}` };
  t.strictSame((callerFrom(config, claims) as Named).caller.scopes, []);
  t.strictSame((callerFrom(config, { ...claims, sub: good }) as Named).caller.scopes, ['operator.write']);
});

void t.test('a path leads through own members of maps alone', async (t) => {
  const of = (claim: readonly string[], claims: string) =>
    (callerFrom(issuer({ scopes: { claim, ceiling: ['operator.write'] } }), JSON.parse(claims) as Claims) as Named)
      .caller.scopes;
  t.strictSame(of(['a', 'b'], '{"sub":"x","a":{"b":["operator.read"]}}'), ['operator.read']);
  t.strictSame(of(['a.b'], '{"sub":"x","a.b":["operator.read"],"a":{"b":["operator.write"]}}'), ['operator.read']);
  for (const claims of [
    '{"sub":"x"}',
    '{"sub":"x","a":null}',
    '{"sub":"x","a":"b"}',
    '{"sub":"x","a":7}',
    '{"sub":"x","a":[{"b":["operator.read"]}]}',
    '{"sub":"x","a.b":["operator.read"]}',
    '{"sub":"x","__proto__":{"a":{"b":["operator.read"]}}}',
    '{"sub":"x","a":{"__proto__":{"b":["operator.read"]}}}',
  ]) {
    t.strictSame(of(['a', 'b'], claims), [], claims);
  }
  t.strictSame(of(['a', '0'], '{"sub":"x","a":["operator.read"]}'), [], 'no index of a list');
  const inherited = Object.create({ sub: 'x', roles: ['operator.read'] }) as Claims;
  t.match(callerFrom(issuer(), inherited), { fault: /sub is missing/ });
  for (const name of ['toString', 'constructor', '__proto__', 'hasOwnProperty']) {
    t.match(callerFrom(issuer({ template: ['', [name], ''] }), {}), { fault: /is missing/ }, name);
  }
  t.match(callerFrom(issuer({ template: ['', ['sub', 'length'], ''] }), { sub: 'a' }), { fault: /is missing/ });
});

const fault = (claims: Claims, template?: NameTemplate): string =>
  (callerFrom(issuer(template && { template }), claims) as Nameless).fault;
const name = (claims: Claims, template?: NameTemplate): string =>
  (callerFrom(issuer(template && { template }), claims) as Named).caller.name;

void t.test('names: every byte as it is, or none', async (t) => {
  for (const sub of [
    'a',
    'A',
    'a/b',
    'auth0|5f',
    'x@y@z',
    'dependabot[bot]',
    "!#$%&'()*+-./:;<=>?@[]^_`{|}~",
    '..',
    '-',
  ]) {
    t.equal(name({ sub }), `corp:${sub}`);
  }
  t.equal(name({ sub: 'a'.repeat(123) }).length, 128);
  t.match(fault({ sub: 'a'.repeat(124) }), /the name is longer than 128/);
  t.match(fault({ sub: 'a'.repeat(5_000_000) }), /longer than a name may be/);
  for (const code of [...Array.from({ length: 0x21 }, (_, code) => code), 0x22, 0x2c, 0x5c, 0x7f]) {
    t.match(
      fault({ sub: `a${String.fromCodePoint(code)}b` }),
      /a character that a name may not have/,
      `0x${code.toString(16)}`,
    );
  }
  for (const sub of [
    ' a',
    'a ',
    'a\n',
    'ä',
    'аdmin',
    'ａ',
    'a\u0301',
    'a\u200b',
    'a\u202e',
    '\ud800',
    '\u{1f600}',
    'a\r\nx-openclaw-scopes: operator.admin',
  ]) {
    t.match(fault({ sub }), /a character that a name may not have/, JSON.stringify(sub));
  }
  for (const sub of [7, 0, true, null, {}, [], ['a'], [['a']], { toString: 'a' }]) {
    t.match(fault({ sub }), /sub is no text/, JSON.stringify(sub));
  }
  t.match(fault({ sub: '' }), /sub is empty/);
  t.match(fault({}), /sub is missing/);
});

void t.test('names: no fault quotes what the token has', async (t) => {
  for (const sub of ['se cret', 'secret\n', 'secret'.repeat(100)]) t.notMatch(fault({ sub }), /se.?cret/);
  const config = issuer({ match: [{ claim: ['a'], values: ['b'] }] });
  t.notMatch((callerFrom(config, { sub: 'a', a: 'secret' }) as Nameless).fault, /secret/);
});

void t.test('names: two sets of claims never give one', async (t) => {
  const template = (text: string) => parseTemplate(text) as NameTemplate;
  t.equal(name({ a: 'x', b: 'y:z' }, template('{a}:{b}')), 'corp:x:y:z');
  t.match(fault({ a: 'x:y', b: 'z' }, template('{a}:{b}')), /its claim a has a ":"/);
  t.match(fault({ a: '', b: 'z' }, template('{a}:{b}')), /its claim a is empty/);
  // Every pair of short values that is a name at all, with each of these templates.
  for (const text of ['{a}:{b}', '{a}::{b}', '{a}:-{b}', '-{a}-:{b}:', ':{a}:{b}:']) {
    const seen = new Map<string, string>();
    const values = Array.from({ length: 3 ** 4 }, (_, index) =>
      index.toString(3).replaceAll('0', ':').replaceAll('1', '-'),
    );
    for (const a of values) {
      for (const b of values) {
        const found = callerFrom(issuer({ template: template(text) }), { a, b });
        if ('fault' in found) continue;
        const before = seen.get(found.caller.name);
        if (before !== undefined) t.fail(`${text}: ${before} and ${a} ${b} are ${found.caller.name}`);
        seen.set(found.caller.name, `${a} ${b}`);
      }
    }
    t.ok(seen.size > 500, `${text}: ${seen.size}`);
  }
});

void t.test('names: nobody of the configuration, and nobody whom another shim calls for', async (t) => {
  const static_ = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$/;
  const onBehalf = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}\//;
  for (const sub of ['agentpage', 'laptop/web', '/web', '../web', 'k8s:a']) {
    t.notMatch(name({ sub }), static_);
    t.notMatch(name({ sub }), onBehalf);
    t.match(name({ sub }), /^[\x21-\x7e]{1,128}$/, 'fit for a header');
  }
});

void t.test('a token that is bound to a key is no bearer token', async (t) => {
  for (const cnf of [{ jkt: 'a' }, { 'x5t#S256': 'a' }, {}, null, 'a']) {
    t.match(callerFrom(issuer(), { sub: 's', cnf }), { fault: 'it is bound to a key (cnf), and no bearer token' });
  }
  t.ok('caller' in callerFrom(issuer(), { sub: 's' }));
});

void t.test('match: exactly one of the values, as it is or in a list', async (t) => {
  const config = issuer({ match: [{ claim: ['a', 'b'], values: ['x', true] }] });
  const passes = (b: unknown): boolean => 'caller' in callerFrom(config, { sub: 's', a: { b } });
  for (const value of ['x', true, ['x'], ['y', 'x'], [true]]) t.ok(passes(value), JSON.stringify(value));
  for (const value of [
    undefined,
    null,
    '',
    'X',
    'x ',
    'xx',
    'x y',
    'true',
    1,
    false,
    [],
    ['y'],
    [['x']],
    { x: true },
    { 0: 'x' },
  ]) {
    t.notOk(passes(value), JSON.stringify(value));
  }
  const both = issuer({ match: [...config.match, { claim: ['c'], values: ['z'] }] });
  t.match(callerFrom(both, { sub: 's', a: { b: 'x' } }), { fault: /its claim c is not what match asks for/ });
});

void t.test('a lot of it is looked at once, and told in short', async (t) => {
  const roles = Array.from({ length: 10_000 }, (_, index) => `role-${index}-${'x'.repeat(200)}`);
  const [scopes, dropped] = scopesFor([...roles, 'operator.read']);
  t.strictSame(scopes, ['operator.read']);
  t.match(dropped, { count: 10_000 });
  t.ok(JSON.stringify(dropped).length < 700, `${JSON.stringify(dropped).length}`);
  t.match(scopesFor('x '.repeat(1_000_000), { claim: ['scope'] }), [[], { count: 1_000_000 }]);
  t.match(scopesFor('x'.repeat(10_000_000)), [[], { count: 1, examples: ['x'.repeat(64)] }]);
});
