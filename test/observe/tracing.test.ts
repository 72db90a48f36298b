import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { registerHooks } from 'node:module';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import type { Trace } from '../../src/headers/trace.ts';
import type { Logger } from '../../src/observe/log.ts';
import { startTracing, type FinishedSpan, type Tracing } from '../../src/observe/tracing.ts';

/** A span as OTLP writes it in JSON. */
interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly OtlpAttribute[];
  readonly status: { readonly code: number };
  readonly flags: number;
}

interface OtlpAttribute {
  readonly key: string;
  readonly value: { readonly stringValue?: string; readonly intValue?: number };
}

interface OtlpRequest {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly OtlpAttribute[] };
    readonly scopeSpans: readonly { readonly scope: { readonly name: string }; readonly spans: readonly OtlpSpan[] }[];
  }[];
}

interface Received {
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

interface Receiver {
  readonly url: string;
  readonly server: Server;
  readonly received: Received[];
  /** Every span so far. */
  readonly spans: () => OtlpSpan[];
}

const TRACE: Trace = {
  traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
  parentSpanId: '00f067aa0ba902b7',
  spanId: 'b7ad6b7169203331',
  flags: 1,
  sampled: true,
  traceparent: '',
};
const NOW = 1_795_000_000_500;

function finished(record: Partial<FinishedSpan['record']> = {}, more: Partial<FinishedSpan> = {}): FinishedSpan {
  return {
    trace: TRACE,
    path: '/v1/responses',
    record: {
      id: 'request-1',
      method: 'POST',
      route: '/v1/responses',
      caller: 'agentpage',
      status: 200,
      code: undefined,
      ms: 1_250.5,
      end: 'done',
      ...record,
    },
    ...more,
  };
}

/** A real receiver of OTLP over HTTP. `answer` gets how many requests came; without a status it never answers. */
async function startReceiver(t: Test, answer: (count: number) => number | undefined = () => 200): Promise<Receiver> {
  const received: Received[] = [];
  const server = createServer((req, res) => {
    void text(req).then((body) => {
      received.push({ url: req.url ?? '', headers: req.headers, body });
      const status = answer(received.length);
      if (status !== undefined) res.writeHead(status, { 'content-type': 'application/json' }).end('{}');
      server.emit('received');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    server,
    received,
    spans: () => received.flatMap(({ body }) => spansOf(body)),
  };
}

function spansOf(body: string): OtlpSpan[] {
  const { resourceSpans } = JSON.parse(body) as OtlpRequest;
  return resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans));
}

interface Lines {
  readonly logger: Logger;
  readonly lines: Record<string, unknown>[];
  readonly next: () => Promise<void>;
}

function collectLines(): Lines {
  const lines: Record<string, unknown>[] = [];
  let tell = (): void => undefined;
  const write = (line: string): void => {
    lines.push(JSON.parse(line) as Record<string, unknown>);
    tell();
  };
  return {
    logger: pino({ base: undefined }, { write }),
    lines,
    next: () => new Promise((resolve) => (tell = resolve)),
  };
}

type Env = Readonly<Record<string, string>>;

function start(env: Env, log: Lines = collectLines(), now = () => NOW): Promise<Tracing | undefined> {
  const server = { scheme: 'http', address: '127.0.0.1', port: 18780 } as const;
  return startTracing({ env, version: '1.2.3', server, logger: log.logger, now });
}

async function startOn({ url }: Receiver, log?: Lines, now?: () => number): Promise<Tracing> {
  const tracing = await start({ OTEL_EXPORTER_OTLP_ENDPOINT: url }, log, now);
  if (!tracing) throw new Error('tracing is off');
  return tracing;
}

function plain(attributes: readonly OtlpAttribute[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? value.intValue]));
}

/** What the SDK reads from the process itself. */
function setEnv(t: Test, env: Env): void {
  Object.assign(process.env, env);
  t.teardown(() => {
    for (const name of Object.keys(env)) delete process.env[name];
  });
}

void t.test('without an endpoint, or switched off, nothing is loaded', async (t) => {
  const loaded: string[] = [];
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      if (specifier.startsWith('@opentelemetry/')) loaded.push(specifier);
      return next(specifier, context);
    },
  });
  t.teardown(() => hooks.deregister());
  const OTEL_EXPORTER_OTLP_ENDPOINT = 'http://127.0.0.1:4318';
  for (const [name, env] of [
    ['nothing set', {}],
    ['an empty endpoint', { OTEL_EXPORTER_OTLP_ENDPOINT: ' ' }],
    ['the SDK disabled', { OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SDK_DISABLED: 'True' }],
    ['no exporter', { OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_EXPORTER: 'none' }],
    ['another exporter', { OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_EXPORTER: 'console' }],
  ] as const) {
    t.equal(await start(env), undefined, name);
  }
  const log = collectLines();
  t.equal(await start({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'collector:4318' }, log), undefined);
  t.match(log.lines, [{ msg: /no http or https URL/ }]);
  t.strictSame(loaded, []);
  const tracing = await start({ OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_EXPORTER: 'console, otlp' });
  t.ok(loaded.length > 0, 'loaded once there is an endpoint');
  await tracing?.close();
});

void t.test('a span has our ids, the parent of the caller, and the names of the conventions', async (t) => {
  const receiver = await startReceiver(t);
  const tracing = await startOn(receiver);
  tracing.finished(finished());
  await tracing.close();
  t.equal(receiver.received.length, 1);
  const [{ url, headers, body }] = receiver.received as [Received];
  t.equal(url, '/v1/traces');
  t.equal(headers['content-type'], 'application/json');
  const [{ resource, scopeSpans }] = (JSON.parse(body) as OtlpRequest).resourceSpans as [
    OtlpRequest['resourceSpans'][number],
  ];
  t.match(plain(resource.attributes), { 'service.name': 'openclaw-auth-shim', 'service.version': '1.2.3' });
  t.equal(scopeSpans[0]?.scope.name, 'openclaw-auth-shim');
  const [span] = receiver.spans() as [OtlpSpan];
  t.match(span, {
    traceId: TRACE.traceId,
    spanId: TRACE.spanId,
    parentSpanId: TRACE.parentSpanId,
    name: 'POST /v1/responses',
    kind: 2,
    startTimeUnixNano: '1794999999249500000',
    endTimeUnixNano: '1795000000500000000',
    status: { code: 0 },
  });
  t.equal(span.flags & 0x3ff, 0x301, 'sampled; the parent is remote');
  t.strictSame(plain(span.attributes), {
    'url.scheme': 'http',
    'server.address': '127.0.0.1',
    'server.port': 18780,
    'http.request.method': 'POST',
    'auth_shim.request_id': 'request-1',
    'auth_shim.end': 'done',
    'url.path': '/v1/responses',
    'http.route': '/v1/responses',
    'http.response.status_code': 200,
    'auth_shim.caller': 'agentpage',
  });
  t.notMatch(body, 'secret');
});

void t.test('a trace that begins here has no parent; one that is not sampled has no span', async (t) => {
  const receiver = await startReceiver(t);
  const tracing = await startOn(receiver);
  tracing.finished(finished({}, { trace: { ...TRACE, parentSpanId: undefined, flags: 3 } }));
  tracing.finished(finished({}, { trace: { ...TRACE, spanId: 'ffffffffffffffff', flags: 0, sampled: false } }));
  await tracing.close();
  t.equal(receiver.spans().length, 1);
  t.equal(receiver.spans()[0]?.parentSpanId, undefined);
  t.equal(receiver.spans()[0]?.flags, 0x103);
});

void t.test('what went wrong', async (t) => {
  const ended = { 'auth_shim.end': String };
  for (const [name, given, error, attributes] of [
    [
      'a refusal',
      { status: 403, code: 'insufficient_scope', end: 'refused' },
      0,
      { 'http.response.status_code': 403, 'auth_shim.code': 'insufficient_scope' },
    ],
    ['a 404 of the gateway', { status: 404 }, 0, { 'http.response.status_code': 404 }],
    [
      'no gateway',
      { status: 502, code: 'gateway_unreachable', end: 'gateway_gone' },
      2,
      { 'error.type': 'gateway_unreachable' },
    ],
    ['a 500 of the gateway', { status: 500 }, 2, { 'error.type': '500' }],
    [
      'an answer that broke off',
      { end: 'gateway_gone' },
      2,
      { 'error.type': 'gateway_gone', 'http.response.status_code': 200 },
    ],
    ['an end by the shutdown', { end: 'shutdown' }, 2, { 'error.type': 'shutdown' }],
    ['a caller who left', { status: 0, end: 'caller_gone' }, 0, { 'auth_shim.end': 'caller_gone' }],
  ] as const) {
    const receiver = await startReceiver(t);
    const tracing = await startOn(receiver);
    tracing.finished(finished(given));
    await tracing.close();
    const [span] = receiver.spans() as [OtlpSpan];
    t.equal(span.status.code, error, name);
    t.match(plain(span.attributes), { ...ended, ...attributes }, name);
    t.equal('error.type' in plain(span.attributes), error === 2, name);
    t.equal('http.response.status_code' in plain(span.attributes), (given as { status?: number }).status !== 0, name);
  }
});

void t.test('what a caller invents is no name of a span', async (t) => {
  const receiver = await startReceiver(t);
  const tracing = await startOn(receiver);
  const unknown = { route: undefined, caller: undefined, status: 401, code: 'missing_token' } as const;
  tracing.finished(finished({ ...unknown, method: 'BREW' }, { path: '/nowhere' }));
  tracing.finished(finished({ ...unknown, method: 'GET' }, { path: undefined }));
  await tracing.close();
  const [brew, absolute] = receiver.spans().map(({ name, attributes }) => ({ name, ...plain(attributes) }));
  t.match(brew, { name: 'HTTP', 'http.request.method': '_OTHER' });
  t.equal(plain(receiver.spans()[0]?.attributes ?? [])['url.path'], '/nowhere');
  t.equal(absolute?.name, 'GET');
  t.notOk(absolute && 'url.path' in absolute);
});

void t.test('endpoints: the one for traces is used as it is, the general one gets its path', async (t) => {
  const receiver = await startReceiver(t);
  const { url } = receiver;
  const cases: readonly Env[] = [
    { OTEL_EXPORTER_OTLP_ENDPOINT: `${url}/` },
    { OTEL_EXPORTER_OTLP_ENDPOINT: `${url}/otlp` },
    { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1', OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${url}/mine` },
  ];
  for (const env of cases) {
    const tracing = await start(env);
    tracing?.finished(finished());
    await tracing?.close();
  }
  t.strictSame(
    receiver.received.map((one) => one.url),
    ['/v1/traces', '/otlp/v1/traces', '/mine'],
  );
});

void t.test('names, attributes and headers of the environment', async (t) => {
  const receiver = await startReceiver(t);
  setEnv(t, {
    OTEL_RESOURCE_ATTRIBUTES: 'service.name=by-attribute,deployment.environment.name=test',
    OTEL_EXPORTER_OTLP_HEADERS: 'api-key=k%201',
  });
  const send = async (): Promise<Record<string, unknown>> => {
    const tracing = await startOn(receiver);
    tracing.finished(finished());
    await tracing.close();
    const { body } = receiver.received.at(-1) as Received;
    return plain((JSON.parse(body) as OtlpRequest).resourceSpans[0]?.resource.attributes ?? []);
  };
  t.match(await send(), { 'service.name': 'by-attribute', 'deployment.environment.name': 'test' });
  t.equal(receiver.received[0]?.headers['api-key'], 'k 1');
  setEnv(t, { OTEL_SERVICE_NAME: 'by-name' });
  t.match(await send(), { 'service.name': 'by-name' });
});

void t.test('a full batch is sent at once; failures are told once a minute', async (t) => {
  const receiver = await startReceiver(t, () => 400);
  const log = collectLines();
  const tracing = await startOn(receiver, log, () => NOW + (receiver.received.length <= 2 ? 0 : 60_000));
  const told = log.next();
  for (let i = 0; i < 512; i++) tracing.finished(finished());
  await told;
  t.match(log.lines, [{ level: 40, lost: 512, reason: 'Bad Request', msg: 'spans cannot be sent' }]);
  const again = log.next();
  for (let i = 0; i < 1_024; i++) tracing.finished(finished());
  await again;
  t.match(log.lines[1], { lost: 1_024 });
  t.strictSame(
    receiver.received.map(({ body }) => spansOf(body).length),
    [512, 512, 512],
  );
  await tracing.close();
  t.equal(log.lines.length, 2);
});

void t.test('no receiver: close ends in time, and the loss is told', async (t) => {
  const receiver = await startReceiver(t);
  receiver.server.close();
  await once(receiver.server, 'close');
  const log = collectLines();
  const tracing = await startOn(receiver, log);
  tracing.finished(finished());
  const before = performance.now();
  await tracing.close();
  t.ok(performance.now() - before < 8_000);
  t.match(log.lines, [{ lost: 1, reason: /ECONNREFUSED/ }]);
  tracing.finished(finished());
});

void t.test('a receiver that never answers: the queue is bounded, and close ends in time', async (t) => {
  const receiver = await startReceiver(t, () => undefined);
  const tracing = await startOn(receiver);
  for (let i = 0; i < 512; i++) tracing.finished(finished());
  await once(receiver.server, 'received');
  for (let i = 0; i < 10_000; i++) tracing.finished(finished());
  const before = performance.now();
  await tracing.close();
  const took = performance.now() - before;
  t.ok(took > 500 && took < 8_000, `${took} ms`);
  t.equal(receiver.spans().length, 512 + 2_048, 'one batch under way, and the queue');
});

void t.test('close ends in time also where an export may take longer', async (t) => {
  const receiver = await startReceiver(t, () => undefined);
  const OTEL_EXPORTER_OTLP_TIMEOUT = '3500';
  setEnv(t, { OTEL_EXPORTER_OTLP_TIMEOUT });
  const log = collectLines();
  const tracing = await start({ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_EXPORTER_OTLP_TIMEOUT }, log);
  const before = performance.now();
  tracing?.finished(finished());
  const told = log.next();
  await tracing?.close();
  const took = performance.now() - before;
  t.ok(took > 1_900 && took < 3_400, `${took} ms`);
  t.strictSame(log.lines, [], 'the export goes on');
  await told;
  t.ok(performance.now() - before > 3_000, 'for the time of the environment');
});
