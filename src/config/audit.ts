/** `audit`: where the audit lines go, how much of them is kept, and whether the shim serves without them. */
import * as z from 'zod';
import type { Report } from './report.ts';
import type { Sound } from './shape.ts';
import { parseSize, SIZE } from './units.ts';
import { resolvePath, type ConfigWorld } from './world.ts';

// This file is imported before schema.ts says the same, and an object asks when it is made.
z.config({ jitless: true });

const FILE_WORDS = 'expected the path of a file';
const SIZE_WORDS = 'expected a size in bytes, or one such as 64MiB, or 0';
const KEEP_WORDS = 'expected a count from 1 to 1000';
const DEFAULT_MAX_SIZE = 64 * 1024 * 1024;
const LEAST_MAX_SIZE = 64 * 1024;
const DEFAULT_KEEP = 5;

/** The section as it is written. */
export const rawAudit = z.strictObject({
  file: z.string(FILE_WORDS).min(1, FILE_WORDS).optional(),
  stdout: z.literal(true, 'only "stdout: true" has a meaning').optional(),
  maxSize: z.union([z.int().nonnegative(SIZE_WORDS), z.string().regex(SIZE, SIZE_WORDS)], SIZE_WORDS).optional(),
  keep: z.int(KEEP_WORDS).min(1, KEEP_WORDS).max(1000, KEEP_WORDS).optional(),
  required: z.boolean().optional(),
});

export type RawAudit = z.infer<typeof rawAudit>;

/** Where the audit goes. */
export interface AuditConfig {
  readonly target:
    | {
        readonly kind: 'file';
        /** As relative as the configuration file's own path. */
        readonly path: string;
        /** Bytes at which the file is rotated; 0: something else rotates it. */
        readonly maxSize: number;
        /** How many rotated files stay beside it. */
        readonly keep: number;
      }
    | { readonly kind: 'stdout' };
  /** Whether requests are refused while the audit cannot be written. */
  readonly required: boolean;
}

/**
 * @param raw `audit:`; absent means no audit
 * @param file the configuration file: the audit file's path is relative to it
 * @param world for `~`
 * @param report gets what is wrong
 * @returns the audit with its defaults
 */
export function buildAudit(
  raw: Sound<RawAudit> | undefined,
  file: string,
  world: Pick<ConfigWorld, 'home'>,
  report: Report,
): AuditConfig | undefined {
  if (raw === undefined) return undefined;
  const required = raw.required ?? false;
  if (raw.stdout !== undefined) {
    if (raw.file !== undefined) report.error(['audit', 'stdout'], 'the audit goes either to a file or to stdout');
    for (const key of ['maxSize', 'keep'] as const) {
      if (raw[key] !== undefined) report.error(['audit', key], 'only a file is rotated');
    }
    return { target: { kind: 'stdout' }, required };
  }
  if (raw.file === undefined) {
    report.error(['audit'], 'expected where the audit goes: "file: PATH" or "stdout: true"');
    return undefined;
  }
  const maxSize = (typeof raw.maxSize === 'string' ? parseSize(raw.maxSize) : raw.maxSize) ?? DEFAULT_MAX_SIZE;
  if (maxSize !== 0 && maxSize < LEAST_MAX_SIZE) {
    report.error(['audit', 'maxSize'], 'expected at least 64KiB, or 0 where logrotate or the like rotates the file');
  }
  if (maxSize === 0 && raw.keep !== undefined) {
    report.error(['audit', 'keep'], 'with maxSize: 0 the shim rotates nothing that it could keep');
  }
  const path = resolvePath(raw.file, file, world.home);
  return { target: { kind: 'file', path, maxSize, keep: raw.keep ?? DEFAULT_KEEP }, required };
}
