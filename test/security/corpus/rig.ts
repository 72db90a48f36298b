/** A shim between a caller at the level of bytes and a recorder, in this process or in one of another Node. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls, createSecureContext } from 'node:tls';
import { pino } from 'pino';
import { parseConfig } from '../../../src/config/load.ts';
import { requestLog } from '../../../src/observe/log.ts';
import { startShim } from '../../../src/server/shim.ts';
import { makeAuthority } from '../../helpers/certificates.ts';
import { openOver, type RawConnection } from '../../helpers/raw.ts';
import { startShim as startProcess } from '../../helpers/shim.ts';
import { configuration, ENV } from './callers.ts';
import type { Hop, Transport, Variant } from './case.ts';
import type { Way } from './expected.ts';
import { startRecorder, type Recorder } from './recorder.ts';

/** One shim: how it is reached, how it is configured, and which Node runs it. */
export interface Setting {
  readonly hop: Hop;
  readonly transport: Transport;
  readonly variant: Variant;
  /** The program that runs it; `undefined`: this process. */
  readonly node?: string;
}

export interface Rig {
  readonly setting: Setting;
  readonly way: Way;
  readonly gateway: Recorder;
  /** @returns a connection of a caller's; it is destroyed with the rig */
  connect(): Promise<RawConnection>;
  /** Every line of the log so far, and of the audit. */
  log(): string;
  audit(): string;
  /** Sockets that the shim has open, but for those to the gateway; `undefined` where the system does not tell. */
  sockets(): number | undefined;
  /** Ends both. @returns what is wrong with how the shim ended */
  stop(): Promise<string | undefined>;
}

const certificates = (async () => {
  const ca = await makeAuthority();
  const names = { dns: ['localhost'], ips: ['127.0.0.1'], usage: ['serverAuth'] } as const;
  const [listener, gateway, client] = await Promise.all([
    ca.issue(names),
    ca.issue(names),
    ca.issue({ uris: ['spiffe://cluster/near'], usage: ['clientAuth'] }),
  ]);
  return { ca, listener, gateway, client };
})();

/** @returns the rig, listening */
export async function startRig(setting: Setting): Promise<Rig> {
  const { hop, transport, variant, node } = setting;
  const { ca, listener, gateway: own, client } = await certificates;
  // Paths of sockets are short.
  const folder = await mkdtemp(join(tmpdir(), 'auth-shim-'));
  const path = (name: string): string => join(folder, name);
  const files = { 'ca.crt': ca.cert, 'tls.crt': listener.cert, 'tls.key': listener.key };
  const more = { 'client.crt': client.cert, 'client.key': client.key };
  for (const [name, text] of Object.entries({ ...files, ...more })) await writeFile(path(name), text, { mode: 0o600 });
  await chmod(folder, 0o700);
  const nextIsShim = hop === 'shim';
  const gateway = await startRecorder(
    nextIsShim ? { ...own, ca: ca.cert, requestCert: true, rejectUnauthorized: true } : undefined,
  );
  const where = transport === 'unix' ? `socket: ${path('s')}` : 'host: 127.0.0.1, port: 0';
  const yaml = configuration({
    hop,
    variant,
    listen: transport === 'tls' ? `${where}, tls: { cert: ${path('tls.crt')}, key: ${path('tls.key')} }` : where,
    gatewayUrl: gateway.url,
    gatewayTls: nextIsShim
      ? `{ ca: ${path('ca.crt')}, cert: ${path('client.crt')}, key: ${path('client.key')} }`
      : undefined,
    audit: path('audit'),
  });
  const shim = await (node === undefined ? startHere(yaml) : startThere(yaml, node));
  const opened: (() => unknown)[] = [];
  const teardown = { teardown: (end: () => unknown) => void opened.push(end) };
  const trust = createSecureContext({ ca: ca.cert });
  let session: Buffer | undefined;
  const { port } = new URL(transport === 'unix' ? 'http://socket' : shim.url);
  return {
    setting,
    way: { hop, scheme: transport === 'tls' ? 'https' : 'http', authority: gateway.authority },
    gateway,
    connect() {
      if (transport === 'unix') return openOver(teardown, connectTcp(path('s')));
      if (transport === 'tcp') return openOver(teardown, connectTcp(Number(port), '127.0.0.1'));
      const where = { port: Number(port), host: '127.0.0.1', secureContext: trust, servername: 'localhost' };
      const socket = connectTls({ ...where, ...(session && { session }) });
      // A resumed session costs a third of a new one.
      socket.on('session', (ticket) => (session = ticket));
      return openOver(teardown, socket, 'secureConnect');
    },
    log: () => shim.log(),
    audit: () => readFileSync(path('audit'), 'utf8'),
    sockets() {
      const all = socketsOf(shim.pid);
      // In this process the gateway's ends count too.
      return all === undefined ? undefined : all - gateway.open() * (node === undefined ? 2 : 1);
    },
    async stop() {
      for (const end of opened) end();
      const wrong = await shim.stop();
      await gateway.close();
      await rm(folder, { recursive: true });
      return wrong;
    },
  };
}

interface Running {
  readonly url: string;
  readonly pid: number;
  log(): string;
  stop(): Promise<string | undefined>;
}

async function startHere(yaml: string): Promise<Running> {
  let log = '';
  const logger = pino({ base: undefined }, { write: (line: string) => void (log += line) });
  const readFile = (path: string): string => readFileSync(path, 'utf8');
  const world = { readFile, env: ENV, home: '/nowhere', now: Date.now() };
  const shim = await startShim((await parseConfig('shim.config.yaml', yaml, world)).config, requestLog(logger));
  const stop = async (): Promise<undefined> => {
    await shim.stop();
    return undefined;
  };
  return { url: shim.url, pid: process.pid, log: () => log, stop };
}

async function startThere(yaml: string, node: string): Promise<Running> {
  const shim = await startProcess(yaml, ENV, node);
  return {
    url: shim.url,
    pid: shim.pid,
    log: () => shim.log(),
    async stop() {
      const code = await shim.stop();
      return code === 0 ? undefined : `it ended with ${code}\n${shim.log().slice(-2_000)}`;
    },
  };
}

function socketsOf(pid: number): number | undefined {
  const folder = `/proc/${pid}/fd`;
  try {
    return readdirSync(folder).filter((fd) => isSocket(join(folder, fd))).length;
  } catch {
    // Only Linux has it.
    return undefined;
  }
}

function isSocket(fd: string): boolean {
  try {
    return readlinkSync(fd).startsWith('socket:');
  } catch {
    // It was closed meanwhile.
    return false;
  }
}
