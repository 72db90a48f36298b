/** Versions: the shim's own, and which ones of Node it runs on. */
import type { World } from './world.ts';

/** The first fit release of each line of Node (CVE-2026-58044). */
const FLOORS: readonly (readonly [number, number, number])[] = [
  [22, 23, 2],
  [24, 18, 1],
  [26, 5, 1],
];

/**
 * @param node a version such as `24.18.1`
 * @returns whether the shim may run on it
 */
export function supportedNode(node: string): boolean {
  const [major = 0, minor = 0, patch = 0] = node.split('.').map(Number);
  if (major > 26) return true;
  return FLOORS.some(
    ([line, leastMinor, leastPatch]) =>
      major === line && (minor > leastMinor || (minor === leastMinor && patch >= leastPatch)),
  );
}

/**
 * @param world streams and the version
 * @returns 0
 */
export function runVersion(world: World): number {
  world.stdout(`${world.version}\n`);
  return 0;
}
