import { createHash } from 'node:crypto';
import t from 'tap';
import { audited } from '../helpers/audit.ts';
import { answerWith, startRawGateway } from '../helpers/raw-gateway.ts';
import { openRaw, rawExchange } from '../helpers/raw.ts';
import { get, post } from '../helpers/request-bytes.ts';
import { caller, hashOf, startStack, TOKENS } from '../helpers/stack.ts';

const CHAT = '{"model":"openclaw","messages":[{"role":"user","content":"a secret wish"}]}';
const chat = (more = ''): string => post(`${more}Content-Length: ${CHAT.length}\r\n`, CHAT);
const USAGE = '"usage":{"prompt_tokens":12,"completion_tokens":34,"total_tokens":46}';

void t.test('one record at the decision, one at the end, with the same id, and nothing secret', async (t) => {
  const gateway = await startRawGateway(t, {
    onRequest: ({ socket }) => void socket.write(answerWith(`{"choices":[],${USAGE}}`)),
  });
  const audit = audited(t);
  const { port } = await startStack(t, {
    gatewayUrl: gateway.url,
    more: audit.yaml,
    callers: [
      'callers:',
      caller(
        'writer',
        TOKENS.writer,
        ['operator.write'],
        'sessionPrefix: "w:", agent: main'.replace('"w:"', '"agent:main:w:"'),
      ),
    ].join('\n'),
  });
  const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
  const answer = await rawExchange(
    port,
    chat(`traceparent: 00-${trace}-00f067aa0ba902b7-01\r\nx-openclaw-session-key: agent:main:w:1\r\n`),
  );
  const id = answer.headers['x-request-id'];
  const [decision, end] = await audit.records(2);
  const credential = hashOf(TOKENS.writer).slice(7, 19);
  t.match(decision, {
    event: 'decision',
    time: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
    id,
    caller: 'writer',
    credential,
    method: 'POST',
    route: '/v1/chat/completions',
    agent: 'main',
    session: createHash('sha256').update('agent:main:w:1').digest('hex').slice(0, 16),
    scopes: ['operator.write'],
    needs: 'operator.write',
    decision: 'forward',
    peer: '127.0.0.1',
    trace_id: trace,
  });
  t.match(end, {
    event: 'end',
    id,
    caller: 'writer',
    credential,
    status: 200,
    in: CHAT.length,
    usage: { input: 12, output: 34, total: 46 },
    end: 'done',
    trace_id: trace,
  });
  t.notMatch(JSON.stringify([decision, end]), /secret wish|-token-0123/);
});

void t.test('the usage of a stream is in its last chunks', async (t) => {
  const gateway = await startRawGateway(t, {
    onRequest: ({ socket }) => {
      const events = `data: {"choices":[{"delta":{"content":"x"}}]}\n\ndata: {"choices":[],${USAGE}}\n\ndata: [DONE]\n\n`;
      const chunks = events.replace(/[^]{1,10}/g, (part) => `${part.length.toString(16)}\r\n${part}\r\n`);
      const head = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n';
      socket.write(`${head}${chunks}0\r\n\r\n`);
    },
  });
  const audit = audited(t);
  const { port } = await startStack(t, { gatewayUrl: gateway.url, more: audit.yaml });
  await rawExchange(port, chat());
  t.match((await audit.records(2))[1], { usage: { input: 12, output: 34, total: 46 }, end: 'done' });
});

void t.test('a refusal is one record, whatever refused it', async (t) => {
  const gateway = await startRawGateway(t);
  const audit = audited(t);
  const { port } = await startStack(t, {
    gatewayUrl: gateway.url,
    more: audit.yaml,
    callers: ['callers:', caller('writer', TOKENS.writer, ['operator.read'], 'tools: [a]')].join('\n'),
  });
  const TOOL = '{"tool":"b"}';
  const CASES: readonly (readonly [string, Record<string, unknown>])[] = [
    ['GET / HTTP/1.1\r\n\r\n', { code: 'bad_request', rule: 'framing', status: 400 }],
    ['nonsense\r\n\r\n', { code: 'bad_request', rule: 'framing' }],
    [get('/v1/models').replace('127.0.0.1', 'evil.example'), { code: 'host_not_allowed', rule: 'host' }],
    ['GET / HTTP/1.1\r\nHost: localhost\r\n\r\n', { code: 'missing_token', rule: 'credential', path: '/' }],
    [get('/nowhere?x=y'), { code: 'route_not_exposed', rule: 'route', caller: 'writer', path: '/nowhere' }],
    [chat(), { code: 'insufficient_scope', rule: 'scope', needs: 'operator.write', scopes: ['operator.read'] }],
    [
      post(`Content-Length: ${TOOL.length}\r\n`, TOOL).replace('/v1/chat/completions', '/tools/invoke'),
      { code: 'tool_not_allowed', rule: 'tools', route: '/tools/invoke' },
    ],
    [`CONNECT a:1 HTTP/1.1\r\nHost: localhost\r\n\r\n`, { code: 'missing_token', method: 'CONNECT' }],
  ];
  for (const [bytes] of CASES) {
    const raw = await openRaw(t, port);
    raw.send(bytes);
    await raw.until((text) => /\r\n\r\n[^]*\}$/.test(text));
    raw.socket.destroy();
  }
  const records = await audit.records(CASES.length);
  t.match(
    records,
    CASES.map(([, expected]) => ({ event: 'decision', decision: 'refuse', ...expected })),
  );
  t.equal(records.length, CASES.length);
  t.equal(gateway.text, '');
});

void t.test('a gateway that is down is told at the end', async (t) => {
  const audit = audited(t);
  const { port } = await startStack(t, { gatewayUrl: 'http://127.0.0.1:9', more: audit.yaml });
  t.equal((await rawExchange(port, chat())).status, 502);
  const [decision, end] = await audit.records(2);
  t.match(decision, { decision: 'forward' });
  t.match(end, { status: 502, code: 'gateway_unreachable', end: 'gateway_gone' });
});

void t.test(
  'a token that expires or is revoked ends its open streams within 2 s, and the audit says why',
  async (t) => {
    const head = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n';
    for (const endAtExpiry of [true, false]) {
      const gateway = await startRawGateway(t, {
        onRequest: ({ socket }) => void socket.write(`${head}9\r\ndata: 1\n\n\r\n`),
      });
      const audit = audited(t);
      let now = Date.UTC(2026, 10, 22);
      const hash = hashOf(TOKENS.writer);
      const { port, drain } = await startStack(t, {
        gatewayUrl: gateway.url,
        more: `${audit.yaml}\nstream: { endAtExpiry: ${endAtExpiry} }\ndrain: { timeout: 10ms }`,
        limits: { now: () => now },
        callers: `callers: [{ name: writer, scopes: [operator.write], tokens: [{ hash: "${hash}", expires: 2026-11-22 }] }]`,
      });
      const raw = await openRaw(t, port);
      raw.send(chat());
      await raw.until((text) => text.includes('data: 1'));
      now += 86_400_000;
      const begun = performance.now();
      // Without the end at expiry it goes on until something else ends it, here the shutdown.
      if (!endAtExpiry) {
        const late = await openRaw(t, port);
        late.send(chat());
        t.match(await late.until((text) => text.includes('\r\n\r\n{')), /^HTTP\/1\.1 401 [^]*expired_token/);
        await drain();
      }
      const told = await raw.closed();
      // The rest is for a machine with much to do.
      t.ok(performance.now() - begun < 6_000, `${Math.round(performance.now() - begun)} ms`);
      t.match(
        told,
        endAtExpiry ? /event: error\ndata: \{[^\n]*"expired_token"/ : /event: error\ndata: \{[^\n]*"shutting_down"/,
      );
      const records = await audit.records(2);
      const end = records.find(({ event }) => event === 'end');
      t.match(end, endAtExpiry ? { end: 'expired', reason: /^token [0-9a-f]{12} of writer$/ } : { end: 'shutdown' });
    }
  },
);
