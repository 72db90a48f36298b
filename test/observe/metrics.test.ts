import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { registerHooks } from 'node:module';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import type { Pool } from 'undici';
import { ERRORS } from '../../src/errors.ts';
import { createConnect } from '../../src/gateway/connection.ts';
import { createGatewayPool } from '../../src/gateway/pool.ts';
import type { EndReason } from '../../src/observe/log.ts';
import { createMetrics, type FinishedRequest, type Metrics } from '../../src/observe/metrics.ts';
import {
  finishedRequest,
  parseExposition,
  populatedMetrics,
  SOURCES,
  STARTED_MS,
  type ParsedFamily,
} from '../helpers/exposition.ts';

function fresh(sources = SOURCES): Metrics {
  return createMetrics({ version: '1.2.3', node: '24.21.0', startedMs: STARTED_MS, sources });
}

async function scrape(metrics: Metrics): Promise<ReadonlyMap<string, ParsedFamily>> {
  return parseExposition((await metrics.render()).body);
}

/** Every sample of a metric that is not zero, by its label values. */
async function values(metrics: Metrics, name: string): Promise<Record<string, number>> {
  const samples = (await scrape(metrics)).get(`auth_shim_${name}`)?.samples ?? [];
  return Object.fromEntries(
    samples.filter(({ value }) => value !== 0).map(({ labels, value }) => [Object.values(labels).join('|'), value]),
  );
}

void t.test('requests are counted by caller, route and status', async (t) => {
  const metrics = fresh();
  for (let i = 0; i < 3; i++) metrics.finished(finishedRequest(), true);
  metrics.finished(finishedRequest({ status: 404 }), true);
  metrics.finished(finishedRequest({ caller: 'cron', route: '/v1/models' }), true);
  metrics.finished(finishedRequest({ caller: undefined, route: undefined, status: 401, code: 'missing_token' }), false);
  metrics.finished(finishedRequest({ status: 0, end: 'caller_gone' }), true);
  metrics.finished(finishedRequest({ status: 999 }), true);
  t.strictSame(await values(metrics, 'requests_total'), {
    'agentpage|/v1/responses|200': 3,
    'agentpage|/v1/responses|404': 1,
    'agentpage|/v1/responses|0': 1,
    'agentpage|/v1/responses|other': 1,
    'cron|/v1/models|200': 1,
    '||401': 1,
  });
});

void t.test('refusals, faults of the gateway and limits are counted by code, all of them from zero', async (t) => {
  const metrics = fresh();
  const before = await scrape(metrics);
  t.strictSame(
    before.get('auth_shim_refusals_total')?.samples.map(({ labels }) => labels.code),
    Object.keys(ERRORS),
  );
  const refused = (code: string, caller?: string): void =>
    metrics.finished(finishedRequest({ caller, code, end: 'refused' }), false);
  refused('invalid_token');
  refused('invalid_token');
  refused('rate_limited');
  for (const code of ['rate_limited', 'quota_exceeded', 'too_many_streams', 'too_many_sockets']) refused(code, 'cron');
  refused('no_such_code', 'cron');
  const lost = (code: string | undefined, end: EndReason): void =>
    metrics.finished(finishedRequest({ code, end, status: code ? 502 : 200 }), true);
  lost('gateway_unreachable', 'gateway_gone');
  lost('gateway_bad_response', 'gateway_gone');
  lost('gateway_refused', 'refused');
  lost('gateway_timeout', 'gateway_idle');
  lost(undefined, 'gateway_gone');
  lost(undefined, 'gateway_gone');
  lost(undefined, 'gateway_idle');
  t.strictSame(await values(metrics, 'refusals_total'), {
    invalid_token: 2,
    rate_limited: 2,
    quota_exceeded: 1,
    too_many_streams: 1,
    too_many_sockets: 1,
    gateway_unreachable: 1,
    gateway_bad_response: 1,
    gateway_refused: 1,
    gateway_timeout: 1,
    other: 1,
  });
  t.strictSame(await values(metrics, 'gateway_errors_total'), {
    gateway_unreachable: 1,
    gateway_bad_response: 1,
    gateway_refused: 1,
    gateway_timeout: 1,
    gateway_gone: 2,
    gateway_idle: 1,
  });
  t.strictSame(await values(metrics, 'limited_total'), {
    rate_limited: 1,
    quota_exceeded: 1,
    too_many_streams: 1,
    too_many_sockets: 1,
    failed_logins: 1,
  });
  t.strictSame(await values(metrics, 'ended_total'), { refused: 1, gateway_gone: 4, gateway_idle: 2 });
});

void t.test('durations are those of forwarded requests, in seconds', async (t) => {
  const metrics = fresh();
  t.strictSame((await scrape(metrics)).get('auth_shim_request_duration_seconds')?.samples, []);
  metrics.finished(finishedRequest({ ttfb: 5, ms: 5.5 }), true);
  metrics.finished(finishedRequest({ ttfb: 400, ms: 600_000 }), true);
  metrics.finished(finishedRequest({ ttfb: 400, ms: 600_001 }), true);
  metrics.finished(finishedRequest({ ttfb: 900, ms: 900, status: 0, end: 'caller_gone' }), true);
  metrics.finished(finishedRequest({ ttfb: 1, ms: 1, status: 429, code: 'rate_limited' }), false);
  const duration = (await scrape(metrics)).get('auth_shim_request_duration_seconds');
  const at = (family: ParsedFamily | undefined, le: string): number | undefined =>
    family?.samples.find(({ labels }) => labels.le === le)?.value;
  t.strictSame(
    ['0.005', '0.01', '0.5', '1', '300', '600', '+Inf'].map((le) => at(duration, le)),
    [0, 1, 1, 2, 2, 3, 4],
  );
  t.strictSame(duration?.samples.slice(-2), [
    { name: 'auth_shim_request_duration_seconds_sum', labels: { route: '/v1/responses' }, value: 1200.9065 },
    { name: 'auth_shim_request_duration_seconds_count', labels: { route: '/v1/responses' }, value: 4 },
  ]);
  const firstByte = (await scrape(metrics)).get('auth_shim_time_to_first_byte_seconds');
  t.strictSame(
    ['0.005', '0.25', '0.5', '+Inf'].map((le) => at(firstByte, le)),
    [1, 1, 3, 3],
    'a request without an answer has no first byte',
  );
});

void t.test('bytes and dropped headers add up, of refused requests as well', async (t) => {
  const metrics = fresh();
  metrics.finished(finishedRequest({ in: 10, out: 1_000, dropped: ['x-openclaw-model'] }), true);
  metrics.finished(finishedRequest({ in: 5, out: 0, dropped: ['a', 'b'] }), false);
  t.strictSame(await values(metrics, 'request_body_bytes_total'), { '': 15 });
  t.strictSame(await values(metrics, 'response_body_bytes_total'), { '': 1_000 });
  t.strictSame(await values(metrics, 'headers_dropped_total'), { '': 3 });
});

void t.test('WebSockets: what they passed and how they were closed, and no duration', async (t) => {
  const metrics = fresh();
  const all = await scrape(metrics);
  const labels = (name: string, label: string): unknown =>
    all.get(`auth_shim_${name}`)?.samples.map((sample) => sample.labels[label]);
  t.strictSame(labels('socket_connects_total', 'result'), ['accepted', 'refused']);
  const codes = [1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014].map(String);
  t.strictSame(labels('socket_closes_total', 'code'), codes, 'all of them from zero');
  t.strictSame(labels('socket_messages_total', 'direction'), ['in', 'out']);
  t.strictSame(labels('socket_message_bytes_total', 'direction'), ['in', 'out']);

  const closed = (
    close: number,
    more: Partial<FinishedRequest> = {},
    frames: object = { framesIn: 2, framesOut: 30 },
  ) =>
    metrics.finished(
      finishedRequest({ route: '/', status: 101, in: 10, out: 1_000, socket: { close, closeReason: undefined, ...frames }, ...more }), // prettier-ignore
      true,
    );
  closed(1000);
  closed(1000);
  closed(1006, { end: 'gateway_gone' });
  closed(4001, { end: 'caller_gone' });
  closed(999, { end: 'revoked' });
  // A tunnel: its frames are not known.
  closed(1006, { end: 'caller_gone', in: 5, out: 6 }, {});
  metrics.finished(finishedRequest({ in: 7, out: 70 }), true);

  t.strictSame(await values(metrics, 'socket_closes_total'), { 1000: 2, 1006: 2, other: 2 });
  t.strictSame(await values(metrics, 'socket_messages_total'), { in: 10, out: 150 });
  t.strictSame(await values(metrics, 'socket_message_bytes_total'), { in: 55, out: 5_006 });
  t.strictSame(await values(metrics, 'request_body_bytes_total'), { '': 7 }, 'no body of a request');
  t.strictSame(await values(metrics, 'response_body_bytes_total'), { '': 70 });
  t.strictSame(await values(metrics, 'ended_total'), { done: 3, gateway_gone: 1, caller_gone: 2, revoked: 1 });
  t.strictSame(await values(metrics, 'requests_total'), { 'agentpage|/|101': 6, 'agentpage|/v1/responses|200': 1 });
  for (const name of ['request_duration_seconds', 'time_to_first_byte_seconds']) {
    const samples = (await scrape(metrics)).get(`auth_shim_${name}`)?.samples ?? [];
    const counts = samples.filter((sample) => sample.name.endsWith('_count')).map(({ labels: { route }, value }) => [route, value]); // prettier-ignore
    t.strictSame(Object.fromEntries(counts), { '/v1/responses': 1 }, name);
  }
});

void t.test('WebSockets: first frames', async (t) => {
  const metrics = fresh();
  t.strictSame(await values(metrics, 'socket_connects_total'), {});
  metrics.connected(true);
  metrics.connected(true);
  metrics.connected(false);
  t.strictSame(await values(metrics, 'socket_connects_total'), { accepted: 2, refused: 1 });
  t.strictSame(await values(metrics, 'refusals_total'), {}, 'that is told by its answer');
});

void t.test('sources are asked at the scrape', async (t) => {
  const metrics = fresh();
  t.strictSame(await values(metrics, 'open_requests'), { '': 5 });
  t.strictSame(await values(metrics, 'open_streams'), { '': 3 });
  t.strictSame(await values(metrics, 'open_sockets'), { '': 2 });
  t.strictSame(await values(metrics, 'gateway_connections'), { busy: 5, free: 2 });
  t.strictSame(await values(metrics, 'gateway_requests'), { running: 5, waiting: 1 });
  t.strictSame(await values(metrics, 'audit_dropped_total'), { '': 4 });
  t.strictSame(await values(metrics, 'audit_healthy'), { '': 1 });
  t.strictSame(await values(metrics, 'limit_store_failures_total'), { '': 6 });
  t.strictSame((await scrape(metrics)).get('auth_shim_limit_store_up')?.samples[0]?.value, 0);
  t.strictSame(await values(metrics, 'identity_provider_up'), { up: 1 });
  t.strictSame(await values(metrics, 'identity_provider_last_success_timestamp_seconds'), {
    down: 1_795_000_001,
    up: 1_795_000_002.5,
  });
  t.strictSame(await values(metrics, 'build_info'), { '1.2.3|24.21.0': 1 });
  const all = await scrape(metrics);
  const plain = (name: string): number | undefined => all.get(name)?.samples[0]?.value;
  t.equal(plain('process_cpu_seconds_total'), 1.75);
  t.equal(plain('process_start_time_seconds'), 1_795_000_000.5);
  t.equal(plain('process_resident_memory_bytes'), 70_000_000);
  t.equal(plain('nodejs_heap_size_used_bytes'), 20_000_000);
  t.equal(plain('nodejs_heap_size_total_bytes'), 30_000_000);
  t.equal(plain('nodejs_external_memory_bytes'), 4_000_000);
});

void t.test('what is not configured has no value', async (t) => {
  const { open, pool, usage } = SOURCES;
  const all = await scrape(fresh({ open, pool, usage }));
  for (const name of ['audit_dropped_total', 'audit_healthy', 'limit_store_failures_total', 'limit_store_up']) {
    t.strictSame(all.get(`auth_shim_${name}`)?.samples, []);
  }
});

void t.test('reloads: the last one, and the last that took effect', async (t) => {
  const metrics = fresh();
  const state = async (): Promise<unknown> => [
    await values(metrics, 'config_reloads_total'),
    (await scrape(metrics)).get('auth_shim_config_last_reload_successful')?.samples[0]?.value,
    (await scrape(metrics)).get('auth_shim_config_last_reload_success_timestamp_seconds')?.samples[0]?.value,
  ];
  t.strictSame(await state(), [{}, 1, 1_795_000_000.5]);
  metrics.reloaded(false, STARTED_MS + 1_000);
  t.strictSame(await state(), [{ failed: 1 }, 0, 1_795_000_000.5]);
  metrics.reloaded(true, STARTED_MS + 2_000);
  t.strictSame(await state(), [{ ok: 1, failed: 1 }, 1, 1_795_000_002.5]);
});

void t.test('label values are escaped', async (t) => {
  const metrics = fresh();
  const caller = 'a\\b"c\nd{e="f"},\u{1f99e}';
  metrics.finished(finishedRequest({ caller }), true);
  const { body } = await metrics.render();
  t.match(body, String.raw`caller="a\\b\"c\nd{e=\"f\"},🦞"`);
  t.equal(parseExposition(body).get('auth_shim_requests_total')?.samples[0]?.labels.caller, caller);
});

void t.test(
  'callers and routes are bounded; those known stay, and who is unknown is never among the others',
  async (t) => {
    const metrics = fresh();
    for (let i = 0; i < 1_200; i++) metrics.finished(finishedRequest({ caller: `caller-${i}` }), true);
    metrics.finished(finishedRequest({ caller: 'caller-7' }), true);
    metrics.finished(finishedRequest({ caller: 'caller-1199', route: '/v1/models' }), true);
    metrics.finished(finishedRequest({ caller: undefined, status: 401 }), false);
    const counts = await values(metrics, 'requests_total');
    t.equal(Object.keys(counts).length, 1_003, '1000 callers, the others on two routes, nobody');
    t.match(counts, {
      'caller-7|/v1/responses|200': 2,
      'caller-999|/v1/responses|200': 1,
      'other|/v1/responses|200': 200,
      'other|/v1/models|200': 1,
      '|/v1/responses|401': 1,
    });

    const full = fresh();
    for (let i = 0; i < 1_100; i++) full.finished(finishedRequest({ caller: `laptop/${i}` }), true);
    full.finished(finishedRequest({ caller: 'web' }), true);
    t.match(
      await values(full, 'requests_total'),
      { 'web|/v1/responses|200': 1, 'other|/v1/responses|200': 100 },
      'names that another shim makes up do not take the room of configured callers',
    );

    const many = fresh();
    for (let i = 0; i < 300; i++) many.finished(finishedRequest({ route: `/r/${i}` }), true);
    many.finished(finishedRequest({ route: undefined }), false);
    const routes = await values(many, 'requests_total');
    t.equal(Object.keys(routes).length, 202);
    t.match(routes, { 'agentpage|/r/199|200': 1, 'agentpage|other|200': 100, 'agentpage||200': 1 });
  },
);

void t.test('nothing of the library is loaded before the first scrape', async (t) => {
  const loaded: string[] = [];
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      if (specifier.startsWith('prom-client')) loaded.push(specifier);
      return next(specifier, context);
    },
  });
  t.teardown(() => hooks.deregister());
  const metrics = populatedMetrics();
  t.strictSame(loaded, []);
  await metrics.render();
  t.strictSame(loaded, ['prom-client/lib/registry.js']);
});

void t.test('the registry of the library is ours alone, and the type is the one of the text format', async (t) => {
  const one = populatedMetrics();
  const other = fresh();
  t.equal((await one.render()).contentType, 'text/plain; version=0.0.4; charset=utf-8');
  t.strictSame(await values(other, 'requests_total'), {});
});

void t.test('the pool tells its connections and requests', async (t) => {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const pool = createGatewayPool(origin, createConnect({ origin }));
  const stats = (): ReturnType<typeof SOURCES.pool> => (pool as unknown as Pool).stats;
  const metrics = fresh({ ...SOURCES, pool: stats });
  const ignore = (): void => undefined;
  const ended = new Promise((resolve) => {
    const handler = { onRequestStart: ignore, onResponseStart: ignore, onResponseData: ignore, onResponseEnd: ignore };
    pool.dispatch({ path: '/', method: 'GET' }, { ...handler, onResponseError: (_, error) => resolve(error) });
  });
  await once(server, 'request');
  t.strictSame(await values(metrics, 'gateway_connections'), { busy: 1 });
  t.strictSame(await values(metrics, 'gateway_requests'), { running: 1 });
  await pool.destroy();
  t.match(await ended, { code: 'UND_ERR_DESTROYED' });
  t.strictSame(await values(metrics, 'gateway_connections'), {});
});

const page = await readFile(join(import.meta.dirname, '..', '..', 'docs', 'metrics.md'), 'utf8');

void t.test('docs/metrics.md lists what is exposed: names, types, labels', async (t) => {
  const rows = [...page.matchAll(/^\| `([a-z_]+)` +\| (counter|gauge|histogram) +\| ([^|]*?) +\|/gm)];
  const told = rows.map(([, name, type, labels = '']) => `${name} ${type} ${labels.replaceAll('`', '')}`);
  const exposed = [...(await scrape(populatedMetrics())).values()].map(({ name, type, samples }) => {
    const labels = new Set(samples.flatMap((sample) => Object.keys(sample.labels).filter((label) => label !== 'le')));
    return `${name} ${type} ${[...labels].join(', ')}`;
  });
  t.ok(rows.length > 20);
  t.strictSame(told.toSorted(), exposed.toSorted());
});

void t.test('the alerts of docs/metrics.md ask for what is exposed', async (t) => {
  const samples = [...(await scrape(populatedMetrics())).values()].flatMap((family) => family.samples);
  const asked = [...page.matchAll(/\b(auth_shim_[a-z_]+)(?:\{([a-z]+)="([^"]*)"\})?/g)].filter(
    ({ index }) => index > page.indexOf('## Alerts'),
  );
  t.ok(asked.length > 10);
  for (const [text, name, label, value] of asked) {
    const found = samples.some((one) => one.name === name && (label === undefined || one.labels[label] === value));
    t.ok(found, text);
  }
});
