/** What the stand-in gateway answers: the bytes of 2026.3.28 where releases differ only in small words. */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { setImmediate, setTimeout } from 'node:timers/promises';
import type { Scope } from '../types.ts';

const JSON_TYPE = 'application/json; charset=utf-8';
const TEXT_TYPE = 'text/plain; charset=utf-8';
const HTML_TYPE = 'text/html; charset=utf-8';
const CREATED = 1_774_656_000;
const USAGE = { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 };
const OUTPUT_USAGE = { input_tokens: 0, output_tokens: 0, total_tokens: 0 };

export function sendJson(res: ServerResponse, status: number, body: unknown): void {
  send(res, status, JSON_TYPE, JSON.stringify(body));
}

export function sendText(res: ServerResponse, status: number, body: string): void {
  send(res, status, TEXT_TYPE, body);
}

export function sendUi(res: ServerResponse): void {
  send(res, 200, HTML_TYPE, '<!doctype html>\n<title>OpenClaw Control</title>\n');
}

export function sendMethodNotAllowed(res: ServerResponse, allow: string): void {
  res.setHeader('Allow', allow);
  sendText(res, 405, 'Method Not Allowed');
}

export function sendUnauthorized(res: ServerResponse): void {
  sendJson(res, 401, { error: { message: 'Unauthorized', type: 'unauthorized' } });
}

export const ATTRIBUTION_REQUIRED = {
  error: {
    message:
      'Proxy client attribution is required. Configure gateway.trustedProxies narrowly and make the proxy overwrite or safely rebuild forwarded client headers.',
    type: 'proxy_attribution_required',
  },
} as const;

export function sendAttributionRequired(res: ServerResponse): void {
  sendJson(res, 403, ATTRIBUTION_REQUIRED);
}

export function sendMissingScope(res: ServerResponse, scope: Scope, withDetails: boolean): void {
  const details = { code: 'MISSING_SCOPE', missingScope: scope, requiredScopes: [scope] };
  sendFailure(res, 403, 'forbidden', `missing scope: ${scope}`, withDetails ? { details } : {});
}

export function sendNotLocal(res: ServerResponse): void {
  const message = 'Session kills require a local admin request or requester session ownership.';
  sendFailure(res, 403, 'forbidden', message);
}

export function sendFailure(res: ServerResponse, status: number, type: string, message: string, more = {}): void {
  sendJson(res, status, { ok: false, error: { type, message, ...more } });
}

export function sendInvalid(res: ServerResponse, message: string, status = 400): void {
  sendJson(res, status, { error: { message, type: 'invalid_request_error' } });
}

function send(res: ServerResponse, status: number, type: string, body: string): void {
  res.statusCode = status;
  res.setHeader('Content-Type', type);
  res.end(body);
}

export function modelBody(id: string): object {
  return { id, object: 'model', created: 0, owned_by: 'openclaw', permission: [] };
}

/** How the reply of an agent is paced. */
export interface Pace {
  readonly words: readonly string[];
  /** How many pieces a reply has; `Infinity` goes on until the caller is gone. */
  readonly chunks: number;
  /** Milliseconds before each piece. */
  readonly chunkDelay: number;
}

/** @returns the reply of a run that sends nothing before it ends, or `undefined` when the caller went away first */
export async function waitForReply(pace: Pace, gone: AbortSignal): Promise<string | undefined> {
  let text = '';
  for await (const word of wordsOf(pace, gone)) text += word;
  return gone.aborted ? undefined : text;
}

export function chatBody(model: string, content: string): object {
  return {
    id: 'chatcmpl_0',
    object: 'chat.completion',
    created: CREATED,
    model,
    choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }],
    usage: USAGE,
  };
}

export async function streamChat(res: ServerResponse, model: string, pace: Pace, gone: AbortSignal): Promise<void> {
  const chunk = (choice: object): string => {
    const head = { id: 'chatcmpl_0', object: 'chat.completion.chunk', created: CREATED, model };
    return `data: ${JSON.stringify({ ...head, choices: [{ index: 0, ...choice }] })}\n\n`;
  };
  startStream(res);
  await write(res, chunk({ delta: { role: 'assistant' } }), gone);
  for await (const content of wordsOf(pace, gone)) {
    await write(res, chunk({ delta: { content }, finish_reason: null }), gone);
  }
  if (!gone.aborted) res.end('data: [DONE]\n\n');
}

export function responseBody(model: string, text: string): object {
  return responseOf(model, 'completed', [outputItem(text, 'completed')]);
}

export async function streamResponse(res: ServerResponse, model: string, pace: Pace, gone: AbortSignal): Promise<void> {
  const event = (type: string, fields: object): Promise<void> =>
    write(res, `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`, gone);
  const at = { item_id: 'msg_0', output_index: 0, content_index: 0 };
  startStream(res);
  await event('response.created', { response: responseOf(model, 'in_progress', []) });
  await event('response.in_progress', { response: responseOf(model, 'in_progress', []) });
  await event('response.output_item.added', { output_index: 0, item: outputItem('', 'in_progress') });
  await event('response.content_part.added', { ...at, part: { type: 'output_text', text: '' } });
  let text = '';
  for await (const delta of wordsOf(pace, gone)) {
    text += delta;
    await event('response.output_text.delta', { ...at, delta });
  }
  await event('response.output_text.done', { ...at, text });
  await event('response.content_part.done', { ...at, part: { type: 'output_text', text } });
  await event('response.output_item.done', { output_index: 0, item: outputItem(text, 'completed') });
  await event('response.completed', { response: responseBody(model, text) });
  if (!gone.aborted) res.end('data: [DONE]\n\n');
}

function responseOf(model: string, status: string, output: readonly object[]): object {
  return { id: 'resp_0', object: 'response', created_at: CREATED, status, model, output, usage: OUTPUT_USAGE };
}

function outputItem(text: string, status: string): object {
  return { type: 'message', id: 'msg_0', role: 'assistant', content: [{ type: 'output_text', text }], status };
}

/** A session's history as events: one now, then only comments until the caller is gone. */
export function streamHistory(res: ServerResponse, history: object): void {
  startStream(res);
  res.write(`retry: 1000\n\nevent: history\ndata: ${JSON.stringify(history)}\n\n`);
}

function startStream(res: ServerResponse): void {
  res.setHeader('Content-Type', 'text/event-stream; charset=utf-8');
  res.setHeader('Cache-Control', 'no-cache');
  res.setHeader('Connection', 'keep-alive');
  res.flushHeaders();
}

/** The pieces of a reply in their pace, until somebody wants no more. */
export async function* wordsOf({ words, chunks, chunkDelay }: Pace, gone: AbortSignal): AsyncGenerator<string> {
  for (let sent = 0; sent < chunks; sent++) {
    const pause = chunkDelay > 0 ? setTimeout(chunkDelay, undefined, { signal: gone }) : setImmediate();
    await pause.catch(() => {});
    if (gone.aborted) return;
    yield words[sent % words.length] ?? '';
  }
}

/** Writes with backpressure: a reader that stops reading stops the run too. */
async function write(res: ServerResponse, text: string, gone: AbortSignal): Promise<void> {
  if (gone.aborted || res.write(text)) return;
  await once(res, 'drain', { signal: gone }).catch(() => {});
}
