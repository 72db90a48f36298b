/** The admin listener, for operators on this machine. Nothing here changes anything. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Metrics } from '../observe/metrics.ts';
import { createServer } from '../proxy/node-http.ts';
import { HEALTH_PATHS, type Check, type Health, type HealthPath } from './health.ts';

const LOOPBACK_NAMES = ['localhost', '127.0.0.1', '::1'];
/** Operators and scrapers need a few; they shall not take the descriptors of callers. */
const CONNECTIONS = 64;

/** What the admin listener can ask. */
export interface AdminParts {
  /** Where it listens: on loopback. */
  readonly host: string;
  readonly health: Health;
  /** Where there are metrics. */
  readonly metrics: Pick<Metrics, 'render'> | undefined;
}

/**
 * @param parts what it can ask
 * @returns Node's HTTP server, not listening yet
 */
export function createAdminListener({ host, health, metrics }: AdminParts): Server {
  const server = createServer((req, res) => {
    const [path, query] = split(req.url ?? '');
    if (!isOwnHost(req.headers.host, host)) answer(req, res, 421, 'this host name is not served here');
    else if (req.method !== 'GET' && req.method !== 'HEAD') answer(req, res, 405, 'only GET and HEAD');
    else if (isHealthPath(path) && (query === undefined || query === 'verbose')) {
      void health(path).then((checks) => {
        const fine = checks.every(({ ok }) => ok);
        answer(req, res, fine ? 200 : 503, query === 'verbose' ? verbose(path, checks) : brief(checks));
      });
    } else if (metrics && path === '/metrics' && query === undefined) {
      void metrics.render().then(({ contentType, body }) => {
        res.writeHead(200, { 'content-type': contentType, 'cache-control': 'no-store' });
        res.end(req.method === 'HEAD' ? undefined : body);
      });
    } else answer(req, res, 404, 'not found');
  });
  server.maxConnections = CONNECTIONS;
  return server;
}

function answer(req: IncomingMessage, res: ServerResponse, status: number, text: string): void {
  const allow = status === 405 ? { allow: 'GET, HEAD' } : {};
  res.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store', ...allow });
  res.end(req.method === 'HEAD' ? undefined : `${text}\n`);
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

/** Against DNS rebinding: a web page cannot name a loopback host in `Host`. */
function isOwnHost(field: string | undefined, own: string): boolean {
  const host = field
    ?.replace(/:\d+$/, '')
    .replace(/^\[|\]$/g, '')
    .toLowerCase();
  return host !== undefined && [...LOOPBACK_NAMES, own.toLowerCase()].includes(host);
}
