/** What a gateway answers without credential: its probes, and the control UI on every unknown page. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { sendJson, sendMethodNotAllowed, sendText, sendUi } from './replies.ts';
import type { StandIn } from './routes.ts';
import type { Rules } from './rules.ts';

const UI_CONFIG = '/__openclaw/control-ui-config.json';
const LIVE = new Set(['/health', '/healthz']);
const READY = new Set(['/ready', '/readyz']);
const STARTED = new Set(['/startup', '/startupz']);

/** Answers a request that no route with a credential took. */
export function answerOpenly(
  { release, rules }: Pick<StandIn, 'release' | 'rules'>,
  req: IncomingMessage,
  res: ServerResponse,
  path: string,
): void {
  const reads = req.method === 'GET' || req.method === 'HEAD';
  const probe = probeBody(path, rules);
  if (probe) {
    if (!reads) return sendMethodNotAllowed(res, 'GET, HEAD');
    res.setHeader('Cache-Control', 'no-store');
    return sendJson(res, 200, probe);
  }
  if (reads && path === UI_CONFIG) return sendJson(res, 200, { basePath: '', serverVersion: release });
  const ui = !path.startsWith('/api/') && (rules.uiUnderV1 || !path.startsWith('/v1/'));
  if (reads && ui) return sendUi(res);
  sendText(res, 404, 'Not Found');
}

function probeBody(path: string, rules: Rules): object | undefined {
  if (LIVE.has(path)) return { ok: true, status: 'live' };
  if (READY.has(path)) return { ready: true, failing: [], uptimeMs: 0 };
  if (STARTED.has(path) && rules.startupProbe) return { ok: true, status: 'started' };
  return undefined;
}
