/** Reads HTTP/1.1 responses out of the bytes of a connection: a strict reader that is not Node's own. */

/** One response, cut out of the bytes of a connection. */
export interface RawResponse {
  readonly status: number;
  /** Names (lower case) and values alternating, as they came. */
  readonly rawHeaders: readonly string[];
  /** By lower-case name; of a name that came twice the values are joined by `, `. */
  readonly headers: Readonly<Record<string, string>>;
  /** The body as text, one character a byte; chunks put together. */
  readonly body: string;
  /** Whether the body came whole: by its length, its last chunk, or the end of the connection. */
  readonly complete: boolean;
}

/**
 * @param text bytes of a connection, one character each
 * @param methods of the requests, in order
 * @param ended whether the connection is over, which completes a body without a length
 * @returns the final responses, as far as they came; strict: throws on what is no HTTP/1.1 response
 */
export function readResponses(text: string, methods: readonly string[], ended: boolean): RawResponse[] {
  const responses: RawResponse[] = [];
  let rest = text;
  while (rest !== '') {
    const end = rest.indexOf('\r\n\r\n');
    if (end < 0) break;
    const [statusLine = '', ...lines] = rest.slice(0, end).split('\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(statusLine)?.[1]);
    if (Number.isNaN(status)) throw new Error(`no HTTP response: ${JSON.stringify(statusLine)}`);
    const rawHeaders = lines.flatMap((line) => {
      const parts = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(line);
      if (!parts) throw new Error(`no header line: ${JSON.stringify(line)}`);
      return [(parts[1] as string).toLowerCase(), parts[2] as string];
    });
    const headers = joined(rawHeaders);
    rest = rest.slice(end + 4);
    if (status < 200) continue;
    const bodyless = methods[responses.length] === 'HEAD' || status === 204 || status === 304;
    const { body, used, complete } = bodyless ? { body: '', used: 0, complete: true } : readBody(rest, headers, ended);
    responses.push({ status, rawHeaders, headers, body, complete });
    if (!complete) break;
    rest = rest.slice(used);
  }
  return responses;
}

function joined(rawHeaders: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    const value = rawHeaders[i + 1] as string;
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
  }
  return headers;
}

function readBody(
  rest: string,
  headers: Record<string, string>,
  ended: boolean,
): { body: string; used: number; complete: boolean } {
  if (headers['transfer-encoding'] === 'chunked') return readChunks(rest);
  if (headers['content-length'] === undefined) return { body: rest, used: rest.length, complete: ended };
  const length = Number(headers['content-length']);
  return { body: rest.slice(0, length), used: length, complete: rest.length >= length };
}

function readChunks(rest: string): { body: string; used: number; complete: boolean } {
  let body = '';
  let at = 0;
  for (;;) {
    const size = /^([0-9A-Fa-f]+)\r\n/.exec(rest.slice(at, at + 20));
    if (!size) return { body, used: at, complete: false };
    const length = Number.parseInt(size[1] as string, 16);
    at += size[0].length;
    if (length === 0) {
      const complete = rest.startsWith('\r\n', at);
      return { body, used: at + 2, complete };
    }
    body += rest.slice(at, at + length);
    if (rest.length < at + length + 2) return { body, used: at, complete: false };
    at += length + 2;
  }
}
