/** Who is told of requests: audit, metrics and spans, as far as they are configured. */
import type { Config } from '../config/config.ts';
import { createAudit } from '../observe/audit.ts';
import type { RequestLog } from '../observe/log.ts';
import { createMetrics, type MetricSources } from '../observe/metrics.ts';
import { Recent } from '../observe/recent.ts';
import { startTracing } from '../observe/tracing.ts';
import type { Observers } from '../proxy/record.ts';

/** The process, as only the program's entry knows it. */
export interface ProgramFacts {
  /** Of the shim, and of Node without its `v`. */
  readonly version: string;
  readonly node: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly usage: MetricSources['usage'];
  /** Which permission bits new files do not get, from now on. @returns those until now */
  readonly umask: (mask: number) => number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** The observers, and their end. */
export interface RunningObservers extends Observers {
  /** Writes and sends what waits; two seconds at most. */
  close(): Promise<void>;
}

/**
 * @param config the configuration of the start
 * @param log where request lines go
 * @param facts the process; without it there are neither metrics nor spans
 * @param sources what metrics ask at each scrape
 * @returns the observers
 * @throws AuditError when the audit file cannot be opened
 */
export async function startObservers(
  config: Config,
  log: RequestLog,
  facts: ProgramFacts | undefined,
  sources: Pick<MetricSources, 'open' | 'pool' | 'limitStore' | 'certificates' | 'providers'>,
): Promise<RunningObservers> {
  const { logger, request } = log;
  const audit = config.audit && (await createAudit(config.audit, (message) => logger.warn(message)));
  const address = config.listen.address;
  const server = 'socket' in address ? { address: address.socket } : { address: address.host, port: address.port };
  const scheme = config.listen.tls ? 'https' : 'http';
  const tracing = facts && (await startTracing({ ...facts, logger, server: { scheme, ...server } }));
  const metrics =
    facts &&
    createMetrics({
      version: facts.version,
      node: facts.node,
      startedMs: facts.now(),
      sources: { ...sources, usage: facts.usage, ...(audit && { audit: () => audit }) },
    });
  return {
    logger,
    request,
    audit,
    tracing,
    metrics,
    recent: config.admin && new Recent(facts?.now ?? Date.now),
    async close() {
      await Promise.all([audit?.close(), tracing?.close()]);
    },
  };
}
