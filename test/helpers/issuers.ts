/** The section `issuers` by itself, from its text to what runs. */
import { parse } from 'yaml';
import * as z from 'zod';
import { warnOfIssuers } from '../../src/config/issuer-warnings.ts';
import { buildIssuers, rawIssuers, type IssuerConfig, type IssuersContext } from '../../src/config/issuers.ts';
import { createReport, formatPath } from '../../src/config/report.ts';
import { rawCallersFile, rawConfig } from '../../src/config/schema.ts';
import { checkShape } from '../../src/config/shape.ts';
import { FILE, NOW, worldOf } from './configuration.ts';

const schema = z.strictObject({
  issuers: rawIssuers(
    rawCallersFile.shape.callers.unwrap().element,
    rawConfig.shape.gateway.shape.auth.shape.secret.unwrap(),
  ),
});

export interface BuiltIssuers {
  readonly issuers: readonly IssuerConfig[];
  /** `path: message` */
  readonly faults: readonly string[];
  readonly warnings: readonly string[];
}

/**
 * @param text YAML with the one key `issuers`
 * @param world files and variables
 * @param context what is not the standard
 * @returns what it becomes; warnings only where there is no fault
 */
export async function issuersOf(
  text: string,
  world = worldOf(),
  context: Partial<IssuersContext> = {},
): Promise<BuiltIssuers> {
  const report = createReport();
  const raw = checkShape(schema, parse(text) as Record<string, unknown>, report);
  const source = { file: FILE, world, report };
  const issuers = await buildIssuers(raw.issuers ?? [], { limits: {}, now: NOW, callers: [], ...context }, source);
  if (!report.findings.some(({ level }) => level === 'error')) warnOfIssuers(issuers, report);
  const told = (wanted: string): string[] =>
    report.findings.flatMap(({ level, path, message }) =>
      level === wanted ? [`${formatPath(path)}: ${message}`] : [],
    );
  return { issuers, faults: told('error'), warnings: told('warning') };
}
