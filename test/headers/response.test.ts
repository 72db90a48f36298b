import t from 'tap';
import { buildResponseHeaders } from '../../src/headers/response.ts';

const NONE: ReadonlySet<string> = new Set();

void t.test('what passes, and what the proxy reads of it', async (t) => {
  const raw = [
    'Content-Type',
    'text/event-stream',
    'Content-Encoding',
    'gzip',
    'Content-Length',
    '3',
    'Vary',
    'Accept',
  ];
  t.strictSame(buildResponseHeaders(raw, NONE, []), {
    headers: raw,
    contentType: 'text/event-stream',
    contentLength: '3',
    contentEncoding: 'gzip',
    chunked: false,
  });
  t.strictSame(buildResponseHeaders([], NONE, []), {
    headers: [],
    contentType: undefined,
    contentLength: undefined,
    contentEncoding: undefined,
    chunked: false,
  });
});

void t.test('what never passes', async (t) => {
  const names = `
    Alt-Svc Authorization Connection Cookie Set-Cookie Keep-Alive Proxy-Authenticate Proxy-Authorization
    Proxy-Connection TE Trailer Transfer-Encoding Upgrade X-Request-Id Access-Control-Allow-Origin
    Access-Control-Allow-Credentials x-openclaw-scopes X-OpenClaw-Token X-Forwarded-User Forwarded
    x_openclaw_scopes SET_COOKIE Tailscale-User-Login RateLimit-Limit RateLimit-Remaining RateLimit-Reset
  `
    .trim()
    .split(/\s+/);
  for (const name of names) t.strictSame(buildResponseHeaders([name, 'x'], NONE, []).headers, [], name);
});

void t.test('secret names do not come back, in any spelling', async (t) => {
  const secret = new Set(['x-id-7f3a']);
  for (const name of ['X-Id-7f3a', 'x-id-7F3A', 'x_id_7f3a']) {
    t.strictSame(buildResponseHeaders([name, 'writer', 'Date', 'd'], secret, []).headers, ['Date', 'd'], name);
  }
});

void t.test('what Connection names stays on the hop, wherever the line stands', async (t) => {
  const raw = ['X-Hop', 'a', 'Connection', 'close, x-hop', 'x-Two', 'b', 'connection', '\tX-TWO'];
  t.strictSame(buildResponseHeaders(raw, NONE, []).headers, []);
  const fine = ['Vary', 'X-Fine', 'X-Fine', 'c', 'X_Custom', 'd'];
  t.strictSame(buildResponseHeaders([...raw, ...fine], NONE, []).headers, fine, 'and nothing else does');
});

void t.test('a body is chunked by that coding alone', async (t) => {
  for (const [coding, expected] of [
    ['chunked', true],
    ['Chunked', true],
    ['gzip, chunked', false],
    ['chunked, identity', false],
    ['gzip', false],
  ] as const) {
    t.equal(buildResponseHeaders(['Transfer-Encoding', coding], NONE, []).chunked, expected, coding);
  }
});

void t.test('a value that quotes a secret, or the name of a secret header, does not pass', async (t) => {
  const raw = ['X-Echo', 'Bearer gateway-secret-1', 'Vary', 'Accept, X_Id-7F3A', 'X-Fine', 'gateway'];
  t.strictSame(buildResponseHeaders(raw, new Set(['x-id-7f3a']), ['gateway-secret-1']).headers, ['X-Fine', 'gateway']);
});

void t.test('what frames the body goes by its exact name', async (t) => {
  const raw = [
    'Content_Length',
    '2',
    'content.type',
    'text/html',
    'Transfer_Encoding',
    'x',
    'Content-Encoding',
    'gzip',
  ];
  const head = buildResponseHeaders([...raw, 'Transfer-Encoding', 'chunked'], new Set(), []);
  t.strictSame(head, {
    headers: ['Content-Encoding', 'gzip'],
    contentType: undefined,
    contentLength: undefined,
    contentEncoding: 'gzip',
    chunked: true,
  });
});

void t.test('a name that quotes a secret does not pass', async (t) => {
  t.strictSame(buildResponseHeaders(['X-abcdefgh', '1', 'X-B', '2'], new Set(), ['abcdefgh']).headers, ['X-B', '2']);
});

void t.test('a field that came twice is read as a list (RFC 9110 section 5.3)', async (t) => {
  const twice = ['Content-Encoding', 'gzip', 'content-encoding', 'br', 'Content-Length', '3', 'Content-Length', '4'];
  t.match(buildResponseHeaders(twice, NONE, []), { contentEncoding: 'gzip, br', contentLength: '3, 4' });
});

void t.test('two codings are not one, and limits are the shim’s own', async (t) => {
  const two = ['Transfer-Encoding', 'gzip', 'Transfer-Encoding', 'chunked', 'RateLimit-Limit', '5'];
  t.match(buildResponseHeaders(two, new Set(), []), { chunked: false, headers: [] });
});
