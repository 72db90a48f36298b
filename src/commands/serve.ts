/** `auth-shim serve`: runs the shim until a signal ends it. */
import { ConfigError, type Config } from '../config/config.ts';
import { AuditError } from '../observe/audit.ts';
import { createLog } from '../observe/log.ts';
import { warnOfConnections } from '../server/descriptors.ts';
import { ListenError } from '../server/listen-fault.ts';
import { startReloader, type Loading } from '../server/reload.ts';
import { startShim } from '../server/shim.ts';
import { loadWatched } from './config-world.ts';
import { EXIT } from './exit.ts';
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
  const { loaded, files } = await loadWatched(world, options.config, 'looked up');
  if (loaded instanceof ConfigError) {
    world.stderr(`${loaded.message}\n`);
    return EXIT.config;
  }
  const { config, warnings } = loaded;
  const log = await createLog(2, options.pretty ?? world.isTerminal);
  const { logger } = log;
  try {
    for (const { path, message } of warnings) logger.warn({ path }, message);
    const shim = await startShim(config, log, { program: world });
    warnOfConnections(shim.connections, config, logger);
    const { url, adminUrl: admin, probesUrl: probes } = shim;
    // What a request throws ends that request; this is for what is left. One fault must not end everybody's requests,
    // or whoever can bring it about again keeps the shim down.
    world.onFault((err) => logger.fatal({ err }, 'unexpected error outside every request: it runs on'));
    // A revocation does not wait for a resolver, and not for a certificate.
    const load = (): Promise<Loading> => loadWatched(world, options.config, 'as they are', shim.config());
    const reloader = startReloader({ shim, logger, load, files, warnings });
    // Whoever reads that it listens may send a signal at once.
    world.onHangup(() => {
      shim.reopen();
      void reloader.reload('SIGHUP');
    });
    const signal = world.nextSignal();
    logger.info({ url, admin, probes, ...summary(config), connections: shim.connections }, 'listening');
    void log.flush();

    const cause = await Promise.race([signal, shim.asked.then(() => 'auth-shim shutdown')]);
    logger.info({ cause }, 'shutting down');
    const drained = shim.drain().then(() => EXIT.ok);
    const code = await Promise.race([drained, world.nextSignal().then(() => EXIT.no)]);
    // Until here: a token that is revoked while requests are still taken, or run, is revoked.
    reloader.stop();
    if (code !== EXIT.ok) await shim.stop();
    logger.info('stopped');
    return code;
  } catch (error) {
    if (error instanceof AuditError) {
      logger.fatal(error.message);
      return EXIT.config;
    }
    if (!(error instanceof ListenError)) throw error;
    logger.fatal(`cannot listen: ${error.message}`);
    return EXIT.no;
  } finally {
    await log.flush();
    world.leave();
  }
}

/** One line that says what runs, and every danger that is switched on. */
function summary(config: Config): Record<string, unknown> {
  const dangers = [
    ...(config.listen.unsafeListenPlaintext ? ['unsafeListenPlaintext: tokens cross the network unencrypted'] : []),
    ...(config.admin?.unsafeListenPlaintext
      ? ['admin.unsafeListenPlaintext: its token crosses the network unencrypted']
      : []),
    ...(config.gateway.auth.mode === 'none' ? ['gateway mode none: every local process is the gateway owner'] : []),
  ];
  return {
    gateway: config.gateway.origin,
    mode: config.gateway.auth.mode,
    callers: config.callers.length,
    ...(config.introspection && { introspection: config.introspection.name }),
    ...(config.issuers.length > 0 && { issuers: config.issuers.map(({ name }) => name) }),
    ...(dangers.length > 0 ? { dangers } : {}),
  };
}
