/** A shim before a stand-in gateway, in this process, on free ports; ended with the test. */
import type { Test } from 'tap';
import { pino } from 'pino';
import type { Config } from '../../src/config/config.ts';
import { parseConfig } from '../../src/config/load.ts';
import { hashToken } from '../../src/callers/token.ts';
import { startGateway, type StandInGateway, type StandInOptions } from '../../src/demo/gateway.ts';
import { requestLog } from '../../src/observe/log.ts';
import { startShim, type ShimOptions } from '../../src/server/shim.ts';
import type { RawToken } from '../../src/types.ts';

export const GATEWAY_SECRET = 'gateway-secret-0123456789abcdef';

/** Tokens of the callers that `callers()` writes. */
export const TOKENS = {
  reader: 'reader-token-0123456789-abcdef' as RawToken,
  writer: 'writer-token-0123456789-abcdef' as RawToken,
  admin: 'admin-token-0123456789-abcdefg' as RawToken,
} as const;

export function hashOf(token: string): string {
  return `sha256:${hashToken(token as RawToken)}`;
}

/** One caller as a line of YAML. */
export function caller(name: string, token: string, scopes: readonly string[], more = ''): string {
  return `  - { name: ${name}, tokens: [{ hash: "${hashOf(token)}" }], scopes: [${scopes.join(', ')}]${more && `, ${more}`} }`;
}

export function callers(): string {
  return [
    'callers:',
    caller('reader', TOKENS.reader, ['operator.read']),
    caller('writer', TOKENS.writer, ['operator.read', 'operator.write']),
    caller('admin', TOKENS.admin, ['operator.admin']),
  ].join('\n');
}

const TRACE_ID = 'a'.repeat(32);
const SPAN_ID = 'b'.repeat(16);
/** What the gateway is told of a trace that begins at the shim. */
export const TRACEPARENT = `00-${TRACE_ID}-${SPAN_ID}-03`;

export interface StackOptions {
  readonly gateway?: Partial<StandInOptions>;
  /** Another server in the gateway's place. */
  readonly gatewayUrl?: string;
  readonly auth?: string;
  /** `gateway.deviceStore`; needed where a caller has `websocket: relay`. */
  readonly deviceStore?: string;
  readonly listen?: string;
  readonly callers?: string;
  readonly admin?: string;
  readonly more?: string;
  readonly env?: Record<string, string>;
  /** `gateway.tls` */
  readonly gatewayTls?: string;
  /** What the configuration names by path, by the path as it is written. A change counts from the next reload on. */
  readonly files?: Record<string, string>;
  readonly limits?: ShimOptions;
}

export interface Stack {
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly adminUrl: string;
  readonly gateway: StandInGateway;
  /** Log lines so far, parsed. */
  readonly lines: Record<string, unknown>[];
  /** The log line of the next request that ends. */
  readonly nextLine: () => Promise<Record<string, unknown>>;
  readonly drain: () => Promise<void>;
  /** Takes other callers, or another `admin`, as a reload does. */
  readonly reload: (callers?: string, admin?: string) => Promise<void>;
  /** A reload comes to nothing. */
  readonly reloadFails: (fault: string, faults: readonly string[]) => void;
}

/** Starts both; everything ends with the test. */
export async function startStack(t: Test, options: StackOptions = {}): Promise<Stack> {
  const gateway = await startGateway({ auth: { mode: 'token', token: GATEWAY_SECRET }, ...options.gateway });
  t.teardown(() => gateway.close());
  const textWith = (who: string, admin = options.admin ?? '{ port: 0 }'): string =>
    [
      `listen: ${options.listen ?? '{ host: 127.0.0.1, port: 0 }'}`,
      `gateway:\n  url: ${options.gatewayUrl ?? gateway.url}`,
      `  auth: ${options.auth ?? '{ mode: token, secret: { env: SECRET } }'}`,
      options.gatewayTls === undefined ? '' : `  tls: ${options.gatewayTls}`,
      options.deviceStore === undefined ? '' : `  deviceStore: ${options.deviceStore}`,
      who,
      `admin: ${admin}`,
      options.more ?? '',
    ].join('\n');
  const load = async (who: string, admin?: string): Promise<Config> => {
    const env = { SECRET: GATEWAY_SECRET, ...options.env };
    const world = { readFile: (path: string) => options.files?.[path] ?? '', env, home: '/nowhere', now: Date.now() };
    return (await parseConfig('test.yaml', textWith(who, admin), world)).config;
  };
  const config = await load(options.callers ?? callers());

  const lines: Record<string, unknown>[] = [];
  const waiting: ((line: Record<string, unknown>) => void)[] = [];
  const logger = pino(
    { base: undefined },
    {
      write(text: string) {
        const line = JSON.parse(text) as Record<string, unknown>;
        lines.push(line);
        if (line.msg === 'request') waiting.shift()?.(line);
      },
    },
  );
  const shim = await startShim(config, requestLog(logger), {
    traceIds: { traceId: () => TRACE_ID, spanId: () => SPAN_ID },
    ...options.limits,
  });
  t.teardown(() => shim.stop());
  const { port, host } = new URL(shim.url.startsWith('http') ? shim.url : 'http://socket');
  return {
    url: shim.url,
    host,
    port: Number(port),
    adminUrl: shim.adminUrl as string,
    gateway,
    lines,
    nextLine: () => new Promise((resolve) => waiting.push(resolve)),
    drain: () => shim.drain(),
    reload: async (who = options.callers ?? callers(), admin) => void (await shim.apply(await load(who, admin))),
    reloadFails: (fault, faults) => shim.reloaded(fault, [], faults),
  };
}

export function bearer(token: string): { authorization: string } {
  return { authorization: `Bearer ${token}` };
}
