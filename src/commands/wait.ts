/** `auth-shim wait`: until the shim is ready, with a limit. For start scripts, and the health check of a container. */
import { parseDuration } from '../config/units.ts';
import { request } from '../proxy/node-http.ts';
import { loadOrTell } from './config-world.ts';
import { EXIT } from './exit.ts';
import type { World } from './world.ts';

const RETRY_MS = 200;
const ANSWER_MS = 6_000;

export interface WaitOptions {
  readonly config: string;
  /** How long at most: `60s`, `2m`. */
  readonly timeout: string;
  /** Be content with a shim that lives, whatever the gateway does. */
  readonly live: boolean;
}

/**
 * Asks the admin listener of the configuration again and again.
 *
 * @param world streams, environment, clock
 * @param options what the command line says
 * @returns 0 once it is ready, 1 when the time is over, 2 for a wrong argument, 78 for a configuration that cannot run
 */
export async function runWait(world: World, options: WaitOptions): Promise<number> {
  const limit = parseDuration(options.timeout);
  if (limit === undefined) {
    world.stderr(`"${options.timeout}" is no duration: write 60s or 2m\n`);
    return EXIT.usage;
  }
  const loaded = await loadOrTell(world, options.config);
  if (!loaded) return EXIT.config;
  const { admin } = loaded.config;
  if (!admin) {
    world.stderr(`${options.config} has no admin listener to ask: add "admin: {}"\n`);
    return EXIT.usage;
  }
  const deadline = world.now() + limit;
  let last: string;
  do {
    last = await ask(admin, options.live ? '/livez' : '/readyz');
    if (last === '') return EXIT.ok;
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  } while (world.now() < deadline);
  world.stderr(`not ${options.live ? 'live' : 'ready'} after ${options.timeout}: ${last}\n`);
  return EXIT.no;
}

/** @returns nothing for a 200, otherwise why not */
function ask({ host, port }: { host: string; port: number }, path: string): Promise<string> {
  return new Promise((resolve) => {
    const req = request({ host, port, path, timeout: ANSWER_MS, agent: false }, (res) => {
      let text = '';
      res.setEncoding('utf8').on('data', (part: string) => (text += part));
      res.on('end', () => resolve(res.statusCode === 200 ? '' : text.trim()));
      res.on('error', (error) => resolve(error.message));
    });
    req.on('timeout', () => req.destroy(new Error('no answer')));
    req.on('error', (error) => resolve(error.message));
    req.end();
  });
}
