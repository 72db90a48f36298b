/**
 * For `node --import`: on SIGUSR2 the wall clock jumps to as many milliseconds off as the file `CLOCK_FILE` says, and
 * that is told in the log. Timers and `performance` go on, as they do when an operator sets the clock.
 */
import { readFileSync } from 'node:fs';

const Real = Date;
let shift = 0;

globalThis.Date = class extends Real {
  constructor(...args: [] | [number]) {
    if (args.length === 0) super(Real.now() + shift);
    else super(...args);
  }

  static override now(): number {
    return Real.now() + shift;
  }
} as DateConstructor;

process.on('SIGUSR2', () => {
  shift = Number(readFileSync(process.env.CLOCK_FILE as string, 'utf8'));
  process.stderr.write(`${JSON.stringify({ msg: 'the clock jumped', shift })}\n`);
});
