/** How long a token lives, from the command line to the text of the configuration. */
import { parseDuration, parseInstant } from '../config/units.ts';

const DAY = 86_400_000;
/** Beyond it a date has more than four digits of a year, and is a mistake. */
const LONGEST = 100 * 365 * DAY;

/**
 * @param text `90d`, `12h`, `2027-01-31`, `2027-01-31T12:00:00Z`
 * @param now milliseconds since the epoch
 * @returns how the file says it, or why it cannot
 */
export function writtenExpiry(text: string, now: number): string | Error {
  const duration = parseDuration(text);
  if (duration !== undefined) {
    if (duration === 0 || duration > LONGEST) return new Error(`"${text}" is no time for a token to live`);
    // Whole days end with a day, as a date in the file does.
    return duration % DAY === 0 ? isoDate(now + duration) : isoSecond(now + duration);
  }
  const instant = parseInstant(text, 'end');
  if (instant === undefined)
    return new Error(`"${text}" is no date and no duration: write 90d, 2027-01-31 or 2027-01-31T12:00:00Z`);
  return instant <= now ? new Error(`${text} is past`) : text;
}

/**
 * @param text a duration, or `0`
 * @param now milliseconds since the epoch
 * @returns when the grace ends as the file says it, `undefined` for at once, or why it cannot be
 */
export function graceEnd(text: string, now: number): string | undefined | Error {
  const duration = text === '0' ? 0 : parseDuration(text);
  if (duration === undefined || duration > LONGEST) return new Error(`"${text}" is no duration: write 24h, 7d or 0`);
  return duration === 0 ? undefined : isoSecond(now + duration);
}

/** The file's times have whole seconds; rounded up, so that a grace is never shorter than it was said. */
function isoSecond(milliseconds: number): string {
  return `${new Date(Math.ceil(milliseconds / 1000) * 1000).toISOString().slice(0, 19)}Z`;
}

function isoDate(milliseconds: number): string {
  return new Date(milliseconds).toISOString().slice(0, 10);
}
