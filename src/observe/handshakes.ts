/** Why a TLS handshake of a caller came to nothing: a closed set. */
export const HANDSHAKE_FAILURES = [
  'timeout',
  'closed',
  'plain_http',
  'not_tls',
  'protocol_version',
  'cipher',
  'alpn',
  'client_alert',
  'no_certificate',
  'untrusted_certificate',
  'expired_certificate',
  'not_yet_valid_certificate',
  'wrong_usage_certificate',
  'unreadable_certificate',
  'shut_out',
  'other',
] as const;

export type HandshakeFailure = (typeof HANDSHAKE_FAILURES)[number];
