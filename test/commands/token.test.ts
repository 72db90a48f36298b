/** `auth-shim token …`, on a real file. */
import t, { type Test } from 'tap';
import {
  chmodSync,
  chownSync,
  lstatSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { hashToken } from '../../src/callers/token.ts';
import { parseCallers } from '../../src/config/load.ts';
import { configWorld } from '../../src/commands/config-world.ts';
import { runTokenHash, runTokenList, runTokenNew, runTokenRevoke, runTokenRotate } from '../../src/commands/token.ts';
import type { Caller, RawToken } from '../../src/types.ts';
import { digest } from '../helpers/configuration.ts';
import { testWorld, type TestWorld } from '../helpers/world.ts';

const config = 'shim.config.yaml';
const GATEWAY =
  'gateway: { url: "http://127.0.0.1:18789", auth: { mode: token, secret: { env: OPENCLAW_GATEWAY_TOKEN } } } # hop\n';

/** @returns a folder with the configuration, as the world of a command */
function folder(t: Test, callers = '', more: Parameters<typeof testWorld>[1] = {}): TestWorld {
  return testWorld(t.testdir({ [config]: `${GATEWAY}${callers}` }), more);
}

const textIn = (world: TestWorld): string => readFileSync(join(world.cwd, config), 'utf8');
const callersIn = async (world: TestWorld): Promise<readonly Caller[]> =>
  (await parseCallers(config, textIn(world), configWorld(world))).callers;
const tokenOf = (world: TestWorld): RawToken => world.out().trimEnd() as RawToken;

const one = (...tokens: string[]): string =>
  `callers:\n  - name: page\n    tokens: [${tokens.join(', ')}]\n    scopes: [operator.read]\n`;
const entry = (digit: string, more = ''): string => `{ hash: "sha256:${digest(digit)}"${more} }`;

void t.test('new: a caller, whose token is alone on stdout', async (t) => {
  const world = folder(t);
  const scopes = ['operator.read', 'operator.write'];
  t.equal(await runTokenNew(world, { config, name: 'page', scopes, expires: '90d' }), 0);
  t.match(world.out(), /^shim_[0-9A-Za-z]{49}\n$/);
  t.match(world.err(), /new caller "page", expires 2027-03-01/);
  t.notOk(world.err().includes(tokenOf(world)));
  t.notOk(textIn(world).includes(tokenOf(world)));
  t.ok(textIn(world).startsWith(GATEWAY));
  const hash = hashToken(tokenOf(world));
  t.match(await callersIn(world), [{ name: 'page', scopes, tokens: [{ hash, expires: Date.UTC(2027, 2, 2) }] }]);
});

void t.test('new: where the secret of the gateway is not', async (t) => {
  const world = folder(t, '', { env: {} });
  t.equal(await runTokenNew(world, { config, name: 'page', scopes: ['operator.read'] }), 0);
});

void t.test('new: a second token, and no third while both live', async (t) => {
  const world = folder(t, one(entry('a')));
  t.equal(await runTokenNew(world, { config, name: 'page', scopes: [], expires: '12h' }), 0);
  t.match((await callersIn(world))[0]?.tokens, [{ hash: digest('a') }, { expires: Date.UTC(2026, 11, 1, 12) }]);
  const before = textIn(world);
  t.equal(await runTokenNew(world, { config, name: 'page', scopes: ['operator.read'] }), 1);
  t.match(world.err(), /"page" has two tokens \(a{12}, [0-9a-f]{12}\); revoke one first/);
  t.equal(textIn(world), before);
});

void t.test('new: an expired token makes room', async (t) => {
  const world = folder(t, one(entry('a', ', expires: 2026-01-01'), entry('b')));
  t.equal(await runTokenNew(world, { config, name: 'page', scopes: [] }), 0);
  t.match((await callersIn(world))[0]?.tokens, [{ hash: digest('b') }, { hash: hashToken(tokenOf(world)) }]);
});

const USAGE: readonly { name: string; options: Partial<Parameters<typeof runTokenNew>[1]>; says: RegExp }[] = [
  {
    name: 'unknown scope',
    options: { scopes: ['operator.wirte'] },
    says: /unknown scope "operator.wirte" \(did you mean "operator.write"\?\)/,
  },
  {
    name: 'new caller without scope',
    options: { name: 'pgae' },
    says: /no caller "pgae" \(did you mean "page"\?\); to create it, say --scope/,
  },
  {
    name: 'other scopes',
    options: { scopes: ['operator.write'] },
    says: /"page" exists with other scopes \(operator.read\)/,
  },
  { name: 'bad name', options: { name: 'a b', scopes: ['operator.read'] }, says: /expected a name/ },
  { name: 'no date', options: { expires: 'soon' }, says: /"soon" is no date and no duration/ },
  { name: '30 February', options: { expires: '2027-02-30' }, says: /is no date/ },
  { name: 'past', options: { expires: '2026-11-30' }, says: /2026-11-30 is past/ },
  { name: 'no time at all', options: { expires: '0d' }, says: /no time for a token to live/ },
];

void t.test('new: usage', async (t) => {
  for (const { name, options, says } of USAGE) {
    await t.test(name, async (t) => {
      const world = folder(t, one(entry('a')));
      const before = textIn(world);
      t.equal(await runTokenNew(world, { config, name: 'page', scopes: [], ...options }), 2);
      t.match(world.err(), says);
      t.equal(world.out(), '');
      t.equal(textIn(world), before);
    });
  }
});

void t.test('a configuration with faults is not edited', async (t) => {
  const world = folder(t, 'callers: [{ name: page, scopes: [nonsense] }]\n');
  const before = textIn(world);
  for (const command of [runTokenList, runTokenNew, runTokenRotate, runTokenRevoke]) {
    t.equal(await command(world, { config, name: 'page', scopes: [] }), 78);
  }
  t.match(world.err(), /shim.config.yaml:2:34 callers\[0\].scopes\[0\]: unknown scope/);
  t.equal(textIn(world), before);
  const nowhere = folder(t);
  t.equal(await runTokenList(nowhere, { config: 'missing.yaml' }), 78);
  t.match(nowhere.err(), /missing.yaml: the configuration does not exist; "auth-shim init" writes one/);
});

void t.test('a layout that cannot be edited', async (t) => {
  const world = folder(t, `callers:\n  - name: other\n    tokens: &t []\n  - name: page\n    tokens: *t\n`);
  t.equal(await runTokenNew(world, { config, name: 'page', scopes: [] }), 1);
  t.match(world.err(), /change it by hand/);
});

void t.test('mode, links and neighbours of the file stay', async (t) => {
  const world = folder(t);
  const path = join(world.cwd, config);
  renameSync(path, join(world.cwd, 'real.yaml'));
  symlinkSync('real.yaml', path);
  chmodSync(path, 0o640);
  t.equal(await runTokenNew(world, { config, name: 'page', scopes: ['operator.read'] }), 0);
  t.ok(lstatSync(path).isSymbolicLink());
  t.equal(statSync(path).mode & 0o777, 0o640);
  t.same(readdirSync(world.cwd).sort(), ['real.yaml', config]);
});

void t.test('the owner stays', { skip: process.getuid?.() !== 0 && 'only root can give a file away' }, async (t) => {
  const world = folder(t);
  const path = join(world.cwd, config);
  chownSync(path, 12345, 54321);
  t.equal(await runTokenNew(world, { config, name: 'page', scopes: ['operator.read'] }), 0);
  t.match(statSync(path), { uid: 12345, gid: 54321 });
});

void t.test('two commands at once: one of them is refused', async (t) => {
  const world = folder(t);
  writeFileSync(join(world.cwd, `.${config}.new`), '');
  t.equal(await runTokenNew(world, { config, name: 'page', scopes: ['operator.read'] }), 1);
  t.match(world.err(), /another command writes shim.config.yaml/);
  t.equal(textIn(world), GATEWAY);
});

void t.test('a file that was changed meanwhile is not written over', async (t) => {
  const other = `${GATEWAY}# somebody else\n`;
  const world = folder(t, '', {
    // Tokens are minted between reading and writing.
    randomBytes: (size) => {
      writeFileSync(join(world.cwd, config), other);
      return new Uint8Array(size).fill(7);
    },
  });
  t.equal(await runTokenNew(world, { config, name: 'page', scopes: ['operator.read'] }), 1);
  t.match(world.err(), /changed meanwhile/);
  t.equal(textIn(world), other);
  t.same(readdirSync(world.cwd), [config]);
});

void t.test('list', async (t) => {
  const callers = `callers:
  - { name: page, tokens: [${entry('a', ', expires: 2026-11-01')}, ${entry('b', ', notBefore: 2027-01-01')}], scopes: [operator.read, operator.talk] }
  - { name: cron, tokens: [${entry('c')}], scopes: [] }
  - { name: idle }
`;
  const world = folder(t, callers);
  t.equal(await runTokenList(world, { config }), 0);
  t.same(world.out().split('\n'), [
    'CALLER  ID            STATE          EXPIRES                   SCOPES',
    'page    aaaaaaaaaaaa  expired        2026-11-02T00:00:00.000Z  operator.read operator.talk',
    'page    bbbbbbbbbbbb  not yet valid  -                         operator.read operator.talk',
    'cron    cccccccccccc  live           -',
    'idle    -             no token       -',
    '',
  ]);
  const json = folder(t, callers);
  t.equal(await runTokenList(json, { config, json: true }), 0);
  t.match(JSON.parse(json.out()), [
    { caller: 'page', id: 'aaaaaaaaaaaa', state: 'expired', expires: '2026-11-02T00:00:00.000Z' },
    { id: 'bbbbbbbbbbbb', state: 'not yet valid', notBefore: '2027-01-01T00:00:00.000Z', expires: null },
    { caller: 'cron', state: 'live', scopes: [] },
    { caller: 'idle', id: null, state: 'no token' },
  ]);
});

const DAY = 86_400_000;
const NOW = Date.UTC(2026, 11, 1);
const ROTATED: readonly { name: string; grace?: string; old: string; expires: number | undefined }[] = [
  { name: 'a day by default', old: entry('a'), expires: NOW + DAY },
  { name: 'as long as it says', grace: '7d', old: entry('a', ', expires: 2027-12-31'), expires: NOW + 7 * DAY },
  {
    name: 'no longer than it had',
    grace: '90d',
    old: entry('a', ', expires: 2026-12-31'),
    expires: Date.UTC(2027, 0, 1),
  },
];

void t.test('rotate: the present token expires after the grace', async (t) => {
  for (const { name, grace, old, expires } of ROTATED) {
    await t.test(name, async (t) => {
      const world = folder(t, one(old));
      t.equal(await runTokenRotate(world, { config, name: 'page', grace, expires: '2028-01-31' }), 0);
      const hash = hashToken(tokenOf(world));
      t.match((await callersIn(world))[0]?.tokens, [
        { hash: digest('a'), expires },
        { hash, expires: Date.UTC(2028, 1, 1) },
      ]);
    });
  }
});

void t.test('rotate: no grace', async (t) => {
  const world = folder(t, one(entry('a'), entry('b', ', expires: 2026-01-01')));
  t.equal(await runTokenRotate(world, { config, name: 'page', grace: '0' }), 0);
  t.same(
    (await callersIn(world))[0]?.tokens.map(({ hash }) => hash),
    [hashToken(tokenOf(world))],
  );
});

void t.test('rotate: refused', async (t) => {
  const rotate = async (callers: string, more: object): Promise<[number, string]> => {
    const world = folder(t, callers);
    const before = textIn(world);
    const code = await runTokenRotate(world, { config, name: 'page', ...more });
    t.equal(textIn(world), before);
    t.equal(world.out(), '');
    return [code, world.err()];
  };
  t.match(await rotate(one(), {}), [1, /"page" has no live token/]);
  t.match(await rotate(one(entry('a'), entry('b')), {}), [1, /in rotation already/]);
  t.match(await rotate(one(entry('a')), { name: 'Page' }), [1, /no caller "Page" \(did you mean "page"\?\)/]);
  t.match(await rotate(one(entry('a')), { grace: 'long' }), [2, /"long" is no duration/]);
  t.match(await rotate(one(entry('a')), { expires: '2026-01-01' }), [2, /is past/]);
});

void t.test('revoke', async (t) => {
  const revoke = async (id?: string): Promise<[number, string, (string | undefined)[]]> => {
    const world = folder(t, one(entry('a'), entry('b')));
    const code = await runTokenRevoke(world, { config, name: 'page', id });
    return [code, world.err(), (await callersIn(world))[0]?.tokens.map(({ id }) => id) ?? []];
  };
  t.match(await revoke('aaaaaaaaaaaa'), [0, /token a{12} of "page" is revoked/, ['bbbbbbbbbbbb']]);
  t.match(await revoke('b'), [0, /token b{12}/, ['aaaaaaaaaaaa']]);
  t.match(await revoke(), [0, /a{12}.*\n.*b{12}/, []]);
  t.match(await revoke('c'), [1, /"page" has no token c/, ['aaaaaaaaaaaa', 'bbbbbbbbbbbb']]);
  t.match(await revoke(''), [1, /more than one/, ['aaaaaaaaaaaa', 'bbbbbbbbbbbb']]);
});

void t.test('hash', async (t) => {
  const of = async (stdin: string): Promise<[number, string, string]> => {
    const world = folder(t, '', { stdin: async () => stdin });
    return [await runTokenHash(world), world.out(), world.err()];
  };
  const token = 'abcdefghijklmnopqrstuvwxyz';
  const hash = 'sha256:71c480df93d6ae2f1efad1447c66c9525e316218cf51fc8d9ed832f2daf18b73\n';
  t.same(await of(token), [0, hash, '']);
  t.same(await of(`${token}\n`), [0, hash, '']);
  for (const bad of ['', 'short', `${token} `, `${token}\n\n`, 'x'.repeat(40), `shim_${'0'.repeat(49)}`]) {
    const [code, out, err] = await of(bad);
    t.same([code, out], [1, ''], JSON.stringify(bad));
    t.notMatch(err, token);
  }
});

void t.test('where callers stand in a file of their own, that file is edited', async (t) => {
  const apart = `# people\n${one(entry('a'))}`;
  const world = folder(t, 'callersFile: people.yaml\n');
  const path = join(world.cwd, 'people.yaml');
  writeFileSync(path, apart);
  const before = textIn(world);
  t.equal(await runTokenNew(world, { config, name: 'page', scopes: [], expires: undefined }), 0);
  t.equal(textIn(world), before);
  t.match(readFileSync(path, 'utf8'), /^# people\ncallers:\n {2}- name: page\n/);
  t.match((await callersIn(world))[0]?.tokens, [{ hash: digest('a') }, { hash: hashToken(tokenOf(world)) }]);
  t.equal(await runTokenNew(world, { config, name: 'cron', scopes: ['operator.read'], expires: undefined }), 0);
  t.match(
    (await callersIn(world)).map(({ name }) => name),
    ['page', 'cron'],
  );
  t.equal(await runTokenRevoke(world, { config, name: 'page', id: undefined }), 0);
  t.match((await callersIn(world))[0]?.tokens, []);
});
