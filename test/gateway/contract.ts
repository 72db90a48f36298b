/** What gateways answer, to the byte: one table, held against the stand-in and against real releases. */
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { request as secureRequest } from 'node:https';
import type { Release, StandInAuth } from '../../src/demo/gateway.ts';

export const SECRET = 'gateway-token-0123456789abcdef0123456789abcdef';

/** The modes in which the table is run; `trusted-proxy` allows loopback where the release asks for that. */
export type Mode = 'token' | 'trusted-proxy' | 'none';

/** Releases that are measured; the others are read in their packages. */
export type Measured = '2026.3.28' | '2026.9.6';
export const MEASURED: readonly Measured[] = ['2026.3.28', '2026.9.6'];

/** Status and body. */
export type Answer = readonly [status: number, body: string];

export interface ContractCase {
  readonly name: string;
  readonly mode: Mode;
  readonly request: readonly [method: string, path: string, headers: Readonly<Record<string, string>>, body?: string];
  readonly answers: Readonly<Record<Measured, Answer>>;
}

export function authOf(mode: Mode, release: Release): StandInAuth {
  if (mode === 'token') return { mode, token: SECRET };
  if (mode === 'none') return { mode };
  const allowLoopback = release.startsWith('2026.3.') ? {} : { allowLoopback: true };
  return { mode, userHeader: 'x-forwarded-user', ...allowLoopback };
}

const BEARER = { authorization: `Bearer ${SECRET}` };
const PROXIED = { 'x-forwarded-user': 'agentpage', 'x-forwarded-for': '203.0.113.9' };
const JSON_TYPE = { 'content-type': 'application/json' };
const CHAT = '{"model":"openclaw/main","messages":[{"role":"user","content":"hi"}]}';
const scopes = (value: string): Record<string, string> => ({ 'x-openclaw-scopes': value });

const UNAUTHORIZED: Answer = [401, '{"error":{"message":"Unauthorized","type":"unauthorized"}}'];
const ATTRIBUTION: Answer = [
  403,
  '{"error":{"message":"Proxy client attribution is required. Configure gateway.trustedProxies narrowly and make the proxy overwrite or safely rebuild forwarded client headers.","type":"proxy_attribution_required"}}',
];
const NOT_FOUND: Answer = [404, 'Not Found'];
const NOT_ALLOWED: Answer = [405, 'Method Not Allowed'];
const LIVE: Answer = [200, '{"ok":true,"status":"live"}'];
const NO_SESSION: Answer = [404, '{"ok":false,"error":{"type":"not_found","message":"Session not found: nope"}}'];
const NO_TOOL: Answer = [404, '{"ok":false,"error":{"type":"not_found","message":"Tool not available: nope"}}'];
const ONE_MODEL: Answer = [
  200,
  '{"id":"openclaw/default","object":"model","created":0,"owned_by":"openclaw","permission":[]}',
];
const BAD_MODEL: Answer = [400, '{"error":{"message":"Invalid model id.","type":"invalid_request_error"}}'];
const MODELS: Answer = [
  200,
  `{"object":"list","data":[${['openclaw', 'openclaw/default', 'openclaw/main', 'openclaw/beta']
    .map((id) => `{"id":"${id}","object":"model","created":0,"owned_by":"openclaw","permission":[]}`)
    .join()}]}`,
];
const NOT_LOCAL: Answer = [
  403,
  '{"ok":false,"error":{"type":"forbidden","message":"Session kills require a local admin request or requester session ownership."}}',
];
/** 3.28 and 9.6 tell a missing scope in different bytes. */
const lacks = (scope: string): Record<Measured, Answer> => ({
  '2026.3.28': [403, `{"ok":false,"error":{"type":"forbidden","message":"missing scope: ${scope}"}}`],
  '2026.9.6': lacksNow(scope),
});
const lacksNow = (scope: string): Answer => [
  403,
  `{"ok":false,"error":{"type":"forbidden","message":"missing scope: ${scope}","details":{"code":"MISSING_SCOPE","missingScope":"${scope}","requiredScopes":["${scope}"]}}}`,
];
const both = (answer: Answer): Record<Measured, Answer> => ({ '2026.3.28': answer, '2026.9.6': answer });
const apart = (older: Answer, newer: Answer): Record<Measured, Answer> => ({ '2026.3.28': older, '2026.9.6': newer });

const RUNS = ['/v1/chat/completions', '/v1/responses'];
const POSTS = [...RUNS, '/v1/embeddings', '/tools/invoke', '/sessions/nope/kill'];
const GETS = ['/v1/models', '/v1/models/openclaw%2Fdefault', '/sessions/nope/history'];

export const CONTRACT: readonly ContractCase[] = [
  { name: 'health', mode: 'token', request: ['GET', '/health', {}], answers: both(LIVE) },
  { name: 'healthz, HEAD', mode: 'token', request: ['HEAD', '/healthz', {}], answers: both([200, '']) },
  { name: 'health, POST', mode: 'token', request: ['POST', '/health', {}], answers: both(NOT_ALLOWED) },
  { name: 'unknown, POST', mode: 'token', request: ['POST', '/nope', BEARER], answers: both(NOT_FOUND) },
  { name: 'unknown, /api', mode: 'token', request: ['GET', '/api/nope', BEARER], answers: both(NOT_FOUND) },
  ...POSTS.map((path): ContractCase => ({
    name: `no token: ${path}`,
    mode: 'token',
    request: ['POST', path, { ...JSON_TYPE, ...scopes('operator.admin') }, '{}'],
    answers: both(UNAUTHORIZED),
  })),
  ...GETS.map((path): ContractCase => ({
    name: `wrong token: ${path}`,
    mode: 'token',
    request: ['GET', path, { authorization: 'Bearer wrong', ...scopes('operator.read') }],
    answers: both(UNAUTHORIZED),
  })),
  ...RUNS.map((path): ContractCase => ({
    name: `the method is looked at first: ${path}`,
    mode: 'token',
    request: ['GET', path, {}],
    answers: both(NOT_ALLOWED),
  })),
  ...['', 'operator.read'].flatMap((held) =>
    RUNS.map((path): ContractCase => ({
      name: `scopes "${held}": ${path}`,
      mode: 'trusted-proxy',
      request: ['POST', path, { ...PROXIED, ...JSON_TYPE, ...scopes(held) }, CHAT],
      answers: lacks('operator.write'),
    })),
  ),
  {
    name: 'the scope is looked at before the body',
    mode: 'trusted-proxy',
    request: ['POST', '/v1/chat/completions', { ...PROXIED, ...JSON_TYPE, ...scopes('') }, '{'],
    answers: lacks('operator.write'),
  },
  {
    name: 'models without scope, with the secret',
    mode: 'token',
    request: ['GET', '/v1/models', BEARER],
    answers: apart(lacks('operator.read')['2026.3.28'], MODELS),
  },
  {
    name: 'models without scope, through a trusted proxy',
    mode: 'trusted-proxy',
    request: ['GET', '/v1/models', PROXIED],
    answers: apart(lacks('operator.read')['2026.3.28'], MODELS),
  },
  {
    name: 'models with an empty scope, through a trusted proxy',
    mode: 'trusted-proxy',
    request: ['GET', '/v1/models', { ...PROXIED, ...scopes('') }],
    answers: lacks('operator.read'),
  },
  {
    name: 'models with a scope',
    mode: 'trusted-proxy',
    request: ['GET', '/v1/models', { ...PROXIED, ...scopes(' operator.write , operator.pairing') }],
    answers: both(MODELS),
  },
  {
    name: 'one model, its slash encoded',
    mode: 'token',
    request: ['GET', '/v1/models/openclaw%2Fdefault', { ...BEARER, ...scopes('operator.read') }],
    answers: both(ONE_MODEL),
  },
  {
    name: 'a model of somebody else',
    mode: 'token',
    request: ['GET', '/v1/models/gpt-4', { ...BEARER, ...scopes('operator.read') }],
    answers: both(BAD_MODEL),
  },
  ...['x-forwarded-for', 'x-forwarded-user', 'x-real-ip', 'forwarded', 'tailscale-user-login'].map(
    (name): ContractCase => ({
      name: `${name} beside the secret`,
      mode: 'token',
      request: ['GET', '/v1/models', { ...BEARER, ...scopes('operator.read'), [name]: '203.0.113.9' }],
      answers: apart(MODELS, ATTRIBUTION),
    }),
  ),
  {
    name: 'x-forwarded-for beside a wrong secret',
    mode: 'token',
    request: ['GET', '/v1/models', { authorization: 'Bearer wrong', 'x-forwarded-for': '203.0.113.9' }],
    answers: apart(UNAUTHORIZED, ATTRIBUTION),
  },
  {
    name: 'a trusted proxy without user',
    mode: 'trusted-proxy',
    request: ['GET', '/v1/models', { 'x-forwarded-for': '203.0.113.9', ...scopes('operator.read') }],
    answers: both(UNAUTHORIZED),
  },
  {
    name: 'a trusted proxy that names no client',
    mode: 'trusted-proxy',
    request: ['GET', '/v1/models', { 'x-forwarded-user': 'agentpage', ...scopes('operator.read') }],
    answers: apart(MODELS, ATTRIBUTION),
  },
  {
    name: 'a trusted proxy that names a loopback client',
    mode: 'trusted-proxy',
    request: ['GET', '/v1/models', { ...PROXIED, 'x-forwarded-for': '127.0.0.1', ...scopes('operator.read') }],
    answers: apart(MODELS, ATTRIBUTION),
  },
  {
    name: 'a tool without scope',
    mode: 'trusted-proxy',
    request: ['POST', '/tools/invoke', { ...PROXIED, ...JSON_TYPE, ...scopes('operator.read') }, '{"tool":"nope"}'],
    answers: apart(NO_TOOL, lacksNow('operator.write')),
  },
  {
    name: 'a tool that is not there',
    mode: 'token',
    request: ['POST', '/tools/invoke', { ...BEARER, ...JSON_TYPE }, '{"tool":"nope"}'],
    answers: both(NO_TOOL),
  },
  {
    name: 'no tool named',
    mode: 'token',
    request: ['POST', '/tools/invoke', { ...BEARER, ...JSON_TYPE }, '{}'],
    answers: apart(
      [400, '{"error":{"message":"tools.invoke requires body.tool","type":"invalid_request_error"}}'],
      [400, '{"ok":false,"error":{"type":"invalid_request","message":"tools.invoke requires name"}}'],
    ),
  },
  {
    name: 'history of no session',
    mode: 'token',
    request: ['GET', '/sessions/nope/history', { ...BEARER, ...scopes('operator.read') }],
    answers: both(NO_SESSION),
  },
  {
    name: 'history without scope, with the secret',
    mode: 'token',
    request: ['GET', '/sessions/nope/history', BEARER],
    answers: apart(lacks('operator.read')['2026.3.28'], NO_SESSION),
  },
  {
    name: 'kill with the secret and every scope',
    mode: 'token',
    request: ['POST', '/sessions/nope/kill', { ...BEARER, ...scopes('operator.admin') }],
    answers: apart(NO_SESSION, lacksNow('operator.admin')),
  },
  {
    name: 'kill without scope, through a trusted proxy',
    mode: 'trusted-proxy',
    request: ['POST', '/sessions/nope/kill', { ...PROXIED, ...scopes('operator.write') }],
    answers: apart(NO_SESSION, lacksNow('operator.admin')),
  },
  {
    name: 'mode none without the scopes header',
    mode: 'none',
    request: ['GET', '/sessions/nope/history', {}],
    answers: apart(lacks('operator.read')['2026.3.28'], NO_SESSION),
  },
  {
    name: 'mode none with an empty scopes header',
    mode: 'none',
    request: ['GET', '/sessions/nope/history', scopes('')],
    answers: lacks('operator.read'),
  },
  {
    name: 'mode none, forwarded',
    mode: 'none',
    request: ['GET', '/v1/models', { ...scopes('operator.read'), 'x-forwarded-for': '203.0.113.9' }],
    answers: apart(MODELS, ATTRIBUTION),
  },
  {
    name: 'kill of a session, through a trusted proxy',
    mode: 'trusted-proxy',
    request: ['POST', '/sessions/agent:main:main/kill', { ...PROXIED, ...scopes('operator.admin') }],
    answers: apart(NOT_LOCAL, [200, '{"ok":true,"killed":false}']),
  },
];

/**
 * Each request has a socket of its own: a pooled one may be closed by the gateway just then.
 *
 * @returns what a gateway at `url` answers to the case's request
 */
export async function ask(
  url: string,
  { request: [method, path, headers, body] }: Pick<ContractCase, 'request'>,
  signal?: AbortSignal,
): Promise<Answer> {
  const options = { method, headers, agent: false, ...(signal && { signal }) };
  const sent = url.startsWith('https:')
    ? // A gateway's own certificate names no host; this is a test's own on loopback.
      secureRequest(url + path, { ...options, rejectUnauthorized: false })
    : request(url + path, options);
  sent.end(body);
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  let text = '';
  for await (const part of response.setEncoding('utf8')) text += part;
  return [response.statusCode ?? 0, text];
}
