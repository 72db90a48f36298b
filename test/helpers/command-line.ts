/** Commands as they are typed, and a configuration for them. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import { runCommandLine } from '../../src/commands/line.ts';
import type { World } from '../../src/commands/world.ts';
import type { Run } from './process.ts';
import { caller, GATEWAY_SECRET, TOKENS } from './stack.ts';
import { testWorld } from './world.ts';

export const env = { SECRET: GATEWAY_SECRET };

/** Runs a command in this process. */
export async function run(args: readonly string[], more: Partial<World> = {}): Promise<Run> {
  const world = testWorld('/', { env: {}, now: Date.now, ...more });
  const code = await runCommandLine(world, args);
  return { code, stdout: world.out(), stderr: world.err() };
}

/** @returns a file with one caller, whose ports are any, and a gateway at the URL */
export async function configure(t: Test, url: string, more = ''): Promise<string> {
  const file = join(t.testdir({}), 'shim.config.yaml');
  await writeFile(
    file,
    [
      'listen: { port: 0 }',
      `gateway: { url: "${url}", auth: { mode: token, secret: { env: SECRET } } }`,
      'admin: { port: 0 }',
      'callers:',
      caller('writer', TOKENS.writer, ['operator.read', 'operator.write'], 'allowHeaders: [session-key]'),
      more,
    ].join('\n'),
  );
  return file;
}
