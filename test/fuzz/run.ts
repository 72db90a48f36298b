/** `npm run fuzz [-- 30s | 10m] [--seed N]`: the properties of this folder, for so long in all, with a seed that it tells. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { parseDuration } from '../../src/config/units.ts';

const { values, positionals } = parseArgs({ options: { seed: { type: 'string' } }, allowPositionals: true });
const [time = '30s'] = positionals;
const milliseconds = parseDuration(time);
if (milliseconds === undefined) throw new Error(`expected a duration such as 30s or 10m, not ${time}`);
const seed = values.seed ?? String(Date.now() % 2 ** 31);
console.log(`fuzzing for ${time}, --seed ${seed}`);
const child = spawn(process.execPath, [join(import.meta.dirname, 'fuzz.test.ts')], {
  env: {
    ...process.env,
    AUTH_SHIM_FUZZ_MS: String(milliseconds),
    AUTH_SHIM_FUZZ_SEED: seed,
    TAP_TIMEOUT: String(milliseconds / 1_000 + 120),
  },
  stdio: 'inherit',
});
const [code] = (await once(child, 'close')) as [number | null];
process.exitCode = code ?? 1;
