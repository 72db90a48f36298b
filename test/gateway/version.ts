/** The release under test, and what it can. */
import { RELEASES, type Release } from '../../src/demo/rules.ts';

/** Set by `run.ts`. */
export const VERSION = process.env.AUTH_SHIM_GATEWAY_VERSION ?? '2026.3.28';

/** @returns whether a version, by default the one under test, is this release or newer */
export function since(release: string, version = VERSION): boolean {
  return compare(version, release) >= 0;
}

/** What a proxy on loopback can do: releases from 2026.3.31 to 2026.4.26 refuse it, whatever is configured. */
export const LOOPBACK_PROXY = !since('2026.3.31') || since('2026.4.27');

/** Where `trusted-proxy` takes a password of clients on this machine; the others refuse to start with one. */
export const LOCAL_PASSWORD = (since('2026.4.27') && !since('2026.5.8')) || since('2026.5.19');

/** Up to 2026.3.31 the WebSocket speaks version 3 of the protocol alone; versions between were not measured. */
export const SPEAKS_4 = since('2026.5.28');

/** Whether a device of this machine gets more scopes without an operator: 2026.5.28 refuses, 2026.9.6 does not. */
export const GROWS = since('2026.9.6');

/** 2026.4.7 was the first to end a run whose caller went away. */
export const CANCELS_RUNS = since('2026.4.7');

/** A caller with the gateway's own secret cannot read a session on these. */
export const HISTORY_WITH_SECRET = !since('2026.3.31') || since('2026.5.22');

/** The newest release that the stand-in plays and that is not newer than the one under test. */
export function standInRelease(): Release {
  const known = (Object.keys(RELEASES) as Release[]).filter((release) => since(release));
  const newest = known.at(-1);
  if (!newest) throw new Error(`no rules for ${VERSION}`);
  return newest;
}

/** Releases are year, month, patch; a suffix such as `-1` is a rebuild. */
function compare(a: string, b: string): number {
  const [left, right] = [a, b].map((text) => (text.split('-')[0] ?? '').split('.').map(Number));
  for (const [index, part] of left!.entries()) {
    const difference = part - (right![index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
