/**
 * Every guard that is one exported function, and what it is like without it. `off` is a function of the guard that
 * gives what stands in its place: the request passes, or the check finds nothing. Tests are tried in their order until
 * one fails.
 */
export interface Guard {
  readonly file: string;
  readonly name: string;
  /** JavaScript. */
  readonly off: string;
  readonly tests: readonly string[];
}

const YES = '() => () => true';
const NO = '() => () => false';
const NOTHING = '() => () => undefined';

/** [export, what stands in its place, tests under `test/`] by file under `src/`. */
const GUARDS: Readonly<Record<string, readonly (readonly [name: string, off: string, tests: string])[]>> = {
  'headers/families.ts': [
    ['foldName', '() => (name) => name.toLowerCase()', 'headers/families headers/head security/corpus'],
    ['isProtectedFamily', NO, 'headers/families headers/request security/corpus'],
  ],
  'headers/bearer.ts': [
    [
      'readBearer',
      "(on) => (value, most) => { const read = on(value, most); return read === 'malformed' ? { token: value.split(' ').at(-1) } : read; }",
      'headers/bearer security/credentials',
    ],
  ],
  'headers/forwarded.ts': [
    ['clientPeer', "() => (peer, field) => field?.split(',')[0]?.trim() ?? peer", 'headers/forwarded security/corpus'],
  ],
  'headers/request.ts': [
    [
      'buildRequestHeaders',
      '() => (raw, _nominated, _secret, ours) => [...raw, ...ours]',
      'headers/request security/corpus',
    ],
    [
      'buildRequestHeaders',
      '(on) => (raw, _nominated, ...rest) => on(raw, [], ...rest)',
      'headers/request security/corpus',
    ],
    [
      'buildRequestHeaders',
      '(on) => (raw, nominated, _secret, ...rest) => on(raw, nominated, new Set(), ...rest)',
      'headers/request security/corpus',
    ],
  ],
  'headers/response.ts': [
    [
      'buildResponseHeaders',
      '(on) => (raw, _names, secrets) => on(raw, new Set(), secrets)',
      'headers/response security/identity-response',
    ],
    [
      'buildResponseHeaders',
      '(on) => (raw, names) => on(raw, names, [])',
      'headers/response security/identity-response',
    ],
  ],
  'headers/target.ts': [
    [
      'readTarget',
      "(on) => (target) => { const read = on(target); const [path, query = ''] = target.split('?'); return 'wrong' in read ? { path, query } : read; }",
      'headers/target security/corpus',
    ],
  ],
  'headers/upgrade.ts': [
    [
      'readUpgrade',
      "(on) => (...asked) => { const read = on(...asked); return 'kind' in read ? { authorization: undefined, protocol: undefined } : read; }",
      'headers/upgrade security/upgrade',
    ],
    ['asksForWebSocket', YES, 'headers/upgrade security/upgrade'],
  ],
  'headers/resource-metadata.ts': [
    [
      'asksForMetadata',
      "() => ({ target }) => target.startsWith('/.well-known/')",
      'e2e/an-oauth-client-finds-the-issuer',
    ],
  ],
  'scopes.ts': [
    ['hasScope', YES, 'scopes gate'],
    ['isScope', YES, 'scopes'],
    ['intersectScopes', '() => (asked) => [...asked]', 'scopes'],
  ],
  'json.ts': [
    ['parseUnambiguous', '() => (data) => JSON.parse(data.toString())', 'json'],
    ['hasDuplicateKey', NO, 'json'],
  ],
  'policy/authorize.ts': [
    ['keepsRoute', YES, 'policy/authorize gate e2e/a-held-body-is-sent-with-the-policy-of-now'],
    ['keepsPolicy', YES, 'policy/authorize gate e2e/a-held-body-is-sent-with-the-policy-of-now'],
    ['reportsOnly', YES, 'policy/authorize gate'],
  ],
  'policy/routes.ts': [
    ['compileRoutes', '(on) => (_closed, routes) => on([], routes)', 'policy/routes policy/authorize'],
    [
      'compileRoutes',
      "(on) => (...given) => { const find = on(...given); return (path) => find(path.replace(/\\/+$/, '').toLowerCase()); }",
      'policy/routes',
    ],
  ],
  'policy/from.ts': [['mayComeFrom', YES, 'gate security/identity-policy']],
  'policy/methods.ts': [
    ['allowsMethod', YES, 'policy/methods'],
    ['readRequestFrame', '() => (data) => JSON.parse(data.toString())', 'policy/methods'],
  ],
  'policy/session.ts': [['checkSessionKey', NOTHING, 'policy/session']],
  'policy/sockets.ts': [
    [
      'authorizeSocket',
      "() => ({ websocket = 'relay' }) => ({ method: 'GET', template: '/', websocket })",
      'policy/sockets',
    ],
    ['keepsSocket', YES, 'policy/sockets e2e/a-websocket-ends-with-its-credential'],
  ],
  'policy/tools.ts': [['checkToolBody', NOTHING, 'policy/tools']],
  'callers/certificate.ts': [['createClientTrust', '() => () => () => true', 'callers/certificate']],
  'callers/claims.ts': [
    ['callerFrom', '(on) => (rules, claims) => on({ ...rules, match: [] }, claims)', 'callers/claims'],
    [
      'callerFrom',
      "(on) => (rules, claims) => on({ ...rules, scopes: { ...rules.scopes, ceiling: ['operator.admin'] } }, claims)",
      'callers/claims',
    ],
    ['callerFrom', '(on) => (rules, { cnf, ...claims }) => on(rules, claims)', 'callers/claims'],
  ],
  'callers/on-behalf.ts': [
    ['actingFor', '() => (caller) => ({ caller, onBehalf: undefined })', 'callers/on-behalf'],
    [
      'actFor',
      '() => (shim, { name, scopes }) => ({ ...shim, name: `${shim.name}/${name}`, scopes })',
      'callers/on-behalf',
    ],
  ],
  'callers/token.ts': [
    ['isMinted', NO, 'callers/token callers/table e2e/an-opaque-token-is-asked-about'],
    ['hasValidChecksum', YES, 'callers/token'],
  ],
  'callers/table.ts': [
    [
      'createCallerTable',
      "(on) => (callers, rules = {}, verifiers) => on(callers, { required: false, credentials: 'all', ...rules, trusts: () => true }, verifiers)",
      'callers/table',
    ],
    [
      'createCallerTable',
      "(on) => (callers, rules, verifiers) => on(callers, rules && { ...rules, credentials: 'bearer' }, verifiers)",
      'callers/table',
    ],
    [
      'createCallerTable',
      '(on) => (callers, rules, verifiers) => on(callers, rules && { ...rules, required: false }, verifiers)',
      'callers/table',
    ],
  ],
  'callers/unverified.ts': [
    [
      'readUnverified',
      "() => (token) => { const [header, claims] = token.split('.').map((part) => { try { return JSON.parse(Buffer.from(part, 'base64url')); } catch { return {}; } }); return { header, iss: claims.iss }; }",
      'callers/jwt',
    ],
  ],
  'callers/vouched.ts': [['whileValid', '() => (vouched) => vouched', 'callers/introspection']],
  'callers/answers.ts': [
    [
      'askUnlessLimited',
      '(on) => (answers, raw, hash, now) => on(answers, raw, hash, now, undefined)',
      'e2e/an-opaque-token-is-asked-about',
    ],
  ],
  'callers/jwt.ts': [
    [
      'createJwtVerifier',
      "(on) => (issuers, ...rest) => on(issuers.map((one) => ({ ...one, algorithms: ['RS256', 'ES256', 'PS256', 'HS256', 'RS512', 'EdDSA'] })), ...rest)",
      'callers/jwt',
    ],
    [
      'createJwtVerifier',
      '(on) => (issuers, ...rest) => on(issuers.map((one) => ({ ...one, clockTolerance: 1e9 })), ...rest)',
      'callers/jwt',
    ],
    [
      'createJwtVerifier',
      '(on) => (issuers, ...rest) => on(issuers.map((one) => ({ ...one, requireTyp: undefined })), ...rest)',
      'callers/jwt',
    ],
  ],
  'callers/keys.ts': [
    ['createKeys', '(on) => (issuer, deps) => on({ ...issuer, maxStale: 1e12 }, deps)', 'callers/keys'],
  ],
  'limits/failed-logins.ts': [
    [
      'createFailedLogins',
      '() => () => ({ count: () => undefined, unanswered: () => undefined, tooMany: () => undefined })',
      'limits/failed-logins',
    ],
  ],
  'limits/counts.ts': [['networkOf', '() => (address) => address', 'limits/failed-logins']],
  'limits/handshakes.ts': [
    ['createHandshakeCosts', '() => () => ({ failed: () => undefined, shut: () => false })', 'server/tls'],
  ],
  'limits/names.ts': [['createCountedNames', '() => () => (caller) => caller', 'limits/limiter']],
  'gateway/blame.ts': [
    ['mayBlameShim', NO, 'hop/blame security/gateway-refusal'],
    ['blameShim', NOTHING, 'hop/blame security/gateway-refusal'],
    ['blameEvent', NOTHING, 'e2e/two-shims-make-the-hop'],
    ['blameClose', NOTHING, 'e2e/two-shims-make-the-hop'],
  ],
  'gateway/connect.ts': [
    ['scopesFor', '() => (asked, allowed) => [...(asked ?? allowed)]', 'hop/connect'],
    ['cleanHello', '() => (payload) => payload', 'hop/connect'],
    ['withoutDevice', '() => (error) => error', 'hop/connect'],
  ],
  'gateway/connection.ts': [['loopbackOnly', '() => (lookup) => lookup', 'hop/pool hop/tls']],
  'gateway/device-file.ts': [['checkFolder', '() => async () => true', 'hop/device-store']],
  'gateway/present.ts': [
    ['secretsOf', '() => () => []', 'hop/present security/leaks'],
    [
      'createPresenter',
      "(on) => (...given) => { const presenter = on(...given); return { ...presenter, present(asked) { const all = presenter.present(asked); const at = all.indexOf('x-openclaw-scopes'); return all[at + 1] === '' ? all.toSpliced(at, 2) : all; } }; }",
      'hop/present gate',
    ],
  ],
  'proxy/record.ts': [['pathOf', '() => (target) => target', 'proxy/record security/leaks']],
  'proxy/recheck.ts': [['stillHolds', '() => (decision) => decision', 'e2e/an-opaque-token-is-asked-about']],
  'proxy/refuse.ts': [
    ['corsHeaders', "() => (origin) => ['access-control-allow-origin', origin ?? '*']", 'e2e/main-job security/corpus'],
  ],
  'server/admin-guard.ts': [
    ['refuseForeign', NOTHING, 'e2e/the-admin-listener-knows-who-looks e2e/the-status-page-is-on-the-admin-listener'],
    ['refuseStranger', NOTHING, 'e2e/the-admin-listener-knows-who-looks'],
  ],
  'server/admin.ts': [
    ['isHealthPath', '() => (path) => /^.(?:livez|readyz|startupz)/.test(path)', 'e2e/health-is-on-the-admin-listener'],
  ],
  'config/address.ts': [
    ['isLoopback', YES, 'config/load config/listen hop/pool'],
    ['isLoopbackHost', YES, 'config/load config/listen'],
    ['contains', NO, 'gate headers/forwarded'],
  ],
  'config/callers.ts': [['reaches', NO, 'config/callers config/issuers']],
  'config/caller-certificates.ts': [
    ['checkOnBehalf', NOTHING, 'config/caller-certificates'],
    ['refuseSharedCertificates', NOTHING, 'config/caller-certificates'],
  ],
  'config/certificate.ts': [['isFor', YES, 'config/tls']],
  'config/claim-rules.ts': [['refuseSharedSessions', NOTHING, 'config/issuers']],
  'config/issuer-keys.ts': [['providerUrl', '() => (written) => written', 'config/issuers']],
  'config/placeholder.ts': [
    ['isPlaceholder', NO, 'config/secret config/load'],
    ['isPlaceholderHash', NO, 'config/callers config/load'],
  ],
  'config/secret.ts': [['secretFault', NOTHING, 'config/secret']],
  'config/units.ts': [['fitsTimer', YES, 'config/listen']],
  'observe/audit-record.ts': [['sessionId', '() => (key) => key', 'observe/audit']],
};

export const guards: readonly Guard[] = Object.entries(GUARDS).flatMap(([file, all]) =>
  all.map(([name, off, tests]) => ({
    file: `src/${file}`,
    name,
    off,
    tests: tests.split(' ').map((test) => `test/${test}.test.ts`),
  })),
);
