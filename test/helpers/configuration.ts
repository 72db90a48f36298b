/** Configurations for tests, and a world without a disk. */
import { ConfigError } from '../../src/config/config.ts';
import { parseConfig, type LoadedConfig } from '../../src/config/load.ts';
import type { ConfigWorld } from '../../src/config/world.ts';

export const FILE = 'shim.config.yaml';
export const SECRET = 'gateway-Zk3mQ8vT1xYw';
export const NOW = Date.UTC(2026, 11, 1);

/** A hash that no test minted: `digest('a')` is 64 a's. */
export const digest = (digit: string): string => digit.repeat(64);

/**
 * @param files paths and what they hold; an Error is thrown when the file is read
 * @param env more variables, beside GATEWAY
 * @returns a world in which it is 2026-12-01
 */
export function worldOf(
  files: Readonly<Record<string, string | Error>> = {},
  env: Readonly<Record<string, string>> = {},
): ConfigWorld {
  return {
    readFile: (path) => {
      const content = files[path] ?? Object.assign(new Error('no such file'), { code: 'ENOENT' });
      if (content instanceof Error) throw content;
      return content;
    },
    env: { GATEWAY: SECRET, ...env },
    home: '/home/operator',
    now: NOW,
  };
}

/**
 * @param sections whole top-level sections; `gateway` has a standard one
 * @returns YAML whose gateway section is on the first lines
 */
export function textOf(sections: Readonly<Record<string, string>> = {}): string {
  const all = {
    gateway: '{ url: "http://127.0.0.1:18789", auth: { mode: token, secret: { env: GATEWAY } } }',
    ...sections,
  };
  return Object.entries(all)
    .map(([key, value]) => `${key}: ${value}\n`)
    .join('');
}

/** @returns the configuration of a text that has to load */
export function loadText(text: string, world: ConfigWorld = worldOf()): Promise<LoadedConfig> {
  return parseConfig(FILE, text, world);
}

/** @returns `line:column path: message` for each fault, or nothing where it loads */
export async function faultsOf(text: string, world: ConfigWorld = worldOf()): Promise<string[]> {
  try {
    await loadText(text, world);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.message.split('\n').map((line) => line.replace(`${FILE}:`, '').trimStart());
  }
}

/** @returns the messages of the warnings of a text that has to load */
export async function warningsOf(text: string, world: ConfigWorld = worldOf()): Promise<string[]> {
  return (await loadText(text, world)).warnings.map(({ path, message }) => `${path}: ${message}`);
}
