/** Many event streams open at the same time. */
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { atRate } from './latency.ts';
import { openFiles } from './machine.ts';
import { PROXIES, startGateway, startProxy, TOKEN, type Side } from './proxies.ts';
import { Rows, type Plan, type Row } from './rows.ts';

/** What the shim keeps for itself, two descriptors for a stream, and some streams more for those that are asked meanwhile. */
const RESERVE = 192;
const EACH = 2;
const SPARE = 200;
const SETTLE_MS = 1_000;
/** The first of all load the code. */
const FIRST = 50;
/** How many are being opened at a time. */
const OPENING = 64;
const PER_SECOND = 50;

/**
 * @param folder for logs and configurations
 * @param plan how many and how often
 * @returns resident KB for each open stream that is silent, and the time to the first byte of a further one; fewer
 * streams than asked for where the descriptors of one process are not enough
 */
export async function measureStreams(folder: string, { streams }: Plan): Promise<Row[]> {
  const most = Math.floor((openFiles() - RESERVE) / EACH) - SPARE;
  const rows = new Rows();
  for (const [wanted, rounds] of streams) {
    const count = Math.min(wanted, most);
    if (count < wanted) {
      process.stderr.write(`${wanted} streams need more than ${openFiles()} open files: ${count} are opened\n`);
    }
    const shown = `${count.toLocaleString('en')} open streams`;
    for (let round = 0; round < rounds; round++) {
      for (const side of ['direct', ...PROXIES] as const) {
        const { kilobytes, first50, first99 } = await holdOpen(side, folder, count);
        if (side !== 'direct') rows.add(`${shown}, memory of each`, 'KB', side, kilobytes);
        rows.add(`${shown}, first byte of another, p50`, 'ms', side, first50);
        rows.add(`${shown}, first byte of another, p99`, 'ms', side, first99);
      }
    }
  }
  return rows.all();
}

interface Held {
  readonly kilobytes: number;
  readonly first50: number;
  readonly first99: number;
}

/** Each time in fresh processes: what streams leave in memory is none of the next ones'. */
async function holdOpen(side: Side, folder: string, count: number): Promise<Held> {
  const gateway = await startGateway(folder);
  const proxy = side === 'direct' ? gateway : await startProxy(side, gateway.url, folder);
  try {
    const release = async (): Promise<void> => void (await (await fetch(`${gateway.url}/release`)).text());
    const first = await openMany(proxy.url, FIRST);
    await release();
    await Promise.all(first);
    await sleep(SETTLE_MS);
    const idle = proxy.residentBytes();
    const ends = await openMany(proxy.url, count);
    await sleep(SETTLE_MS);
    const kilobytes = (proxy.residentBytes() - idle) / 1_024 / count;
    const { first50, first99 } = await atRate(proxy.url, JSON.stringify({ stream: true, pace: -1 }), PER_SECOND, 2);
    await release();
    await Promise.all(ends);
    return { kilobytes, first50, first99 };
  } catch (error) {
    throw new Error(`${count} streams, ${side}`, { cause: error });
  } finally {
    await Promise.all([gateway.stop(), proxy.stop()]);
  }
}

/** Resolves when each has brought its first event, with the ends of all: each with `[DONE]`, or rejected. */
async function openMany(url: string, count: number): Promise<Promise<void>[]> {
  const ends: Promise<void>[] = [];
  const opener = async (): Promise<void> => {
    while (ends.length < count) {
      const { promise: opened, resolve, reject } = Promise.withResolvers<void>();
      const end = oneStream(`${url}/v1/chat/completions`, resolve);
      end.catch(reject);
      ends.push(end);
      await opened;
    }
  };
  await Promise.all(Array.from({ length: OPENING }, opener));
  return ends;
}

function oneStream(url: string, opened: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const body = JSON.stringify({ stream: true, hold: true });
    const headers = {
      'content-type': 'application/json',
      'content-length': body.length,
      authorization: `Bearer ${TOKEN}`,
    };
    const req = request(url, { method: 'POST', headers, agent: false }, (res) => {
      let last = '';
      if (res.statusCode !== 200) reject(new Error(`status ${res.statusCode}`));
      res.setEncoding('utf8');
      res.once('data', opened);
      res.on('data', (text: string) => (last = text));
      res.once('error', reject);
      res.once('end', () => (last.endsWith('[DONE]\n\n') ? resolve() : reject(new Error('ended early'))));
    });
    req.once('error', reject);
    req.end(body);
  });
}
