/** What went wrong towards the gateway, in the words of the error table. Pure. */
import { refuse, type Refusal } from '../errors.ts';
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
  'HOP_CERTIFICATE',
  'HOP_TIMEOUT',
]);
/** Of a handshake: the certificate of one side is refused by the other, or they have no version in common. */
const TLS_CODE =
  /^(?:ERR_SSL_|ERR_TLS_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH)/;

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
  if (!answered && (UNREACHABLE.has(code) || TLS_CODE.test(code))) {
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
