/** `auth-shim shutdown`: ends a running shim as SIGTERM does, where there is no `kill`, such as in a container's hook. */
import { resolve } from 'node:path';
import { request } from '../proxy/node-http.ts';
import { loadWithLimit } from './config-world.ts';
import { EXIT } from './exit.ts';
import type { World } from './world.ts';

export interface ShutdownOptions {
  readonly config: string;
  /** How long to wait for the drain at most: `60s`, `2m`. */
  readonly timeout: string;
}

/**
 * Asks on the control socket of the configuration, and waits until the drain is over.
 *
 * @param world streams, environment
 * @param options what the command line says
 * @returns 0 once it has drained, 1 when it cannot be asked or takes too long, 2 for a wrong argument, 78 for a
 *   configuration that cannot run
 */
export async function runShutdown(world: World, options: ShutdownOptions): Promise<number> {
  const loaded = await loadWithLimit(world, options);
  if (typeof loaded === 'number') return loaded;
  const { limit } = loaded;
  const { control } = loaded.config;
  if (!control) {
    world.stderr(`${options.config} has no control socket: add "control: { socket: PATH }", or send SIGTERM\n`);
    return EXIT.usage;
  }
  const fault = await ask(resolve(world.cwd, control.socket), limit);
  if (fault === undefined) return EXIT.ok;
  world.stderr(`${control.socket}: ${fault}\n`);
  return EXIT.no;
}

/** @returns why it did not drain, or `undefined` */
function ask(socketPath: string, limit: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => req.destroy(new Error('still draining when the time was over')), limit);
    const settle = (fault: string | undefined): void => {
      clearTimeout(timer);
      resolve(fault);
    };
    const req = request({ socketPath, method: 'POST', path: '/shutdown', agent: false }, (res) => {
      res.resume();
      res.on('end', () => settle(res.statusCode === 204 ? undefined : `answered ${res.statusCode}`));
      res.on('error', (error) => settle(error.message));
    });
    req.on('error', (error: NodeJS.ErrnoException) =>
      settle(error.code === 'ENOENT' || error.code === 'ECONNREFUSED' ? 'no shim listens there' : error.message),
    );
    req.end();
  });
}
