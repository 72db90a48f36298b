/**
 * What the shim counts. The cells are our own, since one call a finished request must cost next to nothing; the
 * library that writes them as text is loaded when somebody asks for them.
 */
import type { CertificateInUse } from '../config/config.ts';
import { ERRORS } from '../errors.ts';
import { by, counter, createExposition, gauge, one, type Exposition, type Family, type Sample } from './exposition.ts';
import { HANDSHAKE_FAILURES, type HandshakeFailure } from './handshakes.ts';
import { Histogram } from './histogram.ts';
import type { EndReason, RequestRecord } from './log.ts';
import { processFamilies, type ProcessUsage } from './process-metrics.ts';
import { OTHER, Tally } from './tally.ts';

/** What is known only at the moment somebody asks. */
export interface MetricSources {
  /** Requests whose answer is not over, the event streams among them, and WebSockets. */
  readonly open: () => { readonly requests: number; readonly streams: number; readonly sockets: number };
  /** undici's `pool.stats`: open connections, those of them without a request; requests under way and waiting. */
  readonly pool: () => {
    readonly connected: number;
    readonly free: number;
    readonly running: number;
    readonly pending: number;
  };
  readonly usage: () => ProcessUsage;
  /** The audit log, where there is one: lines lost so far, and whether the last one was written. */
  readonly audit?: () => { readonly dropped: number; readonly healthy: boolean };
  /** The shared store of the limits, where there is one: failed calls so far, and whether the last one succeeded. */
  readonly limitStore?: () => { readonly failures: number; readonly up: boolean };
  /** The certificates of the running configuration. */
  readonly certificates?: () => readonly CertificateInUse[];
  /** The identity providers that are asked: when one last answered, milliseconds since the epoch, and whether it failed since. */
  readonly providers?: () => readonly { name: string; heardMs: number | undefined; failing: boolean }[];
}

/** @property startedMs when the process started and read its configuration, milliseconds since the epoch */
export interface MetricOptions {
  readonly version: string;
  /** Version of Node, without the `v`. */
  readonly node: string;
  readonly startedMs: number;
  readonly sources: MetricSources;
}

type Provider = ReturnType<NonNullable<MetricSources['providers']>>[number];

/** What is counted of a request: the log's record of it. */
export type FinishedRequest = Pick<
  RequestRecord,
  'caller' | 'route' | 'status' | 'code' | 'dropped' | 'ttfb' | 'ms' | 'in' | 'out' | 'end' | 'socket'
>;

export interface Metrics {
  /**
   * @param request over, however it ended
   * @param forwarded whether the gateway was asked: durations and ends of others say nothing
   */
  finished(request: FinishedRequest, forwarded: boolean): void;
  /** @param accepted whether a WebSocket's first frame got it to the gateway */
  connected(accepted: boolean): void;
  /**
   * @param ok whether the new configuration runs; otherwise the old one goes on
   * @param atMs milliseconds since the epoch
   */
  reloaded(ok: boolean, atMs: number): void;
  /** @param resumed whether a TLS handshake of a caller went on with an earlier session */
  handshakeDone(resumed: boolean): void;
  handshakeFailed(reason: HandshakeFailure): void;
  /** @returns the values of the moment, for the answer to a scrape */
  render(): Promise<Exposition>;
}

/**
 * Of callers with a name in the configuration, which reloads can bring ever new ones of, and as many of those whom
 * another shim or an issuer names: they cannot take the room of the others.
 */
const MOST_CALLERS = 1_000;
/** `shim/name`, or `issuer:name`. */
const NAMED_ELSEWHERE = /[/:]/;
const MOST_ROUTES = 200;
const OTHER_STATUS = -1;

const GATEWAY_CODES = ['gateway_unreachable', 'gateway_bad_response', 'gateway_refused', 'gateway_timeout'];
/** The gateway's fault after its answer had begun, so that there is no code. */
const GATEWAY_ENDS = ['gateway_gone', 'gateway_idle'] satisfies EndReason[];
const LIMIT_CODES = ['rate_limited', 'quota_exceeded', 'too_many_streams', 'too_many_sockets'];
/** Rate limited before it was known who calls: the limit of failed logins. */
const FAILED_LOGINS = 'failed_logins';
/** Status codes of the WebSocket protocol that are in use (RFC 6455 section 7.4.1, and the IANA registry). */
const CLOSE_CODES = [1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014];
/** An object, so that a reason without a cell does not compile. */
const ENDS: Readonly<Record<EndReason, 0>> = {
  done: 0,
  refused: 0,
  caller_gone: 0,
  caller_idle: 0,
  gateway_gone: 0,
  gateway_idle: 0,
  body_too_large: 0,
  protocol_error: 0,
  revoked: 0,
  expired: 0,
  shutdown: 0,
  error: 0,
};

interface RouteCells {
  readonly firstByte: Histogram;
  readonly duration: Histogram;
  /** By caller, then by status. */
  readonly requests: Map<string, Map<number, number>>;
}

/**
 * @param options what is known of the process, and what is asked at each scrape
 * @returns the metrics; every one of docs/metrics.md is exposed from the start
 */
export function createMetrics({ version, node, startedMs, sources }: MetricOptions): Metrics {
  const routes = new Map<string, RouteCells>();
  const callers = { here: new Set<string>(), elsewhere: new Set<string>() };
  const refusals = new Tally(Object.keys(ERRORS));
  const gatewayErrors = new Tally([...GATEWAY_CODES, ...GATEWAY_ENDS]);
  const limited = new Tally([...LIMIT_CODES, FAILED_LOGINS]);
  const ended = new Tally(Object.keys(ENDS));
  const reloads = new Tally(['ok', 'failed']);
  const connects = new Tally(['accepted', 'refused']);
  const closes = new Tally(CLOSE_CODES.map(String));
  const handshakes = new Tally(['false', 'true']);
  const failedHandshakes = new Tally(HANDSHAKE_FAILURES);
  const total = { in: 0, out: 0, dropped: 0 };
  const messages = { in: 0, out: 0, bytesIn: 0, bytesOut: 0 };
  const reload = { ok: true, successMs: startedMs };

  const families: Family[] = [
    counter('requests_total', 'Finished requests.', () => requestSamples(routes)),
    counter('refusals_total', "Answers of the shim's own, by error code.", () => refusals.read('code')),
    histogram('request_duration_seconds', 'Forwarded requests: from head to the end.', 'duration'),
    histogram('time_to_first_byte_seconds', 'Forwarded requests: until the answer began.', 'firstByte'),
    gauge('open_requests', 'Requests whose answer is not over.', () => one(sources.open().requests)),
    gauge('open_streams', 'Event streams that are open.', () => one(sources.open().streams)),
    gauge('open_sockets', 'WebSockets that are open.', () => one(sources.open().sockets)),
    counter('socket_connects_total', 'First frames of WebSockets, by what became of them.', () =>
      connects.read('result'),
    ),
    counter('socket_closes_total', 'WebSockets that were closed, by status code.', () => closes.read('code')),
    counter('socket_messages_total', 'Messages that WebSockets passed on.', () =>
      by('direction', { in: messages.in, out: messages.out }),
    ),
    counter('socket_message_bytes_total', 'Bytes of these messages.', () =>
      by('direction', { in: messages.bytesIn, out: messages.bytesOut }),
    ),
    counter('ended_total', 'Forwarded requests by why they ended.', () => ended.read('reason')),
    counter('request_body_bytes_total', 'Bytes of request bodies.', () => one(total.in)),
    counter('response_body_bytes_total', "Bytes of the gateway's response bodies.", () => one(total.out)),
    counter('headers_dropped_total', 'Headers that a caller sent and may not.', () => one(total.dropped)),
    counter('gateway_errors_total', 'Faults of the gateway or the way to it.', () => gatewayErrors.read('code')),
    gauge('gateway_connections', 'Open connections to the gateway.', () => {
      const { connected, free } = sources.pool();
      return by('state', { busy: connected - free, free });
    }),
    gauge('gateway_requests', 'Requests at the gateway, and waiting for a connection.', () => {
      const { running, pending } = sources.pool();
      return by('state', { running, waiting: pending });
    }),
    counter('limited_total', 'Requests refused by a limit.', () => limited.read('code')),
    counter('limit_store_failures_total', 'Failed calls of the store of the limits.', () =>
      one(sources.limitStore?.().failures),
    ),
    gauge('limit_store_up', 'Whether the store of the limits answers.', () => one(sources.limitStore?.().up)),
    counter('audit_dropped_total', 'Audit lines that were lost.', () => one(sources.audit?.().dropped)),
    gauge('audit_healthy', 'Whether audit lines can be written.', () => one(sources.audit?.().healthy)),
    counter('config_reloads_total', 'Reloads of the configuration.', () => reloads.read('result')),
    gauge('config_last_reload_successful', 'Whether the last reload took effect.', () => one(reload.ok)),
    gauge('config_last_reload_success_timestamp_seconds', 'When the running configuration was read.', () =>
      one(reload.successMs / 1000),
    ),
    counter('tls_handshakes_total', 'TLS handshakes of callers.', () => handshakes.read('resumed')),
    counter('tls_handshake_failures_total', 'TLS handshakes of callers that came to nothing.', () =>
      failedHandshakes.read('reason'),
    ),
    gauge('certificate_expiration_timestamp_seconds', 'When a certificate in use ends.', () =>
      (sources.certificates?.() ?? []).map(({ key, notAfter }) => ({
        labels: { certificate: key },
        value: notAfter / 1000,
      })),
    ),
    gauge('identity_provider_up', 'Whether an identity provider answered when it was last asked.', () =>
      byProvider(({ heardMs, failing }) => (heardMs === undefined && !failing ? undefined : Number(!failing))),
    ),
    gauge('identity_provider_last_success_timestamp_seconds', 'When it was asked what it last answered.', () =>
      byProvider(({ heardMs }) => heardMs && heardMs / 1000),
    ),
    gauge('build_info', 'What runs.', () => [{ labels: { version, node }, value: 1 }]),
    ...processFamilies(sources.usage, startedMs),
  ];
  const render = createExposition(families);

  return {
    finished(request, forwarded) {
      const { code, end, status } = request;
      const route = cellsOf(request.route ?? '');
      const statuses = byCaller(route, request.caller ?? '');
      const key = status === 0 || (status >= 100 && status <= 599) ? status : OTHER_STATUS;
      statuses.set(key, (statuses.get(key) ?? 0) + 1);
      const { socket } = request;
      if (socket) {
        closes.add(String(socket.close));
        messages.in += socket.framesIn ?? 0;
        messages.out += socket.framesOut ?? 0;
        messages.bytesIn += request.in;
        messages.bytesOut += request.out;
      } else {
        total.in += request.in;
        total.out += request.out;
      }
      if (request.dropped) total.dropped += request.dropped.length;
      if (code !== undefined) {
        refusals.add(code);
        if (gatewayErrors.has(code)) gatewayErrors.add(code);
        if (limited.has(code)) {
          limited.add(code === 'rate_limited' && request.caller === undefined ? FAILED_LOGINS : code);
        }
      }
      if (!forwarded) return;
      if (socket) {
        ended.add(end);
        // How the gateway left a tunnel is not known: it may have said goodbye.
        if (socket.framesIn !== undefined && gatewayErrors.has(end)) gatewayErrors.add(end);
        return;
      }
      route.duration.observe(request.ms);
      if (status !== 0) route.firstByte.observe(request.ttfb);
      ended.add(end);
      if (code === undefined && gatewayErrors.has(end)) gatewayErrors.add(end);
    },
    connected(accepted) {
      connects.add(accepted ? 'accepted' : 'refused');
    },
    reloaded(ok, atMs) {
      reloads.add(ok ? 'ok' : 'failed');
      reload.ok = ok;
      if (ok) reload.successMs = atMs;
    },
    handshakeDone(resumed) {
      handshakes.add(String(resumed));
    },
    handshakeFailed(reason) {
      failedHandshakes.add(reason);
    },
    render,
  };

  function cellsOf(route: string): RouteCells {
    const known = routes.get(route);
    if (known) return known;
    if (routes.size >= MOST_ROUTES && route !== '' && route !== OTHER) return cellsOf(OTHER);
    const cells = { firstByte: new Histogram(), duration: new Histogram(), requests: new Map() };
    routes.set(route, cells);
    return cells;
  }

  function byCaller({ requests }: RouteCells, caller: string): Map<number, number> {
    const names = callers[NAMED_ELSEWHERE.test(caller) ? 'elsewhere' : 'here'];
    const fits = caller === '' || names.has(caller) || names.size < MOST_CALLERS;
    if (fits && caller !== '') names.add(caller);
    const label = fits ? caller : OTHER;
    const known = requests.get(label);
    if (known) return known;
    const statuses = new Map<number, number>();
    requests.set(label, statuses);
    return statuses;
  }

  function byProvider(read: (provider: Provider) => number | undefined): Sample[] {
    return (sources.providers?.() ?? []).flatMap((provider) => {
      const value = read(provider);
      return value === undefined ? [] : [{ labels: { provider: provider.name }, value }];
    });
  }

  function histogram(name: string, help: string, cell: 'firstByte' | 'duration'): Family {
    const read = () => [...routes].flatMap(([route, cells]) => cells[cell].read({ route }));
    return { name: `auth_shim_${name}`, help, type: 'histogram', read };
  }
}

function requestSamples(routes: ReadonlyMap<string, RouteCells>): Sample[] {
  const samples: Sample[] = [];
  for (const [route, { requests }] of routes) {
    for (const [caller, statuses] of requests) {
      for (const [status, value] of statuses) {
        const code = status === OTHER_STATUS ? OTHER : String(status);
        samples.push({ labels: { caller, route, code }, value });
      }
    }
  }
  return samples;
}
