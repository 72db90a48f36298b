/** One hop under test: a real gateway, and the shim before it with a caller of each kind. */
import OpenAI from 'openai';
import type { Test } from 'tap';
import { startShim, type ShimProcess } from '../helpers/shim.ts';
import { caller } from '../helpers/stack.ts';
import { pinOf, startGateway, type GatewayOptions, type RealGateway } from './gateway.ts';
import { relayBefore, type RelayShim } from './relay.ts';
import { LOCAL_PASSWORD, LOOPBACK_PROXY, since, VERSION } from './version.ts';

export type HopMode = 'token' | 'trusted-proxy';

/** Tokens of the callers. */
export const CALLERS = {
  reader: 'reader-token-0123456789-abcdef',
  writer: 'writer-token-0123456789-abcdef',
  admin: 'admin-token-0123456789-abcdefg',
  /** May invoke `agents_list` alone. */
  tooler: 'tooler-token-0123456789-abcdef',
  /** Bound to the agent `beta`. */
  beta: 'beta-token-0123456789-abcdefgh',
  /** Bound to sessions that begin with `agent:main:tenant-`. */
  tenant: 'tenant-token-0123456789-abcdef',
} as const;

export interface Hop {
  readonly mode: HopMode;
  readonly gateway: RealGateway;
  readonly shim: ShimProcess;
  /** Where the gateway pairs devices of this machine without an operator. */
  readonly relay: RelayShim | undefined;
}

/** @returns the hop, or `undefined` where this release cannot have it; it ends with the test */
export async function startHop(
  t: Test,
  mode: HopMode,
  options: Pick<GatewayOptions, 'tls'> = {},
): Promise<Hop | undefined> {
  if (mode === 'trusted-proxy' && !LOOPBACK_PROXY) return undefined;
  const auth =
    mode === 'token'
      ? { mode }
      : {
          mode,
          userHeader: 'x-forwarded-user',
          localPassword: LOCAL_PASSWORD,
          ...(since('2026.4.27') && { allowLoopback: true }),
        };
  const gateway = await startGateway({ version: VERSION, auth, ...options });
  t.teardown(() => gateway.stop());
  // All at first: a test that waits between two of its cases may end there.
  const relay = mode === 'token' || LOCAL_PASSWORD ? await relayBefore(t, gateway, mode) : undefined;
  return { mode, gateway, shim: await shimBefore(t, gateway, mode), relay };
}

/** A shim whose secret, or user header, may be wrong. */
export async function shimBefore(
  t: Test,
  gateway: RealGateway,
  mode: HopMode,
  { secret = gateway.token, userHeader = 'x-forwarded-user' } = {},
): Promise<ShimProcess> {
  const auth =
    mode === 'token'
      ? '{ mode: token, secret: { env: GATEWAY_SECRET } }'
      : `{ mode: trusted-proxy, userHeader: ${userHeader}, clientAddress: 203.0.113.9 }`;
  const both = ['operator.read', 'operator.write'];
  const yaml = [
    'listen: { port: 0 }',
    'admin: { port: 0 }',
    `gateway: { url: "${gateway.url}", auth: ${auth}${pinOf(gateway)} }`,
    'callers:',
    caller('reader', CALLERS.reader, ['operator.read']),
    caller('writer', CALLERS.writer, both),
    caller('admin', CALLERS.admin, ['operator.admin']),
    caller('tooler', CALLERS.tooler, both, 'tools: [agents_list]'),
    caller('beta', CALLERS.beta, both, 'agent: beta, allowHeaders: [agent-id]'),
    caller('tenant', CALLERS.tenant, both, 'sessionPrefix: "agent:main:tenant-"'),
  ].join('\n');
  const shim = await startShim(yaml, { GATEWAY_SECRET: secret });
  t.teardown(() => shim.stop());
  return shim;
}

/** The official SDK, with nothing but the two settings that its users have. */
export function openai(url: string, apiKey: string): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
}

/** The gateway has two agents: from 2026.8 on it wants one of them named, and `openclaw/default` is 400. */
export const MODEL = since('2026.8.1') ? 'openclaw/main' : 'openclaw/default';

export function ask(
  content: string,
  more: object = {},
): { model: string; messages: { role: 'user'; content: string }[] } {
  return { model: MODEL, messages: [{ role: 'user', content }], ...more };
}

export const REPLY = 'one two three';
