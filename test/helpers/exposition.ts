/** Metrics as a scraper reads them: a strict parser of the text format, and metrics of which every one has a value. */
import { createMetrics, type FinishedRequest, type MetricOptions, type Metrics } from '../../src/observe/metrics.ts';

export interface ParsedSample {
  /** With the suffix of a histogram. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface ParsedFamily {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly samples: ParsedSample[];
}

const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"(,|$)/y;

/**
 * Parses the text format 0.0.4 and throws for whatever is not in it: each family once, HELP and TYPE first, no sample
 * twice, no sample of another family, cumulative buckets up to `+Inf`, which is the count.
 */
export function parseExposition(text: string): ReadonlyMap<string, ParsedFamily> {
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  const families = new Map<string, ParsedFamily>();
  const seen = new Set<string>();
  let family: { name: string; help: string; type: string; samples: ParsedSample[] } | undefined;
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const [, kind, about = '', words = ''] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (kind === 'HELP') {
      if (families.has(about)) throw new Error(`${about} comes twice`);
      family = { name: about, help: words, type: '', samples: [] };
      families.set(about, family);
    } else if (kind === 'TYPE') {
      if (family?.name !== about || family.type !== '') throw new Error(`a TYPE out of place: ${line}`);
      if (!['counter', 'gauge', 'histogram'].includes(words)) throw new Error(`no such type: ${line}`);
      family.type = words;
    } else {
      const [, name = '', labelText = '', value = ''] = SAMPLE.exec(line) ?? [];
      if (!family || family.type === '') throw new Error(`a sample before its TYPE: ${line}`);
      const suffixes = family.type === 'histogram' ? ['_bucket', '_sum', '_count'] : [''];
      if (!suffixes.some((suffix) => name === `${family?.name}${suffix}`)) throw new Error(`no sample: ${line}`);
      if (!/^(?:-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|[+-]Inf|NaN)$/.test(value)) throw new Error(`no number: ${line}`);
      const labels = parseLabels(labelText);
      const series = `${name}${JSON.stringify(Object.entries(labels).map(String).sort())}`;
      if (seen.has(series)) throw new Error(`this sample comes twice: ${line}`);
      seen.add(series);
      family.samples.push({ name, labels, value: Number(value) });
    }
  }
  for (const one of families.values()) if (one.type === 'histogram') checkBuckets(one);
  return families;
}

function parseLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  let at = 0;
  while (at < text.length) {
    LABEL.lastIndex = at;
    const [, name = '', value = ''] = LABEL.exec(text) ?? [];
    if (name === '' || name in labels) throw new Error(`labels: ${text}`);
    labels[name] = value.replace(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped));
    at = LABEL.lastIndex;
  }
  return labels;
}

function checkBuckets({ name, samples }: ParsedFamily): void {
  const bySeries = new Map<string, { bounds: number[]; counts: number[]; count?: number; sum?: number }>();
  for (const { name: full, labels, value } of samples) {
    const { le, ...rest } = labels;
    const key = JSON.stringify(rest);
    const series = bySeries.get(key) ?? { bounds: [], counts: [] };
    bySeries.set(key, series);
    if (full.endsWith('_bucket')) {
      series.bounds.push(le === '+Inf' ? Infinity : Number(le));
      series.counts.push(value);
    } else if (full.endsWith('_sum')) series.sum = value;
    else series.count = value;
  }
  for (const [key, { bounds, counts, count, sum }] of bySeries) {
    const rising = (list: readonly number[], least: number): boolean =>
      list.every((one, at) => at === 0 || one - (list[at - 1] as number) >= least);
    if (bounds.at(-1) !== Infinity || !rising(bounds, 1e-9)) throw new Error(`${name}${key}: bounds ${bounds.join()}`);
    if (!rising(counts, 0) || counts.at(-1) !== count) throw new Error(`${name}${key}: counts ${counts.join()}`);
    if (sum === undefined) throw new Error(`${name}${key}: no sum`);
  }
}

export const STARTED_MS = 1_795_000_000_500;

/** Every source answers. */
export const SOURCES: MetricOptions['sources'] = {
  providers: () => [
    { name: 'down', heardMs: 1_795_000_001_000, failing: true },
    { name: 'up', heardMs: 1_795_000_002_500, failing: false },
    { name: 'not asked', heardMs: undefined, failing: false },
  ],
  open: () => ({ requests: 5, sockets: 2, streams: 3 }),
  pool: () => ({ connected: 7, free: 2, running: 5, pending: 1 }),
  usage: () => ({
    cpu: { user: 1_500_000, system: 250_000 },
    memory: { rss: 70_000_000, heapTotal: 30_000_000, heapUsed: 20_000_000, external: 4_000_000, arrayBuffers: 1_000 },
  }),
  audit: () => ({ dropped: 4, healthy: true }),
  limitStore: () => ({ failures: 6, up: false }),
  certificates: () => [{ key: 'listen.tls.cert', notAfter: STARTED_MS + 1_000 }],
};

/** A request that was forwarded and answered, but for what is said otherwise. */
export function finishedRequest(more: Partial<FinishedRequest> = {}): FinishedRequest {
  return {
    caller: 'agentpage',
    route: '/v1/responses',
    status: 200,
    code: undefined,
    dropped: undefined,
    ttfb: 20,
    ms: 300,
    in: 100,
    out: 2_000,
    end: 'done',
    ...more,
  };
}

/** Metrics of which every one has a sample. */
export function populatedMetrics(): Metrics {
  const metrics = createMetrics({ version: '1.2.3', node: '24.21.0', startedMs: STARTED_MS, sources: SOURCES });
  metrics.finished(finishedRequest(), true);
  return metrics;
}
