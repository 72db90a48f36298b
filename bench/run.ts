/**
 * `npm run bench [-- start | cost | latency | streams | messages] [--quick] [--json]`: what the shim costs beside other
 * proxies, measured in one run; without a name all of these. `-- websocket` looks closer at the relay. A whole run that
 * is not quick writes its tables into docs/performance.md, and its chart.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chart } from './chart.ts';
import { measureCpu } from './cost.ts';
import { measureLatency } from './latency.ts';
import { measureStart } from './life.ts';
import { here, loadNow } from './machine.ts';
import { MISSING } from './proxies.ts';
import { formatReport, type Report } from './report.ts';
import type { Plan, Row } from './rows.ts';
import { measureStreams } from './streams.ts';
import { measureIdle } from './websocket/idle.ts';
import { measureRates, measureTrips } from './websocket/measure.ts';
import { measureMessages } from './websocket/messages.ts';
import { withProcesses } from './websocket/processes.ts';
import { formatSockets, type SocketReport } from './websocket/report.ts';

const { values, positionals } = parseArgs({
  options: { quick: { type: 'boolean' }, json: { type: 'boolean' } },
  allowPositionals: true,
});
const plan: Plan = values.quick
  ? { rounds: 1, seconds: 1, starts: 1, streams: [[500, 1]] }
  : {
      rounds: 5,
      seconds: 1,
      starts: 5,
      streams: [
        [2_000, 3],
        [10_000, 1],
      ],
    };
const IDLE_ROUNDS = 3;
const PARTS: Readonly<Record<string, (folder: string, plan: Plan) => Promise<Row[]>>> = {
  start: measureStart,
  cost: measureCpu,
  latency: measureLatency,
  streams: measureStreams,
  messages: measureMessages,
};
/** More than this beside the benchmark itself, and its figures are those of a busy machine. */
const BUSY = 2;
const BEGIN = '<!-- the last run -->';
const END = '<!-- the end of it -->';

const known = [...Object.keys(PARTS), 'websocket'];
const unknown = positionals.find((name) => !known.includes(name));
if (unknown !== undefined) throw new Error(`there is no benchmark "${unknown}": ${known.join(', ')}`);

const folder = mkdtempSync(join(tmpdir(), 'auth-shim-bench-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
if (positionals.includes('websocket')) await measureSockets();
else await measureAll(positionals.length === 0 ? Object.keys(PARTS) : positionals);

async function measureAll(asked: readonly string[]): Promise<void> {
  const before = loadNow();
  for (const name of MISSING)
    tell(`${name.toUpperCase()} IS NOT INSTALLED: its column is missing (apt-get install ${name})`);
  if (before > BUSY) tell(`the machine is busy (load average ${before.toFixed(1)}): believe the ratios alone`);
  const rows: Row[] = [];
  for (const name of asked) {
    tell(`${new Date().toISOString().slice(11, 16)} ${name}`);
    try {
      rows.push(...((await PARTS[name]?.(folder, plan)) ?? []));
    } catch (error) {
      // What the other parts have seen is not lost with it.
      console.error(error);
      process.exitCode = 1;
    }
  }
  const date = new Date().toISOString().slice(0, 10);
  const report: Report = { date, plan, load: [before, loadNow()], rows };
  print(report, formatReport);
  if (values.quick || positionals.length > 0 || process.exitCode === 1) return;
  const page = here('../docs/performance.md');
  const text = readFileSync(page, 'utf8');
  const kept = [text.slice(0, text.indexOf(BEGIN)), text.slice(text.indexOf(END))];
  writeFileSync(page, `${kept[0]}${BEGIN}\n\n## The last run\n\n${formatReport(report)}\n${kept[1]}`);
  writeFileSync(here('../docs/images/performance.svg'), chart(rows, `Shorter is better. npm run bench, ${date}`));
}

async function measureSockets(): Promise<void> {
  const sockets = values.quick ? 2_000 : 10_000;
  // Each in processes of its own: what the first leaves in memory is none of the second's.
  const moving = await withProcesses(folder, sockets, async (processes) => ({
    rates: await measureRates(processes, plan),
    trips: await measureTrips(processes, plan),
  }));
  const idle = await withProcesses(folder, sockets, (processes) => measureIdle(processes, sockets, IDLE_ROUNDS));
  const report: SocketReport = { node: process.version, plan, ...moving, idle };
  print(report, formatSockets);
}

function print<T>(report: T, format: (report: T) => string): void {
  process.stdout.write(values.json ? `${JSON.stringify(report, null, 2)}\n` : `${format(report)}\n`);
}

function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}
