import t from 'tap';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { rawExchange } from '../helpers/raw.ts';
import { get, post } from '../helpers/request-bytes.ts';
import { caller, startStack, TOKENS } from '../helpers/stack.ts';
import { audited } from '../helpers/audit.ts';
import { faultsOf, NOW, textOf, warningsOf } from '../helpers/configuration.ts';

const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
const DAY = 86_400_000;
const BODY = 'Content-Length: 2\r\n';

void t.test('only a missing scope on an ordinary route passes, with the caller’s own scopes', async (t) => {
  const gateway = await startRawGateway(t);
  const audit = audited(t);
  const until = `unsafeReportOnly: { until: ${day(Date.now() + DAY)} }`;
  const { port, lines } = await startStack(t, {
    gatewayUrl: gateway.url,
    more: audit.yaml,
    env: { HOOKS: 'hooks-token-0123456789' },
    callers: [
      'callers:',
      caller('reader', TOKENS.reader, ['operator.read'], until),
      caller('writer', TOKENS.writer, [], `${until}, tools: [a]`),
      caller('admin', TOKENS.admin, ['operator.read'], `${until}, agent: main`),
      'routes: [{ method: POST, path: /hooks/wake, scope: operator.write, hooksToken: { env: HOOKS } }]',
    ].join('\n'),
  });
  const status = async (bytes: string): Promise<number> => (await rawExchange(port, bytes)).status;
  t.equal(await status(post(BODY, '{}', TOKENS.reader)), 200);
  t.match(gateway.text, /\r\nx-openclaw-scopes: operator\.read\r\n/);
  const [decision, end] = await audit.records(2);
  t.match(decision, { decision: 'would_refuse', code: 'insufficient_scope', rule: 'scope', needs: 'operator.write' });
  t.match(end, { event: 'end', status: 200 });
  t.match(lines, [{ status: 200, wouldRefuse: 'insufficient_scope' }]);
  for (const [name, bytes] of Object.entries({
    'an unlisted route': get('/nowhere', '', TOKENS.reader),
    'an administrator’s route': `POST /sessions/a/kill HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKENS.reader}\r\n\r\n`,
    'a webhook': post(BODY, '{}', TOKENS.reader).replace('/v1/chat/completions', '/hooks/wake'),
    'a tool that is not listed': `POST /tools/invoke HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKENS.writer}\r\nContent-Length: 12\r\n\r\n{"tool":"b"}`,
    'a pin': `POST /tools/invoke HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKENS.admin}\r\nContent-Length: 12\r\n\r\n{"tool":"a"}`,
  })) {
    t.match(await status(bytes), /^40[34]$/, name);
  }
  t.equal(gateway.text.split(' HTTP/1.1\r\n').length - 1, 1);
});

void t.test('it ends with its day, and may be at most 30 days away', async (t) => {
  const of = (until: string): string =>
    textOf({ callers: `[{ name: a, scopes: [operator.read], tokens: [], unsafeReportOnly: { until: ${until} } }]` });
  t.match(await faultsOf(of(day(NOW + 31 * DAY))), [/unsafeReportOnly.until: expected a day within the next 30/]);
  t.same(await faultsOf(of(day(NOW + 30 * DAY))), []);
  t.match(await faultsOf(of('soon')), [/expected a date that exists/]);
  t.match(await warningsOf(of('2026-12-05')), [
    /no token/,
    /until 2026-12-06 00:00 UTC a scope that "a" lacks is reported/,
  ]);
  t.match(await warningsOf(of('2026-11-05')), [/no token/, /over since 2026-11-06 00:00 UTC/]);
});

void t.test('when it is over the scope is asked again', async (t) => {
  const gateway = await startRawGateway(t);
  let now = Date.now();
  const { port } = await startStack(t, {
    gatewayUrl: gateway.url,
    limits: { now: () => now },
    callers: ['callers:', caller('reader', TOKENS.reader, [], `unsafeReportOnly: { until: ${day(now)} }`)].join('\n'),
  });
  t.equal((await rawExchange(port, get('/v1/models', '', TOKENS.reader))).status, 200);
  now += DAY;
  t.equal((await rawExchange(port, get('/v1/models', '', TOKENS.reader))).status, 403);
});
