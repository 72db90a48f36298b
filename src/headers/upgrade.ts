/** The head of a request for a WebSocket (RFC 6455 section 4.2.1): what the gate has to know, or why it is refused. Pure. */
import { refuse, type Refusal } from '../errors.ts';
import type { RequestFacts } from '../types.ts';

/** What a client offers that shows its token as a subprotocol, and what it is answered. */
export const SUBPROTOCOL = 'openclaw.v1';
const BEARER = 'bearer.';
/** 16 bytes in base64. */
const KEY = /^[A-Za-z0-9+/]{21}[AQgw]==$/;
const VERSION = '13';
/** RFC 9110 section 5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** What the head of an upgrade says beyond that of any request. */
export interface UpgradeHead {
  /** `Bearer …`, where the token came as a subprotocol. */
  readonly authorization: string | undefined;
  /** The subprotocol that the client is answered. */
  readonly protocol: string | undefined;
}

/**
 * @param facts a request that asks for a WebSocket and nothing else
 * @param subprotocolToken whether a token may come in `Sec-WebSocket-Protocol`
 * @returns the parts that the gate needs, or the refusal: 426 for another version, 400 for all else
 */
export function readUpgrade(facts: RequestFacts, subprotocolToken: boolean): UpgradeHead | Refusal {
  const bad = (reason: string): Refusal => refuse('bad_request', { message: `Bad request: ${reason}.`, reason });
  const values = (name: string): string[] =>
    facts.rawHeaders.filter((_, i, raw) => i % 2 === 1 && raw[i - 1]?.toLowerCase() === name);

  if (facts.method !== 'GET') return bad('a WebSocket is asked for with GET');
  if (values('content-length').length > 0 || values('transfer-encoding').length > 0) {
    return bad('a request for a WebSocket has no body and no framing headers');
  }
  if (facts.upgrade?.early) return bad('bytes came before the answer to a request for a WebSocket');
  const versions = values('sec-websocket-version');
  if (versions.length !== 1 || versions[0] !== VERSION) {
    return refuse('upgrade_required', {
      message: `Only version ${VERSION} of the WebSocket protocol is spoken here.`,
      headers: ['upgrade', 'websocket', 'sec-websocket-version', VERSION],
    });
  }
  const [key, ...others] = values('sec-websocket-key');
  if (key === undefined || others.length > 0 || !KEY.test(key)) return bad('the Sec-WebSocket-Key is malformed');

  const offered = values('sec-websocket-protocol').flatMap((line) => line.split(',').map((name) => name.trim()));
  if (offered.some((name) => !TOKEN.test(name)) || new Set(offered).size < offered.length) {
    return bad('the Sec-WebSocket-Protocol is malformed');
  }
  if (!subprotocolToken) return { authorization: undefined, protocol: undefined };
  const protocol = offered.includes(SUBPROTOCOL) ? SUBPROTOCOL : undefined;
  const tokens = offered.filter((name) => name.startsWith(BEARER));
  if (tokens.length === 0) return { authorization: undefined, protocol };
  if (tokens.length > 1) return bad('more than one bearer subprotocol');
  if (protocol === undefined) return bad(`a bearer subprotocol needs ${SUBPROTOCOL} beside it`);
  if (values('authorization').length > 0) return bad('a bearer subprotocol beside an Authorization header');
  return { authorization: `Bearer ${tokens[0]?.slice(BEARER.length)}`, protocol };
}

/**
 * @param rawHeaders names and values alternating
 * @returns whether a WebSocket is all that the request asks to upgrade to; other values count as none (RFC 9110
 *   section 7.8: a server may ignore `Upgrade`)
 */
export function asksForWebSocket(rawHeaders: readonly string[]): boolean {
  const values = rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === 'upgrade');
  return values.length === 1 && values[0]?.toLowerCase() === 'websocket';
}
