/** Durations, sizes and dates as people write them in the configuration. */

const MILLISECONDS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const BYTES = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 } as const;

/** A timer of Node holds no more than this; a longer one would fire at once. */
const LONGEST_TIMER = 2 ** 31 - 1;

export const DURATION = /^(\d{1,9})(ms|s|m|h|d)$/;
export const SIZE = /^(\d{1,9})(B|KiB|MiB|GiB)$/;

/**
 * @param text `500ms`, `15s`, `2m`, `1h`, `90d`
 * @returns milliseconds, or `undefined` when it is no duration
 */
export function parseDuration(text: string): number | undefined {
  const [, amount, unit] = DURATION.exec(text) ?? [];
  return unit === undefined ? undefined : Number(amount) * MILLISECONDS[unit as keyof typeof MILLISECONDS];
}

/**
 * @param milliseconds a parsed duration
 * @returns whether a timer can wait so long (24 days)
 */
export function fitsTimer(milliseconds: number): boolean {
  return milliseconds <= LONGEST_TIMER;
}

/**
 * @param text `512KiB`, `20MiB`
 * @returns bytes, or `undefined` when it is no size
 */
export function parseSize(text: string): number | undefined {
  const [, amount, unit] = SIZE.exec(text) ?? [];
  return unit === undefined ? undefined : Number(amount) * BYTES[unit as keyof typeof BYTES];
}

const DATE = /^(\d{4})-(\d{2})-(\d{2})(T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(?:Z|[+-]\d{2}:\d{2}))?$/;

/**
 * A date alone is a whole day in UTC: it starts with its first millisecond and has ended with the first of
 * the next. A time of day needs its zone.
 *
 * @param text `2027-01-31` or `2027-01-31T12:00:00+01:00`
 * @param day which edge of a date alone is meant
 * @returns milliseconds since the epoch, or `undefined` when there is no such date
 */
export function parseInstant(text: string, day: 'start' | 'end'): number | undefined {
  const [, year, month, date, time] = DATE.exec(text) ?? [];
  if (date === undefined) return undefined;
  const start = Date.UTC(Number(year), Number(month) - 1, Number(date));
  // Date turns 30 February into 2 March; an expiry that nobody wrote must not come of it.
  if (Number.isNaN(start) || new Date(start).toISOString().slice(0, 10) !== text.slice(0, 10)) return undefined;
  if (time === undefined) return day === 'start' ? start : start + MILLISECONDS.d;
  const instant = Date.parse(text);
  return Number.isNaN(instant) ? undefined : instant;
}

/**
 * @param at a time, milliseconds since the epoch
 * @returns `2027-01-31 12:00 UTC`
 */
export function formatInstant(at: number | Date): string {
  return `${new Date(at).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}
