/**
 * The gateway of the benchmark, a process of its own: it answers without work, so that the proxies are what is measured.
 * The body of the request names the answer: `{}` a small JSON, `{"stream":true}` an event stream of 200 chunks as fast
 * as they are read, `"pace"` with that many milliseconds between two (-1: all at once), `"stamp"` with the time of each,
 * `"hold"` one event, and the end when `GET /release` is asked. Any other `GET` asks what it has sent so far, since a
 * load that ends by the clock leaves answers unfinished, and what headers came with the last request.
 */
import { createServer, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { listen } from './listen.ts';

const CHUNKS = 200;

const choice = { index: 0, delta: { content: 'word ' }, finish_reason: null };
const EVENT = `data: ${JSON.stringify({
  id: 'chatcmpl_0123456789abcdef',
  object: 'chat.completion.chunk',
  created: 1_770_000_000,
  model: 'openclaw/default',
  choices: [choice],
})}\n\n`;
const DONE = 'data: [DONE]\n\n';
const ANSWER = JSON.stringify({
  id: 'chatcmpl_0123456789abcdef',
  object: 'chat.completion',
  created: 1_770_000_000,
  model: 'openclaw/default',
  choices: [{ index: 0, message: { role: 'assistant', content: 'Hello from the gateway.' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 },
});

interface Asked {
  readonly stream?: boolean;
  /** Milliseconds. */
  readonly pace?: number;
  readonly stamp?: boolean;
  readonly hold?: boolean;
}

/** What is longer asks for nothing: the gateway does not parse it. */
const LONGEST_ASKED = 4_096;
const sent = { answers: 0, events: 0 };
let seen: unknown;
let held: ServerResponse[] = [];

const answer: RequestListener = (req, res) => {
  if (req.method === 'GET') {
    if (req.url === '/release') {
      for (const one of held) one.end(DONE);
      held = [];
    }
    const { authorization, 'x-openclaw-scopes': scopes } = (seen ?? {}) as Record<string, unknown>;
    res.end(JSON.stringify({ ...sent, authorization, scopes }));
    return;
  }
  seen = req.headers;
  let length = 0;
  let body = '';
  req.on('data', (chunk: Buffer) => {
    length += chunk.length;
    if (length <= LONGEST_ASKED) body += chunk.toString('latin1');
  });
  req.on('end', () => {
    const asked = length > LONGEST_ASKED ? {} : (JSON.parse(body || '{}') as Asked);
    if (!asked.stream) {
      res.writeHead(200, { 'content-type': 'application/json; charset=utf-8', 'content-length': ANSWER.length });
      res.end(ANSWER);
      sent.answers++;
      return;
    }
    res.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' });
    if (asked.hold) {
      res.write(EVENT);
      held.push(res);
    } else {
      streamChunks(res, asked);
    }
  });
};

function streamChunks(res: ServerResponse, { pace = 0, stamp = false }: Asked): void {
  let left = CHUNKS;
  const next = (): void => {
    if (res.destroyed) return;
    if (left-- === 0) {
      res.end(DONE);
      return;
    }
    sent.events++;
    if (!res.write(stamp ? stamped() : EVENT)) {
      res.once('drain', next);
    } else if (pace < 0) {
      next();
    } else if (pace > 0) {
      setTimeout(next, pace);
    } else {
      setImmediate(next);
    }
  };
  next();
}

/** One clock for all processes of a machine. */
function stamped(): string {
  return `data: {"at":${performance.timeOrigin + performance.now()}}\n\n`;
}

// With a certificate, its key and the authority of its clients: over mutual TLS.
const [cert, key, ca] = process.argv.slice(2).map((path) => readFileSync(path));
listen(cert && key && ca ? createTlsServer({ cert, key, ca, requestCert: true }, answer) : createServer(answer));
