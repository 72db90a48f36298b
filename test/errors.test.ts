import t from 'tap';
import { challenge, errorBody, ERRORS, refuse, type ErrorCode } from '../src/errors.ts';

interface Row {
  readonly status: number;
  readonly type: string;
  readonly closes: boolean;
  readonly challenge?: string;
}

const REALM = 'Bearer realm="openclaw"';
const invalid = (description: string): string => `${REALM}, error="invalid_token", error_description="${description}"`;

/** The contract, written out a second time: codes are what callers program against. */
const TABLE: Readonly<Record<ErrorCode, Row>> = {
  bad_request: { status: 400, type: 'invalid_request_error', closes: true },
  header_not_allowed: { status: 400, type: 'invalid_request_error', closes: true },
  missing_token: { status: 401, type: 'authentication_error', closes: true, challenge: REALM },
  invalid_token: {
    status: 401,
    type: 'authentication_error',
    closes: true,
    challenge: invalid('The bearer token is not valid.'),
  },
  invalid_certificate: { status: 401, type: 'authentication_error', closes: true, challenge: REALM },
  expired_certificate: { status: 401, type: 'authentication_error', closes: true, challenge: REALM },
  expired_token: {
    status: 401,
    type: 'authentication_error',
    closes: true,
    challenge: invalid('The bearer token has expired.'),
  },
  not_yet_valid_token: {
    status: 401,
    type: 'authentication_error',
    closes: true,
    challenge: invalid('The bearer token is not valid yet.'),
  },
  insufficient_scope: {
    status: 403,
    type: 'permission_error',
    closes: false,
    challenge: `${REALM}, error="insufficient_scope"`,
  },
  origin_not_allowed: { status: 403, type: 'permission_error', closes: false },
  session_not_allowed: { status: 403, type: 'permission_error', closes: false },
  tool_not_allowed: { status: 403, type: 'permission_error', closes: false },
  route_not_exposed: { status: 404, type: 'invalid_request_error', closes: false },
  method_not_allowed: { status: 405, type: 'invalid_request_error', closes: false },
  request_timeout: { status: 408, type: 'invalid_request_error', closes: true },
  body_too_large: { status: 413, type: 'invalid_request_error', closes: true },
  expectation_failed: { status: 417, type: 'invalid_request_error', closes: true },
  host_not_allowed: { status: 421, type: 'invalid_request_error', closes: true },
  upgrade_required: { status: 426, type: 'invalid_request_error', closes: false },
  rate_limited: { status: 429, type: 'rate_limit_error', closes: false },
  quota_exceeded: { status: 429, type: 'rate_limit_error', closes: false },
  too_many_streams: { status: 429, type: 'rate_limit_error', closes: false },
  too_many_sockets: { status: 429, type: 'rate_limit_error', closes: false },
  headers_too_large: { status: 431, type: 'invalid_request_error', closes: true },
  internal_error: { status: 500, type: 'server_error', closes: false },
  gateway_unreachable: { status: 502, type: 'gateway_error', closes: false },
  gateway_bad_response: { status: 502, type: 'gateway_error', closes: false },
  gateway_refused: { status: 502, type: 'gateway_error', closes: false },
  identity_unavailable: { status: 503, type: 'server_error', closes: false },
  limits_unavailable: { status: 503, type: 'server_error', closes: false },
  audit_unavailable: { status: 503, type: 'server_error', closes: false },
  shutting_down: { status: 503, type: 'server_error', closes: false },
  gateway_timeout: { status: 504, type: 'gateway_error', closes: false },
};

t.strictSame(Object.keys(ERRORS).sort(), Object.keys(TABLE).sort());

for (const [name, row] of Object.entries(TABLE)) {
  void t.test(name, async (t) => {
    const code = name as ErrorCode;
    const { status, type, message, ...rest } = ERRORS[code];
    t.equal(status, row.status);
    t.equal('close' in rest && rest.close, row.closes);
    t.match(message, /^[\x20-\x7e]+\.$/, 'words for people, safe in a header');
    if (row.challenge?.includes('error_description')) t.notMatch(message, /["\\]/, 'safe in a quoted string');
    t.equal(challenge(refuse(code)), row.challenge);
    t.strictSame(JSON.parse(errorBody(refuse(code))), { error: { message, type: row.type, code, param: null } });
    t.equal(type, row.type);
    const own = refuse(code, { message: 'Other words: "x"\n', reason: 'for the log alone' });
    t.strictSame(JSON.parse(errorBody(own)), {
      error: { message: 'Other words: "x"\n', type: row.type, code, param: null },
    });
    t.equal(challenge(own), row.challenge, 'own words are in the body alone');
  });
}

void t.test('insufficient_scope names the scope', async (t) => {
  t.equal(
    challenge(refuse('insufficient_scope', { scope: 'operator.write' })),
    `${REALM}, error="insufficient_scope", scope="operator.write"`,
  );
});
