/** What the JWT of an issuer costs the shim beside a token of its own, request by request, once it has been verified. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeKey, publicOf, signJwt } from '../test/helpers/provider.ts';
import { ROWS, type Plan } from './cost.ts';
import { applyLoad } from './load.ts';
import { median } from './median.ts';
import { configuration, startGateway, startShim, TOKEN } from './proxies.ts';

const KINDS = ['static', 'jwt'] as const;
type Kind = (typeof KINDS)[number];
/** CPU per request beside a static token. */
const TARGET = 1.1;
const ISSUER = 'https://id.example';

/** Microseconds of CPU per request of one shim, and the ratio of the two: median, lowest, highest of the rounds. */
export interface TokenResult {
  readonly micros: Readonly<Record<Kind, number>>;
  readonly ratio: readonly [number, number, number];
  /** Characters of the JWT. */
  readonly length: number;
}

/** @returns what the report is written from */
export async function measureTokens(folder: string, { rounds, seconds }: Plan): Promise<TokenResult> {
  const key = await makeKey('bench');
  writeFileSync(join(folder, 'jwks.json'), JSON.stringify({ keys: [publicOf(key)] }));
  const now = Math.floor(Date.now() / 1_000);
  const claims = { iss: ISSUER, aud: 'bench', sub: 'bench', scope: 'run', iat: now, exp: now + 3_600 };
  const tokens: Record<Kind, string> = { static: TOKEN, jwt: await signJwt(key, claims) };
  const issuers = `issuers:
  - name: bench
    issuer: ${ISSUER}
    audience: bench
    jwksFile: jwks.json
    scopes: { claim: scope, map: { run: [operator.write] }, ceiling: [operator.write] }
`;
  const gateway = await startGateway(folder);
  const shim = await startShim('tokens', configuration(gateway.url) + issuers, folder);
  try {
    const [row] = ROWS;
    const load = { body: JSON.stringify(row?.body), connections: row?.connections ?? 1, seconds };
    for (const kind of KINDS) await applyLoad(shim.url, tokens[kind], { ...load, seconds: 3 * seconds });
    const micros: Record<Kind, number[]> = { static: [], jwt: [] };
    for (let round = 0; round < rounds; round++) {
      for (const kind of KINDS) {
        const used = shim.cpuMicros();
        const { requests } = await applyLoad(shim.url, tokens[kind], load);
        micros[kind].push((shim.cpuMicros() - used) / requests);
      }
    }
    const ratios = micros.jwt.map((value, round) => value / (micros.static[round] as number));
    return {
      micros: { static: median(micros.static), jwt: median(micros.jwt) },
      ratio: [median(ratios), Math.min(...ratios), Math.max(...ratios)],
      length: tokens.jwt.length,
    };
  } finally {
    await Promise.all([shim, gateway].map((one) => one.stop()));
  }
}

/** @returns lines for people */
export function formatTokens({ node, plan, tokens }: { node: string; plan: Plan; tokens: TokenResult }): string {
  const [middle, low, high] = tokens.ratio.map((value) => value.toFixed(2));
  return [
    `Node ${node}, ${plan.rounds} rounds of ${plan.seconds} s, medians, small POST on connections that stay open`,
    `CPU per request, static token ${tokens.micros.static.toFixed(0)} µs, JWT of ${tokens.length} characters ${tokens.micros.jwt.toFixed(0)} µs`,
    `JWT ÷ static ${middle} (${low} – ${high}), target ${TARGET}: ${tokens.ratio[0] <= TARGET ? 'met' : 'missed'}`,
  ].join('\n');
}
