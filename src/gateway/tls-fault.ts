/** Why there is no TLS with the gateway, in words for its operator. Pure. They hold names and digests, never a secret. */
import { HopError } from './connection.ts';

/** What went wrong in a handshake. */
export interface TlsFault {
  /** Whether the gateway does not take this shim; otherwise the shim does not take the gateway, or they have no TLS in common. */
  readonly refused: boolean;
  /** They go after "the gateway:". */
  readonly words: string;
}

/** Of the alerts (RFC 8446 section 6.2), those about the certificate that the shim shows, as OpenSSL spells them. */
const REFUSED: Readonly<Record<string, string>> = {
  CERTIFICATE_REQUIRED: 'it asks for a client certificate: set gateway.tls.cert and .key',
  UNKNOWN_CA: 'it does not trust the authority of the certificate in gateway.tls.cert',
  CERTIFICATE_EXPIRED: 'the certificate in gateway.tls.cert is out of its time there: renew it, and compare the clocks',
  CERTIFICATE_REVOKED: 'the certificate in gateway.tls.cert is revoked',
  BAD_CERTIFICATE: 'it does not take the certificate in gateway.tls.cert',
  UNSUPPORTED_CERTIFICATE: 'it does not take certificates such as that in gateway.tls.cert',
  CERTIFICATE_UNKNOWN: 'it does not take the certificate in gateway.tls.cert',
  ACCESS_DENIED: 'it does not let in the certificate in gateway.tls.cert',
};

const UNTRUSTED = 'its certificate comes from no trusted authority: see gateway.tls.ca, and whether it sends its chain';
const NO_TLS = 'what answers there does not speak TLS: gateway.url needs http:, or another port';

/** Node's and OpenSSL's codes for a certificate of the gateway that does not verify, and for what is no TLS. */
const UNVERIFIED: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet',
  INVALID_PURPOSE: 'its certificate is not for a server',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate signs itself: trust it with gateway.tls.fingerprint',
  SELF_SIGNED_CERT_IN_CHAIN: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNTRUSTED,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNTRUSTED,
  ERR_SSL_WRONG_VERSION_NUMBER: NO_TLS,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: NO_TLS,
};

/** Of a handshake: the certificate of one side is refused by the other, or they have no version in common. */
const TLS_CODE =
  /^(?:ERR_SSL_|ERR_TLS_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH)/;

/**
 * @param error of a connection to the gateway
 * @returns what of TLS is wrong, or `undefined` where it is something else
 */
export function tlsFault(error: Error): TlsFault | undefined {
  const known = error.cause instanceof HopError ? error.cause : error;
  if (known instanceof HopError) {
    const refused = known.code === 'HOP_REFUSED';
    return refused || known.code === 'HOP_CERTIFICATE' ? { refused, words: known.message } : undefined;
  }
  const code = 'code' in known && typeof known.code === 'string' ? known.code : '';
  if (!TLS_CODE.test(code)) return undefined;
  const alert = /_ALERT_(.+)$/.exec(code)?.[1];
  if (alert === undefined) return { refused: false, words: UNVERIFIED[code] ?? `the TLS handshake failed (${code})` };
  const told = `TLS alert: ${alert.toLowerCase().replaceAll('_', ' ')}`;
  const refused = REFUSED[alert];
  return refused === undefined
    ? { refused: false, words: `it broke off the TLS handshake (${told})` }
    : { refused: true, words: `${refused} (${told})` };
}
