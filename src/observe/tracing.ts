/** Spans for OpenTelemetry: one a request, made when it is over, sent in batches over OTLP/HTTP. */
import type { Attributes, HrTime } from '@opentelemetry/api';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace';
import type { Trace } from '../headers/trace.ts';
import type { EndReason, Logger, RequestRecord } from './log.ts';

/** One request that is over. Nothing of its query, headers and body becomes part of the span. */
export interface FinishedSpan {
  readonly trace: Trace;
  /** As the log has it; `undefined` for a target in another form, which can hold a credential. */
  readonly path: string | undefined;
  readonly record: Pick<RequestRecord, 'id' | 'method' | 'route' | 'caller' | 'status' | 'code' | 'ms' | 'end'>;
}

export interface Tracing {
  /**
   * Takes a span to its queue, at the very end of the request: its times are reckoned back from now. A trace that is
   * not sampled has none. Never waits and never throws; what the queue cannot hold is dropped.
   */
  finished(span: FinishedSpan): void;
  /** Sends what is queued, in two seconds at most; what could not be sent by then is lost. */
  close(): Promise<void>;
}

export interface TracingOptions {
  /** The environment. Which variables count is told in docs/tracing.md. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly version: string;
  /** Where the shim listens; the path of a socket has no port. */
  readonly server: { readonly scheme: 'http' | 'https'; readonly address: string; readonly port?: number };
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

const NAME = 'openclaw-auth-shim';
const CLOSE_MS = 2_000;
const COMPLAINT_MS = 60_000;
/** Spans that wait; a batch is sent every five seconds, or when it is full. */
const QUEUE = { maxQueueSize: 2048, maxExportBatchSize: 512, scheduledDelayMillis: 5_000 };
/** Others are `_OTHER`, since a method is the caller's to invent (semantic conventions, http.request.method). */
const METHODS: ReadonlySet<string> = new Set([
  'CONNECT',
  'DELETE',
  'GET',
  'HEAD',
  'OPTIONS',
  'PATCH',
  'POST',
  'PUT',
  'TRACE',
]);
/** Ends of an answer that had begun which are not the caller's doing. */
const FAULTY_ENDS: ReadonlySet<EndReason> = new Set<EndReason>(['gateway_gone', 'gateway_idle', 'shutdown', 'error']);

/**
 * @param options environment, version, log and clock
 * @returns the way for spans, or `undefined` where the environment names no endpoint or switches tracing off; nothing
 *   of OpenTelemetry is loaded then. An endpoint that is no URL is logged, and tracing stays off.
 */
export async function startTracing(options: TracingOptions): Promise<Tracing | undefined> {
  const { env, version, logger, now } = options;
  const url = endpointOf(env);
  if (url === undefined) return undefined;
  if (!/^https?:$/.test(URL.parse(url)?.protocol ?? '')) {
    logger.warn('the endpoint for traces in the environment is no http or https URL: no spans are sent');
    return undefined;
  }
  const [{ SpanKind, SpanStatusCode }, { BatchSpanProcessor }, { OTLPTraceExporter }, resources] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-trace'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
  ]);
  // The SDK reads the other variables (headers, certificates, compression, resource) itself, from the process.
  const { resourceAttributesEnvDetector, serviceNameEnvDetector } = resources;
  const resource = resources
    .defaultResource()
    .merge(resources.resourceFromAttributes({ 'service.name': NAME, 'service.version': version }))
    .merge(resources.detectResources({ detectors: [resourceAttributesEnvDetector, serviceNameEnvDetector] }));
  // The exporter tries again until its time is up, with timers that keep the process alive: no longer than `close`.
  const ownLimit = env.OTEL_EXPORTER_OTLP_TRACES_TIMEOUT || env.OTEL_EXPORTER_OTLP_TIMEOUT;
  const otlp = new OTLPTraceExporter(ownLimit ? { url } : { url, timeoutMillis: CLOSE_MS });
  const processor = new BatchSpanProcessor({ ...QUEUE, exporter: complaining(otlp, logger, now) });

  const server: Attributes = { 'url.scheme': options.server.scheme, 'server.address': options.server.address };
  if (options.server.port !== undefined) server['server.port'] = options.server.port;
  const instrumentationScope = { name: NAME, version };

  return {
    finished({ trace, path, record }) {
      // The processor drops it as well, but only once it is made.
      if (!trace.sampled) return;
      const { method, route, ms } = record;
      const { traceId, spanId, parentSpanId, flags } = trace;
      const known = METHODS.has(method);
      const end = now();
      const fault = faultOf(record);
      const span: ReadableSpan = {
        name: `${known ? method : 'HTTP'}${route === undefined ? '' : ` ${route}`}`,
        kind: SpanKind.SERVER,
        spanContext: () => ({ traceId, spanId, traceFlags: flags }),
        ...(parentSpanId !== undefined && {
          parentSpanContext: { traceId, spanId: parentSpanId, traceFlags: flags, isRemote: true },
        }),
        startTime: hrTime(end - ms),
        endTime: hrTime(end),
        duration: hrTime(ms),
        status: { code: fault === undefined ? SpanStatusCode.UNSET : SpanStatusCode.ERROR },
        attributes: {
          ...server,
          'http.request.method': known ? method : '_OTHER',
          ...attributesOf(record, path, fault),
        },
        links: [],
        events: [],
        ended: true,
        resource,
        instrumentationScope,
        droppedAttributesCount: 0,
        droppedEventsCount: 0,
        droppedLinksCount: 0,
      };
      processor.onEnd(span);
    },
    async close() {
      let timer: NodeJS.Timeout | undefined;
      const limit = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, CLOSE_MS);
      });
      await Promise.race([processor.shutdown(), limit]);
      clearTimeout(timer);
    },
  };
}

/** By the names and the precedence of the OpenTelemetry specification; an empty variable counts as unset. */
function endpointOf(env: TracingOptions['env']): string | undefined {
  const read = (name: string): string | undefined => env[name]?.trim() || undefined;
  if (read('OTEL_SDK_DISABLED')?.toLowerCase() === 'true') return undefined;
  if (!(read('OTEL_TRACES_EXPORTER') ?? 'otlp').split(',').some((one) => one.trim() === 'otlp')) return undefined;
  const base = read('OTEL_EXPORTER_OTLP_ENDPOINT');
  return read('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT') ?? (base && `${base.replace(/\/$/, '')}/v1/traces`);
}

/** The exporter, with its failures told once a minute, and to nobody else. */
function complaining(exporter: SpanExporter, logger: Logger, now: () => number): SpanExporter {
  let lost = 0;
  let told = -Infinity;
  return {
    export(spans, done) {
      exporter.export(spans, ({ code, error }) => {
        if (code !== 0) {
          lost += spans.length;
          if (now() - told >= COMPLAINT_MS) {
            logger.warn({ lost, reason: error?.message }, 'spans cannot be sent');
            told = now();
            lost = 0;
          }
        }
        done({ code: 0 });
      });
    },
    shutdown: () => exporter.shutdown(),
  };
}

/**
 * `error.type`: the shim's error code, the status or the reason of the end. A status below 500 is no error of a server
 * span (semantic conventions, HTTP spans), nor is a caller who has left.
 */
function faultOf({ status, code, end }: FinishedSpan['record']): string | undefined {
  if (status >= 500) return code ?? String(status);
  return FAULTY_ENDS.has(end) ? end : undefined;
}

function attributesOf(record: FinishedSpan['record'], path: string | undefined, fault: string | undefined): Attributes {
  const { id, route, caller, status, code, end } = record;
  const attributes: Attributes = { 'auth_shim.request_id': id, 'auth_shim.end': end };
  if (path !== undefined) attributes['url.path'] = path;
  if (route !== undefined) attributes['http.route'] = route;
  if (status !== 0) attributes['http.response.status_code'] = status;
  if (caller !== undefined) attributes['auth_shim.caller'] = caller;
  if (code !== undefined) attributes['auth_shim.code'] = code;
  if (fault !== undefined) attributes['error.type'] = fault;
  return attributes;
}

/** Seconds and nanoseconds. */
function hrTime(ms: number): HrTime {
  return [Math.floor(ms / 1000), Math.floor((ms % 1000) * 1e6)];
}
