/** Audit records as people read them. Records are taken as text from anybody: nothing in them reaches a terminal raw. */
import { alignRow } from './table.ts';

/** A line of an audit file: an object with an event that is known and a time; all else is doubted. */
export type SeenRecord = Readonly<Record<string, unknown>> & {
  readonly event: 'decision' | 'connect' | 'end' | 'gap';
  readonly time: string;
};

/**
 * @param line one line of an audit file
 * @returns the record, or `undefined` where the line is broken
 */
export function readRecord(line: Buffer): SeenRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line.toString('utf8'));
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { event, time } = value as Record<string, unknown>;
  const known = event === 'decision' || event === 'connect' || event === 'end' || event === 'gap';
  return known && typeof time === 'string' ? (value as SeenRecord) : undefined;
}

/** C0 and C1 controls, what turns the direction of text or cannot be seen, and halves of pairs. */
const UNSAFE =
  // oxlint-disable-next-line no-control-regex
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]/g;
const MOST_CELL = 100;

/**
 * @param text anything
 * @returns the same with everything that a terminal could obey written as JSON escapes it
 */
export function printable(text: string): string {
  return text.replace(UNSAFE, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** @returns the record as one line of JSON that is safe on a terminal */
export function jsonLine(record: SeenRecord): string {
  // What printable escapes can only stand within the texts of JSON.
  return printable(JSON.stringify(record));
}

/** @returns the text of a field for people; `-` where there is none */
export function cell(value: unknown): string {
  if (typeof value !== 'string' && typeof value !== 'number') return '-';
  const text = printable(String(value));
  return text.length > MOST_CELL ? `${text.slice(0, MOST_CELL)}…` : text;
}

/** @returns the number of a field that should be one */
export function numberIn(record: SeenRecord, key: string): number | undefined {
  const value = record[key];
  return typeof value === 'number' && value >= 0 ? value : undefined;
}

/** @returns the tokens of a run, where they are known */
export function tokensOf({ usage }: SeenRecord): { readonly input: number; readonly output: number } | undefined {
  if (typeof usage !== 'object' || usage === null) return undefined;
  const { input, output } = usage as Record<string, unknown>;
  return typeof input === 'number' && typeof output === 'number' ? { input, output } : undefined;
}

/** Time, caller, method, route, what became of it, code, duration, tokens. */
const WIDTHS = [24, 16, 7, 28, 16, 20, 10] as const;

/** @returns one line for people, without its newline */
export function formatSeen(record: SeenRecord): string {
  if (record.event === 'gap') {
    return alignRow([cell(record.time), `${cell(record.dropped)} lines were dropped here`], WIDTHS);
  }
  const ms = numberIn(record, 'ms');
  const tokens = tokensOf(record);
  return alignRow(
    [
      cell(record.time),
      cell(record.caller),
      cell(record.method),
      cell(record.route ?? record.path),
      outcome(record),
      record.code === undefined ? '' : cell(record.code),
      ms === undefined ? '' : `${ms} ms`,
      tokens ? `${tokens.input} + ${tokens.output} tokens` : '',
    ],
    WIDTHS,
  );
}

function outcome(record: SeenRecord): string {
  const parts =
    record.event === 'end'
      ? [record.status, record.end]
      : [record.event === 'connect' ? 'connect' : undefined, record.decision, record.status];
  return parts
    .filter((part) => part !== undefined)
    .map(cell)
    .join(' ');
}
