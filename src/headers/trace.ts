/** W3C Trace Context: which trace a request belongs to, and what the gateway is told of it. Pure. */

/** One request as a span of a trace. Ids are lower-case hex: 32 digits of a trace, 16 of a span. */
export interface Trace {
  readonly traceId: string;
  /** The caller's span; `undefined` where the trace begins here. Without it, a `tracestate` must not be sent on. */
  readonly parentSpanId: string | undefined;
  /** The shim's own span. */
  readonly spanId: string;
  /** Trace flags: bit 0 is `sampled`, bit 1 says that the trace id is random. */
  readonly flags: number;
  readonly sampled: boolean;
  /** The value for the gateway: the same trace, with the shim's span as the parent. */
  readonly traceparent: string;
}

/** Where new ids come from: lower-case hex, random. */
export interface TraceIds {
  /** 32 digits. */
  readonly traceId: () => string;
  /** 16 digits. */
  readonly spanId: () => string;
}

const SAMPLED = 1;
const RANDOM = 2;

/**
 * `version "-" trace-id "-" parent-id "-" trace-flags` (level 1 section 3.2.2), and the dash before what a higher
 * version adds. Version ff and ids of zeros are forbidden.
 */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-|$)/;
const VERSION_00_LENGTH = 55;

/**
 * Continues the trace of a caller, or begins one. A value that is not valid counts as none (sections 3.2.2.3 and
 * 3.2.2.4); a higher version is read by its known beginning and sent on as version 00 (section 3.2.4). Of the flags,
 * `sampled` and `random` (level 2) are kept, since the trace id stays; the others are reserved and set to zero
 * (section 3.2.2.5.2). `tracestate` belongs to a valid `traceparent` (section 3.3): it may pass unchanged where
 * `parentSpanId` is set, and nowhere else.
 *
 * @param value the field value of `traceparent`; `undefined` for none or more than one field (several joined by
 *   commas are no valid value either)
 * @param ids new ids
 * @returns the request's place in the trace; a trace that begins here is sampled
 */
export function continueTrace(value: string | undefined, ids: TraceIds): Trace {
  const spanId = ids.spanId();
  if (value === undefined || !isValid(value)) return place(ids.traceId(), undefined, spanId, SAMPLED | RANDOM);
  const flags = Number.parseInt(value.slice(53, 55), 16) & (SAMPLED | RANDOM);
  return place(value.slice(3, 35), value.slice(36, 52), spanId, flags);
}

function isValid(value: string): boolean {
  return TRACEPARENT.test(value) && (value.length === VERSION_00_LENGTH || !value.startsWith('00'));
}

function place(traceId: string, parentSpanId: string | undefined, spanId: string, flags: number): Trace {
  return {
    traceId,
    parentSpanId,
    spanId,
    flags,
    sampled: (flags & SAMPLED) !== 0,
    traceparent: `00-${traceId}-${spanId}-0${flags}`,
  };
}

/** Asking for random bytes costs more than all else here; one asks for many. */
const POOL_BYTES = 4096;

/**
 * @param randomBytes random bytes, as many as asked for
 * @returns ids of random bytes alone, as samplers expect them (level 2, considerations for trace-id generation)
 */
export function createTraceIds(randomBytes: (size: number) => Buffer): TraceIds {
  let pool = randomBytes(POOL_BYTES);
  let at = 0;
  const take = (size: number): string => {
    if (at + size > POOL_BYTES) {
      pool = randomBytes(POOL_BYTES);
      at = 0;
    }
    at += size;
    return pool.toString('hex', at - size, at);
  };
  return { traceId: () => take(16), spanId: () => take(8) };
}
