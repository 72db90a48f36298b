/** The admin listener, for operators. Nothing here changes anything. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { isDeepStrictEqual } from 'node:util';
import type { AdminConfig } from '../config/config.ts';
import { createFailedLogins } from '../limits/failed-logins.ts';
import type { Metrics } from '../observe/metrics.ts';
import { createServer } from '../proxy/node-http.ts';
import type { StatusSources } from '../status/gather.ts';
import { refuseForeign, refuseStranger, type AdminRefusal } from './admin-guard.ts';
import { HEALTH_PATHS, type Check, type Health, type HealthPath } from './health.ts';
import { createRoom } from './room.ts';
import type { StatusPage } from './status-page.ts';
import { createTlsServer, type TlsParts } from './tls.ts';

/** Operators and scrapers need a few; they shall not take the descriptors of callers. */
const CONNECTIONS = 64;
const LIMITS = { headersTimeout: 10_000, requestTimeout: 10_000, connectionsCheckingInterval: 1_000 } as const;

/** What the admin listener can ask. */
export interface AdminParts {
  readonly config: AdminConfig;
  readonly health: Health;
  /** Where there are metrics. */
  readonly metrics: Pick<Metrics, 'render'> | undefined;
  readonly status: StatusSources;
  /** Is told of a wrong token, with the address that it came from. */
  readonly wrongToken: (peer: string | undefined) => void;
  /** What its TLS is made of beside its settings. */
  readonly tls: Omit<TlsParts, 'tls'>;
}

/** The admin listener. */
export interface AdminListener {
  /** Not listening yet. */
  readonly server: Server;
  /**
   * Takes another token, other names and other files of TLS. Views that are open begin anew.
   *
   * @throws Error where OpenSSL refuses the files; those from before stay
   */
  apply(config: AdminConfig | undefined): void;
  /** Ends the connections whose client certificate is no longer trusted. */
  recheck(): void;
  /** Ends the live views, told; there are no more. */
  drain(): void;
  /** Ends the handshakes that are not over. */
  closeHandshakes(): void;
}

/**
 * @param parts what it can ask
 * @returns the listener
 */
export function createAdminListener(parts: AdminParts): AdminListener {
  const { config: first, health, metrics, status, tls } = parts;
  const failures = createFailedLogins();
  let config = first;
  let draining = false;
  let opened: Promise<StatusPage> | undefined;
  const secured = config.tls && createTlsServer(LIMITS, { ...tls, tls: config.tls });
  const server = secured?.server ?? createServer(LIMITS);
  const room = createRoom(server, CONNECTIONS);
  server.on('request', (req: IncomingMessage, res: ServerResponse) => {
    const refusal = refuseForeign(req, config);
    // Pipelined: answers that nobody reads would wait in memory, each as large as it likes.
    if (res.socket === null) req.socket.destroy();
    else if (refusal) refuse(req, res, refusal);
    else void answer(req, res).catch(() => res.destroy());
  });
  return {
    server,
    apply(next) {
      if (!next) return;
      const before = config;
      config = provenAsBefore(first, before, next);
      try {
        if (config.tls) secured?.apply(config.tls);
      } catch (error) {
        config = before;
        throw error;
      }
      if (config.tokenHash !== before.tokenHash) void opened?.then((page) => page.endViews('again'));
    },
    recheck: () => secured?.recheck(() => false),
    drain() {
      draining = true;
      void opened?.then((page) => page.endViews('end'));
    },
    closeHandshakes: () => secured?.closeHandshakes(),
  };

  async function answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const [path, query] = split(req.url ?? '');
    const stranger = refuseStranger(req, config);
    if (!stranger) room.welcome(req);
    if (isHealthPath(path) && (query === undefined || (query === 'verbose' && !stranger))) {
      const checks = await health(path);
      const fine = checks.every(({ ok }) => ok);
      // The kubelet has no token: it is told as much as on the listener of the probes.
      const words = stranger ? (fine ? 'ok' : 'no') : query === undefined ? brief(checks) : verbose(path, checks);
      tell(req, res, fine ? 200 : 503, words);
    } else if (stranger) {
      refuse(req, res, req.headers.authorization === undefined ? stranger : counted(req, stranger));
    } else if (metrics && path === '/metrics' && query === undefined) {
      const { contentType, body } = await metrics.render();
      send(req, res, 200, { 'content-type': contentType }, body);
    } else if (path === '/' && query === undefined) {
      const { html, headers } = await (await open()).document();
      send(req, res, 200, headers, html);
    } else if (path === '/events' && query === undefined) {
      const page = await open();
      if (draining) tell(req, res, 503, 'shutting down');
      else if (req.method === 'HEAD') send(req, res, 200, page.viewHeaders, '');
      else if (page.view(res)) room.hold(req, res);
      else tell(req, res, 503, 'too many look at it already');
    } else tell(req, res, 404, 'not found');
  }

  /** As for callers: it changes the answer to a wrong token alone, and who has the right one is let in at any time. */
  function counted({ socket: { remoteAddress } }: IncomingMessage, stranger: AdminRefusal): AdminRefusal {
    const retryAfter = failures.count(remoteAddress, undefined);
    if (retryAfter === undefined) {
      parts.wrongToken(remoteAddress);
      return stranger;
    }
    return { status: 429, words: 'too many wrong tokens', headers: { 'retry-after': String(retryAfter) } };
  }

  /** Nobody may ever look: nothing of it is loaded before. */
  function open(): Promise<StatusPage> {
    return (opened ??= import('./status-page.ts').then(({ createStatusPage }) => createStatusPage(status, health)));
  }
}

/**
 * Address and TLS stay as they were at the start. What is asked of whoever looks may then not become less: it was
 * written for another address.
 */
function provenAsBefore(first: AdminConfig, before: AdminConfig, next: AdminConfig): AdminConfig {
  const { tls: nextTls, tokenHash: nextToken, ...rest } = next;
  const moves = !isDeepStrictEqual(next.address, first.address) || !next.tls !== !first.tls;
  const tokenHash = nextToken ?? (moves ? before.tokenHash : undefined);
  const client = nextTls?.client ?? (moves ? before.tls?.client : undefined);
  const tls = first.tls && { ...(nextTls ?? before.tls ?? first.tls) };
  return {
    ...rest,
    ...(tokenHash !== undefined && { tokenHash }),
    ...(tls && { tls: { ...tls, ...(client && { client }) } }),
  };
}

function refuse(req: IncomingMessage, res: ServerResponse, { status, words, headers }: AdminRefusal): void {
  tell(req, res, status, words, { connection: 'close', ...headers });
}

function tell(req: IncomingMessage, res: ServerResponse, status: number, words: string, headers = {}): void {
  send(req, res, status, { 'content-type': 'text/plain; charset=utf-8', ...headers }, `${words}\n`);
}

function send(req: IncomingMessage, res: ServerResponse, status: number, headers: object, body: string): void {
  res.writeHead(status, { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff', ...headers });
  res.end(req.method === 'HEAD' ? undefined : body);
}

function split(target: string): [string, string | undefined] {
  const mark = target.indexOf('?');
  return mark < 0 ? [target, undefined] : [target.slice(0, mark), target.slice(mark + 1)];
}

/**
 * @param path a request's
 * @returns whether health is asked there
 */
export function isHealthPath(path: string): path is HealthPath {
  return (HEALTH_PATHS as readonly string[]).includes(path);
}

function brief(checks: readonly Check[]): string {
  const wrong = checks.find(({ ok }) => !ok);
  return wrong ? `${wrong.name}: ${wrong.detail ?? 'no'}` : 'ok';
}

/** In the form of the Kubernetes API server. */
function verbose(path: HealthPath, checks: readonly Check[]): string {
  const lines = checks.map(
    ({ name, ok, detail }) =>
      `[${ok ? '+' : '-'}]${name} ${ok ? 'ok' : 'failed'}${detail === undefined ? '' : `: ${detail}`}`,
  );
  return [...lines, `${path.slice(1)} check ${checks.every(({ ok }) => ok) ? 'passed' : 'failed'}`].join('\n');
}
