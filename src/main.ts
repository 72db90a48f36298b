#!/usr/bin/env node
/** The command line. The only file that touches `process`. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import type { World } from './commands/world.ts';
import { supportedNode } from './commands/version.ts';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

/** All is said by then; what is left are timers, and names that a resolver looks for. */
const LEAVE_MS = 200;

const world: World = {
  env: process.env,
  cwd: process.cwd(),
  home: homeOrRoot(),
  now: Date.now,
  stdin: async () => {
    let text = '';
    for await (const chunk of process.stdin.setEncoding('utf8')) text += String(chunk);
    return text;
  },
  stdout: (text) => void process.stdout.write(text),
  stderr: (text) => void process.stderr.write(text),
  isTerminal: process.stderr.isTTY === true,
  coloured: process.stdout.isTTY === true && !process.env.NO_COLOR,
  randomBytes,
  version,
  node: process.versions.node,
  umask: (mask) => process.umask(mask),
  usage: () => ({ cpu: process.cpuUsage(), memory: process.memoryUsage() }),
  nextSignal: () =>
    new Promise((resolve) => {
      const on = (signal: NodeJS.Signals): void => {
        process.off('SIGINT', on).off('SIGTERM', on);
        resolve(signal);
      };
      process.on('SIGINT', on).on('SIGTERM', on);
    }),
  onHangup: (listener) => void process.on('SIGHUP', listener),
  leave: () => void setTimeout(() => process.exit(), LEAVE_MS).unref(),
  onFault: (listener) => void process.on('uncaughtException', listener),
};

/** Containers run as users without an entry in the user table and without HOME. */
function homeOrRoot(): string {
  try {
    return homedir();
  } catch {
    return '/';
  }
}

if (supportedNode(process.versions.node)) {
  const { runCommandLine } = await import('./commands/line.ts');
  process.exitCode = await runCommandLine(world, process.argv.slice(2));
} else {
  process.stderr.write(
    `auth-shim needs Node 22.23.2, 24.18.1 or 26.5.1 and later of these lines; this is ${process.versions.node}. ` +
      'Older parsers hide headers from a proxy (CVE-2026-58044).\n',
  );
  process.exitCode = 1;
}
