/** What is kept of all cases together: the log, the audit, the sockets. */
import { setTimeout as sleep } from 'node:timers/promises';
import { secretsOf } from './callers.ts';
import type { Case } from './case.ts';
import type { Rig } from './rig.ts';

/** What one case brought. */
export interface Played {
  readonly id: string;
  /** What was not as it must be; the rig's own findings are under the id of its setting. */
  readonly failures: string[];
}

/** A case that was played. */
export interface Exchange {
  readonly one: Case;
  readonly played: Played;
  /** `x-request-id` of its answers. */
  readonly requestIds: readonly string[];
  /** How many requests the gateway got of it, whole or begun. */
  readonly reached: number;
}

/** The log and the audit are written in batches, and sockets close a moment later. */
export const PATIENCE_MS = 5_000;
const LOOK_MS = 30;

type Line = Readonly<Record<string, unknown>>;

function linesOf(text: string): Line[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Line);
}

/** The log and the audit of all cases: what was let through is what reached the gateway, and no secret is kept. */
export async function recorded(rig: Rig, exchanges: readonly Exchange[], own: Played): Promise<void> {
  const missing = (text: string, what: string): string[] => {
    const seen = new Set(linesOf(text).flatMap(({ id, msg, event }) => (msg === what || event === what ? id : [])));
    return exchanges.flatMap(({ played, requestIds }) => (requestIds.every((id) => seen.has(id)) ? [] : played.id));
  };
  const unwritten = (): string[] => [...missing(rig.audit(), 'decision'), ...missing(rig.log(), 'request')];
  if (!(await eventually(() => unwritten().length === 0))) {
    own.failures.push(`not in the log or the audit: ${unwritten().join('; ')}`);
  }
  const audit = Map.groupBy(linesOf(rig.audit()), ({ id }) => id);
  const log = Map.groupBy(linesOf(rig.log()), ({ id }) => id);
  let authenticated = 0;
  for (const { one, played, requestIds, reached } of exchanges) {
    const records = requestIds.flatMap((id) => audit.get(id) ?? []);
    const decided = records.filter(({ event }) => event === 'decision');
    if (decided.length !== requestIds.length) {
      played.failures.push(`${decided.length} decisions in the audit, ${requestIds.length} answers`);
    }
    const forwards = decided.filter(({ decision }) => decision === 'forward').length;
    const kept = (one.admitted ?? one.gateway.length) - one.gateway.length;
    if (forwards - kept !== reached) {
      played.failures.push(`${reached} requests at the gateway, the audit has ${JSON.stringify(records)}`);
    }
    authenticated += forwards - kept;
    const codes = one.socket ? [one.logged] : one.answers.map(({ code }) => code);
    requestIds.forEach((id, i) => {
      const told = (log.get(id) ?? []).filter(({ msg }) => msg === (one.logged ? 'socket refused' : 'request'));
      if (told.length !== 1 || told[0]?.code !== codes[i]) {
        played.failures.push(`the log has ${JSON.stringify(told)}, expected code ${codes[i]}`);
      }
    });
  }
  // A good request before the first case, and one behind the last.
  const total = rig.gateway.total();
  if (authenticated + 2 !== total) {
    own.failures.push(`${total} requests at the gateway, ${authenticated + 2} authenticated`);
  }
  for (const [where, text] of [
    ['log', rig.log()],
    ['audit', rig.audit()],
  ] as const) {
    const kept = text.toLowerCase();
    for (const secret of secretsOf(rig.setting.hop)) {
      if (kept.includes(secret.toLowerCase())) own.failures.push(`the ${where} has ${secret}`);
    }
  }
  for (const line of linesOf(rig.log())) {
    if (line.level === 'error' || line.level === 'fatal' || Number(line.level) >= 50) {
      own.failures.push(`unexpected: ${JSON.stringify(line)}`);
    }
  }
}

/** @returns whether it came to hold in time */
export async function eventually(holds: () => boolean): Promise<boolean> {
  const end = performance.now() + PATIENCE_MS;
  while (!holds()) {
    if (performance.now() > end) return false;
    await sleep(LOOK_MS);
  }
  return true;
}
