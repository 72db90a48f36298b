/** The README's commands, run as they stand there, against a stand-in gateway. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { startGateway } from '../../src/demo/gateway.ts';
import { MAIN, serve } from '../helpers/process.ts';
import { GATEWAY_SECRET } from '../helpers/stack.ts';

const README = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
const DROP_IN = await readFile(new URL('../../docs/drop-in.md', import.meta.url), 'utf8');
const OPERATING = await readFile(new URL('../../docs/operating.md', import.meta.url), 'utf8');
const SAMPLE = await readFile(new URL('../../shim.config.yaml', import.meta.url), 'utf8');

/** The shell blocks of a text, in their order; those of a list without its indentation. */
function blocksOf(text: string): string[] {
  return [...text.matchAll(/^( *)```sh\n(.*?)^\1```$/gms)].map((match) =>
    (match[2] as string).replaceAll(new RegExp(`^${match[1]}`, 'gm'), ''),
  );
}

/** The shell blocks of a section of the README. */
function blocks(heading: string): string[] {
  return blocksOf(README.split(/^## /m).find((text) => text.startsWith(heading)) ?? '');
}

/** A block as it is run here: what is built already is not built, and what stays up is not started. */
function runnable(block: string): string {
  return block
    .replace('npm ci && npm run build\n', '')
    .replace('npx auth-shim serve\n', '')
    .replaceAll('npx auth-shim', `"${process.execPath}" "${MAIN}"`);
}

async function shell(script: string, cwd: string, env: Record<string, string>): Promise<[number, string]> {
  const child = spawn('sh', ['-euc', script], { cwd, env: { PATH: process.env.PATH, ...env } });
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (part: string) => (text += part));
  const [code] = (await once(child, 'close')) as [number];
  return [code, text];
}

void t.test('"Use it", from init to the streamed reply', async (t) => {
  const gateway = await startGateway({ release: '2026.3.28', auth: { mode: 'token', token: GATEWAY_SECRET } });
  t.teardown(() => gateway.close());
  const home = t.testdir({
    '.openclaw': {
      'openclaw.json': `{ gateway: { port: ${gateway.port}, auth: { mode: 'token', token: '${GATEWAY_SECRET}' } } }`,
    },
    'shim.config.yaml': SAMPLE,
  });
  const [setUp = '', request = '', sdk = '', explain = ''] = blocks('Use it');
  const commands = runnable(setUp);
  t.notMatch(commands, /npx|npm/);
  t.equal(commands.split('\n').filter((line) => line.includes(MAIN)).length, 3, 'init, token new and check');

  const [code, text] = await shell(commands, home, { HOME: home });
  t.equal(code, 0, text);
  t.match(text, /shim\.config\.yaml: ok, 1 caller/);
  const file = join(home, '.openclaw/shim.config.yaml');
  const yaml = await readFile(file, 'utf8');
  t.notMatch(yaml, GATEWAY_SECRET, 'the secret is named, never copied');
  t.match(yaml, 'port: 18780');
  await writeFile(file, yaml.replace('port: 18780', 'port: 0').replace('port: 18781', 'port: 0'));

  const shim = await serve(t, [], { cwd: home, env: { HOME: home, AUTH_SHIM_CONFIG: file } });
  const here = (script: string): string => script.replaceAll('http://127.0.0.1:18780', shim.url);
  t.match(request, 'http://127.0.0.1:18780');
  const [curl, reply] = await shell(here(request).replace('curl -N', 'curl -sN'), home, { HOME: home });
  t.equal(curl, 0);
  t.match(reply, /^data: [^]*data: \[DONE\]\n\n$/);

  const [, variables] = await shell(`${here(sdk)}\necho "$OPENAI_BASE_URL $OPENAI_API_KEY"`, home, { HOME: home });
  t.match(variables, new RegExp(`^${shim.url}/v1 shim_[0-9A-Za-z]{49}\n$`));

  const [explained, decision] = await shell(runnable(explain), home, { HOME: home });
  t.equal(explained, 0, 'from a terminal of its own');
  t.match(decision, /^decision {2}forward$/m);
  t.match(decision, /^ok {2}table .*"agentpage", by its hash$/m);
  t.equal(await readFile(join(home, 'shim.config.yaml'), 'utf8'), SAMPLE, 'the sample of the repository stays');
});

void t.test('the drop-in page: each block in a terminal of its own, in a clone', async (t) => {
  const file = `{ gateway: { port: 18789, auth: { mode: 'token', token: '${GATEWAY_SECRET}' } } }`;
  const home = t.testdir({ '.openclaw': { 'openclaw.json': file }, 'shim.config.yaml': SAMPLE });
  // How the gateway is moved is tried with the page of the migration, which does the same.
  const steps = blocksOf(DROP_IN).filter((block) => !block.startsWith('openclaw '));
  t.equal(steps.length, 3);
  const words: string[] = [];
  for (const step of steps) {
    const [code, text] = await shell(runnable(step), home, { HOME: home });
    t.equal(code, 0, text);
    words.push(text);
  }
  t.match(words, [/drop-in\.config\.yaml is written/, /: ok, 1 caller/, /token [0-9a-f]{12} of "existing" is revoked/]);
  t.equal(await readFile(join(home, 'shim.config.yaml'), 'utf8'), SAMPLE, 'the sample of the repository stays');
});

void t.test('the operating page: a token is rotated while the shim runs', async (t) => {
  const gateway = await startGateway({ release: '2026.3.28', auth: { mode: 'token', token: GATEWAY_SECRET } });
  t.teardown(() => gateway.close());
  const auth = 'auth: { mode: token, secret: { env: SECRET } }';
  const folder = t.testdir({
    'shim.config.yaml': `listen: { port: 0 }\ngateway: { url: "${gateway.url}", ${auth} }\ncallers: []\n`,
  });
  const env = { HOME: folder, SECRET: GATEWAY_SECRET, AUTH_SHIM_CONFIG: join(folder, 'shim.config.yaml') };
  const command = (words: string): Promise<[number, string]> =>
    shell(words.replace('auth-shim', `"${process.execPath}" "${MAIN}"`), folder, env);
  t.equal((await command('auth-shim token new agentpage --scope operator.read > old.token'))[0], 0);
  const shim = await serve(t, [], { cwd: folder, env });
  const status = async (name: string): Promise<number> => {
    const token = (await readFile(join(folder, name), 'utf8')).trim();
    return (await fetch(`${shim.url}/v1/models`, { headers: { authorization: `Bearer ${token}` } })).status;
  };
  const reloaded = async (words: string): Promise<void> => {
    const from = shim.lines().length;
    const [code, text] = await command(words);
    t.equal(code, 0, text);
    await shim.logged(({ msg }) => msg === 'reloaded', from);
  };
  const [rotate = '', list = '', revoke = ''] = (blocksOf(OPERATING)[0] as string).split('\n');
  await reloaded(rotate);
  t.same([await status('old.token'), await status('agentpage.token')], [200, 200]);
  const [, old = ''] = /^agentpage +([0-9a-f]{12}) /m.exec((await command(list))[1]) ?? [];
  await reloaded(revoke.replace(/[0-9a-f]{12}/, old));
  t.same([await status('old.token'), await status('agentpage.token')], [401, 200]);
});

void t.test('commands stand in blocks that name the file they are about', (t) => {
  for (const text of [README, DROP_IN]) {
    for (const block of blocksOf(text).filter((one) => one.includes('npx auth-shim'))) {
      t.match(block, /^export AUTH_SHIM_CONFIG=~\/\.openclaw\/[a-z.-]+\.yaml$/m);
    }
    t.notMatch(text.replaceAll(/^( *)```sh\n.*?^\1```$/gms, ''), /npx auth-shim \w/);
  }
  t.end();
});

void t.test('"Try it" and "Developing" name scripts that exist', async (t) => {
  const { scripts } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as {
    scripts: Record<string, string>;
  };
  const named = [...README.matchAll(/npm run ([a-z:]+)/g)].map((match) => match[1] as string);
  t.ok(named.length >= 6);
  for (const name of named) t.ok(scripts[name], name);
  t.match(blocks('Try it'), ['npm ci && npm run demo\n']);
  t.match(blocks('Developing'), ['npm ci && npm test\n']);
});

void t.test('the lock file has all that npm ci asks for', async (t) => {
  const files = ['package.json', 'package-lock.json'];
  const dir = t.testdir(
    Object.fromEntries(
      await Promise.all(
        files.map(async (name) => [name, await readFile(new URL(`../../${name}`, import.meta.url), 'utf8')] as const),
      ),
    ),
  );
  const [code, text] = await shell('npm ci --dry-run --offline --ignore-scripts', dir, { HOME: dir });
  t.equal(code, 0, text);
});
