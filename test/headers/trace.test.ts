import { randomBytes } from 'node:crypto';
import t from 'tap';
import { continueTrace, createTraceIds } from '../../src/headers/trace.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';
const NEW_TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';
const ids = { traceId: () => NEW_TRACE, spanId: () => SPAN };

void t.test('a trace is continued: the same trace, our span, the caller as its parent', async (t) => {
  for (const [name, value, flags] of [
    ['sampled', `00-${TRACE}-${PARENT}-01`, 1],
    ['not sampled', `00-${TRACE}-${PARENT}-00`, 0],
    ['sampled and random (level 2)', `00-${TRACE}-${PARENT}-03`, 3],
    ['random alone', `00-${TRACE}-${PARENT}-02`, 2],
    ['reserved flags, which are not sent on', `00-${TRACE}-${PARENT}-ff`, 3],
    ['sampled among reserved flags', `00-${TRACE}-${PARENT}-09`, 1],
    ['a higher version of the same length', `01-${TRACE}-${PARENT}-01`, 1],
    ['a higher version with more fields', `cc-${TRACE}-${PARENT}-01-what-the-future-will-be-like`, 1],
    ['a higher version with an empty field', `fe-${TRACE}-${PARENT}-01-`, 1],
  ] as const) {
    t.strictSame(
      continueTrace(value, ids),
      {
        traceId: TRACE,
        parentSpanId: PARENT,
        spanId: SPAN,
        flags,
        sampled: (flags & 1) === 1,
        traceparent: `00-${TRACE}-${SPAN}-0${flags}`,
      },
      name,
    );
  }
});

void t.test('a trace is begun, sampled, where there is none or none that is valid', async (t) => {
  for (const [name, value] of [
    ['absent', undefined],
    ['empty', ''],
    ['version 00 with more', `00-${TRACE}-${PARENT}-01-more`],
    ['version 00 with a dash more', `00-${TRACE}-${PARENT}-01-`],
    ['version 00 with a character more', `00-${TRACE}-${PARENT}-011`],
    ['one character less', `00-${TRACE}-${PARENT}-0`],
    ['without flags', `00-${TRACE}-${PARENT}`],
    ['version ff', `ff-${TRACE}-${PARENT}-01`],
    ['a version that is no hex', `0x-${TRACE}-${PARENT}-01`],
    ['a version of one digit', `0-${TRACE}-${PARENT}-01`],
    ['a higher version without the dash', `01-${TRACE}-${PARENT}-01.more`],
    ['trace id zero', `00-${'0'.repeat(32)}-${PARENT}-01`],
    ['trace id zero in a higher version', `01-${'0'.repeat(32)}-${PARENT}-01`],
    ['parent id zero', `00-${TRACE}-${'0'.repeat(16)}-01`],
    ['upper-case trace id', `00-${TRACE.toUpperCase()}-${PARENT}-01`],
    ['upper-case parent id', `00-${TRACE}-${PARENT.toUpperCase()}-01`],
    ['upper-case version', `CC-${TRACE}-${PARENT}-01`],
    ['upper-case flags', `00-${TRACE}-${PARENT}-0A`],
    ['flags that are no hex', `00-${TRACE}-${PARENT}-0g`],
    ['trace id too short', `00-${TRACE.slice(1)}-${PARENT}-01`],
    ['underscores', `00_${TRACE}_${PARENT}_01`],
    ['a space before', ` 00-${TRACE}-${PARENT}-01`],
    ['a line feed after', `00-${TRACE}-${PARENT}-01\n`],
    ['two values, joined', `00-${TRACE}-${PARENT}-01, 00-${TRACE}-${PARENT}-01`],
    ['two values of a higher version, joined', `01-${TRACE}-${PARENT}-01, 01-${TRACE}-${PARENT}-01`],
  ] as const) {
    t.strictSame(
      continueTrace(value, ids),
      {
        traceId: NEW_TRACE,
        parentSpanId: undefined,
        spanId: SPAN,
        flags: 3,
        sampled: true,
        traceparent: `00-${NEW_TRACE}-${SPAN}-03`,
      },
      name,
    );
  }
});

void t.test('an id may begin with zeros', async (t) => {
  t.match(continueTrace(`00-0${TRACE.slice(1)}-${PARENT}-01`, ids), { traceId: `0${TRACE.slice(1)}` });
  t.match(continueTrace(`00-${'0'.repeat(31)}1-${'0'.repeat(15)}1-01`, ids), { parentSpanId: `${'0'.repeat(15)}1` });
});

void t.test('what is sent on is valid itself', async (t) => {
  const ids = createTraceIds(randomBytes);
  const first = continueTrace(undefined, ids);
  const second = continueTrace(first.traceparent, ids);
  t.equal(second.traceId, first.traceId);
  t.equal(second.parentSpanId, first.spanId);
  t.not(second.spanId, first.spanId);
});

void t.test('ids are random bytes, each used once, of a pool that is filled anew', async (t) => {
  let pools = 0;
  let count = 0n;
  const ids = createTraceIds((size) => {
    pools++;
    const bytes = Buffer.alloc(size);
    for (let at = 0; at < size; at += 8) bytes.writeBigUInt64BE(++count, at);
    return bytes;
  });
  t.equal(ids.traceId(), '00000000000000010000000000000002');
  t.equal(ids.spanId(), '0000000000000003');
  const spans = new Set(Array.from({ length: 1_000 }, ids.spanId));
  t.equal(spans.size, 1_000);
  t.equal(pools, 2);
  let filled = 0;
  const exact = createTraceIds((size) => {
    filled++;
    return randomBytes(size);
  });
  for (let i = 0; i < 4096 / 8; i++) exact.spanId();
  t.equal(filled, 1, 'to its last byte');
  exact.spanId();
  t.equal(filled, 2);
  const real = createTraceIds(randomBytes);
  t.match(real.traceId(), /^[0-9a-f]{32}$/);
  t.match(real.spanId(), /^[0-9a-f]{16}$/);
});
