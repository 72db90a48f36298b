/** `limits.default`, `callers[].limits` and `limits.store`: how much a caller may use, and where that is counted. */
import type { CallerLimits } from '../types.ts';
import type { LimitStore, RedisAddress } from './config.ts';
import { isHost, isLoopbackHost } from './address.ts';
import type { Path, Report } from './report.ts';
import type { RawConfig } from './schema.ts';
import { resolveSecret, type SecretSource } from './secret.ts';
import type { Sound } from './shape.ts';
import { parseSize } from './units.ts';

type RawLimits = NonNullable<Sound<RawConfig>['limits']>;
type RawCallerLimits = NonNullable<RawLimits['default']>;

const REDIS_PORT = 6379;
const URL_WORDS = 'expected redis://host:port, rediss://host:port for TLS, or the absolute path of a unix socket';

/**
 * @param raw `callers[].limits` or `limits.default`
 * @param standard what holds where `raw` says nothing, key by key
 * @param path where `raw` stands
 * @param report gets what is wrong
 * @returns the limits; empty where nothing is limited
 */
export function buildCallerLimits(
  raw: RawCallerLimits | undefined,
  standard: CallerLimits,
  path: Path,
  report: Report,
): CallerLimits {
  if (raw === undefined) return standard;
  const { body, ...counts } = raw;
  const bytes = typeof body === 'string' ? parseSize(body) : body;
  if (bytes === 0) report.error([...path, 'body'], 'expected at least one byte');
  const limits = { ...standard, ...counts, ...(bytes !== undefined && { body: bytes }) };
  if (raw.burst !== undefined && limits.requestsPerMinute === undefined) {
    report.error([...path, 'burst'], 'burst adds to requestsPerMinute, which is not set', 'key');
  }
  return limits;
}

/**
 * @param raw `limits`
 * @param source where a reference is looked for
 * @returns the store that replicas share, or `undefined` for memory, or when a fault was reported
 */
export function buildLimitStore(raw: RawLimits | undefined, source: SecretSource): LimitStore | undefined {
  const { report } = source;
  const store = raw?.store;
  if (store === undefined || store === 'memory') {
    if (raw?.onStoreFailure !== undefined) {
      report.error(['limits', 'onStoreFailure'], 'only a Redis store can fail: limits.store is memory', 'key');
    }
    return undefined;
  }
  const path: Path = ['limits', 'store', 'redis'];
  // The shape was at fault, and is reported.
  if (store.redis === undefined) return undefined;
  const literal = typeof store.redis === 'string';
  const url = typeof store.redis === 'string' ? store.redis : resolveSecret(store.redis, path, source);
  if (url === undefined) return undefined;
  const redis = parseRedisUrl(url);
  if ('fault' in redis) {
    // What a reference leads to may be right on another machine.
    if (literal) report.error(path, redis.fault);
    else report.unresolved(path, redis.fault);
    return undefined;
  }
  if ('password' in redis) {
    if (literal) {
      report.error(path, 'a URL with a user or password is a secret: use a reference such as { env: REDIS_URL }');
    } else if (!redis.tls && !isLoopbackHost(redis.host)) {
      report.warning(path, 'the password crosses the network in the clear: use rediss:// where the server has TLS');
    }
  }
  return { redis, onFailure: raw?.onStoreFailure ?? 'local' };
}

/** No fault repeats the URL: it can hold a password. */
function parseRedisUrl(text: string): RedisAddress | { readonly fault: string } {
  if (/^\/[^?#]+$/.test(text)) return { path: text };
  const url = /^rediss?:\/\/[\x21-\x7e]+$/i.test(text) ? URL.parse(text) : null;
  const host = url?.hostname.replace(/^\[|\]$/g, '') ?? '';
  if (url === null || !isHost(host) || url.port === '0') return { fault: URL_WORDS };
  if (/[?#]/.test(text)) return { fault: 'expected no query and no fragment' };
  const [, db] = /^\/?(\d{0,4})$/.exec(url.pathname) ?? [];
  if (db === undefined) return { fault: 'expected the number of a database after the host, or nothing' };
  const login = readLogin(url);
  if (login === undefined) return { fault: 'the user or password is not percent-encoded UTF-8' };
  const port = url.port === '' ? REDIS_PORT : Number(url.port);
  return { host, port, tls: url.protocol === 'rediss:', db: Number(db), ...login };
}

function readLogin(url: URL): { username?: string; password?: string } | undefined {
  if (url.username === '' && url.password === '') return {};
  try {
    const username = decodeURIComponent(url.username);
    return { ...(username !== '' && { username }), password: decodeURIComponent(url.password) };
  } catch {
    return undefined;
  }
}
