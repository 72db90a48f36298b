/** The routes of the stand-in gateway, in the order in which a real one tries them. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { hasScope } from '../scopes.ts';
import type { Scope } from '../types.ts';
import { admit, forwarded, scopesOf, type StandInAuth } from './admission.ts';
import { answerOpenly } from './open-routes.ts';
import type { Recording } from './record.ts';
import {
  chatBody,
  modelBody,
  responseBody,
  sendAttributionRequired,
  sendFailure,
  sendInvalid,
  sendJson,
  sendMethodNotAllowed,
  sendMissingScope,
  sendNotLocal,
  sendText,
  sendUnauthorized,
  streamChat,
  streamHistory,
  streamResponse,
  waitForReply,
  type Pace,
} from './replies.ts';
import type { Rules } from './rules.ts';

/** A gateway's configuration. */
export interface StandIn {
  readonly release: string;
  readonly rules: Rules;
  readonly auth: StandInAuth;
  readonly endpoints: boolean;
  readonly hooksToken: string | undefined;
  readonly pace: Pace;
}

interface Exchange {
  readonly gateway: StandIn;
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly path: string;
  readonly recording: Recording;
}

const AGENTS = ['openclaw', 'openclaw/default', 'openclaw/main', 'openclaw/beta'];
/** The tools that `/tools/invoke` knows; `sessions_list` calls back into the gateway. */
const TOOLS = ['agents_list', 'session_status', 'sessions_list'];

/** Answers one request. */
export async function answer(
  gateway: StandIn,
  req: IncomingMessage,
  res: ServerResponse,
  recording: Recording,
): Promise<void> {
  res.setHeader('X-Content-Type-Options', 'nosniff');
  res.setHeader('Referrer-Policy', 'no-referrer');
  res.setHeader('Permissions-Policy', 'camera=(), microphone=(), geolocation=()');
  try {
    const path = new URL(req.url ?? '/', 'http://localhost').pathname;
    await route({ gateway, req, res, path, recording });
  } catch {
    // A target that is no URL, as `//`: the real one has this catch too.
    sendText(res, 500, 'Internal Server Error');
  }
}

function route(x: Exchange): void | Promise<void> {
  const { gateway, path } = x;
  if (gateway.hooksToken !== undefined && path.startsWith('/hooks/')) return hooks(x);
  if (gateway.endpoints) {
    if (path === '/v1/models' || path.startsWith('/v1/models/')) return models(x);
    if (path === '/v1/embeddings') return embeddings(x);
    if (path === '/v1/chat/completions') return chat(x);
    if (path === '/v1/responses') return responses(x);
  }
  if (path === '/tools/invoke') return toolsInvoke(x);
  const session = /^\/sessions\/([^/]+)\/(kill|history)$/.exec(path);
  if (session) return session[2] === 'kill' ? kill(x, session[1]!) : history(x, session[1]!);
  return answerOpenly(gateway, x.req, x.res, path);
}

/** Method, credential, scope, in this order. @returns whether the route may go on */
function opens(
  x: Exchange,
  method: string,
  scope?: Scope,
  secret: Rules['secretScopes'] | 'nothing' = x.gateway.rules.secretScopes,
): boolean {
  const { gateway, req, res } = x;
  if (req.method !== method) return (sendMethodNotAllowed(res, method), false);
  switch (admit(req.headers, gateway.auth, gateway.rules)) {
    case 'unauthorized':
      return (sendUnauthorized(res), false);
    case 'proxy_attribution_required':
      return (sendAttributionRequired(res), false);
    case 'ok':
  }
  return scope === undefined || holds(x, scope, secret);
}

function holds(x: Exchange, scope: Scope, secret: Rules['secretScopes'] | 'nothing'): boolean {
  const { rules, auth } = x.gateway;
  if (hasScope(scopesOf(x.req.headers, auth, rules, secret), scope)) return true;
  sendMissingScope(x.res, scope, rules.scopeDetails);
  return false;
}

function models(x: Exchange): void {
  if (!opens(x, 'GET', 'operator.read')) return;
  if (x.path === '/v1/models') return sendJson(x.res, 200, { object: 'list', data: AGENTS.map(modelBody) });
  const id = decode(x.path.slice('/v1/models/'.length));
  if (id === undefined) return sendInvalid(x.res, 'Invalid model id encoding.');
  if (!/^openclaw(?:[:/]|$)/i.test(id)) return sendInvalid(x.res, 'Invalid model id.');
  if (!AGENTS.includes(id)) return sendInvalid(x.res, `Model '${id}' not found.`, 404);
  sendJson(x.res, 200, modelBody(id));
}

async function embeddings(x: Exchange): Promise<void> {
  if (!opens(x, 'POST', x.gateway.rules.toolsScoped ? 'operator.write' : undefined)) return;
  const body = await jsonBody(x);
  if (!body) return;
  const { model = 'openclaw', input } = body;
  const data = (Array.isArray(input) ? input : [input]).map((_, index) => ({
    object: 'embedding',
    index,
    embedding: [0.25, -0.5, 1],
  }));
  sendJson(x.res, 200, { object: 'list', data, model, usage: { prompt_tokens: 0, total_tokens: 0 } });
}

async function chat(x: Exchange): Promise<void> {
  const { res, gateway, recording } = x;
  if (!opens(x, 'POST', 'operator.write')) return;
  const body = await jsonBody(x);
  if (!body) return;
  const model = modelOf(x, body);
  if (model === undefined) return;
  if (!Array.isArray(body.messages)) return sendInvalid(res, 'Missing user message in `messages`.');
  if (body.stream === true) return streamChat(res, model, gateway.pace, recording.gone);
  const text = await waitForReply(gateway.pace, recording.gone);
  if (text !== undefined) sendJson(res, 200, chatBody(model, text));
}

async function responses(x: Exchange): Promise<void> {
  const { res, gateway, recording } = x;
  if (!opens(x, 'POST', 'operator.write')) return;
  const body = await jsonBody(x);
  if (!body) return;
  const model = modelOf(x, body);
  if (model === undefined) return;
  if (body.stream === true) return streamResponse(res, model, gateway.pace, recording.gone);
  const text = await waitForReply(gateway.pace, recording.gone);
  if (text !== undefined) sendJson(res, 200, responseBody(model, text));
}

function modelOf({ res }: Exchange, { model = 'openclaw' }: Record<string, unknown>): string | undefined {
  if (typeof model === 'string' && /^openclaw(?:[:/]|$)/i.test(model)) return model;
  sendInvalid(res, 'Invalid `model`. Use `openclaw` or `openclaw/<agentId>`.');
  return undefined;
}

async function toolsInvoke(x: Exchange): Promise<void> {
  const { rules, auth } = x.gateway;
  if (!opens(x, 'POST', rules.toolsScoped ? 'operator.write' : undefined)) return;
  const body = await jsonBody(x);
  if (!body) return;
  const tool = (rules.toolsByName ? body.name : undefined) ?? body.tool;
  if (typeof tool !== 'string') {
    if (rules.toolsByName) return sendFailure(x.res, 400, 'invalid_request', 'tools.invoke requires name');
    return sendInvalid(x.res, 'tools.invoke requires body.tool');
  }
  if (!TOOLS.includes(tool)) return sendFailure(x.res, 404, 'not_found', `Tool not available: ${tool}`);
  if (auth.mode === 'trusted-proxy' && tool === 'sessions_list' && !rules.toolsCallBack) {
    return sendFailure(x.res, 500, 'tool_error', 'tool execution failed');
  }
  sendJson(x.res, 200, { ok: true, result: { content: [{ type: 'text', text: tool }], details: { tool } } });
}

function kill(x: Exchange, segment: string): void {
  const { kill: rule } = x.gateway.rules;
  if (!opens(x, 'POST')) return;
  const notLocal = rule !== 'admin' && forwarded(x.req.headers);
  if (rule !== 'local') {
    if (notLocal) return sendNotLocal(x.res);
    if (!holds(x, 'operator.admin', 'nothing')) return;
  }
  const key = decode(segment) ?? segment;
  if (!knownSession(key)) return sendFailure(x.res, 404, 'not_found', `Session not found: ${key}`);
  if (notLocal) return sendNotLocal(x.res);
  sendJson(x.res, 200, { ok: true, killed: false });
}

function history(x: Exchange, segment: string): void {
  const { rules } = x.gateway;
  if (!opens(x, 'GET', 'operator.read', rules.historyWithSecret ? rules.secretScopes : 'nothing')) return;
  const key = decode(segment);
  if (key === undefined) return sendInvalid(x.res, 'invalid session key');
  if (!knownSession(key)) return sendFailure(x.res, 404, 'not_found', `Session not found: ${key}`);
  const body = { sessionKey: key, items: [], messages: [], hasMore: false };
  if (String(x.req.headers.accept ?? '').includes('text/event-stream')) return streamHistory(x.res, body);
  sendJson(x.res, 200, body);
}

async function hooks(x: Exchange): Promise<void> {
  const { gateway, req, res, path } = x;
  if (req.method !== 'POST') return sendMethodNotAllowed(res, 'POST');
  if (req.headers['x-openclaw-token'] !== gateway.hooksToken) return sendText(res, 401, 'Unauthorized');
  if (!(await jsonBody(x))) return;
  if (path === '/hooks/wake') return sendJson(res, 200, { ok: true, mode: 'now' });
  if (path === '/hooks/agent') return sendJson(res, 200, { ok: true, runId: 'run_0' });
  sendText(res, 404, 'Not Found');
}

/** @returns the parsed object, or `undefined` when the request is answered or gone */
async function jsonBody({ req, res, recording }: Exchange): Promise<Record<string, unknown> | undefined> {
  await recording.request.received;
  if (!req.complete) return undefined;
  try {
    const value: unknown = JSON.parse(recording.request.body.toString() || '{}');
    return value !== null && typeof value === 'object' ? { ...value } : {};
  } catch (error) {
    sendInvalid(res, (error as Error).message);
    return undefined;
  }
}

function knownSession(key: string): boolean {
  return key === 'main' || key.startsWith('agent:');
}

function decode(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}
