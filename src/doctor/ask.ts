/** Small requests to the gateway, over the same checked connections that the shim has. */
import type { X509Certificate } from 'node:crypto';
import type { lookup as dnsLookup } from 'node:dns';
import type { IncomingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Config } from '../config/config.ts';
import { createConnect, type Connect } from '../gateway/connection.ts';
import { createPresenter } from '../gateway/present.ts';
import { request } from '../proxy/node-http.ts';
import type { Scope } from '../types.ts';

/** Milliseconds. A gateway that has just started loads for seconds what the first requests need. */
const ANSWER_MS = 10_000;
/** All questions together, but for a chat. */
const BUDGET_MS = 16_000;
/** Bytes of an answer that are looked at. */
const MOST = 64 * 1024;

/** One request. */
export interface Asked {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** Names and values, alternating. */
  readonly headers?: readonly string[];
  readonly body?: string;
  /** Milliseconds for this answer, whatever is left for all. */
  readonly limit?: number;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** What the doctor has of the world. */
export interface DoctorWorld {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** The folder that relative paths of the configuration start in. */
  readonly cwd: string;
  /** The machine's own addresses beyond loopback. */
  readonly addresses: () => readonly string[];
  /** Resolves names; by default the system's resolver. */
  readonly lookup?: typeof dnsLookup | undefined;
  /** Milliseconds that one answer may take; 10 seconds unless told otherwise. */
  readonly limit?: number;
}

/** The gateway, as the shim with this configuration meets it. */
export interface Gateway {
  readonly config: Config;
  readonly connect: Connect;
  /** `Host` of requests. */
  readonly host: string;
  /**
   * @param asked one request, on a connection of its own; nothing is retried
   * @returns the answer, of which at most 64 KiB are read
   * @throws the error of the connection, or an Error `no answer within … ms`
   */
  ask(asked: Asked): Promise<Answer>;
  /**
   * @param scopes that are sent; `undefined`: no scopes header at all, which the shim never does
   * @param name of a caller; by default the first of the configuration
   * @returns what the shim sends for a caller: names and values, alternating
   */
  identity(scopes: readonly Scope[] | undefined, name?: string): string[];
  /** Milliseconds that one more answer may take; 0 where the time is over. */
  readonly left: number;
  /** Of the last connection over TLS. */
  readonly certificate: X509Certificate | undefined;
}

/** By which the log of the gateway, or of the next shim, knows these questions where no caller has a name. */
const OWN_NAME = 'auth-shim';

/**
 * @param config that would serve
 * @param world names and limits
 * @returns the gateway; nothing is sent yet
 */
export function openGateway(config: Config, { lookup, limit = ANSWER_MS }: DoctorWorld): Gateway {
  const { origin, tls, beyondLoopback, auth } = config.gateway;
  const { host } = new URL(origin);
  const open = createConnect({ origin, tls, beyondLoopback, lookup, limits: { connect: limit, handshake: limit } });
  const presenter = createPresenter(auth, config.listen.tls ? 'https' : 'http');
  const end = performance.now() + BUDGET_MS;
  const left = (): number => Math.max(0, Math.min(limit, Math.round(end - performance.now())));
  let certificate: X509Certificate | undefined;
  const connect: Connect = (opened) =>
    open((error, socket) => {
      certificate = (socket as TLSSocket | null)?.getPeerX509Certificate?.() ?? certificate;
      opened(error, socket);
    });
  return {
    config,
    connect,
    host,
    get left() {
      return left();
    },
    get certificate() {
      return certificate;
    },
    identity(scopes, name = config.callers[0]?.name ?? OWN_NAME) {
      const caller = { name, scopes: scopes ?? [], tokens: [], allowHeaders: [], onForbiddenHeader: 'refuse' } as const;
      const route = { method: 'GET', template: '/v1/models', scope: 'operator.read' } as const;
      const headers = presenter.present({ caller, route, peer: undefined, host });
      return scopes === undefined ? without('x-openclaw-scopes', headers) : headers;
    },
    ask: (asked) => ask(connect, host, { limit: left(), ...asked }),
  };
}

function without(name: string, headers: readonly string[]): string[] {
  const at = headers.indexOf(name);
  return headers.filter((_, index) => index !== at && index !== at + 1);
}

function ask(connect: Connect, host: string, asked: Asked & { readonly limit: number }): Promise<Answer> {
  const { method, path, headers = [], body, limit } = asked;
  const length = Buffer.byteLength(body ?? '');
  const about = body === undefined ? [] : ['content-type', 'application/json', 'content-length', `${length}`];
  return new Promise((resolve, reject) => {
    let opening: Socket | undefined;
    const req = request(
      {
        method,
        path,
        headers: ['host', host, ...headers, ...about, 'connection', 'close'],
        createConnection: ((_options: unknown, opened: Parameters<Connect>[0]) => {
          opening = connect(opened);
        }) as never,
      },
      (res) => {
        let text = '';
        const settle = (): void => {
          clearTimeout(timer);
          req.destroy();
          resolve({ status: res.statusCode ?? 0, headers: res.headers, body: text });
        };
        res.setEncoding('utf8').on('data', (part: string) => {
          text += part;
          if (text.length >= MOST) res.destroy();
        });
        res.once('close', settle).once('error', settle);
      },
    );
    const fail = (error: Error): void => {
      clearTimeout(timer);
      opening?.destroy();
      req.destroy();
      reject(error);
    };
    const timer = setTimeout(() => fail(new Error(`no answer within ${limit} ms`)), limit);
    // For its whole life: what ends a connection may be told twice.
    req.on('error', (error) => fail(opening?.errored ?? error));
    req.end(body);
  });
}
