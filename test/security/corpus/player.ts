/** Plays cases at a rig, one after another, and says what was not as it must be. */
import type { RawConnection } from '../../helpers/raw.ts';
import { get } from '../../helpers/request-bytes.ts';
import { readResponses } from '../../helpers/responses.ts';
import { closing, frame, told } from '../../helpers/socket-bytes.ts';
import { secretsOf } from './callers.ts';
import { idOf, type Case } from './case.ts';
import { answerFailures, gatewayFailures, methodsOf, socketFailures } from './findings.ts';
import { eventually, PATIENCE_MS, recorded, type Exchange, type Played } from './records.ts';
import type { Rig } from './rig.ts';

export type { Played };

/** Each may take as long as `PATIENCE_MS`. */
const MOST_FAILURES = 20;

/** @returns the cases that mean something at a rig */
export function casesFor(cases: readonly Case[], { setting: { hop, transport, variant } }: Rig): Case[] {
  return cases.filter(
    ({ variant: wanted = 'plain', hops = [hop], over = [transport] }) =>
      wanted === variant && hops.includes(hop) && over.includes(transport),
  );
}

/**
 * @param rig it is stopped at the end
 * @param cases one after another, so that every byte at the gateway has one cause
 * @returns what became of each, and last of the rig itself
 */
export async function play(rig: Rig, cases: readonly Case[]): Promise<Played[]> {
  const { hop, transport, variant, node } = rig.setting;
  const own: Played = { id: `${hop}, ${transport}, ${variant}, ${node ?? 'here'}`, failures: [] };
  const exchanges: Exchange[] = [];
  try {
    const before = rig.sockets();
    await goodRequest(rig, own);
    for (const one of cases) {
      exchanges.push(await playOne(rig, one));
      if (exchanges.filter(({ played }) => played.failures.length > 0).length < MOST_FAILURES) continue;
      own.failures.push(`given up after ${exchanges.length} of ${cases.length} cases`);
      break;
    }
    await goodRequest(rig, own);
    await recorded(rig, exchanges, own);
    if (!(await eventually(() => rig.sockets() === before))) {
      own.failures.push(`${rig.sockets()} sockets are open, before the first case ${before}`);
    }
  } finally {
    const wrong = await rig.stop();
    if (wrong !== undefined) own.failures.push(wrong);
  }
  return [...exchanges.map(({ played }) => played), own];
}

/** The process lives: what it does for a good request is right. */
async function goodRequest(rig: Rig, own: Played): Promise<void> {
  const send = get('/v1/models', 'Connection: close\r\n');
  const good: Case = {
    row: 'O17',
    title: 'a good request',
    send,
    answers: [{ status: 200, body: '{}' }],
    closed: true,
    gateway: [{ caller: 'writer' }],
  };
  const { played } = await playOne(rig, good);
  own.failures.push(...played.failures.map((failure) => `a good request: ${failure}`));
}

async function playOne(rig: Rig, one: Case): Promise<Exchange> {
  const { gateway } = rig;
  const failures: string[] = [];
  const ended = one.gateway.filter(({ cut }) => cut).length;
  const complete = one.gateway.length - ended;
  gateway.begin(one.reply);
  const before = gateway.total();
  const caller = await rig.connect();
  try {
    await converse(rig, one, caller);
    await gateway.until(({ whole, cut }) => whole.length >= complete && cut.length >= ended);
    if (brokenReply(one)) await gateway.until(({ answered }) => answered === 0);
  } catch (error) {
    failures.push((error as Error).message);
  }
  const { text } = caller;
  caller.socket.destroy();
  await gateway.socketsClosed();
  const requestIds = one.socket ? socketFailures(one, text, failures) : answerFailures(one, text, failures);
  gatewayFailures(rig, one, failures);
  if (brokenReply(one) && gateway.seen().answered > 0) failures.push('the connection of a broken answer is still open');
  const shown = text.toLowerCase();
  if (secretsOf(rig.setting.hop).some((secret) => shown.includes(secret.toLowerCase()))) {
    failures.push(`a secret came back: ${JSON.stringify(text)}`);
  }
  return { one, played: { id: idOf(one), failures }, requestIds, reached: gateway.total() - before };
}

/** What nobody could read to its end is not read any further. */
function brokenReply({ reply, answers }: Case): boolean {
  return reply !== undefined && answers.some(({ code, whole }) => code === 'gateway_bad_response' || whole === false);
}

/** Sends, and waits for all that must come. */
async function converse({ gateway }: Rig, one: Case, caller: RawConnection): Promise<void> {
  const { send, next, socket, closed, answers } = one;
  caller.send(send);
  if (next?.after === 'challenge') await caller.until((text) => told(text).challenge !== undefined, PATIENCE_MS);
  if (typeof next?.after === 'object') {
    const { gateway: part } = next.after;
    await gateway.until(({ rest }) => rest.endsWith(part));
  }
  if (next) caller.send(next.bytes);
  if (socket?.close !== undefined) {
    await caller.until((text) => told(text).close !== undefined, PATIENCE_MS);
    // As RFC 6455 section 5.5.1 wants it.
    if (!caller.socket.destroyed) caller.send(frame(closing(1000), { opcode: 8 }));
    await caller.closed(PATIENCE_MS);
  } else if (socket) {
    await caller.until((text) => text.includes('\r\n\r\n'), PATIENCE_MS);
  } else if (closed) {
    await caller.closed(PATIENCE_MS);
  } else {
    const methods = methodsOf(one);
    const enough = (text: string): boolean =>
      readResponses(text, methods, false).filter(({ complete }) => complete).length >= answers.length;
    await caller.until(enough, PATIENCE_MS);
  }
}
