/** How the last reload went, for readiness and for the status page. */
import type { ReloadPart } from '../status/state.ts';

/** A page shows a few; the log has all. */
const MOST_FAULTS = 20;

/** The state, and its words. */
export class ReloadState {
  #part: ReloadPart;
  #fault: string | undefined;

  /** @param startedMs when the first configuration was taken, milliseconds since the epoch */
  constructor(startedMs: number) {
    this.#part = { takenMs: startedMs, triedMs: startedMs, faults: [], waiting: [] };
  }

  /**
   * @param now milliseconds since the epoch
   * @param fault words for it, `undefined` when it was fine
   * @param waiting the keys whose change waits for the next start
   * @param faults each fault, as the log has it
   */
  told(now: number, fault: string | undefined, waiting: readonly string[], faults: readonly string[]): void {
    const { takenMs, waiting: before } = this.#part;
    this.#fault = fault;
    this.#part =
      fault === undefined
        ? { takenMs: now, triedMs: now, faults: [], waiting }
        : {
            takenMs,
            triedMs: now,
            faults: faults.length > 0 ? faults.slice(0, MOST_FAULTS) : [fault],
            waiting: before,
          };
  }

  get part(): ReloadPart {
    return this.#part;
  }

  /** What deserves a word at readiness: a configuration runs, so that this is no fault. */
  get detail(): string | undefined {
    if (this.#fault !== undefined) return `the last reload failed, the one before runs: ${this.#fault}`;
    const { waiting } = this.#part;
    return waiting.length > 0 ? `a restart is due for ${waiting.join(', ')}` : undefined;
  }
}
