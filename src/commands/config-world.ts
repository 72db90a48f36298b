/** How commands read a configuration. */
import { resolve } from 'node:path';
import { ConfigError, type Config } from '../config/config.ts';
import { loadConfig, type LoadedConfig } from '../config/load.ts';
import { parseDuration } from '../config/units.ts';
import { watchedWorld } from '../config/watch.ts';
import { disk, resolveName, type ConfigWorld } from '../config/world.ts';
import type { Loading } from '../server/reload.ts';
import { EXIT } from './exit.ts';
import type { World } from './world.ts';

/**
 * @param world where the command runs
 * @returns the files, variables and clock for `loadConfig`; relative paths start in the command's folder
 */
export function configWorld(world: World): ConfigWorld {
  return {
    readFile: (path) => disk.readFile(resolve(world.cwd, path)),
    fileMode: (path) => disk.fileMode(resolve(world.cwd, path)),
    resolve: resolveName,
    env: world.env,
    home: world.home,
    now: world.now(),
  };
}

/**
 * @param world where the command runs
 * @param file the configuration, as the user calls it
 * @returns the configuration, or `undefined` after every fault was told on stderr: the exit code is then 78
 */
export async function loadOrTell(world: World, file: string): Promise<LoadedConfig | undefined> {
  try {
    return await loadConfig(file, configWorld(world));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    world.stderr(`${error.message}\n`);
    return undefined;
  }
}

/**
 * @param world where the command runs
 * @param file the configuration, as the user calls it
 * @param names whether the name of the gateway is looked up, which takes as long as the resolver does
 * @param running what runs, where it is loaded anew
 * @returns the configuration or its faults, and what it was read from
 */
export async function loadWatched(
  world: World,
  file: string,
  names: 'looked up' | 'as they are',
  running?: Config,
): Promise<Loading> {
  const { resolve: lookUp, ...nameless } = configWorld(world);
  const from = { ...nameless, ...(names === 'looked up' && { resolve: lookUp }), ...(running && { running }) };
  const watched = watchedWorld(from, (path) => resolve(world.cwd, path));
  try {
    return { loaded: await loadConfig(file, watched.world), files: watched.files };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { loaded: error, files: watched.files };
  }
}

/** A configuration, and how many milliseconds a command may wait at most. */
export interface LoadedWithLimit extends LoadedConfig {
  readonly limit: number;
}

/**
 * @param world where the command runs
 * @param options the configuration, as the user calls it, and a time limit such as `60s`
 * @returns both, or the exit code after what is wrong was told on stderr
 */
export async function loadWithLimit(
  world: World,
  options: { readonly config: string; readonly timeout: string },
): Promise<LoadedWithLimit | number> {
  const limit = parseDuration(options.timeout);
  if (limit === undefined) {
    world.stderr(`"${options.timeout}" is no duration: write 60s or 2m\n`);
    return EXIT.usage;
  }
  const loaded = await loadOrTell(world, options.config);
  return loaded ? { ...loaded, limit } : EXIT.config;
}
