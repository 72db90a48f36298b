/** Edits of the text: what is meant changes, and every other line stays byte for byte. */
import t from 'tap';
import { addCaller, addToken, EditError, removeToken, setExpires } from '../../src/config/edit.ts';
import { digest } from '../helpers/configuration.ts';

const [A, B, C, D, NEW] = ['a', 'b', 'c', 'd', 'e'].map((digit) => digest(digit)) as [
  string,
  string,
  string,
  string,
  string,
];

/** Laid out as no program would. */
const TEXT = `# top
gateway: { url: http://x,   auth: {mode: none} }   # aligned
callers:        # who
  - name: a     # first
    tokens:
      - hash: sha256:${A}    # laptop
        expires: 2027-01-31       # soon

      # between
      - hash: sha256:${B}
    scopes: [ operator.read,operator.write ]
    # tail of a

  # about b
  - { name: b, tokens: [ { hash: "sha256:${C}" } ], scopes: [operator.read] }   # inline
  - name: c
    scopes:   [operator.read]
  - name: d
    tokens:
    - {hash: 'sha256:${D}',   expires: 2027-01-01}  # d1
  - name: e
    tokens: []    # none yet
# end
admin: {}
`;

/** @returns the lines that went and the lines that came; all others are the same, in the same order */
function difference(before: string, after: string): { gone: string[]; come: string[] } {
  const [a, b] = [before.split('\n'), after.split('\n')];
  let [start, end] = [0, 0];
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  while (end < a.length - start && end < b.length - start && a.at(-1 - end) === b.at(-1 - end)) end++;
  return { gone: a.slice(start, a.length - end), come: b.slice(start, b.length - end) };
}

const CASES: readonly {
  name: string;
  edit: (text: string) => string;
  gone: readonly string[];
  come: readonly string[];
}[] = [
  {
    name: 'a new caller at the end of the list',
    edit: (text) => addCaller(text, 'new', ['operator.read', 'operator.write'], { hash: NEW, expires: '2027-05-05' }),
    gone: [],
    come: [
      '  - name: new',
      '    tokens:',
      `      - hash: sha256:${NEW}`,
      '        expires: 2027-05-05',
      '    scopes: [operator.read, operator.write]',
    ],
  },
  {
    name: 'a token after the last one',
    edit: (text) => addToken(text, 'a', { hash: NEW }),
    gone: [],
    come: [`      - hash: sha256:${NEW}`],
  },
  {
    name: 'a token in a list on one line',
    edit: (text) => addToken(text, 'b', { hash: NEW }),
    gone: [`  - { name: b, tokens: [ { hash: "sha256:${C}" } ], scopes: [operator.read] }   # inline`],
    come: [
      `  - { name: b, tokens: [ { hash: "sha256:${C}" }, { hash: sha256:${NEW} } ], scopes: [operator.read] }   # inline`,
    ],
  },
  {
    name: 'the first token of a caller without the key',
    edit: (text) => addToken(text, 'c', { hash: NEW }),
    gone: [],
    come: ['    tokens:', `      - hash: sha256:${NEW}`],
  },
  {
    name: 'the first token of an empty list',
    edit: (text) => addToken(text, 'e', { hash: NEW }),
    gone: ['    tokens: []    # none yet'],
    come: ['    tokens:    # none yet', `      - hash: sha256:${NEW}`],
  },
  {
    name: 'a token less',
    edit: (text) => removeToken(text, 'a', A),
    gone: [`      - hash: sha256:${A}    # laptop`, '        expires: 2027-01-31       # soon'],
    come: [],
  },
  {
    name: 'the last token less',
    edit: (text) => removeToken(text, 'd', D),
    gone: ['    tokens:', `    - {hash: 'sha256:${D}',   expires: 2027-01-01}  # d1`],
    come: ['    tokens: []'],
  },
  {
    name: 'a token less on one line',
    edit: (text) => removeToken(text, 'b', C),
    gone: [`  - { name: b, tokens: [ { hash: "sha256:${C}" } ], scopes: [operator.read] }   # inline`],
    come: ['  - { name: b, tokens: [], scopes: [operator.read] }   # inline'],
  },
  {
    name: 'another expiry',
    edit: (text) => setExpires(text, 'a', A, '2028-01-01T00:00:00Z'),
    gone: ['        expires: 2027-01-31       # soon'],
    come: ['        expires: 2028-01-01T00:00:00Z       # soon'],
  },
  {
    name: 'a first expiry',
    edit: (text) => setExpires(text, 'a', B, '2028-01-01'),
    gone: [],
    come: ['        expires: 2028-01-01'],
  },
  {
    name: 'another expiry on one line',
    edit: (text) => setExpires(text, 'd', D, '2028-01-01'),
    gone: [`    - {hash: 'sha256:${D}',   expires: 2027-01-01}  # d1`],
    come: [`    - {hash: 'sha256:${D}',   expires: 2028-01-01}  # d1`],
  },
  {
    name: 'a first expiry on one line',
    edit: (text) => setExpires(text, 'b', C, '2028-01-01'),
    gone: [`  - { name: b, tokens: [ { hash: "sha256:${C}" } ], scopes: [operator.read] }   # inline`],
    come: [
      `  - { name: b, tokens: [ { hash: "sha256:${C}", expires: 2028-01-01 } ], scopes: [operator.read] }   # inline`,
    ],
  },
];

void t.test('every other line stays byte for byte', async (t) => {
  for (const { name, edit, gone, come } of CASES) {
    await t.test(name, async (t) => {
      t.same(difference(TEXT, edit(TEXT)), { gone, come });
      const crlf = TEXT.replaceAll('\n', '\r\n');
      t.equal(edit(crlf), edit(TEXT).replaceAll('\n', '\r\n'), 'with CRLF as well');
    });
  }
});

void t.test('a caller on one line, and every other byte stays', async (t) => {
  const token = `{ hash: sha256:${NEW} }`;
  const [first, second] = [`{hash: 'sha256:${A}'}`, `{ hash: "sha256:${B}",   expires: 2027-01-01 }`];
  const add = (text: string): string => addToken(text, 'b', { hash: NEW });
  for (const [before, after] of [
    ['  - { name: b, scopes:  [x], tokens: [] }', `  - { name: b, scopes:  [x], tokens: [${token}] }`],
    ['  - {name: b, tokens: [ ], scopes: [x]} # b', `  - {name: b, tokens: [${token} ], scopes: [x]} # b`],
    ['  - { name: b, tokens:, scopes: [ x ] }', `  - { name: b, tokens: [${token}], scopes: [ x ] }`],
    ['  - { name: b, tokens: null }', `  - { name: b, tokens: [${token}] }`],
    ['  - { name: b, tokens }', `  - { name: b, tokens: [${token}] }`],
    ['  - {"name":"b","tokens":null}', `  - {"name":"b","tokens":[${token}]}`],
    ['  - { name: b,   scopes: [x] , }', `  - { name: b,   scopes: [x], tokens: [${token}] , }`],
    [`  - { name: b, tokens: [${first}] }`, `  - { name: b, tokens: [${first}, ${token}] }`],
    [`  - name: b\n    tokens: [${first}]   # one`, `  - name: b\n    tokens: [${first}, ${token}]   # one`],
    [
      `  - name: b\n    tokens: [\n      ${first}, # one\n      ${second} # two\n    ]`,
      `  - name: b\n    tokens: [\n      ${first}, # one\n      ${second}, ${token} # two\n    ]`,
    ],
  ] as const) {
    t.equal(add(`callers:\n${before}\nend: 1\n`), `callers:\n${after}\nend: 1\n`, before);
  }
  t.equal(add('{"callers":[{"name":"b","tokens":[]}]}'), `{"callers":[{"name":"b","tokens":[${token}]}]}`, 'JSON');
  const two = `callers: [{ name: b, tokens: [${first},  ${second}] }]\n`;
  t.equal(removeToken(two, 'b', A), `callers: [{ name: b, tokens: [${second}] }]\n`);
  t.equal(removeToken(two, 'b', B), `callers: [{ name: b, tokens: [${first}] }]\n`);
  t.equal(
    addCaller('callers: [{name: b}]   # all\n', 'new', ['operator.read'], { hash: NEW }),
    `callers: [{name: b}, { name: new, tokens: [ ${token} ], scopes: [ operator.read ] }]   # all\n`,
  );
});

void t.test('a first caller, wherever the list is', async (t) => {
  const caller = `  - name: new\n    tokens:\n      - hash: sha256:${NEW}\n    scopes: [operator.read]\n`;
  for (const [before, after] of [
    ['gateway: {}\n', `gateway: {}\ncallers:\n${caller}`],
    ['gateway: {}', `gateway: {}\ncallers:\n${caller}`],
    ['callers:\ngateway: {}\n', `callers:\n${caller}gateway: {}\n`],
    ['callers: []   # none\ngateway: {}\n', `callers:   # none\n${caller}gateway: {}\n`],
    ['callers: # none', `callers: # none\n${caller}`],
    ['a: |\n  text\n', `a: |\n  text\ncallers:\n${caller}`],
    ['a: 1\n...\n', `a: 1\ncallers:\n${caller}...\n`],
  ] as const) {
    t.equal(addCaller(before, 'new', ['operator.read'], { hash: NEW }), after, JSON.stringify(before));
  }
});

void t.test('a layout that no edit knows is refused, not spoilt', async (t) => {
  const shared = `callers:\n  - name: a\n    tokens: &t\n      - hash: sha256:${A}\n  - name: b\n    tokens: *t\n`;
  t.throws(() => addToken(shared, 'b', { hash: NEW }), EditError, 'an alias');
  t.throws(
    () => addToken('callers:\n  - name: a\n    tokens: &t []\n  - name: b\n    tokens: *t\n', 'a', { hash: NEW }),
    EditError,
    'what an alias stands for',
  );
  t.throws(() => addToken(shared, 'c', { hash: NEW }), EditError, 'nobody');
  t.throws(() => removeToken(shared, 'a', B), EditError, 'no such token');
  t.throws(() => removeToken(`callers: [ { name: a, tokens:\n  - hash: x } ]`, 'a', A), EditError, 'no YAML');
  t.throws(
    () =>
      removeToken(
        `callers:\n  - name: a\n    tokens:\n      - # odd\n        hash: sha256:${A}\n      - hash: x\n`,
        'a',
        A,
      ),
    EditError,
    'a dash on a line of its own',
  );
});
