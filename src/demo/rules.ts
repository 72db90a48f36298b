/** What OpenClaw releases ask of an HTTP caller: read in their packages, measured where they were run. */

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
}

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
};
const JULY_1: Rules = { ...MAY_28, kill: 'admin' };
const SEPTEMBER_6: Rules = {
  ...JULY_1,
  attribution: true,
  toolsCallBack: true,
  scopeDetails: true,
  startupProbe: true,
  uiUnderV1: false,
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
