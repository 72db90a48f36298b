/** `auth-shim audit …`: shows the audit, and what it comes to. */
import type { FileHandle } from 'node:fs/promises';
import { parseDuration } from '../config/units.ts';
import { readFaultWords } from '../config/world.ts';
import { followLines, linesBackward, linesForward, openAuditFiles } from './audit-lines.ts';
import { AuditCommandError, auditPath, telling, type AuditSource } from './audit-source.ts';
import { AuditSummer, type AuditSum } from './audit-sum.ts';
import { cell, formatSeen, jsonLine, printable, readRecord, type SeenRecord } from './audit-view.ts';
import { EXIT } from './exit.ts';
import { table } from './table.ts';
import type { World } from './world.ts';

const MOST_LINES = 100_000;

export interface AuditTailOptions extends AuditSource {
  /** How many records. */
  readonly lines: string;
  readonly follow?: boolean | undefined;
  readonly json?: boolean | undefined;
  /** Records of this caller alone. */
  readonly caller?: string | undefined;
  /** Only what was refused, would be, or was answered with an error of the shim. */
  readonly refused?: boolean | undefined;
}

/**
 * Shows the last records, the oldest of them first; where lines are missing, that is always shown.
 *
 * @param world streams, signals
 * @param options what the command line says
 * @returns 0; 1 when there is no audit to read; 2 for a wrong argument; 78 for faults of the configuration's `audit:`
 */
export function runAuditTail(world: World, options: AuditTailOptions): Promise<number> {
  return telling(world, async () => {
    const lines = /^\d{1,6}$/.test(options.lines) ? Number(options.lines) : Infinity;
    if (lines > MOST_LINES) {
      throw new AuditCommandError(`"${options.lines}" is no count from 0 to ${MOST_LINES}`, EXIT.usage);
    }
    const path = auditPath(world, options);
    await withFiles(path, async (handles) => {
      const show = (record: SeenRecord): void =>
        world.stdout(`${options.json ? jsonLine(record) : formatSeen(record)}\n`);
      const { records, broken, position } = await lastRecords(handles, lines, options);
      for (const record of records) show(record);
      tellBroken(world, broken);
      const [newest] = handles;
      if (!options.follow || !newest) return;
      const stop = new AbortController();
      void world.nextSignal().then(() => stop.abort());
      for await (const line of followLines(path, newest, position, stop.signal)) {
        const record = readRecord(line);
        if (record === undefined) tellBroken(world, 1);
        else if (isAsked(record, options)) show(record);
      }
    });
  });
}

interface LastRecords {
  /** The oldest first. */
  readonly records: readonly SeenRecord[];
  /** Lines between them that are no records. */
  readonly broken: number;
  /** Where the last whole line of the newest file ends. */
  readonly position: number;
}

async function lastRecords(
  handles: readonly FileHandle[],
  most: number,
  options: AuditTailOptions,
): Promise<LastRecords> {
  const records: SeenRecord[] = [];
  let broken = 0;
  let position: number | undefined;
  for (const handle of handles) {
    const { size } = await handle.stat();
    for await (const line of linesBackward(handle, size)) {
      const unfinished = position === undefined;
      position ??= size - line.length;
      if (records.length === most) return { records: records.reverse(), broken, position };
      // Whoever follows sees an unfinished line when it is whole.
      if (line.length === 0 || (unfinished && options.follow)) continue;
      const record = readRecord(line);
      if (record === undefined) broken++;
      else if (isAsked(record, options)) records.push(record);
    }
  }
  return { records: records.reverse(), broken, position: position ?? 0 };
}

function isAsked(record: SeenRecord, { caller, refused }: AuditTailOptions): boolean {
  if (record.event === 'gap') return true;
  if (caller !== undefined && record.caller !== caller) return false;
  return !refused || record.code !== undefined;
}

export interface AuditSummaryOptions extends AuditSource {
  /** How far back: `24h`, `7d`. */
  readonly since: string;
  readonly json?: boolean | undefined;
}

/**
 * Adds up the file and its rotated files.
 *
 * @param world streams, clock
 * @param options what the command line says
 * @returns 0; 1 when there is no audit to read; 2 for a wrong argument; 78 for faults of the configuration's `audit:`
 */
export function runAuditSummary(world: World, options: AuditSummaryOptions): Promise<number> {
  return telling(world, async () => {
    const span = parseDuration(options.since);
    if (!span) throw new AuditCommandError(`"${options.since}" is no duration: write 24h or 7d`, EXIT.usage);
    const since = new Date(Math.max(0, world.now() - span)).toISOString();
    await withFiles(auditPath(world, options), async (handles) => {
      const summer = new AuditSummer();
      let broken = 0;
      for (const handle of handles) {
        // Nothing was written to it since.
        if ((await handle.stat()).mtime.toISOString() < since) continue;
        for await (const line of linesForward(handle)) {
          if (line.length === 0) continue;
          const record = readRecord(line);
          if (record === undefined) broken++;
          else if (record.time >= since) summer.add(record);
        }
      }
      const sum = summer.sum();
      if (options.json) world.stdout(`${printable(JSON.stringify({ since, broken, ...sum }))}\n`);
      else world.stdout(formatSum(sum, since));
      tellBroken(world, broken);
    });
  });
}

function formatSum({ callers, refusals, dropped }: AuditSum, since: string): string {
  const rows = callers.map((one) => {
    const refused = Object.values(one.refused).reduce((sum, number) => sum + number, 0);
    const { p50, p95 } = one.ms;
    const numbers = [one.requests, refused, one.would_refuse, one.tokens.input, one.tokens.output, p50, p95];
    return [cell(one.caller), ...numbers.map(cell), cell(one.last)];
  });
  const head = ['CALLER', 'REQUESTS', 'REFUSED', 'WOULD', 'TOKENS IN', 'OUT', 'P50 MS', 'P95 MS', 'LAST SEEN'];
  const byCode = (counts: Readonly<Record<string, number>>, caller: string | null, what: string): string[][] =>
    Object.entries(counts).map(([code, number]) => [cell(number), cell(code), what, cell(caller)]);
  const codes = callers.flatMap(({ caller, refused, failed }) => [
    ...byCode(refused, caller, 'refused'),
    ...byCode(failed, caller, 'failed'),
  ]);
  return [
    `since ${since}\n\n`,
    table([head, ...rows]),
    ...(codes.length > 0 ? ['\n', table([['COUNT', 'CODE', 'WHAT', 'CALLER'], ...codes])] : []),
    ...(refusals.length > 0
      ? ['\n', table([['REFUSALS', 'CODE', 'RULE'], ...refusals.map((r) => [cell(r.count), cell(r.code), cell(r.rule)])])] // prettier-ignore
      : []),
    ...(dropped > 0 ? [`\n${dropped} lines could not be written and are missing\n`] : []),
  ].join('');
}

async function withFiles(path: string, use: (handles: readonly FileHandle[]) => Promise<void>): Promise<void> {
  let handles: FileHandle[];
  try {
    handles = await openAuditFiles(path);
  } catch (error) {
    throw new AuditCommandError(`${path} ${readFaultWords(error)}`);
  }
  try {
    if (handles.length === 0) throw new AuditCommandError(`${path} does not exist`);
    await use(handles);
  } finally {
    await Promise.all(handles.map((handle) => handle.close()));
  }
}

function tellBroken(world: World, broken: number): void {
  if (broken > 0) world.stderr(`${broken} broken ${broken === 1 ? 'line was' : 'lines were'} skipped\n`);
}
