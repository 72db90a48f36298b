/** A browser without a screen: Debian's Chromium. */
import { existsSync } from 'node:fs';
import { chromium, type Browser } from 'playwright-core';

const CHROMIUM = '/usr/bin/chromium';
export const hasBrowser = existsSync(CHROMIUM);

/** @returns the browser; it is to be closed */
export function startBrowser(): Promise<Browser> {
  // Its sandbox does not run as root, which containers of CI are.
  return chromium.launch({ executablePath: CHROMIUM, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] });
}
