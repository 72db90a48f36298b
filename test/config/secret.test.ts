/** Secrets by reference: what is followed, what is refused, and that no value is ever in a message. */
import t from 'tap';
import { faultsOf, loadText, SECRET, textOf, worldOf } from '../helpers/configuration.ts';

const withSecret = (secret: string, mode = 'token'): string =>
  textOf({ gateway: `{ url: "http://127.0.0.1:18789", auth: { mode: ${mode}, secret: ${secret} } }` });
const failure = (code: string): Error => Object.assign(new Error(code), { code });

const FILES = {
  'run/secret': `${SECRET}\n`,
  '/run/secret': `${SECRET}\r\n`,
  '/home/operator/secret': SECRET,
  '/two-lines': `${SECRET}\n\n`,
  '/directory': failure('EISDIR'),
  '/locked': failure('EACCES'),
  '/large': 'x1'.repeat(32 * 1024 + 1),
  '/empty': '\n',
  '/oc.json': `// the gateway's own\n{ gateway: { auth: { token: '${SECRET}', password: "\${GATEWAY_PASSWORD}" } } }`,
  '/oc-env.json': '{ gateway: { auth: { token: { source: "env", provider: "default", id: "GATEWAY" } } } }',
  '/oc-exec.json': '{ gateway: { auth: { token: { source: "exec", provider: "vault", id: "x" } } } }',
  '/oc-empty.json': '{ gateway: { auth: { token: "" } } }',
  '/oc-none.json': '{ gateway: {} }',
  '/oc-list.json': '[]',
  '/oc-parts.json': '{ gateway: { auth: { $include: "./auth.json5" } } }',
  '/oc-broken.json': `{ gateway: { auth: { token: '${SECRET}' `,
  '/oc-other.json': `{ gateway: { auth: { mode: 'password', token: '${SECRET}' } } }`,
};
const world = worldOf(FILES, {
  GATEWAY_PASSWORD: SECRET,
  EMPTY: '',
  SPACED: 'two words here',
  WIDE: 'gehe1mnis-mit-ü-darin',
});

const FOLLOWED: readonly { secret: string; mode?: string }[] = [
  { secret: '{ env: GATEWAY }' },
  { secret: '{ file: run/secret }' },
  { secret: '{ file: /run/secret }' },
  { secret: '{ file: ~/secret }' },
  { secret: '{ openclaw: /oc.json }' },
  { secret: '{ openclaw: /oc.json }', mode: 'password' },
  { secret: '{ openclaw: /oc-env.json }' },
];

void t.test('followed', async (t) => {
  for (const { secret, mode = 'token' } of FOLLOWED) {
    const { config } = await loadText(withSecret(secret, mode), world);
    t.same(config.gateway.auth, { mode, secret: SECRET }, `${secret} ${mode}`);
  }
});

const REFUSED: readonly { secret: string; mode?: string; says: RegExp }[] = [
  { secret: SECRET, says: /secret: expected a reference with exactly one key/ },
  { secret: `{ ${SECRET} }`, says: /secret: expected a reference/ },
  { secret: `{ value: ${SECRET} }`, says: /secret: expected a reference/ },
  { secret: `[${SECRET}]`, says: /secret: expected a reference/ },
  { secret: '{}', says: /secret: expected a reference/ },
  { secret: '{ env: GATEWAY, file: /run/secret }', says: /secret: expected a reference with exactly one key/ },
  { secret: `{ env: ${SECRET} }`, says: /secret.env: expected the name of an environment variable/ },
  { secret: '{ env: gatewayZk3mQ8vT1xYw }', says: /secret.env: the variable named here is not set/ },
  { secret: '{ env: NOT_SET }', says: /secret.env: the variable NOT_SET is not set/ },
  { secret: '{ env: constructor }', says: /secret.env: .* is not set/ },
  { secret: '{ env: EMPTY }', says: /secret.env: the variable EMPTY is empty/ },
  { secret: '{ env: SPACED }', says: /secret.env: .* holds a space/ },
  { secret: '{ env: WIDE }', says: /secret.env: .* a header cannot carry/ },
  { secret: '{ file: "" }', says: /secret.file: expected the path of a file/ },
  { secret: '{ file: /missing }', says: /secret.file: \/missing does not exist/ },
  { secret: '{ file: /directory }', says: /secret.file: \/directory is a directory/ },
  { secret: '{ file: /locked }', says: /secret.file: \/locked may not be read/ },
  { secret: '{ file: /large }', says: /secret.file: \/large is larger than 64 KiB/ },
  { secret: '{ file: /empty }', says: /secret.file: the file is empty/ },
  { secret: '{ file: /two-lines }', says: /secret.file: the file holds .* a line break/ },
  { secret: '{ openclaw: /missing.json }', says: /secret.openclaw: \/missing.json does not exist/ },
  {
    secret: '{ openclaw: /oc-broken.json }',
    says: /secret.openclaw: \/oc-broken.json is not JSON5 \(line 1, column 52\)/,
  },
  { secret: '{ openclaw: /oc-list.json }', says: /oc-list.json is no configuration: the file is no map/ },
  { secret: '{ openclaw: /oc-parts.json }', says: /has no gateway.auth.token; what it includes is not read/ },
  { secret: '{ openclaw: /oc-none.json }', says: /secret.openclaw: \/oc-none.json has no gateway.auth.token/ },
  { secret: '{ openclaw: /oc-empty.json }', says: /secret.openclaw: gateway.auth.token of \/oc-empty.json is empty/ },
  { secret: '{ openclaw: /oc-exec.json }', says: /secret.openclaw: .* only the gateway can resolve/ },
  { secret: '{ openclaw: /oc-env.json }', mode: 'password', says: /has no gateway.auth.password/ },
];

void t.test('refused, without the value', async (t) => {
  for (const { secret, mode, says } of REFUSED) {
    await t.test(`${secret.replace(SECRET, '<literal>')} ${mode ?? ''}`, async (t) => {
      const faults = await faultsOf(withSecret(secret, mode), world);
      t.equal(faults.length, 1, faults.join('\n'));
      t.match(faults[0], says);
      t.notMatch(faults[0], /Zk3mQ8vT1xYw|two words|gehe1mnis/);
    });
  }
});

void t.test('a variable that the gateway file names has to be set', async (t) => {
  const files = { '/oc.json': FILES['/oc.json'] };
  t.match(await faultsOf(withSecret('{ openclaw: /oc.json }', 'password'), worldOf(files)), [
    /secret.openclaw: the variable GATEWAY_PASSWORD is not set/,
  ]);
});

void t.test('placeholders', async (t) => {
  const fillers =
    'undefined null NULL changeme CHANGEME your-token replace-me <token> ${TOKEN} {{token}} %TOKEN% xxxx XXXXXXXX **** 0000 password token ' +
    'REPLACE_ME_WITH_TOKEN REPLACE_ME REPLACE-ME-please replaceMe change-this change_me_now __OPENCLAW_REDACTED__ ' +
    '<your-token> your_gateway_token YOUR-API-KEY-HERE insert_token_here paste-secret-here [REDACTED]';
  for (const filler of fillers.split(' ')) {
    t.match(
      await faultsOf(withSecret('{ env: FILLER }'), worldOf({}, { FILLER: filler })),
      [/is a placeholder/],
      filler,
    );
  }
  for (const real of [
    'replacement-9fK2mQ8vT1xYw',
    'mykeyboard-Zk3mQ8vT1x',
    'changed-Zk3mQ8vT1xYw',
    'your-Zk3mQ8vT1xYw52kd',
  ]) {
    t.same(await faultsOf(withSecret('{ env: REAL }'), worldOf({}, { REAL: real })), [], real);
  }
});

void t.test('hooks tokens and headers cannot come from the file of the gateway', async (t) => {
  const routes = '[{ method: POST, path: /hooks/wake, scope: operator.write, hooksToken: { openclaw: /oc.json } }]';
  t.match(await faultsOf(textOf({ routes }), world), [/hooksToken: \{ openclaw \} is for gateway.auth.secret only/]);
});

void t.test(
  'a file that others can read is a warning, and so is another mode in the file of the gateway',
  async (t) => {
    const messages = async (secret: string, mode: number): Promise<string[]> => {
      const { warnings } = await loadText(withSecret(secret), { ...world, fileMode: () => mode });
      return warnings.filter(({ path }) => path.startsWith('gateway')).map(({ message }) => message);
    };
    t.same(await messages('{ file: /run/secret }', 0o600), []);
    t.match(await messages('{ file: /run/secret }', 0o640), [/\/run\/secret can be read by other users/]);
    t.match(await messages('{ file: /run/secret }', 0o604), [/chmod 600/]);
    t.match(await messages('{ openclaw: /oc-other.json }', 0o600), [
      /says gateway.auth.mode "password", this file says "token"/,
    ]);
  },
);
