/**
 * `npm run bench [-- http | websocket | tls | jwt] [--quick] [--json]`: what the shim costs beside other proxies, or beside no
 * proxy, measured in one run. Without a name all are measured.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { measureStart, measureStreams } from './life.ts';
import { formatTokens, measureTokens } from './jwt.ts';
import { generator } from './load.ts';
import { measureCpu, measureLatency, ROWS } from './cost.ts';
import { startGateway } from './proxies.ts';
import { formatReport, type Report } from './report.ts';
import { formatHop, measureHop } from './tls.ts';
import { measureIdle } from './websocket/idle.ts';
import { measureRates, measureTrips } from './websocket/measure.ts';
import { withProcesses } from './websocket/processes.ts';
import { formatSockets, type SocketReport } from './websocket/report.ts';

const { values, positionals } = parseArgs({
  options: { quick: { type: 'boolean' }, json: { type: 'boolean' } },
  allowPositionals: true,
});
const plan = values.quick
  ? { rounds: 3, seconds: 1, starts: 3, streams: 500, sockets: 2_000, rows: ROWS.slice(0, 3) }
  : { rounds: 5, seconds: 2, starts: 7, streams: 2_000, sockets: 10_000, rows: ROWS };
const IDLE_ROUNDS = 3;
const PARTS = { http: measureHttp, websocket: measureSockets, tls: measureTls, jwt: measureJwt };
type Part = keyof typeof PARTS;

const asked = positionals.length === 0 ? Object.keys(PARTS) : positionals;
const unknown = asked.find((name) => !(name in PARTS));
if (unknown !== undefined) throw new Error(`there is no benchmark "${unknown}": ${Object.keys(PARTS).join(', ')}`);

const folder = mkdtempSync(join(tmpdir(), 'auth-shim-bench-'));
try {
  for (const name of asked) await PARTS[name as Part]();
} finally {
  rmSync(folder, { recursive: true });
}

async function measureHttp(): Promise<void> {
  const gateway = await startGateway(folder);
  try {
    const report: Report = {
      node: process.version,
      generator,
      plan,
      start: await measureStart(gateway.url, folder, plan.starts),
      cpu: await measureCpu(gateway.url, folder, plan.rows, plan),
      latency: await measureLatency(gateway.url, folder, plan.rounds),
      streams: await measureStreams(gateway.url, folder, plan.streams),
    };
    print(report, formatReport);
  } finally {
    await gateway.stop();
  }
}

async function measureTls(): Promise<void> {
  print({ node: process.version, plan, hop: await measureHop(folder, plan) }, formatHop);
}

async function measureJwt(): Promise<void> {
  print({ node: process.version, plan, tokens: await measureTokens(folder, plan) }, formatTokens);
}

async function measureSockets(): Promise<void> {
  // Each in processes of its own: what the first leaves in memory is none of the second's.
  const moving = await withProcesses(folder, plan.sockets, async (processes) => ({
    rates: await measureRates(processes, plan),
    trips: await measureTrips(processes, plan),
  }));
  const idle = await withProcesses(folder, plan.sockets, (processes) => {
    return measureIdle(processes, plan.sockets, IDLE_ROUNDS);
  });
  const report: SocketReport = { node: process.version, plan, ...moving, idle };
  print(report, formatSockets);
}

function print<T>(report: T, format: (report: T) => string): void {
  process.stdout.write(values.json ? `${JSON.stringify(report, null, 2)}\n` : `${format(report)}\n`);
}
