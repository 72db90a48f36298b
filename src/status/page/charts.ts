/** The charts of the last hour. Their colours are those of the page, and change with it. */
import uPlot from 'uplot';
import type { StatusParts } from '../state.ts';
import { count } from './words.ts';

type Hour = StatusParts['hour'];
type Name = 'requests' | 'latency' | 'refusals';

/** Steps of the last minute. */
const MINUTE = 6;
const charts = new Map<Name, uPlot>();

/** @param hour draws it */
export function showHour(hour: Hour): void {
  const x = hour.requests.map((_, index) => (hour.beginMs + index * hour.stepMs) / 1_000);
  draw('requests', [x, [...hour.requests]]);
  draw('latency', [x, [...hour.p50], [...hour.p99]]);
  draw('refusals', [x, [...hour.refusals]]);
  const [requests, refusals] = [sum(hour.requests), sum(hour.refusals)];
  say('requests', `${count(requests, 'request')} in the last minute`);
  say('refusals', `${count(refusals, 'refusal')} in the last minute`);
  const [p50, p99] = [last(hour.p50), last(hour.p99)];
  say(
    'latency',
    p50 === undefined || p99 === undefined ? 'nothing in the last minute' : `p50 ${time(p50)}, p99 ${time(p99)}`,
  );
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  for (const chart of charts.values()) chart.redraw();
});

function draw(name: Name, data: uPlot.AlignedData): void {
  const known = charts.get(name);
  if (known) {
    known.setData(data);
    return;
  }
  const place = document.getElementById(`${name}-chart`) as HTMLElement;
  const size = (): { width: number; height: number } => ({ width: place.clientWidth, height: place.clientHeight });
  const chart = new uPlot({ ...size(), ...(name === 'latency' ? LATENCY : countsOf(name)), ...SHARED }, data, place);
  charts.set(name, chart);
  new ResizeObserver(() => chart.setSize(size())).observe(place);
}

const SHARED = {
  legend: { show: false },
  cursor: { show: false },
  padding: [8, 8, 0, 0] as uPlot.Padding,
};

const POINTS: uPlot.Series.Points = { show: false, size: 4, filter: alone };
/** Between two lines of a grid of counts. */
const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5];

const LATENCY = {
  scales: { x: { range: hour }, y: { distr: 3, range: wholeDecades } },
  axes: [timeAxis(), { ...axis(), size: 64, splits: decades, values: (_, ticks) => ticks.map(time) }],
  series: [{}, { ...line('--first'), points: POINTS }, { ...line('--second'), points: POINTS }],
} satisfies Partial<uPlot.Options>;

function countsOf(name: 'requests' | 'refusals'): Pick<uPlot.Options, 'scales' | 'axes' | 'series'> {
  const colour = name === 'requests' ? '--first' : '--bad';
  const bars = uPlot.paths.bars?.({ size: [0.9, 20, 2], align: 1 });
  return {
    // From nothing up, and never so close that one event looks like many.
    scales: { x: { range: hour }, y: { range: (_, __, most) => [0, Math.max(5, (most ?? 0) * 1.1)] } },
    axes: [timeAxis(), { ...axis(), size: 52, incrs: WHOLE }],
    series: [{}, { ...line(colour), fill: () => colourOf(colour), paths: bars, points: { show: false } }],
  };
}

/** The last step has its room as well. Seconds. */
function hour(_: uPlot, first: number, last: number): [number, number] {
  return [first, last + 10];
}

function decades(_: uPlot, __: number, least: number, most: number): number[] {
  const first = Math.round(Math.log10(least));
  return Array.from({ length: Math.round(Math.log10(most)) - first + 1 }, (___, index) => 10 ** (first + index));
}

function wholeDecades(_: uPlot, least: number | null, most: number | null): [number, number] {
  return [10 ** Math.floor(Math.log10(least ?? 1)), 10 ** Math.ceil(Math.log10((most ?? 900) * 1.1))];
}

function line(colour: string): uPlot.Series {
  return { stroke: () => colourOf(colour), width: 1.5 };
}

function axis(): uPlot.Axis {
  const stroke = (): string => colourOf('--line');
  return {
    stroke: () => colourOf('--muted'),
    font: '12px system-ui, sans-serif',
    grid: { stroke, width: 1 },
    ticks: { stroke, width: 1 },
  };
}

function timeAxis(): uPlot.Axis {
  const clock = (tick: number): string => new Date(tick * 1_000).toTimeString().slice(0, 5);
  return { ...axis(), size: 28, space: 60, values: (_, ticks) => ticks.map(clock) };
}

function colourOf(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function say(name: Name, words: string): void {
  const place = document.getElementById(`${name}-now`) as HTMLElement;
  if (place.textContent !== words) place.textContent = words;
}

function sum(values: readonly number[]): number {
  return values.slice(-MINUTE).reduce((total, value) => total + value, 0);
}

function last(values: readonly (number | null)[]): number | undefined {
  return values.slice(-MINUTE).findLast((value) => value !== null) ?? undefined;
}

/** A step by itself makes no line: it is drawn as a point. */
function alone({ data }: uPlot, series: number): number[] {
  const values = data[series] ?? [];
  return [...values.keys()].filter((at) => values[at] != null && values[at - 1] == null && values[at + 1] == null);
}

/** Milliseconds as people say them. */
function time(ms: number): string {
  if (ms < 1_000) return `${Number(ms.toPrecision(2))} ms`;
  return `${Number((ms / 1_000).toPrecision(2))} s`;
}
