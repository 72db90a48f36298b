/** What mutual TLS to the gateway costs the shim, request by request on connections that stay open. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeAuthority } from '../test/helpers/certificates.ts';
import { ROWS, type Plan } from './cost.ts';
import { applyLoad } from './load.ts';
import { median } from './median.ts';
import { configuration, startGateway, startShim, TOKEN } from './proxies.ts';

const HOPS = ['loopback', 'mTLS'] as const;
type HopName = (typeof HOPS)[number];
/** CPU per request beside the loopback hop. */
const TARGET = 1.35;

/** Microseconds of CPU per request of the shim, and the ratio of the two: median, lowest, highest of the rounds. */
export interface HopResult {
  readonly micros: Readonly<Record<HopName, number>>;
  readonly ratio: readonly [number, number, number];
}

/** @returns what the report is written from */
export async function measureHop(folder: string, { rounds, seconds }: Plan): Promise<HopResult> {
  const ca = await makeAuthority();
  const server = await ca.issue({ ips: ['127.0.0.1'], usage: ['serverAuth'] });
  const client = await ca.issue({ usage: ['clientAuth'] });
  const texts = { ca: ca.cert, serverCert: server.cert, serverKey: server.key, cert: client.cert, key: client.key };
  const path = (name: keyof typeof texts): string => join(folder, `${name}.pem`);
  for (const [name, text] of Object.entries(texts)) {
    writeFileSync(path(name as keyof typeof texts), text, { mode: 0o600 });
  }
  const plain = await startGateway(folder);
  const secured = await startGateway(folder, [path('serverCert'), path('serverKey'), path('ca')]);
  const tls = `{ ca: ${path('ca')}, cert: ${path('cert')}, key: ${path('key')} }`;
  const shims = {
    loopback: await startShim('loopback', configuration(plain.url), folder),
    mTLS: await startShim('mtls', configuration(secured.url, { tls }), folder),
  };
  try {
    const [row] = ROWS;
    const load = { body: JSON.stringify(row?.body), connections: row?.connections ?? 1, seconds };
    for (const name of HOPS) await applyLoad(shims[name].url, TOKEN, { ...load, seconds: 3 * seconds });
    const micros: Record<HopName, number[]> = { loopback: [], mTLS: [] };
    for (let round = 0; round < rounds; round++) {
      for (const name of HOPS) {
        const used = shims[name].cpuMicros();
        const { requests } = await applyLoad(shims[name].url, TOKEN, load);
        micros[name].push((shims[name].cpuMicros() - used) / requests);
      }
    }
    const ratios = micros.mTLS.map((value, round) => value / (micros.loopback[round] as number));
    return {
      micros: { loopback: median(micros.loopback), mTLS: median(micros.mTLS) },
      ratio: [median(ratios), Math.min(...ratios), Math.max(...ratios)],
    };
  } finally {
    await Promise.all([shims.loopback, shims.mTLS, plain, secured].map((one) => one.stop()));
  }
}

/** @returns lines for people */
export function formatHop({ node, plan, hop }: { node: string; plan: Plan; hop: HopResult }): string {
  const [middle, low, high] = hop.ratio.map((value) => value.toFixed(2));
  return [
    `Node ${node}, ${plan.rounds} rounds of ${plan.seconds} s, medians, small POST on connections that stay open`,
    `CPU per request, loopback hop ${hop.micros.loopback.toFixed(0)} µs, mTLS hop ${hop.micros.mTLS.toFixed(0)} µs`,
    `mTLS ÷ loopback ${middle} (${low} – ${high}), target ${TARGET}: ${hop.ratio[0] <= TARGET ? 'met' : 'missed'}`,
  ].join('\n');
}
