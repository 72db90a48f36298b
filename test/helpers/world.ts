/** What commands are given, with everything they wrote. */
import { randomBytes } from 'node:crypto';
import type { World } from '../../src/commands/world.ts';

export interface TestWorld extends World {
  /** Everything on stdout and stderr so far. */
  readonly out: () => string;
  readonly err: () => string;
}

/**
 * @param cwd the folder that commands run in, which is the home folder as well
 * @param more what differs from it
 * @returns a world in which it is 2026-12-01, with `OPENCLAW_GATEWAY_TOKEN` set
 */
export function testWorld(cwd: string, more: Partial<World> = {}): TestWorld {
  const written = { out: '', err: '' };
  return {
    env: { OPENCLAW_GATEWAY_TOKEN: 'gateway-Zk3mQ8vT1xYw-52kd' },
    cwd,
    home: cwd,
    now: () => Date.UTC(2026, 11, 1),
    stdin: async () => '',
    stdout: (text) => {
      written.out += text;
    },
    stderr: (text) => {
      written.err += text;
    },
    isTerminal: false,
    coloured: false,
    randomBytes,
    version: '0.0.0',
    node: '24.0.0',
    umask: () => 0o22,
    usage: () => ({ cpu: process.cpuUsage(), memory: process.memoryUsage() }),
    nextSignal: () => new Promise(() => undefined),
    onHangup: () => undefined,
    leave: () => undefined,
    onFault: () => undefined,
    ...more,
    out: () => written.out,
    err: () => written.err,
  };
}
