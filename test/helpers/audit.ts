/** An audit file of a test. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';

export interface AuditOfTest {
  readonly file: string;
  /** The section of the configuration. */
  readonly yaml: string;
  /** Settles with all records once there are so many. */
  readonly records: (count: number) => Promise<Record<string, unknown>[]>;
}

/** @returns an audit in a folder that is removed with the test */
export function audited(t: Test, more = ''): AuditOfTest {
  const folder = mkdtempSync(join(tmpdir(), 'auth-shim-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'audit.jsonl');
  return {
    file,
    yaml: `audit: { file: ${file}${more} }`,
    async records(count) {
      for (;;) {
        const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1);
        if (lines.length >= count) return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
        // It is written in batches, and tells nobody.
        await sleep(10);
      }
    },
  };
}
