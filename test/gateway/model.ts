/** An OpenAI-compatible model server on loopback, for real gateways to run their agents on. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A prompt that holds this text gets a reply that streams until the gateway goes away. */
export const ENDLESS = 'endless-reply';

export const WORDS = ['one', ' two', ' three'] as const;

export interface Run {
  /** The request that the gateway sent, as text. */
  readonly body: string;
  /** Settles when the exchange is over: whether the gateway went away before the end of the reply. */
  readonly ended: Promise<'aborted' | 'finished'>;
  /** Ends an endless reply. */
  finish(): void;
}

export interface Model {
  readonly port: number;
  readonly runs: readonly Run[];
  /** Waits for the run whose request holds `text`; one that is already there counts. */
  run(text: string): Promise<Run>;
  close(): Promise<void>;
}

/** @returns the server, listening on a free loopback port */
export async function startModel(): Promise<Model> {
  const runs: Run[] = [];
  const waiting: { readonly text: string; readonly found: (run: Run) => void }[] = [];
  const server = createServer((req, res) => {
    void answer(req, res, (run) => {
      runs.push(run);
      for (const { text, found } of waiting) if (run.body.includes(text)) found(run);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    runs,
    run: (text) =>
      new Promise((found) => {
        const run = runs.find(({ body }) => body.includes(text));
        if (run) found(run);
        else waiting.push({ text, found });
      }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(req: IncomingMessage, res: ServerResponse, started: (run: Run) => void): Promise<void> {
  if (req.method !== 'POST') {
    res.setHeader('content-type', 'application/json');
    res.end('{"object":"list","data":[{"id":"stub","object":"model"}]}');
    return;
  }
  const parts: Buffer[] = [];
  for await (const part of req) parts.push(part as Buffer);
  const body = Buffer.concat(parts).toString();
  const finish = (): void => {
    send({}, 'stop');
    res.end('data: [DONE]\n\n');
  };
  started({
    body,
    finish,
    ended: new Promise((resolve) => res.on('close', () => resolve(res.writableFinished ? 'finished' : 'aborted'))),
  });
  res.setHeader('content-type', 'text/event-stream');
  const send = (delta: object, finish: string | null): void => {
    const chunk = { id: 'c', object: 'chat.completion.chunk', created: 1, model: 'stub' };
    res.write(`data: ${JSON.stringify({ ...chunk, choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`);
  };
  send({ role: 'assistant', content: '' }, null);
  if (body.includes(ENDLESS)) {
    const timer = setInterval(() => send({ content: ' more' }, null), 50);
    res.on('finish', () => clearInterval(timer)).on('close', () => clearInterval(timer));
    return;
  }
  for (const word of WORDS) send({ content: word }, null);
  finish();
}
