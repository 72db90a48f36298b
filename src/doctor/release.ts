/** Releases of the gateway: `YYYY.M.D`, and a suffix for a rebuild. Pure. */

/** Between which the shim was tested. */
export const OLDEST = '2026.3.24';
export const NEWEST = '2026.9.6';

/**
 * @param value any
 * @returns whether it is a release
 */
export function isRelease(value: unknown): value is string {
  return typeof value === 'string' && /^20\d\d\.\d{1,2}\.\d{1,2}(?:-[\w.]{1,32})?$/.test(value);
}

/**
 * @param release a release
 * @param from another one
 * @returns whether the first is that one or newer; a rebuild is as its release
 */
export function since(release: string, from: string): boolean {
  return numberOf(release) >= numberOf(from);
}

function numberOf(release: string): number {
  const [year = 0, month = 0, day = 0] = (release.split('-')[0] ?? '').split('.').map(Number);
  return (year * 100 + month) * 100 + day;
}
