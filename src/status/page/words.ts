/** Times and texts as people read them. */

const SECOND = 1_000;
const HOUR = 3_600_000;

/** How far the shim's clock is ahead of this one, in milliseconds. */
let ahead = 0;

/** @param now the shim's clock, milliseconds since the epoch */
export function setClock(now: number): void {
  ahead = now - Date.now();
}

/** @returns whole hours until then by the shim's clock, below zero where it is over */
export function hoursUntil(at: number): number {
  return Math.floor((at - Date.now() - ahead) / HOUR);
}

/** @returns `2 minutes ago` */
export function age(since: number): string {
  const seconds = Math.max(0, Math.round((Date.now() + ahead - since) / SECOND));
  if (seconds < 5) return 'just now';
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3_600) return `${count(Math.floor(seconds / 60), 'minute')} ago`;
  if (seconds < 86_400) return `${count(Math.floor(seconds / 3_600), 'hour')} ago`;
  return `${count(Math.floor(seconds / 86_400), 'day')} ago`;
}

/** @returns a time in the zone of the reader: `2026-12-01 14:03:22` */
export function instant(at: number): string {
  const date = new Date(at);
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-');
  return `${day} ${[date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':')}`;
}

/** @returns `1 day`, `2 days` */
export function count(value: number, what: string): string {
  return `${value} ${what}${value === 1 ? '' : 's'}`;
}

/** @returns the text with what cannot be seen, or turns the direction of others, written out */
export function visible(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\u2028\u2029]/gu,
    (one) => `\\u${(one.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  );
}
