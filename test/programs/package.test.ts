/** What is published: what is in it, where that comes from, and that it works where it is installed. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { runProgram, serve } from '../helpers/process.ts';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { bearer, caller, GATEWAY_SECRET, TOKENS } from '../helpers/stack.ts';

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));
const LEFT_OUT = new Set(['.git', '.tap', 'dist', 'node_modules']);
/** They ask for no more than that their text goes along, and THIRD-PARTY-LICENSES.txt has it. */
const LICENCES = new Set(['0BSD', 'Apache-2.0', 'BSD-3-Clause', 'ISC', 'MIT']);

interface Locked {
  readonly version: string;
  readonly license?: string;
  readonly dev?: true;
  readonly hasInstallScript?: true;
}

interface Sbom {
  readonly components: readonly {
    readonly name: string;
    readonly version: string;
    readonly hashes?: readonly { readonly alg: string }[];
  }[];
}

const json = async (file: string): Promise<unknown> => JSON.parse(await readFile(file, 'utf8'));

const { packages } = (await json(join(REPOSITORY, 'package-lock.json'))) as { packages: Record<string, Locked> };
const locked = Object.entries(packages).flatMap(([path, one]) => {
  const name = path.split('node_modules/').at(-1);
  return name ? [{ name, ...one }] : [];
});
const shipped = locked.filter(({ dev }) => !dev);
const folder = await mkdtemp(join(tmpdir(), 'auth-shim-package-'));
t.teardown(() => rm(folder, { recursive: true, force: true }));

interface Packed {
  readonly filename: string;
  readonly size: number;
  readonly unpackedSize: number;
  readonly files: readonly { readonly path: string; readonly mode: number }[];
}

/** As `npm publish` would make it, from what is checked in. */
async function pack(): Promise<Packed> {
  const source = join(folder, 'source');
  await cp(REPOSITORY, source, { recursive: true, filter: (path) => !LEFT_OUT.has(basename(path)) });
  await symlink(join(REPOSITORY, 'node_modules'), join(source, 'node_modules'));
  const [packed] = JSON.parse(
    (await npm(source, 'pack', '--json', '--pack-destination', folder)).replace(/^[^[{]*/, ''),
  ) as [Packed];
  return packed;
}

async function npm(cwd: string, ...args: readonly string[]): Promise<string> {
  // Without what the test runner has Node do in every program.
  const command = ['-u', 'NODE_OPTIONS', 'npm', ...args, '--loglevel=error'];
  const child = spawn('env', command, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (part: string) => (stdout += part));
  child.stderr.setEncoding('utf8').on('data', (part: string) => (stderr += part));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`npm ${args.join(' ')}: ${code}\n${stdout}${stderr}`);
  return stdout;
}

void t.test('what is shipped', async (t) => {
  t.ok(shipped.length > 20, 'there is something to look at');
  t.strictSame(
    shipped.filter(({ license = '' }) => !LICENCES.has(license)),
    [],
    'licences',
  );
  t.strictSame(
    shipped.filter(({ hasInstallScript }) => hasInstallScript),
    [],
    'nothing of it runs when it is installed',
  );
});

void t.test('the package', async (t) => {
  const packed = await pack();
  const paths = packed.files.map(({ path }) => path);
  const odd = paths.filter(
    (path) =>
      !/^(?:dist|docs|deploy)\/|^(?:package\.json|README\.md|SECURITY\.md|CHANGELOG\.md|LICENSE|shim\.config\.yaml)$/.test(
        path,
      ),
  );
  t.strictSame(odd, [], 'neither sources nor tests');
  t.strictSame(
    paths.filter(
      (path) => path.startsWith('dist/') && !/\.js$|^dist\/(?:THIRD-PARTY-LICENSES\.txt|sbom\.cdx\.json)$/.test(path),
    ),
    [],
  );
  t.ok(packed.size < 2_000_000, `${packed.size} bytes, packed`);
  const sbom = JSON.parse(await readFile(join(folder, 'source/dist/sbom.cdx.json'), 'utf8')) as Sbom;
  t.match(sbom, {
    bomFormat: 'CycloneDX',
    metadata: { component: { name: 'openclaw-auth-shim', type: 'application' } },
  });
  const texts = await readFile(join(folder, 'source/dist/THIRD-PARTY-LICENSES.txt'), 'utf8');
  const bundled = texts.match(/^(?:@[a-z0-9-]+\/)?[a-z0-9._-]+ \d+\.\d+\.\d+$/gm) ?? [];
  t.ok(bundled.length > 20);
  t.strictSame(
    sbom.components.map(({ name, version }) => `${name} ${version}`).sort(),
    bundled.sort(),
    'the SBOM has what is bundled',
  );
  t.strictSame(
    sbom.components.filter(({ hashes }) => hashes?.[0]?.alg !== 'SHA-512'),
    [],
    'by its hash',
  );
  const dependencies = new Set(shipped.map(({ name, version }) => `${name} ${version}`));
  t.strictSame(
    bundled.filter((one) => !dependencies.has(one)),
    [],
    'and no development dependency',
  );
  const readme = await readFile(join(REPOSITORY, 'README.md'), 'utf8');
  t.match(readme, `${bundled.length} packages`, 'as README.md says');

  // Elsewhere, with what whoever installs it gets.
  const elsewhere = join(folder, 'elsewhere');
  await cp(join(folder, packed.filename), join(elsewhere, packed.filename));
  await writeFile(join(elsewhere, 'package.json'), '{"private":true}');
  await npm(elsewhere, 'install', '--omit=dev', '--no-audit', '--no-fund', packed.filename);
  const main = join(elsewhere, 'node_modules/.bin/auth-shim');
  const { version } = (await json(join(REPOSITORY, 'package.json'))) as { version: string };
  const cwd = elsewhere;
  t.match(await runProgram(['version'], { main, cwd }), {
    code: 0,
    stdout: new RegExp(`${version.replaceAll('.', '\\.')}`),
  });
  const gateway = await startRawGateway(t);
  const file = join(elsewhere, 'shim.config.yaml');
  const text = [
    'listen: { port: 0 }',
    `gateway: { url: "${gateway.url}", auth: { mode: token, secret: { env: SECRET } } }`,
    'callers:',
    caller('writer', TOKENS.writer, ['operator.write']),
  ].join('\n');
  await writeFile(file, text);
  const env = { SECRET: GATEWAY_SECRET };
  t.match(await runProgram(['check', '-c', file], { main, cwd, env }), { code: 0 });
  const shim = await serve(t, ['-c', file], { main, cwd, env });
  t.equal((await fetch(`${shim.url}/v1/models`)).status, 401);
  t.equal(gateway.text, '');
  t.equal((await fetch(`${shim.url}/v1/models`, { headers: bearer(TOKENS.writer) })).status, 200);
  t.match(gateway.text, /^x-openclaw-scopes: operator\.write\r$/m);
  shim.child.kill('SIGTERM');
  t.equal(await shim.ended, 0);
});
