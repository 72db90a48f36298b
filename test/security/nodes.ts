/** Installs releases of Node from npm into a cache folder outside the tree. */
import { execFile } from 'node:child_process';
import { access, mkdir, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Written last: a folder without it is an install that broke off. */
const MARKER = '.complete';

/**
 * @param major such as `22`
 * @returns the newest release of it on npm, such as `22.23.3`
 */
export async function latestNode(major: string): Promise<string> {
  const { stdout } = await run('npm', ['view', `node@${major}`, 'version', '--json']);
  const versions = [JSON.parse(stdout) as string | readonly string[]].flat();
  const numbers = (version: string): number[] => version.split('.').map(Number);
  return versions
    .toSorted((a, b) => {
      const [left, right] = [numbers(a), numbers(b)];
      const at = left.findIndex((part, i) => part !== right[i]);
      return at < 0 ? 0 : (left[at] ?? 0) - (right[at] ?? 0);
    })
    .at(-1) as string;
}

/**
 * @param version a release, such as `22.23.3`
 * @returns its program; it is installed only when absent
 */
export async function installNode(version: string): Promise<string> {
  const dir = join(cacheFolder(), version);
  const program = join(dir, 'node_modules', 'node', 'bin', 'node');
  if (await exists(join(dir, MARKER))) return program;
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true });
  // Its script puts the program of this machine in its place.
  const manifest = { private: true, dependencies: { node: version }, allowScripts: { node: true } };
  await writeFile(join(dir, 'package.json'), JSON.stringify(manifest, null, 2));
  await run('npm', ['install', '--no-audit', '--no-fund'], { cwd: dir });
  const { stdout } = await run(program, ['--version']);
  if (stdout.trim() !== `v${version}`) throw new Error(`npm's node@${version} is ${stdout.trim()}`);
  await writeFile(join(dir, MARKER), '');
  return program;
}

function cacheFolder(): string {
  const { AUTH_SHIM_NODE_CACHE, XDG_CACHE_HOME } = process.env;
  if (AUTH_SHIM_NODE_CACHE) return AUTH_SHIM_NODE_CACHE;
  const caches = process.platform === 'darwin' ? join(homedir(), 'Library', 'Caches') : join(homedir(), '.cache');
  return join(XDG_CACHE_HOME || caches, 'openclaw-auth-shim', 'nodes');
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
