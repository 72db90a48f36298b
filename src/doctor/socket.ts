/** A connect over WebSocket without a device: it leaves no record at the gateway, and its refusal names the reason. */
import type { WebSocket } from 'ws';
import { readChallenge, readConnectAnswer } from '../gateway/connect.ts';
import { dial } from '../gateway/dial.ts';
import type { ConnectAuth } from '../gateway/present.ts';
import { isMap, parseMap } from './answers.ts';
import type { Gateway } from './ask.ts';

/** A gateway that still starts says so, and when to come again. */
const RETRY_MS = 500;
const MOST_RETRIES = 8;

/** How the gateway took a connect. */
export type Connected =
  | {
      readonly kind: 'ok';
      /** `server.version` */
      readonly release: unknown;
      /** `gateway.auth.mode`, where the release tells it. */
      readonly mode: unknown;
      /** `gateway` of the gateway's configuration, where this connection may read it; its secrets are redacted. */
      readonly settings: Readonly<Record<string, unknown>> | undefined;
    }
  /** `reason`: `token_mismatch`, `trusted_proxy_user_missing`, or the code of the error. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** Something else than 101, nothing at all, or no WebSocket. */
  | { readonly kind: 'failed' };

/**
 * The gateway's own programs connect as this client: where releases clear the scopes of others, it keeps them.
 *
 * @param gateway to connect to
 * @param headers names and values, alternating
 * @param auth the credential in the first frame
 * @returns what came of it; a gateway that still starts is asked again for some seconds
 */
export async function tryConnect(gateway: Gateway, headers: readonly string[], auth: ConnectAuth): Promise<Connected> {
  for (let tries = 0; ; tries++) {
    const result = await connectOnce(gateway, headers, auth);
    if (result.kind !== 'refused' || result.reason !== 'UNAVAILABLE' || tries === MOST_RETRIES) return result;
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

async function connectOnce(gateway: Gateway, headers: readonly string[], auth: ConnectAuth): Promise<Connected> {
  const signal = AbortSignal.timeout(gateway.left);
  let ws: WebSocket | undefined;
  try {
    const dialled = await dial(gateway, headers, signal);
    if ('status' in dialled) return { kind: 'failed' };
    ({ ws } = dialled);
    return await talk(ws, auth, signal);
  } catch {
    return { kind: 'failed' };
  } finally {
    ws?.terminate();
  }
}

function talk(ws: WebSocket, auth: ConnectAuth, signal: AbortSignal): Promise<Connected> {
  return new Promise((resolve) => {
    let hello: Extract<Connected, { kind: 'ok' }> | undefined;
    const end = (): void => resolve(hello ?? { kind: 'failed' });
    signal.addEventListener('abort', end, { once: true });
    ws.once('close', end);
    ws.on('message', (data: Buffer) => {
      if (hello) {
        const frame = parseMap(data.toString());
        if (frame?.id !== 'config') return;
        const { config } = isMap(frame.payload) ? frame.payload : {};
        if (isMap(config) && isMap(config.gateway)) hello = { ...hello, settings: config.gateway };
        return end();
      }
      if (readChallenge(data)) return ws.send(connectFrame(auth));
      const answer = readConnectAnswer(data, 'connect');
      if (!answer) return;
      if (!answer.ok) return resolve({ kind: 'refused', reason: reasonIn(answer.error) });
      const { server, auth: granted, snapshot } = answer.payload;
      hello = {
        kind: 'ok',
        release: isMap(server) ? server.version : undefined,
        mode: (isMap(snapshot) ? snapshot.authMode : undefined) ?? (isMap(granted) ? granted.method : undefined),
        settings: undefined,
      };
      ws.send(JSON.stringify({ type: 'req', id: 'config', method: 'config.get', params: {} }));
    });
    ws.resume();
  });
}

function connectFrame(auth: ConnectAuth): string {
  const client = {
    id: 'gateway-client',
    mode: 'backend',
    version: '1.0.0',
    platform: 'node',
    displayName: 'auth-shim',
  };
  const asks = { minProtocol: 3, maxProtocol: 4, client, caps: [], role: 'operator', scopes: ['operator.read'] };
  return JSON.stringify({ type: 'req', id: 'connect', method: 'connect', params: { ...asks, auth } });
}

function reasonIn({ code, details }: Readonly<Record<string, unknown>>): string {
  const { authReason, code: detail } = isMap(details) ? details : {};
  return [authReason, code === 'UNAVAILABLE' ? code : detail, code].find((one) => typeof one === 'string') ?? '';
}
