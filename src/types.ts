/** The nouns of the shim. Nothing here runs. */
import type { X509Certificate } from 'node:crypto';
import type { BlockList } from 'node:net';

/** Every operator scope that a gateway release from 2026.3.24 to 2026.9.6 knows. */
export const SCOPES = [
  'operator.read',
  'operator.write',
  'operator.admin',
  'operator.approvals',
  'operator.pairing',
  'operator.questions',
  'operator.sessions.read',
  'operator.sessions.write',
  'operator.talk',
  'operator.talk.secrets',
] as const;

export type Scope = (typeof SCOPES)[number];

/** A bearer token as the caller sent it. The brand keeps it out of logs and comparisons by type. */
export type RawToken = string & { readonly __brand: 'RawToken' };

/** One bearer token of a caller, known by its hash alone. Times are milliseconds since the epoch. */
export interface Token {
  /** SHA-256 of the token, 64 lower-case hex digits. */
  readonly hash: string;
  /** First 12 hex digits of `hash`: the name by which logs and commands call it. */
  readonly id: string;
  /** The first millisecond at which the token is valid. */
  readonly notBefore?: number;
  /** The first millisecond at which the token is no longer valid. */
  readonly expires?: number;
}

/** A client certificate whose signatures the listener has verified. Times are milliseconds since the epoch. */
export interface ClientCertificate {
  /** SHA-256 of its DER form, 64 lower-case hex digits. */
  readonly fingerprint: string;
  /** `cert:` and the first 12 digits of `fingerprint`: the name by which logs call it. */
  readonly id: string;
  /** Its subject alternative names (RFC 5280 section 4.2.1.6); the common name names nobody. */
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  /** Whether its extended key usage has client authentication (RFC 5280 section 4.2.1.12). */
  readonly clientAuth: boolean;
  readonly notBefore: number;
  /** The first millisecond at which it is no longer valid. */
  readonly notAfter: number;
  /** The certificate and what came with it, in the order in which each is signed by the next. */
  readonly chain: readonly X509Certificate[];
  /** The CA bundle, PEM, that it was verified against; `undefined` where another one may have come meanwhile. */
  readonly verifiedBy: string | undefined;
}

/** What a certificate is known by: exactly one subject alternative name, or the certificate itself. */
export type CertificateName =
  | { readonly uri: string }
  /** Lower case. */
  | { readonly dns: string }
  /** SHA-256 of the DER form, 64 lower-case hex digits. */
  | { readonly fingerprint: string };

/** The request headers of the gateway's own that a caller may be allowed to send. */
export const CALLER_HEADERS = [
  'x-openclaw-agent-id',
  'x-openclaw-session-key',
  'x-openclaw-model',
  'x-openclaw-message-channel',
] as const;

export type CallerHeader = (typeof CALLER_HEADERS)[number];

/** With which a shim tells the next one whom it calls for, and with which scopes: header names, lower case. */
export const ON_BEHALF = { caller: 'x-auth-shim-caller', scopes: 'x-auth-shim-scopes' } as const;

/** How much a caller may use. What is not there is not limited. */
export interface CallerLimits {
  readonly requestsPerMinute?: number;
  /** Further requests beyond those of a minute, in ten minutes. Only together with `requestsPerMinute`. */
  readonly burst?: number;
  /** Requests in 24 hours. */
  readonly requestsPerDay?: number;
  /** Requests that are open at once. */
  readonly streams?: number;
  /** WebSockets that are open at once. */
  readonly sockets?: number;
  /** Most bytes of a request body. */
  readonly body?: number;
}

/** How a caller's WebSockets reach the gateway: with a first frame of the shim's own, or as they come. */
export type SocketMode = 'relay' | 'tunnel';

/** Which methods of the gateway a caller's frames may name: exact names, or `prefix.*`. */
export interface MethodPolicy {
  /** `undefined`: every method that is not denied. */
  readonly allow?: readonly string[];
  readonly deny: readonly string[];
}

/** Who may call, and what they may do. */
export interface Caller {
  readonly name: string;
  readonly tokens: readonly Token[];
  /** The client certificates that name this caller. */
  readonly certificates?: readonly CertificateName[];
  /** Whether it is another shim, which calls for callers of its own: `scopes` is then what each may have at most. */
  readonly onBehalf?: true;
  readonly scopes: readonly Scope[];
  readonly allowHeaders: readonly CallerHeader[];
  readonly onForbiddenHeader: 'drop' | 'refuse';
  /** The one agent that this caller's runs go to. */
  readonly agent?: string;
  /** What every session key of this caller must begin with. */
  readonly sessionPrefix?: string;
  /** The tools that `POST /tools/invoke` is open for. */
  readonly tools?: readonly string[];
  /** Until then a missing scope is reported, not refused; milliseconds since the epoch. */
  readonly reportOnlyUntil?: number;
  /** The addresses from which this caller's credentials may be used; a peer without an address is none of them. */
  readonly from?: BlockList;
  /** `undefined`: no WebSocket. */
  readonly websocket?: SocketMode;
  /** `undefined`: every method; frames are not read then. */
  readonly methods?: MethodPolicy;
  /** The caller's own limits, and the default's where it has none of its own. */
  readonly limits?: CallerLimits;
}

/** One exposed route. `template` has `{name}` for one path segment. */
export interface Route {
  readonly method: string;
  readonly template: string;
  readonly scope: Scope;
  /** Most bytes of a request body. */
  readonly bodyLimit?: number;
  /** The secret that the gateway wants as `x-openclaw-token` on its webhook routes. */
  readonly hooksToken?: string;
}

/** The gateway's WebSocket: no scope of its own, since its frames are judged by the scopes of their connection. */
export interface SocketRoute {
  readonly method: 'GET';
  readonly template: '/';
  readonly websocket: SocketMode;
}

/** What the shim knows of one request before anything is decided. */
export interface RequestFacts {
  readonly method: string;
  /** The request target, byte for byte. */
  readonly target: string;
  readonly httpVersion: string;
  /** Names and values alternating, as they came (Node's `rawHeaders`). */
  readonly rawHeaders: readonly string[];
  /** The address of the TCP peer; `undefined` for a unix socket. */
  readonly peer: string | undefined;
  /** Of the connection, where it showed one. */
  readonly certificate?: ClientCertificate | undefined;
  /** Only of a request that asks for a WebSocket: whether bytes came behind it, before any answer. */
  readonly upgrade?: { readonly early: boolean };
}
