/** Starts a real OpenClaw gateway, alone in a temporary folder, with a model server of its own. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ask, SECRET as token } from './contract.ts';
import { installGateway } from './install.ts';
import { startModel, type Model } from './model.ts';

const run = promisify(execFile);

/** Cold, on a busy machine, the newest releases need most of this. */
const READY_MS = 90_000;
const GRACE_MS = 5_000;

/** Name of the folder that the agent `beta` works in. */
export const BETA_WORKSPACE = 'work-beta';

export type Auth =
  | { readonly mode: 'token' }
  | { readonly mode: 'none' }
  | {
      readonly mode: 'trusted-proxy';
      readonly userHeader: string;
      readonly requiredHeaders?: readonly string[];
      /** From 2026.4.27 on: believe a proxy on loopback. Earlier releases refuse the key. */
      readonly allowLoopback?: boolean;
      /** Whether the secret is `gateway.auth.password` as well, for clients on this machine. */
      readonly localPassword?: boolean;
    };

export interface GatewayOptions {
  readonly version: string;
  readonly auth: Auth;
  /** Whether the `/v1` routes are switched on in `gateway.http.endpoints`; on unless told otherwise. */
  readonly endpoints?: boolean;
  /** Whether it ends TLS itself, with the certificate that it makes at its first start. */
  readonly tls?: boolean;
  /** Further keys of `openclaw.json`, on top of what the harness sets. */
  readonly config?: Readonly<Record<string, unknown>>;
}

export interface RealGateway {
  readonly url: string;
  readonly port: number;
  /** SHA-256 of its certificate, 64 lower-case hex digits; `undefined` without TLS. */
  readonly fingerprint: string | undefined;
  /** The secret of `token` mode, and the local password of `trusted-proxy`. */
  readonly token: string;
  readonly model: Model;
  /** `OPENCLAW_STATE_DIR`: sessions are under `agents/<id>/sessions`. */
  readonly stateDir: string;
  /** What the gateway wrote on stdout and stderr. */
  log(): string;
  /**
   * Runs `openclaw …` beside it, as its operator does.
   *
   * @throws Error with what it wrote, when it ends with another code than 0
   */
  cli(...args: readonly string[]): Promise<string>;
  stop(): Promise<void>;
}

/** What stands behind the URL and `auth` in the shim's `gateway:`, so that it knows this gateway again. */
export function pinOf({ fingerprint }: RealGateway): string {
  return fingerprint === undefined ? '' : `, tls: { fingerprint: "sha256:${fingerprint}" }`;
}

/**
 * @param options release, mode and what differs from the defaults: agents `main` and `beta`, `/v1` on
 * @returns the gateway once `GET /healthz` is 200
 * @throws Error with its log when it ends, or is not ready within 90 s
 */
export async function startGateway(options: GatewayOptions): Promise<RealGateway> {
  const installed = await installGateway(options.version);
  const dir = await mkdtemp(join(tmpdir(), 'auth-shim-gateway-'));
  const stateDir = join(dir, 'state');
  await mkdir(join(dir, 'work'), { recursive: true });
  const [model, port] = [await startModel(), await freePort()];
  const config = join(dir, 'openclaw.json');
  await writeFile(config, JSON.stringify(gatewayConfig(options, { port, token, modelPort: model.port, dir })));

  const program = join(installed, 'node_modules/openclaw/openclaw.mjs');
  const env = {
    PATH: process.env.PATH ?? '',
    HOME: dir,
    OPENCLAW_STATE_DIR: stateDir,
    OPENCLAW_CONFIG_PATH: config,
    OPENCLAW_SKIP_CHANNELS: '1',
    OPENCLAW_DISABLE_BONJOUR: '1',
  };
  const child = spawn(process.execPath, [program, 'gateway', 'run', '--port', String(port)], {
    cwd: dir,
    // A process group of its own: the gateway starts children that outlive a signal to it alone.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env,
  });
  // A test that breaks off must not leave the group behind: it has hundreds of megabytes and a port.
  const abandon = (): void => signalGroup(child.pid, 'SIGKILL');
  const breakOff = (): never => process.exit(1);
  process.once('exit', abandon).once('SIGTERM', breakOff).once('SIGINT', breakOff);
  let log = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (log += text.toString()));
  const gateway: RealGateway = {
    url: `${options.tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    port,
    fingerprint: undefined,
    token,
    model,
    stateDir,
    log: () => log,
    cli: async (...args) => {
      const { stdout } = await run(process.execPath, [program, ...args], { cwd: dir, env, timeout: READY_MS });
      return stdout;
    },
    stop: async () => {
      await endGroup(child);
      process.off('exit', abandon).off('SIGTERM', breakOff).off('SIGINT', breakOff);
      await model.close();
      await rm(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
    },
  };
  try {
    await ready(gateway.url, child);
    return options.tls ? { ...gateway, fingerprint: await fingerprintOf(stateDir) } : gateway;
  } catch (error) {
    await gateway.stop();
    throw new Error(`openclaw@${options.version}: ${String(error)}\n${log}`, { cause: error });
  }
}

async function fingerprintOf(stateDir: string): Promise<string> {
  const pem = await readFile(join(stateDir, 'gateway/tls/gateway-cert.pem'));
  return new X509Certificate(pem).fingerprint256.replaceAll(':', '').toLowerCase();
}

function gatewayConfig(
  { auth, endpoints = true, tls, config }: GatewayOptions,
  at: { readonly port: number; readonly token: string; readonly modelPort: number; readonly dir: string },
): object {
  const trustedProxy =
    auth.mode === 'trusted-proxy' ? { ...auth, mode: undefined, localPassword: undefined } : undefined;
  const secret = {
    ...(auth.mode === 'token' && { token: at.token }),
    ...(auth.mode === 'trusted-proxy' && auth.localPassword && { password: at.token }),
  };
  return {
    gateway: {
      mode: 'local',
      port: at.port,
      bind: 'loopback',
      auth: { mode: auth.mode, ...secret, trustedProxy },
      ...(tls && { tls: { enabled: true, autoGenerate: true } }),
      ...(trustedProxy && { trustedProxies: ['127.0.0.1', '::1'] }),
      ...(endpoints && { http: { endpoints: { chatCompletions: { enabled: true }, responses: { enabled: true } } } }),
    },
    models: {
      mode: 'merge',
      providers: {
        stub: {
          baseUrl: `http://127.0.0.1:${at.modelPort}/v1`,
          apiKey: 'stub',
          api: 'openai-completions',
          models: [
            {
              id: 'stub',
              name: 'stub',
              reasoning: false,
              input: ['text'],
              cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 },
              contextWindow: 128_000,
              maxTokens: 4096,
            },
          ],
        },
      },
    },
    agents: {
      defaults: {
        workspace: join(at.dir, 'work'),
        model: { primary: 'stub/stub' },
        models: { 'stub/stub': {} },
      },
      list: [
        { id: 'main', default: true },
        { id: 'beta', workspace: join(at.dir, BETA_WORKSPACE) },
      ],
    },
    ...config,
  };
}

async function ready(url: string, child: ChildProcess): Promise<void> {
  const deadline = AbortSignal.timeout(READY_MS);
  while (true) {
    if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode} before it was ready`);
    const [status] = await ask(url, { request: ['GET', '/healthz', {}] }, deadline).catch(() => [0]);
    if (status === 200) return;
    deadline.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

async function endGroup(child: ChildProcess): Promise<void> {
  const runs = child.exitCode === null && child.signalCode === null;
  const gone = runs ? new Promise((resolve) => child.once('exit', resolve)) : Promise.resolve();
  signalGroup(child.pid, 'SIGTERM');
  const timer = setTimeout(() => signalGroup(child.pid, 'SIGKILL'), GRACE_MS);
  await gone;
  clearTimeout(timer);
  signalGroup(child.pid, 'SIGKILL');
}

function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
