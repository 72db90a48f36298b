import t from 'tap';
import { HopError } from '../../src/gateway/connection.ts';
import { tlsFault } from '../../src/gateway/tls-fault.ts';

const coded = (code: string, cause?: Error): Error =>
  Object.assign(new Error('words of the library', { cause }), { code });
const broken = new HopError('HOP_REFUSED', 'it broke off');

interface Case {
  readonly error: Error;
  readonly refused?: boolean;
  /** Nothing for what is no fault of TLS. */
  readonly words?: string | RegExp;
}

const CASES: Readonly<Record<string, Case>> = {
  'alert: no certificate': { error: coded('ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED'), refused: true, words: /^it asks for a client certificate: .*\(TLS alert: certificate required\)$/ }, // prettier-ignore
  'alert: authority': { error: coded('ERR_SSL_TLSV1_ALERT_UNKNOWN_CA'), refused: true, words: /^it does not trust the authority .*\(TLS alert: unknown ca\)$/ }, // prettier-ignore
  'alert: expired, as OpenSSL 3.5 spells it': { error: coded('ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_EXPIRED'), refused: true, words: /out of its time there.*\(TLS alert: certificate expired\)$/ }, // prettier-ignore
  'alert: bad certificate, as OpenSSL 3.0 spells it': { error: coded('ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE'), refused: true, words: /\(TLS alert: bad certificate\)$/ }, // prettier-ignore
  'alert: version': { error: coded('ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION'), refused: false, words: 'it broke off the TLS handshake (TLS alert: protocol version)' }, // prettier-ignore
  'broke off': { error: broken, refused: true, words: 'it broke off' },
  'broke off, behind an error of the system': { error: coded('ECONNRESET', broken), refused: true, words: 'it broke off' }, // prettier-ignore
  expired: { error: coded('CERT_HAS_EXPIRED'), refused: false, words: 'its certificate has expired' },
  'wrong authority': { error: coded('UNABLE_TO_VERIFY_LEAF_SIGNATURE'), refused: false, words: /no trusted authority/ },
  'name or pin': { error: new HopError('HOP_CERTIFICATE', 'the certificate is another'), refused: false, words: 'the certificate is another' }, // prettier-ignore
  'no TLS': {
    error: coded('ERR_SSL_PACKET_LENGTH_TOO_LONG'),
    refused: false,
    words: /does not speak TLS: gateway\.url needs http:/,
  },
  'another code of OpenSSL': { error: coded('ERR_SSL_BAD_EXTENSION'), refused: false, words: 'the TLS handshake failed (ERR_SSL_BAD_EXTENSION)' }, // prettier-ignore
  'no fault of TLS': { error: coded('ECONNREFUSED') },
  'too late': { error: new HopError('HOP_TIMEOUT', 'no connection within 5 ms') },
};

for (const [name, { error, refused, words }] of Object.entries(CASES)) {
  void t.test(name, async (t) => {
    const fault = tlsFault(error);
    if (words === undefined) t.equal(fault, undefined);
    else t.match(fault, { refused, words });
  });
}
