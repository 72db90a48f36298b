/** The methods of the stand-in gateway, and the run of an agent as its clients see it. */
import { hasScope, isScope } from '../scopes.ts';
import type { Scope } from '../types.ts';
import { isObject, problemsOf, type RequestFrame } from './frames.ts';
import { healthOf } from './hello.ts';
import { wordsOf, type Pace } from './replies.ts';
import type { Rules } from './rules.ts';

/** Who called. */
export interface MethodCaller {
  readonly scopes: readonly string[];
}

/** What methods work with. */
export interface Stage {
  readonly rules: Rules;
  readonly pace: Pace;
  /** `gateway.nodes.pairing.autoApproveLocal` */
  readonly autoApproveLocal: boolean;
  /** Fires when the gateway stops: nothing else ends a run, not even its caller's end. */
  readonly stopped: AbortSignal;
  /** Sends an event to every client; `dropIfSlow`: but for those that do not keep up. */
  broadcast(event: string, payload: object, dropIfSlow?: boolean): void;
}

export type Answer =
  | { readonly ok: true; readonly payload: object }
  | {
      readonly ok: false;
      readonly error: { readonly code: string; readonly message: string; readonly details?: object };
    };

interface Method {
  readonly scope?: Scope;
  run(stage: Stage, params: unknown): Answer;
}

const METHODS: Readonly<Record<string, Method>> = {
  health: { run: () => ({ ok: true, payload: healthOf() }) },
  'sessions.list': { scope: 'operator.read', run: () => ({ ok: true, payload: sessions() }) },
  'config.get': { scope: 'operator.read', run: settings },
  'chat.send': { scope: 'operator.write', run: chatSend },
  // A real one knows it as a method too: whoever lacks the scope is told so first.
  connect: { scope: 'operator.admin', run: () => invalid('connect is only valid as the first request') },
};

export const METHOD_NAMES: readonly string[] = Object.keys(METHODS).filter((name) => name !== 'connect');

/** @returns the answer; what follows it, as the events of a run, comes later */
export function call(stage: Stage, caller: MethodCaller, { method, params }: RequestFrame): Answer {
  const known = Object.hasOwn(METHODS, method) ? METHODS[method] : undefined;
  const scope = known ? known.scope : 'operator.admin';
  if (scope !== undefined && !hasScope(caller.scopes.filter(isScope), scope)) return missing(scope, stage.rules);
  return known?.run(stage, params) ?? invalid(`unknown method: ${method}`);
}

function sessions(): object {
  const defaults = { modelProvider: 'stub', model: 'stub', contextTokens: 128_000 };
  return { ts: Date.now(), path: '(multiple)', count: 0, defaults, sessions: [] };
}

/** Of the gateway's configuration what clients of the tests read; a real one has all of it, with its secrets redacted. */
function settings({ autoApproveLocal }: Stage): Answer {
  return { ok: true, payload: { config: { gateway: { nodes: { pairing: { autoApproveLocal } } } } } };
}

const CHAT_SEND = { sessionKey: 'text', message: 'string', idempotencyKey: 'text' } as const;

function chatSend(stage: Stage, params: unknown): Answer {
  const given = isObject(params) ? params : {};
  const asked = Object.fromEntries(Object.keys(CHAT_SEND).map((name) => [name, given[name]]));
  const problems = problemsOf(asked, CHAT_SEND, stage.rules.socket.allProblems);
  if (problems) return invalid(`invalid chat.send params: ${problems}`);
  const runId = String(asked.idempotencyKey);
  const key = String(asked.sessionKey);
  // The answer goes out before the first event.
  setImmediate(() => void run(stage, runId, key === 'main' ? 'agent:main:main' : key));
  return { ok: true, payload: { runId, status: 'started' } };
}

async function run(stage: Stage, runId: string, sessionKey: string): Promise<void> {
  const { rules, pace, stopped } = stage;
  const who = { runId, sessionKey, ...(rules.socket.tellsMore && { agentId: 'main' }) };
  let seq = 0;
  let text = '';
  const agent = (stream: string, data: object): void =>
    stage.broadcast('agent', { ...who, stream, data, seq: ++seq, ts: Date.now() });
  const chat = (state: 'delta' | 'final', more: object = {}): void => {
    const message = { role: 'assistant', content: [{ type: 'text', text }], timestamp: Date.now() };
    stage.broadcast('chat', { ...who, seq, state, ...more, message }, state === 'delta');
  };
  agent('lifecycle', { phase: 'start', startedAt: Date.now() });
  for await (const delta of wordsOf(pace, stopped)) {
    text += delta;
    agent('assistant', { text, delta });
    chat('delta', rules.socket.protocol === 3 ? {} : { deltaText: delta });
  }
  if (stopped.aborted) return;
  agent('lifecycle', { phase: 'end', endedAt: Date.now() });
  chat('final', rules.socket.tellsMore ? { stopReason: 'stop' } : {});
}

function missing(scope: Scope, rules: Rules): Answer {
  const message = `missing scope: ${scope}`;
  if (!rules.scopeDetails) return invalid(message);
  const details = { code: 'MISSING_SCOPE', missingScope: scope, requiredScopes: [scope] };
  return { ok: false, error: { code: 'FORBIDDEN', message, details } };
}

function invalid(message: string): Answer {
  return { ok: false, error: { code: 'INVALID_REQUEST', message } };
}
