/** The shim's own answers. */
import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { About } from '../decision.ts';
import { challenge, errorBody, ERRORS, reasonOf, type ErrorCode, type Refusal } from '../errors.ts';
import { STATUS_CODES } from './node-http.ts';
import { recordDecision, recordEnd, type Asked, type Observers } from './record.ts';

/** For this long, in milliseconds, what a caller still sends is read away, so that it can read the answer before the close. */
export const LINGER_MS = 5_000;

/** When to come back after a 503 that cannot say it better. */
const RETRY_SECONDS = 5;

const EXPOSED = 'x-request-id, retry-after, www-authenticate, ratelimit-limit, ratelimit-remaining, ratelimit-reset';

/**
 * @param origin a listed web origin
 * @returns the CORS headers of every answer to it (WHATWG Fetch, "CORS protocol"), names and values alternating
 */
export function corsHeaders(origin: string | undefined): string[] {
  if (origin === undefined) return [];
  return ['access-control-allow-origin', origin, 'access-control-expose-headers', EXPOSED, 'vary', 'Origin'];
}

/** The headers that browsers may send: those of OpenAI SDKs, and the gateway's own that a policy may allow. */
const PREFLIGHT = [
  'access-control-allow-methods',
  'GET, HEAD, POST, PUT, PATCH, DELETE',
  'access-control-allow-headers',
  [
    'accept, authorization, content-type, idempotency-key, openai-beta, openai-organization, openai-project',
    'traceparent, tracestate',
    'x-openclaw-agent-id, x-openclaw-message-channel, x-openclaw-model, x-openclaw-session-key',
    'x-stainless-arch, x-stainless-async, x-stainless-custom-poll-interval, x-stainless-helper-method',
    'x-stainless-lang, x-stainless-os, x-stainless-package-version, x-stainless-poll-helper',
    'x-stainless-retry-count, x-stainless-runtime, x-stainless-runtime-version, x-stainless-timeout',
  ].join(', '),
  'access-control-max-age',
  '600',
];

/**
 * Answers the preflight of a listed origin, the same on every path.
 *
 * @param res the response
 * @param id request id
 * @param origin the listed origin
 * @param close whether the connection ends with it
 */
export function answerPreflight(res: ServerResponse, id: string, origin: string | undefined, close: boolean): void {
  res.writeHead(204, [
    'x-request-id',
    id,
    ...corsHeaders(origin),
    ...PREFLIGHT,
    ...(close ? ['connection', 'close'] : []),
  ]);
  res.end();
}

/** Seconds for which clients may keep the metadata: issuers change with a reload. */
const METADATA_AGE = 300;

/**
 * Answers a request for the metadata of this resource.
 *
 * @param res the response
 * @param id request id
 * @param body JSON
 * @param origin a listed web origin, for CORS
 * @param close whether the connection ends with it
 */
export function answerMetadata(
  res: ServerResponse,
  id: string,
  body: string,
  origin: string | undefined,
  close: boolean,
): void {
  res.writeHead(200, [
    'content-type',
    'application/json',
    'content-length',
    String(Buffer.byteLength(body)),
    'cache-control',
    `max-age=${METADATA_AGE}`,
    'x-request-id',
    id,
    ...corsHeaders(origin),
    ...(close ? ['connection', 'close'] : []),
  ]);
  res.end(body);
}

/** Header list and body of a refusal. */
function answerParts(refusal: Refusal, id: string, origin: string | undefined, close: boolean): [string[], string] {
  const body = errorBody(refusal);
  const headers = [
    'content-type',
    'application/json; charset=utf-8',
    'content-length',
    String(Buffer.byteLength(body)),
    'cache-control',
    'no-store',
    'x-request-id',
    id,
    ...corsHeaders(origin),
  ];
  const authenticate = challenge(refusal);
  if (authenticate !== undefined) headers.push('www-authenticate', authenticate);
  if (refusal.allow) headers.push('allow', refusal.allow.join(', '));
  const retryAfter = refusal.retryAfter ?? (ERRORS[refusal.code].status === 503 ? RETRY_SECONDS : undefined);
  if (retryAfter !== undefined) headers.push('retry-after', String(retryAfter));
  if (refusal.headers) headers.push(...refusal.headers);
  if (close) headers.push('connection', 'close');
  return [headers, body];
}

/** The gateway had the request, and its answer is lost. */
const LOST: ReadonlySet<ErrorCode> = new Set(['gateway_bad_response', 'gateway_timeout', 'shutting_down']);

/** SDKs of OpenAI repeat a 5xx by themselves, and heed this: an agent's run shall not be done twice. */
const NOT_AGAIN = ['x-should-retry', 'false'];

/**
 * Writes a refusal; the response is not ended.
 *
 * @param res the response, nothing written yet
 * @param refusal what was decided
 * @param about the request id, a listed web origin for CORS, whether the connection must close whatever the code, and
 *   whether the gateway may have begun what was asked
 */
export function writeRefusal(
  res: ServerResponse,
  refusal: Refusal,
  about: {
    readonly id: string;
    readonly origin: string | undefined;
    readonly close: boolean;
    readonly begun: boolean;
  },
): void {
  const { status, close } = ERRORS[refusal.code] as (typeof ERRORS)[ErrorCode] & { readonly close?: true };
  const [headers, body] = answerParts(refusal, about.id, about.origin, about.close || close === true);
  if (about.begun && LOST.has(refusal.code)) headers.push(...NOT_AGAIN);
  res.writeHead(status, headers);
  res.write(body);
}

/**
 * Answers on a bare socket: for what never became a request.
 *
 * @param socket the connection; it is closed after the answer
 * @param refusal what was decided
 * @param id request id
 * @param origin a listed web origin, for CORS
 */
export function writeRawRefusal(socket: Duplex, refusal: Refusal, id: string, origin?: string): void {
  const { status } = ERRORS[refusal.code];
  const [headers, body] = answerParts(refusal, id, origin, true);
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n`;
  for (let i = 0; i < headers.length; i += 2) head += `${headers[i]}: ${headers[i + 1]}\r\n`;
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(timer));
  socket.on('error', () => socket.destroy());
  socket.resume();
  socket.end(`${head}date: ${new Date().toUTCString()}\r\n\r\n${body}`);
}

/**
 * Refuses what has a bare socket alone, and keeps a record of it.
 *
 * @param observers get the record
 * @param socket the connection; it is closed after the answer
 * @param refusal what was decided
 * @param asked the request
 * @param about what the gate learnt of it
 */
export function refuseSocket(observers: Observers, socket: Duplex, refusal: Refusal, asked: Asked, about: About): void {
  const { code } = refusal;
  writeRawRefusal(socket, refusal, asked.id, about.origin);
  recordDecision(observers, asked, about, 'refuse', code);
  const nothing = { ttfb: 0, ms: 0, in: 0, out: 0, forwarded: false };
  recordEnd(observers, asked, about, {
    ...nothing,
    status: ERRORS[code].status,
    code,
    reason: reasonOf(refusal),
    end: 'refused',
  });
}
