/** Reads HTTP/1.1 requests out of the bytes of a connection: a strict reader that is not Node's own. */

export interface RawRequest {
  /** Method, target and version. */
  readonly line: string;
  /** Names and values, alternating, as they came. */
  readonly rawHeaders: readonly string[];
  /** Chunks put together. */
  readonly body: string;
  readonly complete: boolean;
  /** All of it as it came. */
  readonly bytes: string;
}

/**
 * @param text every byte of a connection, one character each
 * @returns the requests in it, the last one perhaps incomplete
 * @throws Error on bytes that RFC 9112 does not allow, or that two readers could read in two ways
 */
export function readRequests(text: string): RawRequest[] {
  const requests: RawRequest[] = [];
  let rest = text;
  while (rest !== '') {
    const end = rest.indexOf('\r\n\r\n');
    if (end < 0) break;
    const [line = '', ...fields] = rest.slice(0, end).split('\r\n');
    if (!/^[A-Z]+ \/[!-~\x80-\xff]* HTTP\/1\.1$/.test(line))
      throw new Error(`no request line: ${JSON.stringify(line)}`);
    const rawHeaders = fields.flatMap((field) => {
      const parts = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*$/.exec(field);
      if (!parts) throw new Error(`no header line: ${JSON.stringify(field)}`);
      return [parts[1] as string, parts[2] as string];
    });
    if (valuesOf(rawHeaders, 'host').length !== 1) throw new Error('not exactly one Host');
    const { body, used, complete } = readBody(rawHeaders, rest.slice(end + 4));
    requests.push({ line, rawHeaders, body, complete, bytes: rest.slice(0, end + 4 + used) });
    if (!complete) break;
    rest = rest.slice(end + 4 + used);
  }
  return requests;
}

/**
 * @param rawHeaders names and values, alternating
 * @param name in lower case
 * @returns every value of that name
 */
export function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  return rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === name);
}

interface Body {
  readonly body: string;
  readonly used: number;
  readonly complete: boolean;
}

function readBody(rawHeaders: readonly string[], rest: string): Body {
  const lengths = valuesOf(rawHeaders, 'content-length');
  const codings = valuesOf(rawHeaders, 'transfer-encoding');
  if (lengths.length + codings.length > 1) throw new Error('two framings of one body');
  if (codings.length === 1) {
    if (codings[0] !== 'chunked') throw new Error(`transfer coding ${codings[0]}`);
    return readChunks(rest);
  }
  if (lengths.length === 1 && !/^\d+$/.test(lengths[0] as string)) throw new Error(`content length ${lengths[0]}`);
  const length = Number(lengths[0] ?? 0);
  return { body: rest.slice(0, length), used: length, complete: rest.length >= length };
}

/** No extensions and no trailers: the shim passes neither on. */
function readChunks(rest: string): Body {
  let body = '';
  let at = 0;
  for (;;) {
    const end = rest.indexOf('\r\n', at);
    if (end < 0) return { body, used: at, complete: false };
    const size = rest.slice(at, end);
    if (!/^[0-9a-fA-F]{1,8}$/.test(size)) throw new Error(`chunk size ${JSON.stringify(size)}`);
    const length = Number.parseInt(size, 16);
    const next = end + 2 + length;
    body += rest.slice(end + 2, next);
    if (rest.length < next + 2) return { body, used: at, complete: false };
    if (rest.slice(next, next + 2) !== '\r\n') throw new Error('a chunk is longer than it says');
    at = next + 2;
    if (length === 0) return { body, used: at, complete: true };
  }
}
