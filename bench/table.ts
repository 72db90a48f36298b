/**
 * @param head the first row
 * @param rows the others, of as many cells
 * @returns a table of Markdown that is as readable as text; all columns but the first are numbers
 */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, ...rows];
  const widths = head.map((_, column) => Math.max(3, ...lines.map((line) => (line[column] ?? '').length)));
  const text = lines.map(
    (line) => `| ${widths.map((width, column) => pad(line[column] ?? '', width, column)).join(' | ')} |`,
  );
  const rule = `| ${widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`;
  return `${[text[0], rule, ...text.slice(1)].join('\n')}\n`;
}

function pad(cell: string, width: number, column: number): string {
  return column === 0 ? cell.padEnd(width) : cell.padStart(width);
}
