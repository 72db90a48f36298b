/** Frames of callers who may use named methods alone. Pure. */
import type { MethodPolicy } from '../types.ts';
import { parseUnambiguous } from '../json.ts';

/** A request frame as far as it is read. */
export interface RequestFrame {
  readonly id: string;
  readonly method: string;
}

/**
 * @param policy the caller's lists
 * @param method of the gateway
 * @returns whether the caller may name it: allowed where there is such a list, and not denied
 */
export function allowsMethod({ allow, deny }: MethodPolicy, method: string): boolean {
  return (allow === undefined || allow.some(covers(method))) && !deny.some(covers(method));
}

/**
 * The gateway reads binary frames as text, and the last of two equal keys: what two readers could read in two ways
 * is none.
 *
 * @param data one message of a client
 * @returns the request in it, or why it is none that can be judged
 */
export function readRequestFrame(data: Buffer): RequestFrame | string {
  const frame = parseUnambiguous(data);
  if (typeof frame === 'string') return `a frame ${frame}`;
  const { type, id, method } = frame;
  if (type !== 'req' || typeof id !== 'string' || id === '' || typeof method !== 'string' || method === '') {
    return 'a frame must be a request with id and method';
  }
  return { id, method };
}

function covers(method: string): (pattern: string) => boolean {
  return (pattern) => (pattern.endsWith('.*') ? method.startsWith(pattern.slice(0, -1)) : method === pattern);
}
