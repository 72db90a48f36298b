/** Hot reload: a changed file or SIGHUP becomes a new configuration, or leaves the old one and says why. */
import { ConfigError, formatIssue, type ConfigIssue } from '../config/config.ts';
import type { LoadedConfig } from '../config/load.ts';
import type { FileStates } from '../config/watch.ts';
import { fileState } from '../config/watch.ts';
import type { Logger } from '../observe/log.ts';
import { warnOfConnections } from './descriptors.ts';
import type { RunningShim } from './shim.ts';

/** Files are looked at this often; one that changed must be the same twice, so that none is read half-written. */
const LOOK_MS = 250;
/** One that never rests must not keep a revocation in another from being read. */
const PATIENCE_MS = 1_000;

/** A configuration, or why there is none, and the files that it was read from as they were then. */
export interface Loading {
  readonly loaded: LoadedConfig | ConfigError;
  readonly files: FileStates;
}

/** What reload is made of. */
export interface ReloadParts {
  readonly shim: Pick<RunningShim, 'apply' | 'connections' | 'reloaded'>;
  readonly logger: Logger;
  /** Reads the configuration anew, with everything that it refers to. */
  readonly load: () => Promise<Loading>;
  /** What was said of the running configuration at start. */
  readonly warnings: LoadedConfig['warnings'];
  /** What the running configuration was read from. */
  readonly files: FileStates;
}

export interface Reloader {
  /** Reads everything anew, changed or not. Settles when it is done. */
  reload(cause: string): Promise<void>;
  stop(): void;
}

/**
 * @param parts what is reloaded, and from what
 * @returns the reloader; it looks at the files until it is stopped
 */
export function startReloader(parts: ReloadParts): Reloader {
  const { shim, logger } = parts;
  let { files } = parts;
  let before: FileStates = files;
  let busy: Promise<void> = Promise.resolve();
  let stopped = false;
  let warned: readonly string[] = parts.warnings.map(({ path, message }) => `${path}: ${message}`);
  /** When the first change was seen that was not read yet. */
  let changedAt: number | undefined;
  let timer = setTimeout(look, LOOK_MS).unref();

  return {
    reload: (cause) => (busy = busy.then(() => load(cause)).catch(unexpected)),
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };

  function look(): void {
    busy = busy
      .then(async () => {
        const now = new Map(
          await Promise.all([...files.keys()].map(async (path) => [path, await fileState(path)] as const)),
        );
        const changed = [...now].filter(([path, state]) => state !== files.get(path)).map(([path]) => path);
        const settled = changed.every((path) => now.get(path) === before.get(path));
        before = now;
        if (changed.length === 0) changedAt = undefined;
        else changedAt ??= performance.now();
        const late = changedAt !== undefined && performance.now() - changedAt >= PATIENCE_MS;
        if (changed.length > 0 && (settled || late) && !stopped) await load(changed.join(', '));
      })
      .catch(unexpected)
      .finally(() => {
        if (!stopped) timer = setTimeout(look, LOOK_MS).unref();
      });
  }

  function unexpected(error: unknown): void {
    logger.error({ err: error }, 'unexpected error: the configuration before it runs on');
    shim.reloaded('an unexpected error, see the log');
  }

  async function load(cause: string): Promise<void> {
    const { loaded, files: read } = await parts.load();
    files = before = read;
    changedAt = undefined;
    if (stopped) return;
    if (loaded instanceof ConfigError) {
      tell(loaded.issues, loaded.file);
      const count = countOf(loaded.issues);
      logger.error({ cause }, `reload failed: the configuration before it runs on (${count})`);
      const words = loaded.issues.map((issue) => formatIssue(loaded.file, issue));
      shim.reloaded(`${count}, see the log`, [], words);
      return;
    }
    const { config } = loaded;
    const bad = loaded.warnings.filter(({ kept }) => kept);
    const warnings = loaded.warnings.filter(({ kept }) => !kept);
    tell(bad);
    // Those that are known need not be told again.
    const told = new Set(warned);
    warned = warnings.map(({ path, message }) => `${path}: ${message}`);
    for (const [i, { path, message }] of warnings.entries())
      if (!told.has(warned[i] as string)) logger.warn({ path }, message);
    const waiting = await shim.apply(config);
    warnOfConnections(shim.connections, config, logger);
    if (waiting.length > 0) logger.warn({ keys: waiting }, 'these keys cannot change while it runs: restart for them');
    const callers = config.callers.length;
    if (bad.length === 0) {
      shim.reloaded(undefined, waiting);
      logger.info({ cause, callers }, 'reloaded');
    } else {
      shim.reloaded(`of the certificates alone, ${countOf(bad)}, see the log`);
      logger.error(
        { cause, callers },
        `reload failed for certificates: those before run on, the rest is new (${countOf(bad)})`,
      );
    }
  }

  function tell(issues: readonly ConfigIssue[], standard?: string): void {
    for (const { level: _, kept: __, file = standard, message, ...at } of issues)
      logger.error({ file, ...at }, message);
  }
}

function countOf({ length }: readonly ConfigIssue[]): string {
  return `${length} ${length === 1 ? 'fault' : 'faults'}`;
}
