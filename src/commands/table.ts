/**
 * @param rows cells; the first row says how many columns there are
 * @returns the rows as lines, each column as wide as its widest cell
 */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) => `${alignRow(row, widths)}\n`).join('');
}

/**
 * @param cells of one line
 * @param widths characters that each column has at least
 * @returns the line, without its newline
 */
export function alignRow(cells: readonly string[], widths: readonly number[]): string {
  return cells
    .map((cell, column) => cell.padEnd(widths[column] ?? 0))
    .join('  ')
    .trimEnd();
}
