/**
 * A property of section 2.1 over random header lists: whatever a caller with a good token sends, the gateway sees
 * each protected header exactly once, with our value, or the request not at all.
 */
import t from 'tap';
import { foldName, isProtectedFamily } from '../../src/headers/families.ts';
import { HOP_HEADER, HOPS, ours, startHop, USER_HEADER } from '../helpers/hops.ts';
import { sendRaw } from '../helpers/raw.ts';
import { TOKENS } from '../helpers/stack.ts';

const ROUNDS = 40;
const REQUESTS_A_ROUND = 10;

const NAMES = [
  'x-openclaw-scopes',
  'x-forwarded-for',
  'x-forwarded-user',
  'x-forwarded-proto',
  'x-forwarded-host',
  'forwarded',
  'x-real-ip',
  'tailscale-user-login',
  'x-openclaw-token',
  'x-openclaw-agent-id',
  'x-openclaw-session-key',
  'cookie',
  'proxy-authorization',
  'x-original-url',
  'x-http-method-override',
  'x-request-id',
  'referer',
  'te',
  'accept',
  'user-agent',
  'x-stainless-os',
  'x-plain',
  'trailer',
  'keep-alive',
  'upgrade',
  USER_HEADER.toLowerCase(),
  HOP_HEADER,
];

/** Numbers that are the same at every run: mulberry32. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

function randomHeaders(random: (below: number) => number): string[] {
  const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T;
  const spell = (name: string): string =>
    name
      .split('')
      .map((char) => (/[-_]/.test(char) && random(4) === 0 ? pick(['_', '.', '!', '~']) : char))
      .map((char) => (random(3) === 0 ? char.toUpperCase() : char))
      .join('');
  return Array.from({ length: random(12) }, () => {
    if (random(4) > 0)
      return `${spell(pick(NAMES))}:${pick(['', ' ', '\t'])}${pick(['operator.admin', '127.0.0.1', '', 'a,b'])}`;
    const members = Array.from({ length: random(4) }, () =>
      pick(['close', 'keep-alive', spell(pick(NAMES)), 'authorization', '', '\t']),
    );
    // A connection that closes would take the rest of the round with it.
    return `Connection: ${members.filter((member) => member !== 'close').join(pick([',', ', ', ' ,\t']))}`;
  });
}

for (const hop of HOPS) {
  void t.test(`${hop} hop`, async (t) => {
    const stack = await startHop(t, hop);
    const random = randomFrom(20260328);
    const secret = hop === 'token' ? [] : [foldName(USER_HEADER), foldName(HOP_HEADER)];
    const expected = ours(hop, 'reader', 'operator.read');
    let answered = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const lists = Array.from({ length: REQUESTS_A_ROUND }, () => randomHeaders(random));
      const bytes = lists.map((lines) => {
        const all = ['Host: localhost', ...lines, `Authorization: Bearer ${TOKENS.reader}`];
        return `GET /v1/models HTTP/1.1\r\n${all.map((line) => `${line}\r\n`).join('')}\r\n`;
      });
      // One at a time: a refusal closes the connection of what was pipelined behind it.
      const answers = await Promise.all(bytes.map((one) => sendRaw(stack.port, one, { responses: 1 })));
      answered += answers.filter(({ responses }) => responses[0]?.status === 200).length;
      for (const [index, { responses }] of answers.entries()) {
        const status = responses[0]?.status;
        if (status !== 200 && status !== 400) t.fail(`${status} for ${JSON.stringify(lists[index])}`);
      }
    }
    t.equal(stack.gateway.requests.length, answered, 'as many requests at the gateway as were let through');
    t.ok(answered > (ROUNDS * REQUESTS_A_ROUND) / 2, `${answered} were let through`);
    for (const { rawHeaders } of stack.gateway.requests) {
      const protectedOnes: string[] = [];
      for (let i = 0; i < rawHeaders.length; i += 2) {
        const folded = foldName(rawHeaders[i] as string);
        if (['authorization', 'traceparent'].includes(folded) || isProtectedFamily(folded) || secret.includes(folded)) {
          protectedOnes.push(rawHeaders[i] as string, rawHeaders[i + 1] as string);
        }
        if (['cookie', 'referer', 'te', 'trailer', 'upgrade', 'proxy-authorization'].includes(folded)) t.fail(folded);
      }
      if (protectedOnes.join('\n') !== expected.join('\n')) t.strictSame(protectedOnes, expected);
    }
  });
}
