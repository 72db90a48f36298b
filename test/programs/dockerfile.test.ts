/**
 * The Dockerfile's steps, replayed in a folder and run as a user who is not root and may write nothing. Two things
 * differ from an image: `npm ci` is the dependencies that are installed already, and the base images are this machine.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { supportedNode } from '../../src/commands/version.ts';
import { caller, GATEWAY_SECRET, TOKENS } from '../helpers/stack.ts';

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));
const NOBODY = 65532;

interface Stage {
  readonly from: string;
  readonly name: string | undefined;
  readonly steps: (readonly [instruction: string, words: string])[];
}

const text = (await readFile(join(REPOSITORY, 'Dockerfile'), 'utf8')).replace(/\\\n/g, ' ');
const stages: Stage[] = [];
for (const line of text.split('\n')) {
  const [, instruction, words] = /^([A-Z]+) (.*)$/.exec(line) ?? [];
  if (instruction === 'FROM') {
    const [, from = '', name] = /^(\S+)(?: AS (\S+))?$/.exec(words as string) ?? [];
    stages.push({ from, name, steps: [] });
  } else if (instruction) stages.at(-1)?.steps.push([instruction, words as string]);
}
const [build, node, final] = stages as [Stage, Stage, Stage];
const word = (stage: Stage, instruction: string): string =>
  stage.steps.find(([name]) => name === instruction)?.[1] ?? '';

void t.test('three stages: a pinned node above the floor, and a distroless end that is not root', async (t) => {
  t.equal(stages.length, 3);
  t.equal(build.from, node.from, 'built and run by one version');
  const version = /^node:(\d+\.\d+\.\d+)-/.exec(node.from)?.[1];
  t.ok(supportedNode(version ?? ''), `node ${version}`);
  t.match(final.from, /distroless\/cc-debian12:nonroot$/);
  t.equal(word(final, 'USER'), `${NOBODY}:${NOBODY}`);
  t.equal(final.steps.filter(([name]) => name === 'RUN').length, 0, 'there is no shell to run anything');
});

void t.test('the image that the steps make', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'auth-shim-image-'));
  t.teardown(() => rm(root, { recursive: true, force: true }));
  await chmod(root, 0o755);
  const [built, image] = [join(root, 'build'), join(root, 'image')];

  for (const [instruction, words] of build.steps) {
    if (instruction === 'COPY') await copy(words, REPOSITORY, join(built, 'src'));
    if (instruction !== 'RUN') continue;
    if (words === 'npm ci') await symlink(join(REPOSITORY, 'node_modules'), join(built, 'src/node_modules'));
    else t.equal((await run(words.split(' '), { cwd: join(built, 'src') })).code, 0, words);
  }
  for (const [, words] of final.steps.filter(([instruction]) => instruction === 'COPY')) {
    const [, stage, rest = ''] = /^--from=(\S+) (.*)$/.exec(words) ?? [];
    if (stage === 'build') await copy(rest, built, image);
    else {
      t.equal(rest, '/usr/local/bin/node /usr/local/bin/node');
      await mkdir(join(image, 'usr/local/bin'), { recursive: true });
      await cp(process.execPath, join(image, 'usr/local/bin/node'));
    }
  }
  const size = (await readdir(join(image, 'app'), { recursive: true })).length;
  t.ok(size < 200, `${size} files: the program, its licences, no node_modules`);

  const etc = join(image, 'etc/auth-shim');
  await mkdir(etc, { recursive: true });
  const environment = Object.fromEntries(
    word(final, 'ENV')
      .split(' ')
      .map((pair) => pair.split('=') as [string, string]),
  );
  t.equal(environment.AUTH_SHIM_CONFIG, '/etc/auth-shim/shim.config.yaml');
  const file = join(etc, 'shim.config.yaml');
  const configure = (admin: number): Promise<void> =>
    writeFile(
      file,
      `listen: { port: 0 }\nadmin: { port: ${admin} }\ngateway: { url: "http://127.0.0.1:9", auth: { mode: token, secret: { env: SECRET } } }\n` +
        `callers:\n${caller('writer', TOKENS.writer, ['operator.write'])}\n`,
    );
  await configure(0);
  await run(['chmod', '-R', 'a-w,a+rX', image], {});

  const entry = command('ENTRYPOINT', image);
  const env = { ...environment, AUTH_SHIM_CONFIG: file, SECRET: GATEWAY_SECRET };
  const shim = start([...entry, ...command('CMD', image)], { env, cwd: image });
  t.teardown(() => shim.child.kill('SIGKILL'));
  const started = await shim.started;
  t.match(started, /^\{.*"msg":"listening"\}\n$/);
  const listening = JSON.parse(started) as { admin: string };

  const page = await fetch(`${listening.admin}/`);
  t.equal(page.status, 200);
  t.match(
    await page.text(),
    /<style>[^]{1000}[^]*<script>[^]{10000}[^]*<\/html>\n$/,
    'the page is whole without its sources',
  );
  const licences = await readFile(join(image, 'app/dist/THIRD-PARTY-LICENSES.txt'), 'utf8');
  t.match(licences, /^uplot \d/m, 'what the page has in it');

  const health = /CMD (\[.*\])$/.exec(word(final, 'HEALTHCHECK'))?.[1] ?? '[]';
  await chmod(file, 0o644);
  await configure(Number(new URL(listening.admin).port));
  const probe = await run(local(JSON.parse(health) as string[], image), { env, cwd: image });
  t.equal(probe.code, 0, probe.stderr);

  shim.child.kill('SIGTERM');
  t.equal(await shim.ended, 0);

  // It is CommonJS, of which a bundle has other exports than the source sees.
  const pretty = start([...entry, 'serve', '--pretty'], { env, cwd: image });
  t.teardown(() => pretty.child.kill('SIGKILL'));
  t.match(await pretty.started, /^\[[0-9:.]+\] .*INFO.*: .*listening.*\{.*"url":"http:/, 'lines for people as well');
  pretty.child.kill('SIGTERM');
  t.equal(await pretty.ended, 0);
  await run(['chmod', '-R', 'u+w', image], {});
});

/** `COPY a b dir/` and `COPY a b`, from one folder to another. */
async function copy(words: string, from: string, to: string): Promise<void> {
  const sources = words.split(' ');
  const target = sources.pop() as string;
  for (const source of sources) {
    const into = target.endsWith('/') ? join(target, source) : target;
    await mkdir(dirname(join(to, into)), { recursive: true });
    await cp(join(from, source), join(to, into), { recursive: true });
  }
}

function command(instruction: string, image: string): string[] {
  return local(JSON.parse(word(final, instruction)) as string[], image);
}

/** Paths of the image as they are on this machine. */
function local(words: readonly string[], image: string): string[] {
  return words.map((one) => (one.startsWith('/') ? join(image, one) : one));
}

interface Options {
  readonly cwd?: string;
  readonly env?: Record<string, string>;
}

function start([program = '', ...args]: readonly string[], { cwd, env }: Options) {
  const asNobody = env !== undefined && process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  const child = spawn(program, args, { cwd, env: env ?? process.env, ...asNobody });
  let stderr = '';
  const started = new Promise<string>((resolve) =>
    child.stderr.setEncoding('utf8').on('data', (part: string) => {
      stderr += part;
      if (stderr.includes('\n')) resolve(stderr);
    }),
  );
  const ended = once(child, 'close').then(([code]) => code as number | null);
  return { child, started, ended, stderr: () => stderr };
}

async function run(words: readonly string[], options: Options): Promise<{ code: number | null; stderr: string }> {
  const running = start(words, options);
  return { code: await running.ended, stderr: running.stderr() };
}
