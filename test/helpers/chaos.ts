/** The shim as a process before gateways that the test commands, and what it tells of itself. */
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import type { StandInOptions } from '../../src/demo/gateway.ts';
import { parseExposition } from './exposition.ts';
import { serve, type Served, type ServeOptions } from './process.ts';
import { callers, GATEWAY_SECRET } from './stack.ts';

export interface ChaosOptions extends Pick<ServeOptions, 'under' | 'node' | 'env'> {
  readonly gateway: string;
  /** Lines of YAML; those of `callers()` unless told otherwise. */
  readonly callers?: string;
  readonly more?: string;
}

export interface ChaosShim extends Served {
  readonly port: number;
  readonly admin: string;
  readonly pid: number;
  /** The sum of all samples of a metric that have these labels. */
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number>;
  /** Resident memory in MB. */
  memory(): number;
}

/** Runs the shim until it listens; it is ended with the test. */
export async function runShim(t: Test, options: ChaosOptions): Promise<ChaosShim> {
  const file = join(t.testdir({}), 'shim.config.yaml');
  const auth = 'auth: { mode: token, secret: { env: SECRET } }';
  const text = [
    'listen: { port: 0 }',
    `gateway: { url: "${options.gateway}", ${auth} }`,
    'admin: { port: 0 }',
    options.callers ?? callers(),
    options.more ?? '',
  ];
  writeFileSync(file, text.join('\n'));
  return startFrom(t, file, options);
}

/** The same, from a file that is there. */
export async function startFrom(t: Test, file: string, options: Omit<ChaosOptions, 'gateway'>): Promise<ChaosShim> {
  const env = { SECRET: GATEWAY_SECRET, ...options.env };
  const served = await serve(t, ['-c', file], { ...options, env });
  const admin = String(served.listening.admin);
  const pid = served.child.pid as number;
  return {
    ...served,
    port: Number(new URL(served.url).port),
    admin,
    pid,
    memory: () => Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024),
    async metric(name, labels = {}) {
      const families = parseExposition(await (await fetch(`${admin}/metrics`)).text());
      return (families.get(`auth_shim_${name}`)?.samples ?? [])
        .filter((sample) => Object.entries(labels).every(([label, value]) => sample.labels[label] === value))
        .reduce((sum, { value }) => sum + value, 0);
    },
  };
}

/** A gateway in this process; every connection of it ends with the test. @returns its URL */
export async function commandGateway(t: Test, answer: RequestListener): Promise<string> {
  const server = createServer(answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

export interface GatewayProcess {
  readonly url: string;
  readonly port: number;
  /** Kills it without a word. Settles when it is gone. */
  kill(): Promise<void>;
}

/**
 * The stand-in gateway as a process of its own; it is killed with the test.
 *
 * @param port 0 for a free one
 * @param pace of its replies
 */
export async function gatewayProcess(t: Test, port: number, pace: Partial<StandInOptions>): Promise<GatewayProcess> {
  const options = { auth: { mode: 'token', token: GATEWAY_SECRET }, port, ...pace };
  const program = fileURLToPath(new URL('gateway-program.ts', import.meta.url));
  const child = spawn(process.execPath, [program, JSON.stringify(options)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exit = once(child, 'exit');
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exit;
  };
  t.teardown(kill);
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return { url: `http://127.0.0.1:${line}`, port: Number(line), kill };
}
