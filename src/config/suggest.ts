/** "Did you mean": the nearest of a few known names. */

/**
 * @param word what somebody wrote
 * @param known the names that exist
 * @returns ` (did you mean "…"?)`, or nothing when no name is near
 */
export function didYouMean(word: string, known: readonly string[]): string {
  // A third of the letters wrong is another word; capitals and a missing prefix are no mistake of letters.
  let best: { name: string; distance: number } | undefined;
  for (const name of known) {
    const distance = Math.min(
      editDistance(word.toLowerCase(), name.toLowerCase()),
      name.endsWith(`.${word}`) ? 1 : Infinity,
    );
    if (distance <= Math.max(1, Math.floor(name.length / 3)) && distance < (best?.distance ?? Infinity)) {
      best = { name, distance };
    }
  }
  return best ? ` (did you mean "${best.name}"?)` : '';
}

/** Optimal string alignment: insertions, deletions, substitutions, and swaps of neighbours, one each. */
function editDistance(a: string, b: string): number {
  // Nobody mistypes a long name into another; the table below is quadratic.
  if (Math.abs(a.length - b.length) > 8 || a.length > 64) return Infinity;
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, column) => column)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      row.push(
        Math.min(
          (rows[i - 1]?.[j] ?? Infinity) + 1,
          (row[j - 1] ?? Infinity) + 1,
          (rows[i - 1]?.[j - 1] ?? Infinity) + (a[i - 1] === b[j - 1] ? 0 : 1),
          swap ? (rows[i - 2]?.[j - 2] ?? Infinity) + 1 : Infinity,
        ),
      );
    }
    rows.push(row);
  }
  return rows[a.length]?.[b.length] ?? Infinity;
}
