/** `npm run bench [-- --quick] [-- --json]`: what the shim costs beside other proxies, measured in one run. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { measureStart, measureStreams } from './life.ts';
import { generator } from './load.ts';
import { measureCpu, measureLatency, ROWS } from './cost.ts';
import { startGateway } from './proxies.ts';
import { formatReport, type Report } from './report.ts';

const { values } = parseArgs({ options: { quick: { type: 'boolean' }, json: { type: 'boolean' } } });
const plan = values.quick
  ? { rounds: 3, seconds: 1, starts: 3, streams: 500, rows: ROWS.slice(0, 3) }
  : { rounds: 5, seconds: 2, starts: 7, streams: 2_000, rows: ROWS };

const folder = mkdtempSync(join(tmpdir(), 'auth-shim-bench-'));
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
  process.stdout.write(values.json ? `${JSON.stringify(report, null, 2)}\n` : formatReport(report));
} finally {
  await gateway.stop();
  rmSync(folder, { recursive: true });
}
