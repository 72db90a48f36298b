/** Collects what the status page is told. Nothing of a credential but its id is in it. */
import type { Config } from '../config/config.ts';
import { SOON } from '../config/warnings.ts';
import { ERRORS } from '../errors.ts';
import type { Recent } from '../observe/recent.ts';
import { ADVICE } from './advice.ts';
import type { AboutPart, CallerRow, CallersPart, HealthPart, ProviderRow, ReloadPart, StatusParts } from './state.ts';

/** A page with more rows helps nobody. */
const MOST_ROWS = 200;

/** Where it is found. */
export interface StatusSources {
  readonly program: Pick<AboutPart, 'version' | 'node' | 'startedMs'>;
  readonly config: () => Config;
  readonly recent: Recent;
  readonly open: () => HealthPart['open'];
  /** Calls back for everything open that has a caller. */
  readonly eachOpen: (visit: (caller: string, kind: 'request' | 'stream' | 'socket') => void) => void;
  readonly reload: () => ReloadPart;
  readonly providers: () => readonly ProviderRow[];
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/**
 * @param sources where it is found
 * @param checks of readiness, where they are known
 * @returns what is so at this moment
 */
export function gather(sources: StatusSources, checks: HealthPart['checks']): StatusParts {
  const { recent, program } = sources;
  const config = sources.config();
  const { origin, auth } = config.gateway;
  return {
    about: { ...program, gateway: { origin, mode: auth.mode, release: recent.release } },
    health: { checks, open: sources.open() },
    callers: callersOf(sources),
    tokens: config.callers
      .flatMap(({ name: caller, tokens }) =>
        tokens.flatMap(({ id, expires }) => (expires === undefined ? [] : [{ id, caller, expires }])),
      )
      .filter(({ expires }) => expires - sources.now() <= SOON)
      .sort((one, other) => one.expires - other.expires)
      .slice(0, MOST_ROWS),
    refusals: recent.refusals().map((refusal) => {
      const { code, reason } = refusal;
      return { ...refusal, words: reason ?? ERRORS[code].message, advice: ADVICE[code] };
    }),
    reload: sources.reload(),
    certificates: config.certificates,
    providers: sources.providers(),
    hour: recent.hour(),
  };
}

/** Those who are there first, then those who were last seen. */
function callersOf({ config, recent, eachOpen }: StatusSources): CallersPart {
  const rows = new Map<string, CallerRow & { open: number; streams: number; sockets: number }>();
  const rowOf = (name: string) => {
    const row = rows.get(name) ?? { name, open: 0, streams: 0, sockets: 0 };
    rows.set(name, row);
    return row;
  };
  eachOpen((name, kind) => {
    const row = rowOf(name);
    if (kind === 'socket') row.sockets += 1;
    else row.open += 1;
    if (kind === 'stream') row.streams += 1;
  });
  for (const [name, seen] of recent.callers()) rows.set(name, { ...rowOf(name), ...seen });
  for (const { name } of config().callers) rowOf(name);
  const rank = ({ open, sockets, seenMs = 0 }: CallerRow): number => (open + sockets > 0 ? Infinity : seenMs);
  // By name among those who are there, so that rows do not change places with every request.
  const sorted = [...rows.values()].sort((one, other) => {
    const [a, b] = [rank(one), rank(other)];
    return a === b ? one.name.localeCompare(other.name) : b - a;
  });
  return { rows: sorted.slice(0, MOST_ROWS), more: Math.max(0, sorted.length - MOST_ROWS) };
}
