/** The part of a command's world that a configuration is read in. */
import { resolve } from 'node:path';
import { disk, type ConfigWorld } from '../config/world.ts';
import type { World } from './world.ts';

/**
 * @param world where the command runs
 * @returns the files, variables and clock for `loadConfig`; relative paths start in the command's folder
 */
export function configWorld(world: World): ConfigWorld {
  return {
    readFile: (path) => disk.readFile(resolve(world.cwd, path)),
    fileMode: (path) => disk.fileMode(resolve(world.cwd, path)),
    env: world.env,
    home: world.home,
    now: world.now(),
  };
}
