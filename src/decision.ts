/** What the gate answers: the nouns of a decision. Nothing here runs. */
import type { VerifiedToken } from './callers/jwt.ts';
import type { OnBehalf } from './callers/on-behalf.ts';
import type { ErrorCode, Refusal } from './errors.ts';
import type { Trace } from './headers/trace.ts';
import type { SocketGrant } from './policy/sockets.ts';
import type { Caller, CallerHeader, ClientCertificate, Route, Scope, SocketMode, SocketRoute, Token } from './types.ts';

/** What became known of a request on its way through the gate: for log, audit, traces and CORS. */
export interface About {
  caller?: string;
  token?: Token | undefined;
  /** What was verified beside the token. */
  assertion?: VerifiedToken | undefined;
  /** Of the connection, whether it names the caller or not. */
  certificate?: ClientCertificate | undefined;
  /** Whom another shim called for. */
  onBehalf?: OnBehalf | undefined;
  /** The caller as it was judged. */
  policy?: Caller;
  route?: Route | SocketRoute;
  peer?: string | undefined;
  /** The listed web origin that the answer is for. */
  origin?: string;
  dropped?: readonly CallerHeader[];
  /** What the caller was granted. */
  scopes?: readonly Scope[];
  /** The agent and the session key that the gateway is told. */
  agent?: string | undefined;
  sessionKey?: string | undefined;
  /** The tools that the body was checked against, where it was. */
  tools?: readonly string[];
  /** What its WebSocket was given, once that is known. */
  socket?: SocketGrant;
  /** What would have been refused, were the caller's policy not only reported. */
  wouldRefuse?: ErrorCode;
  trace?: Trace;
}

/** The request may pass, as this. */
export interface Forward {
  readonly kind: 'forward';
  readonly about: About;
  readonly route: Route;
  /** Names and values, alternating: all that the gateway gets, but for the framing of the body. */
  readonly headers: string[];
  readonly hasBody: boolean;
  /** Bytes; `undefined` for a chunked body. */
  readonly contentLength: number | undefined;
  readonly bodyLimit: number;
  readonly expectContinue: boolean;
  readonly scopes: readonly Scope[];
  /** The whole body must be read and pass the check of these tools before anything is sent. */
  readonly tools: readonly string[] | undefined;
  /** What the caller is told of its limits: response headers, names and values alternating. */
  readonly answerHeaders: readonly string[];
  /** Gives the caller's room back; to be called when the request is over, however it ends. */
  readonly release: () => void;
}

/** The request may become a WebSocket. */
export interface Upgrade {
  readonly kind: 'upgrade';
  readonly about: About;
  readonly mode: SocketMode;
  readonly caller: Caller;
  /** The subprotocol that the caller is answered. */
  readonly protocol: string | undefined;
  /**
   * @param scopes what the socket is given
   * @returns names and values, alternating: all that the gateway gets, but for what makes it a WebSocket
   */
  readonly headersWith: (scopes: readonly Scope[]) => string[];
  readonly answerHeaders: readonly string[];
  /** Gives the caller's room back; to be called when the socket is closed. */
  readonly release: () => void;
}

/** It may not. */
export type Refused = Refusal & { readonly about: About };

export type Decision =
  | Forward
  | Upgrade
  | Refused
  /** A preflight of a listed origin, answered by the shim. */
  | { readonly kind: 'preflight'; readonly about: About }
  /** A WebSocket that shows its token in the first frame: to be asked again, once, with it as `Authorization`. */
  | { readonly kind: 'first-frame'; readonly about: About };
