/** What went wrong towards the gateway, in the words of the error table. Pure. */
import { refuse, type Refusal } from '../errors.ts';
import { refuseFor } from '../gateway/blame.ts';
import { tlsFault } from '../gateway/tls-fault.ts';
import type { EndReason } from '../observe/log.ts';

const UNREACHABLE: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EADDRNOTAVAIL',
  'EMFILE',
  'HOP_NOT_LOOPBACK',
  'HOP_TIMEOUT',
]);
/**
 * @param error what undici or the socket reported
 * @param answered whether the gateway's answer had begun
 * @returns the refusal for the caller, and why the exchange ends
 */
export function gatewayFault(error: Error, answered: boolean): { refusal: Refusal; end: EndReason } {
  const code = codeOf(error);
  const reason = `${code}: ${error.message}`;
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') {
    return { refusal: refuse('gateway_timeout', { reason }), end: 'gateway_idle' };
  }
  const tls = answered ? undefined : tlsFault(error);
  if (tls?.refused) return { refusal: refuseFor('certificate_refused', tls.words), end: 'refused' };
  if (tls) return { refusal: refuse('gateway_unreachable', { reason: `${code}: ${tls.words}` }), end: 'gateway_gone' };
  if (!answered && UNREACHABLE.has(code)) {
    return { refusal: refuse('gateway_unreachable', { reason }), end: 'gateway_gone' };
  }
  return { refusal: refuse('gateway_bad_response', { reason }), end: 'gateway_gone' };
}

/** With several addresses of a name the codes are in the members of an `AggregateError`. */
function codeOf(error: Error): string {
  if ('code' in error && typeof error.code === 'string') return error.code;
  if (error instanceof AggregateError) {
    for (const member of error.errors as unknown[]) {
      if (member instanceof Error) return codeOf(member);
    }
  }
  return error.name;
}
