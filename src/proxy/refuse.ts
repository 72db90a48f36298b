/** The shim's own answers. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { challenge, errorBody, ERRORS, type Refusal } from '../errors.ts';
import { STATUS_CODES } from './node-http.ts';

/** An unread request body is drained for this long, so that the caller can read the answer before the close. */
const LINGER_MS = 5_000;

const EXPOSED = 'x-request-id, retry-after, www-authenticate';

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
 */
export function answerPreflight(res: ServerResponse, id: string, origin: string | undefined): void {
  res.writeHead(204, ['x-request-id', id, ...corsHeaders(origin), ...PREFLIGHT]);
  res.end();
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
  if (ERRORS[refusal.code].status === 503) headers.push('retry-after', '5');
  if (close) headers.push('connection', 'close');
  return [headers, body];
}

/**
 * Writes a refusal. Where the connection must close, an unread body is read away first, within bounds: closing
 * over unread bytes would reset the connection and take the answer from the caller.
 *
 * @param req the request, its body read or not
 * @param res the response, nothing written yet
 * @param refusal what was decided
 * @param id request id
 * @param origin a listed web origin, for CORS
 * @param drainLimit most bytes of the body that are read away
 * @returns whether the connection closes after it
 */
export function writeRefusal(
  req: IncomingMessage,
  res: ServerResponse,
  refusal: Refusal,
  id: string,
  origin: string | undefined,
  drainLimit: number,
): boolean {
  const unread = !req.complete || req.readableLength > 0;
  const close = ERRORS[refusal.code].close === true || unread;
  const [headers, body] = answerParts(refusal, id, origin, close);
  res.writeHead(ERRORS[refusal.code].status, headers);
  if (!unread) {
    res.end(req.method === 'HEAD' ? undefined : body);
    return close;
  }
  res.write(body);
  let left = drainLimit;
  const done = (): void => {
    clearTimeout(timer);
    res.end();
  };
  const timer = setTimeout(done, LINGER_MS);
  req.on('data', (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) done();
  });
  req.once('end', done);
  res.once('close', () => clearTimeout(timer));
  req.resume();
  return close;
}

/**
 * Answers on a bare socket: for what never became a request.
 *
 * @param socket the connection; it is closed after the answer
 * @param refusal what was decided
 * @param id request id
 */
export function writeRawRefusal(socket: Duplex, refusal: Refusal, id: string): void {
  const { status } = ERRORS[refusal.code];
  const [headers, body] = answerParts(refusal, id, undefined, true);
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n`;
  for (let i = 0; i < headers.length; i += 2) head += `${headers[i]}: ${headers[i + 1]}\r\n`;
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(timer));
  socket.on('error', () => socket.destroy());
  socket.resume();
  socket.end(`${head}date: ${new Date().toUTCString()}\r\n\r\n${body}`);
}
