/** What the doctor can find: ids that stay, how grave each is, and the words and lines that go with it. */

/**
 * `fault`: requests fail, or go round the shim. `warning`: some fail, or will. `note`: to be known, nothing to be done.
 * `ok`: what holds.
 */
export type Severity = 'fault' | 'warning' | 'note' | 'ok';

/** Every id, in the order of the page that explains them; how grave it is unless a finding says otherwise. */
export const FINDINGS = {
  gateway_reachable: 'ok',
  gateway_not_listening: 'fault',
  gateway_name_unresolved: 'fault',
  gateway_timeout: 'fault',
  gateway_unreachable: 'fault',
  not_a_gateway: 'fault',
  gateway_starting: 'warning',
  gateway_speaks_tls: 'fault',
  gateway_speaks_no_tls: 'fault',
  gateway_certificate_wrong: 'fault',
  certificate_refused: 'fault',
  clock_agrees: 'ok',
  clock_differs: 'warning',
  release_known: 'ok',
  release_untested: 'note',
  release_unknown: 'note',
  login_accepted: 'ok',
  mode_differs: 'fault',
  gateway_secret_refused: 'fault',
  proxy_attribution_required: 'fault',
  trusted_proxy_loopback_source: 'fault',
  trusted_proxy_refused: 'fault',
  gateway_answer_unknown: 'fault',
  forwarded_headers_refused: 'note',
  endpoints_enabled: 'ok',
  endpoint_not_enabled: 'fault',
  scopes_enforced: 'ok',
  scopes_missing_is_all: 'note',
  scopes_ignored: 'note',
  scope_not_honoured: 'fault',
  self_calls_work: 'ok',
  self_calls_refused: 'warning',
  devices_pair: 'ok',
  device_approval_needed: 'warning',
  device_store_faulty: 'warning',
  local_password_accepted: 'ok',
  local_password_refused: 'fault',
  no_way_round: 'ok',
  gateway_beyond_loopback: 'warning',
  next_shim_accepts: 'ok',
  shim_refused: 'fault',
  shim_ceiling: 'fault',
  next_shim_gateway: 'fault',
  provider_reachable: 'ok',
  provider_unreachable: 'fault',
  certificate_expiry: 'warning',
  token_expiry: 'warning',
  gateway_token_in_use: 'warning',
  scope_unused: 'warning',
  caller_admitted_nowhere: 'warning',
  configuration_warning: 'warning',
  chat_answered: 'ok',
  chat_failed: 'fault',
  not_examined: 'note',
} as const satisfies Record<string, Severity>;

export type FindingId = keyof typeof FINDINGS;

/** Lines to write, and where; or commands to type. */
export interface Change {
  readonly file: 'openclaw.json' | 'shim.config.yaml' | 'command';
  readonly lines: readonly string[];
}

/** One thing that was seen. No member holds a secret. */
export interface Found {
  readonly id: FindingId;
  readonly severity: Severity;
  /** What was seen, and what to do about it where no line has to be changed. */
  readonly message: string;
  readonly changes: readonly Change[];
}

/**
 * @param id what was found
 * @param message what was seen, in plain words
 * @param changes what to write or to type
 * @param severity where it is another one than usual
 * @returns the finding
 */
export function found(
  id: FindingId,
  message: string,
  changes: readonly Change[] = [],
  severity: Severity = FINDINGS[id],
): Found {
  return { id, severity, message, changes };
}

/** @returns lines of the gateway's own file (JSON5) */
export function openclaw(...lines: readonly string[]): Change {
  return { file: 'openclaw.json', lines };
}

/** @returns lines of the shim's configuration */
export function yaml(...lines: readonly string[]): Change {
  return { file: 'shim.config.yaml', lines };
}

/** @returns commands to type */
export function command(...lines: readonly string[]): Change {
  return { file: 'command', lines };
}
