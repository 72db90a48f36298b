/** What happened in the last hour, in steps of ten seconds: cells of a fixed size, made once. */

export const STEP_MS = 10_000;
export const STEPS = 360;
/** Cells of latency: four to an octave, so that what is read is right to a tenth, from a quarter of a millisecond up. */
const PER_OCTAVE = 4;
const LEAST_OCTAVE = -2;
/** Up to 35 minutes; the last cell has what took longer. */
const CELLS = 23 * PER_OCTAVE;
/** 138 kB. */
export const BYTES = STEPS * (3 + CELLS) * Uint32Array.BYTES_PER_ELEMENT;

/** The steps of an hour, the oldest first. */
export interface HourView {
  /** When the first step began, milliseconds since the epoch. */
  readonly beginMs: number;
  readonly stepMs: number;
  readonly requests: readonly number[];
  readonly refusals: readonly number[];
  /** Milliseconds; `null` where nothing was measured. */
  readonly p50: readonly (number | null)[];
  readonly p99: readonly (number | null)[];
}

/** Counts by step. A step that comes round again is cleared first, also after the clock was set. */
export class LastHour {
  readonly #steps = new Uint32Array(STEPS);
  readonly #requests = new Uint32Array(STEPS);
  readonly #refusals = new Uint32Array(STEPS);
  readonly #latencies = new Uint32Array(STEPS * CELLS);

  /**
   * @param now milliseconds since the epoch
   * @param refused whether the shim answered by itself
   * @param latency milliseconds; `undefined` where it says nothing
   */
  add(now: number, refused: boolean, latency: number | undefined): void {
    const step = Math.floor(now / STEP_MS);
    const at = step % STEPS;
    if (this.#steps[at] !== step) {
      this.#steps[at] = step;
      this.#requests[at] = 0;
      this.#refusals[at] = 0;
      this.#latencies.fill(0, at * CELLS, (at + 1) * CELLS);
    }
    (this.#requests[at] as number)++;
    if (refused) (this.#refusals[at] as number)++;
    if (latency !== undefined) (this.#latencies[at * CELLS + cellOf(latency)] as number)++;
  }

  /**
   * @param now milliseconds since the epoch
   * @returns the hour that ends with the step of now
   */
  read(now: number): HourView {
    const first = Math.floor(now / STEP_MS) - STEPS + 1;
    const places = Array.from({ length: STEPS }, (_, index) => {
      const at = (first + index) % STEPS;
      return this.#steps[at] === first + index ? at : undefined;
    });
    const counts = (of: Uint32Array): number[] => places.map((at) => (at === undefined ? 0 : (of[at] as number)));
    const quantiles = (share: number): (number | null)[] =>
      places.map((at) => (at === undefined ? null : this.#quantile(at, share)));
    return {
      beginMs: first * STEP_MS,
      stepMs: STEP_MS,
      requests: counts(this.#requests),
      refusals: counts(this.#refusals),
      p50: quantiles(0.5),
      p99: quantiles(0.99),
    };
  }

  #quantile(at: number, share: number): number | null {
    const cells = this.#latencies.subarray(at * CELLS, (at + 1) * CELLS);
    let left = Math.ceil(share * cells.reduce((sum, count) => sum + count, 0));
    if (left === 0) return null;
    const cell = cells.findIndex((count) => (left -= count) <= 0);
    return Number((2 ** ((cell + 0.5) / PER_OCTAVE + LEAST_OCTAVE)).toPrecision(3));
  }
}

function cellOf(ms: number): number {
  return Math.min(Math.max(Math.floor((Math.log2(ms) - LEAST_OCTAVE) * PER_OCTAVE), 0), CELLS - 1);
}
