import t from 'tap';
import { readTarget } from '../../src/headers/target.ts';

void t.test('targets that pass, byte for byte', async (t) => {
  const cases: readonly (readonly [target: string, path: string, query: string])[] = [
    ['/', '/', ''],
    ['/v1/models', '/v1/models', ''],
    ['/v1/models?', '/v1/models', '?'],
    ['/v1/models?a=b?c=d', '/v1/models', '?a=b?c=d'],
    ['/v1/models/', '/v1/models/', ''],
    ['/v1/models/openclaw%2Fdefault', '/v1/models/openclaw%2Fdefault', ''],
    ['/v1/models/openclaw%2fdefault', '/v1/models/openclaw%2fdefault', ''],
    ['/v1/models/openclaw:main', '/v1/models/openclaw:main', ''],
    ['/sessions/agent%3Amain%3ax/history', '/sessions/agent%3Amain%3ax/history', ''],
    ['/a.b/.c/d./...', '/a.b/.c/d./...', ''],
    ['/%C3%A9', '/%C3%A9', ''],
    // Policy does not read the query: odd ones pass (P19).
    ['/v1/models?x=/../..//\\;%zz%00%', '/v1/models', '?x=/../..//\\;%zz%00%'],
    ['/v1/models?\xe9', '/v1/models', '?\xe9'],
    ['/v1/models?tokens=1&my_token=2&token2&xpassword', '/v1/models', '?tokens=1&my_token=2&token2&xpassword'],
    ['/v1/models?q=token', '/v1/models', '?q=token'],
    ['/v1/models?%2574oken=x', '/v1/models', '?%2574oken=x'],
    [`/v1/models?${'a=b&'.repeat(1500)}`, '/v1/models', `?${'a=b&'.repeat(1500)}`],
  ];
  for (const [target, path, query] of cases) t.strictSame(readTarget(target), { path, query }, target.slice(0, 80));
});

void t.test('targets that are refused', async (t) => {
  const cases: readonly (readonly [target: string, wrong: RegExp])[] = [
    ['', /origin-form/],
    ['*', /origin-form/],
    ['v1/models', /origin-form/],
    ['http://localhost/v1/models', /origin-form/],
    ['localhost:80', /origin-form/],
    ['\\v1/models', /origin-form/],
    ['/pub#/../v1', /fragment/],
    ['/v1/models?x#y', /fragment/],
    ['/v1/\x80models', /printable ASCII/],
    ['/v1/ models', /printable ASCII/],
    ['/v1/\tmodels', /printable ASCII/],
    ['/v1/\x7f', /printable ASCII/],
    ['/v1\\models', /"\\"/],
    ['/v1/models;x=1', /";"/],
    ['//v1/models', /empty segment/],
    ['/v1//models', /empty segment/],
    ['/v1/models//', /empty segment/],
    ['/public/../v1/models', /dot segment/],
    ['/..', /dot segment/],
    ['/v1/.', /dot segment/],
    ['/./v1/models', /dot segment/],
    ['/v1/models/..', /dot segment/],
    ['/public/%2e%2e/v1', /encodes/],
    ['/public/.%2e/v1', /encodes/],
    ['/public/%2E./v1', /encodes/],
    ['/v1/%2emodels', /encodes/],
    ['/v1/%252e%252e', /encodes/],
    ['/v1/models%3bx', /encodes/],
    ['/v1/models%3Fx', /encodes/],
    ['/v1/models%23x', /encodes/],
    ['/v1%2fmodels', /encoded "\/"/],
    ['/v1%5Cmodels', /encoded "\/"/],
    ['/v1/models/other%2Fdefault', /encoded "\/"/],
    ['/v1/models/openclaw%2F', /encoded "\/"/],
    ['/v1/models/openclaw%2F..', /encoded "\/"/],
    ['/v1/models/openclaw%2F.', /encoded "\/"/],
    ['/v1/models/openclaw%2f%2e%2e', /encodes/],
    ['/v1/models/openclaw%2F%2E', /encodes/],
    ['/v1/models/openclaw%2Fa%2Fb', /encoded "\/"/],
    ['/v1/models/openclaw%2Fa/b', /encoded "\/"/],
    ['/v1/models/openclaw%5Cdefault', /encoded "\/"/],
    [`/v1/models/openclaw%2F${'a'.repeat(65)}`, /encoded "\/"/],
    ['/V1/models/openclaw%2Fdefault', /encoded "\/"/],
    ['/x/v1/models/openclaw%2Fdefault', /encoded "\/"/],
    ['/v1/%00', /control/],
    ['/v1/%0d%0aX:y', /control/],
    ['/v1/%7F', /control/],
    ['/v1/%', /malformed/],
    ['/v1/%4', /malformed/],
    ['/v1/%zz', /malformed/],
    ['/v1/%u0041', /malformed/],
    ['/v1/%c0%ae', /not UTF-8/],
    ['/v1/%ff', /not UTF-8/],
    ['/v1/%ed%a0%80', /not UTF-8/],
  ];
  for (const [target, wrong] of cases) t.match(readTarget(target), { wrong }, target);
});

void t.test('a credential in the query', async (t) => {
  const queries = `
    token=x token a=b&token=x access_token=x password=x TOKEN=x Access_Token=x a;token=x %74oken=x
    t%6Fken=x access%5ftoken=x %70%61%73%73%77%6f%72%64 &&token a?b&token=
  `
    .trim()
    .split(/\s+/);
  for (const query of queries) t.match(readTarget(`/v1/models?${query}`), { wrong: /credential in the query/ }, query);
});
