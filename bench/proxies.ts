/** The proxies that are measured, each as a process of its own before the same gateway. */
import { createHash } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startProcess, type Measured } from './process.ts';

export const TOKEN = 'bench-token-0123456789-abcdefghijklmnop';

export const PROXIES = ['shim', 'http-proxy-3', 'bare undici'] as const;
export type Proxy = (typeof PROXIES)[number];

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const MAIN = here('../dist/main.js');

/**
 * @param folder where its log and configuration go
 * @returns the gateway, listening
 */
export function startGateway(folder: string): Promise<Measured> {
  return startProcess([here('gateway.ts')], join(folder, 'gateway.log'));
}

/**
 * @param proxy which
 * @param gateway origin of the gateway
 * @param folder where its log and configuration go
 * @returns the proxy, listening: the shim as it is built and shipped, its log written to a file
 */
export function startProxy(proxy: Proxy, gateway: string, folder: string): Promise<Measured> {
  const log = join(folder, `${proxy}.log`);
  if (proxy === 'http-proxy-3') return startProcess([here('proxies/http-proxy-3.ts'), gateway], log);
  if (proxy === 'bare undici') return startProcess([here('proxies/undici.ts'), gateway], log);
  if (!existsSync(MAIN)) throw new Error('dist/main.js is missing: run "npm run build" first');
  const file = join(folder, 'shim.config.yaml');
  writeFileSync(file, configuration(gateway));
  const env = { OPENCLAW_GATEWAY_TOKEN: 'gateway-secret-0123456789-abcdef' };
  return startProcess([MAIN, 'serve', '-c', file], log, env);
}

function configuration(gateway: string): string {
  return `
listen: { host: 127.0.0.1, port: 0 }
gateway:
  url: ${gateway}
  auth: { mode: token, secret: { env: OPENCLAW_GATEWAY_TOKEN } }
callers:
  - name: bench
    tokens: [{ hash: "sha256:${createHash('sha256').update(TOKEN).digest('hex')}" }]
    scopes: [operator.read, operator.write]
admin: { port: 0 }
`;
}
