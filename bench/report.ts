/** The report as tables of Markdown, ratios first. */
import { generator } from './load.ts';
import { machine, versions } from './machine.ts';
import { median } from './median.ts';
import { MISSING, PROXIES, type Side } from './proxies.ts';
import { byRound, type Plan, type Row, type Spread } from './rows.ts';
import { table } from './table.ts';
import { TARGETS } from './targets.ts';

export interface Report {
  readonly date: string;
  readonly plan: Plan;
  /** Load average of the machine before and after. */
  readonly load: readonly [number, number];
  readonly rows: readonly Row[];
}

const SIDES: readonly Side[] = ['direct', ...PROXIES];

/**
 * @param report all figures
 * @returns lines for people, ratios first
 */
export function formatReport({ date, plan, load, rows }: Report): string {
  const others = SIDES.filter((side) => side !== 'shim');
  const measured = TARGETS.flatMap(({ figure, ...target }) => {
    const found = figure(rows);
    return found ? [{ ...target, found }] : [];
  });
  return [
    `${date}, ${machine()}, ${versions(PROXIES)}, load by ${generator}, ${plan.rounds} rounds of ${plan.seconds} s in turns, ` +
      `load average ${load[0].toFixed(1)} before and ${load[1].toFixed(1)} after, medians.\n`,
    ...MISSING.map((name) => `**${name} IS NOT INSTALLED: its column is missing.**\n`),
    'The shim ÷ each, median of the rounds:\n',
    table(
      ['the shim ÷', ...others],
      rows.map(({ name, values }) => [
        name,
        ...others.map((side) => {
          const ratio = byRound(values.shim, values[side], (one, other) => one / other);
          return ratio ? ratio[0].toFixed(2) : '–';
        }),
      ]),
    ),
    'Must:\n',
    table(
      ['', 'must', 'seen', '(lowest – highest)', '', 'aim'],
      measured.map(({ name, unit, limit, aim, found }) => [
        name,
        limit === undefined ? '–' : `≤ ${limit} ${unit}`,
        `${short(found[0])} ${unit}`,
        range(found),
        limit === undefined ? '' : found[0] <= limit ? 'met' : '**MISSED**',
        aim === undefined ? '' : `${aim} ${unit}${found[0] <= aim ? ', met' : ''}`,
      ]),
    ),
    'The figures themselves:\n',
    table(
      ['', 'unit', ...SIDES],
      rows.map(({ name, unit, values }) => [
        name,
        unit,
        ...SIDES.map((side) => {
          const seen = values[side];
          return seen ? short(median(seen)) : '–';
        }),
      ]),
    ),
  ].join('\n');
}

/** Three digits that count. */
export function short(value: number): string {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}

function range([, low, high]: Spread): string {
  return `${short(low)} – ${short(high)}`;
}
