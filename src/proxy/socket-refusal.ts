/** Refusals within a WebSocket. */
import { ERRORS, reasonOf, type ErrorCode, type Refusal } from '../errors.ts';
import { errorFrame } from '../gateway/connect.ts';
import { SocketEnd, type Close } from './socket-end.ts';

/** What is wrong with a frame, in the gateway's words for it. */
const INVALID = 'INVALID_REQUEST';
const UNAVAILABLE = 'UNAVAILABLE';
/** Bytes of a close reason; the words of the table are ASCII. */
const MOST_REASON = 120;

/**
 * @param id of the request to answer, if there is one
 * @param refusal of the shim's own
 * @returns it in the gateway's error shape
 */
export function refusedFor(id: string | undefined, refusal: Refusal): SocketEnd {
  const { code, message, retryAfter } = refusal;
  const reason = reasonOf(refusal);
  const { status, message: standard } = ERRORS[code];
  const error = {
    code: status >= 500 || status === 429 ? UNAVAILABLE : INVALID,
    message: message ?? standard,
    details: { code },
    ...(retryAfter !== undefined && { retryable: true, retryAfterMs: retryAfter * 1000 }),
  };
  const close = {
    code: status === 502 || status === 504 ? 1014 : status === 503 ? 1013 : 1008,
    reason: `${code}: ${error.message}`.slice(0, MOST_REASON),
  };
  return new SocketEnd('refused', close, {
    ...(id !== undefined && { frame: errorFrame(id, error) }),
    code,
    ...(reason !== undefined && { detail: reason }),
  });
}

/**
 * @param code of the refusal
 * @param close what is said of a frame that cannot be answered
 * @returns it
 */
export function refused(code: ErrorCode, close: Close): SocketEnd {
  return new SocketEnd('refused', close, { code });
}
