/** The report as a table, ratios first. */
import type { CpuResult, LatencyResult, Plan } from './cost.ts';
import type { StartResult, StreamsCost } from './life.ts';
import { PROXIES } from './proxies.ts';

export interface Report {
  readonly node: string;
  readonly generator: string;
  readonly plan: Plan & { readonly starts: number; readonly streams: number };
  readonly start: StartResult;
  readonly cpu: readonly CpuResult[];
  readonly latency: LatencyResult;
  readonly streams: readonly StreamsCost[];
}

/** What the shim is held to. */
const RATIO_LIMITS: Readonly<Record<string, number>> = {
  'small POST': 0.65,
  'SSE, 200 chunks at once': 0.8,
  'SSE, 200 chunks one by one': 0.8,
};
const ALL_ON = 1.15;
const START_MS = 300;
const RESIDENT_MB = 90;

/**
 * @param report all figures
 * @returns lines for people
 */
export function formatReport(report: Report): string {
  const { start, cpu, latency, streams, plan } = report;
  return [
    `Node ${report.node}, load by ${report.generator}, ${plan.rounds} rounds of ${plan.seconds} s, medians\n`,
    table(
      ['CPU per request ÷ http-proxy-3', 'shim', '(lowest – highest)', 'target', '', 'bare undici'],
      cpu.map(({ row, ratio }) => {
        const [middle, low, high] = ratio.shim;
        const limit = RATIO_LIMITS[row];
        const range = `${fixed(low, 2)} – ${fixed(high, 2)}`;
        return [row, fixed(middle, 2), range, ...judged(middle, limit, 2), fixed(ratio['bare undici'][0], 2)];
      }),
    ),
    table(
      ['CPU with all on ÷ the shim alone', '', '(lowest – highest)', 'target', ''],
      cpu.map(({ row, allOn: [middle, low, high] }) => {
        return [row, fixed(middle, 2), `${fixed(low, 2)} – ${fixed(high, 2)}`, ...judged(middle, ALL_ON, 2)];
      }),
    ),
    table(
      ['the shim', '', 'target', '', 'beside it'],
      [
        [
          'start, ms',
          fixed(start.shim.ms),
          ...judged(start.shim.ms, START_MS),
          `empty Node server ${fixed(start.node.ms)}`,
        ],
        [
          'resident memory idle, MB',
          mb(start.shim.resident),
          ...judged(start.shim.resident / 2 ** 20, RESIDENT_MB),
          `empty Node server ${mb(start.node.resident)}`,
        ],
      ],
    ),
    table(
      ['open event streams', 'complete', 'errors', 'MB before', 'MB open', 'KB each'],
      streams.map((s) => [
        s.proxy,
        `${s.complete} of ${s.count}`,
        s.errors.join('; ') || 'none',
        mb(s.idle),
        mb(s.open),
        fixed((s.open - s.idle) / 1_024 / s.count),
      ]),
    ),
    table(
      ['CPU µs per request (requests a second)', ...PROXIES],
      cpu.map(({ row, micros, perSecond }) => [
        row,
        ...PROXIES.map((name) => `${fixed(micros[name])} (${fixed(perSecond[name])})`),
      ]),
    ),
    table(
      ['latency of a small POST, one at a time, µs', 'direct', ...PROXIES],
      (['p50', 'p99'] as const).map((p) => [
        p,
        ...(['direct', ...PROXIES] as const).map((name) => fixed(latency[name][p])),
      ]),
    ),
  ].join('\n');
}

export function judged(value: number, limit: number | undefined, digits = 0): [string, string] {
  return limit === undefined ? ['', ''] : [`≤ ${fixed(limit, digits)}`, value <= limit ? 'met' : 'MISSED'];
}

export function mb(bytes: number): string {
  return fixed(bytes / 2 ** 20);
}

export function fixed(value: number, digits = 0): string {
  return value.toFixed(digits);
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)));
  const text = lines.map((line) =>
    line
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] as number) : cell.padStart(widths[column] as number),
      )
      .join('  '),
  );
  return `${text[0]}\n${'-'.repeat((text[0] as string).length)}\n${text.slice(1).join('\n')}\n`;
}
