/** What people deploy with, read as the shim and their programs read it. */
import { execFileSync } from 'node:child_process';
import { parse } from 'yaml';
import { loadConfig, type LoadedConfig } from '../../src/config/load.ts';
import { makeAuthority } from './certificates.ts';
import { NOW, SECRET, worldOf } from './configuration.ts';
import { textOf } from './pages.ts';

const dates = { notBefore: new Date(NOW - 1000), notAfter: new Date(NOW + 60 * 86_400_000) };
/** The names of a certificate are of no concern here. */
const server = await (await makeAuthority('CA', dates)).issue({ dns: ['unused.example'], ...dates });

/** What the variables of a deployment hold. */
const ENVIRONMENT = { OPENCLAW_GATEWAY_TOKEN: SECRET, REDIS_URL: 'redis://127.0.0.1' };

/**
 * @param text of a `shim.config.yaml`
 * @param name of the file, from the top of the repository: its paths are relative to it
 * @param files further files, beside the usual ones
 * @returns it as the shim would load it
 */
export function loadSettings(text: string, name = 'f', files: Record<string, string> = {}): Promise<LoadedConfig> {
  const folder = name.slice(0, name.lastIndexOf('/') + 1);
  const beside = {
    [`${folder}tls/tls.crt`]: server.cert,
    [`${folder}tls/tls.key`]: server.key,
    [`${folder}callers.yaml`]: 'callers: []',
    '/run/credentials/auth-shim.service/gateway-token': SECRET,
  };
  return loadConfig(name, worldOf({ [name]: text, ...beside, ...files }, ENVIRONMENT));
}

/** @returns what a YAML file of the repository holds */
export function yamlOf<T>(name: string): T {
  return parse(textOf(name), { merge: true }) as T;
}

/** @returns the YAML blocks of a page, parsed */
export function blocksOf(page: string): Record<string, unknown>[] {
  return [...textOf(page).matchAll(/^( *)```yaml\n(.*?)^\1```$/gms)].map(
    ([, indent = '', block = '']) =>
      parse(block.replaceAll(new RegExp(`^${indent}`, 'gm'), '')) as Record<string, unknown>,
  );
}

/** The instruction of the image with this name, as it stands there. */
export function imageSays(instruction: string): string {
  const [, words = ''] =
    new RegExp(`^${instruction} (.*)$`, 'm').exec(
      textOf('Dockerfile')
        .split(/^FROM /m)
        .at(-1) ?? '',
    ) ?? [];
  return words;
}

/** @returns where a program is, or `undefined` */
export function hasProgram(name: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${name}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
