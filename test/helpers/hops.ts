/** Both hops that carry an identity, and what has to hold for every byte that callers and logs see. */
import type { Test } from 'tap';
import { rawExchange, type RawExchange } from './raw.ts';
import {
  caller,
  callers,
  GATEWAY_SECRET,
  startStack,
  TOKENS,
  TRACEPARENT,
  type Stack,
  type StackOptions,
} from './stack.ts';

export type Hop = 'token' | 'trusted-proxy';
export const HOPS: readonly Hop[] = ['token', 'trusted-proxy'];

/** Names and values that only the shim and the gateway know. */
export const USER_HEADER = 'X-Id-9f3ac71d20b84e56';
export const HOP_HEADER = 'x-hop_c44e1b7a905d';
export const HOP_VALUE = 'hop-value-5d1e0c9b8a77';
export const STAND_IN = '192.0.2.77';

const SECRETS = [...Object.values(TOKENS), GATEWAY_SECRET, USER_HEADER, HOP_HEADER, HOP_VALUE];

/** A shim in one of the hops, before a stand-in whose release believes it. */
export function startHop(t: Test, hop: Hop, options: StackOptions = {}): Promise<Stack> {
  if (hop === 'token') return startStack(t, options);
  return startStack(t, {
    auth: `{ mode: trusted-proxy, userHeader: { env: USER_HEADER }, clientAddress: ${STAND_IN}, requiredHeaders: [{ name: { env: HOP_HEADER }, value: { env: HOP_VALUE } }] }`,
    ...options,
    env: { USER_HEADER, HOP_HEADER, HOP_VALUE, ...options.env },
    gateway: {
      release: '2026.9.6',
      auth: { mode: 'trusted-proxy', userHeader: USER_HEADER, requiredHeaders: [HOP_HEADER], allowLoopback: true },
      ...options.gateway,
    },
  });
}

/** The default callers and further ones. */
export function callersAnd(...more: Parameters<typeof caller>[]): string {
  return [callers(), ...more.map((one) => caller(...one))].join('\n');
}

/**
 * @param hop which one
 * @param name of the caller
 * @param scopes as they are sent
 * @param client what stands in `X-Forwarded-For`
 * @returns what the shim adds last, names and values alternating
 */
export function ours(hop: Hop, name: string, scopes: string, client = STAND_IN): string[] {
  const scoped = ['x-openclaw-scopes', scopes, 'traceparent', TRACEPARENT];
  if (hop === 'token') return ['authorization', `Bearer ${GATEWAY_SECRET}`, ...scoped];
  const forwarded = ['x-forwarded-for', client, 'x-forwarded-proto', 'http', 'x-forwarded-host', 'localhost'];
  return [USER_HEADER, name, HOP_HEADER, HOP_VALUE, ...forwarded, ...scoped];
}

/** What undici writes before the list that it was given. */
export function framing(stack: Stack): string[] {
  return ['host', new URL(stack.gateway.url).host, 'connection', 'keep-alive'];
}

/**
 * Sends bytes, waits for the log line, and checks that nothing secret came back or was logged.
 *
 * @returns the answer, what the gateway saw of it, and the log line
 */
export async function attack(
  t: Test,
  stack: Stack,
  bytes: string | Buffer,
): Promise<{ answer: RawExchange; seen: Stack['gateway']['requests']; line: Record<string, unknown> }> {
  const before = stack.gateway.requests.length;
  const logged = stack.nextLine();
  const answer = await rawExchange(stack.port, bytes);
  const line = await logged;
  const told = `${answer.text}\n${JSON.stringify(stack.lines)}`.toLowerCase();
  const leaks = SECRETS.filter((secret) => told.includes(secret.toLowerCase()));
  t.strictSame(leaks, [], 'no secret comes back or is logged');
  return { answer, line, seen: stack.gateway.requests.slice(before) };
}

const KEEPING: readonly number[] = [403, 404, 405];

/** Status and code of a refusal of the shim. */
export interface Refused {
  readonly status: number;
  readonly code: string;
  /** Whether the connection stays open: by its status, unless said otherwise. */
  readonly keeps?: boolean;
}

/** Asserts a refusal: status, code, body shape, the end of the connection, and silence towards the gateway. */
export async function refused(
  t: Test,
  stack: Stack,
  bytes: string | Buffer,
  { status, code, keeps = KEEPING.includes(status) }: Refused,
): Promise<void> {
  const { answer, seen, line } = await attack(t, stack, bytes);
  t.equal(answer.status, status);
  t.match(JSON.parse(answer.body), { error: { code, param: null, message: String, type: String } });
  t.match(answer.headers['x-request-id'], /^[0-9a-f-]{36}$/);
  t.equal(answer.headers.connection, keeps ? 'keep-alive' : 'close');
  t.equal(answer.closed, !keeps);
  t.equal(seen.length, 0, 'the gateway sees nothing');
  t.match(line, { status, code, end: 'refused' });
}
