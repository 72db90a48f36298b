/** `callersFile`: callers that live apart from the configuration, such as in a mounted secret. */
import type { Caller } from '../types.ts';
import { buildCallers, type CallerContext } from './callers.ts';
import { ConfigError, type ConfigIssue } from './config.ts';
import { readDocument, type ConfigDocument } from './document.ts';
import { createReport, toIssues, type Report } from './report.ts';
import { rawCallersFile } from './schema.ts';
import { checkShape } from './shape.ts';
import { readFaultWords, resolvePath, type ConfigWorld } from './world.ts';

/** The callers, and the file that they stand in. */
export interface CallersPlace {
  readonly callers: readonly Caller[];
  /** The file that has `callers:`, and its text. */
  readonly file: string;
  readonly text: string;
  readonly document: ConfigDocument;
  /** What is wrong with the callers, with paths of that file. */
  readonly report: Report;
}

/**
 * @param file its name, for the errors
 * @param text YAML with the one key `callers`
 * @param context what callers are judged by beside their own keys
 * @returns the callers; faults of their values are in the report
 * @throws ConfigError for what is no such YAML
 */
export function parseCallersFile(file: string, text: string, context: CallerContext): CallersPlace {
  const document = readDocument(file, text);
  const report = createReport();
  const { callers = [] } = checkShape(rawCallersFile, document.tree, report);
  return { callers: buildCallers(callers, context, report), file, text, document, report };
}

/**
 * @param written the path as the configuration has it
 * @param context what callers are judged by beside their own keys
 * @param source the configuration file, which relative paths start from, and where to look
 * @returns the callers, or every fault that kept them from being read
 */
export function readCallersFile(
  written: string,
  context: CallerContext,
  { file, world, report }: { readonly file: string; readonly world: ConfigWorld; readonly report: Report },
): CallersPlace | readonly ConfigIssue[] {
  const target = resolvePath(written, file, world.home);
  let text: string;
  try {
    text = world.readFile(target);
  } catch (error) {
    report.unresolved(['callersFile'], `${target} ${readFaultWords(error)}`);
    return [];
  }
  try {
    return parseCallersFile(target, text, context);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.issues.map((issue) => ({ ...issue, file: target }));
  }
}

/**
 * @param place callers that live apart
 * @returns what was found there, to be told with its file
 */
export function issuesOf({ file, document, report }: CallersPlace): ConfigIssue[] {
  return toIssues(report.findings, document).map((issue) => ({ ...issue, file }));
}

/**
 * @param file its name, for the errors
 * @param text YAML with the one key `callers`
 * @param now milliseconds since the epoch
 * @returns the callers
 * @throws ConfigError with every fault
 */
export function parseSoundCallersFile(file: string, text: string, now: number): CallersPlace {
  const place = parseCallersFile(file, text, { limits: {}, now });
  const faults = issuesOf(place).filter(({ level }) => level === 'error');
  if (faults.length > 0) throw new ConfigError(file, faults);
  return place;
}
