/** The keys of an issuer over time: fetched, kept, and renewed when a token names one that is not there. */
import type { lookup as dnsLookup } from 'node:dns';
import type { IssuerConfig, IssuerKeys } from '../config/issuers.ts';
import type { Logger } from '../observe/log.ts';
import { fetchJson, reasonOf, type Fetched } from './fetch-json.ts';
import { publishedKeys, secretKey, type KeySet, type LocalKeySet } from './key-set.ts';

/** Milliseconds that discovery and key set may take together. */
const FETCH_MS = 5_000;
/** What the provider's `max-age` may be at least and at most, and what it is without one. */
const SHORTEST_AGE_MS = 300_000;
const LONGEST_AGE_MS = 86_400_000;
const AGE_MS = 3_600_000;
/** Of the age, after which keys are fetched anew: before they are too old, with room for some failures. */
const EARLY = 0.8;
/** After a failure; doubled each time. */
const RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 60_000;
/** Between two fetches for keys that are not there: who sends random `kid`s must not ask the provider with each. */
const COOLDOWN_MS = 30_000;

/** What keys are fetched with. */
export interface KeysDeps {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
  /** Resolves names (the world's DNS). */
  readonly lookup?: typeof dnsLookup | undefined;
}

/** How it stands with an identity provider. */
export interface ProviderState {
  /** When the last good answer was asked for, milliseconds since the epoch; `undefined`: never. */
  readonly heardMs: number | undefined;
  /** Whether it could not be asked since. */
  readonly failing: boolean;
}

/** No method throws or rejects; none has a fetch of its own where one is under way. */
export interface Keys {
  /** @returns the keys; `undefined` where the provider was not heard of for `maxStale`, or never */
  current(now: number): KeySet | undefined;
  /** @returns the same, after the first answer of the provider; an outage is not waited for */
  load(): Promise<KeySet | undefined>;
  /**
   * Asks the provider again, at most once in 30 seconds.
   *
   * @param before keys of which none fits a token
   * @returns the keys of now, which may be the same; `undefined` where the provider cannot be asked
   */
  renew(before: KeySet): Promise<KeySet | undefined>;
  /**
   * A reload must not lose the last good keys of a provider that is down.
   *
   * @param issuer of a new configuration; its bearer is used from now on
   * @returns these keys for one more holder, or `undefined` where they are not those of the issuer
   */
  share(issuer: IssuerConfig): Keys | undefined;
  /** @returns `undefined` where nobody is asked for keys */
  state(): ProviderState | undefined;
  /** Ends what is under way, once every holder has called it. */
  close(): void;
}

/**
 * @param issuer whose keys
 * @param deps time, log and names
 * @returns its keys; those of a provider are being fetched then, which is not waited for
 */
export async function createKeys(issuer: IssuerConfig, deps: KeysDeps): Promise<Keys> {
  const { createLocalJWKSet } = await import('jose/jwks/local');
  const { keys } = issuer;
  switch (keys.kind) {
    case 'secret':
      return fixedKeys(secretKey(keys.secret));
    case 'file':
      return fixedKeys(publishedKeys((JSON.parse(keys.jwks) as { keys: unknown[] }).keys, createLocalJWKSet));
    case 'tokenReview':
      return fixedKeys({ ids: new Set(), matching: async () => [] });
    default:
      return fetchedKeys(issuer, keys, deps, createLocalJWKSet);
  }
}

function fixedKeys(set: KeySet): Keys {
  return {
    current: () => set,
    load: async () => set,
    renew: async () => set,
    share: () => undefined,
    state: () => undefined,
    close: () => undefined,
  };
}

function fetchedKeys(
  issuer: IssuerConfig,
  from: Extract<IssuerKeys, { readonly url: string }>,
  { now, logger, lookup }: KeysDeps,
  local: LocalKeySet,
): Keys {
  const source = sourceOf(issuer);
  const { ca, maxStale } = issuer;
  let { bearer } = issuer;
  let holders = 1;
  let set: KeySet | undefined;
  let published = '';
  let heard = 0;
  let failures = 0;
  let renewed = -Infinity;
  let ended = false;
  let flight: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;
  const closed = new AbortController();

  const self: Keys = {
    // Also where the clock was set back since.
    current: (at) => (Math.abs(at - heard) < maxStale ? set : undefined),
    async load() {
      // Without a failure they are only too old because the clock has jumped, or the machine has slept.
      if (!self.current(now()) && failures === 0) await refresh();
      return self.current(now());
    },
    async renew(before) {
      if (set === before) {
        const at = now();
        // Also where the clock was set back.
        const cool = Math.abs(at - renewed) >= COOLDOWN_MS;
        if (cool) renewed = at;
        if (cool || flight) await refresh();
        // The key may be a new one: without the provider nobody can tell.
        if (failures > 0) return undefined;
      }
      return self.current(now());
    },
    share(next) {
      if (sourceOf(next) !== source) return undefined;
      bearer = next.bearer;
      holders += 1;
      return self;
    },
    state: () => ({ heardMs: set && heard, failing: failures > 0 }),
    close() {
      holders -= 1;
      if (holders > 0) return;
      clearTimeout(timer);
      closed.abort();
    },
  };
  void refresh();
  return self;

  function refresh(): Promise<void> {
    return (flight ??= attempt().finally(() => (flight = undefined)));
  }

  async function attempt(): Promise<void> {
    clearTimeout(timer);
    const began = now();
    try {
      const { body, maxAge = AGE_MS } = await fetchKeys();
      if (!Array.isArray(body.keys)) throw new Error('the key set has no keys');
      const text = JSON.stringify(body.keys);
      const next = set && text === published ? set : publishedKeys(body.keys, local);
      // A provider that is half up must not end what its last keys are good for.
      if (next.ids.size === 0) throw new Error('the key set has no key that can be used');
      set = next;
      published = text;
      heard = began;
      if (failures > 0) logger.info({ issuer: issuer.name }, 'the keys of an issuer are fetched again');
      failures = 0;
      ended = false;
      const age = Math.min(Math.max(maxAge, SHORTEST_AGE_MS), LONGEST_AGE_MS) * EARLY;
      again(Math.min(age, maxStale / 2));
    } catch (error) {
      if (closed.signal.aborted) return;
      const left = set ? maxStale - Math.abs(now() - heard) : Infinity;
      if (left <= 0 && !ended) {
        ended = true;
        const about = { issuer: issuer.name, reason: reasonOf(error) };
        logger.warn(about, 'the last keys of an issuer are older than maxStale: its callers are refused');
      } else if (failures === 0) {
        const consequence = set ? 'the last ones are used for now' : 'its callers are refused';
        const about = { issuer: issuer.name, reason: reasonOf(error) };
        logger.warn(about, `the keys of an issuer cannot be fetched: ${consequence}`);
      }
      failures += 1;
      const pause = Math.min(RETRY_MS * 2 ** (failures - 1), LONGEST_RETRY_MS);
      // Once more when the keys end, which the log then says in time.
      again(left > 0 ? Math.min(pause, left) : pause);
    }
  }

  function again(ms: number): void {
    timer = setTimeout(() => void refresh(), ms).unref();
  }

  /** Also the discovery document each time: it may name another place by now. */
  async function fetchKeys(): Promise<Fetched> {
    const late = new AbortController();
    const limit = setTimeout(() => late.abort(new Error(`no answer within ${FETCH_MS} ms`)), FETCH_MS);
    try {
      const options = { ca, bearer, lookup, signal: AbortSignal.any([late.signal, closed.signal]) };
      if (from.kind === 'jwksUri') return await fetchJson(from.url, options);
      const { body } = await fetchJson(from.url, options);
      // OpenID Connect Discovery 1.0 section 4.3, RFC 8414 section 3.3: otherwise it is another issuer's.
      if (body.issuer !== issuer.issuer) throw new Error('the discovery document is of another issuer');
      const { jwks_uri: url } = body;
      if (typeof url !== 'string' || !URL.canParse(url)) throw new Error('the discovery document has no jwks_uri');
      if (from.url.startsWith('https:') && !url.startsWith('https:')) throw new Error('jwks_uri is no https URL');
      // The bearer goes to the host of the configuration, and to others only where the issuer's own CA vouches for them.
      const trusted = ca !== undefined || new URL(url).origin === new URL(from.url).origin;
      return await fetchJson(url, trusted ? options : { ...options, bearer: undefined });
    } finally {
      clearTimeout(limit);
    }
  }
}

/** What makes fetched keys those of an issuer. */
function sourceOf({ name, issuer, keys, ca, maxStale }: IssuerConfig): string | undefined {
  return 'url' in keys ? JSON.stringify([name, issuer, keys.kind, keys.url, ca, maxStale]) : undefined;
}
