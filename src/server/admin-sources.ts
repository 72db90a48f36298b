/** What the admin listener of a running shim asks it. */
import type { Config } from '../config/config.ts';
import type { HttpProxy } from '../proxy/http.ts';
import type { SocketProxy } from '../proxy/websocket.ts';
import { createAdminListener, type AdminListener, type AdminParts } from './admin.ts';
import type { ProgramFacts, RunningObservers } from './observers.ts';
import type { ReloadState } from './reload-state.ts';
import type { Serving } from './serving.ts';

/** The shim, as far as it is asked. */
export interface AdminSources extends Pick<AdminParts, 'health'>, Pick<AdminParts['tls'], 'now' | 'randomId'> {
  readonly program: ProgramFacts | undefined;
  readonly observers: RunningObservers;
  readonly serving: Serving;
  readonly proxy: HttpProxy;
  readonly sockets: SocketProxy;
  readonly reload: ReloadState;
}

/**
 * @param config of the start
 * @param shim what is asked
 * @returns the listener, where one is configured
 */
export function openAdmin({ admin: config }: Config, shim: AdminSources): AdminListener | undefined {
  const { program, serving, proxy, sockets, reload, health, now, randomId } = shim;
  const { recent, metrics, logger } = shim.observers;
  if (!config || !recent) return undefined;
  return createAdminListener({
    config,
    health,
    metrics,
    status: {
      program: {
        version: program?.version ?? 'unknown',
        node: program?.node ?? 'unknown',
        startedMs: reload.part.takenMs,
      },
      config: serving.config,
      recent,
      open: () => ({ ...proxy.open(), sockets: sockets.open() }),
      eachOpen(visit) {
        proxy.eachOpen((caller, streams) => visit(caller, streams ? 'stream' : 'request'));
        sockets.eachOpen((caller) => visit(caller, 'socket'));
      },
      reload: () => reload.part,
      providers: serving.providers,
      now,
    },
    wrongToken: (peer) => logger.warn({ listener: 'admin', peer }, 'a wrong admin token was shown'),
    tls: {
      randomId,
      now,
      done: () => undefined,
      shutOut: () => undefined,
      failed: (failure) => logger.info({ listener: 'admin', ...failure }, 'tls handshake failed'),
    },
  });
}
