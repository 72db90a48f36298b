/** WebSocket messages through each proxy that carries them. */
import type { Measured } from '../process.ts';
import { PROXIES, startProxy, type Side } from '../proxies.ts';
import { Rows, type Plan, type Row } from '../rows.ts';
import type { Counted } from './caller.ts';
import { withProcesses } from './processes.ts';

/** @fastify/reply-from and the sketch with undici carry none. */
const WITHOUT: readonly Side[] = ['reply-from', 'bare undici', 'shim'];
const PER_SECOND = 1_000;

/**
 * @param folder for logs and configurations
 * @param plan how long
 * @returns CPU of the proxy per message of 64 bytes, and milliseconds of a round trip
 */
export async function measureMessages(folder: string, { rounds, seconds }: Plan): Promise<Row[]> {
  return withProcesses(folder, 100, async ({ ask, gateway, shim }) => {
    const others = PROXIES.filter((name) => !WITHOUT.includes(name));
    const started = await Promise.all(others.map((name) => startProxy(name, gateway.url, folder)));
    const sides: readonly (readonly [Side, Measured])[] = [
      ['direct', gateway],
      ['shim', shim],
      ...others.map((name, i) => [name, started[i] as Measured] as const),
    ];
    const rows = new Rows();
    try {
      for (let round = -1; round < rounds; round++) {
        for (const [side, proxy] of sides) {
          for (const job of ['up', 'down'] as const) {
            const used = proxy.cpuMicros();
            const { count } = await ask<Counted>({ job, url: proxy.url, seconds, packed: false });
            const way = job === 'up' ? 'caller → gateway' : 'gateway → caller';
            const micros = (proxy.cpuMicros() - used) / count;
            if (round >= 0 && side !== 'direct') rows.add(`WebSocket message, ${way}`, 'µs CPU', side, micros);
          }
          const { url } = proxy;
          const { micros } = await ask<{ micros: number[] }>({ job: 'echo', url, seconds, perSecond: PER_SECOND });
          const at = (share: number): number => (micros[Math.floor(micros.length * share)] as number) / 1_000;
          if (round < 0) continue;
          rows.add('WebSocket round trip at 1,000 a second, p50', 'ms', side, at(0.5));
          rows.add('WebSocket round trip at 1,000 a second, p99', 'ms', side, at(0.99));
        }
      }
      return rows.all();
    } finally {
      await Promise.all(started.map((one) => one.stop()));
    }
  });
}
