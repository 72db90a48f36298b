/** Many event streams open at the same time. */
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

export interface StreamsResult {
  /** Streams that ran from status 200 to `[DONE]` and the clean end of the body. */
  readonly complete: number;
  readonly errors: readonly string[];
}

/**
 * @param url origin of the proxy
 * @param token bearer token
 * @param count how many streams
 * @param perSecond how many of them are opened in a second
 * @param hold seconds that each stays open; they are all open at once where this is more than `count / perSecond`
 * @param whenOpen is called once, when every stream has brought its first event
 * @returns how they ended
 */
export async function openStreams(
  url: string,
  token: string,
  count: number,
  perSecond: number,
  hold: number,
  whenOpen: () => void,
): Promise<StreamsResult> {
  const errors: string[] = [];
  const streams: Promise<unknown>[] = [];
  let open = 0;
  let complete = 0;
  const opened = (): void => {
    if (++open === count) whenOpen();
  };
  for (let i = 0; i < count; i++) {
    const stream = oneStream(`${url}/v1/chat/completions`, token, JSON.stringify({ stream: true, hold }), opened);
    streams.push(stream.then(() => complete++).catch((error: Error) => errors.push(error.message)));
    await sleep(1_000 / perSecond);
  }
  await Promise.all(streams);
  return { complete, errors };
}

function oneStream(url: string, token: string, body: string, opened: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = {
      'content-type': 'application/json',
      'content-length': body.length,
      authorization: `Bearer ${token}`,
    };
    const req = request(url, { method: 'POST', headers, agent: false }, (res) => {
      let last = '';
      if (res.statusCode !== 200) reject(new Error(`status ${res.statusCode}`));
      res.setEncoding('utf8');
      res.once('data', opened);
      res.on('data', (text: string) => (last = text));
      res.once('error', reject);
      res.once('end', () => (last.endsWith('[DONE]\n\n') ? resolve() : reject(new Error('ended early'))));
    });
    req.once('error', reject);
    req.end(body);
  });
}
