/** WebSockets through a shim in this process, before the stand-in gateway. */
import type { Test } from 'tap';
import { connect, open, type Asking, type Client, type Connected } from './gateway-client.ts';
import { bearer, caller, startStack, TOKENS, type Stack, type StackOptions } from './stack.ts';

/** Scopes of a caller, and further keys as YAML. */
export interface SocketCaller {
  readonly scopes: readonly string[];
  readonly more?: string;
}

export const READER: SocketCaller = { scopes: ['operator.read'] };
export const WRITER: SocketCaller = { scopes: ['operator.read', 'operator.write'] };

/** `callers:` with a WebSocket each. */
export function socketCallers(all: Partial<Record<keyof typeof TOKENS, SocketCaller>>): string {
  const lines = Object.entries(all).map(([name, { scopes, more = '' }]) =>
    caller(
      name,
      TOKENS[name as keyof typeof TOKENS],
      scopes,
      more.includes('websocket:') ? more : `websocket: relay${more && `, ${more}`}`,
    ),
  );
  return ['callers:', ...lines].join('\n');
}

/** Both, with a reader and a writer who have a WebSocket each. */
export function startSockets(t: Test, options: StackOptions = {}): Promise<Stack> {
  return startStack(t, {
    callers: socketCallers({ reader: READER, writer: WRITER }),
    deviceStore: 'memory',
    ...options,
  });
}

/** A client that sends the bearer in its header and nothing of it in its first frame. */
export function connectAs(
  t: Test,
  stack: { readonly url: string },
  name: keyof typeof TOKENS,
  asking: Asking = {},
): Promise<Connected> {
  return connect(t, stack, { auth: null, headers: bearer(TOKENS[name]), ...asking });
}

/** The same, up to the 101 alone. */
export function openAs(t: Test, stack: { readonly url: string }, name: keyof typeof TOKENS): Client {
  return open(t, stack, { headers: bearer(TOKENS[name]) });
}

/** The last log line with these words. */
export function lineOf({ lines }: Stack, msg: string): Record<string, unknown> | undefined {
  return lines.findLast((line) => line.msg === msg);
}
