/** What others say of tokens: asked once, by few at a time, and remembered for a while. */
import type { Refusal } from '../errors.ts';
import type { Logger } from '../observe/log.ts';
import type { Caller, RawToken } from '../types.ts';
import { reasonOf } from './fetch-json.ts';
import type { ProviderState } from './keys.ts';
import { invalid, unavailable } from './unauthenticated.ts';
import { whileValid, type Answer, type Asked, type Claims, type VouchedToken } from './vouched.ts';

/** Milliseconds that a question may take. */
const ASK_MS = 5_000;
const MOST_IN_FLIGHT = 16;
/** Of these, questions about tokens that were not good before: whoever makes them up must not keep out those that were. */
const MOST_NEW = 12;
/** Of these, questions about tokens of requests that run already: those of new requests must have room, and wait for them. */
const MOST_AGAIN = 8;
/** Of each kind: tokens that somebody makes up must not push out those that are good. */
const MOST_REMEMBERED = 10_000;
/** For how long a "no" is taken, unless `cache` is shorter. */
const NO_MS = 5_000;
/** Before a token expires: a "no" may mean just that then, by the clock of who is asked. */
const ENDING_MS = 60_000;
/** Between two words about an outage. */
const QUIET_MS = 60_000;

/** Who is asked. */
export interface Source<T extends VouchedToken> {
  /** For the log. */
  readonly who: string;
  /** Milliseconds for which a "yes" is taken. */
  readonly cache: number;
  /** What its tokens are accepted by. */
  readonly rules: string;
  readonly callerFrom: (claims: Claims) => Caller | Refusal;
  /**
   * @param now when it was begun
   * @throws Error where it cannot be told; its message quotes neither token nor answer
   */
  readonly ask: (asked: Asked, now: number, signal: AbortSignal) => Promise<Answer<T>>;
}

/** Time and log. */
export interface AnswersDeps {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
}

/** Times are milliseconds since the epoch. Nothing throws or rejects. */
export interface Answers<T extends VouchedToken> {
  /**
   * @param hash SHA-256 of the token, 64 lower-case hex digits
   * @returns what is known of it, where that is new enough: nobody is asked
   */
  recall(hash: string, now: number): Answer<T> | undefined;
  /** @returns whether a token was good before, also where that is too long ago */
  knows(hash: string): boolean;
  /**
   * @param hash SHA-256 of the token, 64 lower-case hex digits
   * @returns what is known of it, at once where that is new enough; `identity_unavailable` where it cannot be told
   */
  verify(token: RawToken, hash: string, now: number): Answer<T> | Promise<Answer<T>>;
  /**
   * What is known of a token, for a request that was let through before, here or before a reload. It is asked about
   * again at most once per `cache`, which is not waited for. In an outage the last word stands; against a "no" in the
   * last minute of a token the "yes" before it does.
   *
   * @param token that was accepted then
   */
  find(token: VouchedToken, now: number): Answer<T>;
  /** @returns how its last questions went */
  state(): ProviderState;
  /** Asks no more about running requests. Who waits for an answer still gets it. */
  close(): void;
}

interface Known<T extends VouchedToken> {
  readonly answer: Answer<T>;
  /** When the question was begun that this is the answer to. */
  readonly heard: number;
  /** The same, or when it was asked again. */
  asked: number;
}

/**
 * Each source has its own, and each configuration its own again: what is remembered goes by the hash of a token alone,
 * and cannot be taken for the answer of another endpoint, for another audience or by former rules.
 *
 * @param source who is asked
 * @param deps time and log
 * @returns its answers; it has forgotten every token
 */
export function createAnswers<T extends VouchedToken>(source: Source<T>, deps: AnswersDeps): Answers<T> {
  const { who, cache, rules } = source;
  /** What was good, also when it is not any more. */
  const good = new Map<string, Known<T>>();
  const bad = new Map<string, Known<T>>();
  const flights = new Map<string, Promise<Answer<T>>>();
  const again = new Set<string>();
  const unheard = new Set<string>();
  /** To be asked about again, in this order. */
  const waiting = new Map<string, RawToken>();
  let closed = false;
  let outage: { last: number } | undefined;
  let told = -Infinity;
  let heardMs: number | undefined;
  let failedMs = -Infinity;
  let failing = false;

  return {
    recall,
    knows: (hash) => good.has(hash),
    verify(raw, hash, now) {
      const known = recall(hash, now);
      if (known) return known;
      if (!good.has(hash) && !flights.has(hash)) {
        if (unheard.size >= MOST_NEW)
          return unavailable(hash, `${who}: ${MOST_NEW} new tokens are being asked about already`);
        unheard.add(hash);
      }
      return fly({ raw, hash }) ?? unavailable(hash, `${who}: ${MOST_IN_FLIGHT} tokens are being asked about already`);
    },
    find(token, now) {
      const { hash } = token;
      if (token.rules !== rules) return invalid(hash, `${who}: its rules have changed`);
      let known = good.get(hash);
      if (!known) {
        const caller = source.callerFrom(token.claims);
        if ('kind' in caller) return { ...caller, tokenId: token.id };
        known = { answer: { kind: 'caller', caller, token: token as T }, heard: -Infinity, asked: -Infinity };
        remember(good, hash, known);
      }
      if (known.answer.kind === 'caller' && !isNear(known.asked, now, cache)) {
        known.asked = now;
        if (!closed) waiting.set(hash, token.raw());
        askAgain();
      }
      return judge(known.answer, now);
    },
    state: () => ({ heardMs, failing }),
    close() {
      closed = true;
      waiting.clear();
    },
  };

  function recall(hash: string, now: number): Answer<T> | undefined {
    const known = [good.get(hash), bad.get(hash)].find((one) => one && isFresh(one, now));
    return known && judge(known.answer, now);
  }

  function isFresh({ answer, heard }: Known<T>, now: number): boolean {
    return isNear(heard, now, answer.kind === 'caller' ? cache : Math.min(cache, NO_MS));
  }

  function askAgain(): void {
    for (const [hash, raw] of waiting) {
      if (again.size >= MOST_AGAIN || flights.size >= MOST_IN_FLIGHT) return;
      waiting.delete(hash);
      again.add(hash);
      void fly({ raw, hash });
    }
  }

  /** One for each token. `undefined`: there are too many. */
  function fly(asked: Asked): Promise<Answer<T>> | undefined {
    const { hash } = asked;
    const under = flights.get(hash);
    if (under) return under;
    if (flights.size >= MOST_IN_FLIGHT) {
      unheard.delete(hash);
      return undefined;
    }
    const flight = attempt(asked).finally(() => {
      flights.delete(hash);
      unheard.delete(hash);
      again.delete(hash);
      askAgain();
    });
    flights.set(hash, flight);
    return flight;
  }

  async function attempt(asked: Asked): Promise<Answer<T>> {
    const began = deps.now();
    const signal = AbortSignal.timeout(ASK_MS);
    try {
      const answer = await source.ask(asked, began, signal);
      heardMs = began;
      if (began >= failedMs) failing = false;
      if (outage && began >= outage.last) {
        outage = undefined;
        deps.logger.info({ from: who }, 'tokens can be asked about again');
      }
      keep(asked.hash, { answer, heard: began, asked: began });
      return answer;
    } catch (error) {
      const reason = signal.aborted ? `no answer within ${ASK_MS} ms` : reasonOf(error);
      const now = deps.now();
      failedMs = now;
      failing = true;
      if (outage) {
        outage.last = now;
      } else if (!isNear(told, now, QUIET_MS)) {
        told = now;
        outage = { last: now };
        deps.logger.warn({ from: who, reason }, 'tokens cannot be asked about: new ones get 503');
      }
      return { ...unavailable(asked.hash, `${who}: ${reason}`), unanswered: true };
    }
  }

  function keep(hash: string, known: Known<T>): void {
    if (known.answer.kind === 'caller') {
      bad.delete(hash);
      remember(good, hash, known);
      return;
    }
    const before = good.get(hash)?.answer;
    const isEnd = before !== undefined && !(before.kind === 'caller' && isEnding(before, known.heard));
    remember(isEnd ? good : bad, hash, known);
  }
}

/** Also where the clock was set back. */
function isNear(then: number, now: number, span: number): boolean {
  return Math.abs(now - then) < span;
}

function isEnding({ token }: { readonly token: VouchedToken }, now: number): boolean {
  return now >= (token.expires ?? Infinity) - ENDING_MS;
}

function judge<T extends VouchedToken>(answer: Answer<T>, now: number): Answer<T> {
  return answer.kind === 'caller' ? whileValid(answer, now) : answer;
}

function remember<T>(all: Map<string, T>, hash: string, one: T): void {
  // The place of what is there already would be an old one.
  all.delete(hash);
  if (all.size >= MOST_REMEMBERED) {
    const [oldest = ''] = all.keys();
    all.delete(oldest);
  }
  all.set(hash, one);
}

/** Why nobody is to be asked for a peer: its logins failed too often, or too many questions for it had no answer. */
export type Limited = (() => 'failed' | 'unanswered' | undefined) | undefined;

/**
 * A token that was good before is asked about all the same: others at its address must not shut it out.
 *
 * @param answers who would be asked
 * @param raw the token
 * @param hash its SHA-256, 64 lower-case hex digits
 * @param now milliseconds since the epoch
 * @param limited asked only for a token that nothing is known of
 * @returns what `verify` of the answers returns; `invalid_token` or `identity_unavailable` where nobody is asked
 */
export function askUnlessLimited<T extends VouchedToken>(
  answers: Answers<T>,
  raw: RawToken,
  hash: string,
  now: number,
  limited: Limited,
): Answer<T> | Promise<Answer<T>> {
  const known = answers.recall(hash, now);
  if (known) return known;
  const why = answers.knows(hash) ? undefined : limited?.();
  if (why === undefined) return answers.verify(raw, hash, now);
  if (why === 'failed') return invalid(hash, 'not asked about: too many failed logins');
  return unavailable(hash, 'not asked about: too many questions for this peer had no answer');
}
