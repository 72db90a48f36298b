/** `auth-shim demo`. */
import { runDemo } from '../demo/demo.ts';
import { createLog } from '../observe/log.ts';
import type { World } from './world.ts';

/**
 * @param world streams and signals
 * @param options `keep`: stay up until a signal, for an SDK to be pointed at
 * @returns 0 where the demo showed what it promises, 1 otherwise
 */
export async function runDemoCommand(world: World, options: { readonly keep: boolean }): Promise<number> {
  const log = await createLog(2, world.isTerminal);
  if (!options.keep) log.logger.level = 'silent';
  try {
    const demo = await runDemo(world.stdout, log);
    if (options.keep) {
      world.stdout('\nKept running; Ctrl-C ends it. For an OpenAI SDK:\n\n');
      world.stdout(`export OPENAI_BASE_URL=${demo.baseUrl}\nexport OPENAI_API_KEY=${demo.token}\n`);
      await world.nextSignal();
    }
    await demo.stop();
    return 0;
  } catch (error) {
    world.stderr(`${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  } finally {
    await log.flush();
  }
}
