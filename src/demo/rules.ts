/** What OpenClaw releases ask of a caller: read in their packages, measured where they were run. */

export interface Rules {
  /** Where the scopes of a caller with the gateway's own secret come from; `unasked`: no route asks. */
  readonly secretScopes: 'unasked' | 'header' | 'owner';
  /** What a missing `x-openclaw-scopes` stands for in `none` and `trusted-proxy`. */
  readonly absentScopes: 'none' | 'all';
  /** Whether a proxy on loopback is believed in `trusted-proxy`. */
  readonly loopbackProxy: 'believed' | 'refused' | 'if-allowed';
  /** Forwarded headers must come from a trusted proxy and tell of a client that is not loopback. */
  readonly attribution: boolean;
  /** Whether `/v1/embeddings` and `/tools/invoke` ask `operator.write`. */
  readonly toolsScoped: boolean;
  /** Whether `/tools/invoke` reads the tool from `name` as well as from `tool`. */
  readonly toolsByName: boolean;
  /** Whether a tool that calls back into the gateway works in `trusted-proxy`. */
  readonly toolsCallBack: boolean;
  /** Whether the gateway's own secret opens the session history. */
  readonly historyWithSecret: boolean;
  /**
   * `local`: no scope, but no forwarded header either; `local-admin`: both `operator.admin` and no forwarded
   * header; `admin`: `operator.admin`. From `local-admin` on the secret alone carries no scope here.
   */
  readonly kill: 'local' | 'local-admin' | 'admin';
  /** Whether a missing scope is told in `error.details` as well. */
  readonly scopeDetails: boolean;
  /** Whether `/startup` and `/startupz` are there. */
  readonly startupProbe: boolean;
  /** Whether the control UI answers `GET` on unknown `/v1/` paths too. */
  readonly uiUnderV1: boolean;
  readonly socket: SocketRules;
}

/** What a release asks of a WebSocket client, and how it words it. */
export interface SocketRules {
  /** The one version of the protocol that is spoken. */
  readonly protocol: 3 | 4;
  /** The lowest version of a probe, where a mismatch tells it. */
  readonly probeProtocol?: 3 | 4;
  /** Milliseconds until a socket without a connect is closed. */
  readonly handshakeLimit: number;
  /** Who keeps its scopes without a device, on this machine and with the gateway's secret. */
  readonly bareScopes: 'nobody' | 'backend' | 'backend-and-cli';
  /** Whether an identity that a trusted proxy tells keeps its scopes without a device. */
  readonly identityScopes: boolean;
  /** Whether the gateway's password lets local callers in that no trusted proxy speaks for. */
  readonly localPassword: boolean;
  /** Whether only a caller that says a local `Host` is local. */
  readonly localByHost: boolean;
  /** Whether a paired local device may come to more scopes without an operator. */
  readonly growsSilently: boolean;
  /** Whether the events of runs go to readers alone; before, to everybody. */
  readonly eventsForReaders: boolean;
  /** Whether `x-openclaw-scopes` of the upgrade caps the scopes of the connection, in every mode. */
  readonly cappedByHeader: boolean;
  /** Whose scopes the hello tells: those of the device's token, which may be more, or the connection's. */
  readonly toldScopes: 'token' | 'connection';
  /** Whether the hello, the challenge and the events of a run tell what only newer clients read. */
  readonly tellsMore: boolean;
  /** Whether every problem of a frame is listed, or the first of its kind. */
  readonly allProblems: boolean;
}

const SOCKET_3: SocketRules = {
  protocol: 3,
  handshakeLimit: 10_000,
  bareScopes: 'nobody',
  identityScopes: true,
  localPassword: false,
  localByHost: true,
  growsSilently: false,
  eventsForReaders: false,
  cappedByHeader: false,
  toldScopes: 'token',
  tellsMore: false,
  allProblems: true,
};
const SOCKET_MAY_28: SocketRules = {
  ...SOCKET_3,
  protocol: 4,
  probeProtocol: 4,
  handshakeLimit: 15_000,
  bareScopes: 'backend',
  identityScopes: false,
  localPassword: true,
  localByHost: false,
  eventsForReaders: true,
  allProblems: false,
};
const SOCKET_JULY_1: SocketRules = { ...SOCKET_MAY_28, bareScopes: 'backend-and-cli' };
const SOCKET_SEPTEMBER_6: SocketRules = {
  ...SOCKET_JULY_1,
  probeProtocol: 3,
  growsSilently: true,
  cappedByHeader: true,
  toldScopes: 'connection',
  tellsMore: true,
};

const FIRST: Rules = {
  secretScopes: 'unasked',
  absentScopes: 'none',
  loopbackProxy: 'believed',
  attribution: false,
  toolsScoped: false,
  toolsByName: false,
  toolsCallBack: false,
  historyWithSecret: true,
  kill: 'local',
  scopeDetails: false,
  startupProbe: false,
  uiUnderV1: true,
  socket: SOCKET_3,
};
const MARCH_28: Rules = { ...FIRST, secretScopes: 'header' };
const MARCH_31: Rules = {
  ...MARCH_28,
  secretScopes: 'owner',
  loopbackProxy: 'refused',
  toolsScoped: true,
  historyWithSecret: false,
};
const APRIL_1: Rules = { ...MARCH_31, absentScopes: 'all' };
const MAY_28: Rules = {
  ...APRIL_1,
  loopbackProxy: 'if-allowed',
  toolsByName: true,
  historyWithSecret: true,
  kill: 'local-admin',
  socket: SOCKET_MAY_28,
};
const JULY_1: Rules = { ...MAY_28, kill: 'admin', socket: SOCKET_JULY_1 };
const SEPTEMBER_6: Rules = {
  ...JULY_1,
  attribution: true,
  toolsCallBack: true,
  scopeDetails: true,
  startupProbe: true,
  uiUnderV1: false,
  socket: SOCKET_SEPTEMBER_6,
};

/** Each release that the stand-in can play. */
export const RELEASES = {
  '2026.3.24': FIRST,
  '2026.3.28': MARCH_28,
  '2026.3.31': MARCH_31,
  '2026.4.1': APRIL_1,
  '2026.5.28': MAY_28,
  '2026.7.1': JULY_1,
  '2026.9.6': SEPTEMBER_6,
} as const satisfies Record<string, Rules>;

export type Release = keyof typeof RELEASES;
