/** Is loaded into the shim before it starts: collects garbage and tells what is left, when it is asked over its channel. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setImmediate } from 'node:timers/promises';

/** What a process holds. Memory in bytes. */
export interface Held {
  readonly rss: number;
  readonly heap: number;
  /** Buffers and other memory outside of the heap. */
  readonly external: number;
  /** Timers that keep the process up. */
  readonly timers: number;
  /** Milliseconds for which nothing ran, at most, since it was last asked; before the collections. */
  readonly stall: number;
}

const delay = monitorEventLoopDelay();
delay.enable();

process.on('message', () => {
  const stall = Math.round(delay.max / 1e6);
  void (async () => {
    // What one collection finalises, the next takes away.
    for (let time = 0; time < 3; time++) {
      globalThis.gc?.();
      await setImmediate();
    }
    const { rss, heapUsed: heap, external } = process.memoryUsage();
    const timers = process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
    process.send?.({ rss, heap, external, timers, stall } satisfies Held);
    delay.reset();
  })();
});
process.channel?.unref();
