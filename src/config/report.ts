/** Collects what is wrong with a configuration, so that all of it is told at once. */

import type { ConfigIssue } from './config.ts';
import type { ConfigDocument } from './document.ts';

/** Where in the tree. */
export type Path = readonly (string | number)[];

export interface Finding {
  readonly level: 'error' | 'warning';
  readonly path: Path;
  readonly message: string;
  /** The key itself is meant, not its value. */
  readonly atKey?: true;
  /** Not the text is at fault, but what it refers to: a variable, a file. It may be right on another machine. */
  readonly outside?: true;
  /** What was there before a reload stays in force in its place. */
  readonly kept?: true;
}

export interface Report {
  /** @throws nothing; a configuration with one error does not run */
  readonly error: (path: Path, message: string, at?: 'key') => void;
  /** An error of what the text refers to. */
  readonly unresolved: (path: Path, message: string) => void;
  readonly warning: (path: Path, message: string) => void;
  /** Takes over what was found elsewhere. */
  readonly add: (finding: Finding) => void;
  readonly findings: readonly Finding[];
}

export function createReport(): Report {
  const findings: Finding[] = [];
  const faulty = new Set<string>();
  const add = (finding: Finding): void => {
    // One mistake can break two rules (a value of the wrong shape is also a missing one): the first says it.
    const place = JSON.stringify([finding.path, finding.atKey]);
    if (faulty.has(place)) return;
    faulty.add(place);
    findings.push(finding);
  };
  return {
    findings,
    add: (finding) => (finding.level === 'error' ? add(finding) : void findings.push(finding)),
    error: (path, message, at) => add({ level: 'error', path, message, ...(at === 'key' && { atKey: true }) }),
    unresolved: (path, message) => add({ level: 'error', path, message, outside: true }),
    warning: (path, message) => {
      findings.push({ level: 'warning', path, message });
    },
  };
}

/**
 * @param path where in the tree
 * @returns `callers[0].scopes[1]`. Names of required headers can be secrets: they are left out.
 */
export function formatPath(path: Path): string {
  const map = path.indexOf('requiredHeaders');
  const shown = map >= 0 && typeof path[map + 1] === 'string' ? path.slice(0, map + 1) : path;
  return shown
    .map((step, index) => {
      if (typeof step === 'number') return `[${step}]`;
      if (!/^[\w-]{1,64}$/.test(step)) return `[${JSON.stringify(step.slice(0, 64))}]`;
      return index === 0 ? step : `.${step}`;
    })
    .join('');
}

/**
 * @param findings what was found
 * @param document where it was found
 * @returns the findings with line and column, in the order of the text
 */
export function toIssues(findings: readonly Finding[], document: ConfigDocument): ConfigIssue[] {
  return findings
    .map(({ level, path, message, atKey, kept }): ConfigIssue => ({
      level,
      message,
      ...(kept && { kept }),
      path: formatPath(path),
      ...document.locate(path, atKey && 'key'),
    }))
    .sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0));
}
