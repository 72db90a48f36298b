/** Installs real OpenClaw gateways into a cache folder outside the tree. */
import { execFile } from 'node:child_process';
import { access, mkdir, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Written last: a folder without it is an install that broke off. */
const MARKER = '.complete';

/** @returns the newest release on npm, such as `2026.9.6` */
export async function latestVersion(): Promise<string> {
  const { stdout } = await run('npm', ['view', 'openclaw', 'version']);
  return stdout.trim();
}

/**
 * @param version a release, such as `2026.3.28`
 * @returns the folder whose `node_modules/openclaw` is that release; it is installed only when absent
 */
export async function installGateway(version: string): Promise<string> {
  const dir = join(cacheFolder(), version);
  const marker = join(dir, MARKER);
  if (await exists(marker)) return dir;
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true });
  const manifest = {
    private: true,
    dependencies: { openclaw: version },
    // Newer releases of it depend on a package that is not published.
    overrides: { linkedom: '0.18.12' },
  };
  await writeFile(join(dir, 'package.json'), JSON.stringify(manifest, null, 2));
  await run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: dir, maxBuffer: 64 * 2 ** 20 });
  await writeFile(marker, '');
  return dir;
}

function cacheFolder(): string {
  const { AUTH_SHIM_GATEWAY_CACHE, XDG_CACHE_HOME } = process.env;
  if (AUTH_SHIM_GATEWAY_CACHE) return AUTH_SHIM_GATEWAY_CACHE;
  const caches = process.platform === 'darwin' ? join(homedir(), 'Library', 'Caches') : join(homedir(), '.cache');
  return join(XDG_CACHE_HOME || caches, 'openclaw-auth-shim', 'gateways');
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
