/**
 * The gateway of the benchmark, a process of its own: it answers without work, so that the proxies are what is measured.
 * The body of the request names the answer: `{}` a small JSON, `{"stream":true}` an event stream of 200 chunks as fast
 * as they are read, `"pace"` with that many milliseconds between two (-1: all at once), `"hold"` one event a second for so many seconds. `GET` asks what it has sent so far: a load that ends by the clock leaves
 * answers unfinished, so the proxies' work is counted here.
 */
import { createServer, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { readFileSync } from 'node:fs';
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
  /** Seconds. */
  readonly hold?: number;
}

const sent = { answers: 0, events: 0 };

const answer: RequestListener = (req, res) => {
  if (req.method === 'GET') {
    res.end(JSON.stringify(sent));
    return;
  }
  let body = '';
  req.setEncoding('utf8');
  req.on('data', (text: string) => (body += text));
  req.on('end', () => {
    const { stream, pace = 0, hold } = JSON.parse(body || '{}') as Asked;
    if (!stream) {
      res.writeHead(200, { 'content-type': 'application/json; charset=utf-8', 'content-length': ANSWER.length });
      res.end(ANSWER);
      sent.answers++;
      return;
    }
    res.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' });
    if (hold === undefined) streamChunks(res, CHUNKS, pace);
    else streamChunks(res, hold, 1_000);
  });
};

function streamChunks(res: ServerResponse, count: number, pace: number): void {
  let left = count;
  const next = (): void => {
    if (res.destroyed) return;
    if (left-- === 0) {
      res.end(DONE);
      return;
    }
    sent.events++;
    if (!res.write(EVENT)) {
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

// With a certificate, its key and the authority of its clients: over mutual TLS.
const [cert, key, ca] = process.argv.slice(2).map((path) => readFileSync(path));
listen(cert && key && ca ? createTlsServer({ cert, key, ca, requestCert: true }, answer) : createServer(answer));
