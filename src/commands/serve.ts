/** `auth-shim serve`: runs the shim until a signal ends it. */
import { ConfigError, type Config, type ConfigIssue } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { disk } from '../config/world.ts';
import { createLog } from '../observe/log.ts';
import { startShim } from '../server/shim.ts';
import type { World } from './world.ts';

/** @property pretty lines for people; by default on a terminal */
export interface ServeOptions {
  readonly config: string;
  readonly pretty: boolean | undefined;
}

/**
 * @param world streams, environment, signals
 * @param options what the command line says
 * @returns the exit code: 0 after a drain, 1 where an address cannot be listened on or at a second signal,
 *   78 for a configuration that cannot run
 */
export async function runServe(world: World, options: ServeOptions): Promise<number> {
  let loaded: { config: Config; warnings: readonly ConfigIssue[] };
  try {
    loaded = await loadConfig(options.config, { ...disk, env: world.env, home: world.home, now: world.now() });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    world.stderr(`${error.message}\n`);
    return 78;
  }
  const { config, warnings } = loaded;
  const log = await createLog(2, options.pretty ?? world.isTerminal);
  const { logger } = log;
  try {
    for (const { path, message } of warnings) logger.warn({ path }, message);
    const shim = await startShim(config, logger);
    logger.info({ url: shim.url, admin: shim.adminUrl, ...summary(config) }, 'listening');
    log.flush();

    const signal = await world.nextSignal();
    logger.info({ signal, drain: config.drain.timeout }, 'shutting down');
    const drained = shim.drain().then(() => 0);
    const code = await Promise.race([drained, world.nextSignal().then(() => 1)]);
    if (code !== 0) await shim.stop();
    logger.info('stopped');
    return code;
  } catch (error) {
    if (!isListenError(error)) throw error;
    logger.fatal(`cannot listen: ${error.message}`);
    return 1;
  } finally {
    log.flush();
  }
}

/** One line that says what runs, and every danger that is switched on. */
function summary(config: Config): Record<string, unknown> {
  const dangers = [
    ...(config.listen.unsafeListenPlaintext ? ['unsafeListenPlaintext: tokens cross the network unencrypted'] : []),
    ...(config.gateway.auth.mode === 'none' ? ['gateway mode none: every local process is the gateway owner'] : []),
  ];
  return {
    gateway: config.gateway.origin,
    mode: config.gateway.auth.mode,
    callers: config.callers.length,
    ...(dangers.length > 0 ? { dangers } : {}),
  };
}

function isListenError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error && error.syscall === 'listen';
}

