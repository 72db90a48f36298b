/** What the status page is told, part by part. Times are milliseconds since the epoch. The page imports these types. */
import type { HourView } from '../observe/last-hour.ts';
import type { RecentCaller, RecentRefusal, ToldRelease } from '../observe/recent.ts';

export interface HealthPart {
  /** The checks of `/readyz?verbose`; `undefined` until they are known. */
  readonly checks: readonly { readonly name: string; readonly ok: boolean; readonly detail?: string }[] | undefined;
  readonly open: { readonly requests: number; readonly streams: number; readonly sockets: number };
}

export interface AboutPart {
  readonly version: string;
  readonly node: string;
  readonly startedMs: number;
  readonly gateway: { readonly origin: string; readonly mode: string; readonly release: ToldRelease | undefined };
}

/** A caller of the configuration, or of an issuer where it was seen. */
export interface CallerRow extends Partial<RecentCaller> {
  readonly name: string;
  readonly open: number;
  readonly streams: number;
  readonly sockets: number;
}

export interface CallersPart {
  readonly rows: readonly CallerRow[];
  /** How many more there are. */
  readonly more: number;
}

export interface TokenRow {
  /** First 12 hex digits of its hash. */
  readonly id: string;
  readonly caller: string;
  readonly expires: number;
}

export interface RefusalRow extends RecentRefusal {
  /** The words of the error table, where the log has no reason. */
  readonly words: string;
  readonly advice: string;
}

export interface ReloadPart {
  /** When the running configuration was taken, and when the last attempt was. */
  readonly takenMs: number;
  readonly triedMs: number;
  /** What was wrong with it, as the log has it; empty where it was taken. */
  readonly faults: readonly string[];
  /** Keys whose change waits for the next start. */
  readonly waiting: readonly string[];
}

export interface CertificateRow {
  /** Where the configuration names it. */
  readonly key: string;
  readonly notAfter: number;
}

/** An identity provider that is asked. */
export interface ProviderRow {
  readonly name: string;
  readonly heardMs: number | undefined;
  readonly failing: boolean;
}

/** By the names of the events that carry them. */
export interface StatusParts {
  readonly about: AboutPart;
  readonly health: HealthPart;
  readonly callers: CallersPart;
  /** Those that end within 14 days, and those that have. */
  readonly tokens: readonly TokenRow[];
  /** The newest first. */
  readonly refusals: readonly RefusalRow[];
  readonly reload: ReloadPart;
  readonly certificates: readonly CertificateRow[];
  readonly providers: readonly ProviderRow[];
  readonly hour: HourView;
}
