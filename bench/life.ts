/** What the shim costs when nothing happens: its start, its memory, and thousands of streams that wait. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { median } from './median.ts';
import { startProcess } from './process.ts';
import { startProxy, TOKEN, type Proxy } from './proxies.ts';
import { openStreams } from './streams.ts';

const SETTLE_MS = 500;
const OPENED_PER_SECOND = 400;
/** All are open before the first ends, with seconds to spare. */
const SPARE_SECONDS = 4;

/** Medians. Milliseconds from spawn to the line that says where it listens; bytes half a second later. */
export interface StartResult {
  readonly shim: { readonly ms: number; readonly resident: number };
  /** An empty Node server: what of it is Node's own. */
  readonly node: { readonly ms: number; readonly resident: number };
}

/**
 * @param gateway origin of the gateway
 * @param folder for logs
 * @param times how often each is started
 * @returns what a start takes and leaves in memory
 */
export async function measureStart(gateway: string, folder: string, times: number): Promise<StartResult> {
  const empty = `
    const server = http.createServer().listen(0, '127.0.0.1', () =>
      process.stderr.write(JSON.stringify({ msg: 'listening', url: 'http://127.0.0.1:' + server.address().port }) + '\\n'))`;
  const starters = {
    shim: () => startProxy('shim', gateway, folder),
    node: () => startProcess(['-e', empty], join(folder, 'node.log')),
  };
  const ms = { shim: [] as number[], node: [] as number[] };
  const resident = { shim: [] as number[], node: [] as number[] };
  for (let i = 0; i < times; i++) {
    for (const name of ['shim', 'node'] as const) {
      const started = await starters[name]();
      await sleep(SETTLE_MS);
      ms[name].push(started.startMs);
      resident[name].push(started.residentBytes());
      await started.stop();
    }
  }
  return {
    shim: { ms: median(ms.shim), resident: median(resident.shim) },
    node: { ms: median(ms.node), resident: median(resident.node) },
  };
}

export interface StreamsCost {
  readonly proxy: Proxy;
  readonly count: number;
  readonly complete: number;
  readonly errors: readonly string[];
  /** Resident bytes with no stream, and with all of them open. */
  readonly idle: number;
  readonly open: number;
}

/**
 * @param gateway origin of the gateway
 * @param folder for logs
 * @param count how many streams
 * @returns how they ended and what they cost, in a fresh process of each proxy
 */
export async function measureStreams(gateway: string, folder: string, count: number): Promise<StreamsCost[]> {
  const results: StreamsCost[] = [];
  for (const proxy of ['shim', 'http-proxy-3'] as const) {
    const started = await startProxy(proxy, gateway, folder);
    try {
      const idle = started.residentBytes();
      let open = 0;
      const hold = Math.ceil(count / OPENED_PER_SECOND) + SPARE_SECONDS;
      const { complete, errors } = await openStreams(started.url, TOKEN, count, OPENED_PER_SECOND, hold, () => {
        open = started.residentBytes();
      });
      results.push({ proxy, count, complete, errors: [...new Set(errors)], idle, open });
    } finally {
      await started.stop();
    }
  }
  return results;
}
