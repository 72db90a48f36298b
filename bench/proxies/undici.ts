/** The floor: the least that a proxy with undici can do, no policy, no log. Its arguments are http-proxy-3.ts's. */
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Pool, type Dispatcher } from 'undici';
import { listen } from '../listen.ts';

const [gateway, ...files] = process.argv.slice(2);
const [cert, key, ca] = files.map((path) => readFileSync(path));
const connect = cert && key && ca ? { cert, key, ca } : {};
const pool = new Pool(gateway as string, { connect, pipelining: 1, headersTimeout: 0, bodyTimeout: 0 });
const HOP: ReadonlySet<string> = new Set(['host', 'connection', 'keep-alive', 'transfer-encoding', 'content-length']);

function withoutHop(raw: readonly string[]): string[] {
  const kept: string[] = [];
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] as string;
    if (!HOP.has(name.toLowerCase())) kept.push(name, raw[i + 1] as string);
  }
  return kept;
}

class Passing implements Dispatcher.DispatchHandler {
  readonly #res: ServerResponse;

  constructor(res: ServerResponse) {
    this.#res = res;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#res.on('drain', () => controller.resume());
    this.#res.once('close', () => {
      if (!this.#res.writableFinished) controller.abort(new Error('caller gone'));
    });
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    const raw = (controller.rawHeaders as Buffer[]).map((part) => part.toString('latin1'));
    this.#res.writeHead(status, withoutHop(raw));
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#res.write(chunk)) controller.pause();
  }

  onResponseEnd(): void {
    this.#res.end();
  }

  onResponseError(): void {
    this.#res.destroy();
  }
}

function forward(req: IncomingMessage, res: ServerResponse): void {
  const chunks: Buffer[] = [];
  req.on('data', (chunk: Buffer) => chunks.push(chunk));
  req.on('end', () => {
    const headers = withoutHop(req.rawHeaders);
    const body = Buffer.concat(chunks);
    pool.dispatch({ path: req.url as string, method: req.method as 'POST', headers, body }, new Passing(res));
  });
}

const server = createServer(forward);
listen(server);
