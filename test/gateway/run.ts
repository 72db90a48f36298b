/**
 * `npm run test:gateway [-- VERSION…]`: the tests against real gateways, by default 2026.3.28, 2026.5.28 and
 * the newest. Prints their TAP, a summary for each release, and last `N passed, N failed`.
 */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { installGateway, latestVersion } from './install.ts';

interface Count {
  passed: number;
  failed: number;
}

const FILES = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.gateway.ts'));

/** A hundred runs take a small machine minutes; what waits longer waits for nothing. */
const FILE_SECONDS = 900;

const asked = process.argv.slice(2);
const total: Count = { passed: 0, failed: 0 };
for (const version of asked.length > 0 ? asked : ['2026.3.28', '2026.5.28', 'latest']) {
  const release = version === 'latest' ? await latestVersion() : version;
  await installGateway(release);
  for (const file of FILES) {
    const count = await runFile(file, release);
    console.log(`# openclaw@${release} ${file}: ${count.passed} passed, ${count.failed} failed`);
    total.passed += count.passed;
    total.failed += count.failed;
  }
}
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed === 0 ? 0 : 1;

/** Counts the file's tests by its TAP: what stands at the left margin, less what was skipped. */
async function runFile(file: string, release: string): Promise<Count> {
  const child = spawn(process.execPath, [join(import.meta.dirname, file)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, AUTH_SHIM_GATEWAY_VERSION: release, TAP_TIMEOUT: String(FILE_SECONDS) },
  });
  const end = (): void => void child.kill('SIGTERM');
  process.once('SIGINT', end).once('SIGTERM', end);
  const count: Count = { passed: 0, failed: 0 };
  createInterface({ input: child.stdout }).on('line', (line) => {
    console.log(line);
    if (/^ok (?!.*# SKIP)/.test(line)) count.passed++;
    if (/^not ok (?!.*# TODO)/.test(line)) count.failed++;
  });
  const code = await new Promise<number | null>((resolve, reject) =>
    child.once('close', resolve).once('error', reject),
  );
  process.removeListener('SIGINT', end).removeListener('SIGTERM', end);
  // It broke off without a test to blame.
  if (code !== 0 && count.failed === 0) count.failed++;
  return count;
}
