/** The real nginx and HAProxy, with the configuration of `deploy/`, on free ports and with certificates of the test. */
import { execFile, spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Test } from 'tap';
import type { Pair } from './certificates.ts';
import { textOf } from './pages.ts';
import { freePort } from './redis.ts';

export interface Places {
  /** Where callers connect. */
  readonly port: number;
  /** The shim's listener, and that of its probes. */
  readonly shim: number;
  readonly probes: number;
}

export interface Balancer {
  readonly name: string;
  /** The configuration in the repository. */
  readonly file: string;
  /** Why tests with it are skipped, where they are. */
  readonly skip: string | false;
  /** Writes its files. @returns the command that runs it, and the one by which it checks its own configuration */
  readonly prepare: (
    folder: string,
    server: Pair,
    places: Places,
  ) => { readonly run: string[]; readonly check: string[] };
}

/** Daemons are in `/usr/sbin`, which an ordinary user's PATH may lack. */
function programOf(name: string): string | undefined {
  return [...(process.env.PATH ?? '').split(':'), '/usr/sbin'].map((folder) => join(folder, name)).find(existsSync);
}

/** @throws Error where a text does not have what is replaced: the test would run something else */
function replaced(text: string, pairs: Readonly<Record<string, string>>): string {
  return Object.entries(pairs).reduce((now, [from, to]) => {
    if (!now.includes(from)) throw new Error(`there is no ${from}`);
    return now.replaceAll(from, to);
  }, text);
}

const nginx = programOf('nginx');
const haproxy = programOf('haproxy');

export const BALANCERS: readonly Balancer[] = [
  {
    name: 'nginx',
    file: 'deploy/nginx/auth-shim.conf',
    skip: nginx === undefined && 'NOT TESTED: no nginx here (apt-get install nginx-light)',
    prepare(folder, { cert, key }, { port, shim }) {
      writeFileSync(join(folder, 'shim.crt'), cert);
      writeFileSync(join(folder, 'shim.key'), key, { mode: 0o600 });
      const text = replaced(textOf(this.file), {
        'listen 443 ssl;': `listen 127.0.0.1:${port} ssl;`,
        '127.0.0.1:18780': `127.0.0.1:${shim}`,
        '/etc/nginx/tls': folder,
      });
      writeFileSync(join(folder, 'auth-shim.conf'), text);
      mkdirSync(join(folder, 'temp'));
      const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
      const main = [
        'daemon off; master_process off; error_log stderr warn;',
        `pid ${folder}/nginx.pid;`,
        'events {}',
        'http {',
        '  access_log off;',
        ...temporary.map((name) => `  ${name}_temp_path ${folder}/temp/${name};`),
        `  include ${folder}/auth-shim.conf;`,
        '}',
      ];
      const file = join(folder, 'nginx.conf');
      writeFileSync(file, main.join('\n'));
      const run = [nginx as string, '-e', 'stderr', '-c', file];
      return { run, check: [...run, '-t'] };
    },
  },
  {
    name: 'HAProxy',
    file: 'deploy/haproxy/haproxy.cfg',
    skip: haproxy === undefined && 'NOT TESTED: no haproxy here (apt-get install haproxy)',
    prepare(folder, { cert, key }, { port, shim, probes }) {
      writeFileSync(join(folder, 'shim.pem'), `${cert}\n${key}`, { mode: 0o600 });
      const file = join(folder, 'haproxy.cfg');
      const text = replaced(textOf(this.file), {
        'bind :443': `bind 127.0.0.1:${port}`,
        '127.0.0.1:18780': `127.0.0.1:${shim}`,
        'port 18782': `port ${probes}`,
        '/etc/haproxy/tls': folder,
      });
      writeFileSync(file, text);
      const run = [haproxy as string, '-db', '-f', file];
      return { run, check: [...run, '-c'] };
    },
  },
];

/** @returns what the program says of its configuration; `code` 0 where it likes it */
export async function checkOf(command: readonly string[]): Promise<{ readonly code: number; readonly text: string }> {
  const [program = '', ...args] = command;
  try {
    const { stdout, stderr } = await promisify(execFile)(program, args);
    return { code: 0, text: stdout + stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, text: stdout + stderr };
  }
}

/**
 * Starts it before a shim; it is ended with the test.
 *
 * @returns the port where callers connect, once it answers there
 */
export async function startBalancer(
  t: Test,
  balancer: Balancer,
  server: Pair,
  behind: Omit<Places, 'port'>,
): Promise<number> {
  const port = await freePort();
  const { run } = balancer.prepare(t.testdir(), server, { ...behind, port });
  const [program = '', ...args] = run;
  await listening(t, spawn(program, args), port);
  return port;
}

/**
 * Waits for a program that does not say when it listens; it is ended with the test.
 *
 * @param child with its output as pipes
 * @param port of this machine, where it will answer
 * @throws Error with what it said, where it ends before
 */
export async function listening(t: Test, child: ChildProcessWithoutNullStreams, port: number): Promise<void> {
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (part: Buffer) => (text += String(part)));
  const ended = once(child, 'close');
  t.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  while (!(await answers(port))) {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}: ${text}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}
