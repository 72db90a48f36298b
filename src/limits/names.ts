/** By which name requests are counted. */

/** Of one shim or issuer, in a day: each has windows of its own in memory. */
const MOST_NAMES = 1_000;
const DAY_MS = 86_400_000;

/**
 * Callers of another shim (`shim/name`) or of an issuer (`issuer:name`) are as many as that says: what is beyond a
 * bound shares one count, so that new names give neither new budgets nor fill the memory.
 *
 * @param now milliseconds, from any zero, never going back
 * @returns the function that gives the name to count a caller by
 */
export function createCountedNames(now: () => number = () => performance.now()): (caller: string) => string {
  const namers = new Map<string, Set<string>>();
  let since = now();
  return (caller) => {
    const end = caller.search(/[/:]/);
    if (end < 0) return caller;
    if (now() - since >= DAY_MS) {
      namers.clear();
      since = now();
    }
    const namer = caller.slice(0, end + 1);
    let names = namers.get(namer);
    if (!names) namers.set(namer, (names = new Set()));
    if (names.size < MOST_NAMES) names.add(caller);
    return names.has(caller) ? caller : namer;
  };
}
