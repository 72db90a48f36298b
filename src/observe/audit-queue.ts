/** Audit lines on their way out: in batches, in order, in bounded memory. */

/** Lines are kept together for this long, or up to this size, which saves a system call a request. */
const FLUSH_MS = 100;
const BATCH_BYTES = 32 * 1024;
/** What a full disk or a reader that is stuck may keep waiting; lines beyond it are dropped. */
const MOST_BYTES = 8 * 1024 * 1024;
const RETRY_MS = 1_000;
/** How long the last lines may take. */
const CLOSE_MS = 2_000;
const NEWLINE = 0x0a;

/** What lines are written to. */
export interface AuditTarget {
  /**
   * Sees to it that there is something to write to.
   *
   * @param bytes what is to be written next
   * @returns whether it is another file than at the last write: a line that was begun must be begun anew
   * @throws the system's error
   */
  prepare(bytes: number): Promise<boolean>;
  /**
   * @param batch whole lines
   * @param offset where in the batch to begin
   * @returns how many bytes were written
   * @throws the system's error
   */
  write(batch: Buffer, offset: number): Promise<number>;
  /** Writes all of it at once, for the end of the process. @throws the system's error */
  writeSync(lines: Buffer): void;
  /** What is open is closed, and opened by its name again, before the next write. */
  reopen(): void;
  close(): Promise<void>;
}

export interface AuditQueueOptions {
  readonly target: AuditTarget;
  /** The line that tells a reader how many lines are missing at its place. */
  readonly gapLine: (dropped: number) => string;
  /** Told once when trouble begins and once when it ends. */
  readonly onTrouble: (message: string) => void;
}

export class AuditQueue {
  readonly #options: AuditQueueOptions;
  /** Lines that are no batch yet. */
  #text = '';
  readonly #batches: Buffer[] = [];
  /** How much of the first batch is written. */
  #offset = 0;
  /** All that waits; lines that are no batch yet count by their characters. */
  #bytes = 0;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #closed = false;
  #healthy = true;
  #dropped = 0;
  /** Dropped lines that no gap line tells of yet. */
  #untold = 0;

  constructor(options: AuditQueueOptions) {
    this.#options = options;
  }

  /** Whether the last write succeeded and there is room for the next line. */
  get healthy(): boolean {
    return this.#healthy;
  }

  /** Lines that were given up. */
  get dropped(): number {
    return this.#dropped;
  }

  /** @param line with its newline */
  push(line: string): void {
    if (this.#closed || this.#bytes + line.length > MOST_BYTES) {
      this.#drop(1);
      return;
    }
    this.#text += line;
    this.#bytes += line.length;
    if (this.#text.length < BATCH_BYTES) {
      // What comes while lines are written is seen to at the end of that.
      if (!this.#running) this.#timer ??= this.#runIn(FLUSH_MS);
    } else {
      this.#seal();
      // In trouble the timer says when it is tried again.
      if (this.#healthy) void this.#run();
    }
  }

  /** Opens the target by its name again, now and without a line lost. */
  reopen(): void {
    this.#options.target.reopen();
    this.#timer ??= this.#runIn(0);
  }

  /** Writes what waits, at once; a write that is under way is left to end by itself. */
  flush(): void {
    this.#seal();
    const rest = this.#batches.slice(this.#running ? 1 : 0);
    if (rest.length === 0) return;
    const lines = Buffer.concat(rest);
    try {
      this.#options.target.writeSync(this.#running ? lines : lines.subarray(this.#offset));
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#batches.splice(-rest.length);
    this.#bytes -= lines.length;
    if (!this.#running) this.#offset = 0;
  }

  /** Writes what waits and lets go of the target. Lines that cannot be written are dropped, and that is told. */
  async close(): Promise<void> {
    let limit: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => (limit = setTimeout(resolve, CLOSE_MS)));
    await Promise.race([late, this.#running?.then(() => this.#run()) ?? this.#run()]);
    clearTimeout(limit);
    clearTimeout(this.#timer);
    this.#closed = true;
    this.#seal();
    const lost = this.#batches.splice(0).reduce((lines, batch) => lines + batch.filter((b) => b === NEWLINE).length, 0);
    if (lost > 0) {
      this.#dropped += lost;
      this.#options.onTrouble(`the audit ends without its last ${lost} lines`);
    }
    // A write that never ends would keep it waiting.
    if (!this.#running) await this.#options.target.close();
  }

  #runIn(milliseconds: number): NodeJS.Timeout {
    return setTimeout(() => void this.#run(), milliseconds).unref();
  }

  /** Writes all that waits; never rejects. */
  #run(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    return (this.#running ??= this.#writeOut()
      .then(
        () => this.#recover(),
        (error: unknown) => this.#fail(error),
      )
      .finally(() => {
        this.#running = undefined;
        if (!this.#closed && !this.#healthy) this.#timer ??= this.#runIn(RETRY_MS);
        else if (!this.#closed && this.#text !== '') this.#timer ??= this.#runIn(FLUSH_MS);
      }));
  }

  async #writeOut(): Promise<void> {
    const { target } = this.#options;
    this.#seal();
    do {
      const batch = this.#batches[0];
      const anew = await target.prepare(batch?.length ?? 0);
      if (batch === undefined) return;
      if (anew && this.#offset > 0) this.#offset = batch.lastIndexOf(NEWLINE, this.#offset - 1) + 1;
      this.#offset += await target.write(batch, this.#offset);
      if (this.#offset === batch.length) {
        this.#batches.shift();
        this.#bytes -= batch.length;
        this.#offset = 0;
      }
    } while (this.#batches.length > 0);
  }

  #seal(): void {
    if (this.#text === '') return;
    const batch = Buffer.from(this.#text);
    this.#bytes += batch.length - this.#text.length;
    this.#batches.push(batch);
    this.#text = '';
  }

  #drop(lines: number): void {
    this.#dropped += lines;
    this.#untold += lines;
    if (this.#untold === lines) this.#options.onTrouble('the audit has more waiting than fits: lines are dropped');
    this.#healthy = false;
  }

  #fail(error: unknown): void {
    const why = error instanceof Error ? error.message : String(error);
    if (this.#healthy) this.#options.onTrouble(`the audit cannot be written, lines wait: ${why}`);
    this.#healthy = false;
  }

  #recover(): void {
    if (this.#healthy) return;
    const missing = this.#untold;
    this.#healthy = true;
    this.#untold = 0;
    if (missing > 0) this.push(this.#options.gapLine(missing));
    this.#options.onTrouble(`the audit is written again${missing > 0 ? `; ${missing} lines were dropped` : ''}`);
  }
}
