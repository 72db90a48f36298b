/** Whose session it is: pins of agent and session keys. Pure. */
import { refuse, type Refusal } from '../errors.ts';
import type { Caller } from '../types.ts';

const SESSION_KEY = /^[A-Za-z0-9._:@-]{1,256}$/;

/**
 * Whether a caller may use a session key. With `sessionPrefix` the key must begin with it. With `agent` the key
 * must name that agent, since the gateway takes the agent of a run from the session key before any header
 * (2026.3.28: `buildAgentCommandInput` gets the key alone); it drops empty parts and ignores case when it reads
 * `agent:<id>:…`, and so does this check.
 *
 * @param caller whose policy counts
 * @param key the session key, decoded
 * @returns the refusal `session_not_allowed`, or `undefined` where the key is the caller's
 */
export function checkSessionKey(caller: Caller, key: string): Refusal | undefined {
  const { agent, sessionPrefix } = caller;
  if (sessionPrefix === undefined && agent === undefined) return undefined;
  if (!SESSION_KEY.test(key)) {
    return refuse('session_not_allowed', { message: 'The session key may have only letters, digits and . _ : @ -' });
  }
  if (sessionPrefix !== undefined && !key.startsWith(sessionPrefix)) {
    return refuse('session_not_allowed', {
      message: `The session key must begin with "${sessionPrefix}".`,
    });
  }
  if (agent !== undefined) {
    const [marker, id, rest] = key.toLowerCase().split(':').filter(Boolean);
    if (marker !== 'agent' || id !== agent || rest === undefined) {
      return refuse('session_not_allowed', { message: `The session key must begin with "agent:${agent}:".` });
    }
  }
  return undefined;
}
