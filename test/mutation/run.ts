/**
 * `npm run test:mutation [-- NAME…]`: switches each guard off, one at a time, and runs tests until one fails. Ends with 1
 * where none does.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { guards, type Guard } from './guards.ts';

const ROOT = join(import.meta.dirname, '../..');
const HOOK = join(import.meta.dirname, 'replace.ts');
const LONGEST_MS = 120_000;

const asked = process.argv.slice(2);
const chosen = guards.filter(({ name }) => asked.length === 0 || asked.includes(name));
const waiting = [...chosen];
const survived: string[] = [];
await Promise.all(Array.from({ length: availableParallelism() }, work));
console.log(`${chosen.length} guards switched off, ${survived.length} without a test that fails`);
for (const one of survived) console.log(`  ${one}`);
process.exitCode = chosen.length > 0 && survived.length === 0 ? 0 : 1;

async function work(): Promise<void> {
  for (let guard = waiting.shift(); guard; guard = waiting.shift()) {
    const found = await verdict(guard);
    const said = `${guard.file} ${guard.name} = ${guard.off}`;
    console.log(`${found.ok ? 'ok    ' : 'NOT OK'} ${guard.file} ${guard.name}: ${found.words}`);
    if (!found.ok) survived.push(said);
  }
}

async function verdict(guard: Guard): Promise<{ readonly ok: boolean; readonly words: string }> {
  const source = await readFile(join(ROOT, guard.file), 'utf8');
  if (!source.includes(`export function ${guard.name}`) && !source.includes(`export async function ${guard.name}`)) {
    return { ok: false, words: 'it exports no such function' };
  }
  // What does not even load would fail every test.
  const loads = await node(guard, ['-e', `import(${JSON.stringify(join(ROOT, guard.file))})`]);
  if (loads.code !== 0) return { ok: false, words: `it does not load: ${loads.text.slice(-300)}` };
  for (const test of guard.tests) {
    const { code, text } = await node(guard, [test]);
    const failed = text.match(/^ *not ok \d+ - .*$/m)?.[0].trim();
    if (code !== 0 && failed !== undefined) return { ok: true, words: `${test}: ${failed}` };
    if (code !== 0)
      return { ok: false, words: `${test} ends with ${code}, and no assertion failed: ${text.slice(-300)}` };
  }
  return { ok: false, words: `all of ${guard.tests.join(', ')} pass without it` };
}

async function node(
  guard: Guard,
  args: readonly string[],
): Promise<{ readonly code: number | null; readonly text: string }> {
  const env = { ...process.env, AUTH_SHIM_TEST_GUARD: JSON.stringify({ ...guard, file: join(ROOT, guard.file) }) };
  const child = spawn(process.execPath, ['--import', HOOK, ...args], {
    cwd: ROOT,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: LONGEST_MS,
    killSignal: 'SIGKILL',
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (part: string) => (text += part));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, text };
}
