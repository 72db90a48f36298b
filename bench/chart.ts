/** The chart of the report: bars in SVG, one group a row, each bar relative to the longest of its group. */
import { median } from './median.ts';
import { PROXIES } from './proxies.ts';
import { short } from './report.ts';
import type { Row } from './rows.ts';

/** By how the names of rows end. */
const SHOWN = [
  'small POST, 32 connections',
  'refused: wrong token',
  '1 MB POST',
  'SSE, 200 chunks at once',
  'SSE, 200 chunks one by one',
  'open streams, memory of each',
  'small POST at 500 a second, p99',
  'cold start (direct: an empty Node server)',
  'idle memory (direct: an empty Node server)',
];
const [BAR, STEP, HEAD, LABEL, WIDTH, LONGEST] = [12, 16, 26, 110, 640, 440];

/**
 * @param rows what was measured
 * @param caption one line below
 * @returns an SVG, readable on light and dark pages
 */
export function chart(rows: readonly Row[], caption: string): string {
  const parts: string[] = [];
  let y = 8;
  for (const row of SHOWN.flatMap((end) => rows.find(({ name }) => name.endsWith(end)) ?? [])) {
    const bars = PROXIES.flatMap((side) => {
      const seen = row.values[side];
      return seen ? [{ side, value: median(seen) }] : [];
    });
    const longest = Math.max(...bars.map(({ value }) => value));
    parts.push(`<text x="0" y="${y + 14}" font-weight="600">${row.name.replace(/ \(.*/, '')}, ${row.unit}</text>`);
    y += HEAD;
    for (const { side, value } of bars) {
      const width = Math.max(1, Math.round((value / longest) * LONGEST));
      parts.push(
        `<text x="${LABEL - 8}" y="${y + 10}" text-anchor="end">${side}</text>` +
          `<rect x="${LABEL}" y="${y}" width="${width}" height="${BAR}" rx="2" fill="${side === 'shim' ? '#2f7de1' : '#8a94a3'}"/>` +
          `<text x="${LABEL + width + 6}" y="${y + 10}">${short(value)}</text>`,
      );
      y += STEP;
    }
    y += 10;
  }
  parts.push(`<text x="0" y="${y + 12}" font-size="10">${caption}</text>`);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y + 20}" width="${WIDTH}" height="${y + 20}" font-family="system-ui, sans-serif" font-size="12" fill="#6b7685" role="img" aria-label="What the shim costs beside other proxies; shorter is better">
<title>What the shim costs beside other proxies; shorter is better</title>
${parts.join('\n')}
</svg>
`;
}
