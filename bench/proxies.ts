/** The proxies that are measured, each as a process of its own before the same gateway. */
import { createHash } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startProcess, type Measured } from './process.ts';

export const TOKEN = 'bench-token-0123456789-abcdefghijklmnop';
export const TOKEN_HASH = `sha256:${createHash('sha256').update(TOKEN).digest('hex')}`;
/** The variable that has the gateway's. */
export const GATEWAY_SECRET = 'OPENCLAW_GATEWAY_TOKEN';

export const PROXIES = ['shim', 'shim, all on', 'http-proxy-3', 'bare undici'] as const;
export type Proxy = (typeof PROXIES)[number];

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const MAIN = here('../dist/main.js');

/**
 * @param folder where its log and configuration go
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
 * @returns the proxy, listening
 */
export function startProxy(proxy: Proxy, gateway: string, folder: string): Promise<Measured> {
  const log = join(folder, `${proxy}.log`);
  if (proxy === 'http-proxy-3') return startProcess([here('proxies/http-proxy-3.ts'), gateway], log);
  if (proxy === 'bare undici') return startProcess([here('proxies/undici.ts'), gateway], log);
  return startShim(proxy, configuration(gateway, { allOn: proxy === 'shim, all on' }), folder);
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
  const env = { [GATEWAY_SECRET]: 'gateway-secret-0123456789-abcdef' };
  return startProcess([MAIN, 'serve', '-c', file], join(folder, `${name}.log`), env);
}

/** All on: limits by minute, day and open requests, the audit, an address range; metrics and traces always are. */
export function configuration(gateway: string, { allOn = false, tls = '' } = {}): string {
  const caller = `
    from: [127.0.0.0/8]
    limits: { requestsPerMinute: 100000000, requestsPerDay: 1000000000, streams: 100000 }
audit: { file: audit.jsonl }`;
  return `
listen: { host: 127.0.0.1, port: 0 }
gateway:
  url: ${gateway}
  auth: { mode: token, secret: { env: ${GATEWAY_SECRET} } }${tls && `\n  tls: ${tls}`}
callers:
  - name: bench
    tokens: [{ hash: "${TOKEN_HASH}" }]
    scopes: [operator.read, operator.write]${allOn ? caller : ''}
admin: { port: 0 }
`;
}
