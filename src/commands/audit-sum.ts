/** What the records of an audit come to, by caller. Its size does not grow with the number of records. */
import { numberIn, tokensOf, type SeenRecord } from './audit-view.ts';

/** Each step of the histogram is so much longer than the one before: percentiles are right to within 3 %. */
const STEP = Math.log(1.05);
const MOST_REASONS = 10;

export interface CallerSum {
  /** `null`: nobody that is known. */
  readonly caller: string | null;
  readonly requests: number;
  /** By code. */
  readonly refused: Readonly<Record<string, number>>;
  /** Forwarded, and refused once the policy no longer only reports. */
  readonly would_refuse: number;
  /** Forwarded and answered by the shim all the same, by code. */
  readonly failed: Readonly<Record<string, number>>;
  readonly tokens: { readonly input: number; readonly output: number };
  /** Of what was forwarded and ended; `null` where nothing did. */
  readonly ms: { readonly p50: number | null; readonly p95: number | null };
  /** Time of the last record. */
  readonly last: string;
}

export interface AuditSum {
  /** The most frequent caller first. */
  readonly callers: readonly CallerSum[];
  /** The most frequent first. */
  readonly refusals: readonly { readonly code: string; readonly rule: string; readonly count: number }[];
  /** Lines that the shim could not write. */
  readonly dropped: number;
}

class Tally {
  requests = 0;
  wouldRefuse = 0;
  readonly refused = new Map<string, number>();
  readonly failed = new Map<string, number>();
  input = 0;
  output = 0;
  last = '';
  #ended = 0;
  readonly #durations = new Map<number, number>();

  ended(ms: number): void {
    this.#ended++;
    count(this.#durations, ms < 1 ? 0 : Math.round(Math.log(ms) / STEP) + 1);
  }

  /** @returns milliseconds that this part of all ends did not exceed */
  percentile(part: number): number | null {
    let left = Math.ceil(this.#ended * part);
    for (const [step, number] of [...this.#durations].sort(([a], [b]) => a - b)) {
      left -= number;
      if (left <= 0) return step === 0 ? 1 : Math.round(Math.exp((step - 1) * STEP));
    }
    return null;
  }
}

/** Adds up records, in any order. */
export class AuditSummer {
  readonly #callers = new Map<string | null, Tally>();
  readonly #refusals = new Map<string, number>();
  #dropped = 0;

  add(record: SeenRecord): void {
    if (record.event === 'gap') {
      this.#dropped += numberIn(record, 'dropped') ?? 0;
      return;
    }
    const tally = this.#tally(typeof record.caller === 'string' ? record.caller : null);
    if (record.time > tally.last) tally.last = record.time;
    const code = typeof record.code === 'string' ? record.code : undefined;
    if (record.event === 'end') {
      // Of a WebSocket its connect was refused, and counted.
      if (code !== undefined && record.socket === undefined) count(tally.failed, code);
      // A WebSocket is open for as long as its caller likes.
      if (record.socket === undefined) tally.ended(numberIn(record, 'ms') ?? 0);
      const { input, output } = tokensOf(record) ?? { input: 0, output: 0 };
      tally.input += input;
      tally.output += output;
      return;
    }
    // The decision on its upgrade was the request.
    if (record.event !== 'connect') tally.requests++;
    if (record.decision === 'would_refuse') tally.wouldRefuse++;
    if (record.decision !== 'refuse') return;
    count(tally.refused, code ?? '-');
    count(this.#refusals, JSON.stringify([code ?? '-', typeof record.rule === 'string' ? record.rule : '-']));
  }

  sum(): AuditSum {
    const callers = [...this.#callers].map(([caller, tally]): CallerSum => ({
      caller,
      requests: tally.requests,
      refused: Object.fromEntries(frequentFirst(tally.refused)),
      would_refuse: tally.wouldRefuse,
      failed: Object.fromEntries(frequentFirst(tally.failed)),
      tokens: { input: tally.input, output: tally.output },
      ms: { p50: tally.percentile(0.5), p95: tally.percentile(0.95) },
      last: tally.last,
    }));
    const refusals = frequentFirst(this.#refusals).slice(0, MOST_REASONS);
    return {
      callers: callers.sort((a, b) => b.requests - a.requests),
      refusals: refusals.map(([key, number]) => {
        const [code, rule] = JSON.parse(key) as [string, string];
        return { code, rule, count: number };
      }),
      dropped: this.#dropped,
    };
  }

  #tally(caller: string | null): Tally {
    let tally = this.#callers.get(caller);
    if (!tally) this.#callers.set(caller, (tally = new Tally()));
    return tally;
  }
}

function count<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function frequentFirst(counts: ReadonlyMap<string, number>): [string, number][] {
  return [...counts].sort(([, a], [, b]) => b - a);
}
