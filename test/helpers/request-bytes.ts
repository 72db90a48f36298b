/** Requests as bytes, for raw callers. */
import { TOKENS } from './stack.ts';

/** @returns the two headers that every good request has */
export function authorized(token: string = TOKENS.writer): string {
  return `Host: 127.0.0.1\r\nAuthorization: Bearer ${token}\r\n`;
}

/** @returns `GET target` of a caller, with further header lines (each ending in CRLF) */
export function get(target: string, more = '', token: string = TOKENS.writer): string {
  return `GET ${target} HTTP/1.1\r\n${authorized(token)}${more}\r\n`;
}

/** @returns `POST /v1/chat/completions` with exactly these framing lines and body bytes */
export function post(framing: string, body: string, token: string = TOKENS.writer): string {
  return `POST /v1/chat/completions HTTP/1.1\r\n${authorized(token)}${framing}\r\n${body}`;
}

/** @returns the body as one chunk and the last */
export function chunked(body: string): string {
  return `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
}
