/** The processes of the WebSocket benchmark: gateway, shim, caller. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startProcess, type Measured } from '../process.ts';
import { configuration, startShim, TOKEN } from '../proxies.ts';
import type { Job, Outcome } from './caller.ts';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export interface Processes {
  readonly gateway: Measured;
  readonly shim: Measured;
  /** A shim that reads each frame of its caller, for a policy of methods. */
  readonly reading: Measured;
  /** Resolves with what came of a job; rejects where it failed. */
  readonly ask: <T extends Outcome>(job: Job) => Promise<T>;
}

/**
 * @param folder for logs and configurations
 * @param sockets most that the caller may have open: what is not counted back is missed by the next round
 * @param use runs while they do
 * @returns what that returns
 */
export async function withProcesses<T>(
  folder: string,
  sockets: number,
  use: (processes: Processes) => Promise<T>,
): Promise<T> {
  const gateway = await startProcess([here('gateway.ts')], join(folder, 'websocket-gateway.log'));
  const relay = (more: string): string => configuration(gateway.url, { caller: `websocket: relay\n    ${more}` });
  const shim = await startShim('relay', relay(`limits: { sockets: ${sockets} }`), folder);
  const reading = await startShim('reading relay', relay('denyMethods: [config.*]'), folder);
  const caller = fork(here('caller.ts'), { env: { ...process.env, BENCH_TOKEN: TOKEN } });
  const exited = once(caller, 'exit');
  try {
    return await use({
      gateway,
      shim,
      reading,
      async ask<T extends Outcome>(job: Job) {
        caller.send(job);
        const [outcome] = (await Promise.race([once(caller, 'message'), exited])) as [Outcome];
        if (outcome === null || typeof outcome !== 'object') throw new Error('the caller ended');
        if ('error' in outcome) throw new Error(`${JSON.stringify(job)}: ${outcome.error}`);
        return outcome as T;
      },
    });
  } finally {
    caller.kill();
    await Promise.all([exited, gateway.stop(), shim.stop(), reading.stop()]);
  }
}
