/**
 * The first frames of the gateway's WebSocket protocol: what a caller asks, what the shim asks for them, and what comes
 * back. Pure. The shapes are those of the releases from 2026.3.28 to 2026.9.6.
 */
import { parseUnambiguous } from '../json.ts';
import { expandScopes, intersectScopes, isScope } from '../scopes.ts';
import { SCOPES, type Scope } from '../types.ts';
import { signConnect, type Device } from './device.ts';
import type { ConnectAuth } from './present.ts';

/** Capabilities of a client that the gateway of 2026.9.6 knows; earlier ones know fewer and pass over the others. */
const CAPS: ReadonlySet<string> = new Set([
  'agent-kind',
  'approvals',
  'exec-approvals',
  'inline-widgets',
  'model-catalog-snapshot',
  'model-selection-policy',
  'plugin-approvals',
  'run-tool-bindings',
  'session-scoped-events',
  'skill-curator-live-inventory',
  'task-suggestions',
  'terminal-offset-seq',
  'terminal-session-metadata',
  'terminal-upload-path-style',
  'tool-events',
  'ui-commands',
  'usage-refreshing',
]);
const LOCALE = /^[A-Za-z0-9_-]{1,64}$/;
const ROLE = 'operator';
const CLIENT = { id: 'cli', mode: 'cli', platform: 'node' } as const;

/** What a caller's first frame asks, as far as it is the caller's to ask. */
export interface AskedConnect {
  /** Id of the request, for its answer. */
  readonly id: string;
  readonly minProtocol: number;
  readonly maxProtocol: number;
  readonly caps: readonly string[];
  readonly locale: string | undefined;
  /** Known scopes alone, each once; `undefined` where the frame names none. */
  readonly scopes: readonly Scope[] | undefined;
  /** `auth.token`. */
  readonly token: string | undefined;
}

/** Why a first frame is none. */
export interface ConnectFault {
  readonly fault: string;
  /** Id of the request, where it has one. */
  readonly id: string | undefined;
}

/**
 * @param data the first frame
 * @returns what it asks, or why it is no connect of an operator
 */
export function readConnect(data: Buffer): AskedConnect | ConnectFault {
  const frame = parseUnambiguous(data);
  if (typeof frame === 'string') return { fault: `the first frame ${frame}`, id: undefined };
  const id = typeof frame.id === 'string' && frame.id.length > 0 && frame.id.length <= 256 ? frame.id : undefined;
  const wrong = (fault: string): ConnectFault => ({ fault, id });
  if (frame.type !== 'req' || id === undefined) return wrong('the first frame must be a request with an id');
  if (frame.method !== 'connect') return wrong('the first request must be connect');
  const { params } = frame;
  if (!isMap(params)) return wrong('connect needs params');
  const { minProtocol, maxProtocol, role, scopes, caps, locale } = params;
  if (!isVersion(minProtocol) || !isVersion(maxProtocol)) return wrong('connect needs minProtocol and maxProtocol');
  if (role !== undefined && role !== ROLE) return wrong('the only role here is operator');
  if (scopes !== undefined && !Array.isArray(scopes)) return wrong('connect.scopes must be a list');
  const token = isMap(params.auth) ? params.auth.token : undefined;
  if (token !== undefined && typeof token !== 'string') return wrong('connect.auth.token must be a text');
  const names: readonly unknown[] | undefined = scopes;
  return {
    id,
    minProtocol,
    maxProtocol,
    caps: Array.isArray(caps) ? [...CAPS].filter((cap) => caps.includes(cap)) : [],
    locale: typeof locale === 'string' && LOCALE.test(locale) ? locale : undefined,
    scopes: names && [...new Set(names.filter((name): name is Scope => typeof name === 'string' && isScope(name)))],
    token,
  };
}

/**
 * @param asked what the caller's frame names; `undefined` asks for all that it may have
 * @param allowed the caller's scopes
 * @returns the scopes that the gateway is asked for
 */
export function scopesFor(asked: readonly Scope[] | undefined, allowed: readonly Scope[]): Scope[] {
  return intersectScopes(asked ?? allowed, allowed);
}

/** Who connects, as the shim tells the gateway. */
export interface Connecting {
  readonly asked: AskedConnect;
  /** Name of the caller. */
  readonly caller: string;
  /** Of this process, where its devices are its own; several with one name would replace one another. */
  readonly instance: string | undefined;
  readonly scopes: readonly Scope[];
  /** `undefined` where another shim is called, which has devices of its own. */
  readonly device: Device | undefined;
  readonly auth: ConnectAuth | undefined;
  /** Version of the shim. */
  readonly version: string;
}

/** The gateway's challenge. */
export interface Challenge {
  readonly nonce: string;
  /** Milliseconds since the epoch. */
  readonly ts: number;
}

/**
 * @param id of the request
 * @param who connects
 * @param challenge that the gateway sent on this connection
 * @returns the connect frame: nothing of the caller's but protocol range, capabilities and locale
 */
export function buildConnect(id: string, who: Connecting, { nonce, ts }: Challenge): string {
  const { asked, scopes, auth, instance } = who;
  const token = auth && 'token' in auth ? auth.token : '';
  const signed = { clientId: CLIENT.id, clientMode: CLIENT.mode, role: ROLE, scopes, signedAt: ts, token, nonce };
  return JSON.stringify({
    type: 'req',
    id,
    method: 'connect',
    params: {
      minProtocol: asked.minProtocol,
      maxProtocol: asked.maxProtocol,
      client: {
        ...CLIENT,
        version: who.version,
        displayName: `shim:${who.caller}${instance === undefined ? '' : `@${instance}`}`,
      },
      caps: asked.caps,
      role: ROLE,
      scopes,
      ...(asked.locale !== undefined && { locale: asked.locale }),
      ...(auth && { auth }),
      ...(who.device && { device: signConnect(who.device, signed) }),
    },
  });
}

/**
 * @param data a frame
 * @returns the challenge in it, or `undefined`
 */
export function readChallenge(data: Buffer): Challenge | undefined {
  const frame = parse(data);
  if (frame?.type !== 'event' || frame.event !== 'connect.challenge' || !isMap(frame.payload)) return undefined;
  const { nonce, ts } = frame.payload;
  return typeof nonce === 'string' && typeof ts === 'number' ? { nonce, ts } : undefined;
}

/** The gateway's error, as it stands in a frame. */
export interface GatewayError {
  readonly code: string;
  readonly message: string;
  /** `details.code` and `details.reason`. */
  readonly detail: string;
  readonly reason: string;
}

/** The gateway's answer to a connect: the members that the caller is sent. */
export type ConnectAnswer =
  | { readonly ok: true; readonly payload: Readonly<Record<string, unknown>> }
  | { readonly ok: false; readonly error: Readonly<Record<string, unknown>>; readonly about: GatewayError };

/**
 * @param data a frame
 * @param id of the request
 * @returns the answer to it, `undefined` for any other frame
 */
export function readConnectAnswer(data: Buffer, id: string): ConnectAnswer | undefined {
  const frame = parse(data);
  if (frame?.type !== 'res' || frame.id !== id) return undefined;
  const { payload, error } = frame;
  if (frame.ok === true && isMap(payload) && payload.type === 'hello-ok') return { ok: true, payload };
  const own = isMap(error) ? error : {};
  const details = isMap(own.details) ? own.details : {};
  const about = {
    code: text(own.code),
    message: text(own.message),
    detail: text(details.code),
    reason: text(details.reason),
  };
  return { ok: false, error: own, about };
}

/**
 * @param payload of the gateway's `hello-ok`
 * @returns what it calls its release: anything
 */
export function releaseOf({ server }: Readonly<Record<string, unknown>>): unknown {
  return isMap(server) ? server.version : undefined;
}

/**
 * What the gateway says of its own address and of the shim's device is not for the caller.
 *
 * @param payload of the gateway's `hello-ok`
 * @param wanted the scopes that the caller wants, by name: clients look for these
 * @param given the scopes that were asked of the gateway
 * @returns the caller's: without URLs, its `auth` with role and scopes alone
 */
export function cleanHello(
  payload: Readonly<Record<string, unknown>>,
  wanted: readonly Scope[],
  given: readonly Scope[],
): Readonly<Record<string, unknown>> {
  // Up to 2026.5.28 it names what the device has, which may be more than this connection.
  const reported: readonly unknown[] =
    isMap(payload.auth) && Array.isArray(payload.auth.scopes) ? payload.auth.scopes : given;
  const held = expandScopes(given);
  const told = expandScopes(reported.filter((name): name is Scope => typeof name === 'string' && isScope(name)));
  const named = new Set([...wanted, ...given]);
  const scopes = SCOPES.filter((scope) => named.has(scope) && held.has(scope) && told.has(scope));
  // Another shim may have cut what was asked to something that nobody named.
  const cut = scopes.length > 0 ? scopes : intersectScopes(given, [...told]);
  return { ...(withoutUrls(payload) as Record<string, unknown>), auth: { role: ROLE, scopes: cut } };
}

/**
 * @param error of the gateway's
 * @returns the caller's: the device is the shim's
 */
export function withoutDevice(error: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  if (!isMap(error.details)) return error;
  const { deviceId: _, ...details } = error.details;
  return { ...error, details };
}

const URL_KEY = /urls?$/i;
const ABSOLUTE = /^(?:https?|wss?):\/\//i;

function withoutUrls(value: unknown): unknown {
  if (Array.isArray(value)) return value.filter((item) => !isUrl(item)).map(withoutUrls);
  if (!isMap(value)) return value;
  const kept = Object.entries(value).filter(([key, member]) => !URL_KEY.test(key) && !isUrl(member));
  return Object.fromEntries(kept.map(([key, member]) => [key, withoutUrls(member)]));
}

function isUrl(value: unknown): boolean {
  return typeof value === 'string' && ABSOLUTE.test(value);
}

/**
 * @param nonce nobody can guess
 * @param ts milliseconds since the epoch
 * @returns the frame that a client waits for
 */
export function challengeFrame(nonce: string, ts: number): string {
  return JSON.stringify({ type: 'event', event: 'connect.challenge', payload: { nonce, ts } });
}

/**
 * @param id of the caller's request
 * @param payload what it gets
 * @returns the frame
 */
export function answerFrame(id: string, payload: unknown): string {
  return JSON.stringify({ type: 'res', id, ok: true, payload });
}

/**
 * @param id of the caller's request
 * @param error with code and message, in the gateway's shape
 * @returns the frame
 */
export function errorFrame(id: string, error: Readonly<Record<string, unknown>>): string {
  return JSON.stringify({ type: 'res', id, ok: false, error });
}

function parse(data: Buffer): Readonly<Record<string, unknown>> | undefined {
  try {
    const frame: unknown = JSON.parse(data.toString());
    return isMap(frame) ? frame : undefined;
  } catch {
    return undefined;
  }
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isVersion(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 1;
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
