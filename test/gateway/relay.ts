/** The shim with WebSockets, before a real gateway. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { startShim, type LogLine, type ShimProcess } from '../helpers/shim.ts';
import { caller } from '../helpers/stack.ts';
import type { Mode } from './contract.ts';
import { pinOf, type RealGateway } from './gateway.ts';

/** Tokens of the callers. */
export const RELAYED = {
  reader: 'reader-token-0123456789-abcdef',
  writer: 'writer-token-0123456789-abcdef',
  admin: 'admin-token-0123456789-abcdefg',
  pairer: 'pairer-token-0123456789-abcdef',
  /** May name `sessions.list` alone. */
  lister: 'lister-token-0123456789-abcdef',
  /** Is given more scopes while the shim runs. */
  grower: 'grower-token-0123456789-abcdef',
  /** Is taken out while the shim runs. */
  leaver: 'leaver-token-0123456789-abcdef',
} as const;

export type RelayCaller = keyof typeof RELAYED;

const BOTH = ['operator.read', 'operator.write'];
const SCOPES: Readonly<Record<RelayCaller, readonly string[]>> = {
  reader: ['operator.read'],
  writer: BOTH,
  admin: ['operator.admin'],
  pairer: ['operator.pairing'],
  lister: BOTH,
  grower: ['operator.read'],
  leaver: BOTH,
};

export interface RelayShim extends ShimProcess {
  /**
   * Gives callers other scopes, or takes them out.
   *
   * @returns once that is in force
   */
  change(scopes: Partial<Record<RelayCaller, readonly string[] | undefined>>): Promise<void>;
}

/** @param password whether the shim has the gateway's, where the mode is `trusted-proxy` */
export async function relayBefore(t: Test, gateway: RealGateway, mode: Mode, password = true): Promise<RelayShim> {
  const dir = await mkdtemp(join(tmpdir(), 'auth-shim-relay-'));
  t.teardown(() => rm(dir, { recursive: true, force: true }));
  const file = join(dir, 'callers.yaml');
  let scopes: Partial<Record<RelayCaller, readonly string[] | undefined>> = SCOPES;
  const write = (): Promise<void> => writeFile(file, callersOf(scopes));
  await write();
  const shim = await startShim(
    [
      'listen: { port: 0, websocket: { firstFrameToken: true, subprotocolToken: true } }',
      'admin: { port: 0 }',
      `gateway: { url: "${gateway.url}", auth: ${authOf(mode, password)}, deviceStore: "${join(dir, 'devices')}"${pinOf(gateway)} }`,
      `callersFile: "${file}"`,
    ].join('\n'),
    { GATEWAY_SECRET: gateway.token },
  );
  t.teardown(() => shim.stop());
  const seen = new Set<LogLine>();
  return {
    ...shim,
    async change(changed) {
      scopes = { ...scopes, ...changed };
      await write();
      seen.add(await shim.logged((line) => line.msg === 'reloaded' && !seen.has(line)));
    },
  };
}

function authOf(mode: Mode, password: boolean): string {
  if (mode === 'token') return '{ mode: token, secret: { env: GATEWAY_SECRET } }';
  if (mode === 'none') return '{ mode: none }';
  const secret = password ? ', password: { env: GATEWAY_SECRET }' : '';
  return `{ mode: trusted-proxy, userHeader: x-forwarded-user, clientAddress: 203.0.113.9${secret} }`;
}

function callersOf(scopes: Partial<Record<RelayCaller, readonly string[] | undefined>>): string {
  const lines = Object.entries(scopes).flatMap(([name, held]) => {
    const more = name === 'lister' ? ', allowMethods: [sessions.list]' : '';
    return held ? [caller(name, RELAYED[name as RelayCaller], held, `websocket: relay${more}`)] : [];
  });
  return ['callers:', ...lines].join('\n');
}
