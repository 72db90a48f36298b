/** One real chat, as the shim would send it: it begins a run of an agent. */
import { hasScope } from '../scopes.ts';
import { isMap, parseMap } from './answers.ts';
import type { Gateway } from './ask.ts';
import { found, type Found } from './finding.ts';

/** An agent takes its time. */
const CHAT_MS = 60_000;

/**
 * @param gateway that takes the shim
 * @returns whether an agent answers
 * @throws the error of a connection, or an Error `no answer within … ms`
 */
export async function examineChat(gateway: Gateway): Promise<Found> {
  const caller = gateway.config.callers.find(({ scopes }) => hasScope(scopes, 'operator.write'));
  const model = caller?.agent === undefined ? await firstAgent(gateway) : `openclaw/${caller.agent}`;
  const { status, body } = await gateway.ask({
    method: 'POST',
    path: '/v1/chat/completions',
    headers: gateway.identity(['operator.read', 'operator.write'], caller?.name),
    body: JSON.stringify({ model, messages: [{ role: 'user', content: 'Answer with the one word: ok' }] }),
    limit: CHAT_MS,
  });
  const { choices, error } = parseMap(body) ?? {};
  if (status === 200 && Array.isArray(choices)) return found('chat_answered', `${model} answers a chat.`);
  const { message } = isMap(error) ? error : {};
  const why = typeof message === 'string' ? `: ${message}` : '';
  return found('chat_failed', `a chat with ${model} is answered ${status}${why}.`);
}

/** Newer releases want one of several agents named. */
async function firstAgent(gateway: Gateway): Promise<string> {
  const { body } = await gateway.ask({
    method: 'GET',
    path: '/v1/models',
    headers: gateway.identity(['operator.read']),
  });
  const { data } = parseMap(body) ?? {};
  const ids = (Array.isArray(data) ? data : []).map((one: unknown) => (isMap(one) ? one.id : undefined));
  const named = ids.find((id) => typeof id === 'string' && id.startsWith('openclaw/') && id !== 'openclaw/default');
  return typeof named === 'string' ? named : 'openclaw';
}
