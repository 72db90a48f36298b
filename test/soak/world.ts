/** What the soak runs: the shim as a process with a file, and a gateway that can be killed. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { MAIN } from '../helpers/process.ts';
import { parseExposition } from '../helpers/exposition.ts';
import { caller, GATEWAY_SECRET, TOKENS } from '../helpers/stack.ts';
import type { Held } from './probe.ts';

/** 16 pieces of a reply, 100 ms apart: longer than a reload and a restart take. */
const PACE = { chunks: 16, chunkDelay: 100 } as const;

/** A span in which something was done to the shim or the gateway, on the clock of `performance`. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

export interface World {
  readonly port: number;
  /** Restarts of the gateway, and reloads, with their spans; the last one may still be under way. */
  readonly kills: readonly Span[];
  readonly reloads: readonly Span[];
  /** Of the caller whose token is another after each reload. */
  rotatingToken(): string;
  /** Kills the gateway, waits, and starts it on the same port. */
  restartGateway(downMs: number): Promise<void>;
  /** Revokes the rotating caller's token and gives it the next. */
  reload(): Promise<void>;
  held(): Promise<Held & { readonly descriptors: number }>;
  /** Sum of the gauges and counters of these names. */
  metric(...names: readonly string[]): Promise<number>;
  /** Lines of the log that tell of a fault of the shim itself. */
  readonly faults: readonly string[];
  end(): Promise<number | null>;
}

/** Starts both. */
export async function startWorld(): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), 'auth-shim-soak-'));
  const file = join(folder, 'shim.config.yaml');
  const kills: Span[] = [];
  const reloads: Span[] = [];
  const faults: string[] = [];
  let generation = 0;
  const rotating = (): string => `rotating-token-0123456789-${String(generation).padStart(6, '0')}`;

  let { child: gateway, port: gatewayPort } = await startGateway(0);
  const configure = (): void => {
    const both = ['operator.read', 'operator.write'];
    const text = [
      'listen: { port: 0 }',
      `gateway: { url: "http://127.0.0.1:${gatewayPort}", auth: { mode: token, secret: { env: SECRET } }, deviceStore: memory }`,
      'admin: { port: 0 }',
      'audit: { file: audit.jsonl, maxSize: 4MiB, keep: 2 }',
      'limits: { default: { requestsPerMinute: 100000, streams: 100 } }',
      'callers:',
      caller('reader', TOKENS.reader, ['operator.read']),
      caller('writer', TOKENS.writer, both, 'websocket: relay'),
      caller('rotating', rotating(), both, 'websocket: relay'),
    ];
    writeFileSync(`${file}.new`, text.join('\n'));
    renameSync(`${file}.new`, file);
  };
  configure();
  const probe = join(import.meta.dirname, 'probe.ts');
  const shim = spawn(process.execPath, ['--expose-gc', '--import', probe, MAIN, 'serve', '-c', file], {
    env: { PATH: process.env.PATH, SECRET: GATEWAY_SECRET },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  const exit = once(shim, 'exit').then(([code]) => code as number | null);
  const abandon = (): void => {
    shim.kill('SIGKILL');
    gateway.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  };
  process.once('exit', abandon);
  // A signal ends a process without that event.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
  const waiting = new Map<string, (line: Record<string, unknown>) => void>();
  const next = (msg: string): Promise<Record<string, unknown>> =>
    Promise.race([
      new Promise<Record<string, unknown>>((resolve) => waiting.set(msg, resolve)),
      exit.then((code) => Promise.reject(new Error(`the shim ended with ${code}: ${faults.join('\n')}`))),
    ]);
  createInterface({ input: shim.stderr as NodeJS.ReadableStream }).on('line', (text) => {
    if (text.includes('"msg":"request"')) return;
    const line = text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : { msg: text, level: 'fatal' };
    const { level, msg } = line;
    if (level === 'error' || level === 'fatal' || Number(level) >= 50) faults.push(text);
    waiting.get(String(msg))?.(line);
  });
  const listening = await next('listening');
  const admin = String(listening.admin);

  return {
    port: Number(new URL(String(listening.url)).port),
    kills,
    reloads,
    faults,
    rotatingToken: rotating,
    async restartGateway(downMs) {
      const from = performance.now();
      kills.push({ from, to: Infinity });
      gateway.kill('SIGKILL');
      await once(gateway, 'exit');
      await new Promise((resolve) => setTimeout(resolve, downMs));
      ({ child: gateway } = await startGateway(gatewayPort));
      kills[kills.length - 1] = { from, to: performance.now() };
    },
    async reload() {
      const from = performance.now();
      reloads.push({ from, to: Infinity });
      generation++;
      const reloaded = next('reloaded');
      configure();
      shim.kill('SIGHUP');
      await reloaded;
      reloads[reloads.length - 1] = { from, to: performance.now() };
    },
    async held() {
      const answer = once(shim, 'message');
      shim.send('held');
      const [held] = (await answer) as [Held];
      return { ...held, descriptors: readdirSync(`/proc/${shim.pid}/fd`).length };
    },
    async metric(...names) {
      const families = parseExposition(await textOf(`${admin}/metrics`));
      const samples = names.flatMap((name) => families.get(`auth_shim_${name}`)?.samples ?? []);
      return samples.reduce((sum, { value }) => sum + value, 0);
    },
    async end() {
      shim.kill('SIGTERM');
      const code = await exit;
      gateway.kill('SIGKILL');
      process.off('exit', abandon);
      rmSync(folder, { recursive: true, force: true });
      return code;
    },
  };
}

async function startGateway(port: number): Promise<{ readonly child: ChildProcess; readonly port: number }> {
  const options = JSON.stringify([{ auth: { mode: 'token', token: GATEWAY_SECRET }, ...PACE }, port]);
  const child = spawn(process.execPath, [join(import.meta.dirname, 'gateway.ts'), options], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return { child, port: Number(line) };
}

/** On a connection of its own, so that it adds no descriptor later. */
function textOf(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false }, (res) => {
      let text = '';
      res.setEncoding('utf8').on('data', (part: string) => (text += part));
      res.on('end', () => resolve(text));
    }).on('error', reject);
  });
}
