/** The proxies that are measured, each as a process of its own before the same gateway. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { here, isInstalled } from './machine.ts';
import { startProcess, startProgram, type Measured } from './process.ts';

export const TOKEN = 'bench-token-0123456789-abcdefghijklmnop';
const TOKEN_HASH = `sha256:${createHash('sha256').update(TOKEN).digest('hex')}`;
/** The gateway's own, in the variable where the shim looks for it. */
const GATEWAY_SECRET = 'OPENCLAW_GATEWAY_TOKEN';
const SECRET = 'gateway-secret-0123456789-abcdef';

/** Written for Node; the last is the least that a proxy with undici can do. */
const SCRIPTS = ['http-proxy-3', 'reply-from', 'bare undici'] as const;
const PROGRAMS = { caddy: 'Caddyfile', nginx: 'nginx.conf', haproxy: 'haproxy.cfg' } as const;
type Script = (typeof SCRIPTS)[number];
type Program = keyof typeof PROGRAMS;

export type Proxy = 'shim' | Script | Program;
/** What a figure is of: a proxy, or the gateway asked without one. */
export type Side = 'direct' | Proxy;

const MAIN = here('../dist/main.js');

/** All but the programs that are not installed. */
export const PROXIES: readonly Proxy[] = (
  ['shim', 'http-proxy-3', 'reply-from', 'caddy', 'nginx', 'haproxy', 'bare undici'] as const
).filter((name) => !(name in PROGRAMS) || isInstalled(name));
/** Those that refuse whoever has not the token. */
export const CHECKING: readonly Proxy[] = PROXIES.filter((name) => name !== 'http-proxy-3' && name !== 'bare undici');
export const MISSING = (Object.keys(PROGRAMS) as Program[]).filter((name) => !PROXIES.includes(name));

/** Paths of PEM files: what the proxy shows the gateway, and the authority of the gateway's certificate. */
export interface HopFiles {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

/**
 * @param folder where its log goes
 * @param tls paths of its certificate, its key, and the authority of its clients
 * @returns the gateway, listening
 */
export function startGateway(folder: string, tls: readonly string[] = []): Promise<Measured> {
  return startProcess([here('gateway.ts'), ...tls], join(folder, `gateway${tls.length}.log`));
}

/**
 * @param proxy which
 * @param gateway origin of the gateway
 * @param folder where its log and configuration go
 * @param tls for a hop over mutual TLS
 * @returns the proxy, listening
 */
export function startProxy(proxy: Proxy, gateway: string, folder: string, tls?: HopFiles): Promise<Measured> {
  const name = tls ? `${proxy}-tls` : proxy;
  const log = join(folder, `${name}.log`);
  if (proxy === 'shim') return startShim(name, configuration(gateway, { tls }), folder);
  if (proxy in PROGRAMS) return startFromTemplate(proxy as Program, name, gateway, folder, tls);
  const script = here(`proxies/${proxy.replace('bare ', '')}.ts`);
  const env = { BENCH_TOKEN: TOKEN, BENCH_SECRET: SECRET };
  return startProcess([script, gateway, ...(tls ? [tls.cert, tls.key, tls.ca] : [])], log, env);
}

async function startFromTemplate(
  program: Program,
  name: string,
  gateway: string,
  folder: string,
  tls?: HopFiles,
): Promise<Measured> {
  const port = await freePort();
  const known: Readonly<Record<string, string>> = {
    PORT: String(port),
    SCHEME: tls ? 'https' : 'http',
    GATEWAY: new URL(gateway).host,
    TOKEN,
    SECRET,
    LOG: join(folder, `${name}-access.log`),
    PID: join(folder, `${name}.pid`),
    TLS: tls ? hopLines(program, tls) : '',
  };
  const template = readFileSync(here(`proxies/${PROGRAMS[program]}`), 'utf8');
  const file = join(folder, `${name}.conf`);
  writeFileSync(
    file,
    template.replace(/@([A-Z]+)@/g, (_, key: string) => known[key] ?? ''),
  );
  // HAProxy asks for certificate and key in one file.
  if (program === 'haproxy' && tls) {
    writeFileSync(`${tls.cert}.both`, readFileSync(tls.cert, 'utf8') + readFileSync(tls.key, 'utf8'), { mode: 0o600 });
  }
  const args = {
    caddy: ['run', '--adapter', 'caddyfile', '--config', file],
    nginx: ['-c', file, '-e', 'stderr'],
    haproxy: ['-db', '-f', file],
  }[program];
  return startProgram(program, args, join(folder, `${name}.log`), port);
}

/** nginx and HAProxy compare names alone, never addresses. */
function hopLines(program: Program, { cert, key, ca }: HopFiles): string {
  return {
    caddy: `tls_client_auth ${cert} ${key}\n tls_trusted_ca_certs ${ca}`,
    nginx: `proxy_ssl_certificate ${cert}; proxy_ssl_certificate_key ${key};
      proxy_ssl_trusted_certificate ${ca}; proxy_ssl_verify on; proxy_ssl_name gateway.bench;`,
    haproxy: `ssl crt ${cert}.both ca-file ${ca} verify required verifyhost gateway.bench`,
  }[program];
}

/**
 * @param name of its files
 * @param configuration its YAML
 * @param folder where its log and configuration go
 * @returns the shim, listening: as it is built and shipped, its log written to a file
 */
export async function startShim(name: string, configuration: string, folder: string): Promise<Measured> {
  if (!existsSync(MAIN)) throw new Error('dist/main.js is missing: run "npm run build" first');
  const file = join(folder, `${name}.yaml`);
  writeFileSync(file, configuration);
  return startProcess([MAIN, 'serve', '-c', file], join(folder, `${name}.log`), { [GATEWAY_SECRET]: SECRET });
}

/** What a configuration has beside everything that is on in each. */
export interface Further {
  readonly tls?: HopFiles | undefined;
  /** Keys of the caller, and of the whole, as YAML. */
  readonly caller?: string;
  readonly more?: string;
}

/**
 * Everything on: the caller's token, scopes and addresses, limits by minute, day and open requests, the audit to a
 * file of its own; metrics always are.
 *
 * @param gateway origin of the gateway
 * @param further what one measurement needs
 * @returns YAML
 */
export function configuration(gateway: string, { tls, caller = '', more = '' }: Further = {}): string {
  return `
listen: { host: 127.0.0.1, port: 0 }
gateway:
  url: ${gateway}
  auth: { mode: token, secret: { env: ${GATEWAY_SECRET} } }
  deviceStore: memory
  ${tls ? `tls: { ca: ${tls.ca}, cert: ${tls.cert}, key: ${tls.key} }` : ''}
callers:
  - name: bench
    tokens: [{ hash: "${TOKEN_HASH}" }]
    scopes: [operator.read, operator.write]
    from: [127.0.0.0/8]
    ${caller}
limits:
  default: { requestsPerMinute: 100000000, requestsPerDay: 1000000000, streams: 100000, sockets: 100000 }
audit: { file: audit-${auditFiles++}.jsonl }
admin: { port: 0 }
${more}`;
}
let auditFiles = 0;

/**
 * Sees that a proxy does what it is measured for: the gateway gets its own secret and none of the caller's scopes, and
 * a wrong token is refused.
 *
 * @param proxy one that checks
 * @param url where it listens
 * @param gateway origin of the gateway
 * @throws where it does not
 */
export async function assertJob(proxy: Proxy, url: string, gateway: string): Promise<void> {
  const ask = (token: string): Promise<Response> =>
    fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      body: '{}',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        'x-openclaw-scopes': 'operator.admin',
      },
    });
  const passed = await ask(TOKEN);
  await passed.text();
  const seen = (await (await fetch(gateway)).json()) as { authorization?: string; scopes?: string };
  const refused = await ask('wrong');
  await refused.text();
  const right =
    passed.status === 200 &&
    refused.status === 401 &&
    seen.authorization === `Bearer ${SECRET}` &&
    seen.scopes?.replaceAll(' ', '') === 'operator.read,operator.write';
  if (!right) {
    throw new Error(`${proxy} does another job: ${passed.status}, ${refused.status}, ${JSON.stringify(seen)}`);
  }
}

/** Between this and the start of the program another one may take it: then the start fails, and is told. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
