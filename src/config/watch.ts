/** What a configuration was read from, so that a change of it is seen. */
import { statSync, type BigIntStats } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { ConfigWorld } from './world.ts';

/** Each file that was looked at, with its state before it was read. */
export type FileStates = ReadonlyMap<string, string>;

/**
 * Follows symbolic links, so that the swap of a Kubernetes volume is a change.
 *
 * @param path of a file
 * @returns a text that differs when the file was written or replaced; one of its own for no file
 */
export async function fileState(path: string): Promise<string> {
  try {
    return stateOf(await stat(path, { bigint: true }));
  } catch {
    return MISSING;
  }
}

const MISSING = 'missing';

function stateOf({ dev, ino, size, mtimeNs, ctimeNs, mode }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs, mode].join(':');
}

/**
 * @param world where files are read
 * @param absolute gives the path that the system knows a file by
 * @returns the same world, and the files that were read in it by now. The state is taken before the reading: what
 *   changes during it is seen as a change later.
 */
export function watchedWorld(
  world: ConfigWorld,
  absolute: (path: string) => string,
): { readonly world: ConfigWorld; readonly files: FileStates } {
  const files = new Map<string, string>();
  return {
    files,
    world: {
      ...world,
      readFile(path) {
        const full = absolute(path);
        if (!files.has(full)) {
          const found = statSync(full, { bigint: true, throwIfNoEntry: false });
          files.set(full, found ? stateOf(found) : MISSING);
        }
        return world.readFile(path);
      },
    },
  };
}
