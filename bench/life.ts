/** What a proxy costs when nothing happens: its start and its memory. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PROXIES, startGateway, startProxy } from './proxies.ts';
import { Rows, type Plan, type Row } from './rows.ts';
import { startProcess } from './process.ts';

const SETTLE_MS = 500;
const EMPTY = `
  const server = http.createServer().listen(0, '127.0.0.1', () =>
    process.stderr.write(JSON.stringify({ msg: 'listening', url: 'http://127.0.0.1:' + server.address().port }) + '\\n'))`;

/**
 * @param folder for logs and configurations
 * @param plan how often each is started
 * @returns milliseconds from spawn until it listens, and the megabytes resident half a second later
 */
export async function measureStart(folder: string, { starts }: Plan): Promise<Row[]> {
  const gateway = await startGateway(folder);
  const rows = new Rows();
  try {
    for (let round = 0; round < starts; round++) {
      // What of it is Node's own stands in the column of no proxy.
      for (const side of ['direct', ...PROXIES] as const) {
        const started = await (side === 'direct'
          ? startProcess(['-e', EMPTY], join(folder, 'empty.log'))
          : startProxy(side, gateway.url, folder));
        await sleep(SETTLE_MS);
        rows.add('cold start (direct: an empty Node server)', 'ms', side, started.startMs);
        rows.add('idle memory (direct: an empty Node server)', 'MB', side, started.residentBytes() / 2 ** 20);
        await started.stop();
      }
    }
    return rows.all();
  } finally {
    await gateway.stop();
  }
}
