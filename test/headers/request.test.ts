import t from 'tap';
import { buildRequestHeaders } from '../../src/headers/request.ts';

const OURS = ['authorization', 'Bearer gateway', 'x-openclaw-scopes', ''];
const NONE: ReadonlySet<string> = new Set();

void t.test('what the gateway needs passes as it came, in its order', async (t) => {
  const raw = ['Content-Type', 'application/json', 'ACCEPT', '*/*', 'x-stainless-lang', 'js', 'Accept', 'text/plain'];
  t.strictSame(buildRequestHeaders(raw, [], NONE, OURS), [...raw, ...OURS]);
});

void t.test('what never passes', async (t) => {
  const names = `
    Authorization Connection Content-Length Cookie Expect Host HTTP2-Settings Keep-Alive Origin
    Proxy-Authenticate Proxy-Authorization Proxy-Connection Referer TE Trailer Transfer-Encoding Upgrade
    X-Request-Id Sec-Fetch-Site Sec-Fetch-Mode Sec-WebSocket-Key Sec-WebSocket-Protocol
    Access-Control-Request-Method Access-Control-Request-Headers x-openclaw-scopes X-Forwarded-For
    Forwarded X-Real-IP Tailscale-User-Login X-HTTP-Method-Override content_length Transfer.Encoding
    Proxy_Authorization x_openclaw_scopes sec_fetch_site HOST
  `
    .trim()
    .split(/\s+/);
  for (const name of names) t.strictSame(buildRequestHeaders([name, 'x'], [], NONE, OURS), OURS, name);
});

void t.test('a name that only has such a part passes', async (t) => {
  for (const name of ['x-sec-fetch-site', 'X-Access-Control-List', 'X-Cookie', 'Authorization-Hint'])
    t.strictSame(buildRequestHeaders([name, 'x'], [], NONE, OURS), [name, 'x', ...OURS], name);
});

void t.test('what Connection names is taken from the caller alone', async (t) => {
  const raw = ['X-Hop', 'a', 'x-stay', 'b', 'X-OpenClaw-Scopes', 'operator.admin'];
  const nominated = ['x-hop', 'x-openclaw-scopes', 'authorization'];
  t.strictSame(buildRequestHeaders(raw, nominated, NONE, OURS), ['x-stay', 'b', ...OURS]);
});

void t.test('configured identity headers, by folded name', async (t) => {
  const secret = new Set(['x-id-7f3a']);
  const ours = ['X-Id-7f3a', 'writer'];
  for (const name of ['X-Id-7f3a', 'x-ID-7F3A', 'x_id_7f3a', 'X.ID~7f3a']) {
    t.strictSame(buildRequestHeaders([name, 'admin', 'x-id', 'b'], [], secret, ours), ['x-id', 'b', ...ours], name);
  }
});

void t.test('the raw list is left as it was', async (t) => {
  const raw = Object.freeze(['Host', 'a', 'x', 'y']);
  const ours = Object.freeze([...OURS]);
  const one = buildRequestHeaders(raw, [], NONE, ours);
  one.push('late', 'x');
  t.strictSame(buildRequestHeaders(raw, [], NONE, ours), ['x', 'y', ...OURS]);
});

void t.test('the trace is ours; its state is the caller’s, and passes with their own trace alone', async (t) => {
  const raw = ['Traceparent', '00-x', 'TraceState', 'a=1', 'traceparent', '00-y'];
  t.strictSame(buildRequestHeaders(raw, [], NONE, OURS, true), ['TraceState', 'a=1', ...OURS]);
  t.strictSame(buildRequestHeaders(raw, [], NONE, OURS, false), OURS);
  t.strictSame(buildRequestHeaders(raw, [], NONE, OURS), OURS);
});
