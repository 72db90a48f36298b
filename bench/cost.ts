/** CPU and time per request. Proxies take turns round by round, so that a noisy machine is noisy for all of them. */
import { applyLoad, type Load } from './load.ts';
import { median } from './median.ts';
import type { Measured } from './process.ts';
import { PROXIES, startProxy, TOKEN, type Proxy } from './proxies.ts';

/** @property seconds how long the load of one proxy lasts in one round */
export interface Plan {
  readonly rounds: number;
  readonly seconds: number;
}

export interface Row {
  readonly name: string;
  readonly body: Readonly<Record<string, unknown>>;
  readonly connections: number;
  /** How many events make one of what is counted; without it answers are counted. */
  readonly events?: number;
}

const QUESTION = { model: 'openclaw/default', messages: [{ role: 'user', content: 'Say hello.' }] };

export const ROWS: readonly Row[] = [
  { name: 'small POST', body: QUESTION, connections: 32 },
  { name: 'SSE, 200 chunks at once', body: { ...QUESTION, stream: true, pace: -1 }, connections: 16, events: 200 },
  { name: 'SSE, 200 chunks one by one', body: { ...QUESTION, stream: true }, connections: 16, events: 200 },
  {
    name: 'SSE, 200 chunks 2 ms apart',
    body: { ...QUESTION, stream: true, pace: 2 },
    connections: 24,
    events: 200,
  },
];

/** Medians over the rounds. */
export interface CpuResult {
  readonly row: string;
  /** CPU of the proxy's process, in microseconds per request. */
  readonly micros: Readonly<Record<Proxy, number>>;
  /** The median of the rounds' ratios to http-proxy-3, lowest and highest beside it. */
  readonly ratio: Readonly<Record<Proxy, readonly [number, number, number]>>;
  /** The same for everything switched on, to the shim alone. */
  readonly allOn: readonly [number, number, number];
  readonly perSecond: Readonly<Record<Proxy, number>>;
}

/**
 * @param gateway origin of the gateway
 * @param folder for logs
 * @param rows which loads
 * @param plan how long
 * @returns one result a row
 */
export async function measureCpu(
  gateway: string,
  folder: string,
  rows: readonly Row[],
  plan: Plan,
): Promise<CpuResult[]> {
  return withProxies(gateway, folder, async (proxies) => {
    const results: CpuResult[] = [];
    for (const row of rows) {
      // Compiled code is measured, not the compiler: the first row meets it cold.
      const warmUp = plan.seconds * (results.length === 0 ? 3 : 1);
      for (const name of PROXIES) await applyLoad(proxies[name].url, TOKEN, { ...loadOf(row), seconds: warmUp });
      results.push(await measureRow(gateway, proxies, row, plan));
    }
    return results;
  });
}

async function measureRow(
  gateway: string,
  proxies: Readonly<Record<Proxy, Measured>>,
  row: Row,
  { rounds, seconds }: Plan,
): Promise<CpuResult> {
  const load = { ...loadOf(row), seconds };
  const micros = record<number[]>(() => []);
  const perSecond = record<number[]>(() => []);
  for (let round = 0; round < rounds; round++) {
    for (const name of PROXIES) {
      const before = await sent(gateway, row);
      const used = proxies[name].cpuMicros();
      const result = await applyLoad(proxies[name].url, TOKEN, load);
      const count = (await sent(gateway, row)) - before;
      micros[name].push((proxies[name].cpuMicros() - used) / count);
      perSecond[name].push((count * 1e6) / result.micros);
    }
  }
  return {
    row: row.name,
    micros: record((name) => median(micros[name])),
    ratio: record((name) => ratioOf(micros[name], micros['http-proxy-3'])),
    allOn: ratioOf(micros['shim, all on'], micros.shim),
    perSecond: record((name) => median(perSecond[name])),
  };
}

/** Median, lowest and highest of the rounds' ratios. */
function ratioOf(ones: readonly number[], others: readonly number[]): readonly [number, number, number] {
  const ratios = ones.map((value, round) => value / (others[round] as number));
  return [median(ratios), Math.min(...ratios), Math.max(...ratios)];
}

function loadOf({ body, connections }: Row): Omit<Load, 'seconds'> {
  return { body: JSON.stringify(body), connections };
}

/** Answers, or streams by the events in them: counted at the gateway, since a load that ends by the clock cuts some. */
async function sent(gateway: string, row: Row): Promise<number> {
  const { answers, events } = (await (await fetch(gateway)).json()) as { answers: number; events: number };
  return row.events === undefined ? answers : events / row.events;
}

/** Microseconds of a small POST, one at a time: medians of the rounds' percentiles. */
export type LatencyResult = Readonly<Record<Proxy | 'direct', { readonly p50: number; readonly p99: number }>>;

/**
 * @param gateway origin of the gateway
 * @param folder for logs
 * @param rounds how many of one second
 * @returns what one request takes, with nothing else under way
 */
export async function measureLatency(gateway: string, folder: string, rounds: number): Promise<LatencyResult> {
  return withProxies(gateway, folder, async (proxies) => {
    const load = { body: JSON.stringify(QUESTION), connections: 1, seconds: 1 };
    const urls = { direct: gateway, ...record((name) => proxies[name].url) };
    const names = ['direct', ...PROXIES] as const;
    const seen = { direct: [], ...record(() => []) } as Record<Proxy | 'direct', { p50: number; p99: number }[]>;
    for (let round = 0; round < rounds; round++) {
      for (const name of names) seen[name].push(await applyLoad(urls[name], TOKEN, load));
    }
    const middle = (name: Proxy | 'direct'): { p50: number; p99: number } => ({
      p50: median(seen[name].map(({ p50 }) => p50)),
      p99: median(seen[name].map(({ p99 }) => p99)),
    });
    return { direct: middle('direct'), ...record(middle) };
  });
}

async function withProxies<T>(
  gateway: string,
  folder: string,
  use: (proxies: Readonly<Record<Proxy, Measured>>) => Promise<T>,
): Promise<T> {
  const started = await Promise.all(PROXIES.map((name) => startProxy(name, gateway, folder)));
  try {
    return await use(record((name) => started[PROXIES.indexOf(name)] as Measured));
  } finally {
    await Promise.all(started.map((proxy) => proxy.stop()));
  }
}

function record<T>(of: (name: Proxy) => T): Record<Proxy, T> {
  return Object.fromEntries(PROXIES.map((name) => [name, of(name)])) as Record<Proxy, T>;
}
