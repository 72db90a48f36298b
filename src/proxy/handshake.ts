/** The handshake of a relayed WebSocket: the caller's first frame, the gate, the gateway, and a first frame of our own. */
import { randomUUID } from 'node:crypto';
import { hashToken } from '../callers/token.ts';
import type { Upgrade } from '../decision.ts';
import { refuse, type Refusal } from '../errors.ts';
import { blameShim, refusalOfShim } from '../gateway/blame.ts';
import {
  answerFrame,
  buildConnect,
  challengeFrame,
  cleanHello,
  errorFrame,
  readChallenge,
  readConnect,
  readConnectAnswer,
  releaseOf,
  scopesFor,
  withoutDevice,
  type AskedConnect,
  type ConnectAnswer,
} from '../gateway/connect.ts';
import { createDevice, type Device } from '../gateway/device.ts';
import { DeviceStoreError } from '../gateway/device-file.ts';
import { CLOSE_MS, dial, type Dialled } from '../gateway/dial.ts';
import type { Logger } from '../observe/log.ts';
import type { RawToken, Scope } from '../types.ts';
import { gatewayFault } from './fault.ts';
import { Inbox, type Message } from './inbox.ts';
import { SocketEnd, type Close } from './socket-end.ts';
import { refused, refusedFor } from './socket-refusal.ts';
import type { RelayHop } from './snapshot.ts';

/** How the caller was let in before its first frame, or how it is with the token that stands there. */
export type Entrance = Upgrade | ((token: string | undefined) => Promise<Upgrade | Refusal>);

export interface HandshakeParts {
  readonly inbox: Inbox;
  /** Sends a frame to the caller. */
  readonly send: (frame: string) => void;
  readonly entrance: Entrance;
  readonly hop: RelayHop;
  /** Why what was let through would not be any more. */
  readonly recheck: (upgrade: Upgrade) => Refusal | undefined;
  readonly logger: Pick<Logger, 'warn'>;
  /** Ends it, with a `SocketEnd`. */
  readonly signal: AbortSignal;
  readonly now: () => number;
}

/** What the audit is told of the first frame, as far as it got. */
export interface Connected {
  /** Of the request that is to be answered. */
  id?: string;
  asked?: readonly Scope[] | undefined;
  scopes?: readonly Scope[];
  device?: string;
  /** What the gateway calls its release. */
  release?: unknown;
}

/** Both sides are ready: what is sent to the caller first, and what the gateway sent behind its answer. */
export interface Ready {
  readonly dialled: Dialled;
  readonly hello: string;
  readonly rest: readonly Message[];
}

/** The gateway's details of a connect that is refused for the shim's own credential or device. */
const OURS = /^(?:AUTH_|DEVICE_)/;
const NO_DEVICE = 'No device identity is kept for one more caller of another shim.';
/** Those of another shim, for this one's certificate or the most that it may ask. */
const OF_THE_NEXT_SHIM = /^(?:missing_token|invalid_certificate|expired_certificate|insufficient_scope)$/;

/**
 * @param parts both ends and what is between them
 * @param connected is filled in as the frame is judged
 * @returns the open socket to the gateway
 * @throws SocketEnd with what the caller is told, and with what its socket is closed
 */
export async function handshake(parts: HandshakeParts, connected: Connected): Promise<Ready> {
  const { inbox, send, entrance, signal } = parts;
  send(challengeFrame(randomUUID(), parts.now()));
  const first = await inbox.next(signal);
  if (!first) throw new SocketEnd('caller_gone', { code: 1006, reason: '' });
  if (first.binary) throw refused('bad_request', { code: 1003, reason: 'the first frame must be text' });
  const asked = readConnect(first.data);
  if ('fault' in asked) throw refusedFor(asked.id, refuse('bad_request', { message: `Bad request: ${asked.fault}.` }));
  connected.id = asked.id;
  connected.asked = asked.scopes;
  const upgrade = await enter(entrance, asked);

  const scopes = scopesFor(asked.scopes, upgrade.caller.scopes);
  connected.scopes = scopes;
  // On 2026.3.28 a socket without any scope is still sent the events of every session.
  if (scopes.length === 0) {
    const held = upgrade.caller.scopes.join(', ') || 'none';
    const message = `None of the scopes that connect asks for is this caller's, who has: ${held}.`;
    throw refusedFor(asked.id, refuse('insufficient_scope', { message }));
  }
  upgrade.about.socket = { mode: 'relay', scopes, methods: upgrade.caller.methods };
  const made: Attempt[] = [];
  try {
    const {
      answer,
      dialled,
      inbox: gatewayInbox,
    } = await connectAs(parts, { asked, upgrade, scopes }, connected, made);
    if (!answer.ok) throw await refusedByGateway(parts, asked, upgrade.caller.name, answer, dialled);
    if (inbox.length > 0)
      throw refused('bad_request', { code: 1008, reason: 'a frame came before the answer to connect' });
    dialled.ws.pause();
    connected.release = releaseOf(answer.payload);
    return {
      dialled,
      hello: answerFrame(asked.id, cleanHello(answer.payload, asked.scopes ?? upgrade.caller.scopes, scopes)),
      rest: gatewayInbox.detach(),
    };
  } catch (error) {
    for (const { dialled } of made) dialled.ws.terminate();
    throw error;
  }
}

/** What is asked of the gateway, and for whom. */
interface Asking {
  readonly asked: AskedConnect;
  readonly upgrade: Upgrade;
  readonly scopes: readonly Scope[];
}

/** Connects with the caller's device, or where its scopes have grown, with a new one that takes its place. */
async function connectAs(
  parts: HandshakeParts,
  asking: Asking,
  connected: Connected,
  made: Attempt[],
): Promise<Attempt> {
  const { hop, logger } = parts;
  const { name } = asking.upgrade.caller;
  const attempt = async (device?: Device): Promise<Attempt> => {
    if (device) connected.device = device.id;
    const one = await tryDevice(parts, asking, device);
    made.push(one);
    return one;
  };
  if (hop.devices === undefined) return attempt();
  const kept = await hop.devices.get(name).catch((error: unknown) => {
    throw error instanceof DeviceStoreError && (error.fault === 'full' || error.fault === 'name')
      ? refusedFor(asking.asked.id, refuse('too_many_sockets', { message: NO_DEVICE, reason: error.message }))
      : error;
  });
  const first = await attempt(kept);
  if (first.answer.ok || !hop.pairsSilently || first.answer.about.reason !== 'scope-upgrade') return first;
  // Up to 2026.5.28 a device that asks for more needs an operator; a new one does not.
  const fresh = hop.candidates.get(name) ?? createDevice();
  hop.candidates.set(name, fresh);
  const second = await attempt(fresh);
  if (!second.answer.ok) {
    second.dialled.ws.terminate();
    connected.device = kept.id;
    return first;
  }
  first.dialled.ws.terminate();
  try {
    await hop.devices.replace(name, fresh);
    hop.candidates.delete(name);
  } catch (error) {
    // It stays a candidate, and is tried again at the next connect.
    logger.warn({ caller: name, err: error }, 'the new device identity of this caller cannot be kept');
  }
  return second;
}

async function enter(entrance: Entrance, { id, token }: AskedConnect): Promise<Upgrade> {
  if (typeof entrance !== 'function') {
    if (token !== undefined && hashToken(token as RawToken) !== entrance.about.token?.hash) {
      throw refusedFor(id, refuse('invalid_token', { message: 'The token in connect is not that of the upgrade.' }));
    }
    return entrance;
  }
  const decision = await entrance(token);
  if (decision.kind === 'refuse') throw refusedFor(id, decision);
  return decision;
}

interface Attempt {
  readonly dialled: Dialled;
  readonly inbox: Inbox;
  readonly answer: ConnectAnswer;
}

async function tryDevice(
  { hop, signal, recheck }: HandshakeParts,
  { asked, upgrade, scopes }: Asking,
  device: Device | undefined,
): Promise<Attempt> {
  // What held at the upgrade may not hold any more: before the gateway is called, and before it is told anything.
  const mustHold = (): void => {
    const refusal = recheck(upgrade);
    if (refusal) throw refusedFor(asked.id, refusal);
  };
  mustHold();
  const unreachable = (error: Error): SocketEnd => refusedFor(asked.id, gatewayFault(error, false).refusal);
  const dialled = await dial(hop.target, upgrade.headersWith(scopes), signal).catch((error: unknown) => {
    throw error instanceof SocketEnd ? error : unreachable(error as Error);
  });
  if ('status' in dialled) {
    const answer = { ...dialled, template: '/', sent: scopes };
    const reason = `the gateway answered ${dialled.status} to the upgrade`;
    const theirs = hop.devices === undefined ? refusalOfShim(dialled.body) : undefined;
    throw refusedFor(asked.id, blameShim(hop.blame, answer) ?? theirs ?? refuse('gateway_bad_response', { reason }));
  }
  const { ws } = dialled;
  const inbox = new Inbox(ws);
  try {
    ws.resume();
    const next = async (): Promise<Buffer> => {
      const message = await inbox.next(signal);
      if (!message) throw unreachable(new Error('the gateway closed the socket in its handshake'));
      return message.data;
    };
    const challenge = readChallenge(await next());
    if (!challenge) throw unreachable(new Error('the gateway sent no challenge'));
    mustHold();
    const id = randomUUID();
    const { caller } = upgrade;
    const instance = hop.devices?.instance;
    const { connectAuth: auth, version } = hop;
    ws.send(buildConnect(id, { asked, caller: caller.name, instance, scopes, device, auth, version }, challenge));
    for (;;) {
      const answer = readConnectAnswer(await next(), id);
      // What it tells everybody before it knows whom it talks to is not for the caller.
      if (answer) return { dialled, inbox, answer };
    }
  } catch (error) {
    ws.terminate();
    throw error;
  }
}

/** Its own error goes to the caller, but for what is about the shim; how it closes then, closes the caller's side. */
async function refusedByGateway(
  { hop, logger, signal }: HandshakeParts,
  asked: AskedConnect,
  caller: string,
  { error, about }: Extract<ConnectAnswer, { readonly ok: false }>,
  { ws }: Dialled,
): Promise<SocketEnd> {
  if ((hop.devices === undefined ? OF_THE_NEXT_SHIM : OURS).test(about.detail)) {
    ws.terminate();
    const body = `${about.detail} ${about.message}`;
    const status = about.detail === 'insufficient_scope' ? 403 : 401;
    const refusal = blameShim(hop.blame, { status, body, template: '/', sent: [] });
    return refusedFor(asked.id, refusal ?? refuse('gateway_refused'));
  }
  if (about.code === '') {
    ws.terminate();
    const reason = 'the answer to connect is neither hello-ok nor an error';
    return refusedFor(asked.id, refuse('gateway_bad_response', { reason }));
  }
  const { promise: closed, resolve } = Promise.withResolvers<Close>();
  ws.once('close', (code: number, reason: Buffer) => resolve({ code, reason: reason.toString() }));
  const timer = setTimeout(() => ws.terminate(), CLOSE_MS);
  ws.resume();
  if (ws.readyState === ws.CLOSED) resolve({ code: 1006, reason: '' });
  const close = await closed;
  clearTimeout(timer);
  signal.throwIfAborted();
  if (about.detail === 'PAIRING_REQUIRED') {
    const { requestId } = (error.details ?? {}) as { readonly requestId?: unknown };
    const request = typeof requestId === 'string' && /^[\w-]{1,64}$/.test(requestId) ? requestId : '<requestId>';
    logger.warn(
      { caller, reason: about.reason },
      `the gateway wants an operator to approve the device of this caller: openclaw devices approve ${request}`,
    );
  }
  const code = close.code === 1006 || close.code === 1005 ? 1008 : close.code;
  const end = { code, reason: close.reason || 'the gateway refused the connect' };
  return new SocketEnd('refused', end, {
    frame: errorFrame(asked.id, withoutDevice(error)),
    code: about.detail || about.code,
  });
}
