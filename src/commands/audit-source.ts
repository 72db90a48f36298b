/** Which audit file the audit commands read, and what stands in the way told. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { buildAudit, rawAudit } from '../config/audit.ts';
import { ConfigError } from '../config/config.ts';
import { readDocument } from '../config/document.ts';
import { createReport } from '../config/report.ts';
import { readFaultWords } from '../config/world.ts';
import { EXIT } from './exit.ts';
import type { World } from './world.ts';

/** What stands in the way, in words for the user, with the exit code that says of which kind it is. */
export class AuditCommandError extends Error {
  readonly code: number;
  constructor(message: string, code: number = EXIT.no) {
    super(message);
    this.code = code;
  }
}

export interface AuditSource {
  /** The configuration, as the user calls it. */
  readonly config: string;
  /** An audit file, whatever the configuration says. */
  readonly file?: string | undefined;
}

/**
 * Only `audit:` of the configuration is looked at: whoever reads the audit need not have the gateway's secret.
 *
 * @param world where the command runs
 * @param source what the command line says
 * @returns the path of the audit file
 * @throws AuditCommandError, ConfigError
 */
export function auditPath(world: World, { config, file }: AuditSource): string {
  if (file !== undefined) return resolve(world.cwd, file);
  let text: string;
  try {
    text = readFileSync(resolve(world.cwd, config), 'utf8');
  } catch (error) {
    throw new AuditCommandError(`${config} ${readFaultWords(error)}; --file names an audit file itself`, EXIT.config);
  }
  const raw = rawAudit.optional().safeParse(readDocument(config, text).tree.audit);
  const report = createReport();
  const audit = raw.success ? buildAudit(raw.data, config, world, report) : undefined;
  if (!raw.success || report.findings.length > 0) {
    throw new AuditCommandError(`${config}: "audit" has faults; "auth-shim check" says which`, EXIT.config);
  }
  if (audit === undefined) throw new AuditCommandError(`${config} has no audit: add "audit: { file: PATH }"`);
  if (audit.target.kind === 'stdout') {
    throw new AuditCommandError(`the audit of ${config} goes to stdout; --file names a file where it was kept`);
  }
  return resolve(world.cwd, audit.target.path);
}

/**
 * @param world gets the words of what the command throws
 * @param command what is done
 * @returns the exit code
 */
export async function telling(world: World, command: () => Promise<void>): Promise<number> {
  try {
    await command();
    return EXIT.ok;
  } catch (error) {
    if (error instanceof AuditCommandError || error instanceof ConfigError) {
      world.stderr(`${error.message}\n`);
      return error instanceof AuditCommandError ? error.code : EXIT.config;
    }
    throw error;
  }
}
